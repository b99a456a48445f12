//! Room for deep expressions: planning and evaluation descend level by level, and callers' threads are
//! small.

use crate::syntax::{Expr, ExprKind};

/// Up to this height any thread has room.
const HEIGHT_ANYWHERE_MAX: usize = 60;
/// Room for the highest tree that the parser builds, in a build without optimisation.
const DEEP_STACK_SIZE_BYTES: usize = 64 << 20;

/// Runs `f`, on a thread with more room where an expression is high.
pub(super) fn with_room<T: Send>(
    height: usize,
    f: impl FnOnce() -> T + Send,
) -> std::io::Result<T> {
    if height <= HEIGHT_ANYWHERE_MAX {
        return Ok(f());
    }
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new()
            .name("promql-deep".to_owned())
            .stack_size(DEEP_STACK_SIZE_BYTES);
        let thread = builder.spawn_scoped(scope, f)?;
        match thread.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Levels of the tree; durations have their own, which count for little.
pub(super) fn height(expr: &Expr) -> usize {
    1 + match &expr.kind {
        ExprKind::Number { .. }
        | ExprKind::String(_)
        | ExprKind::Vector(_)
        | ExprKind::Matrix(_) => 0,
        ExprKind::Subquery(subquery) => height(&subquery.operand),
        ExprKind::Paren(inner) => height(inner),
        ExprKind::Unary { operand, .. } => height(operand),
        ExprKind::Binary(binary) => height(&binary.lhs).max(height(&binary.rhs)),
        ExprKind::Aggregate(aggregate) => {
            let param = aggregate.param.as_ref().map_or(0, height);
            height(&aggregate.operand).max(param)
        }
        ExprKind::Call(call) => call.args.iter().map(height).max().unwrap_or(0),
    }
}
