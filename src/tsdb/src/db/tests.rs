//! A whole database on a disk that fails: nothing that was acknowledged is lost, nothing else is claimed.

mod blocks;
mod chunk_snapshot;
mod compact;
mod crash;
mod delete;
mod early;
mod evicted;
mod gaps;
mod head_chunks;
mod kept_starts;
mod lives;
mod mend;
mod model;
mod opening;
mod out_of_order;
mod out_of_order_model;
mod retention;
mod room;
mod sidecar;
mod stale;
mod starts;
mod startup;
mod truncate;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::Path,
    sync::{Arc, OnceLock},
};

use prom_model::{Labels, Matcher};
use prom_storage::{
    Appendable, Columns, FloatSample, Queryable, Rejected, SelectHints, StorageError, TimeRange,
};
use prom_telemetry::Registry;
use prom_testkit::FaultyDisk;

use crate::{OpenError, Options};

use super::Db;

const ALL: TimeRange = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };
const DIR: &str = "/data";

/// All samples by labels, values as bits.
type Content = BTreeMap<Labels, BTreeMap<i64, u64>>;

fn options() -> Options {
    Options { wal_segment_size_bytes: 32 * 1024, ..Options::default() }
}

fn try_open(disk: &FaultyDisk, options: &Options) -> Result<Arc<Db>, OpenError> {
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let disk = Arc::new(disk.clone());
    let progress = |_| ControlFlow::Continue(());
    Db::open_on(disk, Path::new(DIR), options, &Registry::default(), &progress, None)
}

fn open(disk: &FaultyDisk) -> Arc<Db> {
    try_open(disk, &options()).unwrap()
}

fn labels(number: usize) -> Labels {
    static ALL: OnceLock<Vec<Labels>> = OnceLock::new();
    let make = |number: usize| {
        Labels::from_pairs([
            ("__name__", "metric"),
            ("instance", ["a:1", "b:2", "c:3"][number % 3]),
            ("n", number.to_string().as_str()),
        ])
    };
    ALL.get_or_init(|| (0..1000).map(make).collect())[number].clone()
}

/// Appends samples of numbered series; all must be accepted.
fn commit(db: &Db, samples: &[(usize, i64, f64)]) -> Result<(), StorageError> {
    let mut appender = db.appender();
    let mut batch = Vec::new();
    for (number, timestamp_ms, value) in samples {
        let series = appender.series(&labels(*number))?;
        batch.push(FloatSample { series, timestamp_ms: *timestamp_ms, value: *value });
    }
    let mut rejected: Vec<Rejected> = Vec::new();
    appender.append(&batch, &mut rejected);
    assert_eq!(rejected, []);
    appender.commit()
}

fn content(db: &Db) -> Content {
    let querier = db.querier(ALL).unwrap();
    let hints = SelectHints { range: ALL, is_sorted: false, series_count_max: 0 };
    let no_matcher: [Matcher; 0] = [];
    let selection = querier.select(&no_matcher, &hints).unwrap();
    let mut content = Content::new();
    let mut columns = Columns::default();
    for index in 0..selection.len() {
        columns.clear();
        selection.read(index, ALL, &mut columns).unwrap();
        let bits = columns.values.iter().map(|value| value.to_bits());
        let samples: BTreeMap<_, _> = columns.timestamps_ms.iter().copied().zip(bits).collect();
        assert_eq!(samples.len(), columns.len(), "a timestamp came twice");
        if !samples.is_empty() {
            assert!(content.insert(selection.labels(index), samples).is_none());
        }
    }
    content
}

fn insert(content: &mut Content, samples: &[(usize, i64, f64)]) {
    for (number, t, value) in samples {
        content.entry(labels(*number)).or_default().insert(*t, value.to_bits());
    }
}

/// Whether all of `part` is in `whole`.
fn is_within(part: &Content, whole: &Content) -> bool {
    part.iter().all(|(labels, samples)| {
        let there = whole.get(labels);
        samples.iter().all(|(t, v)| there.is_some_and(|there| there.get(t) == Some(v)))
    })
}

/// A few commits of about so many series: new ones come, old ones go on.
fn workload(rounds: usize, series: usize) -> Vec<Vec<(usize, i64, f64)>> {
    (0..rounds)
        .map(|round| {
            let numbers = (0..series + 5 * round).filter(|number| (number + round) % 7 != 0);
            let t = 1_700_000_000_000 + round as i64 * 15_000;
            numbers.map(|number| (number, t, (number * round) as f64 / 3.0)).collect()
        })
        .collect()
}
