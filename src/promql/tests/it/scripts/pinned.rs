//! A query with every selector pinned to a time by `@`: it must answer the same at any other time.

use prom_promql::{AtModifier, Expr, ExprKind, ParseOptions, parse};

/// Functions whose value depends on the time of evaluation.
const TIME_FUNCTIONS: [&str; 16] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "info",
    "minute",
    "month",
    "year",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
];

/// The query pinned to `time_ms`; nothing if that would change its meaning.
pub(super) fn pinned(query: &str, time_ms: i64) -> Option<String> {
    let mut expr = parse(query, &ParseOptions::ALL).ok()?;
    pin(&mut expr, AtModifier::Time(time_ms)).then(|| expr.to_string())
}

/// Other times to ask at.
pub(super) fn other_times(time_ms: i64) -> Vec<i64> {
    if time_ms == 0 {
        return vec![-1000, 0, 1000];
    }
    vec![-10 * time_ms, 0, time_ms / 5, time_ms, 10 * time_ms]
}

/// Pins selectors and outermost subqueries; tells whether no function stands against it.
fn pin(expr: &mut Expr, at: AtModifier) -> bool {
    match &mut expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => true,
        ExprKind::Vector(selector) => {
            selector.at.get_or_insert(at);
            true
        }
        ExprKind::Matrix(matrix) => {
            matrix.selector.at.get_or_insert(at);
            true
        }
        ExprKind::Subquery(subquery) => {
            subquery.at.get_or_insert(at);
            is_timeless(&subquery.operand)
        }
        ExprKind::Paren(inner) => pin(inner, at),
        ExprKind::Unary { operand, .. } => pin(operand, at),
        ExprKind::Binary(binary) => pin(&mut binary.lhs, at) & pin(&mut binary.rhs, at),
        ExprKind::Aggregate(aggregate) => {
            let param = aggregate.param.as_mut().is_none_or(|param| pin(param, at));
            pin(&mut aggregate.operand, at) & param
        }
        ExprKind::Call(call) => {
            let args = call.args.iter_mut().fold(true, |safe, arg| safe & pin(arg, at));
            args && !TIME_FUNCTIONS.contains(&call.function.name)
        }
    }
}

/// Whether a pinned subquery holds no function of the time.
fn is_timeless(expr: &Expr) -> bool {
    pin(&mut expr.clone(), AtModifier::Time(0))
}
