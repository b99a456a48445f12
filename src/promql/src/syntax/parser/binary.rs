//! Operators between operands, their modifiers, and signs.

use super::{Halt, Node, Parsed, Parser};
use crate::syntax::{
    Binary, BinaryOp, Expr, ExprKind, MatchCardinality, Span, UnaryOp, VectorMatching,
    token::{Token, TokenKind},
};

const GROUPING: &str = "grouping opts";

/// Binds tightest among operators, to the right, and before signs.
const POWER: u8 = 6;

fn binary_op(kind: TokenKind) -> Option<(BinaryOp, u8)> {
    Some(match kind {
        TokenKind::Or => (BinaryOp::Or, 1),
        TokenKind::And => (BinaryOp::And, 2),
        TokenKind::Unless => (BinaryOp::Unless, 2),
        TokenKind::EqualEqual => (BinaryOp::Equal, 3),
        TokenKind::NotEqual => (BinaryOp::NotEqual, 3),
        TokenKind::LessOrEqual => (BinaryOp::LessOrEqual, 3),
        TokenKind::Less => (BinaryOp::Less, 3),
        TokenKind::GreaterOrEqual => (BinaryOp::GreaterOrEqual, 3),
        TokenKind::Greater => (BinaryOp::Greater, 3),
        TokenKind::TrimUpper => (BinaryOp::TrimUpper, 3),
        TokenKind::TrimLower => (BinaryOp::TrimLower, 3),
        TokenKind::Add => (BinaryOp::Add, 4),
        TokenKind::Sub => (BinaryOp::Sub, 4),
        TokenKind::Mul => (BinaryOp::Mul, 5),
        TokenKind::Div => (BinaryOp::Div, 5),
        TokenKind::Mod => (BinaryOp::Mod, 5),
        TokenKind::Atan2 => (BinaryOp::Atan2, 5),
        TokenKind::Pow => (BinaryOp::Pow, POWER),
        _ => return None,
    })
}

/// `+` or `-` as a sign.
pub(super) fn sign(kind: TokenKind) -> Option<UnaryOp> {
    match kind {
        TokenKind::Add => Some(UnaryOp::Plus),
        TokenKind::Sub => Some(UnaryOp::Minus),
        _ => None,
    }
}

/// What stands between an operator and its right side.
#[derive(Debug)]
struct Modifiers {
    returns_bool: bool,
    matching: VectorMatching,
}

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Parsed<Node<Expr>> {
        self.operators(1)
    }

    /// Operands joined by operators that bind at least as tightly as `precedence_min`.
    fn operators(&mut self, precedence_min: u8) -> Parsed<Node<Expr>> {
        self.enter()?;
        let mut lhs = self.operand()?;
        loop {
            let token = self.peek()?;
            let Some((op, precedence)) = binary_op(token.kind) else { break };
            if precedence < precedence_min {
                break;
            }
            self.next()?;
            let modifiers = self.modifiers()?;
            let is_right_associative = precedence == POWER;
            let rhs = self.operators(precedence + u8::from(!is_right_associative))?;
            lhs = self.join(lhs, (op, token.span), *modifiers, rhs)?;
        }
        self.leave();
        Ok(lhs)
    }

    #[inline(never)]
    fn join(
        &mut self,
        lhs: Node<Expr>,
        (op, op_span): (BinaryOp, Span),
        modifiers: Modifiers,
        rhs: Node<Expr>,
    ) -> Parsed<Node<Expr>> {
        let Modifiers { returns_bool, matching } = modifiers;
        let span = Span { start: lhs.value.span.start, end: rhs.value.span.end };
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if fills && !self.options.binop_fill_modifiers {
            return self.fail(span, "binop fill modifiers are experimental and not enabled");
        }
        let height = lhs.height.max(rhs.height);
        let kind = ExprKind::Binary(Box::new(Binary {
            op,
            op_span,
            lhs: *lhs.value,
            rhs: *rhs.value,
            returns_bool,
            // Taken away by the type check, where a side is no vector.
            matching: Some(matching),
        }));
        self.above(height, span, Expr { kind, span })
    }

    /// Signs and what they stand before; a power binds more tightly than a sign.
    fn operand(&mut self) -> Parsed<Node<Expr>> {
        let signs = self.signs()?;
        if signs.is_empty() {
            return self.postfix();
        }
        let mut operand = self.operators(POWER)?;
        for (op, token) in signs.into_iter().rev() {
            let span = Span { start: token.span.start, end: operand.value.span.end };
            if let ExprKind::Number { value, .. } = &mut operand.value.kind {
                if op == UnaryOp::Minus {
                    *value = -*value;
                }
                operand.value.span = span;
                continue;
            }
            let kind = ExprKind::Unary { op, operand: operand.value };
            operand = self.above(operand.height, span, Expr { kind, span })?;
        }
        Ok(operand)
    }

    pub(super) fn signs(&mut self) -> Parsed<Vec<(UnaryOp, Token)>> {
        let mut signs = Vec::new();
        while let Some(op) = sign(self.peek()?.kind) {
            signs.push((op, self.next()?));
        }
        Ok(signs)
    }

    #[inline(never)]
    fn modifiers(&mut self) -> Parsed<Box<Modifiers>> {
        let returns_bool = self.take(TokenKind::Bool)?.is_some();
        let mut matching = VectorMatching {
            cardinality: MatchCardinality::OneToOne,
            labels: Vec::new(),
            is_on: false,
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        let kind = self.peek()?.kind;
        if matches!(kind, TokenKind::On | TokenKind::Ignoring) {
            self.next()?;
            matching.is_on = kind == TokenKind::On;
            matching.labels = self.grouping_labels()?.0;
            self.group(&mut matching)?;
        }
        self.fill(&mut matching)?;
        Ok(Box::new(Modifiers { returns_bool, matching }))
    }

    fn group(&mut self, matching: &mut VectorMatching) -> Parsed<()> {
        matching.cardinality = match self.peek()?.kind {
            TokenKind::GroupLeft => MatchCardinality::ManyToOne,
            TokenKind::GroupRight => MatchCardinality::OneToMany,
            _ => return Ok(()),
        };
        self.next()?;
        let token = self.peek()?;
        if token.kind == TokenKind::LeftParen || !token.kind.starts_expr() {
            matching.include = self.grouping_labels()?.0;
        }
        Ok(())
    }

    /// `fill (x)`, or `fill_left (x)` and `fill_right (x)` in any order.
    fn fill(&mut self, matching: &mut VectorMatching) -> Parsed<()> {
        if self.take(TokenKind::Fill)?.is_some() {
            let value = self.fill_value()?;
            (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
        } else if self.take(TokenKind::FillLeft)?.is_some() {
            matching.fill_left = Some(self.fill_value()?);
            if self.take(TokenKind::FillRight)?.is_some() {
                matching.fill_right = Some(self.fill_value()?);
            }
        } else if self.take(TokenKind::FillRight)?.is_some() {
            matching.fill_right = Some(self.fill_value()?);
            if self.take(TokenKind::FillLeft)?.is_some() {
                matching.fill_left = Some(self.fill_value()?);
            }
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        self.expect(TokenKind::LeftParen)?;
        let (value, _) = self.signed_number()?;
        self.expect(TokenKind::RightParen)?;
        Ok(value)
    }

    /// `(a, b, "c.d")`.
    /// The second value is where it ends.
    pub(super) fn grouping_labels(&mut self) -> Parsed<(Vec<String>, u32)> {
        let open = self.expect(TokenKind::LeftParen);
        self.within(open, GROUPING, "\"(\"")?;
        let mut labels = Vec::new();
        loop {
            if let Some(close) = self.take(TokenKind::RightParen)? {
                return Ok((labels, close.span.end));
            }
            let label = self.grouping_label();
            labels.push(self.within(label, GROUPING, "label")?);
            if self.take(TokenKind::Comma)?.is_none() {
                let close = self.expect(TokenKind::RightParen);
                let close = self.within(close, GROUPING, "\",\" or \")\"")?;
                return Ok((labels, close.span.end));
            }
        }
    }

    fn grouping_label(&mut self) -> Parsed<String> {
        let token = self.next()?;
        self.count_node(token.span)?;
        match token.kind {
            TokenKind::String => {
                let label = self.unquote(token)?;
                if label.is_empty() {
                    return self.fail(token.span, "invalid label name for grouping: \"\"");
                }
                Ok(label)
            }
            kind if kind.is_grouping_label() => Ok(self.text(token).to_owned()),
            _ => Err(Halt::Unexpected(token)),
        }
    }
}
