//! Runs the commands of a script over a store.

use prom_promql::{
    Engine, EngineOptions, InstantParams, ParseOptions, QueryAnswer, QueryError, RangeParams, Value,
};
use prom_storage::Queryable;
use prom_telemetry::Registry;

use super::{
    compare::{Point, almost_equal, check_matrix, check_vector, points_of, vector_of},
    language::{Command, CommandKind, Eval, parse_script},
    load::load,
    pinned::{other_times, pinned},
    store::ScriptStore,
};

/// How a script went.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) passed: usize,
    /// Line, query and what was wrong.
    pub(super) failures: Vec<String>,
}

/// Runs a script; each expectation counts once, its extra runs included.
pub(super) fn run_script(text: &str, store: &mut dyn ScriptStore) -> Tally {
    let mut options = EngineOptions::default();
    options.samples_count_max = 10_000;
    options.parse = ParseOptions::ALL;
    options.is_name_removal_delayed = true;
    options.uses_start_timestamps = true;
    let engine = Engine::new(options, &Registry::default());
    store.clear();
    let mut tally = Tally::default();
    for Command { line, kind } in parse_script(text) {
        match kind {
            CommandKind::Clear => store.clear(),
            CommandKind::Load { step_ms, series, converts } => {
                load(store, step_ms, &series, converts);
            }
            CommandKind::Eval(eval) => match check(&engine, store.queryable(), &eval) {
                Ok(()) => tally.passed += 1,
                Err(reason) => tally.failures.push(format!("{line}: {}: {reason}", eval.query)),
            },
            CommandKind::Unknown(head) => tally.failures.push(format!("{line}: {head}: unknown")),
        }
    }
    tally
}

fn check(engine: &Engine, store: &dyn Queryable, eval: &Eval) -> Result<(), String> {
    let answer = match eval.step_ms {
        None => instant(engine, store, &eval.query, eval.start_ms),
        Some(step_ms) => range(engine, store, &eval.query, (eval.start_ms, eval.end_ms, step_ms)),
    };
    let Some(answer) = check_failure(answer, eval)? else { return Ok(()) };
    check_annotations(&answer, eval)?;
    check_value(&answer.value, eval)?;
    if eval.step_ms.is_some() {
        return Ok(());
    }
    check_as_range(engine, store, eval, &eval.query, eval.start_ms)?;
    let Some(query) = pinned(&eval.query, eval.start_ms) else { return Ok(()) };
    for time_ms in other_times(eval.start_ms) {
        let wrong = |reason: String| format!("as {query} at {time_ms}: {reason}");
        let answer =
            instant(engine, store, &query, time_ms).map_err(|err| wrong(err.to_string()))?;
        check_value(&answer.value, eval).map_err(wrong)?;
        check_as_range(engine, store, eval, &query, time_ms).map_err(wrong)?;
    }
    Ok(())
}

fn check_failure(
    answer: Result<QueryAnswer, QueryError>,
    eval: &Eval,
) -> Result<Option<QueryAnswer>, String> {
    match (answer, &eval.fails) {
        (Ok(answer), None) => Ok(Some(answer)),
        (Ok(_), Some(_)) => Err("did not fail".to_owned()),
        (Err(err), None) => Err(err.to_string()),
        (Err(err), Some(texts)) => {
            let message = failure_text(&err);
            if matches!(err, QueryError::Unsupported { .. })
                || !texts.iter().all(|text| text.matches(&message))
            {
                return Err(format!("failed otherwise: {message}"));
            }
            Ok(None)
        }
    }
}

/// The message without its place, as scripts have it.
fn failure_text(err: &QueryError) -> String {
    match err {
        QueryError::Parse(errors) => errors.first().message.clone(),
        other => other.to_string(),
    }
}

fn check_annotations(answer: &QueryAnswer, eval: &Eval) -> Result<(), String> {
    if !eval.warnings.holds(&answer.warnings) {
        return Err(format!("warnings {:?}, expected {:?}", answer.warnings, eval.warnings));
    }
    if !eval.infos.holds(&answer.infos) {
        return Err(format!("infos {:?}, expected {:?}", answer.infos, eval.infos));
    }
    Ok(())
}

fn check_value(value: &Value, eval: &Eval) -> Result<(), String> {
    if let Some(step_ms) = eval.step_ms {
        let Value::Matrix(found) = value else { return Err(format!("no matrix: {value:?}")) };
        return check_matrix(found, &eval.series, (eval.start_ms, eval.end_ms, step_ms));
    }
    if let Some(span) = eval.range {
        let Value::Matrix(found) = value else { return Err(format!("no matrix: {value:?}")) };
        return check_matrix(found, &eval.series, span);
    }
    match (value, eval.scalar, &eval.text) {
        (Value::Scalar(found), Some(wanted), _) if almost_equal(found.value, wanted) => Ok(()),
        (Value::String(found), _, Some(wanted)) if found.value == *wanted => Ok(()),
        (_, None, None) => match vector_of(value) {
            Some(found) => check_vector(&found, &eval.series, eval.is_ordered),
            None => Err(format!("no vector: {value:?}")),
        },
        _ => Err(format!("found {value:?}")),
    }
}

/// The instant as the middle step of a range query.
fn check_as_range(
    engine: &Engine,
    store: &dyn Queryable,
    eval: &Eval,
    query: &str,
    time_ms: i64,
) -> Result<(), String> {
    let names_the_query =
        ["start()", "end()", "range()", "step()"].iter().any(|name| eval.query.contains(name));
    if eval.is_ordered || eval.text.is_some() || eval.range.is_some() || names_the_query {
        return Ok(());
    }
    let answer = range(engine, store, query, (time_ms - 60_000, time_ms + 60_000, 60_000));
    let answer = answer.map_err(|err| format!("as a range query: {err}"))?;
    let Value::Matrix(found) = &answer.value else {
        return Err("as a range query: no matrix".to_owned());
    };
    let mut middle = Vec::new();
    for series in found {
        if let Some((_, point)) = points_of(series).into_iter().find(|point| point.0 == time_ms) {
            middle.push((series.labels.clone(), point));
        }
    }
    match eval.scalar {
        Some(wanted) => match &middle[..] {
            [(_, Point::Float(found))] if almost_equal(*found, wanted) => Ok(()),
            other => Err(format!("as a range query: {other:?}")),
        },
        None => check_vector(&middle, &eval.series, false)
            .map_err(|reason| format!("as a range query: {reason}")),
    }
}

fn instant(
    engine: &Engine,
    store: &dyn Queryable,
    query: &str,
    time_ms: i64,
) -> Result<QueryAnswer, QueryError> {
    engine.instant(store, query, InstantParams { time_ms, ..InstantParams::default() })
}

fn range(
    engine: &Engine,
    store: &dyn Queryable,
    query: &str,
    (start_ms, end_ms, step_ms): (i64, i64, i64),
) -> Result<QueryAnswer, QueryError> {
    let params = RangeParams { start_ms, end_ms, step_ms, ..RangeParams::default() };
    engine.range(store, query, params)
}
