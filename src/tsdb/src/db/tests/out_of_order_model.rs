//! Random operations with late samples on a database and on a map, with failing writes, compactions, crashes
//! and reopening: both say the same at every step.

use std::sync::Arc;

use prom_storage::{Appendable, FloatSample, Rejection};
use prom_testkit::{FaultyDisk, OpKind};
use proptest::prelude::*;

use crate::Options;

use super::{Content, Db, content, labels, options, try_open};

const BEGIN: i64 = 1_700_000_000_000;
const MINUTE_MS: i64 = 60_000;
const WINDOW_MS: i64 = 150 * MINUTE_MS;
const ENOSPC: i32 = 28;

#[derive(Clone, Debug)]
enum Op {
    /// Samples of series, times relative to the newest one of all.
    Commit {
        samples: Vec<(usize, i64)>,
        failing: Option<OpKind>,
    },
    Upkeep,
    Reopen,
    Kill,
}

fn any_op() -> impl Strategy<Value = Op> {
    let step = prop_oneof![
        6 => 0i64..20,
        5 => -60i64..0,
        3 => -200i64..0,
        1 => 0i64..100,
    ];
    let samples = prop::collection::vec((0usize..6, step), 0..20);
    let failing = prop_oneof![
        12 => Just(None),
        1 => Just(Some(OpKind::Write)),
        1 => Just(Some(OpKind::Create)),
    ];
    prop_oneof![
        14 => (samples, failing).prop_map(|(samples, failing)| Op::Commit { samples, failing }),
        1 => Just(Op::Upkeep),
        1 => Just(Op::Reopen),
        1 => Just(Op::Kill),
    ]
}

/// It follows from series and time, so that it does not matter which of two equal times is read.
fn value(number: usize, t: i64) -> f64 {
    (number as i64 * 1000 + t / 1000 % 977) as f64
}

#[derive(Default)]
struct Twin {
    content: Content,
    max_t: Option<i64>,
}

impl Twin {
    /// Offers samples to the database, which must take those within the window, and stores them if they are
    /// committed.
    fn offer(&mut self, db: &Db, samples: &[(usize, i64)]) {
        let newest = self.max_t.unwrap_or(BEGIN);
        let mut appender = db.appender();
        let Ok(batch) = samples
            .iter()
            .map(|(number, step)| {
                let timestamp_ms = newest + step * MINUTE_MS;
                let series = appender.series(&labels(*number))?;
                Ok(FloatSample { series, timestamp_ms, value: value(*number, timestamp_ms) })
            })
            .collect::<Result<Vec<_>, prom_storage::StorageError>>()
        else {
            return;
        };
        let Some(first) = batch.first() else { return };
        let oldest = self.max_t.unwrap_or(first.timestamp_ms) - WINDOW_MS;
        let mut rejected = Vec::new();
        appender.append(&batch, &mut rejected);
        let is_old = |index: &usize| batch[*index].timestamp_ms < oldest;
        let expected: Vec<_> = (0..batch.len()).filter(is_old).collect();
        assert_eq!(rejected.iter().map(|one| one.index).collect::<Vec<_>>(), expected);
        assert!(rejected.iter().all(|one| one.reason == Rejection::TooOld));
        if appender.commit().is_err() {
            return;
        }
        for ((number, _), sample) in samples.iter().zip(&batch) {
            let t = sample.timestamp_ms;
            if t >= oldest {
                self.max_t = self.max_t.max(Some(t));
                let of_series = self.content.entry(labels(*number)).or_default();
                of_series.insert(t, sample.value.to_bits());
            }
        }
    }
}

fn open(disk: &FaultyDisk) -> Arc<Db> {
    let options =
        Options { out_of_order_window_ms: WINDOW_MS, out_of_order_count_max: 5, ..options() };
    try_open(disk, &options).unwrap()
}

fn check(ops: Vec<Op>) {
    let mut disk = FaultyDisk::default();
    let mut db = open(&disk);
    let mut twin = Twin::default();
    for op in ops {
        match op {
            Op::Commit { samples, failing } => {
                if let Some(kind) = failing {
                    disk.fail_kind(kind, Some(ENOSPC));
                }
                twin.offer(&db, &samples);
                if let Some(kind) = failing {
                    disk.fail_kind(kind, None);
                }
            }
            Op::Upkeep => db.do_upkeep().unwrap(),
            Op::Reopen => {
                db.close().unwrap();
                disk = disk.durable_image();
                db = open(&disk);
            }
            Op::Kill => {
                disk = disk.live_image();
                db = open(&disk);
            }
        }
        assert_eq!(content(&db), twin.content);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn late_samples_are_where_the_map_has_them(ops in prop::collection::vec(any_op(), 0..40)) {
        check(ops);
    }
}
