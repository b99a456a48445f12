//! Chunk snapshots handed from us to the installed Prometheus: the log is made blank, so what it finds comes from
//! the snapshot and the head chunks. Those that it leaves do not tell which head chunks belong to them: we start
//! from its log then, and lose nothing if head chunks are missing.

use super::{
    exemplars::http_get,
    histograms::{fill_histograms, our_texts},
    *,
};

const FEATURES: &str = "--enable-feature=memory-snapshot-on-shutdown,exemplar-storage";

fn options() -> Options {
    Options { is_chunk_snapshot_used: true, exemplars_count_max: 100, ..Options::default() }
}

fn blank_log(dir: &Path) {
    for entry in fs::read_dir(dir.join("wal")).unwrap() {
        let path = entry.unwrap().path();
        let size = fs::metadata(&path).unwrap().len() as usize;
        fs::write(&path, vec![0; size]).unwrap();
    }
}

fn snapshots_count(dir: &Path) -> usize {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("chunk_snapshot.")).count()
}

fn exemplars_of(port: u16) -> String {
    let path = "/api/v1/query_exemplars?query=requests_total&start=0&end=9999999999";
    http_get(port, path).rsplit_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_snapshot_goes_from_us_to_prometheus_and_back() {
    let Some(peers) = peers() else { return };
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), options());
    fill(&db, 150);
    fill_histograms(&db, 150);
    exemplars::add_exemplars(&db);
    db.delete(i64::MIN, i64::MAX, &[vec![Matcher::equal("n", "7")]]).unwrap();
    let samples = our_texts(&db);
    let exemplars = exemplars::our_exemplars(&db);
    assert!(samples.len() > 200 && exemplars[0].1.len() > 1, "{exemplars:?}");
    db.close().unwrap();
    drop(db);
    assert_eq!(snapshots_count(dir.path()), 1);
    let with_log = tempfile::tempdir().unwrap();
    copy_tree(dir.path(), with_log.path());
    blank_log(dir.path());

    let config = |_| "global: {}\n".to_owned();
    let (theirs, port) = Prometheus::start_with(&peers, dir.path(), config, &[FEATURES]);
    theirs.assert_nothing_repaired();
    let is_taken = |line: &String| line.to_lowercase().contains("chunk snapshot loaded");
    assert!(theirs.lines.iter().any(is_taken), "{:#?}", theirs.lines);
    let of_theirs = exemplars_of(port);
    let (labels, _) = exemplars[0].1.last().unwrap();
    let trace = labels.split('"').nth(1).unwrap();
    assert_eq!(of_theirs.matches("\"labels\"").count(), exemplars[0].1.len(), "{of_theirs}");
    assert!(of_theirs.contains(trace), "{of_theirs}");
    theirs.stop();

    let dir = with_log.path();
    let (theirs, _) = Prometheus::start_with(&peers, dir, config, &[FEATURES]);
    theirs.stop();
    assert_eq!(snapshots_count(dir), 1);
    fs::remove_file(dir.join("head_state")).unwrap();
    for has_head_chunks in [true, false] {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(dir, copy.path());
        if !has_head_chunks {
            fs::remove_dir_all(copy.path().join("chunks_head")).unwrap();
        }
        let db = open(copy.path(), options());
        assert_eq!(our_texts(&db), samples);
        assert_eq!(exemplars::our_exemplars(&db), exemplars);
        assert_eq!(snapshots_count(copy.path()), 0);
    }
}
