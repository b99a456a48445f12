//! What stands behind an operand: brackets, `offset`, `@`, `anchored`, `smoothed`.

use super::{Halt, Node, Parsed, Parser};
use crate::syntax::{
    AtModifier, DurationExpr, Expr, ExprKind, MatrixSelector, RangeExtension, Span, Subquery,
    literal::go_int64,
    token::{Token, TokenKind},
};

impl Parser<'_> {
    /// An operand with all that stands behind it.
    pub(super) fn postfix(&mut self) -> Parsed<Node<Expr>> {
        let mut node = self.primary()?;
        loop {
            match self.peek()?.kind {
                TokenKind::LeftBracket => node = self.brackets(node)?,
                TokenKind::Offset => self.offset(&mut node.value)?,
                TokenKind::At => self.at(&mut node.value)?,
                TokenKind::Anchored | TokenKind::Smoothed => self.extension(&mut node.value)?,
                _ => return Ok(node),
            }
        }
    }

    /// `[5m]`, `[5m:]` or `[5m:1m]`.
    #[inline(never)]
    fn brackets(&mut self, node: Node<Expr>) -> Parsed<Node<Expr>> {
        let open = self.next()?;
        let range = self.positive_duration();
        let range = self.within(
            range,
            "subquery or range selector",
            "number, duration, step(), or range()",
        )?;
        let token = self.next()?;
        match token.kind {
            TokenKind::RightBracket => self.matrix(node, range, open, token),
            TokenKind::Colon => self.subquery(node, range),
            _ => {
                let unexpected = Err(Halt::Unexpected(token));
                self.within(unexpected, "subquery or range", "\":\" or \"]\"")
            }
        }
    }

    fn matrix(
        &mut self,
        node: Node<Expr>,
        range: DurationExpr,
        open: Token,
        close: Token,
    ) -> Parsed<Node<Expr>> {
        let brackets = Span { start: open.span.start, end: close.span.end };
        let Expr { kind: ExprKind::Vector(selector), span: selector_span } = *node.value else {
            return self.fail(brackets, "ranges only allowed for vector selectors");
        };
        if selector.offset.is_some() {
            return self.fail(brackets, "no offset modifiers allowed before range");
        }
        if selector.at.is_some() {
            return self.fail(brackets, "no @ modifiers allowed before range");
        }
        let span = Span { start: selector_span.start, end: close.span.end };
        let kind = ExprKind::Matrix(MatrixSelector { selector, selector_span, range });
        self.above(node.height, span, Expr { kind, span })
    }

    /// A subquery whose colon was read.
    fn subquery(&mut self, node: Node<Expr>, range: DurationExpr) -> Parsed<Node<Expr>> {
        const CONTEXT: &str = "subquery selector";
        let (step, close) = match self.take(TokenKind::RightBracket)? {
            Some(close) => (None, close),
            None => {
                let step = self.positive_duration();
                let expected = "number, duration, step(), range(), or \"]\"";
                let step = self.within(step, CONTEXT, expected)?;
                let close = self.expect(TokenKind::RightBracket);
                (Some(step), self.within(close, CONTEXT, "\"]\"")?)
            }
        };
        let span = Span { start: node.value.span.start, end: close.span.end };
        let operand = node.value;
        let kind = ExprKind::Subquery(Subquery { operand, range, step, offset: None, at: None });
        self.above(node.height, span, Expr { kind, span })
    }

    #[inline(never)]
    fn offset(&mut self, expr: &mut Expr) -> Parsed<()> {
        self.next()?;
        let duration = self.offset_duration();
        let duration = self.within(duration, "offset", "number, duration, step(), or range()")?;
        let offset = match &mut expr.kind {
            ExprKind::Vector(selector) => &mut selector.offset,
            ExprKind::Matrix(matrix) => &mut matrix.selector.offset,
            ExprKind::Subquery(subquery) => &mut subquery.offset,
            _ => {
                let message = "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
                return self.fail(expr.span, message);
            }
        };
        if offset.is_some() {
            return self.fail(expr.span, "offset may not be set multiple times");
        }
        expr.span.end = duration.span.end;
        // An offset of zero is none: it prints as nothing and may be set again.
        if duration.literal_ns() != Some(0) {
            *offset = Some(duration);
        }
        Ok(())
    }

    #[inline(never)]
    fn at(&mut self, expr: &mut Expr) -> Parsed<()> {
        self.next()?;
        let at = self.at_time(expr.span);
        let (at, end) = self.within(at, "@", "timestamp")?;
        let place = match &mut expr.kind {
            ExprKind::Vector(selector) => &mut selector.at,
            ExprKind::Matrix(matrix) => &mut matrix.selector.at,
            ExprKind::Subquery(subquery) => &mut subquery.at,
            _ => {
                let message = "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";
                return self.fail(expr.span, message);
            }
        };
        if place.is_some() {
            return self.fail(expr.span, "@ <timestamp> may not be set multiple times");
        }
        *place = Some(at);
        expr.span.end = end;
        Ok(())
    }

    /// A time in seconds, `start()` or `end()`, and where it ends. A time that is out of bounds is an
    /// error of the expression at `span`.
    fn at_time(&mut self, span: Span) -> Parsed<(AtModifier, u32)> {
        let token = self.peek()?;
        let at = match token.kind {
            TokenKind::Start => AtModifier::Start,
            TokenKind::End => AtModifier::End,
            _ => {
                let (seconds, end) = self.signed_number()?;
                if !seconds.is_finite() || seconds.abs() >= i64::MAX as f64 {
                    let shown = match seconds {
                        f64::INFINITY => "+Inf".to_owned(),
                        f64::NEG_INFINITY => "-Inf".to_owned(),
                        seconds => format!("{seconds:.6}"),
                    };
                    let message = format!("timestamp out of bounds for @ modifier: {shown}");
                    return self.fail(span, message);
                }
                return Ok((AtModifier::Time(go_int64((seconds * 1e3).round())), end));
            }
        };
        self.next()?;
        self.expect(TokenKind::LeftParen)?;
        let close = self.expect(TokenKind::RightParen)?;
        Ok((at, close.span.end))
    }

    #[inline(never)]
    fn extension(&mut self, expr: &mut Expr) -> Parsed<()> {
        let token = self.next()?;
        let (name, extension) = match token.kind {
            TokenKind::Anchored => ("anchored", RangeExtension::Anchored),
            _ => ("smoothed", RangeExtension::Smoothed),
        };
        if !self.options.extended_range_selectors {
            let message = format!("{name} modifier is experimental and not enabled");
            return self.fail(expr.span, message);
        }
        let place = match &mut expr.kind {
            ExprKind::Vector(selector) => &mut selector.extension,
            ExprKind::Matrix(matrix) => &mut matrix.selector.extension,
            ExprKind::Subquery(_) => {
                let message = format!("{name} modifier is not supported for subqueries");
                return self.fail(expr.span, message);
            }
            _ => return self.fail(expr.span, format!("{name} modifier not implemented")),
        };
        if place.is_some_and(|set| set != extension) {
            let message = "anchored and smoothed modifiers cannot be used together";
            return self.fail(expr.span, message);
        }
        *place = Some(extension);
        expr.span.end = token.span.end;
        Ok(())
    }
}
