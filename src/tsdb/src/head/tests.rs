//! The head without a disk worth the name: what is accepted, what is seen, what is logged.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use prom_model::{Exemplar, Labels};
use prom_storage::{
    Appender, Columns, ExemplarSample, FloatSample, Rejected, Rejection, SeriesHandle, SeriesRef,
    TimeRange,
};
use prom_telemetry::Registry;
use prom_testkit::FaultyDisk;

use crate::{Options, disk::Disk, wal::Wal};

use super::Head;

mod budgets;
mod histograms;
mod truncate;

const ALL: TimeRange = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };

pub(crate) fn open_head() -> Arc<Head> {
    let options = Options::default();
    let head = Head::new(&options, &Registry::default());
    let disk = FaultyDisk::default();
    disk.create_dir_all(Path::new("/wal")).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(disk);
    head.set_wal(Wal::new(disk, Path::new("/wal"), &options, None, head.wal_metrics().clone()));
    head
}

fn labels(number: usize) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("n", number.to_string().as_str())])
}

fn series(head: &Arc<Head>, number: usize) -> SeriesHandle {
    head.appender().series(&labels(number)).unwrap()
}

fn sample(series: SeriesHandle, t: i64, v: f64) -> FloatSample {
    FloatSample { series, timestamp_ms: t, value: v }
}

/// Commits samples; gives the reasons why some were refused.
fn commit(head: &Arc<Head>, samples: &[FloatSample]) -> Vec<(usize, Rejection)> {
    let mut appender = Box::new(head.appender());
    let mut rejected = Vec::new();
    appender.append(samples, &mut rejected);
    appender.commit().unwrap();
    rejected.into_iter().map(|Rejected { index, reason }| (index, reason)).collect()
}

fn read(head: &Arc<Head>, series: SeriesHandle, range: TimeRange) -> Vec<(i64, u64)> {
    let mut columns = Columns::default();
    head.read(&head.enter(), series, range, &mut columns).unwrap();
    let bits = columns.values.iter().map(|v| v.to_bits());
    columns.timestamps_ms.iter().copied().zip(bits).collect()
}

#[test]
fn an_exemplar_makes_no_series() {
    let options = Options { exemplars_count_max: 10, ..Options::default() };
    let head = Head::new(&options, &Registry::default());
    let check = |with_sample: bool, expected: &[Rejected]| {
        let mut appender = Box::new(head.appender());
        let series = appender.series(&labels(0)).unwrap();
        let mut rejected = Vec::new();
        if with_sample {
            appender.append(&[sample(series, 1, 1.0)], &mut rejected);
        }
        let exemplar = Exemplar { labels: Labels::empty(), value: 1.0, timestamp_ms: 1 };
        appender.append_exemplars(&[ExemplarSample { series, exemplar }], &mut rejected);
        assert_eq!(rejected, expected);
        drop(appender);
    };
    check(false, &[Rejected { index: 0, reason: Rejection::UnknownSeries }]);
    check(true, &[]);
    check(false, &[Rejected { index: 0, reason: Rejection::UnknownSeries }]);
}

#[test]
fn samples_are_refused_for_the_reasons_of_prometheus() {
    use Rejection::{DuplicateTimestamp, OutOfBounds, OutOfOrder, UnknownSeries};
    const HOUR: i64 = 3_600_000;
    let head = open_head();
    let [a, b] = [0, 1].map(|number| series(&head, number));
    let check = |samples: &[(SeriesHandle, i64, f64)], expected: &[(usize, Rejection)]| {
        let samples: Vec<_> = samples.iter().map(|(s, t, v)| sample(*s, *t, *v)).collect();
        assert_eq!(commit(&head, &samples), expected, "{samples:?}");
    };
    check(&[(a, 10 * HOUR, 1.0)], &[]);
    // The same again is nothing; bits are compared, not values.
    check(&[(a, 10 * HOUR, 1.0)], &[]);
    check(&[(a, 10 * HOUR, 2.0)], &[(0, DuplicateTimestamp)]);
    check(&[(b, 10 * HOUR, 0.0)], &[]);
    check(&[(b, 10 * HOUR, -0.0)], &[(0, DuplicateTimestamp)]);
    check(&[(a, 10 * HOUR - 1, 1.0)], &[(0, OutOfOrder)]);
    // Half a chunk range behind the newest sample of the head is the end.
    let c = series(&head, 2);
    check(&[(c, 9 * HOUR - 1, 1.0)], &[(0, OutOfBounds)]);
    check(&[(c, 9 * HOUR, 1.0)], &[]);
    check(&[(a, 9 * HOUR - 1, 1.0)], &[(0, OutOfBounds)]);
    check(&[(a, i64::MIN, 1.0)], &[(0, OutOfBounds)]);
    // Within a batch, in a row and not.
    let t = 11 * HOUR;
    check(
        &[(a, t, 1.0), (a, t, 1.0), (a, t, 2.0), (a, t - 1, 1.0), (a, t + 1, 1.0)],
        &[(2, DuplicateTimestamp), (3, OutOfOrder)],
    );
    check(
        &[(b, t, 1.0), (c, t, 1.0), (b, t, 2.0), (c, t + 5, 1.0), (b, t + 5, 3.0), (c, t + 4, 1.0)],
        &[(2, DuplicateTimestamp), (5, OutOfOrder)],
    );
    let stale = SeriesHandle { series_ref: SeriesRef(77), ..a };
    let nowhere = SeriesHandle { slot: 4_000_000_000, ..a };
    check(&[(stale, t + 9, 1.0), (nowhere, t + 9, 1.0)], &[(0, UnknownSeries), (1, UnknownSeries)]);
    // What was refused left no trace.
    let times = |series| read(&head, series, ALL).iter().map(|s| s.0).collect::<Vec<_>>();
    assert_eq!(times(a), [10 * HOUR, t, t + 1]);
    assert_eq!(times(b), [10 * HOUR, t, t + 5]);
    assert_eq!(times(c), [9 * HOUR, t, t + 5]);
    assert_eq!(head.time_bounds(), (9 * HOUR, t + 5));
}

#[test]
fn an_empty_head_begins_with_the_first_sample_whatever_its_time() {
    for t in [i64::MIN + 1, -5, 0, 1_700_000_000_000, i64::MAX] {
        let head = open_head();
        let a = series(&head, 0);
        assert_eq!(commit(&head, &[sample(a, t, 1.0)]), []);
        assert_eq!(read(&head, a, ALL), [(t, 1.0f64.to_bits())]);
    }
}

#[test]
fn chunks_are_read_in_order_and_only_within_the_range() {
    let head = open_head();
    let a = series(&head, 0);
    let all: Vec<(i64, f64)> = (0..2000).map(|n| (n * 15_000, (n % 7) as f64)).collect();
    for part in all.chunks(100) {
        let part: Vec<_> = part.iter().map(|(t, v)| sample(a, *t, *v)).collect();
        assert_eq!(commit(&head, &part), []);
    }
    assert_eq!(head.chunks_count(), 2000_u64.div_ceil(120));
    for (mint_ms, maxt_ms) in [
        (i64::MIN, i64::MAX),
        (0, 0),
        (1, 14_999),
        (15_000 * 119, 15_000 * 120),
        (15_000 * 500, 15_000 * 1500),
        (15_000 * 1999, i64::MAX),
        (15_000 * 2000, i64::MAX),
        (5, -5),
    ] {
        let expected: Vec<_> = all
            .iter()
            .filter(|(t, _)| (mint_ms..=maxt_ms).contains(t))
            .map(|(t, v)| (*t, v.to_bits()))
            .collect();
        assert_eq!(read(&head, a, TimeRange { mint_ms, maxt_ms }), expected);
    }
}

#[test]
fn a_reader_keeps_its_view_across_chunks() {
    let head = open_head();
    let a = series(&head, 0);
    let mut tickets = vec![(head.enter(), 0)];
    for n in 0..700 {
        assert_eq!(commit(&head, &[sample(a, n * 15_000, n as f64)]), []);
        if n % 50 == 0 {
            tickets.push((head.enter(), n as usize + 1));
        }
    }
    for (ticket, expected) in tickets {
        let mut columns = Columns::default();
        head.read(&ticket, a, ALL, &mut columns).unwrap();
        assert_eq!(columns.len(), expected);
    }
}

#[test]
fn a_batch_is_seen_as_a_whole_or_not_at_all() {
    const SERIES: usize = 3_000;
    let head = open_head();
    let handles: Vec<_> = (0..SERIES).map(|number| series(&head, number)).collect();
    let is_done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (head, handles) = (Arc::clone(&head), handles.clone());
            let is_done = Arc::clone(&is_done);
            thread::spawn(move || {
                let mut columns = Columns::default();
                let mut views = 0;
                while !is_done.load(Ordering::Relaxed) || views == 0 {
                    let ticket = head.enter();
                    let mut last = None;
                    for handle in handles.iter().step_by(97) {
                        columns.clear();
                        head.read(&ticket, *handle, ALL, &mut columns).unwrap();
                        let seen = columns.timestamps_ms.last().copied();
                        assert_eq!(*last.get_or_insert(seen), seen);
                    }
                    views += 1;
                }
            })
        })
        .collect();
    for t in 0..150 {
        let batch: Vec<_> = handles.iter().map(|handle| sample(*handle, t, t as f64)).collect();
        assert_eq!(commit(&head, &batch), []);
    }
    is_done.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

#[test]
fn a_dropped_batch_leaves_no_sample() {
    let head = open_head();
    let a = series(&head, 0);
    let mut appender = head.appender();
    appender.append(&[sample(a, 1, 1.0)], &mut Vec::new());
    drop(appender);
    assert_eq!(read(&head, a, ALL), []);
    assert_eq!(commit(&head, &[sample(a, 1, 2.0)]), []);
    assert_eq!(read(&head, a, ALL), [(1, 2.0f64.to_bits())]);
}

#[test]
fn a_sample_that_was_overtaken_is_dropped() {
    let head = open_head();
    let a = series(&head, 0);
    let mut slow = Box::new(head.appender());
    let mut rejected = Vec::new();
    slow.append(&[sample(a, 5, 1.0)], &mut rejected);
    assert!(rejected.is_empty());
    assert_eq!(commit(&head, &[sample(a, 5, 2.0)]), []);
    slow.commit().unwrap();
    assert_eq!(read(&head, a, ALL), [(5, 2.0f64.to_bits())]);
}

#[test]
fn the_same_labels_are_one_series_whoever_makes_them() {
    let head = open_head();
    let refs: Vec<Vec<SeriesHandle>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let head = Arc::clone(&head);
                scope.spawn(move || (0..500).map(|number| series(&head, number)).collect())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(refs.iter().all(|others| *others == refs[0]));
    assert_eq!(head.index().count(), 500);
}

#[test]
fn staleness_is_counted() {
    let head = open_head();
    let [a, b] = [0, 1].map(|number| series(&head, number));
    let stale = prom_model::stale_nan();
    commit(&head, &[sample(a, 1, stale), sample(b, 1, 1.0)]);
    assert_eq!(head.stale_count.load(Ordering::Relaxed), 1);
    commit(&head, &[sample(a, 2, stale), sample(b, 2, stale)]);
    assert_eq!(head.stale_count.load(Ordering::Relaxed), 2);
    commit(&head, &[sample(a, 3, 0.0)]);
    assert_eq!(head.stale_count.load(Ordering::Relaxed), 1);
}
