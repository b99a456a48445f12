//! Truncation: what is old goes, what is new stays, nobody is surprised.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    block::{BlockSource, SourceChunk, SourceSeries},
    select::HeadExport,
};

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

type Twin = BTreeMap<usize, BTreeMap<i64, u64>>;

/// Three hours of samples, one a minute. Series with even numbers end after the first hour.
fn fill(head: &Arc<Head>, series_count: usize) -> (Vec<SeriesHandle>, Twin) {
    let handles: Vec<_> = (0..series_count).map(|number| series(head, number)).collect();
    let mut twin = Twin::new();
    for t in (0..3 * HOUR).step_by(MINUTE as usize) {
        let numbers = (0..series_count).filter(|number| number % 2 == 1 || t < HOUR);
        let batch: Vec<_> =
            numbers.map(|number| (number, (t / MINUTE * number as i64) as f64)).collect();
        let samples: Vec<_> = batch.iter().map(|(n, v)| sample(handles[*n], t, *v)).collect();
        assert_eq!(commit(head, &samples), []);
        for (number, v) in batch {
            twin.entry(number).or_default().insert(t, v.to_bits());
        }
    }
    (handles, twin)
}

/// The samples of an export, clipped to its range as a block's writer does.
fn export(head: &Arc<Head>, min_t: i64, max_t: i64) -> BTreeMap<Labels, BTreeMap<i64, u64>> {
    let mut export = HeadExport::new(head, min_t, max_t);
    let mut found = BTreeMap::new();
    let mut before = None;
    for_each_exported(&mut export, |labels, chunk, data| {
        if before.as_ref() != Some(&labels) {
            assert!(before.replace(labels.clone()).is_none_or(|before| before < labels));
        }
        let samples: &mut BTreeMap<i64, u64> = found.entry(labels).or_default();
        let mut times = Vec::new();
        crate::chunk::for_each_sample(data, usize::MAX, |t, v| {
            times.push(t);
            if (min_t..max_t).contains(&t) {
                assert!(samples.insert(t, v).is_none());
            }
            true
        })
        .unwrap();
        assert_eq!((times.first(), times.last()), (Some(&chunk.min_t), Some(&chunk.max_t)));
    });
    found.retain(|_, samples| !samples.is_empty());
    found
}

fn for_each_exported(export: &mut HeadExport, mut each: impl FnMut(Labels, &SourceChunk, &[u8])) {
    let mut symbols: Vec<String> = Vec::new();
    export
        .symbols(&mut |text| {
            assert!(symbols.last().is_none_or(|before| before.as_str() < text));
            symbols.push(text.to_owned());
            Ok(())
        })
        .unwrap();
    let mut series = SourceSeries::default();
    while export.next_series(&mut series).unwrap() {
        let text = |place: u32| symbols[place as usize].as_str();
        let pairs = series.labels.iter().map(|(name, value)| (text(*name), text(*value)));
        let labels = Labels::from_sorted(pairs);
        for chunk in &series.chunks {
            each(labels.clone(), chunk, series.bytes_of(chunk));
        }
    }
}

fn expected(twin: &Twin, min_t: i64, max_t: i64) -> BTreeMap<Labels, BTreeMap<i64, u64>> {
    let cut = |samples: &BTreeMap<i64, u64>| -> BTreeMap<i64, u64> {
        samples.range(min_t..max_t).map(|(t, v)| (*t, *v)).collect()
    };
    let all = twin.iter().map(|(number, samples)| (labels(*number), cut(samples)));
    all.filter(|(_, samples)| !samples.is_empty()).collect()
}

#[test]
fn an_export_has_the_samples_of_its_range_and_no_others() {
    let head = open_head();
    let (_, twin) = fill(&head, 40);
    for (min_t, max_t) in [
        (0, 2 * HOUR),
        (0, 3 * HOUR),
        (i64::MIN, i64::MAX),
        (7 * MINUTE + 1, 50 * MINUTE),
        (2 * HOUR, 2 * HOUR + 1),
        (9 * HOUR, 10 * HOUR),
        (5, 5),
    ] {
        assert_eq!(export(&head, min_t, max_t), expected(&twin, min_t, max_t), "{min_t} {max_t}");
    }
    assert_eq!(HeadExport::new(&head, 2 * HOUR, 3 * HOUR).len(), 20);
}

#[test]
fn truncation_takes_old_chunks_and_series_without_any() {
    let head = open_head();
    let (handles, twin) = fill(&head, 2500);
    let chunks_before = head.chunks_count();
    let removed = head.truncate(2 * HOUR).unwrap();
    assert_eq!(removed.series_count, 1250);
    assert!(removed.chunks_count >= 1250 * 2);
    assert_eq!(head.chunks_count(), chunks_before - removed.chunks_count);
    assert_eq!(head.index().count(), 1250);
    assert_eq!(head.time_bounds(), (2 * HOUR, 3 * HOUR - MINUTE));
    let mut all_left = expected(&twin, 2 * HOUR, i64::MAX);
    for (number, handle) in handles.iter().enumerate() {
        let left = all_left.remove(&labels(number)).unwrap_or_default();
        assert_eq!(read(&head, *handle, ALL), left.into_iter().collect::<Vec<_>>());
    }
    assert_eq!(export(&head, 0, i64::MAX), expected(&twin, 2 * HOUR, i64::MAX));
    // Older samples are refused now, and handles to what is gone are known to be stale.
    let late = [sample(handles[1], 2 * HOUR - 1, 0.0), sample(handles[2], 3 * HOUR, 0.0)];
    let reasons = [(0, Rejection::OutOfBounds), (1, Rejection::UnknownSeries)];
    assert_eq!(commit(&head, &late), reasons);
    // A series that comes back has another ref, in a slot that was free.
    let again = series(&head, 2);
    assert_ne!(again.series_ref, handles[2].series_ref);
    assert!((again.slot as usize) < handles.len());
    assert_eq!(commit(&head, &[sample(again, 3 * HOUR, 7.0)]), []);
    assert_eq!(read(&head, again, ALL), [(3 * HOUR, 7.0f64.to_bits())]);
    assert_eq!(read(&head, handles[2], ALL), []);
    // Nothing happens twice.
    assert_eq!(head.truncate(2 * HOUR).unwrap(), crate::head::truncate::Removed::default());
}

#[test]
fn a_head_is_due_for_a_block_when_it_holds_more_than_the_block() {
    let head = open_head();
    let a = series(&head, 0);
    assert_eq!(head.compactable_range(), None);
    for (t, expected) in
        [(HOUR + 5, None), (4 * HOUR + 5, None), (4 * HOUR + 6, Some((HOUR + 5, 2 * HOUR)))]
    {
        assert_eq!(commit(&head, &[sample(a, t, 1.0)]), []);
        assert_eq!(head.compactable_range(), expected, "{t}");
    }
    head.truncate(2 * HOUR).unwrap();
    assert_eq!(head.compactable_range(), None);
    head.set_min_valid_time(3 * HOUR + 10);
    assert_eq!(commit(&head, &[sample(a, 3 * HOUR + 9, 1.0)]), [(0, Rejection::OutOfBounds)]);
}

#[test]
fn a_series_stays_while_somebody_may_write_to_it() {
    let head = open_head();
    let (handles, _) = fill(&head, 4);
    // Marked, but nobody has collected it: another appender asks for it by its labels.
    assert_eq!(head.truncate_groups(2 * HOUR).doomed_count, 2);
    let late = |handle| [sample(handle, 3 * HOUR, 1.0)];
    assert_eq!(commit(&head, &late(handles[0])), [(0, Rejection::UnknownSeries)]);
    assert_eq!(series(&head, 0), handles[0]);
    assert_eq!(commit(&head, &late(handles[0])), []);
    // Another one had a sample underway before the mark.
    let mut early = Box::new(head.appender());
    let mut rejected = Vec::new();
    assert_eq!(early.series(&labels(2)).unwrap(), handles[2]);
    early.append(&late(handles[2]), &mut rejected);
    assert_eq!(rejected, []);
    assert!(!head.writers.wait_for_present(Duration::ZERO));
    assert_eq!(head.truncate_groups(2 * HOUR).doomed_count, 1);
    early.commit().unwrap();
    assert_eq!(head.collect_doomed().unwrap(), 0);
    assert_eq!(read(&head, handles[2], ALL), [(3 * HOUR, 1.0f64.to_bits())]);
    assert_eq!(head.index().count(), 4);
}

#[test]
fn readers_of_old_samples_are_waited_for() {
    let head = open_head();
    let (handles, twin) = fill(&head, 10);
    let early = head.enter();
    assert!(!head.readers.raise_floor(2 * HOUR, Duration::ZERO));
    // A reader that comes now sees nothing old, whether it is gone yet or not.
    let late = head.enter();
    let times = |ticket: &crate::head::ReaderTicket| {
        let mut columns = Columns::default();
        head.read(ticket, handles[1], ALL, &mut columns).unwrap();
        columns.timestamps_ms
    };
    assert_eq!(times(&early), twin[&1].keys().copied().collect::<Vec<_>>());
    assert_eq!(times(&late)[0], 2 * HOUR);
    thread::scope(|scope| {
        let truncation = scope.spawn(|| head.truncate(2 * HOUR).unwrap());
        assert_eq!(times(&early).len(), 180);
        drop(early);
        assert_eq!(truncation.join().unwrap().series_count, 5);
    });
    assert_eq!(times(&late)[0], 2 * HOUR);
}

#[test]
fn readers_and_writers_go_on_while_the_head_is_truncated() {
    const SERIES: usize = 2_000;
    const STEP: i64 = 5 * MINUTE;
    let head = open_head();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut views = 0;
                    while !is_done.load(Ordering::Relaxed) || views == 0 {
                        let mut export = HeadExport::new(&head, i64::MIN, i64::MAX);
                        // Every value tells its series.
                        for_each_exported(&mut export, |labels, _, data| {
                            let own: usize = labels.get("n").unwrap().parse().unwrap();
                            crate::chunk::for_each_sample(data, usize::MAX, |_, v| {
                                assert_eq!(f64::from_bits(v), own as f64);
                                true
                            })
                            .unwrap();
                        });
                        views += 1;
                    }
                })
            })
            .collect();
        // Each round has another half of the series.
        for round in 0..60 {
            let t = round * STEP;
            let numbers = (0..SERIES / 2).map(|n| n + (round as usize % 20) * 100);
            let batch: Vec<_> = numbers.map(|n| sample(series(&head, n), t, n as f64)).collect();
            assert_eq!(commit(&head, &batch), []);
            if round % 10 == 9 {
                head.truncate(t - HOUR / 2).unwrap();
            }
        }
        is_done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    assert!(head.metrics.series_removed.get() > 0.0);
}
