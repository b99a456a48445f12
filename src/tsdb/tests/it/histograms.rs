//! Native histograms beside the installed Prometheus: it opens what we write, we open what it writes.

use std::sync::Arc;

use prom_model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Histogram, HistogramValue, Span,
    format_float_g,
};
use prom_storage::HistogramSample;
use prom_testkit::conformance;

use super::*;

/// Samples of one series as text: floats, and histograms as count, sum and the buckets that are not empty.
pub(super) type Texts = BTreeMap<String, Vec<(i64, String)>>;

fn text_of(value: &HistogramValue) -> String {
    let float = value.to_float();
    let zero = [float.zero_count];
    let all = float.negative_buckets.iter().rev().chain(&zero).chain(&float.positive_buckets);
    let buckets = all.filter(|count| **count != 0.0).map(|count| format_float_g(*count));
    let mut words = vec![format_float_g(float.count), format_float_g(float.sum)];
    words.extend(buckets);
    words.join(" ")
}

pub(super) fn our_texts(db: &Db) -> Texts {
    let hints = SelectHints { range: ALL, is_sorted: true, series_count_max: 0 };
    let no_matcher: [Matcher; 0] = [];
    let selection = db.querier(ALL).unwrap().select(&no_matcher, &hints).unwrap();
    let mut texts = Texts::new();
    let mut columns = Columns::default();
    for index in 0..selection.len() {
        columns.clear();
        selection.read(index, ALL, &mut columns).unwrap();
        let floats = columns.timestamps_ms.iter().zip(&columns.values);
        let mut samples: Vec<_> = floats.map(|(t, v)| (*t, format_float(*v))).collect();
        samples.extend(columns.histograms.iter().map(|p| (p.timestamp_ms, text_of(&p.histogram))));
        samples.sort();
        texts.insert(selection.labels(index).to_string(), samples);
    }
    texts
}

fn texts_of_dump(dump: &str) -> Texts {
    let mut texts = Texts::new();
    for line in dump.lines() {
        let (rest, t) = line.rsplit_once(' ').unwrap();
        let (labels, value) = match rest.split_once("} {count:") {
            None => {
                let (labels, value) = rest.rsplit_once(' ').unwrap();
                (labels.to_owned(), format_float(value.parse().unwrap()))
            }
            Some((labels, histogram)) => {
                let mut parts = histogram.trim_end_matches('}').split(", ");
                let mut words = vec![parts.next().unwrap(), &parts.next().unwrap()["sum:".len()..]];
                words.extend(parts.map(|bucket| bucket.rsplit_once(':').unwrap().1));
                (format!("{labels}}}"), words.join(" "))
            }
        };
        texts.entry(labels).or_default().push((t.parse().unwrap(), value));
    }
    texts
}

fn promtool_texts(peers: &Path, dir: &Path) -> Texts {
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
    texts_of_dump(&String::from_utf8(output.stdout).unwrap())
}

/// promtool 3.5 asks a series for floats, then for float histograms, then for integer ones, and loses the
/// samples that it asked in vain. All that it prints must be there, and little may be missing.
fn assert_dumped(ours: &Texts, theirs: &Texts) {
    assert!(!theirs.is_empty());
    for (labels, theirs) in theirs {
        let ours = ours.get(labels).unwrap_or_else(|| panic!("{labels} is missing"));
        for sample in theirs {
            assert!(ours.contains(sample), "{labels}: {sample:?} is missing");
        }
        // It stops where a series turns from histograms to floats.
        let turns =
            ours.iter().skip_while(|one| !one.1.contains(' ')).any(|one| !one.1.contains(' '));
        let is_complete = ours.len() <= theirs.len() + 2;
        assert!(is_complete || turns, "{labels}: {} and {}", ours.len(), theirs.len());
    }
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn the_log_of_a_killed_prometheus_gives_what_its_block_has() {
    let Some(golden) = conformance("golden_block") else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("wal")).unwrap();
    fs::copy(golden.join("wal/00000000"), dir.path().join("wal/00000000")).unwrap();
    let theirs = texts_of_dump(&fs::read_to_string(golden.join("dump.txt")).unwrap());
    let db = open(dir.path(), Options::default());
    assert_dumped(&our_texts(&db), &theirs);
}

/// Series of every kind, in steps of 15 s that end now.
pub(super) fn fill_histograms(db: &Db, rounds: i64) {
    let now_ms = clock::now_ms();
    for round in 0..rounds {
        let mut appender = db.appender();
        let timestamp_ms = now_ms - (rounds - round) * 15_000;
        let (mut samples, mut floats) = (Vec::new(), Vec::new());
        for number in 0..12 {
            let n = number.to_string();
            let labels = Labels::from_pairs([("__name__", "sizes"), ("n", n.as_str())]);
            let series = appender.series(&labels).unwrap();
            if number == 11 && round % 40 < 20 {
                floats.push(FloatSample { series, timestamp_ms, value: round as f64 });
                continue;
            }
            let histogram = value_of(number, round);
            samples.push(HistogramSample { series, timestamp_ms, start_ms: 0, histogram });
        }
        let mut rejected = Vec::new();
        appender.append(&floats, &mut rejected);
        appender.append_histograms(&samples, &mut rejected);
        assert_eq!(rejected, []);
        appender.commit().unwrap();
    }
}

fn value_of(number: i64, round: i64) -> HistogramValue {
    // Buckets come and go, and every hundredth round is a reset.
    let since = round % 100;
    let length = 1 + (since as u32 / 10 + number as u32) % 6;
    let counts: Vec<i64> = (0..i64::from(length)).map(|bucket| since * (bucket + 1)).collect();
    let mut before = 0;
    let buckets = counts.iter().map(|c| c - std::mem::replace(&mut before, *c)).collect();
    let is_custom = number % 4 == 1;
    let histogram = Histogram {
        counter_reset_hint: match number % 4 {
            2 => CounterResetHint::Gauge,
            _ => CounterResetHint::Unknown,
        },
        schema: if is_custom { CUSTOM_BUCKETS_SCHEMA } else { (number % 9) as i32 },
        zero_threshold: if is_custom { 0.0 } else { 0.001 },
        count: counts.iter().sum::<i64>() as u64,
        sum: since as f64 / 3.0,
        positive_spans: [Span { offset: 0, length }].into(),
        positive_buckets: buckets,
        custom_values: match is_custom {
            true => [0.1, 0.5, 1.0, 1.0 / 3.0 + 1.0, 5.0].into(),
            false => Arc::default(),
        },
        ..Histogram::default()
    };
    let histogram = if since == 99 { Histogram::stale() } else { histogram };
    match number % 3 {
        0 => HistogramValue::Integer(Arc::new(histogram)),
        _ => HistogramValue::Float(Arc::new(FloatHistogram { ..histogram.to_float() })),
    }
}

#[test]
fn prometheus_reads_the_histograms_that_we_write() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), Options::default());
    fill_histograms(&db, 400);
    let ours = our_texts(&db);
    assert_eq!(ours.values().map(Vec::len).sum::<usize>(), 12 * 400);
    db.close().unwrap();
    drop(db);
    // Started again from files and log, and from the log alone.
    assert_eq!(our_texts(&open(dir.path(), Options::default())), ours);
    let Some(peers) = peers() else { return };
    assert_dumped(&ours, &promtool_texts(&peers, dir.path()));
    fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
    assert_eq!(our_texts(&open(dir.path(), Options::default())), ours);
    fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
    assert_dumped(&ours, &promtool_texts(&peers, dir.path()));
}
