//! The tree of an expression. Every node knows where it stands in the query text.
//! Types are checked by the parser; nothing here evaluates.

use std::fmt;

use prom_model::Matcher;

use crate::functions::Function;

/// Byte offsets into the query text, end exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

/// The type of an expression's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    None,
    Scalar,
    String,
    Vector,
    Matrix,
}

impl fmt::Display for ValueType {
    /// As in `/api/v1/query`'s `resultType`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
        })
    }
}

/// An expression and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A number; `is_duration` where it was written as `5m`.
    Number {
        value: f64,
        is_duration: bool,
    },
    String(StringLiteral),
    Vector(VectorSelector),
    Matrix(MatrixSelector),
    Subquery(Subquery),
    Paren(Box<Expr>),
    Unary {
        op: UnaryOp,
        operand: Box<Expr>,
    },
    Binary(Box<Binary>),
    Aggregate(Box<Aggregate>),
    Call(Call),
}

/// A string; its escapes can denote bytes that are no UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringLiteral {
    /// The text, with U+FFFD for what is no UTF-8.
    pub text: String,
    /// The exact bytes, if they are no UTF-8: never a valid label name or value.
    pub bytes: Option<Box<[u8]>>,
}

/// `metric{label="value"} @ 123 offset 5m smoothed`.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The name before the braces, if it was written there; it is among `matchers` in every case.
    pub name: Option<String>,
    pub matchers: Vec<Matcher>,
    pub offset: Option<DurationExpr>,
    pub at: Option<AtModifier>,
    pub extension: Option<RangeExtension>,
}

/// `metric[5m]`; modifiers stand in the selector, as written behind the brackets.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    pub selector: VectorSelector,
    /// Where the selector stands without its range and modifiers.
    pub selector_span: Span,
    pub range: DurationExpr,
}

/// `expr[30m:1m] @ end() offset 5m`; without a step the evaluation interval is the step.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    pub operand: Box<Expr>,
    pub range: DurationExpr,
    pub step: Option<DurationExpr>,
    pub offset: Option<DurationExpr>,
    pub at: Option<AtModifier>,
}

/// `@ <time>`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AtModifier {
    /// Milliseconds since the Unix epoch.
    Time(i64),
    Start,
    End,
}

/// `anchored` or `smoothed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeExtension {
    Anchored,
    Smoothed,
}

/// A duration or an expression over durations; evaluated when the query's step and range are known.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    pub kind: DurationKind,
    pub span: Span,
}

/// What a duration expression is. Values are seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationKind {
    /// A literal, its sign included; `is_duration` where written as `5m`.
    Literal {
        seconds: f64,
        is_duration: bool,
    },
    /// `step()`.
    Step,
    /// `range()`.
    Range,
    /// A sign before anything but a literal; a plus is kept only directly behind `offset`.
    Unary {
        op: UnaryOp,
        operand: Box<DurationExpr>,
    },
    /// Never directly around another one.
    Paren(Box<DurationExpr>),
    Binary {
        op: DurationOp,
        lhs: Box<DurationExpr>,
        rhs: Box<DurationExpr>,
    },
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
}

/// Operators inside duration expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    Plus,
    Minus,
}

/// `lhs op on(...) group_left(...) rhs`.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    pub op: BinaryOp,
    /// Where the operator itself stands.
    pub op_span: Span,
    pub lhs: Expr,
    pub rhs: Expr,
    pub returns_bool: bool,
    /// Set when both sides are vectors.
    pub matching: Option<VectorMatching>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Pow,
    Mul,
    Div,
    Mod,
    Atan2,
    Add,
    Sub,
    Equal,
    NotEqual,
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    /// `</`: the part of a histogram below a scalar.
    TrimUpper,
    /// `>/`: the part of a histogram above a scalar.
    TrimLower,
    And,
    Unless,
    Or,
}

/// How many series of each side may match one of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchCardinality {
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How series of two vectors are paired.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorMatching {
    pub cardinality: MatchCardinality,
    pub labels: Vec<String>,
    /// `on` (true) or `ignoring`.
    pub is_on: bool,
    /// Labels taken over from the "one" side.
    pub include: Vec<String>,
    pub fill_left: Option<f64>,
    pub fill_right: Option<f64>,
}

/// `sum by (job) (expr)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub op: AggregateOp,
    pub operand: Expr,
    /// The first argument of `topk`, `quantile` and their like.
    pub param: Option<Expr>,
    pub labels: Vec<String>,
    pub is_without: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

/// `rate(expr)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub function: &'static Function,
    pub args: Vec<Expr>,
}
