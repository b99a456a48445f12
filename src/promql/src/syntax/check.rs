//! Types of a parsed tree, and what only vectors of certain kinds may have. The first errors are listed.
//! Compat: `checkAST` in `promql/parser/parse.go`, in its order.

use prom_model::{METRIC_NAME, quote_go};

use crate::functions::Function;

use super::{
    Aggregate, AggregateOp, Binary, Call, Expr, ExprKind, MatchCardinality, ParseError,
    ParseErrors, Span, ValueType, VectorSelector, has_nonempty_matcher,
};

/// More errors than this help nobody, and each costs a walk over the text to its line.
const ERROR_COUNT_MAX: usize = 100;

/// Checks the tree and settles how vectors are matched.
pub(super) fn check(expr: &mut Expr, query: &str) -> Result<(), ParseErrors> {
    let mut checker = Checker { query, errors: Vec::new() };
    checker.expr(expr);
    match ParseErrors::from_list(checker.errors) {
        None => Ok(()),
        Some(errors) => Err(errors),
    }
}

#[derive(Debug)]
struct Checker<'q> {
    query: &'q str,
    errors: Vec<ParseError>,
}

impl Checker<'_> {
    fn complain(&mut self, span: Span, message: impl Into<String>) {
        if self.errors.len() < ERROR_COUNT_MAX {
            self.errors.push(ParseError::new(self.query, span, message));
        }
    }

    fn expr(&mut self, expr: &mut Expr) -> ValueType {
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Number { .. } => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Vector(selector) => {
                self.selector(selector, span);
                ValueType::Vector
            }
            ExprKind::Matrix(matrix) => {
                self.selector(&matrix.selector, matrix.selector_span);
                ValueType::Matrix
            }
            ExprKind::Subquery(subquery) => {
                let found = self.expr(&mut subquery.operand);
                if found != ValueType::Vector {
                    self.complain_subquery(span, found);
                }
                ValueType::Matrix
            }
            ExprKind::Paren(inner) => self.expr(inner),
            ExprKind::Unary { operand, .. } => {
                let found = self.expr(operand);
                if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                    self.complain_unary(span, found);
                }
                found
            }
            ExprKind::Binary(binary) => self.binary(binary, span),
            ExprKind::Aggregate(aggregate) => {
                self.aggregate(aggregate);
                ValueType::Vector
            }
            ExprKind::Call(call) => {
                self.call(call, span);
                call.function.return_type
            }
        }
    }

    fn expect(&mut self, expr: &mut Expr, wanted: ValueType, context: &str) {
        let found = self.expr(expr);
        if found != wanted {
            self.complain_type(expr.span, wanted, context, found);
        }
    }

    #[cold]
    fn complain_subquery(&mut self, span: Span, found: ValueType) {
        let message = format!("subquery is only allowed on instant vector, got {found} instead");
        self.complain(span, message);
    }

    #[cold]
    fn complain_unary(&mut self, span: Span, found: ValueType) {
        let found = quote_go(found.documented());
        let message = format!(
            "unary expression only allowed on expressions of type scalar or instant vector, got {found}"
        );
        self.complain(span, message);
    }

    #[cold]
    fn complain_type(&mut self, span: Span, wanted: ValueType, context: &str, found: ValueType) {
        let (wanted, found) = (wanted.documented(), found.documented());
        self.complain(span, format!("expected type {wanted} in {context}, got {found}"));
    }

    fn selector(&mut self, selector: &VectorSelector, span: Span) {
        let Some(name) = &selector.name else {
            if !has_nonempty_matcher(&selector.matchers) {
                let message = "vector selector must contain at least one non-empty matcher";
                self.complain(span, message);
            }
            return;
        };
        // The last matcher is that of the name before the braces.
        let inside = selector.matchers.split_last().map_or(&[][..], |(_, inside)| inside);
        for matcher in inside.iter().filter(|matcher| matcher.name() == METRIC_NAME) {
            let (name, other) = (quote_go(name), quote_go(matcher.value()));
            self.complain(span, format!("metric name must not be set twice: {name} or {other}"));
        }
    }

    fn aggregate(&mut self, aggregate: &mut Aggregate) {
        const PARAM: &str = "aggregation parameter";
        self.expect(&mut aggregate.operand, ValueType::Vector, "aggregation expression");
        if let Some(param) = &mut aggregate.param {
            let wanted = match aggregate.op {
                AggregateOp::CountValues => ValueType::String,
                _ => ValueType::Scalar,
            };
            self.expect(param, wanted, PARAM);
        }
    }

    fn binary(&mut self, binary: &mut Binary, span: Span) -> ValueType {
        let left = self.expr(&mut binary.lhs);
        let right = self.expr(&mut binary.rhs);
        self.binary_of(binary, left, right, span)
    }

    #[inline(never)]
    fn binary_of(
        &mut self,
        binary: &mut Binary,
        left: ValueType,
        right: ValueType,
        span: Span,
    ) -> ValueType {
        let op = binary.op;
        let op_span = self.operator_span(binary);
        if binary.returns_bool && !op.is_comparison() {
            self.complain(op_span, "bool modifier can only be used on comparison operators");
        }
        let are_scalars = left == ValueType::Scalar && right == ValueType::Scalar;
        if op.is_comparison() && !binary.returns_bool && are_scalars {
            self.complain(op_span, "comparisons between scalars must use BOOL modifier");
        }
        self.matching(binary, left, right, span, op_span);
        if op.is_set() && (left == ValueType::Scalar || right == ValueType::Scalar) {
            let op = quote_go(op.as_str());
            let message = format!("set operator {op} not allowed in binary scalar expression");
            self.complain(span, message);
        }
        if are_scalars { ValueType::Scalar } else { ValueType::Vector }
    }

    fn matching(
        &mut self,
        binary: &mut Binary,
        left: ValueType,
        right: ValueType,
        span: Span,
        op_span: Span,
    ) {
        const OPERANDS: &str =
            "binary expression must contain only scalar and instant vector types";
        let Some(mut matching) = binary.matching.take() else { return };
        if binary.op.is_set() && matching.cardinality == MatchCardinality::OneToOne {
            matching.cardinality = MatchCardinality::ManyToMany;
        }
        for label in matching.labels.iter().filter(|_| matching.is_on) {
            for _ in matching.include.iter().filter(|included| *included == label) {
                let label = quote_go(label);
                let message =
                    format!("label {label} must not occur in ON and GROUP clause at once");
                self.complain(op_span, message);
            }
        }
        for (found, side) in [(left, &binary.lhs), (right, &binary.rhs)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                self.complain(side.span, OPERANDS);
            }
        }
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if left != ValueType::Vector || right != ValueType::Vector {
            if !matching.labels.is_empty() {
                self.complain(span, "vector matching only allowed between instant vectors");
            }
            if fills {
                let message = "filling in missing series only allowed between instant vectors";
                self.complain(span, message);
            }
            return;
        }
        if binary.op.is_set() {
            if matching.cardinality != MatchCardinality::ManyToMany {
                let op = quote_go(binary.op.as_str());
                self.complain(span, format!("no grouping allowed for {op} operation"));
                self.complain(span, "set operations must always be many-to-many");
            }
            if fills {
                let message = "filling in missing series not allowed for set operators";
                self.complain(span, message);
            }
        }
        binary.matching = Some(matching);
    }

    /// From behind the left side; a comment before the operator counts as part of it.
    fn operator_span(&self, binary: &Binary) -> Span {
        let between = binary.lhs.span.end..binary.op_span.start;
        let between = self.query.as_bytes().get(between.start as usize..between.end as usize);
        let spaces = between.unwrap_or_default().iter();
        let skipped = spaces.take_while(|byte| b" \t\n\r".contains(byte)).count() as u32;
        Span { start: binary.lhs.span.end + skipped, end: binary.op_span.end }
    }

    fn call(&mut self, call: &mut Call, span: Span) {
        self.arg_count(call, span);
        let function = call.function;
        let is_info = function.name == "info";
        if is_info && let Some(arg) = call.args.get(1) {
            self.info_selector(arg, span);
        }
        for (i, arg) in call.args.iter_mut().enumerate() {
            let wanted = match function.arg_types.get(i).or(function.arg_types.last()) {
                Some(wanted) if i < function.arg_types.len() || function.variadic != 0 => *wanted,
                _ => break,
            };
            // The selector of `info` may well be empty.
            if is_info && i == 1 && is_nameless(arg) {
                continue;
            }
            let found = self.expr(arg);
            if found != wanted {
                self.complain_type(arg.span, wanted, &context(function), found);
            }
        }
    }

    #[inline(never)]
    fn arg_count(&mut self, call: &Call, span: Span) {
        let function = call.function;
        let name = quote_go(function.name);
        let (wanted, found) = (function.arg_types.len(), call.args.len());
        let wanted_min = wanted.saturating_sub(1);
        if function.variadic == 0 {
            if wanted != found {
                let message =
                    format!("expected {wanted} argument(s) in call to {name}, got {found}");
                self.complain(span, message);
            }
        } else if found < wanted_min {
            let message = format!(
                "expected at least {wanted_min} argument(s) in call to {name}, got {found}"
            );
            self.complain(span, message);
        } else if let Ok(more @ 1..) = usize::try_from(function.variadic)
            && found > wanted_min + more
        {
            let wanted_max = wanted_min + more;
            let message =
                format!("expected at most {wanted_max} argument(s) in call to {name}, got {found}");
            self.complain(span, message);
        }
    }

    #[inline(never)]
    fn info_selector(&mut self, arg: &Expr, call_span: Span) {
        let found = arg.value_type();
        if found != ValueType::Vector {
            let context = "call to function \"info\"";
            self.complain_type(call_span, ValueType::Vector, context, found);
        }
        match &arg.kind {
            ExprKind::Vector(selector) if selector.name.is_some() => {
                let message = "expected label selectors only, got vector selector instead";
                self.complain(arg.span, message);
            }
            ExprKind::Vector(_) => {}
            _ => self.complain(arg.span, "expected label selectors only"),
        }
    }
}

fn context(function: &Function) -> String {
    format!("call to function {}", quote_go(function.name))
}

fn is_nameless(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Vector(selector) if selector.name.is_none())
}
