//! The tree as one line of text that parses to the same tree. Compat: `promql/parser/printer.go`.

use std::fmt::{self, Display, Formatter, Write};

use prom_model::{NameValidation, format_duration, format_float_f, format_float_g, quote_go};

use super::{
    Aggregate, AtModifier, Binary, DurationExpr, DurationKind, Expr, ExprKind, MatchCardinality,
    MatrixSelector, RangeExtension, Subquery, VectorMatching, VectorSelector,
};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number { value, is_duration } => number(f, *value, *is_duration),
            ExprKind::String(text) => f.write_str(&quote_go(text)),
            ExprKind::Vector(vector) => vector.fmt(f),
            ExprKind::Matrix(matrix) => matrix.fmt(f),
            ExprKind::Subquery(subquery) => {
                subquery.operand.fmt(f)?;
                subquery_suffix(f, subquery)
            }
            ExprKind::Paren(inner) => {
                f.write_char('(')?;
                inner.fmt(f)?;
                f.write_char(')')
            }
            ExprKind::Unary { op, operand } => {
                f.write_str(op.as_str())?;
                operand.fmt(f)
            }
            ExprKind::Binary(binary) => {
                binary.lhs.fmt(f)?;
                f.write_char(' ')?;
                operator(f, binary)?;
                f.write_char(' ')?;
                binary.rhs.fmt(f)
            }
            ExprKind::Aggregate(aggregate) => {
                aggregate_head(f, aggregate)?;
                f.write_char('(')?;
                if let Some(param) = &aggregate.param {
                    param.fmt(f)?;
                    f.write_str(", ")?;
                }
                aggregate.operand.fmt(f)?;
                f.write_char(')')
            }
            ExprKind::Call(call) => {
                f.write_str(call.function.name)?;
                f.write_char('(')?;
                for (i, arg) in call.args.iter().enumerate() {
                    f.write_str(if i > 0 { ", " } else { "" })?;
                    arg.fmt(f)?;
                }
                f.write_char(')')
            }
        }
    }
}

/// `sum by (job) `, with a space only behind labels.
pub(super) fn aggregate_head(f: &mut dyn Write, aggregate: &Aggregate) -> fmt::Result {
    f.write_str(aggregate.op.as_str())?;
    if aggregate.labels.is_empty() && !aggregate.is_without {
        return Ok(());
    }
    f.write_str(if aggregate.is_without { " without " } else { " by " })?;
    labels(f, &aggregate.labels)?;
    f.write_char(' ')
}

/// The operator of a binary expression with its modifiers.
pub(super) fn operator(f: &mut dyn Write, binary: &Binary) -> fmt::Result {
    f.write_str(binary.op.as_str())?;
    if binary.returns_bool {
        f.write_str(" bool")?;
    }
    match &binary.matching {
        Some(matching) => vector_matching(f, matching),
        None => Ok(()),
    }
}

fn vector_matching(f: &mut dyn Write, matching: &VectorMatching) -> fmt::Result {
    let group = match matching.cardinality {
        MatchCardinality::ManyToOne => Some(" group_left "),
        MatchCardinality::OneToMany => Some(" group_right "),
        MatchCardinality::OneToOne | MatchCardinality::ManyToMany => None,
    };
    if !matching.labels.is_empty() || matching.is_on || group.is_some() {
        f.write_str(if matching.is_on { " on " } else { " ignoring " })?;
        labels(f, &matching.labels)?;
    }
    if let Some(group) = group {
        f.write_str(group)?;
        labels(f, &matching.include)?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => {
            write!(f, " fill ({})", format_float_g(left))
        }
        (left, right) => {
            if let Some(left) = left {
                write!(f, " fill_left ({})", format_float_g(left))?;
            }
            if let Some(right) = right {
                write!(f, " fill_right ({})", format_float_g(right))?;
            }
            Ok(())
        }
    }
}

fn labels(f: &mut dyn Write, labels: &[String]) -> fmt::Result {
    f.write_char('(')?;
    for (i, label) in labels.iter().enumerate() {
        f.write_str(if i > 0 { ", " } else { "" })?;
        if NameValidation::Legacy.is_valid_label_name(label) {
            f.write_str(label)?;
        } else {
            f.write_str(&quote_go(label))?;
        }
    }
    f.write_char(')')
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        matchers(f, self)?;
        at(f, self.at)?;
        extension(f, self.extension)?;
        offset(f, self.offset.as_ref())
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        matchers(f, &self.selector)?;
        f.write_char('[')?;
        range(f, &self.range)?;
        f.write_char(']')?;
        extension(f, self.selector.extension)?;
        at(f, self.selector.at)?;
        offset(f, self.selector.offset.as_ref())
    }
}

/// `[5m:1m] @ end() offset 1h`.
pub(super) fn subquery_suffix(f: &mut dyn Write, subquery: &Subquery) -> fmt::Result {
    f.write_char('[')?;
    range(f, &subquery.range)?;
    f.write_char(':')?;
    if let Some(step) = &subquery.step {
        range(f, step)?;
    }
    f.write_char(']')?;
    at(f, subquery.at)?;
    offset(f, subquery.offset.as_ref())
}

/// The name and the sorted matchers; the matcher of the name itself is not repeated.
fn matchers(f: &mut dyn Write, selector: &VectorSelector) -> fmt::Result {
    let name = selector.name.as_deref().unwrap_or_default();
    f.write_str(name)?;
    let is_name = |matcher: &&prom_model::Matcher| {
        matcher.name() == prom_model::METRIC_NAME
            && matcher.op() == prom_model::MatchOp::Equal
            && matcher.value() == name
            && !name.is_empty()
    };
    let others = selector.matchers.iter().filter(|matcher| !is_name(matcher));
    let mut others: Vec<String> = others.map(ToString::to_string).collect();
    if others.is_empty() {
        return Ok(());
    }
    others.sort_unstable();
    write!(f, "{{{}}}", others.join(","))
}

fn at(f: &mut dyn Write, at: Option<AtModifier>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(AtModifier::Time(ms)) => write!(f, " @ {:.3}", ms as f64 / 1e3),
        Some(AtModifier::Start) => f.write_str(" @ start()"),
        Some(AtModifier::End) => f.write_str(" @ end()"),
    }
}

fn extension(f: &mut dyn Write, extension: Option<RangeExtension>) -> fmt::Result {
    match extension {
        None => Ok(()),
        Some(RangeExtension::Anchored) => f.write_str(" anchored"),
        Some(RangeExtension::Smoothed) => f.write_str(" smoothed"),
    }
}

fn offset(f: &mut dyn Write, offset: Option<&DurationExpr>) -> fmt::Result {
    let Some(offset) = offset else { return Ok(()) };
    f.write_str(" offset ")?;
    range(f, offset)
}

/// A bare literal always as a duration, anything else as it stands.
fn range(f: &mut dyn Write, duration: &DurationExpr) -> fmt::Result {
    match duration.literal_ms() {
        Some(ms) => f.write_str(&format_duration(ms)),
        None => write!(f, "{duration}"),
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            DurationKind::Literal { seconds, is_duration } => number(f, *seconds, *is_duration),
            DurationKind::Step => f.write_str("step()"),
            DurationKind::Range => f.write_str("range()"),
            DurationKind::Unary { op, operand } => {
                // A plus changes nothing, so it is not printed.
                f.write_str(if *op == super::UnaryOp::Minus { "-" } else { "" })?;
                operand.fmt(f)
            }
            DurationKind::Paren(inner) => {
                f.write_char('(')?;
                inner.fmt(f)?;
                f.write_char(')')
            }
            DurationKind::Binary { op, lhs, rhs } => {
                lhs.fmt(f)?;
                f.write_char(' ')?;
                f.write_str(op.as_str())?;
                f.write_char(' ')?;
                rhs.fmt(f)
            }
            DurationKind::MinOf(lhs, rhs) => pair(f, "min_of(", lhs, rhs),
            DurationKind::MaxOf(lhs, rhs) => pair(f, "max_of(", lhs, rhs),
        }
    }
}

fn pair(f: &mut Formatter<'_>, open: &str, lhs: &DurationExpr, rhs: &DurationExpr) -> fmt::Result {
    f.write_str(open)?;
    lhs.fmt(f)?;
    f.write_str(", ")?;
    rhs.fmt(f)?;
    f.write_char(')')
}

/// A number in the form in which it was written. Durations are rounded to milliseconds here; the
/// reference cuts them off, so that it prints `1s1ms` as `1s`.
#[inline(never)]
fn number(f: &mut Formatter<'_>, value: f64, is_duration: bool) -> fmt::Result {
    if is_duration {
        f.write_str(&format_duration((value * 1e3).round() as i64))
    } else {
        f.write_str(&format_float_f(value))
    }
}
