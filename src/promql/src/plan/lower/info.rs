//! `info()`: labels of info metrics are added to series, as of the time that these are read at.
//! Compat: Prometheus `promql/info.go`, `infoSelectTimestampAndOffset` and `effectiveInfoNameMatchers`.

use prom_model::{METRIC_NAME, MatchOp, Matcher};

use super::{Lowered, Lowerer, vector};
use crate::{
    QueryError,
    plan::{Info, Shift, VectorKind},
    syntax::{Call, Expr, ExprKind, Span, Subquery, VectorSelector},
};

/// The metric that is looked at where none is named.
const DEFAULT_INFO_METRIC: &str = "target_info";
/// What metrics are looked at where some are only excluded.
const INFO_METRIC_PATTERN: &str = ".+_info";

impl Lowerer<'_> {
    pub(super) fn info(&mut self, call: &Call, span: Span) -> Result<Lowered, QueryError> {
        let missing = || QueryError::Evaluation("unexpected error: missing argument".to_owned());
        let base = call.args.first().ok_or_else(missing)?;
        let mut operand = self.expr(base)?;
        let shift = self.info_shift(base)?;
        let selector = call.args.get(1).and_then(|arg| match &arg.kind {
            ExprKind::Vector(selector) => Some(selector),
            _ => None,
        });
        let is_invariant =
            operand.is_invariant && selector.is_none_or(|selector| selector.at.is_some());
        if !is_invariant {
            operand = operand.wrapped();
        }
        let given = selector.map(|selector| selector.matchers.clone()).unwrap_or_default();
        let (names, data): (Vec<Matcher>, Vec<Matcher>) =
            given.into_iter().partition(|matcher| matcher.name() == METRIC_NAME);
        let names = effective_names(names)?;
        let matchers = data.iter().chain(&names).cloned().collect();
        let selector = self.numbered(matchers, span);
        let operand = operand.into_vector()?;
        let kind = VectorKind::Info(Box::new(Info { operand, selector, shift, names, data }));
        Ok(Lowered { node: vector(kind, span), is_invariant, wraps: is_invariant, span })
    }

    /// When the first selector of `base` reads: the innermost `@` anchors, offsets up to it add up.
    fn info_shift(&self, base: &Expr) -> Result<Shift, QueryError> {
        let mut outer = Vec::new();
        let Some(selector) = first_selector(base, &mut outer) else { return Ok(Shift::default()) };
        let mut shift = self.shift(selector.offset.as_ref(), selector.at)?;
        for subquery in outer.into_iter().rev() {
            if shift.at_ms.is_some() {
                break;
            }
            let around = self.shift(subquery.offset.as_ref(), subquery.at)?;
            shift.offset_ms = shift.offset_ms.saturating_add(around.offset_ms);
            shift.at_ms = around.at_ms;
        }
        Ok(shift)
    }
}

/// The first selector, and the subqueries around it, outermost first.
fn first_selector<'a>(expr: &'a Expr, outer: &mut Vec<&'a Subquery>) -> Option<&'a VectorSelector> {
    match &expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => None,
        ExprKind::Vector(selector) => Some(selector),
        ExprKind::Matrix(matrix) => Some(&matrix.selector),
        ExprKind::Paren(inner) => first_selector(inner, outer),
        ExprKind::Unary { operand, .. } => first_selector(operand, outer),
        ExprKind::Binary(binary) => {
            first_selector(&binary.lhs, outer).or_else(|| first_selector(&binary.rhs, outer))
        }
        ExprKind::Aggregate(aggregate) => {
            let param = aggregate.param.as_ref();
            first_selector(&aggregate.operand, outer)
                .or_else(|| param.and_then(|param| first_selector(param, outer)))
        }
        ExprKind::Call(call) => call.args.iter().find_map(|arg| first_selector(arg, outer)),
        ExprKind::Subquery(subquery) => {
            outer.push(subquery);
            let found = first_selector(&subquery.operand, outer);
            if found.is_none() {
                outer.pop();
            }
            found
        }
    }
}

/// The matchers that choose info metrics by name.
fn effective_names(mut names: Vec<Matcher>) -> Result<Vec<Matcher>, QueryError> {
    if names.iter().any(|name| matches!(name.op(), MatchOp::Equal | MatchOp::Regex)) {
        return Ok(names);
    }
    if names.is_empty() {
        return Ok(vec![Matcher::equal(METRIC_NAME, DEFAULT_INFO_METRIC)]);
    }
    let any_info = Matcher::new(METRIC_NAME, MatchOp::Regex, INFO_METRIC_PATTERN)
        .map_err(|err| QueryError::Evaluation(format!("unexpected error: {err}")))?;
    names.insert(0, any_info);
    Ok(names)
}
