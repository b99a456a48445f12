//! Whether an answer is the expected one.

use std::collections::BTreeMap;

use prom_model::{FloatHistogram, HistogramBucket, Labels, Sample, is_stale};
use prom_promql::{HistogramSample, Series, SeriesDescription, SeriesItem, Value};

/// A sample of either kind, as expected or found.
#[derive(Clone, Debug)]
pub(super) enum Point {
    Float(f64),
    Histogram {
        histogram: Box<FloatHistogram>,
        /// Whether the hint is compared.
        has_hint: bool,
    },
}

impl Point {
    pub(super) fn found(histogram: &FloatHistogram) -> Self {
        Self::Histogram { histogram: Box::new(histogram.clone()), has_hint: true }
    }

    /// Whether this, being expected, is what was found.
    fn admits(&self, found: &Self) -> bool {
        match (self, found) {
            (Self::Float(wanted), Self::Float(found)) => almost_equal(*wanted, *found),
            (
                Self::Histogram { histogram: wanted, has_hint },
                Self::Histogram { histogram: found, .. },
            ) => {
                almost_equal_histograms(wanted, found)
                    && (!has_hint || wanted.counter_reset_hint == found.counter_reset_hint)
            }
            _ => false,
        }
    }
}

/// Equal but for rounding, empty buckets left out.
fn almost_equal_histograms(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    let totals = [(a.count, b.count), (a.sum, b.sum), (a.zero_count, b.zero_count)];
    let (mut a, mut b) = (a.clone(), b.clone());
    a.compact();
    b.compact();
    let same_buckets = |a: Vec<HistogramBucket>, b: Vec<HistogramBucket>| {
        a.len() == b.len()
            && a.iter().zip(&b).all(|(a, b)| a.upper == b.upper && almost_equal(a.count, b.count))
    };
    a.schema == b.schema
        && a.custom_values == b.custom_values
        && a.zero_threshold == b.zero_threshold
        && totals.iter().all(|(a, b)| almost_equal(*a, *b))
        && same_buckets(a.positive_iter().collect(), b.positive_iter().collect())
        && same_buckets(a.negative_iter().collect(), b.negative_iter().collect())
}

/// Equal, both markers, both other NaN, or nearly equal.
pub(super) fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, diff) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < 1e-6 * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < 1e-6
}

/// Points of a series: one for each step, none where omitted.
pub(super) fn described_points(series: &SeriesDescription) -> Vec<Option<Point>> {
    let mut points = Vec::new();
    for item in &series.items {
        let has_hint = item.has_reset_hint();
        match item {
            SeriesItem::Omitted { count } => points.extend((0..*count).map(|_| None)),
            _ => {
                points.extend(item.floats().map(|value| Some(Point::Float(value))));
                points.extend(item.histograms().map(|histogram| {
                    let histogram = Box::new(histogram.expect("histograms of one kind"));
                    Some(Point::Histogram { histogram, has_hint })
                }));
            }
        }
    }
    points
}

/// Compares the values of one instant, in order if that is asked for.
pub(super) fn check_vector(
    found: &[(Labels, Point)],
    expected: &[SeriesDescription],
    is_ordered: bool,
) -> Result<(), String> {
    let mut wanted = Vec::new();
    for series in expected {
        match &described_points(series)[..] {
            [Some(point)] => wanted.push((series.labels.clone(), point.clone())),
            _ => return Err("an instant query expects one value a series".to_owned()),
        }
    }
    let mut found = found.to_vec();
    if !is_ordered {
        found.sort_by(|a, b| a.0.cmp(&b.0));
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let equal = found.len() == wanted.len()
        && found.iter().zip(&wanted).all(|(a, b)| a.0 == b.0 && b.1.admits(&a.1));
    if equal { Ok(()) } else { Err(format!("found {found:?}, expected {wanted:?}")) }
}

/// Compares a matrix whose points are expected at `start + i * step`.
pub(super) fn check_matrix(
    found: &[Series],
    expected: &[SeriesDescription],
    (start_ms, end_ms, step_ms): (i64, i64, i64),
) -> Result<(), String> {
    if !found.is_sorted_by(|a, b| a.labels < b.labels) {
        return Err("the matrix is not sorted".to_owned());
    }
    let found: BTreeMap<&Labels, Vec<(i64, Point)>> =
        found.iter().map(|series| (&series.labels, points_of(series))).collect();
    let mut count = 0;
    for series in expected {
        let points = described_points(series);
        let last = (end_ms - start_ms) / step_ms;
        if points.len() as i64 > last + 1 {
            return Err("more points than steps are expected".to_owned());
        }
        let wanted: Vec<(i64, Point)> = points
            .into_iter()
            .enumerate()
            .filter_map(|(index, point)| Some((start_ms + index as i64 * step_ms, point?)))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        count += 1;
        let points = found.get(&series.labels).map(Vec::as_slice).unwrap_or_default();
        let equal = points.len() == wanted.len()
            && points.iter().zip(&wanted).all(|(a, b)| a.0 == b.0 && b.1.admits(&a.1));
        if !equal {
            return Err(format!("{}: found {points:?}, expected {wanted:?}", series.labels));
        }
    }
    if found.len() == count {
        Ok(())
    } else {
        Err(format!("found {} series, expected {count}: {:?}", found.len(), found.keys()))
    }
}

/// The values of an instant vector.
pub(super) fn vector_of(value: &Value) -> Option<Vec<(Labels, Point)>> {
    let Value::Vector(samples) = value else { return None };
    let points = samples.iter().map(|sample| {
        let histogram = sample.histogram.as_deref();
        (sample.labels.clone(), histogram.map_or(Point::Float(sample.value), Point::found))
    });
    Some(points.collect())
}

/// Points of both kinds in time order.
pub(super) fn points_of(series: &Series) -> Vec<(i64, Point)> {
    let float = |point: &Sample| (point.timestamp_ms, Point::Float(point.value));
    let histogram = |point: &HistogramSample| (point.timestamp_ms, Point::found(&point.histogram));
    let histograms = series.histograms.iter().map(histogram);
    let mut points: Vec<_> = series.points.iter().map(float).chain(histograms).collect();
    points.sort_by_key(|(time_ms, _)| *time_ms);
    points
}
