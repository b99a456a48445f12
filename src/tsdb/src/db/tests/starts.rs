//! Zeros at the times since when series count: with the samples that tell them in one batch, in order or not at
//! all, seen again after a kill.

use std::sync::Arc;

use prom_model::{CounterResetHint, Histogram, HistogramValue, Span};
use prom_storage::{
    Appendable, Appender, FloatSample, HistogramSample, Queryable, SelectHints, SeriesStart,
};
use prom_telemetry::{MetricValue, Registry};

use super::*;

const HOUR_MS: i64 = 3_600_000;
const NOW: i64 = 1_700_000_400_000;

/// Counters of a kind, zero for none.
fn histogram(count: u64, counter_reset_hint: CounterResetHint) -> HistogramValue {
    let is_empty = count == 0;
    HistogramValue::Integer(Arc::new(Histogram {
        counter_reset_hint,
        schema: 3,
        zero_threshold: 0.125,
        count,
        positive_spans: if is_empty { [].into() } else { [Span { offset: 0, length: 1 }].into() },
        positive_buckets: if is_empty { Vec::new() } else { vec![count as i64] },
        ..Histogram::default()
    }))
}

/// One scrape: for each series since when it counts, and its value at `t`; series from 100 on are histograms.
fn scrape(db: &Db, t: i64, told: &[(usize, i64, u64)]) {
    let mut appender: Box<dyn Appender + '_> = db.appender();
    let (mut starts, mut floats, mut histograms) = (Vec::new(), Vec::new(), Vec::new());
    for (number, start_ms, count) in told {
        let series = appender.series(&labels(*number)).unwrap();
        let is_histogram = *number >= 100;
        let zero = is_histogram.then(|| histogram(0, CounterResetHint::CounterReset));
        starts.push(SeriesStart { series, start_ms: *start_ms, sample_ms: t, zero });
        if is_histogram {
            let histogram = histogram(*count, CounterResetHint::Unknown);
            histograms.push(HistogramSample { series, timestamp_ms: t, start_ms: 0, histogram });
        } else {
            floats.push(FloatSample { series, timestamp_ms: t, value: *count as f64 });
        }
    }
    let mut rejected = Vec::new();
    appender.append_start_zeros(&starts);
    appender.append(&floats, &mut rejected);
    appender.append_histograms(&histograms, &mut rejected);
    assert_eq!(rejected, []);
    appender.commit().unwrap();
}

/// Times, relative to `NOW`, and counts of a series.
fn seen(db: &Db, number: usize) -> Vec<(i64, f64)> {
    let querier = db.querier(ALL).unwrap();
    let hints = SelectHints { range: ALL, is_sorted: false, series_count_max: 0 };
    let no_matcher: [Matcher; 0] = [];
    let selection = querier.select(&no_matcher, &hints).unwrap();
    let index = (0..selection.len()).find(|index| selection.labels(*index) == labels(number));
    let mut columns = Columns::default();
    selection.read(index.unwrap(), ALL, &mut columns).unwrap();
    let floats = columns.timestamps_ms.iter().copied().zip(columns.values.iter().copied());
    let histograms = columns.histograms.iter();
    let histograms = histograms.map(|one| (one.timestamp_ms, one.histogram.to_float().count));
    let mut all: Vec<_> = floats.chain(histograms).map(|(t, count)| (t - NOW, count)).collect();
    all.sort_by_key(|(t, _)| *t);
    all
}

#[test]
fn zeros_go_before_their_samples_or_nowhere() {
    let disk = FaultyDisk::default();
    let window = Options { out_of_order_window_ms: 3 * HOUR_MS, ..options() };
    for options in [options(), window] {
        let db = try_open(&disk, &options).unwrap();
        let scrapes: [(i64, &[(usize, i64)]); 3] = [
            // Of its own batch; as old as a head takes; too old; at the sample; in the future.
            (0, &[(0, -1_000), (1, -HOUR_MS), (2, -HOUR_MS - 1), (3, 0), (4, 1)]),
            // Told again; anew; at the last sample; before it; what was in the future.
            (1_000, &[(0, -1_000), (1, 500), (2, 0), (3, -1), (4, 1)]),
            (2_000, &[(0, -1_000), (1, 500), (2, 0), (3, -1), (4, 1_001)]),
        ];
        for (t, told) in scrapes {
            let both = told.iter().flat_map(|(number, start)| {
                [(*number, NOW + start, 7), (number + 100, NOW + start, 7)]
            });
            scrape(&db, NOW + t, &both.collect::<Vec<_>>());
        }
        for (number, expected) in
            [(0, &[-1_000][..]), (1, &[-HOUR_MS, 500]), (2, &[]), (3, &[]), (4, &[1, 1_001])]
        {
            let samples = [0, 1_000, 2_000].map(|t| (t, 7.0));
            let mut expected: Vec<_> = expected.iter().map(|t| (*t, 0.0)).chain(samples).collect();
            expected.sort_by_key(|(t, _)| *t);
            assert_eq!(seen(&db, number), expected, "{number}");
            assert_eq!(seen(&db, number + 100), expected, "histogram {number}");
        }
        drop(db);
        disk.remove_dir_all(Path::new(DIR)).unwrap();
    }
}

#[test]
fn zeros_are_there_after_a_kill_and_are_counted_as_samples_only() {
    let disk = FaultyDisk::default();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let registry = Registry::default();
    let progress = |_| ControlFlow::Continue(());
    let on = Arc::new(disk.clone());
    let db = Db::open_on(on, Path::new(DIR), &options(), &registry, &progress, None).unwrap();
    for (t, start) in [(0, -500), (15_000, -500), (30_000, 20_000)] {
        let told: Vec<_> = (0..200).map(|number| (number, NOW + start, 5)).collect();
        scrape(&db, NOW + t, &told);
    }
    let expected = [(-500, 0.0), (0, 5.0), (15_000, 5.0), (20_000, 0.0), (30_000, 5.0)];
    let check = |db: &Db| {
        for number in 0..200 {
            assert_eq!(seen(db, number), expected, "{number}");
        }
    };
    check(&db);
    let families = registry.gather();
    let value = |name: &str, kind: &str| {
        let family = families.iter().find(|family| family.name == name).unwrap();
        let metrics = family.metrics.iter();
        let found = metrics.filter(|metric| metric.labels.iter().any(|(_, value)| value == kind));
        match found.map(|metric| &metric.value).collect::<Vec<_>>()[..] {
            [MetricValue::Number(value)] => *value,
            ref other => panic!("{name} {kind}: {other:?}"),
        }
    };
    for kind in ["float", "histogram"] {
        assert_eq!(value("prometheus_tsdb_head_samples_appended_total", kind), 500.0);
        assert_eq!(value("prometheus_tsdb_out_of_order_samples_total", kind), 0.0);
    }
    // Killed, and then closed as one should.
    let killed = open(&disk.live_image());
    check(&killed);
    killed.close().unwrap();
    drop(db);
}
