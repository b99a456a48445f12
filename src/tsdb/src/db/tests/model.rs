//! Random operations on a database and on a map, with failing writes, crashes and reopening: both say the
//! same at every step.

use std::{collections::BTreeMap, sync::Arc};

use prom_storage::{Appendable, FloatSample, Rejection};
use prom_testkit::{FaultyDisk, OpKind};
use proptest::prelude::*;

use super::{Content, Db, content, labels, open};

const HOUR_MS: i64 = 3_600_000;

#[derive(Clone, Debug)]
enum Op {
    /// Samples of series, times relative to the newest one of all.
    Commit {
        samples: Vec<(usize, i64, u8)>,
        is_failing: bool,
    },
    Rollback {
        samples: Vec<(usize, i64, u8)>,
    },
    Reopen,
    Kill,
}

#[derive(Default)]
struct Twin {
    content: Content,
    max_t: Option<i64>,
}

impl Twin {
    /// What the database must say to each sample, and what is stored if the commit succeeds.
    fn expect(&self, samples: &[(usize, i64, f64)]) -> (Vec<(usize, Rejection)>, Content) {
        let Some(first) = samples.first() else { return (Vec::new(), Content::new()) };
        let min_t = self.max_t.unwrap_or(first.1) - HOUR_MS;
        let (mut rejected, mut stored) = (Vec::new(), Content::new());
        let mut last: BTreeMap<usize, (i64, u64)> = BTreeMap::new();
        for (index, (number, t, v)) in samples.iter().enumerate() {
            let there = || {
                let (t, v) = self.content.get(&labels(*number))?.last_key_value()?;
                Some((*t, *v))
            };
            let before = last.get(number).copied().or_else(there);
            let bits = v.to_bits();
            match before {
                _ if *t < min_t => rejected.push((index, Rejection::OutOfBounds)),
                Some((last_t, _)) if *t < last_t => rejected.push((index, Rejection::OutOfOrder)),
                Some((last_t, last_v)) if *t == last_t => {
                    if bits != last_v {
                        rejected.push((index, Rejection::DuplicateTimestamp));
                    }
                }
                _ => {
                    last.insert(*number, (*t, bits));
                    stored.entry(labels(*number)).or_default().insert(*t, bits);
                }
            }
        }
        (rejected, stored)
    }

    fn store(&mut self, stored: Content) {
        for (labels, samples) in stored {
            self.max_t = self.max_t.max(samples.last_key_value().map(|(t, _)| *t));
            self.content.entry(labels).or_default().extend(samples);
        }
    }
}

fn any_samples() -> impl Strategy<Value = Vec<(usize, i64, u8)>> {
    let step = prop_oneof![
        6 => 0i64..60_000,
        2 => -30_000i64..0,
        1 => -3 * HOUR_MS..3 * HOUR_MS,
    ];
    prop::collection::vec((0usize..12, step, 0u8..3), 0..30)
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (any_samples(), prop::bool::weighted(0.1))
            .prop_map(|(samples, is_failing)| Op::Commit { samples, is_failing }),
        1 => any_samples().prop_map(|samples| Op::Rollback { samples }),
        1 => Just(Op::Reopen),
        1 => Just(Op::Kill),
    ]
}

/// Offers samples to both; gives what a commit would store.
fn offer(
    db: &Db,
    twin: &Twin,
    samples: &[(usize, i64, u8)],
    disk: Option<&FaultyDisk>,
) -> Option<Content> {
    let newest = twin.max_t.unwrap_or(1_700_000_000_000);
    let samples: Vec<_> =
        samples.iter().map(|(n, step, v)| (*n, newest + step, f64::from(*v))).collect();
    let (expected, stored) = twin.expect(&samples);
    let mut appender = db.appender();
    let batch: Vec<_> = samples
        .iter()
        .map(|(number, timestamp_ms, value)| FloatSample {
            series: appender.series(&labels(*number)).unwrap(),
            timestamp_ms: *timestamp_ms,
            value: *value,
        })
        .collect();
    let mut rejected = Vec::new();
    // In two parts, as callers may.
    let (front, back) = batch.split_at(batch.len() / 2);
    appender.append(front, &mut rejected);
    let count = rejected.len();
    appender.append(back, &mut rejected);
    for (position, one) in rejected.iter_mut().enumerate() {
        if position >= count {
            one.index += front.len();
        }
    }
    let told: Vec<_> = rejected.iter().map(|one| (one.index, one.reason)).collect();
    assert_eq!(told, expected);
    let disk = disk?;
    match appender.commit() {
        Ok(()) => Some(stored),
        Err(err) => {
            assert!(err.is_disk_full(), "{err}");
            assert!(disk.list(std::path::Path::new("/data")).is_ok());
            None
        }
    }
}

fn check(ops: Vec<Op>) {
    let mut disk = FaultyDisk::default();
    let mut db: Arc<Db> = open(&disk);
    let mut twin = Twin::default();
    for op in ops {
        match op {
            Op::Commit { samples, is_failing } => {
                if is_failing {
                    disk.fail_kind(OpKind::Write, Some(28));
                }
                let stored = offer(&db, &twin, &samples, Some(&disk));
                disk.fail_kind(OpKind::Write, None);
                if let Some(stored) = stored {
                    twin.store(stored);
                }
            }
            Op::Rollback { samples } => {
                offer(&db, &twin, &samples, None);
            }
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
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_database_is_the_map(ops in prop::collection::vec(any_op(), 0..30)) {
        check(ops);
    }
}
