//! Duration expressions in brackets and behind `offset`.

use super::{Halt, Node, Parsed, Parser, binary::sign};
use crate::syntax::{
    DurationExpr, DurationKind, DurationOp, Span, UnaryOp,
    token::{Token, TokenKind},
};

/// The most seconds that fit into a Go duration.
const SECONDS_MAX: f64 = (1u64 << 63) as f64 / 1e9;

const POWER: u8 = 3;

fn duration_op(kind: TokenKind) -> Option<(DurationOp, u8)> {
    Some(match kind {
        TokenKind::Add => (DurationOp::Add, 1),
        TokenKind::Sub => (DurationOp::Sub, 1),
        TokenKind::Mul => (DurationOp::Mul, 2),
        TokenKind::Div => (DurationOp::Div, 2),
        TokenKind::Mod => (DurationOp::Mod, 2),
        TokenKind::Pow => (DurationOp::Pow, POWER),
        _ => return None,
    })
}

impl Parser<'_> {
    /// A duration in brackets; a literal must be positive.
    pub(super) fn positive_duration(&mut self) -> Parsed<DurationExpr> {
        let duration = *self.durations(1)?.value;
        match duration.kind {
            DurationKind::Literal { seconds, .. } if seconds <= 0.0 => {
                self.fail(duration.span, "duration must be greater than 0")
            }
            _ => Ok(duration),
        }
    }

    /// A duration behind `offset`. Operators go on only behind parentheses or a second sign, so that
    /// `foo offset 5m + 3` is a sum of vectors.
    pub(super) fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        let token = self.peek()?;
        if token.kind == TokenKind::LeftParen {
            return Ok(*self.durations(1)?.value);
        }
        let Some(op) = sign(token.kind) else { return Ok(*self.duration_operand()?.value) };
        self.next()?;
        if sign(self.peek()?.kind).is_some() {
            let operand = self.duration_powers()?;
            let operand = self.apply_sign(op, token, operand)?;
            return Ok(*self.more_durations(operand, 1)?.value);
        }
        let behind = self.peek()?;
        if matches!(behind.kind, TokenKind::Number | TokenKind::Duration) {
            self.next()?;
            // Compat: here, and only here, the sign is blamed for a number that is too large.
            let literal = self.duration_literal(behind, token.span)?;
            return Ok(*self.apply_sign(op, token, literal)?.value);
        }
        let operand = self.duration_operand()?;
        match operand.value.kind {
            DurationKind::Paren(_) => Ok(*self.apply_sign(op, token, operand)?.value),
            // Even a plus is kept here; the tree as JSON shows it.
            _ => Ok(*self.signed_duration(op, token, operand)?.value),
        }
    }

    /// Operands joined by operators that bind at least as tightly as `precedence_min`.
    fn durations(&mut self, precedence_min: u8) -> Parsed<Node<DurationExpr>> {
        self.enter()?;
        let lhs = self.duration_powers()?;
        let whole = self.more_durations(lhs, precedence_min)?;
        self.leave();
        Ok(whole)
    }

    fn more_durations(
        &mut self,
        mut lhs: Node<DurationExpr>,
        precedence_min: u8,
    ) -> Parsed<Node<DurationExpr>> {
        loop {
            let token = self.peek()?;
            let Some((op, precedence)) = duration_op(token.kind) else { return Ok(lhs) };
            if precedence < precedence_min {
                return Ok(lhs);
            }
            self.next()?;
            let is_right_associative = precedence == POWER;
            let rhs = self.durations(precedence + u8::from(!is_right_associative))?;
            lhs = self.join_durations(lhs, (op, token.span), rhs)?;
        }
    }

    fn join_durations(
        &mut self,
        lhs: Node<DurationExpr>,
        (op, op_span): (DurationOp, Span),
        rhs: Node<DurationExpr>,
    ) -> Parsed<Node<DurationExpr>> {
        if matches!(rhs.value.kind, DurationKind::Literal { seconds: 0.0, .. }) {
            match op {
                DurationOp::Div => return self.fail(op_span, "division by zero"),
                DurationOp::Mod => return self.fail(op_span, "modulo by zero"),
                _ => {}
            }
        }
        let span = Span { start: lhs.value.span.start, end: rhs.value.span.end };
        let height = lhs.height.max(rhs.height);
        let kind = DurationKind::Binary { op, lhs: lhs.value, rhs: rhs.value };
        self.above(height, span, DurationExpr { kind, span })
    }

    /// Signs and what they stand before; a power binds more tightly than a sign.
    fn duration_powers(&mut self) -> Parsed<Node<DurationExpr>> {
        let signs = self.signs()?;
        if signs.is_empty() {
            return self.duration_operand();
        }
        let mut operand = self.durations(POWER)?;
        for (op, token) in signs.into_iter().rev() {
            operand = self.apply_sign(op, token, operand)?;
        }
        Ok(operand)
    }

    /// A sign changes a literal itself; a plus before anything else is dropped.
    fn apply_sign(
        &mut self,
        op: UnaryOp,
        token: Token,
        mut operand: Node<DurationExpr>,
    ) -> Parsed<Node<DurationExpr>> {
        match (&mut operand.value.kind, op) {
            (DurationKind::Literal { seconds, .. }, _) => {
                if op == UnaryOp::Minus {
                    *seconds = -*seconds;
                }
                operand.value.span.start = token.span.start;
                Ok(operand)
            }
            (_, UnaryOp::Plus) => Ok(operand),
            (_, UnaryOp::Minus) => self.signed_duration(op, token, operand),
        }
    }

    fn signed_duration(
        &mut self,
        op: UnaryOp,
        token: Token,
        operand: Node<DurationExpr>,
    ) -> Parsed<Node<DurationExpr>> {
        let span = Span { start: token.span.start, end: operand.value.span.end };
        let kind = DurationKind::Unary { op, operand: operand.value };
        self.above(operand.height, span, DurationExpr { kind, span })
    }

    /// A literal, `step()`, `range()`, `min_of(a, b)`, `max_of(a, b)` or parentheses.
    fn duration_operand(&mut self) -> Parsed<Node<DurationExpr>> {
        let token = self.next()?;
        self.count_node(token.span)?;
        match token.kind {
            TokenKind::Number | TokenKind::Duration => self.duration_literal(token, token.span),
            TokenKind::Step => self.nullary_duration(token, DurationKind::Step),
            TokenKind::Range => self.nullary_duration(token, DurationKind::Range),
            TokenKind::MinOf => self.pair_of_durations(token, DurationKind::MinOf),
            TokenKind::MaxOf => self.pair_of_durations(token, DurationKind::MaxOf),
            TokenKind::LeftParen => self.paren_duration(token),
            _ => Err(Halt::Unexpected(token)),
        }
    }

    /// `blamed` is where the error stands, if it is too large.
    fn duration_literal(&mut self, token: Token, blamed: Span) -> Parsed<Node<DurationExpr>> {
        let seconds = self.number_value(token)?;
        // Not a number is out of range too.
        if !(-SECONDS_MAX..=SECONDS_MAX).contains(&seconds) {
            return self.fail(blamed, "duration out of range");
        }
        let is_duration = token.kind == TokenKind::Duration;
        let kind = DurationKind::Literal { seconds, is_duration };
        Ok(Node::leaf(DurationExpr { kind, span: token.span }))
    }

    fn nullary_duration(&mut self, name: Token, kind: DurationKind) -> Parsed<Node<DurationExpr>> {
        self.expect(TokenKind::LeftParen)?;
        let close = self.expect(TokenKind::RightParen)?;
        let span = Span { start: name.span.start, end: close.span.end };
        Ok(Node::leaf(DurationExpr { kind, span }))
    }

    fn pair_of_durations(
        &mut self,
        name: Token,
        kind: fn(Box<DurationExpr>, Box<DurationExpr>) -> DurationKind,
    ) -> Parsed<Node<DurationExpr>> {
        self.expect(TokenKind::LeftParen)?;
        let first = self.durations(1)?;
        self.expect(TokenKind::Comma)?;
        let second = self.durations(1)?;
        let close = self.expect(TokenKind::RightParen)?;
        let span = Span { start: name.span.start, end: close.span.end };
        let height = first.height.max(second.height);
        let kind = kind(first.value, second.value);
        self.above(height, span, DurationExpr { kind, span })
    }

    /// Parentheses around parentheses count once.
    fn paren_duration(&mut self, open: Token) -> Parsed<Node<DurationExpr>> {
        let mut inner = self.durations(1)?;
        let close = self.expect(TokenKind::RightParen)?;
        let span = Span { start: open.span.start, end: close.span.end };
        if matches!(inner.value.kind, DurationKind::Paren(_)) {
            inner.value.span = span;
            return Ok(inner);
        }
        let kind = DurationKind::Paren(inner.value);
        self.above(inner.height, span, DurationExpr { kind, span })
    }
}
