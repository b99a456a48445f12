//! A block without samples, which tells where the head begins: the installed Prometheus reads it, and brings
//! back no sample that was deleted, either.

use super::*;

const MINUTE_MS: i64 = 60_000;

#[test]
fn prometheus_reads_a_block_without_samples() {
    let Some(peers) = peers() else { return };
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), Options::default());
    let begin = clock::now_ms() - 6 * 60 * MINUTE_MS;
    for minute in 0..6 * 60 {
        let mut appender = db.appender();
        let timestamp_ms = begin + minute * MINUTE_MS;
        let samples = [("1", minute as f64), ("2", 0.5)].map(|(number, value)| {
            let labels = Labels::from_pairs([("__name__", "mark"), ("n", number)]);
            FloatSample { series: appender.series(&labels).unwrap(), timestamp_ms, value }
        });
        let mut rejected = Vec::new();
        appender.append(&samples, &mut rejected);
        assert_eq!(rejected, []);
        appender.commit().unwrap();
    }
    db.do_upkeep().unwrap();
    let end = db.blocks().iter().map(|block| block.max_time_ms).max().unwrap();
    db.delete(i64::MIN, end - 1, &[vec![Matcher::equal("__name__", "mark")]]).unwrap();
    db.clean_tombstones().unwrap();
    let expected = our_dump(&db);
    let blocks: Vec<_> =
        db.blocks().iter().map(|block| (block.max_time_ms, block.samples_count)).collect();
    assert_eq!(blocks, [(end, 0)]);
    assert_eq!(their_dump(&peers, dir.path()), expected);
    db.close().unwrap();
    drop(db);
    let theirs = Prometheus::start(&peers, dir.path(), false);
    theirs.assert_nothing_repaired();
    theirs.stop();
    assert_eq!(their_dump(&peers, dir.path()), expected);
    assert_eq!(our_dump(&open(dir.path(), Options::default())), expected);
}
