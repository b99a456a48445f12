//! Aggregations: their parameter is a scalar, except for `count_values`, where it names a label.

use prom_model::quote_go_bytes;

use super::{Lowered, Lowerer, vector};
use crate::{
    QueryError,
    plan::{Aggregate, Node, VectorKind},
    syntax::{AggregateOp, Span, StringLiteral},
};

/// The label that `count_values` writes to; bytes that are no UTF-8 are no name.
fn value_label_of(lowered: Lowered) -> Result<String, QueryError> {
    if let Node::Text(StringLiteral { bytes: Some(bytes), .. }) = &lowered.node {
        let name = quote_go_bytes(bytes);
        return Err(QueryError::Evaluation(format!("invalid label name {name}")));
    }
    lowered.into_text()
}

impl Lowerer<'_> {
    pub(super) fn aggregate(
        &mut self,
        aggregate: &crate::syntax::Aggregate,
        span: Span,
    ) -> Result<Lowered, QueryError> {
        let operand = self.expr(&aggregate.operand)?;
        let (is_invariant, wraps) = (operand.is_invariant, operand.wraps);
        let (mut param, mut param_span, mut value_label) = (None, Span::default(), None);
        if let Some(expr) = &aggregate.param {
            let lowered = self.expr(expr)?;
            param_span = lowered.span;
            if aggregate.op == AggregateOp::CountValues {
                value_label = Some(value_label_of(lowered)?);
            } else {
                param = Some(lowered.wrapped().into_scalar()?);
            }
        }
        let kind = VectorKind::Aggregate(Box::new(Aggregate {
            op: aggregate.op,
            operand: operand.into_vector()?,
            operand_span: aggregate.operand.span,
            param,
            param_span,
            value_label,
            labels: aggregate.labels.clone(),
            is_without: aggregate.is_without,
        }));
        Ok(Lowered { node: vector(kind, span), is_invariant, wraps, span })
    }
}
