//! The same series in the original and here, the same queries, the same answers.

mod answer;
mod data;
mod excuse;
mod native;
mod random;
mod server;

use std::{collections::BTreeMap, fs, path::Path};

use prom_promql::{
    Engine, EngineOptions, InstantParams, QueryAnswer, QueryError, QueryParams, RangeParams,
    parse_query_json,
};
use prom_storage::Queryable;
use prom_telemetry::Registry;
use serde_json::Value as Json;

use self::{
    answer::{answer_of, answer_of_json, differences, order_difference},
    data::{END_MS, START_MS, openmetrics, store},
    excuse::{contradicts_itself, excuse, rounding, without_pair},
    native::{BLOCK_RANGE_MS, database, write_requests},
    random::Over,
    server::Original,
};

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
/// The number of the first one.
const RANDOM_FIRST_VARIABLE: &str = "PROMQL_RANDOM_FIRST";
/// Values that differ in their last places and should not.
const UNEXPLAINED: &str = "for no known reason";
/// Differences that are shown.
const SHOWN_COUNT_MAX: usize = 40;

#[test]
fn slow_random_answers_are_those_of_the_original() {
    let (Some(prometheus), Some(promtool)) =
        (prom_testkit::peer("prometheus"), prom_testkit::peer("promtool"))
    else {
        return;
    };
    let original = Original::start(&prometheus, &promtool, &openmetrics());
    let engine = Engine::new(EngineOptions::default(), &Registry::default());
    Comparison { original, engine, store: &store(), over: Over::Floats }.run();
}

#[test]
fn slow_random_answers_over_histograms_are_those_of_the_original() {
    let Some(prometheus) = prom_testkit::peer("prometheus") else { return };
    let original = Original::start_empty(&prometheus, BLOCK_RANGE_MS);
    write_requests().iter().for_each(|body| original.write(body));
    let (db, _folder) = database();
    let mut options = EngineOptions::default();
    options.parse.experimental_functions = true;
    let engine = Engine::new(options, &Registry::default());
    Comparison { original, engine, store: &*db, over: Over::Native }.run();
}

/// Random queries to both sides.
struct Comparison<'a> {
    original: Original,
    engine: Engine,
    store: &'a dyn Queryable,
    over: Over,
}

/// What came of a comparison.
#[derive(Debug, Default)]
struct Findings {
    errors_count: u64,
    /// How many values differ in the last places in which queries, by the reason.
    inexact: BTreeMap<&'static str, Vec<(usize, String)>>,
    /// Answers of the original that were asked for again.
    contradictions_count: u64,
    excused: BTreeMap<&'static str, u64>,
    unordered_count: u64,
    wrong: Vec<String>,
}

impl Comparison<'_> {
    fn run(&self) {
        let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let count = variable(RANDOM_COUNT_VARIABLE).unwrap_or(RANDOM_COUNT);
        let first = variable(RANDOM_FIRST_VARIABLE).unwrap_or_default();
        let mut findings = Findings::default();
        for number in first..first + count {
            self.ask(number, &mut findings);
        }
        let Findings { errors_count, inexact, contradictions_count, excused, .. } = &findings;
        let (unordered_count, wrong) = (findings.unordered_count, &findings.wrong);
        println!("{count} queries: {errors_count} errors, {} wrong", wrong.len());
        println!("{unordered_count} in another order by chance");
        println!("{contradictions_count} asked again, as the original contradicted itself");
        for (reason, queries) in inexact {
            let values: usize = queries.iter().map(|(values, _)| values).sum();
            println!("{values} values inexact in {} queries: {reason}", queries.len());
        }
        excused.iter().for_each(|(entry, count)| println!("{count} excused: {entry}"));
        let shown: Vec<String> = wrong.iter().take(SHOWN_COUNT_MAX).cloned().collect();
        assert!(wrong.is_empty(), "{}", shown.join("\n"));
        assert_eq!(inexact.get(UNEXPLAINED), None);
    }

    fn ask(&self, number: u64, findings: &mut Findings) {
        let query = random::query(self.over, number);
        let ask = asks()[[0, 1, 3, 4][number as usize % 4]];
        let is_range = matches!(ask, Ask::Range { .. });
        let mut theirs = without_pair(answer_of_json(&self.original.query(&query, &ask)), is_range);
        let ours = without_pair(answer_of(ask.run(&self.engine, self.store, &query)), is_range);
        findings.errors_count += u64::from(theirs.error.is_some());
        let mut compared = differences(&ours, &theirs);
        if compared.is_err() && contradicts_itself(&theirs) {
            findings.contradictions_count += 1;
            theirs = without_pair(answer_of_json(&self.original.query(&query, &ask)), is_range);
            compared = differences(&ours, &theirs);
        }
        if let (Ok(_), Some(order)) = (&compared, order_difference(&ours, &theirs)) {
            match has_order(&query) {
                true => compared = Err(order),
                false => findings.unordered_count += 1,
            }
        }
        let reason = match compared {
            Ok(values) => {
                if values > 0 {
                    let reason = rounding(self.over, &query).unwrap_or(UNEXPLAINED);
                    findings.inexact.entry(reason).or_default().push((values, query.clone()));
                }
                self.text_difference(&query)
            }
            Err(reason) => match excuse(&query, &ours, &theirs) {
                Some(entry) => {
                    *findings.excused.entry(entry).or_insert(0) += 1;
                    None
                }
                None => Some(reason),
            },
        };
        if let Some(reason) = reason {
            findings.wrong.push(format!("{number}: {query}\n  {ask:?}\n  {reason:.1500}"));
        }
    }

    /// Whether the query is taken apart and printed as there.
    fn text_difference(&self, query: &str) -> Option<String> {
        let params = QueryParams::default();
        let tree = self.engine.parse(query, &params).ok()?;
        let mut tree: Json = serde_json::from_str(&parse_query_json(&tree)).unwrap();
        drop_later_fields(&mut tree);
        let theirs = self.original.about("parse_query", query);
        if theirs["data"] != tree {
            return Some(format!("tree: ours {tree}\n  theirs {theirs}"));
        }
        let text = self.engine.format(query, &params).unwrap();
        // 3.9.0: an empty `ignoring` before a grouping is printed (#17643); 3.10.0: names that are none of
        // old are quoted (#17687).
        if text.contains("ignoring () group_") || text.contains("by (\"") || text.contains(", \"") {
            return None;
        }
        let theirs = self.original.about("format_query", query);
        (theirs["data"] != text).then(|| format!("printed: ours {text}\n  theirs {theirs}"))
    }
}

/// Whether the original gives the series of an instant vector in one order. It collects in a map, and so by
/// chance: counted values, quantiles and fractions of classic histograms, and operations in a subquery.
fn has_order(query: &str) -> bool {
    let unordered = ["count_values", "histogram_quantile", "histogram_fraction", ":"];
    !unordered.iter().any(|part| query.contains(part))
}

/// Fields of a tree that came after the installed release, with what they have where they are not used:
/// 3.6.0 (#16249), 3.7.0 (#16457), 3.10.0 (#17644).
fn drop_later_fields(tree: &mut Json) {
    const LATER: [&str; 6] =
        ["offsetExpr", "rangeExpr", "stepExpr", "anchored", "smoothed", "fillValues"];
    match tree {
        Json::Object(fields) => {
            for name in LATER {
                let is_unused = fields.get(name).is_none_or(|value| match value {
                    Json::Object(sides) => sides.values().all(Json::is_null),
                    value => value.is_null() || *value == false,
                });
                assert!(is_unused, "{name} is used: {fields:?}");
                fields.remove(name);
            }
            fields.values_mut().for_each(drop_later_fields);
        }
        Json::Array(items) => items.iter_mut().for_each(drop_later_fields),
        _ => {}
    }
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
        store: &dyn Queryable,
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
