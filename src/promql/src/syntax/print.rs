//! The tree as one line of text that parses to the same tree. Compat: `promql/parser/printer.go`.

use std::fmt::{self, Display, Formatter, Write};

use prom_model::{
    NameValidation, format_duration, format_float_f, format_float_g, quote_go, quote_go_bytes,
};

use super::{
    Aggregate, AtModifier, Binary, BinaryOp, DurationExpr, DurationKind, Expr, ExprKind,
    MatchCardinality, MatrixSelector, RangeExtension, Subquery, VectorMatching, VectorSelector,
};

/// How much of a text is quoted at once.
const QUOTED_PIECE_SIZE_BYTES: usize = 256;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Before { expr: self, is_arithmetic: false }.fmt(f)
    }
}

/// An expression and whether an arithmetic operator follows it, which an offset at its end would take
/// for its own.
#[derive(Debug)]
pub(super) struct Before<'e> {
    pub(super) expr: &'e Expr,
    pub(super) is_arithmetic: bool,
}

impl Display for Before<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let is_arithmetic = self.is_arithmetic;
        match &self.expr.kind {
            ExprKind::Number { value, is_duration } => number(f, *value, *is_duration),
            ExprKind::String(literal) => match &literal.bytes {
                Some(bytes) => f.write_str(&readable(quote_go_bytes(bytes))),
                None => quoted(f, &literal.text),
            },
            ExprKind::Vector(vector) => {
                matchers(f, vector)?;
                at(f, vector.at)?;
                extension(f, vector.extension)?;
                offset(f, vector.offset.as_ref(), is_arithmetic)
            }
            ExprKind::Matrix(matrix) => self.matrix(f, matrix),
            ExprKind::Subquery(subquery) => {
                subquery.operand.fmt(f)?;
                subquery_suffix(f, subquery, is_arithmetic)
            }
            ExprKind::Paren(inner) => {
                f.write_char('(')?;
                inner.fmt(f)?;
                f.write_char(')')
            }
            ExprKind::Unary { op, operand } => {
                f.write_str(op.as_str())?;
                Before { expr: operand, is_arithmetic }.fmt(f)
            }
            ExprKind::Binary(binary) => {
                Before { expr: &binary.lhs, is_arithmetic: is_arithmetic_op(binary) }.fmt(f)?;
                f.write_char(' ')?;
                operator(f, binary)?;
                f.write_char(' ')?;
                Before { expr: &binary.rhs, is_arithmetic }.fmt(f)
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

impl Before<'_> {
    fn matrix(&self, f: &mut Formatter<'_>, matrix: &MatrixSelector) -> fmt::Result {
        matchers(f, &matrix.selector)?;
        f.write_char('[')?;
        range(f, &matrix.range)?;
        f.write_char(']')?;
        extension(f, matrix.selector.extension)?;
        at(f, matrix.selector.at)?;
        offset(f, matrix.selector.offset.as_ref(), self.is_arithmetic)
    }
}

/// Whether the operator is one of duration expressions too.
pub(super) fn is_arithmetic_op(binary: &Binary) -> bool {
    matches!(
        binary.op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::Pow
    )
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

/// Quotes piece by piece: whoever only asks whether a text fits stops it after the first.
fn quoted(f: &mut dyn Write, text: &str) -> fmt::Result {
    f.write_char('"')?;
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(QUOTED_PIECE_SIZE_BYTES));
        let piece = readable(quote_go(piece));
        f.write_str(&piece[1..piece.len() - 1])?;
        rest = behind;
    }
    f.write_char('"')
}

/// The lexer takes U+FFFD for broken UTF-8 unless it is written as an escape.
fn readable(quoted: String) -> String {
    if quoted.contains(char::REPLACEMENT_CHARACTER) {
        quoted.replace(char::REPLACEMENT_CHARACTER, "\\ufffd")
    } else {
        quoted
    }
}

fn labels(f: &mut dyn Write, labels: &[String]) -> fmt::Result {
    f.write_char('(')?;
    for (i, label) in labels.iter().enumerate() {
        f.write_str(if i > 0 { ", " } else { "" })?;
        if NameValidation::Legacy.is_valid_label_name(label) {
            f.write_str(label)?;
        } else {
            quoted(f, label)?;
        }
    }
    f.write_char(')')
}

/// `[5m:1m] @ end() offset 1h`.
pub(super) fn subquery_suffix(
    f: &mut dyn Write,
    subquery: &Subquery,
    is_before_arithmetic: bool,
) -> fmt::Result {
    f.write_char('[')?;
    range(f, &subquery.range)?;
    f.write_char(':')?;
    if let Some(step) = &subquery.step {
        range(f, step)?;
    }
    f.write_char(']')?;
    at(f, subquery.at)?;
    offset(f, subquery.offset.as_ref(), is_before_arithmetic)
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
    let mut others: Vec<String> = others.map(|matcher| readable(matcher.to_string())).collect();
    if others.is_empty() {
        // Only `info` takes a selector of nothing.
        return f.write_str(if name.is_empty() { "{}" } else { "" });
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

fn offset(
    f: &mut dyn Write,
    offset: Option<&DurationExpr>,
    is_before_arithmetic: bool,
) -> fmt::Result {
    let Some(offset) = offset else { return Ok(()) };
    f.write_str(" offset ")?;
    match offset_end(offset) {
        OffsetEnd::Early => {
            let plus = if is_before_arithmetic { "+" } else { "" };
            write!(f, "{plus}({offset})")
        }
        OffsetEnd::Open if is_before_arithmetic => match offset.kind {
            DurationKind::Paren(_) => write!(f, "+{offset}"),
            _ => write!(f, "+({offset})"),
        },
        OffsetEnd::Open | OffsetEnd::Closed => range(f, offset),
    }
}

/// Where an offset would end, were its text read again. The grammar lets operators go on behind
/// parentheses and double signs only; the reference prints without regard to that, so that some of its
/// texts mean something else or nothing.
#[derive(Debug)]
enum OffsetEnd {
    /// Before its own end.
    Early,
    /// Behind whatever arithmetic follows it.
    Open,
    /// Where it ends.
    Closed,
}

fn offset_end(offset: &DurationExpr) -> OffsetEnd {
    let mut first = offset;
    while let DurationKind::Binary { lhs, .. } = &first.kind {
        first = lhs;
    }
    let operand = match &first.kind {
        DurationKind::Paren(_) => return OffsetEnd::Open,
        DurationKind::Unary { operand, .. } => Some(&operand.kind),
        _ => None,
    };
    match operand {
        Some(DurationKind::Unary { .. }) => OffsetEnd::Open,
        Some(DurationKind::Binary { .. }) => OffsetEnd::Early,
        _ if matches!(offset.kind, DurationKind::Binary { .. }) => OffsetEnd::Early,
        _ => OffsetEnd::Closed,
    }
}

/// A bare literal as a duration if it is one of whole milliseconds, anything else as it stands.
fn range(f: &mut dyn Write, duration: &DurationExpr) -> fmt::Result {
    match duration.literal_ns() {
        Some(ns) if ns % 1_000_000 == 0 => f.write_str(&format_duration(ns / 1_000_000)),
        _ => write!(f, "{duration}"),
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
