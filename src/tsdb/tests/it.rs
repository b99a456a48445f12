//! Beside the installed Prometheus: it opens what we write, we open what it writes, both see the same
//! samples. Skipped, with a line that says so, where it is not installed.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test from end to end")]

#[path = "it/chunk_snapshot.rs"]
mod chunk_snapshot;
#[path = "it/churn.rs"]
mod churn;
#[path = "it/exemplars.rs"]
mod exemplars;
#[path = "it/histograms.rs"]
mod histograms;
#[path = "it/marks.rs"]
mod marks;
#[path = "it/room.rs"]
mod room;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use prom_model::{Labels, Matcher, format_float, stale_nan};
use prom_storage::{Appendable, Columns, FloatSample, Queryable, SelectHints, TimeRange};
use prom_telemetry::{Registry, clock};
use prom_testkit::{copy_tree, peer};
use prom_tsdb::{BlockInfo, Db, Options, WalCompression};

const ALL: TimeRange = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };
/// How long the other program may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// Bytes of log that a Prometheus writes before it is killed.
const LOG_SIZE_BYTES: u64 = 100_000;

/// Samples as `promtool tsdb dump` prints them, by series.
type Dump = BTreeMap<String, Vec<(i64, String)>>;

/// The folder of the installed binaries.
fn peers() -> Option<PathBuf> {
    let (server, promtool) = (peer("prometheus")?, peer("promtool")?);
    let folder = server.parent().expect("a program lies in a folder");
    assert_eq!(promtool.parent(), Some(folder), "both programs are of one installation");
    Some(folder.to_owned())
}

fn open(dir: &Path, options: Options) -> Arc<Db> {
    let progress = |_| ControlFlow::Continue(());
    Db::open(dir, options, &Registry::default(), &progress).unwrap()
}

fn our_dump(db: &Db) -> Dump {
    let hints = SelectHints { range: ALL, is_sorted: true, series_count_max: 0 };
    let no_matcher: [Matcher; 0] = [];
    let selection = db.querier(ALL).unwrap().select(&no_matcher, &hints).unwrap();
    let mut dump = Dump::new();
    let mut columns = Columns::default();
    for index in 0..selection.len() {
        columns.clear();
        selection.read(index, ALL, &mut columns).unwrap();
        let samples = columns.timestamps_ms.iter().zip(&columns.values);
        let samples: Vec<_> = samples.map(|(t, v)| (*t, format_float(*v))).collect();
        if !samples.is_empty() {
            dump.insert(selection.labels(index).to_string(), samples);
        }
    }
    dump
}

fn their_dump(peers: &Path, dir: &Path) -> Dump {
    let sandbox = tempfile::tempdir().unwrap();
    let output = Command::new(peers.join("promtool"))
        .args(["tsdb", "dump", "--sandbox-dir-root"])
        .arg(sandbox.path())
        .arg(dir)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(!errors.to_lowercase().contains("corrupt"), "{errors}");
    let mut dump = Dump::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (rest, t) = line.rsplit_once(' ').unwrap();
        let (labels, value) = rest.rsplit_once(' ').unwrap();
        let sample = (t.parse().unwrap(), format_float(value.parse().unwrap()));
        dump.entry(labels.to_owned()).or_default().push(sample);
    }
    dump
}

/// Some minutes of samples that end now, with odd values.
fn fill(db: &Db, rounds: i64) {
    let now_ms = clock::now_ms();
    let values = [0.0, -0.0, 1.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, stale_nan(), 1e-300];
    for round in 0..rounds {
        let mut appender = db.appender();
        let mut samples = Vec::new();
        for number in 0..200usize {
            let n = number.to_string();
            let name = ["up", "requests_total", "utf8.name"][number % 3];
            let labels = Labels::from_pairs([
                ("__name__", name),
                ("n", n.as_str()),
                ("path", "C:\\dir \"q\" \u{fc}"),
            ]);
            let value = match number % 4 {
                0 => values[(number + round as usize) % values.len()],
                1 => round as f64,
                2 => (round * number as i64) as f64 / 7.0,
                _ => 42.0,
            };
            let timestamp_ms = now_ms - (rounds - round) * 5_000 + (number % 3) as i64;
            samples.push(FloatSample {
                series: appender.series(&labels).unwrap(),
                timestamp_ms,
                value,
            });
        }
        let mut rejected = Vec::new();
        appender.append(&samples, &mut rejected);
        assert_eq!(rejected, []);
        appender.commit().unwrap();
    }
}

/// A running Prometheus; killed when dropped.
struct Prometheus {
    child: Child,
    lines: Vec<String>,
}

impl Prometheus {
    /// Starts it on a directory and waits until it is ready. It scrapes itself if asked.
    fn start(peers: &Path, dir: &Path, is_scraping: bool) -> Self {
        let config = |port: u16| match is_scraping {
            true => format!(
                "scrape_configs:\n- job_name: self\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n  \
                 static_configs:\n  - targets: ['127.0.0.1:{port}']\n"
            ),
            false => "global: {}\n".to_owned(),
        };
        Self::start_with(peers, dir, config, &[]).0
    }

    /// Likewise with a configuration, which is told the port, and more flags; gives the port, too.
    fn start_with(
        peers: &Path,
        dir: &Path,
        config_of: impl FnOnce(u16) -> String,
        flags: &[&str],
    ) -> (Self, u16) {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config_dir = tempfile::tempdir().unwrap();
        let config = config_dir.path().join("prometheus.yml");
        fs::write(&config, config_of(port)).unwrap();
        let mut child = Command::new(peers.join("prometheus"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(flags)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut reader = BufReader::new(child.stderr.take().unwrap());
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(reader.read_line(&mut line).unwrap() > 0, "it ended: {lines:#?}");
            let is_ready = line.contains("Server is ready");
            lines.push(line);
            if is_ready {
                break;
            }
        }
        // Nobody reads on, but its log must not block it.
        thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        (Self { child, lines }, port)
    }

    fn assert_nothing_repaired(&self) {
        // Each block is looked at by what would repair it.
        for line in self.lines.iter().filter(|line| !line.contains("Found healthy block")) {
            let lower = line.to_lowercase();
            let is_bad = ["corrupt", "repair", "unknown series", "level=error", "torn"]
                .iter()
                .any(|word| lower.contains(word));
            assert!(!is_bad, "{line}");
        }
    }

    /// SIGTERM.
    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if self.child.kill().is_ok() && self.child.wait().is_err() {
            println!("prometheus was gone already");
        }
    }
}

fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let begin = clock::monotonic();
    while !is_true() {
        assert!(begin.elapsed() < PATIENCE, "{what} did not happen");
        thread::sleep(POLL);
    }
}

fn copy_log(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("wal")).unwrap();
    for entry in fs::read_dir(from.join("wal")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join("wal").join(path.file_name().unwrap())).unwrap();
    }
}

fn head_chunks_size_bytes(dir: &Path) -> u64 {
    let files = fs::read_dir(dir.join("chunks_head")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

fn tear_last_segment(dir: &Path) {
    let segments = fs::read_dir(dir.join("wal")).unwrap();
    let last = segments.map(|entry| entry.unwrap().path()).max().unwrap();
    let file = fs::OpenOptions::new().write(true).open(&last).unwrap();
    file.set_len(file.metadata().unwrap().len() - 3).unwrap();
}

#[test]
fn prometheus_reads_what_we_write() {
    let Some(peers) = peers() else { return };
    for wal_compression in [WalCompression::None, WalCompression::Snappy, WalCompression::Zstd] {
        let options =
            Options { wal_compression, wal_segment_size_bytes: 64 << 10, ..Options::default() };
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), options.clone());
        fill(&db, 250);
        let expected = our_dump(&db);
        assert_eq!(expected.len(), 200);
        // As a killed process leaves it.
        let killed = tempfile::tempdir().unwrap();
        copy_log(dir.path(), killed.path());
        assert_eq!(their_dump(&peers, killed.path()), expected);
        // With the last write torn: we mend it, they find nothing to mend.
        tear_last_segment(killed.path());
        let mended = open(killed.path(), options.clone());
        let without_last = our_dump(&mended);
        assert_eq!(without_last.values().map(Vec::len).sum::<usize>(), 249 * 200);
        mended.close().unwrap();
        assert_eq!(their_dump(&peers, killed.path()), without_last);
        // After a clean end.
        db.close().unwrap();
        assert!(fs::read_dir(dir.path().join("wal")).unwrap().count() > 1);
        assert_eq!(their_dump(&peers, dir.path()), expected);
        // After a second life.
        let db = open(dir.path(), options);
        assert_eq!(our_dump(&db), expected);
        db.close().unwrap();
        assert_eq!(their_dump(&peers, dir.path()), expected);
    }
}

#[test]
fn prometheus_runs_on_our_directory_and_we_on_its() {
    let Some(peers) = peers() else { return };
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), Options::default());
    // Some chunks are full, and in files.
    fill(&db, 300);
    let expected = our_dump(&db);
    db.close().unwrap();
    drop(db);
    assert!(head_chunks_size_bytes(dir.path()) > 10_000);
    let theirs = Prometheus::start(&peers, dir.path(), false);
    theirs.assert_nothing_repaired();
    theirs.kill();
    assert_eq!(their_dump(&peers, dir.path()), expected);
    let db = open(dir.path(), Options::default());
    assert_eq!(our_dump(&db), expected);
    // And once more back: both wrote to the log by now.
    fill(&db, 1);
    let expected = our_dump(&db);
    db.close().unwrap();
    drop(db);
    let theirs = Prometheus::start(&peers, dir.path(), false);
    theirs.assert_nothing_repaired();
    theirs.stop();
    assert_eq!(their_dump(&peers, dir.path()), expected);
    // At a clean end it writes head chunks, too.
    let db = open(dir.path(), Options::default());
    assert_eq!(our_dump(&db), expected);
}

#[test]
fn we_read_what_a_killed_prometheus_leaves() {
    let Some(peers) = peers() else { return };
    let dir = tempfile::tempdir().unwrap();
    let theirs = Prometheus::start(&peers, dir.path(), true);
    let segment = dir.path().join("wal/00000000");
    eventually("its log grows", || {
        fs::metadata(&segment).is_ok_and(|data| data.len() > LOG_SIZE_BYTES)
    });
    theirs.kill();
    let expected = their_dump(&peers, dir.path());
    let db = open(dir.path(), Options::default());
    let found = our_dump(&db);
    assert!(found.len() > 300, "{} series", found.len());
    assert_eq!(found, expected);
    db.close().unwrap();
    assert_eq!(their_dump(&peers, dir.path()), expected);
}

/// Runs `promtool tsdb` and gives what it prints.
fn promtool(peers: &Path, args: &[&str], dir: &Path) -> String {
    let output =
        Command::new(peers.join("promtool")).arg("tsdb").args(args).arg(dir).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn prometheus_reads_the_blocks_we_make_and_we_those_it_makes_of_them() {
    let Some(peers) = peers() else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        min_block_duration_ms: 60_000,
        max_block_duration_ms: 180_000,
        ..Options::default()
    };
    let db = open(dir.path(), options.clone());
    fill(&db, 250);
    let expected = our_dump(&db);
    db.do_upkeep().unwrap();
    assert_eq!(our_dump(&db), expected);
    let snapshot = dir.path().join("snapshots").join(db.snapshot(true).unwrap());
    let blocks = db.blocks();
    let is_merged = |block: &BlockInfo| block.max_time_ms - block.min_time_ms > 60_000;
    assert!(blocks.len() > 5 && blocks.iter().any(is_merged), "{blocks:?}");
    assert_eq!(their_dump(&peers, dir.path()), expected);
    // Their tool does not look at a directory without a log.
    fs::create_dir(snapshot.join("wal")).unwrap();
    assert_eq!(their_dump(&peers, &snapshot), expected);
    let list = promtool(&peers, &["list"], dir.path());
    for block in &blocks {
        let line = list.lines().find(|line| line.starts_with(&block.id)).unwrap();
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(fields[1], block.min_time_ms.to_string());
        assert_eq!(fields[2], block.max_time_ms.to_string());
        assert_eq!(fields[4], block.samples_count.to_string());
        assert_eq!(fields[5], block.chunks_count.to_string());
        assert_eq!(fields[6], block.series_count.to_string());
        assert_eq!(fields[7], block.size_bytes.to_string());
    }
    let analysis = promtool(&peers, &["analyze"], dir.path());
    assert!(analysis.contains("Total Series: 200"), "{analysis}");
    // Deleted on our side, marked for theirs.
    db.delete(i64::MIN, i64::MAX, &[vec![Matcher::equal("n", "7")]]).unwrap();
    let expected = our_dump(&db);
    assert_eq!(expected.len(), 199);
    db.close().unwrap();
    drop(db);
    assert_eq!(their_dump(&peers, dir.path()), expected);
    let theirs = Prometheus::start(&peers, dir.path(), false);
    theirs.assert_nothing_repaired();
    theirs.stop();
    assert_eq!(their_dump(&peers, dir.path()), expected);
    let db = open(dir.path(), options);
    assert_eq!(our_dump(&db), expected);
}
