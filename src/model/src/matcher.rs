//! One condition on one label. Planning over many series belongs to the storage.

use std::{fmt, sync::Arc};

use crate::{GoRegex, NameValidation, RegexError, quote_go};

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl MatchOp {
    /// `=`, `!=`, `=~` or `!~`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// A label matcher; a label that is absent has the empty value.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: Arc<str>,
    op: MatchOp,
    value: Arc<str>,
    regex: Option<Arc<GoRegex>>,
}

impl Matcher {
    /// Builds a matcher; regular expressions are Go's (RE2) syntax, anchored at both ends.
    ///
    /// # Errors
    /// The expression is not valid in Go's syntax, or too large.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, RegexError> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Arc::new(GoRegex::anchored(value)?)),
        };
        Ok(Self { name: Arc::from(name), op, value: Arc::from(value), regex })
    }

    /// `name="value"`.
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: Arc::from(name), op: MatchOp::Equal, value: Arc::from(value), regex: None }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn op(&self) -> MatchOp {
        self.op
    }

    pub fn value(&self) -> &str {
        &self.value
    }

    /// The compiled expression of a regex matcher, for planning by its literals.
    pub fn regex(&self) -> Option<&GoRegex> {
        self.regex.as_deref()
    }

    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => *self.value == *value,
            MatchOp::NotEqual => *self.value != *value,
            MatchOp::Regex => self.regex_matches(value),
            MatchOp::NotRegex => !self.regex_matches(value),
        }
    }

    /// Whether a series without the label matches.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    fn regex_matches(&self, value: &str) -> bool {
        self.regex.as_ref().is_some_and(|regex| regex.is_match(value))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    /// `name=~"value"`, quoted as Go does. Compat: `labels.Matcher.String()`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (op, value) = (self.op.as_str(), quote_go(&self.value));
        if NameValidation::Legacy.is_valid_label_name(&self.name) {
            write!(f, "{}{op}{value}", self.name)
        } else {
            write!(f, "{}{op}{value}", quote_go(&self.name))
        }
    }
}
