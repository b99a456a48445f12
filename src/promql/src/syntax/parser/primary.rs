//! Operands: literals, parentheses, calls, aggregations.

use prom_model::quote_go;

use super::{Halt, Node, Parsed, Parser};
use crate::{
    functions::function,
    syntax::{
        Aggregate, AggregateOp, Call, Expr, ExprKind, Span, StringLiteral, UnaryOp,
        literal::{parse_number, unquote},
        token::{Token, TokenKind},
    },
};

/// What an aggregation has around its operator.
#[derive(Debug)]
struct AggregateParts {
    labels: Vec<String>,
    is_without: bool,
    args: Box<Args>,
    end: u32,
}

/// Arguments in parentheses.
#[derive(Debug)]
struct Args {
    exprs: Vec<Expr>,
    height: u32,
    end: u32,
}

impl Args {
    #[inline(never)]
    fn push(&mut self, arg: Node<Expr>) {
        self.height = self.height.max(arg.height);
        self.exprs.push(*arg.value);
    }
}

impl Parser<'_> {
    /// An operand without anything behind it.
    pub(super) fn primary(&mut self) -> Parsed<Node<Expr>> {
        let token = self.next()?;
        self.count_node(token.span)?;
        match token.kind {
            TokenKind::LeftParen => self.paren(token),
            TokenKind::Aggregate(op) if self.is_aggregation_next()? => self.aggregate(op, token),
            kind if self.is_call_next(kind)? => self.call(token),
            _ => self.leaf(token),
        }
    }

    /// Literals and selectors.
    #[inline(never)]
    fn leaf(&mut self, token: Token) -> Parsed<Node<Expr>> {
        let (kind, span) = match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let value = self.number_value(token)?;
                let is_duration = token.kind == TokenKind::Duration;
                (ExprKind::Number { value, is_duration }, token.span)
            }
            TokenKind::String => (ExprKind::String(self.string(token)?), token.span),
            TokenKind::LeftBrace => {
                let (selector, span) = self.nameless_selector(token)?;
                (ExprKind::Vector(selector), span)
            }
            kind if kind.is_metric_name() => {
                let (selector, span) = self.named_selector(token)?;
                (ExprKind::Vector(selector), span)
            }
            _ => return Err(Halt::Unexpected(token)),
        };
        Ok(Node::leaf(Expr { kind, span }))
    }

    fn is_aggregation_next(&mut self) -> Parsed<bool> {
        let kind = self.peek()?.kind;
        Ok(matches!(kind, TokenKind::By | TokenKind::Without | TokenKind::LeftParen))
    }

    fn is_call_next(&mut self, kind: TokenKind) -> Parsed<bool> {
        let can_be_function = kind == TokenKind::Identifier || kind.is_function_keyword();
        Ok(can_be_function && self.peek()?.kind == TokenKind::LeftParen)
    }

    fn paren(&mut self, open: Token) -> Parsed<Node<Expr>> {
        let inner = self.expr()?;
        let close = self.expect(TokenKind::RightParen)?;
        let span = Span { start: open.span.start, end: close.span.end };
        let kind = ExprKind::Paren(inner.value);
        self.above(inner.height, span, Expr { kind, span })
    }

    fn call(&mut self, name: Token) -> Parsed<Node<Expr>> {
        let args = self.args()?;
        self.finish_call(name, *args)
    }

    #[inline(never)]
    fn finish_call(&mut self, name: Token, args: Args) -> Parsed<Node<Expr>> {
        let text = self.text(name);
        let Some(function) = function(text) else {
            return self.fail(name.span, format!("unknown function with name {}", quote_go(text)));
        };
        if function.is_experimental && !self.options.experimental_functions {
            return self.fail(name.span, format!("function {} is not enabled", quote_go(text)));
        }
        let span = Span { start: name.span.start, end: args.end };
        let kind = ExprKind::Call(Call { function, args: args.exprs });
        self.above(args.height, span, Expr { kind, span })
    }

    fn args(&mut self) -> Parsed<Box<Args>> {
        self.expect(TokenKind::LeftParen)?;
        let mut args = Box::new(Args { exprs: Vec::new(), height: 0, end: 0 });
        if let Some(close) = self.take(TokenKind::RightParen)? {
            args.end = close.span.end;
            return Ok(args);
        }
        loop {
            let arg = self.expr()?;
            args.push(arg);
            let token = self.next()?;
            match token.kind {
                TokenKind::RightParen => {
                    args.end = token.span.end;
                    return Ok(args);
                }
                TokenKind::Comma if self.peek()?.kind.starts_expr() => {}
                TokenKind::Comma => {
                    let message = "trailing commas not allowed in function call args";
                    return self.fail(token.span, message);
                }
                _ => return Err(Halt::Unexpected(token)),
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp, token: Token) -> Parsed<Node<Expr>> {
        let parts = self.aggregate_parts();
        let parts = self.within(parts, "aggregation", "")?;
        self.finish_aggregate(op, token, *parts)
    }

    #[inline(never)]
    fn finish_aggregate(
        &mut self,
        op: AggregateOp,
        token: Token,
        parts: AggregateParts,
    ) -> Parsed<Node<Expr>> {
        let span = Span { start: token.span.start, end: parts.end };
        let Args { exprs, height, .. } = *parts.args;
        if exprs.is_empty() {
            return self.fail(span, "no arguments for aggregate expression provided");
        }
        if op.is_experimental() && !self.options.experimental_functions {
            let message = format!(
                "{op}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
            );
            return self.fail(span, message);
        }
        let count = exprs.len();
        let mut exprs = exprs.into_iter();
        let (param, operand) = match (op.has_param(), exprs.next(), exprs.next(), count) {
            (true, param, Some(operand), 2) => (param, operand),
            (false, Some(operand), None, 1) => (None, operand),
            (has_param, ..) => {
                let wanted = 1 + usize::from(has_param);
                let message = format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {count}"
                );
                return self.fail(span, message);
            }
        };
        let AggregateParts { labels, is_without, .. } = parts;
        let kind =
            ExprKind::Aggregate(Box::new(Aggregate { op, operand, param, labels, is_without }));
        self.above(height, span, Expr { kind, span })
    }

    /// `by (a) (expr)`, `(expr) by (a)` or `(expr)`.
    fn aggregate_parts(&mut self) -> Parsed<Box<AggregateParts>> {
        if self.peek()?.kind == TokenKind::LeftParen {
            let args = self.args()?;
            let mut end = args.end;
            let (mut is_without, mut labels) = (false, Vec::new());
            let kind = self.peek()?.kind;
            if matches!(kind, TokenKind::By | TokenKind::Without) {
                (is_without, labels, end) = self.aggregate_modifier()?;
            }
            return Ok(Box::new(AggregateParts { labels, is_without, args, end }));
        }
        let (is_without, labels, _) = self.aggregate_modifier()?;
        let args = self.args()?;
        let end = args.end;
        Ok(Box::new(AggregateParts { labels, is_without, args, end }))
    }

    fn aggregate_modifier(&mut self) -> Parsed<(bool, Vec<String>, u32)> {
        let is_without = self.next()?.kind == TokenKind::Without;
        let (labels, end) = self.grouping_labels()?;
        Ok((is_without, labels, end))
    }

    /// A number or duration with at most one sign, as a float, and where it ends.
    pub(super) fn signed_number(&mut self) -> Parsed<(f64, u32)> {
        let op = super::binary::sign(self.peek()?.kind);
        if op.is_some() {
            self.next()?;
        }
        let token = self.next()?;
        let value = self.number_value(token)?;
        Ok((if op == Some(UnaryOp::Minus) { -value } else { value }, token.span.end))
    }

    /// The value of a number, or of a duration in seconds.
    pub(super) fn number_value(&mut self, token: Token) -> Parsed<f64> {
        let text = self.text(token);
        match token.kind {
            TokenKind::Number => parse_number(text)
                .or_else(|err| self.fail(token.span, format!("error parsing number: {err}"))),
            TokenKind::Duration => match prom_model::parse_duration(text) {
                Ok(ms) => Ok((ms / 1_000) as f64 + (ms % 1_000) as f64 / 1e3),
                Err(err) => self.fail(token.span, err.to_string()),
            },
            _ => Err(Halt::Unexpected(token)),
        }
    }

    /// The text of a string where bytes that are no UTF-8 make no difference: no label has them.
    pub(super) fn unquote(&self, token: Token) -> Parsed<String> {
        self.string(token).map(|literal| literal.text)
    }

    fn string(&self, token: Token) -> Parsed<StringLiteral> {
        let text = self.text(token);
        match unquote(text) {
            Some(literal) => Ok(literal),
            None => {
                let message = format!("error unquoting string {}: invalid syntax", quote_go(text));
                self.fail(token.span, message)
            }
        }
    }
}
