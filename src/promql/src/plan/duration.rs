//! Duration expressions become milliseconds once step and range of the query are known.
//! Compat: Prometheus `promql/durations.go`.

use crate::{
    QueryError,
    numeric::{go_max, go_min},
    syntax::{DurationExpr, DurationKind, DurationOp, UnaryOp},
};

/// Largest duration in seconds: what 64 bits of nanoseconds hold.
const SECONDS_MAX: f64 = (1u64 << 63) as f64 / 1e9;

/// What `step()` and `range()` stand for, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct DurationContext {
    pub(super) step_seconds: f64,
    pub(super) range_seconds: f64,
}

impl DurationContext {
    /// A range or a step: positive.
    pub(super) fn positive_ms(&self, expr: &DurationExpr) -> Result<i64, QueryError> {
        self.resolve_ms(expr, false)
    }

    /// An offset: of any sign.
    pub(super) fn offset_ms(&self, expr: &DurationExpr) -> Result<i64, QueryError> {
        self.resolve_ms(expr, true)
    }

    fn resolve_ms(&self, expr: &DurationExpr, may_be_negative: bool) -> Result<i64, QueryError> {
        let seconds = self.seconds(expr)?;
        if !seconds.is_finite() {
            return Err(failure(expr, "duration is NaN or infinite"));
        }
        if seconds <= 0.0 && !may_be_negative {
            return Err(failure(expr, "duration must be greater than 0"));
        }
        if !(-SECONDS_MAX..=SECONDS_MAX).contains(&seconds) {
            return Err(failure(expr, "duration is out of range"));
        }
        if is_literal(expr) {
            // Literals are rounded to nanoseconds before they are cut to milliseconds.
            return Ok((seconds * 1e9).round() as i64 / 1_000_000);
        }
        Ok((seconds * 1000.0) as i64)
    }

    fn seconds(&self, expr: &DurationExpr) -> Result<f64, QueryError> {
        Ok(match &expr.kind {
            DurationKind::Literal { seconds, .. } => *seconds,
            DurationKind::Step => self.step_seconds,
            DurationKind::Range => self.range_seconds,
            DurationKind::Unary { op: UnaryOp::Minus, operand } => -self.seconds(operand)?,
            DurationKind::Unary { op: UnaryOp::Plus, operand } => self.seconds(operand)?,
            DurationKind::Paren(inner) => self.seconds(inner)?,
            DurationKind::MinOf(a, b) => go_min(self.seconds(a)?, self.seconds(b)?),
            DurationKind::MaxOf(a, b) => go_max(self.seconds(a)?, self.seconds(b)?),
            DurationKind::Binary { op, lhs, rhs } => {
                let (lhs, rhs) = (self.seconds(lhs)?, self.seconds(rhs)?);
                match op {
                    DurationOp::Add => lhs + rhs,
                    DurationOp::Sub => lhs - rhs,
                    DurationOp::Mul => lhs * rhs,
                    DurationOp::Div if rhs == 0.0 => return Err(failure(expr, "division by zero")),
                    DurationOp::Mod if rhs == 0.0 => return Err(failure(expr, "modulo by zero")),
                    DurationOp::Div => lhs / rhs,
                    DurationOp::Mod => lhs % rhs,
                    DurationOp::Pow => lhs.powf(rhs),
                }
            }
        })
    }
}

fn is_literal(expr: &DurationExpr) -> bool {
    matches!(expr.kind, DurationKind::Literal { .. })
}

fn failure(expr: &DurationExpr, reason: &str) -> QueryError {
    QueryError::Invalid(format!("{}:{}: {reason}", expr.span.start, expr.span.end))
}
