//! How operators and types are written, and small questions about nodes of the tree.

use std::fmt;

use super::{
    AggregateOp, BinaryOp, DurationExpr, DurationKind, DurationOp, Expr, ExprKind, UnaryOp,
    ValueType, literal::go_int64,
};

impl ValueType {
    /// The words of documentation and error messages.
    pub fn documented(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }
}

impl UnaryOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
        }
    }
}

impl BinaryOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pow => "^",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Atan2 => "atan2",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::LessOrEqual => "<=",
            Self::Less => "<",
            Self::GreaterOrEqual => ">=",
            Self::Greater => ">",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::And => "and",
            Self::Unless => "unless",
            Self::Or => "or",
        }
    }

    /// `==`, `!=`, `<=`, `<`, `>=`, `>`.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::LessOrEqual
                | Self::Less
                | Self::GreaterOrEqual
                | Self::Greater
        )
    }

    /// `and`, `unless`, `or`.
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Unless | Self::Or)
    }
}

impl AggregateOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// Whether it has a parameter before the vector.
    pub fn has_param(self) -> bool {
        matches!(
            self,
            Self::Topk
                | Self::Bottomk
                | Self::CountValues
                | Self::Quantile
                | Self::Limitk
                | Self::LimitRatio
        )
    }

    /// Whether it needs `ParseOptions::experimental_functions`.
    pub fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }
}

impl DurationOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
        }
    }
}

impl fmt::Display for UnaryOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for BinaryOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for AggregateOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Expr {
    /// The type of the expression's value.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number { .. } => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Matrix(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Paren(inner) => inner.value_type(),
            ExprKind::Unary { operand, .. } => operand.value_type(),
            // The rest is settled by one side: what is not scalar makes a vector.
            ExprKind::Binary(binary) => match binary.lhs.value_type() {
                ValueType::Scalar => match binary.rhs.value_type() {
                    ValueType::Scalar => ValueType::Scalar,
                    _ => ValueType::Vector,
                },
                _ => ValueType::Vector,
            },
            ExprKind::Call(call) => call.function.return_type,
        }
    }
}

impl DurationExpr {
    /// The nanoseconds of a bare literal, as the reference rounds them.
    pub fn literal_ns(&self) -> Option<i64> {
        match self.kind {
            DurationKind::Literal { seconds, .. } => Some(go_int64((seconds * 1e9).round())),
            _ => None,
        }
    }

    /// The milliseconds of a bare literal; what is finer is cut off.
    pub fn literal_ms(&self) -> Option<i64> {
        self.literal_ns().map(|ns| ns / 1_000_000)
    }
}
