//! Selections against a list of all series that is searched from one end to the other.

use std::{path::Path, sync::Arc};

use prom_model::{Histogram, HistogramValue, Labels, MatchOp, Matcher};
use prom_storage::{
    Appender, Columns, FloatSample, Grouping, HistogramSample, LabelHints, Querier, SelectHints,
    Selection, StorageError, TimeRange, group_by_labels,
};
use prom_telemetry::Registry;
use prom_testkit::FaultyDisk;
use proptest::prelude::*;

use crate::{Options, disk::Disk, head::Head, wal::Wal};

use super::HeadQuerier;

const ALL: TimeRange = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };

/// A head with a sample at its number's time in each series.
fn head_of(sets: &[Labels]) -> Arc<Head> {
    let options = Options::default();
    let head = Head::new(&options, &Registry::default());
    let disk = FaultyDisk::default();
    disk.create_dir_all(Path::new("/wal")).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(disk);
    head.set_wal(Wal::new(disk, Path::new("/wal"), &options, None, head.wal_metrics().clone()));
    let mut appender = Box::new(head.appender());
    let sample = |(number, labels): (usize, &Labels)| FloatSample {
        series: appender.series(labels).unwrap(),
        timestamp_ms: number as i64,
        value: number as f64,
    };
    let samples: Vec<_> = sets.iter().enumerate().map(sample).collect();
    let mut rejected = Vec::new();
    appender.append(&samples, &mut rejected);
    assert_eq!(rejected, []);
    appender.commit().unwrap();
    head
}

fn sets() -> Vec<Labels> {
    let mut sets = Vec::new();
    for n in 0..120usize {
        let number = n.to_string();
        let mut pairs = vec![
            ("__name__", ["up", "http_requests_total", "go_info"][n % 3]),
            ("job", ["api", "node", "", "db"][n % 4]),
            ("n", number.as_str()),
        ];
        if n % 5 == 0 {
            pairs.push(("zone", ["eu", "us", "a\nb"][n % 7 % 3]));
        }
        sets.push(Labels::from_pairs(pairs));
    }
    sets
}

fn select(head: &Arc<Head>, matchers: &[Matcher], range: TimeRange) -> Box<dyn Selection> {
    let hints = SelectHints { range, is_sorted: true, series_count_max: 0 };
    HeadQuerier::new(head, ALL).select(matchers, &hints).unwrap()
}

#[test]
fn a_search_ends_when_nobody_waits() {
    let sets: Vec<Labels> = (0..5000)
        .map(|n| Labels::from_pairs([("__name__", "x"), ("n", format!("{n}").as_str())]))
        .collect();
    let head = head_of(&sets);
    let querier = HeadQuerier::new(&head, ALL);
    let hints = SelectHints { range: ALL, is_sorted: false, series_count_max: 0 };
    let check = |matchers: &[Matcher], questions_max: u32, expected: Option<usize>| {
        let questions = std::cell::Cell::new(0);
        let goes_on = || {
            questions.set(questions.get() + 1);
            questions.get() <= questions_max
        };
        let found = querier.select_while(matchers, &hints, &goes_on);
        match expected {
            Some(count) => assert_eq!(found.unwrap().len(), count),
            None => {
                assert!(matches!(found, Err(StorageError::Canceled)));
                assert_eq!(questions.get(), questions_max + 1);
            }
        }
    };
    let name = Matcher::equal("__name__", "x");
    let regex = |text: &str| Matcher::new("n", MatchOp::Regex, text).unwrap();
    for matchers in [vec![regex(".*7.+")], vec![name.clone(), regex(".*7.+")]] {
        check(&matchers, 0, None);
        check(&matchers, 3, None);
        check(&matchers, 1000, Some(950));
    }
    check(&[name], 0, Some(5000));
}

#[test]
fn it_is_known_who_has_histograms() {
    let sets = sets();
    let head = head_of(&sets);
    let up = [Matcher::equal("__name__", "up")];
    assert!(!select(&head, &[], ALL).may_have_histograms());
    let mut appender = Box::new(head.appender());
    let series = appender.series(&sets[0]).unwrap();
    let histogram = HistogramValue::Integer(Arc::new(Histogram::default()));
    let sample = HistogramSample { series, timestamp_ms: 1000, start_ms: 0, histogram };
    let mut rejected = Vec::new();
    appender.append_histograms(&[sample], &mut rejected);
    assert_eq!(rejected, []);
    appender.commit().unwrap();
    assert!(select(&head, &up, ALL).may_have_histograms());
    let others = [Matcher::equal("__name__", "go_info")];
    assert!(!select(&head, &others, ALL).may_have_histograms());
    // The chunk is closed by a float.
    let mut appender = Box::new(head.appender());
    let sample = FloatSample { series, timestamp_ms: 2000, value: 1.0 };
    appender.append(&[sample], &mut rejected);
    appender.commit().unwrap();
    assert!(select(&head, &up, ALL).may_have_histograms());
    assert!(!select(&head, &others, ALL).may_have_histograms());
}

fn labels_of(selection: &dyn Selection) -> Vec<Labels> {
    (0..selection.len()).map(|index| selection.labels(index)).collect()
}

fn is_match(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()))
}

fn matcher(name: &str, op: &str, value: &str) -> Matcher {
    let op = match op {
        "=" => MatchOp::Equal,
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        _ => MatchOp::NotRegex,
    };
    Matcher::new(name, op, value).unwrap()
}

const NAMES: [&str; 5] = ["__name__", "job", "n", "zone", "missing"];
const VALUES: [&str; 18] = [
    "",
    "up",
    "api",
    "7",
    "eu",
    "nothing",
    ".*",
    ".+",
    "a.*",
    "up|go_info",
    "api|db|",
    "1.",
    "[0-5]+",
    "e?u?",
    "(?i)EU",
    "a.b",
    "http_.*",
    "^$",
];

#[test]
fn matchers_select_what_a_full_search_selects() {
    let sets = sets();
    let head = head_of(&sets);
    let check = |matchers: &[Matcher]| {
        let mut expected: Vec<Labels> =
            sets.iter().filter(|labels| is_match(labels, matchers)).cloned().collect();
        expected.sort();
        assert_eq!(labels_of(&*select(&head, matchers, ALL)), expected, "{matchers:?}");
    };
    check(&[]);
    for name in NAMES {
        for op in ["=", "!=", "=~", "!~"] {
            for value in VALUES {
                let one = matcher(name, op, value);
                check(std::slice::from_ref(&one));
                for (name, op, value) in [
                    ("__name__", "=", "up"),
                    ("zone", "!=", ""),
                    ("n", "=~", "1.*"),
                    ("job", "!~", "a.*"),
                ] {
                    check(&[matcher(name, op, value), one.clone()]);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn many_matchers_select_what_a_full_search_selects(
        chosen in prop::collection::vec((0..NAMES.len(), 0usize..4, 0..VALUES.len()), 0..6)
    ) {
        let sets = sets();
        let head = head_of(&sets);
        let ops = ["=", "!=", "=~", "!~"];
        let matchers: Vec<_> =
            chosen.into_iter().map(|(n, op, v)| matcher(NAMES[n], ops[op], VALUES[v])).collect();
        let mut expected: Vec<Labels> =
            sets.iter().filter(|labels| is_match(labels, &matchers)).cloned().collect();
        expected.sort();
        prop_assert_eq!(labels_of(&*select(&head, &matchers, ALL)), expected);
    }
}

#[test]
fn only_series_with_samples_in_range_are_selected() {
    let sets = sets();
    let head = head_of(&sets);
    for (mint_ms, maxt_ms) in [(0, 0), (10, 19), (119, 500), (120, 500), (-9, -1), (5, 4)] {
        let range = TimeRange { mint_ms, maxt_ms };
        let is_within = |number: &usize| (mint_ms..=maxt_ms).contains(&(*number as i64));
        let mut expected: Vec<_> =
            (0..sets.len()).filter(is_within).map(|n| sets[n].clone()).collect();
        expected.sort();
        assert_eq!(labels_of(&*select(&head, &[], range)), expected);
    }
}

#[test]
fn samples_are_read_as_of_the_querier() {
    let sets = sets();
    let head = head_of(&sets);
    let querier = HeadQuerier::new(&head, TimeRange { mint_ms: 0, maxt_ms: 1000 });
    let mut appender = Box::new(head.appender());
    let series = appender.series(&sets[5]).unwrap();
    appender.append(&[FloatSample { series, timestamp_ms: 500, value: 1.0 }], &mut Vec::new());
    appender.commit().unwrap();
    let hints = SelectHints { range: ALL, is_sorted: false, series_count_max: 0 };
    let wanted = [matcher("n", "=", "5")];
    let mut columns = Columns::default();
    querier.select(&wanted, &hints).unwrap().read(0, ALL, &mut columns).unwrap();
    assert_eq!(columns.timestamps_ms, [5]);
    columns.clear();
    select(&head, &wanted, ALL).read(0, ALL, &mut columns).unwrap();
    assert_eq!(columns.timestamps_ms, [5, 500]);
    // The querier's own range holds, whatever is asked for.
    columns.clear();
    let narrow = HeadQuerier::new(&head, TimeRange { mint_ms: 6, maxt_ms: 1000 });
    narrow.select(&wanted, &hints).unwrap().read(0, ALL, &mut columns).unwrap();
    assert_eq!(columns.timestamps_ms, [500]);
}

#[test]
fn the_newest_sample_is_the_last_of_all() {
    let sets = sets();
    let head = head_of(&sets);
    let early = HeadQuerier::new(&head, ALL);
    let mut appender = Box::new(head.appender());
    let handles: Vec<_> = sets.iter().map(|labels| appender.series(labels).unwrap()).collect();
    for (number, series) in handles.iter().enumerate().filter(|(number, _)| number % 3 > 0) {
        // Some series go on, some of them to a second chunk, some end with a staleness marker.
        for step in 1..(number as i64 % 7 * 50) {
            let value = if step == 49 { f64::from_bits(prom_model::STALE_NAN_BITS) } else { 2.0 };
            let timestamp_ms = 500 + step * 10;
            let sample = FloatSample { series: *series, timestamp_ms, value };
            appender.append(&[sample], &mut Vec::new());
        }
    }
    appender.commit().unwrap();
    let middle = HeadQuerier::new(&head, TimeRange { mint_ms: 3, maxt_ms: 1_200 });
    head.delete(&handles[30..60], TimeRange { mint_ms: 900, maxt_ms: 2_000 }).unwrap();
    let late = HeadQuerier::new(&head, ALL);
    let hints = SelectHints { range: ALL, is_sorted: false, series_count_max: 0 };
    for querier in [early, middle, late] {
        let selection = querier.select(&[], &hints).unwrap();
        for index in 0..selection.len() {
            for (mint_ms, maxt_ms) in [(0, 5_000), (0, 900), (0, 60), (990, 990), (600, 2_000)] {
                let range = TimeRange { mint_ms, maxt_ms };
                let (mut all, mut newest) = (Columns::default(), Columns::default());
                selection.read(index, range, &mut all).unwrap();
                selection.read_newest(index, range, &mut newest).unwrap();
                assert_eq!(newest.timestamps_ms.last(), all.timestamps_ms.last(), "{range:?}");
                let bits = |columns: &Columns| columns.values.last().map(|value| value.to_bits());
                assert_eq!(bits(&newest), bits(&all), "{range:?}");
            }
        }
    }
}

#[test]
fn groups_are_those_of_the_labels() {
    let sets = sets();
    let head = head_of(&sets);
    let selection = select(&head, &[], ALL);
    for names in [&[][..], &["job"], &["zone", "job"], &["missing"], &["__name__", "n"]] {
        for grouping in [Grouping::By(names), Grouping::Without(names)] {
            let found = selection.group(&grouping);
            let expected = group_by_labels(labels_of(&*selection).into_iter(), &grouping);
            assert_eq!(found.of_series, expected.of_series, "{grouping:?}");
            assert_eq!(found.labels, expected.labels, "{grouping:?}");
            if let Grouping::Without(names) = grouping {
                let all_differ = expected.labels.len() == selection.len();
                assert_eq!(selection.differ_without(names), all_differ, "{names:?}");
            }
        }
    }
}

#[test]
fn names_and_values_are_sorted_and_limited() {
    let sets = sets();
    let head = head_of(&sets);
    let querier = HeadQuerier::new(&head, ALL);
    let all = LabelHints::default();
    let check = |matchers: &[Matcher]| {
        let found = || sets.iter().filter(|labels| is_match(labels, matchers));
        let sorted = |mut texts: Vec<String>| {
            texts.sort();
            texts.dedup();
            texts
        };
        let names = found().flat_map(|labels| labels.iter()).map(|(n, _)| n.to_owned()).collect();
        assert_eq!(querier.label_names(matchers, &all).unwrap(), sorted(names));
        for name in NAMES {
            let values = found().filter_map(|l| l.get(name)).map(str::to_owned).collect();
            let expected = sorted(values);
            assert_eq!(querier.label_values(name, matchers, &all).unwrap(), expected);
            let two = LabelHints { count_max: 2 };
            let limited = querier.label_values(name, matchers, &two).unwrap();
            assert_eq!(limited, expected[..expected.len().min(2)]);
        }
    };
    check(&[]);
    check(&[matcher("job", "=", "api")]);
    check(&[matcher("zone", "!=", ""), matcher("n", "!~", "1.*")]);
    check(&[matcher("job", "=", "nothing")]);
    // Nothing in range, nothing listed.
    let before = HeadQuerier::new(&head, TimeRange { mint_ms: -10, maxt_ms: -1 });
    assert_eq!(before.label_names(&[], &all).unwrap(), [""; 0]);
    assert_eq!(before.label_values("job", &[], &all).unwrap(), [""; 0]);
}

#[test]
fn statistics_name_the_largest() {
    let head = head_of(&sets());
    let stats = head.stats(2);
    assert_eq!((stats.head.series_count, stats.head.chunks_count), (120, 120));
    assert_eq!((stats.head.min_time_ms, stats.head.max_time_ms), (0, 119));
    let entries = |list: &[crate::StatEntry]| {
        list.iter().map(|e| format!("{} {}", e.name, e.value)).collect::<Vec<_>>()
    };
    assert_eq!(
        entries(&stats.series_count_by_metric_name),
        ["go_info 40", "http_requests_total 40"]
    );
    assert_eq!(entries(&stats.label_value_count_by_label_name), ["n 120", "__name__ 3"]);
    assert_eq!(
        entries(&stats.series_count_by_label_value_pair),
        ["__name__=go_info 40", "__name__=http_requests_total 40"]
    );
    // __name__: 9 bytes and up, http_requests_total, go_info with a length byte each, 40 times.
    assert_eq!(
        entries(&stats.memory_in_bytes_by_label_name)[0],
        format!("__name__ {}", 40 * (9 * 3 + 3 + 20 + 8))
    );
    assert_eq!(stats.head.label_pairs_count, 120 + 3 + 3 + 3);
}
