//! The tree as JSON, as `/api/v1/parse_query` answers: keys in order of the alphabet, no positions.
//! Compat: `web/api/v1/translate_ast.go`.

use prom_model::{Matcher, format_float, format_float_f};

use super::{
    AtModifier, Binary, Call, DurationExpr, DurationKind, Expr, ExprKind, MatchCardinality,
    RangeExtension, Subquery, UnaryOp, VectorMatching, VectorSelector,
};

/// The tree in the form of the reference's API.
pub fn parse_query_json(expr: &Expr) -> String {
    let mut out = Writer { out: String::new() };
    out.expr(expr);
    out.out
}

#[derive(Debug)]
struct Writer {
    out: String,
}

impl Writer {
    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Number { value, .. } => {
                self.raw(r#"{"type":"numberLiteral","val":""#);
                self.raw(&format_float_f(*value));
                self.raw(r#""}"#);
            }
            ExprKind::String(literal) => {
                self.raw(r#"{"type":"stringLiteral","val":"#);
                self.string(&literal.text);
                self.raw("}");
            }
            ExprKind::Vector(selector) => {
                self.selector(selector, None);
                self.raw(r#","type":"vectorSelector"}"#);
            }
            ExprKind::Matrix(matrix) => {
                self.selector(&matrix.selector, Some(&matrix.range));
                self.raw(r#","type":"matrixSelector"}"#);
            }
            ExprKind::Subquery(subquery) => self.subquery(subquery),
            ExprKind::Paren(inner) => {
                self.raw(r#"{"expr":"#);
                self.expr(inner);
                self.raw(r#","type":"parenExpr"}"#);
            }
            ExprKind::Unary { op, operand } => {
                self.raw(r#"{"expr":"#);
                self.expr(operand);
                self.raw(r#","op":"#);
                self.string(op.as_str());
                self.raw(r#","type":"unaryExpr"}"#);
            }
            ExprKind::Binary(binary) => self.binary(binary),
            ExprKind::Aggregate(aggregate) => {
                self.raw(r#"{"expr":"#);
                self.expr(&aggregate.operand);
                self.raw(r#","grouping":"#);
                self.strings(&aggregate.labels);
                self.raw(r#","op":"#);
                self.string(aggregate.op.as_str());
                self.raw(r#","param":"#);
                match &aggregate.param {
                    Some(param) => self.expr(param),
                    None => self.raw("null"),
                }
                self.raw(r#","type":"aggregation","without":"#);
                self.bool(aggregate.is_without);
                self.raw("}");
            }
            ExprKind::Call(call) => self.call(call),
        }
    }

    fn binary(&mut self, binary: &Binary) {
        self.raw(r#"{"bool":"#);
        self.bool(binary.returns_bool);
        self.raw(r#","lhs":"#);
        self.expr(&binary.lhs);
        self.raw(r#","matching":"#);
        match &binary.matching {
            Some(matching) => self.matching(matching),
            None => self.raw("null"),
        }
        self.raw(r#","op":"#);
        self.string(binary.op.as_str());
        self.raw(r#","rhs":"#);
        self.expr(&binary.rhs);
        self.raw(r#","type":"binaryExpr"}"#);
    }

    fn matching(&mut self, matching: &VectorMatching) {
        self.raw(r#"{"card":""#);
        self.raw(match matching.cardinality {
            MatchCardinality::OneToOne => "one-to-one",
            MatchCardinality::ManyToOne => "many-to-one",
            MatchCardinality::OneToMany => "one-to-many",
            MatchCardinality::ManyToMany => "many-to-many",
        });
        self.raw(r#"","fillValues":{"lhs":"#);
        self.float(matching.fill_left);
        self.raw(r#","rhs":"#);
        self.float(matching.fill_right);
        self.raw(r#"},"include":"#);
        self.strings(&matching.include);
        self.raw(r#","labels":"#);
        self.strings(&matching.labels);
        self.raw(r#","on":"#);
        self.bool(matching.is_on);
        self.raw("}");
    }

    fn call(&mut self, call: &Call) {
        self.raw(r#"{"args":"#);
        self.list(&call.args, Self::expr);
        let function = call.function;
        self.raw(r#","func":{"argTypes":"#);
        self.list(function.arg_types, |out, kind| out.string(&kind.to_string()));
        self.raw(r#","name":"#);
        self.string(function.name);
        self.raw(r#","returnType":"#);
        self.string(&function.return_type.to_string());
        self.raw(r#","variadic":"#);
        self.raw(&function.variadic.to_string());
        self.raw(r#"},"type":"call"}"#);
    }

    fn subquery(&mut self, subquery: &Subquery) {
        self.raw(r#"{"expr":"#);
        self.expr(&subquery.operand);
        self.duration(r#","offset":"#, r#","offsetExpr":"#, subquery.offset.as_ref());
        self.duration(r#","range":"#, r#","rangeExpr":"#, Some(&subquery.range));
        self.raw(r#","startOrEnd":"#);
        self.start_or_end(subquery.at);
        self.duration(r#","step":"#, r#","stepExpr":"#, subquery.step.as_ref());
        self.raw(r#","timestamp":"#);
        self.timestamp(subquery.at);
        self.raw(r#","type":"subquery"}"#);
    }

    /// A selector up to its type; a matrix has a range.
    fn selector(&mut self, selector: &VectorSelector, range: Option<&DurationExpr>) {
        self.raw(r#"{"anchored":"#);
        self.bool(selector.extension == Some(RangeExtension::Anchored));
        self.raw(r#","matchers":"#);
        self.list(&selector.matchers, Self::matcher);
        self.raw(r#","name":"#);
        self.string(selector.name.as_deref().unwrap_or_default());
        self.duration(r#","offset":"#, r#","offsetExpr":"#, selector.offset.as_ref());
        if let Some(range) = range {
            self.duration(r#","range":"#, r#","rangeExpr":"#, Some(range));
        }
        self.raw(r#","smoothed":"#);
        self.bool(selector.extension == Some(RangeExtension::Smoothed));
        self.raw(r#","startOrEnd":"#);
        self.start_or_end(selector.at);
        self.raw(r#","timestamp":"#);
        self.timestamp(selector.at);
    }

    fn matcher(&mut self, matcher: &Matcher) {
        self.raw(r#"{"name":"#);
        self.string(matcher.name());
        self.raw(r#","type":"#);
        self.string(matcher.op().as_str());
        self.raw(r#","value":"#);
        self.string(matcher.value());
        self.raw("}");
    }

    /// Milliseconds of a bare literal under the first key, anything else as a tree under the second.
    fn duration(&mut self, ms_key: &str, tree_key: &str, duration: Option<&DurationExpr>) {
        let ms = duration.and_then(DurationExpr::literal_ms);
        self.raw(ms_key);
        self.raw(&ms.unwrap_or_default().to_string());
        self.raw(tree_key);
        match duration.filter(|_| ms.is_none()) {
            Some(duration) => self.duration_expr(duration, false),
            None => self.raw("null"),
        }
    }

    /// Parentheses are a mark on what they hold; a literal in them gets a plus to carry the mark.
    fn duration_expr(&mut self, duration: &DurationExpr, is_wrapped: bool) {
        match &duration.kind {
            DurationKind::Literal { .. } if is_wrapped => {
                self.duration_node(None, "+", Some(duration), true);
            }
            DurationKind::Literal { seconds, is_duration } => {
                self.raw(r#"{"duration":"#);
                self.bool(*is_duration);
                self.raw(r#","type":"numberLiteral","val":""#);
                self.raw(&format_float_f(*seconds));
                self.raw(r#""}"#);
            }
            DurationKind::Paren(inner) => self.duration_expr(inner, true),
            DurationKind::Step => self.duration_node(None, "step", None, is_wrapped),
            DurationKind::Range => self.duration_node(None, "range", None, is_wrapped),
            DurationKind::Unary { op, operand } => {
                let op = if *op == UnaryOp::Minus { "-" } else { "+" };
                self.duration_node(None, op, Some(operand), is_wrapped);
            }
            DurationKind::Binary { op, lhs, rhs } => {
                self.duration_node(Some(lhs), op.as_str(), Some(rhs), is_wrapped);
            }
            DurationKind::MinOf(lhs, rhs) => {
                self.duration_node(Some(lhs), "min_of", Some(rhs), is_wrapped);
            }
            DurationKind::MaxOf(lhs, rhs) => {
                self.duration_node(Some(lhs), "max_of", Some(rhs), is_wrapped);
            }
        }
    }

    fn duration_node(
        &mut self,
        lhs: Option<&DurationExpr>,
        op: &str,
        rhs: Option<&DurationExpr>,
        is_wrapped: bool,
    ) {
        self.raw(r#"{"lhs":"#);
        self.operand(lhs);
        self.raw(r#","op":"#);
        self.string(op);
        self.raw(r#","rhs":"#);
        self.operand(rhs);
        self.raw(r#","type":"durationExpr","wrapped":"#);
        self.bool(is_wrapped);
        self.raw("}");
    }

    fn operand(&mut self, operand: Option<&DurationExpr>) {
        match operand {
            Some(operand) => self.duration_expr(operand, false),
            None => self.raw("null"),
        }
    }

    fn start_or_end(&mut self, at: Option<AtModifier>) {
        self.raw(match at {
            Some(AtModifier::Start) => r#""start""#,
            Some(AtModifier::End) => r#""end""#,
            Some(AtModifier::Time(_)) | None => "null",
        });
    }

    fn timestamp(&mut self, at: Option<AtModifier>) {
        match at {
            Some(AtModifier::Time(ms)) => self.raw(&ms.to_string()),
            _ => self.raw("null"),
        }
    }

    /// JSON has no infinities; the reference fails on them.
    fn float(&mut self, value: Option<f64>) {
        match value.filter(|value| value.is_finite()) {
            Some(value) => self.raw(&format_float(value)),
            None => self.raw("null"),
        }
    }

    fn bool(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    fn strings(&mut self, texts: &[String]) {
        self.list(texts, |out, text| out.string(text));
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.raw("[");
        for (i, item) in items.iter().enumerate() {
            self.raw(if i > 0 { "," } else { "" });
            write(self, item);
        }
        self.raw("]");
    }

    /// Compat: Go's `encoding/json`, which also escapes what HTML and JavaScript take amiss.
    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.out.extend(['\\', c]),
                '\n' => self.raw("\\n"),
                '\r' => self.raw("\\r"),
                '\t' => self.raw("\\t"),
                '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    self.raw(&format!("\\u{:04x}", c as u32));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }
}
