//! What Go says about expressions that it refuses.

/// An expression that Go would refuse, or that is too large for us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {code}: `{expression}`")]
pub struct RegexError {
    pub code: RegexErrorCode,
    /// The part that is to blame.
    pub expression: String,
}

/// Compat: Go `regexp/syntax`, `ErrorCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexErrorCode {
    #[error("invalid character class range")]
    InvalidCharRange,
    #[error("invalid escape sequence")]
    InvalidEscape,
    #[error("invalid named capture")]
    InvalidNamedCapture,
    #[error("invalid or unsupported Perl syntax")]
    InvalidPerlOperator,
    #[error("invalid nested repetition operator")]
    InvalidRepeatOperator,
    #[error("invalid repeat count")]
    InvalidRepeatSize,
    #[error("missing closing ]")]
    MissingBracket,
    #[error("missing closing )")]
    MissingParen,
    #[error("missing argument to repetition operator")]
    MissingRepeatArgument,
    #[error("trailing backslash at end of expression")]
    TrailingBackslash,
    #[error("unexpected )")]
    UnexpectedParen,
    #[error("expression nests too deeply")]
    NestingDepth,
    #[error("expression too large")]
    TooLarge,
}

impl RegexErrorCode {
    pub(super) fn at(self, expression: &str) -> RegexError {
        RegexError { code: self, expression: expression.to_owned() }
    }
}
