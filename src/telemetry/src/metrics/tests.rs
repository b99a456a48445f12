//! Tests of the registry and its instruments.

use super::*;

fn names(registry: &Registry) -> Vec<String> {
    registry.gather().into_iter().map(|family| family.name).collect()
}

#[test]
fn counters_add_whole_and_fractional_parts() {
    let counter = Registry::default().counter("c_total", "");
    counter.inc();
    counter.inc_by(3);
    counter.add(0.5);
    counter.add(2.0);
    counter.add(1e19);
    assert_eq!(counter.get(), 6.5 + 1e19);
}

#[test]
fn gathering_sorts_families_metrics_and_labels() {
    let registry = Registry::default();
    registry.gauge("b", "").set(1.0);
    registry.gauge_fn("a", "help", || 7.0);
    registry.counter_vec("empty", "", &["x"]);
    let vector = registry.counter_vec("c_total", "", &["z", "y"]);
    vector.with(&["2", "1"]).inc();
    vector.with(&["1", "2"]).inc();
    vector.with(&["1", "1"]).inc();
    assert_eq!(names(&registry), ["a", "b", "c_total"]);
    let families = registry.gather();
    let labels: Vec<String> =
        families[2].metrics.iter().map(|metric| format!("{:?}", metric.labels)).collect();
    let expected = [
        r#"[("y", "1"), ("z", "1")]"#,
        r#"[("y", "1"), ("z", "2")]"#,
        r#"[("y", "2"), ("z", "1")]"#,
    ];
    assert_eq!(labels, expected);
    assert_eq!(families[0].metrics[0].value, MetricValue::Number(7.0));
    assert_eq!((families[0].help.as_str(), families[0].kind), ("help", MetricKind::Gauge));
}

#[test]
fn same_name_is_the_same_instrument() {
    let registry = Registry::default();
    registry.counter("c_total", "").inc();
    registry.clone().counter("c_total", "").inc();
    assert_eq!(registry.counter("c_total", "").get(), 2.0);
    registry.gauge_fn("g", "", || 1.0);
    registry.gauge_fn("g", "", || 2.0);
    assert_eq!(registry.gather()[1].metrics[0].value, MetricValue::Number(2.0));
}

#[test]
fn same_name_with_another_kind_is_refused() {
    let attempts: [fn(&Registry); 4] = [
        |registry| drop(registry.gauge("c_total", "")),
        |registry| drop(registry.counter_vec("c_total", "", &["x"])),
        |registry| registry.counter_fn("c_total", "", || 1.0),
        |registry| registry.gauge_fn("f", "", || 1.0),
    ];
    for attempt in attempts {
        let registry = Registry::default();
        registry.counter("c_total", "");
        registry.counter_fn("f", "", || 1.0);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| attempt(&registry)));
        assert!(outcome.is_err());
        // The registry stays usable.
        registry.counter("c_total", "").inc();
    }
}

#[test]
fn histograms_count_by_upper_bound() {
    let registry = Registry::default();
    let histogram = registry.histogram("h", "", &[1.0, 2.0, f64::INFINITY]);
    for value in [0.5, 1.0, 1.5, 2.0, 3.0] {
        histogram.observe(value);
    }
    let expected = HistogramValue { buckets: vec![(1.0, 2), (2.0, 4)], count: 5, sum: 8.0 };
    assert_eq!(registry.gather()[0].metrics[0].value, MetricValue::Histogram(expected));
    histogram.observe(f64::NAN);
    assert_eq!(histogram.value().count, 6);
    assert_eq!(histogram.value().buckets, [(1.0, 2), (2.0, 4)]);
    assert_eq!(exponential_buckets(1.0, 2.0, 4), [1.0, 2.0, 4.0, 8.0]);
    assert_eq!(linear_buckets(1.0, 2.0, 3), [1.0, 3.0, 5.0]);
}

#[test]
fn summaries_tell_nan_until_something_is_observed() {
    let registry = Registry::default();
    let summary = registry.summary_vec("s", "", &[0.5, 0.9], &["slice"]).with(&["queue_time"]);
    let read = || match &registry.gather()[0].metrics[0].value {
        MetricValue::Summary(value) => value.clone(),
        other => panic!("not a summary: {other:?}"),
    };
    assert!(read().quantiles.iter().all(|(_, value)| value.is_nan()));
    summary.observe(4.0);
    let expected = SummaryValue { quantiles: vec![(0.5, 4.0), (0.9, 4.0)], count: 1, sum: 4.0 };
    assert_eq!(read(), expected);
}

#[test]
fn vectors_forget_on_request() {
    let registry = Registry::default();
    let vector = registry.gauge_vec("g", "", &["pool", "x"]);
    for (pool, x) in [("a", "1"), ("a", "2"), ("b", "1")] {
        vector.with(&[pool, x]).set(1.0);
    }
    assert!(vector.remove(&["b", "1"]));
    assert!(!vector.remove(&["b", "1"]));
    assert_eq!(registry.gather()[0].metrics.len(), 2);
    vector.retain(|values| values[0] != "a");
    assert!(registry.gather().is_empty());
}

#[test]
fn collected_families_join_registered_ones() {
    let registry = Registry::default();
    registry.gauge_vec("g", "", &["x"]).with(&["2"]).set(2.0);
    registry.collect_fn(|families| {
        let mut family = MetricFamily::new("g", "", MetricKind::Gauge);
        family.push(&[("x", "1")], 1.0);
        families.push(family);
    });
    let families = registry.gather();
    assert_eq!(families.len(), 1);
    assert_eq!(families[0].metrics[0].labels[0].1, "1");
}

#[test]
fn process_metrics_are_read_from_the_kernel() {
    let registry = Registry::default();
    register_process_metrics(&registry);
    let expected = [
        "process_cpu_seconds_total",
        "process_max_fds",
        "process_network_receive_bytes_total",
        "process_network_transmit_bytes_total",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
        "process_virtual_memory_max_bytes",
    ];
    assert_eq!(names(&registry), expected);
    let value = |name: &str| match registry.gather().iter().find(|f| f.name == name) {
        Some(MetricFamily { metrics, .. }) => match metrics[0].value {
            MetricValue::Number(number) => number,
            _ => panic!("not a number"),
        },
        None => panic!("{name} is missing"),
    };
    let now_seconds = crate::clock::now_ms() as f64 / 1e3;
    let age_seconds = now_seconds - value("process_start_time_seconds");
    assert!((-2.0..86_400.0).contains(&age_seconds), "started {age_seconds} s ago");
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_resident_memory_bytes") > 100_000.0);
}
