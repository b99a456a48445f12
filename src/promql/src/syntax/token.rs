//! The tokens of the language and the words by which error messages call them.
//! How text becomes tokens stands in `lexer`.

use prom_model::quote_go;

use super::{AggregateOp, Span, literal::quote_prefix};

/// How many characters of a long token an error message shows.
const SHOWN_CHARS_MAX: usize = 10;

/// A token and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Span,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    EndOfInput,
    Identifier,
    /// An identifier with a colon.
    MetricIdentifier,
    Number,
    Duration,
    String,

    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    LeftParen,
    RightParen,
    Colon,
    Comma,
    Equal,

    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    EqualEqual,
    NotEqual,
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    TrimUpper,
    TrimLower,
    And,
    Or,
    Unless,
    EqualRegex,
    NotEqualRegex,
    At,

    Aggregate(AggregateOp),

    Anchored,
    Bool,
    By,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    Offset,
    On,
    Smoothed,
    Without,

    End,
    MaxOf,
    MinOf,
    Range,
    Start,
    Step,

    // Series descriptions only.
    Blank,
    Space,
    Times,
    OpenHistogram,
    CloseHistogram,
    HistogramKey(HistogramKey),
    ResetHint(ResetHint),
}

/// A key of a histogram in a series description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HistogramKey {
    Sum,
    Count,
    Schema,
    Offset,
    NegativeOffset,
    Buckets,
    NegativeBuckets,
    ZeroBucket,
    ZeroBucketWidth,
    CustomValues,
    CounterResetHint,
}

/// What a histogram literal says about counter resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetHint {
    Unknown,
    Reset,
    NotReset,
    Gauge,
}

impl TokenKind {
    /// Whether the token can begin an expression.
    pub(super) fn starts_expr(self) -> bool {
        self.is_metric_name()
            || matches!(
                self,
                Self::Number
                    | Self::Duration
                    | Self::String
                    | Self::LeftBrace
                    | Self::LeftParen
                    | Self::Add
                    | Self::Sub
            )
    }

    /// Whether the token can be the name of a metric: identifiers and keywords that are harmless there.
    pub(super) fn is_metric_name(self) -> bool {
        matches!(
            self,
            Self::Identifier
                | Self::MetricIdentifier
                | Self::Aggregate(_)
                | Self::And
                | Self::Or
                | Self::Unless
                | Self::Anchored
                | Self::By
                | Self::Fill
                | Self::FillLeft
                | Self::FillRight
                | Self::Offset
                | Self::Smoothed
                | Self::Without
                | Self::End
                | Self::MaxOf
                | Self::MinOf
                | Self::Range
                | Self::Start
                | Self::Step
        )
    }

    /// Whether the token can be a label in `by (...)`, `on (...)` and their like.
    pub(super) fn is_grouping_label(self) -> bool {
        match self {
            Self::Bool
            | Self::GroupLeft
            | Self::GroupRight
            | Self::Ignoring
            | Self::On
            | Self::Atan2 => true,
            Self::Without => false,
            other => other.is_metric_name(),
        }
    }

    /// Whether the token is a keyword that a function may be named by.
    pub(super) fn is_function_keyword(self) -> bool {
        matches!(
            self,
            Self::Start | Self::End | Self::Step | Self::Range | Self::MaxOf | Self::MinOf
        )
    }

    fn is_operator(self) -> bool {
        matches!(
            self,
            Self::Add
                | Self::Sub
                | Self::Mul
                | Self::Div
                | Self::Mod
                | Self::Pow
                | Self::Atan2
                | Self::EqualEqual
                | Self::NotEqual
                | Self::LessOrEqual
                | Self::Less
                | Self::GreaterOrEqual
                | Self::Greater
                | Self::TrimUpper
                | Self::TrimLower
                | Self::And
                | Self::Or
                | Self::Unless
                | Self::EqualRegex
                | Self::NotEqualRegex
                | Self::At
        )
    }

    fn is_keyword(self) -> bool {
        matches!(
            self,
            Self::Anchored
                | Self::Bool
                | Self::By
                | Self::Fill
                | Self::FillLeft
                | Self::FillRight
                | Self::GroupLeft
                | Self::GroupRight
                | Self::Ignoring
                | Self::Offset
                | Self::On
                | Self::Smoothed
                | Self::Without
        )
    }

    /// How an error message names the token whose text is `text`. Compat: `promql/parser/lex.go`.
    pub(super) fn describe(self, text: &str) -> String {
        match self {
            Self::EndOfInput => "end of input".to_owned(),
            Self::Identifier => format!("identifier {}", quote_go(text)),
            Self::MetricIdentifier => format!("metric identifier {}", quote_go(text)),
            Self::String => format!("string {}", shown(text)),
            Self::Number => format!("number {}", shown(text)),
            Self::Duration => format!("duration {}", shown(text)),
            Self::HistogramKey(_) => format!("histogram key {}", shown(text)),
            Self::ResetHint(_) => format!("counter reset hint {}", shown(text)),
            // Only the first of a run of spaces is the token.
            Self::Space => quote_prefix(text, 1),
            Self::Aggregate(_) => format!("<aggr:{text}>"),
            _ if self.is_keyword() => format!("<{text}>"),
            _ if self.is_operator() => format!("<op:{text}>"),
            _ => shown(text),
        }
    }
}

/// The keyword that `word` is in any case; `inf` and `nan` are numbers.
pub(super) fn keyword(word: &str) -> Option<TokenKind> {
    /// Longer words are no keywords, so most are not folded at all.
    const KEYWORD_SIZE_MAX: usize = 12;
    let mut folded = [0u8; KEYWORD_SIZE_MAX];
    let folded = folded.get_mut(..word.len())?;
    folded.copy_from_slice(word.as_bytes());
    folded.make_ascii_lowercase();
    Some(match &*folded {
        b"and" => TokenKind::And,
        b"or" => TokenKind::Or,
        b"unless" => TokenKind::Unless,
        b"atan2" => TokenKind::Atan2,
        b"sum" => TokenKind::Aggregate(AggregateOp::Sum),
        b"avg" => TokenKind::Aggregate(AggregateOp::Avg),
        b"count" => TokenKind::Aggregate(AggregateOp::Count),
        b"min" => TokenKind::Aggregate(AggregateOp::Min),
        b"max" => TokenKind::Aggregate(AggregateOp::Max),
        b"group" => TokenKind::Aggregate(AggregateOp::Group),
        b"stddev" => TokenKind::Aggregate(AggregateOp::Stddev),
        b"stdvar" => TokenKind::Aggregate(AggregateOp::Stdvar),
        b"topk" => TokenKind::Aggregate(AggregateOp::Topk),
        b"bottomk" => TokenKind::Aggregate(AggregateOp::Bottomk),
        b"count_values" => TokenKind::Aggregate(AggregateOp::CountValues),
        b"quantile" => TokenKind::Aggregate(AggregateOp::Quantile),
        b"limitk" => TokenKind::Aggregate(AggregateOp::Limitk),
        b"limit_ratio" => TokenKind::Aggregate(AggregateOp::LimitRatio),
        b"offset" => TokenKind::Offset,
        b"smoothed" => TokenKind::Smoothed,
        b"anchored" => TokenKind::Anchored,
        b"by" => TokenKind::By,
        b"without" => TokenKind::Without,
        b"on" => TokenKind::On,
        b"ignoring" => TokenKind::Ignoring,
        b"group_left" => TokenKind::GroupLeft,
        b"group_right" => TokenKind::GroupRight,
        b"fill" => TokenKind::Fill,
        b"fill_left" => TokenKind::FillLeft,
        b"fill_right" => TokenKind::FillRight,
        b"bool" => TokenKind::Bool,
        b"start" => TokenKind::Start,
        b"end" => TokenKind::End,
        b"inf" | b"nan" => TokenKind::Number,
        other => return duration_keyword_folded(other),
    })
}

/// The keyword of a duration expression that `word` is in any case.
pub(super) fn duration_keyword(word: &str) -> Option<TokenKind> {
    duration_keyword_folded(word.to_ascii_lowercase().as_bytes())
}

fn duration_keyword_folded(word: &[u8]) -> Option<TokenKind> {
    Some(match word {
        b"step" => TokenKind::Step,
        b"range" => TokenKind::Range,
        b"max_of" => TokenKind::MaxOf,
        b"min_of" => TokenKind::MinOf,
        _ => return None,
    })
}

/// The word inside a histogram description: a key, a counter reset hint, or `inf` and `nan`.
pub(super) fn histogram_word(word: &str) -> Option<TokenKind> {
    Some(TokenKind::HistogramKey(match word.to_ascii_lowercase().as_str() {
        "sum" => HistogramKey::Sum,
        "count" => HistogramKey::Count,
        "schema" => HistogramKey::Schema,
        "offset" => HistogramKey::Offset,
        "n_offset" => HistogramKey::NegativeOffset,
        "buckets" => HistogramKey::Buckets,
        "n_buckets" => HistogramKey::NegativeBuckets,
        "z_bucket" => HistogramKey::ZeroBucket,
        "z_bucket_w" => HistogramKey::ZeroBucketWidth,
        "custom_values" => HistogramKey::CustomValues,
        "counter_reset_hint" => HistogramKey::CounterResetHint,
        "inf" | "nan" => return Some(TokenKind::Number),
        "unknown" => return Some(TokenKind::ResetHint(ResetHint::Unknown)),
        "reset" => return Some(TokenKind::ResetHint(ResetHint::Reset)),
        "not_reset" => return Some(TokenKind::ResetHint(ResetHint::NotReset)),
        "gauge" => return Some(TokenKind::ResetHint(ResetHint::Gauge)),
        _ => return None,
    }))
}

fn shown(text: &str) -> String {
    if text.len() > SHOWN_CHARS_MAX {
        format!("{}...", quote_prefix(text, SHOWN_CHARS_MAX))
    } else {
        quote_go(text)
    }
}
