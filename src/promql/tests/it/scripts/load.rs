//! `load` and `load_with_nhcb`: lines of series into a store.

use std::{collections::BTreeMap, sync::Arc};

use prom_model::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Labels, LabelsBuilder, METRIC_NAME, Span, is_stale,
    parse_float,
};
use prom_promql::{SeriesDescription, parse_series_description};

use super::{
    compare::{Point, described_points},
    language::duration_ms,
    store::{ScriptStore, Value},
};

/// What a line of starts ends its series with.
const START_MARK: &str = "@st";

/// Stores the series of a block; of those that come twice the last counts.
pub(super) fn load(store: &mut dyn ScriptStore, step_ms: i64, lines: &[String], converts: bool) {
    let mut described: Vec<(SeriesDescription, Vec<i64>)> = Vec::new();
    let mut starts: Option<Vec<i64>> = None;
    for line in lines {
        if let Some((_, offsets)) = line.split_once(&format!("{START_MARK} ")) {
            starts = Some(start_offsets(offsets));
            continue;
        }
        let series = parse_series_description(line).unwrap_or_else(|err| panic!("{line}: {err:?}"));
        described.retain(|(known, _)| known.labels != series.labels);
        described.push((series, starts.take().unwrap_or_default()));
    }
    let mut classic = BTreeMap::new();
    for (series, starts) in &described {
        let points = described_points(series);
        for (index, point) in points.iter().enumerate() {
            let time_ms = index as i64 * step_ms;
            let start_ms = starts.get(index).map_or(0, |offset_ms| match offset_ms {
                &UNKNOWN => 0,
                offset_ms => time_ms + offset_ms,
            });
            match point {
                None => {}
                Some(Point::Float(value)) => {
                    store.push(&series.labels, time_ms, Value::Float(*value), start_ms);
                    if converts {
                        collect(&mut classic, &series.labels, time_ms, *value);
                    }
                }
                Some(Point::Histogram { histogram, .. }) => {
                    let value = Value::Histogram((**histogram).clone());
                    store.push(&series.labels, time_ms, value, start_ms);
                }
            }
        }
    }
    for ((labels, time_ms), parts) in classic {
        if let Some(histogram) = parts.convert() {
            store.push(&labels, time_ms, Value::Histogram(histogram), 0);
        }
    }
}

/// Stands for a start that is not known.
const UNKNOWN: i64 = i64::MIN;

/// `_x2 -30s -1s-1mx2`: when counters began, relative to their samples.
fn start_offsets(text: &str) -> Vec<i64> {
    let mut offsets = Vec::new();
    for item in text.split_whitespace() {
        let (item, times) = match item.rsplit_once('x') {
            Some((item, times)) => (item, times.parse().expect("a count")),
            None => (item, 0),
        };
        if item == "_" {
            offsets.extend((0..times.max(1)).map(|_| UNKNOWN));
            continue;
        }
        let sign = item[1..].find(['+', '-']).map(|at| at + 1);
        let (first, delta) = item.split_at(sign.unwrap_or(item.len()));
        let delta_ms = if delta.is_empty() { 0 } else { offset_ms(delta) };
        let first_ms = offset_ms(first);
        offsets.extend((0..=times).map(|index: i64| first_ms + index * delta_ms));
    }
    offsets
}

fn offset_ms(text: &str) -> i64 {
    match text.strip_prefix('+').unwrap_or(text) {
        "0" => 0,
        text => duration_ms(text),
    }
}

/// What is known of a classic histogram at one time.
#[derive(Debug, Default)]
struct Parts {
    /// Cumulative counts by upper bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

type Classic = BTreeMap<(Labels, i64), Parts>;

fn collect(classic: &mut Classic, labels: &Labels, time_ms: i64, value: f64) {
    let name = labels.metric_name();
    let part = |suffix: &str| name.strip_suffix(suffix).map(str::to_owned);
    let base = |name: &str| {
        let mut builder = LabelsBuilder::from_labels(labels);
        builder.set(METRIC_NAME, name);
        builder.remove("le");
        (builder.build(), time_ms)
    };
    if let Some(name) = part("_bucket") {
        let bound = parse_float(labels.get("le").unwrap_or_default());
        if let Some(bound) = bound.filter(|bound| !bound.is_nan()) {
            classic.entry(base(&name)).or_default().buckets.push((bound, value));
        }
    } else if let Some(name) = part("_count") {
        classic.entry(base(&name)).or_default().count = Some(value);
    } else if let Some(name) = part("_sum") {
        classic.entry(base(&name)).or_default().sum = value;
    }
}

impl Parts {
    /// A native histogram of the same buckets; nothing if they are none.
    fn convert(mut self) -> Option<FloatHistogram> {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.buckets.dedup_by_key(|bucket| bucket.0);
        let highest = self.buckets.last().copied();
        let count = self.count.or(highest.map(|(_, count)| count))?;
        if highest.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let mut histogram = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: Arc::new([Span { offset: 0, length: self.buckets.len() as u32 }]),
            ..FloatHistogram::default()
        };
        let mut before = 0.0;
        for (_, cumulative) in &self.buckets {
            if is_stale(*cumulative) || *cumulative < before {
                return None;
            }
            histogram.positive_buckets.push(cumulative - before);
            before = *cumulative;
        }
        let bounds = self.buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite());
        histogram.custom_values = bounds.collect();
        histogram.compact();
        Some(histogram)
    }
}
