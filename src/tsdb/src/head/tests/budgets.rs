//! Limits of series: who is refused, who goes on, what is counted.

use prom_model::Labels;
use prom_storage::{Appender, StorageError};
use prom_telemetry::Registry;

use crate::{Options, SeriesLimits, StatEntry, head::Head};

fn labels(name: &str, job: &str, number: usize) -> Labels {
    let number = number.to_string();
    Labels::from_pairs([("__name__", name), ("job", job), ("n", number.as_str())])
}

/// Creates series in turn; tells the texts of refusals.
fn check(
    limits: SeriesLimits,
    series: &[(&str, &str, usize)],
    expected: &[(usize, &str)],
) -> Vec<StatEntry> {
    let options = Options { series_limits: limits, ..Options::default() };
    let head = Head::new(&options, &Registry::default());
    let mut refused = Vec::new();
    for (at, (name, job, number)) in series.iter().enumerate() {
        match head.appender().series(&labels(name, job, *number)) {
            Ok(_) => {}
            Err(StorageError::SeriesLimit(reason)) => refused.push((at, reason)),
            Err(err) => panic!("{err}"),
        }
    }
    let refused: Vec<_> = refused.iter().map(|(at, reason)| (*at, reason.as_str())).collect();
    assert_eq!(refused, expected, "{limits:?}");
    // Labels of refused series are not kept.
    for (at, _) in expected {
        let (_, _, number) = series[*at];
        let index = head.index();
        assert!(index.dictionary().read().find_pair("n", &number.to_string()).is_none(), "{at}");
    }
    head.stats(10).series_refused_by_limit
}

#[test]
fn each_limit_refuses_new_series_only() {
    let none = SeriesLimits::default();
    let series = [
        ("up", "a", 1),
        ("up", "b", 2),
        ("up", "a", 1),
        ("up", "a", 3),
        ("down", "a", 4),
        ("up", "b", 2),
    ];
    assert_eq!(check(none, &series, &[]), []);
    let total = SeriesLimits { total: 2, ..none };
    let reason = "series limit reached: there are 2 series";
    let counted = check(total, &series, &[(3, reason), (4, reason)]);
    assert_eq!(counted, [StatEntry { name: "total".to_owned(), value: 2 }]);
    let per_job = SeriesLimits { per_job: 1, ..none };
    let reason = "series limit reached: job \"a\" has 1 series";
    let counted = check(per_job, &series, &[(3, reason), (4, reason)]);
    assert_eq!(counted, [StatEntry { name: "job=a".to_owned(), value: 2 }]);
    let per_metric = SeriesLimits { per_metric: 2, ..none };
    let reason = "series limit reached: metric \"up\" has 2 series";
    let counted = check(per_metric, &series, &[(3, reason)]);
    assert_eq!(counted, [StatEntry { name: "metric=up".to_owned(), value: 1 }]);
}

#[test]
fn names_that_are_counted_are_bounded() {
    let names: Vec<String> = (0..150).map(|number| format!("m{number:03}")).collect();
    let series: Vec<_> =
        names.iter().flat_map(|name| [(&**name, "a", 0), (&**name, "b", 1)]).collect();
    let limits = SeriesLimits { per_metric: 1, ..SeriesLimits::default() };
    let options = Options { series_limits: limits, ..Options::default() };
    let registry = Registry::default();
    let head = Head::new(&options, &registry);
    let refused = series
        .iter()
        .filter(|(name, job, number)| head.appender().series(&labels(name, job, *number)).is_err());
    assert_eq!(refused.count(), 150);
    let counted = head.stats(10).series_refused_by_limit;
    assert_eq!(counted.len(), 101);
    assert_eq!(counted[0], StatEntry { name: "metric=(others)".to_owned(), value: 50 });
    let families = registry.gather();
    let family = families.iter().find(|f| f.name == "prometheus_tsdb_head_series_refused_total");
    assert_eq!(family.unwrap().metrics.len(), 101);
}
