//! From the tree to the plan.
//! Compat: Prometheus `promql/engine.go`, `PreprocessExpr` and what it calls.

mod aggregate;
mod call;
mod info;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use prom_model::Matcher;

use super::{
    Binary, Node, Plan, RangeSource, SampleField, Scalar, Selector, Shift, Subquery, Vector,
    VectorKind, WithScalar, duration::DurationContext, function::MapFunction, ranges,
};
use crate::{
    QueryError,
    annotation::position,
    engine::SubqueryStep,
    numeric::go_seconds,
    plan::Grid,
    syntax::{
        AtModifier, BinaryOp, DurationExpr, Expr, ExprKind, RangeExtension, Span, StringLiteral,
        UnaryOp, ValueType, VectorSelector,
    },
};

/// What lowering has to know besides the tree.
pub(crate) struct LowerSettings<'a> {
    /// The text, for positions in errors.
    pub(crate) query: &'a str,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// 0 for an instant query.
    pub(crate) step_ms: i64,
    pub(crate) lookback_delta_ms: i64,
    pub(crate) subquery_step: &'a SubqueryStep,
}

/// Resolves `expr` for evaluation over `grid`.
pub(crate) fn lower(
    expr: &Expr,
    grid: &Grid,
    settings: &LowerSettings<'_>,
) -> Result<Plan, QueryError> {
    let durations = DurationContext {
        step_seconds: go_seconds(settings.step_ms),
        range_seconds: go_seconds(settings.end_ms.saturating_sub(settings.start_ms)),
    };
    let mut lowerer = Lowerer {
        settings,
        durations,
        selectors: Vec::new(),
        known: HashMap::default(),
        stat_readers: 0,
        bucket_readers: 0,
    };
    let lowered = lowerer.expr(expr)?;
    let root = lowered.wrapped().node;
    let mut selectors = lowerer.selectors;
    let step_count = ranges::assign(&root, grid, settings.lookback_delta_ms, &mut selectors)?;
    Ok(Plan { root, selectors, step_count })
}

struct Lowerer<'a> {
    settings: &'a LowerSettings<'a>,
    durations: DurationContext,
    selectors: Vec<Selector>,
    /// Calls around the present place that read count or sum of histograms alone.
    stat_readers: u32,
    /// What reads buckets around the present place.
    bucket_readers: u32,
    /// Indices of the selectors by the text of their matchers.
    known: HashMap<String, usize, FixedState>,
}

/// A node and whether it gives the same at every step.
struct Lowered {
    node: Node,
    /// Whether it does not depend on the instant of evaluation.
    is_invariant: bool,
    /// Whether it pays to compute it once only.
    wraps: bool,
    span: Span,
}

impl Lowered {
    /// The node, marked to be computed once where that pays.
    fn wrapped(self) -> Self {
        if self.wraps { self.once() } else { self }
    }

    fn once(mut self) -> Self {
        self.node = match self.node {
            Node::Scalar(scalar) => Node::Scalar(Scalar::Once(Box::new(scalar))),
            Node::Vector(vector) => {
                let span = vector.span;
                Node::Vector(Vector { kind: VectorKind::Once(Box::new(vector)), span })
            }
            other => other,
        };
        self
    }

    fn into_scalar(self) -> Result<Scalar, QueryError> {
        match self.node {
            Node::Scalar(scalar) => Ok(scalar),
            other => Err(mistyped(ValueType::Scalar, &other)),
        }
    }

    fn into_vector(self) -> Result<Vector, QueryError> {
        match self.node {
            Node::Vector(vector) => Ok(vector),
            other => Err(mistyped(ValueType::Vector, &other)),
        }
    }

    fn into_range(self) -> Result<RangeSource, QueryError> {
        match self.node {
            Node::Range(source) => Ok(source),
            other => Err(mistyped(ValueType::Matrix, &other)),
        }
    }

    fn into_text(self) -> Result<String, QueryError> {
        match self.node {
            Node::Text(text) => Ok(text.text),
            other => Err(mistyped(ValueType::String, &other)),
        }
    }
}

impl Lowered {
    /// A text that becomes part of labels: bytes that are no UTF-8 never do.
    fn into_utf8(self, what: &str) -> Result<String, QueryError> {
        match &self.node {
            Node::Text(StringLiteral { text, bytes: Some(_) }) => {
                Err(QueryError::Evaluation(format!("invalid {what}: {text}")))
            }
            _ => self.into_text(),
        }
    }
}

impl Lowerer<'_> {
    fn expr(&mut self, expr: &Expr) -> Result<Lowered, QueryError> {
        let lowered =
            |node, is_invariant, wraps| Lowered { node, is_invariant, wraps, span: expr.span };
        Ok(match &expr.kind {
            ExprKind::Paren(inner) => return self.expr(inner),
            ExprKind::Number { value, .. } => {
                lowered(Node::Scalar(Scalar::Number(*value)), true, false)
            }
            ExprKind::String(text) => lowered(Node::Text(text.clone()), true, false),
            ExprKind::Vector(selector) => {
                let (index, shift) = self.selector(selector, expr.span)?;
                let what = match selector.extension {
                    Some(RangeExtension::Smoothed) => SampleField::Smoothed,
                    _ => SampleField::Value,
                };
                let skips_buckets = self.skips_buckets();
                let kind = VectorKind::Select { selector: index, shift, what, skips_buckets };
                let is_invariant = shift.at_ms.is_some();
                lowered(vector(kind, expr.span), is_invariant, is_invariant)
            }
            ExprKind::Matrix(matrix) => {
                let range_ms = self.durations.positive_ms(&matrix.range)?;
                let (selector, shift) = self.selector(&matrix.selector, matrix.selector_span)?;
                let extension = matrix.selector.extension;
                let skips_buckets = self.skips_buckets();
                let source =
                    RangeSource::Select { selector, shift, range_ms, extension, skips_buckets };
                lowered(Node::Range(source), shift.at_ms.is_some(), false)
            }
            ExprKind::Subquery(subquery) => {
                let source = self.subquery(subquery)?;
                let is_invariant = source.shift.at_ms.is_some();
                lowered(Node::Range(RangeSource::Subquery(Box::new(source))), is_invariant, false)
            }
            ExprKind::Unary { op, operand } => {
                let inner = self.expr(operand)?;
                let (is_invariant, wraps) = (inner.is_invariant, inner.wraps);
                lowered(negated(inner, *op, expr.span)?, is_invariant, wraps)
            }
            ExprKind::Binary(binary) => return self.binary(binary, expr.span),
            ExprKind::Aggregate(aggregate) => return self.aggregate(aggregate, expr.span),
            ExprKind::Call(call) => return self.call(call, expr.span),
        })
    }

    fn binary(
        &mut self,
        binary: &crate::syntax::Binary,
        span: Span,
    ) -> Result<Lowered, QueryError> {
        let trims = matches!(binary.op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
        self.bucket_readers += u32::from(trims);
        let (mut lhs, mut rhs) = (self.expr(&binary.lhs)?, self.expr(&binary.rhs)?);
        self.bucket_readers -= u32::from(trims);
        let is_invariant = lhs.is_invariant && rhs.is_invariant;
        if !is_invariant {
            (lhs, rhs) = (lhs.wrapped(), rhs.wrapped());
        }
        let op = binary.op;
        let returns_bool = binary.returns_bool;
        let with_scalar = |vector, scalar, is_scalar_left| {
            VectorKind::WithScalar(Box::new(WithScalar {
                op,
                vector,
                scalar,
                is_scalar_left,
                returns_bool,
            }))
        };
        let node = match (lhs.node, rhs.node) {
            (Node::Scalar(lhs), Node::Scalar(rhs)) => {
                Node::Scalar(Scalar::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) })
            }
            (Node::Vector(lhs), Node::Scalar(rhs)) => vector(with_scalar(lhs, rhs, false), span),
            (Node::Scalar(lhs), Node::Vector(rhs)) => vector(with_scalar(rhs, lhs, true), span),
            (Node::Vector(lhs), Node::Vector(rhs)) => {
                let matching = binary.matching.clone().ok_or_else(|| {
                    QueryError::Evaluation("binary operation without matching".to_owned())
                })?;
                let binary = Binary { op, lhs, rhs, returns_bool, matching };
                vector(VectorKind::Binary(Box::new(binary)), span)
            }
            (other, _) => return Err(mistyped(ValueType::Vector, &other)),
        };
        Ok(Lowered { node, is_invariant, wraps: is_invariant, span })
    }

    fn subquery(&mut self, subquery: &crate::syntax::Subquery) -> Result<Subquery, QueryError> {
        let shift = self.shift(subquery.offset.as_ref(), subquery.at)?;
        let range_ms = self.durations.positive_ms(&subquery.range)?;
        let step_ms = match &subquery.step {
            Some(step) => self.durations.positive_ms(step)?,
            None => (self.settings.subquery_step)(range_ms),
        };
        // Resets can be found in the whole of its histograms only.
        self.bucket_readers += 1;
        let operand = self.expr(&subquery.operand)?;
        self.bucket_readers -= 1;
        let operand = if operand.is_invariant { operand.once() } else { operand };
        Ok(Subquery { operand: operand.into_vector()?, shift, range_ms, step_ms: step_ms.max(1) })
    }

    /// Whether nothing but count and sum of histograms is asked for here.
    /// Compat: Prometheus `promql/engine.go`, `detectHistogramStatsDecoding`.
    fn skips_buckets(&self) -> bool {
        self.stat_readers > 0 && self.bucket_readers == 0
    }

    /// Numbers the matchers of a selector and resolves its modifiers.
    fn selector(
        &mut self,
        selector: &VectorSelector,
        span: Span,
    ) -> Result<(usize, Shift), QueryError> {
        let shift = self.shift(selector.offset.as_ref(), selector.at)?;
        Ok((self.numbered(selector.matchers.clone(), span), shift))
    }

    /// The number of a set of matchers.
    fn numbered(&mut self, matchers: Vec<Matcher>, span: Span) -> usize {
        *self.known.entry(matchers_key(&matchers)).or_insert_with(|| {
            self.selectors.push(Selector { matchers, range: None, step_count: 0, span });
            self.selectors.len() - 1
        })
    }

    fn shift(
        &self,
        offset: Option<&DurationExpr>,
        at: Option<AtModifier>,
    ) -> Result<Shift, QueryError> {
        let offset_ms = offset.map_or(Ok(0), |offset| self.durations.offset_ms(offset))?;
        let at_ms = at.map(|at| match at {
            AtModifier::Time(time_ms) => time_ms,
            AtModifier::Start => self.settings.start_ms,
            AtModifier::End => self.settings.end_ms,
        });
        Ok(Shift { at_ms, offset_ms })
    }

    fn unsupported(&self, what: &str, span: Span) -> QueryError {
        let position = position(self.settings.query, span);
        QueryError::Unsupported { what: what.to_owned(), position }
    }
}

/// Equal for equal matchers only, as each text stands behind its length.
fn matchers_key(matchers: &[Matcher]) -> String {
    let mut key = String::new();
    for matcher in matchers {
        for text in [matcher.name(), matcher.op().as_str(), matcher.value()] {
            key.extend([&text.len().to_string(), ":", text]);
        }
    }
    key
}

fn vector(kind: VectorKind, span: Span) -> Node {
    Node::Vector(Vector { kind, span })
}

fn negated(operand: Lowered, op: UnaryOp, span: Span) -> Result<Node, QueryError> {
    Ok(match (operand.node, op) {
        (Node::Scalar(scalar), UnaryOp::Plus) => Node::Scalar(scalar),
        (Node::Scalar(scalar), UnaryOp::Minus) => Node::Scalar(Scalar::Negate(Box::new(scalar))),
        (Node::Vector(operand), UnaryOp::Plus) => vector(operand.kind, span),
        (Node::Vector(operand), UnaryOp::Minus) => {
            let operand = Box::new(operand);
            let function = MapFunction::Negate;
            vector(VectorKind::Map { function, args: Vec::new(), operand }, span)
        }
        (other, _) => return Err(mistyped(ValueType::Vector, &other)),
    })
}

/// The parser has checked types; this is our own mistake and must still not be a panic.
fn mistyped(expected: ValueType, node: &Node) -> QueryError {
    let found = match node {
        Node::Scalar(_) => ValueType::Scalar,
        Node::Vector(_) => ValueType::Vector,
        Node::Range(_) => ValueType::Matrix,
        Node::Text(_) => ValueType::String,
    };
    QueryError::Evaluation(format!("unexpected error: {found} where a {expected} belongs"))
}
