//! The same series in the original and here, the same queries, the same answers.

mod data;
mod random;
mod server;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use prom_model::{Labels, Sample, format_float};
use prom_promql::{
    Engine, EngineOptions, InstantParams, QueryAnswer, QueryError, QueryErrorKind, RangeParams,
    Value,
};
use prom_telemetry::Registry;
use serde_json::Value as Json;

use self::{
    data::{END_MS, START_MS, openmetrics, store},
    server::Original,
};

/// Values may differ by so much of their size: library functions round differently in the last place.
const TOLERANCE: f64 = 1e-12;

/// The peak is computed from counts of whole operators, not step by step.
const PEAK_SLACK_SAMPLES: u64 = 16;

/// Queries whose answers differ between the installed release and the one that is followed here,
/// with the entry of the original's changelog.
const VERSION_DIFFERENCES: [(&str, &str); 5] = [
    (
        "topk(scalar(special{kind=\"one\"}), gauge)",
        "3.6.0: fail when NaN is the parameter (#16725)",
    ),
    ("sort(gauge)", "3.12.0: a warning in range queries (#18498)"),
    ("sort_desc(gauge)", "3.12.0: a warning in range queries (#18498)"),
    ("histogram_quantile(0.9, gauge)", "3.7.0: no metric name in the warning (#16794)"),
    (
        "histogram_fraction(0, 0.3, rate(latency_bucket[5m]))",
        "3.8.0: lower bound in the first bucket (#17424)",
    ),
];

/// An answer in a form that both sides can be brought to.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    kind: String,
    /// Labels as text, then points; scalars and strings have one entry.
    series: Vec<(String, Vec<(i64, Point)>)>,
    /// Error kind and text.
    error: Option<(String, String)>,
    infos: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Point {
    Number(f64),
    Text(String),
}

#[test]
fn slow_answers_are_those_of_the_original() {
    let (Some(prometheus), Some(promtool)) =
        (prom_testkit::peer("prometheus"), prom_testkit::peer("promtool"))
    else {
        return;
    };
    let original = Original::start(&prometheus, &promtool, &openmetrics());
    let store = store();
    let engine = Engine::new(EngineOptions::default(), &Registry::default());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/queries.txt");
    let queries = fs::read_to_string(path).expect("queries are checked in");
    let (mut count, mut inexact) = (0, BTreeMap::new());
    let (mut wrong, mut miscounted) = (Vec::new(), Vec::new());
    for query in queries.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if VERSION_DIFFERENCES.iter().any(|(known, _)| *known == query) {
            continue;
        }
        for ask in asks() {
            let theirs = original.query(query, &ask);
            let ours = ask.run(&engine, &store, query);
            if let Some(difference) = count_difference(&ours, &theirs) {
                miscounted.push(format!("{query}\n  {ask:?}\n  {difference}"));
            }
            let (ours, theirs) = (answer_of(ours), answer_of_json(&theirs));
            count += 1;
            match differences(&ours, &theirs) {
                Ok(0) => {}
                Ok(values) => {
                    *inexact.entry(query).or_insert(0) += values;
                }
                Err(reason) => wrong.push(format!("{query}\n  {ask:?}\n  {reason}")),
            }
        }
    }
    inexact.iter().for_each(|(query, values)| println!("{values} values inexact: {query}"));
    println!("{count} answers, {} wrong, {} miscounted", wrong.len(), miscounted.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(miscounted.is_empty(), "{}", miscounted.join("\n"));
}

/// Random queries that are asked; this variable changes how many.
const RANDOM_COUNT: u64 = 1_500;
const RANDOM_COUNT_VARIABLE: &str = "PROMQL_RANDOM_QUERIES";
/// Differences that are shown.
const SHOWN_COUNT_MAX: usize = 40;

#[test]
fn slow_random_answers_are_those_of_the_original() {
    let (Some(prometheus), Some(promtool)) =
        (prom_testkit::peer("prometheus"), prom_testkit::peer("promtool"))
    else {
        return;
    };
    let count = std::env::var(RANDOM_COUNT_VARIABLE).ok().and_then(|text| text.parse().ok());
    let original = Original::start(&prometheus, &promtool, &openmetrics());
    let store = store();
    let engine = Engine::new(EngineOptions::default(), &Registry::default());
    let (mut failed, mut inexact, mut excused, mut wrong) = (0, 0, BTreeMap::new(), Vec::new());
    for number in 0..count.unwrap_or(RANDOM_COUNT) {
        let query = random::query(number);
        let ask = asks()[[0, 1, 3, 4][number as usize % 4]];
        let theirs = without_pair(answer_of_json(&original.query(&query, &ask)));
        let ours = without_pair(answer_of(ask.run(&engine, &store, &query)));
        failed += u64::from(theirs.error.is_some());
        match differences(&ours, &theirs) {
            Ok(values) => inexact += values,
            Err(reason) => match excuse(&query, &ours, &theirs) {
                Some(entry) => *excused.entry(entry).or_insert(0) += 1,
                None => wrong.push(format!("{number}: {query}\n  {ask:?}\n  {reason:.1000}")),
            },
        }
    }
    println!("{failed} errors, {inexact} values inexact, {} wrong", wrong.len());
    excused.iter().for_each(|(entry, count)| println!("{count} excused: {entry}"));
    let shown: Vec<String> = wrong.iter().take(SHOWN_COUNT_MAX).cloned().collect();
    assert!(wrong.is_empty(), "{}", shown.join("\n"));
}

/// Which two of several duplicates are named is by chance in the original: its operations collect their
/// results in a map.
fn without_pair(mut answer: Answer) -> Answer {
    if let Some((_, text)) = &mut answer.error
        && let Some((before, after)) = text.split_once(": [{")
        && let Some((_, after)) = after.split_once("}];")
    {
        *text = format!("{before}: [];{after}");
    }
    answer
}

/// Why an answer of the installed release may differ from what is followed here: an entry of the
/// original's changelog.
fn excuse(query: &str, ours: &Answer, theirs: &Answer) -> Option<&'static str> {
    let error = |answer: &Answer| answer.error.clone().unwrap_or_default().1;
    let (our_error, their_error) = (error(ours), error(theirs));
    let without_name = |text: &str| match text.split_once(" for metric name ") {
        Some((before, after)) => {
            format!("{before} {}", after.split_once("\" ").map_or("", |(_, place)| place))
        }
        None => text.to_owned(),
    };
    let without_place =
        |text: &str| text.rsplit_once(" (").map_or(text, |(before, _)| before).to_owned();
    let texts = |answer: &Answer, of: &dyn Fn(&str) -> String| -> BTreeSet<String> {
        answer.warnings.iter().chain(&answer.infos).map(|text| of(text)).collect()
    };
    let is_equal = |a: &Answer, b: &Answer| {
        let bare =
            |answer: &Answer| Answer { infos: Vec::new(), warnings: Vec::new(), ..answer.clone() };
        differences(&bare(a), &bare(b)).is_ok()
    };
    if is_equal(ours, theirs) && texts(ours, &without_name) == texts(theirs, &without_name) {
        return Some("3.7.0: no metric name in the warning of a missing bucket label (#16794)");
    }
    let bare = |text: &str| without_place(&without_name(text));
    if is_equal(ours, theirs) && texts(ours, &bare) == texts(theirs, &bare) && query.contains(':') {
        return Some("later than 3.5: remarks about a subquery tell its place");
    }
    if our_error.contains("expected number, duration, step(), or range()") {
        return Some("3.6.0: durations may be expressions (#16249)");
    }
    if their_error.contains("<Item ") {
        return Some("later than 3.5: all tokens have names in errors");
    }
    if our_error.starts_with("multiple matches for labels") && their_error.is_empty() {
        return Some("later than 3.5: a pair that a comparison drops is still a match");
    }
    let is_relabeled = query.contains("label_replace") || query.contains("label_join");
    if is_relabeled && their_error == "vector cannot contain metrics with the same labelset" {
        return Some(
            "later than 3.5: series that labels make equal are one unless they meet at a step",
        );
    }
    None
}

/// Samples counted differently than by the original: looked at exactly, held at once nearly.
fn count_difference(ours: &Result<QueryAnswer, QueryError>, theirs: &Json) -> Option<String> {
    let ours = &ours.as_ref().ok()?.stats.samples;
    let theirs = &theirs["data"]["stats"]["samples"];
    let (queryable, peak) =
        (theirs["totalQueryableSamples"].as_u64()?, theirs["peakSamples"].as_u64()?);
    let is_near = ours.peak.abs_diff(peak) <= PEAK_SLACK_SAMPLES + peak / 50;
    let text = format!("ours {}, {}, theirs {queryable}, {peak}", ours.total_queryable, ours.peak);
    (ours.total_queryable != queryable || !is_near).then_some(text)
}

/// How a query is asked.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Instant { time_ms: i64 },
    Range { start_ms: i64, end_ms: i64, step_ms: i64 },
}

fn asks() -> [Ask; 5] {
    let middle_ms = (START_MS + END_MS) / 2;
    [
        Ask::Instant { time_ms: middle_ms },
        Ask::Instant { time_ms: START_MS + 90_123 },
        Ask::Instant { time_ms: END_MS + 200_000 },
        Ask::Range { start_ms: middle_ms, end_ms: middle_ms + 3_600_000, step_ms: 60_000 },
        Ask::Range { start_ms: START_MS - 600_000, end_ms: END_MS + 600_000, step_ms: 337_000 },
    ]
}

impl Ask {
    fn run(
        &self,
        engine: &Engine,
        store: &prom_testkit::MemoryStore,
        query: &str,
    ) -> Result<QueryAnswer, QueryError> {
        match *self {
            Self::Instant { time_ms } => {
                engine.instant(store, query, InstantParams { time_ms, ..Default::default() })
            }
            Self::Range { start_ms, end_ms, step_ms } => {
                let params = RangeParams { start_ms, end_ms, step_ms, ..Default::default() };
                engine.range(store, query, params)
            }
        }
    }
}

/// How many values are not equal bit by bit, or what is wrong.
fn differences(ours: &Answer, theirs: &Answer) -> Result<usize, String> {
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
            match (a, b) {
                (Point::Number(a), Point::Number(b)) if a.is_nan() && b.is_nan() || a == b => {}
                (Point::Number(a), Point::Number(b))
                    if (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()) =>
                {
                    inexact += 1;
                }
                (a, b) if a == b => {}
                _ => return Err(format!("{labels} at {time_ms}: ours {a:?}, theirs {b:?}")),
            }
        }
    }
    Ok(inexact)
}

fn answer_of(result: Result<QueryAnswer, QueryError>) -> Answer {
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
    let points = |samples: &[Sample]| {
        let point = |sample: &Sample| (sample.timestamp_ms, number(&format_float(sample.value)));
        samples.iter().map(point).collect::<Vec<_>>()
    };
    let (kind, series) = match &answer.value {
        Value::Scalar(sample) => ("scalar", vec![(String::new(), points(&[*sample]))]),
        Value::String(text) => {
            let point = (text.timestamp_ms, Point::Text(text.value.clone()));
            ("string", vec![(String::new(), vec![point])])
        }
        Value::Vector(samples) => {
            let series = samples.iter().map(|sample| {
                let point = (sample.timestamp_ms, number(&format_float(sample.value)));
                (label_text(&sample.labels), vec![point])
            });
            ("vector", series.collect())
        }
        Value::Matrix(series) => {
            let series =
                series.iter().map(|series| (label_text(&series.labels), points(&series.points)));
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

fn answer_of_json(json: &Json) -> Answer {
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
    let point = |pair: &Json| {
        let time_ms = (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
        let text = pair[1].as_str().unwrap();
        (time_ms, if kind == "string" { Point::Text(text.to_owned()) } else { number(text) })
    };
    let series = match kind.as_str() {
        "" => Vec::new(),
        "scalar" | "string" => vec![(String::new(), vec![point(&data["result"])])],
        _ => data["result"]
            .as_array()
            .unwrap()
            .iter()
            .map(|series| {
                let labels: BTreeMap<&String, &Json> =
                    series["metric"].as_object().unwrap().iter().collect();
                let labels = labels
                    .iter()
                    .map(|(name, value)| format!("{name}={:?},", value.as_str().unwrap()))
                    .collect();
                let points = match series["values"].as_array() {
                    Some(values) => values.iter().map(&point).collect(),
                    None => vec![point(&series["value"])],
                };
                (labels, points)
            })
            .collect(),
    };
    Answer { kind, series, error, infos: texts("infos"), warnings: texts("warnings") }
}
