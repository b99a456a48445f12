//! The tree as indented text, as `/api/v1/format_query` answers. What fits on a line stays on one.
//! Compat: `promql/parser/prettier.go`.

use std::fmt::{self, Write};

use super::{
    Expr, ExprKind,
    print::{Before, aggregate_head, is_arithmetic_op, operator, subquery_suffix},
};

/// Longer expressions are split.
const LINE_SIZE_BYTES_MAX: usize = 100;
const INDENT: &str = "  ";
/// Deeper levels are not indented further, so that the text grows with the query only.
const INDENT_LEVELS_MAX: usize = 100;

/// Prints the expression over as many lines as it needs.
pub fn pretty(expr: &Expr) -> String {
    pretty_while(expr, &|| true).expect("nobody stops this print")
}

/// [`pretty`], as long as `may_go_on` says so: every node looks whether it fits a line, and a leaf may
/// have megabytes.
pub(crate) fn pretty_while(expr: &Expr, may_go_on: &dyn Fn() -> bool) -> Option<String> {
    let mut out = Printer { text: String::new(), may_go_on };
    // A string takes all that is written; only a stop is an error.
    write_pretty(&mut out, &whole(expr), 0, true).ok().map(|()| out.text)
}

struct Printer<'a> {
    text: String,
    may_go_on: &'a dyn Fn() -> bool,
}

impl Write for Printer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text.push_str(text);
        Ok(())
    }
}

/// The first line is indented unless something stands before it.
fn write_pretty(
    out: &mut Printer<'_>,
    before: &Before<'_>,
    level: usize,
    is_first: bool,
) -> fmt::Result {
    let Before { expr, is_arithmetic } = *before;
    if !(out.may_go_on)() {
        return Err(fmt::Error);
    }
    if fits(before) {
        // Compat: a subquery that fits is not indented.
        let is_subquery = matches!(expr.kind, ExprKind::Subquery(_));
        indent(out, if is_first && !is_subquery { level } else { 0 });
        return write!(out, "{before}");
    }
    match &expr.kind {
        ExprKind::Binary(binary) => {
            let lhs = Before { expr: &binary.lhs, is_arithmetic: is_arithmetic_op(binary) };
            write_pretty(out, &lhs, level + 1, is_first)?;
            out.text.push('\n');
            indent(out, level);
            operator(out, binary)?;
            out.text.push('\n');
            let rhs = Before { expr: &binary.rhs, is_arithmetic };
            return write_pretty(out, &rhs, level + 1, true);
        }
        ExprKind::Subquery(subquery) => {
            write_pretty(out, &whole(&subquery.operand), level, is_first)?;
            return subquery_suffix(out, subquery, is_arithmetic);
        }
        _ => {}
    }
    indent(out, if is_first { level } else { 0 });
    match &expr.kind {
        ExprKind::Aggregate(aggregate) => {
            aggregate_head(out, aggregate)?;
            open(out);
            if let Some(param) = &aggregate.param {
                write_pretty(out, &whole(param), level + 1, true)?;
                out.text.push_str(",\n");
            }
            write_pretty(out, &whole(&aggregate.operand), level + 1, true)?;
            close(out, level);
        }
        ExprKind::Call(call) => {
            out.text.push_str(call.function.name);
            open(out);
            for (i, arg) in call.args.iter().enumerate() {
                out.text.push_str(if i > 0 { ",\n" } else { "" });
                write_pretty(out, &whole(arg), level + 1, true)?;
            }
            close(out, level);
        }
        ExprKind::Paren(inner) => {
            open(out);
            write_pretty(out, &whole(inner), level + 1, true)?;
            close(out, level);
        }
        ExprKind::Unary { op, operand } => {
            out.text.push_str(op.as_str());
            write_pretty(out, &Before { expr: operand, is_arithmetic }, level, false)?;
        }
        // Leaves are never split.
        _ => write!(out, "{before}")?,
    }
    Ok(())
}

fn open(out: &mut Printer<'_>) {
    out.text.push_str("(\n");
}

fn close(out: &mut Printer<'_>, level: usize) {
    out.text.push('\n');
    indent(out, level);
    out.text.push(')');
}

fn indent(out: &mut Printer<'_>, level: usize) {
    for _ in 0..level.min(INDENT_LEVELS_MAX) {
        out.text.push_str(INDENT);
    }
}

/// An expression behind which its surroundings put a delimiter.
fn whole(expr: &Expr) -> Before<'_> {
    Before { expr, is_arithmetic: false }
}

/// Prints no further than a line, as this is asked of every node.
fn fits(before: &Before<'_>) -> bool {
    let mut line = Line { room_bytes: LINE_SIZE_BYTES_MAX };
    write!(line, "{before}").is_ok()
}

/// Counts what is written and refuses what is too much.
#[derive(Debug)]
struct Line {
    room_bytes: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.room_bytes = self.room_bytes.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}
