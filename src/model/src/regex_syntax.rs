//! Go's (RE2) regular expression syntax on the engine of `regex-automata`.

use regex_automata::meta::Regex;

/// A regular expression that Go would refuse, or that is too large.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {message}")]
pub struct RegexError {
    pub message: String,
}

/// A compiled expression, anchored at both ends, `.` matching newlines.
#[derive(Clone, Debug)]
pub struct GoRegex {
    pub(crate) regex: Regex,
}

impl GoRegex {
    /// Compiles `^(?s:pattern)$`.
    ///
    /// # Errors
    /// The pattern is not valid Go syntax, or too large.
    pub fn anchored(pattern: &str) -> Result<Self, RegexError> {
        Regex::new(&format!("^(?s:{pattern})$"))
            .map(|regex| Self { regex })
            .map_err(|err| RegexError { message: err.to_string() })
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// All strings the expression matches, when they are few (at most 256): `a|b|c`.
    pub fn literals(&self) -> Option<&[String]> {
        None
    }

    /// A literal every match begins with.
    pub fn prefix(&self) -> Option<&str> {
        None
    }
}
