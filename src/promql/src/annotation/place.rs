//! Which of several places of one remark is told: the one whose operation the reference evaluates last.
//! Compat: Prometheus `util/annotations/annotations.go`, where a later remark takes the place of an equal one.

use std::collections::HashMap;

use crate::syntax::{Expr, ExprKind, ParseOptions, Span, parse};

/// The place among `spans`, of which there is one at least, that is evaluated last.
pub(super) fn latest(query: &str, spans: &[Span]) -> Span {
    let mut turns = Turns::default();
    if let Ok(expr) = parse(query, &ParseOptions::ALL) {
        turns.walk(&expr);
    }
    let turn = |span: &Span| (turns.by_place.get(&place(*span)).copied(), span.start);
    spans.iter().copied().max_by_key(turn).unwrap_or(Span { start: 0, end: 0 })
}

/// When each place has its turn: operands before their operation.
#[derive(Debug, Default)]
struct Turns {
    by_place: HashMap<(u32, u32), usize>,
    count: usize,
}

impl Turns {
    fn walk(&mut self, expr: &Expr) {
        let operands: Vec<&Expr> = match &expr.kind {
            ExprKind::Number { .. } | ExprKind::String(_) => Vec::new(),
            ExprKind::Vector(_) | ExprKind::Matrix(_) => Vec::new(),
            ExprKind::Subquery(subquery) => vec![&subquery.operand],
            ExprKind::Paren(inner) => vec![inner],
            ExprKind::Unary { operand, .. } => vec![operand],
            ExprKind::Binary(binary) => vec![&binary.lhs, &binary.rhs],
            ExprKind::Aggregate(aggregate) => {
                aggregate.param.iter().chain([&aggregate.operand]).collect()
            }
            ExprKind::Call(call) => call.args.iter().collect(),
        };
        operands.iter().for_each(|operand| self.walk(operand));
        self.count += 1;
        self.by_place.insert(place(expr.span), self.count);
        // Functions and aggregations tell the places of their arguments.
        if matches!(expr.kind, ExprKind::Aggregate(_) | ExprKind::Call(_)) {
            for operand in operands {
                self.by_place.insert(place(operand.span), self.count);
            }
        }
    }
}

fn place(span: Span) -> (u32, u32) {
    (span.start, span.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_come_after_their_operands() {
        let check = |query: &str, texts: &[&str], expected: u32| {
            let mut from = 0;
            let spans: Vec<Span> = texts
                .iter()
                .map(|text| {
                    let start = from + query[from..].find(text).expect("it is there");
                    from = start + text.len();
                    Span { start: start as u32, end: from as u32 }
                })
                .collect();
            assert_eq!(latest(query, &spans).start, expected, "{query}");
        };
        check("quantile(2, quantile(2, x))", &["2", "2"], 9);
        check("quantile(2, x) + quantile(2, x)", &["2", "2"], 26);
        check("quantile(2, rate(x[1m]) + quantile(2, x))", &["2", "2"], 9);
        check("rate(x[1m]) + rate(x[1m])", &["x[1m]", "x[1m]"], 19);
        check("no query (", &["no", "query"], 3);
    }
}
