//! Answers of both sides in one form, and what is different between two of them.

use std::collections::BTreeMap;

use prom_model::{FloatHistogram, Labels, Sample, format_float};
use prom_promql::{HistogramSample, QueryAnswer, QueryError, QueryErrorKind, Value};
use serde_json::Value as Json;

/// Values may differ by so much of their size: library functions round differently in the last place.
const TOLERANCE: f64 = 1e-12;

/// An answer in a form that both sides can be brought to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) kind: String,
    /// Labels as text, then points; scalars and strings have one entry.
    pub(super) series: Vec<(String, Vec<(i64, Point)>)>,
    /// Error kind and text.
    pub(super) error: Option<(String, String)>,
    pub(super) infos: Vec<String>,
    pub(super) warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Point {
    Number(f64),
    Text(String),
    /// Count, sum, then rule, bounds and count of each bucket.
    Histogram(Vec<f64>),
}

/// How many values are not equal bit by bit, or what is wrong. The order of series is not looked at.
pub(super) fn differences(ours: &Answer, theirs: &Answer) -> Result<usize, String> {
    differences_within(ours, theirs, TOLERANCE)
}

/// As [`differences`], where values may differ by that much of their size.
pub(super) fn differences_within(
    ours: &Answer,
    theirs: &Answer,
    tolerance: f64,
) -> Result<usize, String> {
    let shape = |answer: &Answer| {
        let series = answer.series.iter();
        let shape = series.map(|(labels, points)| {
            (labels.clone(), points.iter().map(|(time_ms, _)| *time_ms).collect::<Vec<_>>())
        });
        shape.collect::<BTreeMap<_, _>>()
    };
    let head = |answer: &Answer| {
        (answer.kind.clone(), answer.error.clone(), answer.infos.clone(), answer.warnings.clone())
    };
    if head(ours) != head(theirs) {
        return Err(format!("ours {:?}\n  theirs {:?}", head(ours), head(theirs)));
    }
    if shape(ours) != shape(theirs) {
        return Err(format!("ours {:?}\n  theirs {:?}", ours.series, theirs.series));
    }
    let theirs: BTreeMap<_, _> = theirs.series.iter().cloned().collect();
    let mut inexact = 0;
    for (labels, points) in &ours.series {
        for ((time_ms, a), (_, b)) in points.iter().zip(&theirs[labels]) {
            match a.is_exactly(b, tolerance) {
                Some(is_exact) => inexact += usize::from(!is_exact),
                None => return Err(format!("{labels} at {time_ms}: ours {a:?}, theirs {b:?}")),
            }
        }
    }
    Ok(inexact)
}

/// Series in another order.
pub(super) fn order_difference(ours: &Answer, theirs: &Answer) -> Option<String> {
    let names = |answer: &Answer| -> Vec<String> {
        answer.series.iter().map(|(labels, _)| labels.clone()).collect()
    };
    let (ours, theirs) = (names(ours), names(theirs));
    (ours != theirs).then(|| format!("order: ours {ours:?}\n  theirs {theirs:?}"))
}

impl Point {
    /// Whether both are equal to the last bit; nothing if they are not equal at all.
    fn is_exactly(&self, other: &Self, tolerance: f64) -> Option<bool> {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => is_exactly(*a, *b, tolerance),
            (Self::Text(a), Self::Text(b)) => (a == b).then_some(true),
            (Self::Histogram(a), Self::Histogram(b)) if a.len() == b.len() => {
                a.iter().zip(b).try_fold(true, |all, (a, b)| {
                    is_exactly(*a, *b, tolerance).map(|exact| all && exact)
                })
            }
            _ => None,
        }
    }
}

fn is_exactly(a: f64, b: f64, tolerance: f64) -> Option<bool> {
    if a.is_nan() && b.is_nan() || a == b {
        return Some(true);
    }
    ((a - b).abs() <= tolerance * a.abs().max(b.abs())).then_some(false)
}

/// Our answer.
pub(super) fn answer_of(result: Result<QueryAnswer, QueryError>) -> Answer {
    let failed = |kind: &str, text: String| Answer {
        kind: String::new(),
        series: Vec::new(),
        error: Some((kind.to_owned(), text)),
        infos: Vec::new(),
        warnings: Vec::new(),
    };
    let answer = match result {
        Ok(answer) => answer,
        Err(err) => {
            return match err.kind() {
                QueryErrorKind::BadData => {
                    failed("bad_data", format!("invalid parameter \"query\": {err}"))
                }
                QueryErrorKind::Execution => failed("execution", err.to_string()),
                other => failed(&format!("{other:?}"), err.to_string()),
            };
        }
    };
    let (kind, series) = match &answer.value {
        Value::Scalar(sample) => ("scalar", vec![(String::new(), points(&[*sample], &[]))]),
        Value::String(text) => {
            let point = (text.timestamp_ms, Point::Text(text.value.clone()));
            ("string", vec![(String::new(), vec![point])])
        }
        Value::Vector(samples) => {
            let series = samples.iter().map(|sample| {
                let point = match &sample.histogram {
                    Some(histogram) => histogram_point(histogram),
                    None => number(&format_float(sample.value)),
                };
                (label_text(&sample.labels), vec![(sample.timestamp_ms, point)])
            });
            ("vector", series.collect())
        }
        Value::Matrix(series) => {
            let series = series.iter().map(|series| {
                (label_text(&series.labels), points(&series.points, &series.histograms))
            });
            ("matrix", series.collect())
        }
        other => panic!("{other:?}"),
    };
    let kind = kind.to_owned();
    let mut answer =
        Answer { kind, series, error: None, infos: answer.infos, warnings: answer.warnings };
    answer.infos.sort();
    answer.warnings.sort();
    answer
}

fn points(samples: &[Sample], histograms: &[HistogramSample]) -> Vec<(i64, Point)> {
    let float = |sample: &Sample| (sample.timestamp_ms, number(&format_float(sample.value)));
    let histogram =
        |sample: &HistogramSample| (sample.timestamp_ms, histogram_point(&sample.histogram));
    let mut points: Vec<_> =
        samples.iter().map(float).chain(histograms.iter().map(histogram)).collect();
    points.sort_by_key(|(time_ms, _)| *time_ms);
    points
}

fn histogram_point(histogram: &FloatHistogram) -> Point {
    let mut numbers = vec![histogram.count, histogram.sum];
    for bucket in histogram.all_iter().filter(|bucket| bucket.count != 0.0) {
        let rule = match (bucket.is_lower_inclusive, bucket.is_upper_inclusive) {
            (false, true) => 0.0,
            (true, false) => 1.0,
            (false, false) => 2.0,
            (true, true) => 3.0,
        };
        numbers.extend([rule, bucket.lower, bucket.upper, bucket.count]);
    }
    Point::Histogram(numbers)
}

/// The answer of the API.
pub(super) fn answer_of_json(json: &Json) -> Answer {
    let texts = |key: &str| {
        let list = json[key].as_array().cloned().unwrap_or_default();
        let mut texts: Vec<String> =
            list.iter().map(|text| text.as_str().unwrap().to_owned()).collect();
        texts.sort();
        texts
    };
    let error = (json["status"] == "error").then(|| {
        let text = json["error"].as_str().unwrap();
        (json["errorType"].as_str().unwrap().to_owned(), with_sorted_pair(text))
    });
    let data = &json["data"];
    let kind = data["resultType"].as_str().unwrap_or_default().to_owned();
    let series = match kind.as_str() {
        "" => Vec::new(),
        "scalar" => vec![(String::new(), vec![json_point(&data["result"])])],
        "string" => {
            let (time_ms, _) = json_point(&data["result"]);
            let text = data["result"][1].as_str().unwrap().to_owned();
            vec![(String::new(), vec![(time_ms, Point::Text(text))])]
        }
        _ => data["result"].as_array().unwrap().iter().map(json_series).collect(),
    };
    Answer { kind, series, error, infos: texts("infos"), warnings: texts("warnings") }
}

fn json_series(series: &Json) -> (String, Vec<(i64, Point)>) {
    let labels: BTreeMap<&String, &Json> = series["metric"].as_object().unwrap().iter().collect();
    let labels =
        labels.iter().map(|(name, value)| format!("{name}={:?},", value.as_str().unwrap()));
    let lists = ["values", "histograms"].map(|key| series[key].as_array());
    let ones = ["value", "histogram"].map(|key| series.get(key));
    let all = lists.into_iter().flatten().flatten().chain(ones.into_iter().flatten());
    let mut points: Vec<_> = all.map(json_point).collect();
    points.sort_by_key(|(time_ms, _)| *time_ms);
    (labels.collect(), points)
}

fn json_point(pair: &Json) -> (i64, Point) {
    let time_ms = (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
    let float = |text: &Json| prom_model::parse_float(text.as_str().unwrap()).unwrap();
    let point = match &pair[1] {
        Json::String(text) => number(text),
        histogram => {
            let mut numbers = vec![float(&histogram["count"]), float(&histogram["sum"])];
            for bucket in histogram["buckets"].as_array().into_iter().flatten() {
                numbers.push(bucket[0].as_f64().unwrap());
                numbers.extend((1..4).map(|index| float(&bucket[index])));
            }
            Point::Histogram(numbers)
        }
    };
    (time_ms, point)
}

/// The installed release names two duplicates in the order in which it met them; later ones sort them.
fn with_sorted_pair(text: &str) -> String {
    let pair = text.split_once(": [{").and_then(|(before, rest)| {
        let (pair, after) = rest.split_once("}];")?;
        Some((before, pair.split_once("}, {")?, after))
    });
    match pair {
        Some((before, (first, second), after)) if first > second => {
            format!("{before}: [{{{second}}}, {{{first}}}];{after}")
        }
        _ => text.to_owned(),
    }
}

fn label_text(labels: &Labels) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value:?},")).collect()
}

fn number(text: &str) -> Point {
    match prom_model::parse_float(text) {
        Some(value) => Point::Number(value),
        None => Point::Text(text.to_owned()),
    }
}
