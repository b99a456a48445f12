//! What the parser complains about: place and text of each error.

use std::fmt;

use super::Span;

/// One error in a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Where in the query, in bytes.
    pub span: Span,
    /// Line and column in bytes, both from 1; none if the query is empty.
    pub position: Option<(u32, u32)>,
    /// The text without its place.
    pub message: String,
}

impl ParseError {
    pub(super) fn new(query: &str, span: Span, message: impl Into<String>) -> Self {
        Self { span, position: line_and_column(query, span.start), message: message.into() }
    }
}

impl fmt::Display for ParseError {
    /// `1:7: parse error: unexpected ...`, as the reference prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{line}:{column}: parse error: {}", self.message),
            None => write!(f, "unknown position: parse error: {}", self.message),
        }
    }
}

impl std::error::Error for ParseError {}

/// All errors that were found, the first one first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseErrors(Vec<ParseError>);

impl ParseErrors {
    pub(super) fn one(error: ParseError) -> Self {
        Self(vec![error])
    }

    /// None if there is nothing to complain about.
    pub(super) fn from_list(errors: Vec<ParseError>) -> Option<Self> {
        if errors.is_empty() { None } else { Some(Self(errors)) }
    }

    /// In the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, ParseError> {
        self.0.iter()
    }

    /// The one that is shown.
    pub fn first(&self) -> &ParseError {
        self.0.first().expect("a list of parse errors is built from at least one")
    }
}

impl<'a> IntoIterator for &'a ParseErrors {
    type Item = &'a ParseError;
    type IntoIter = std::slice::Iter<'a, ParseError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ParseErrors {
    /// Only the first error, as in the reference.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first().fmt(f)
    }
}

impl std::error::Error for ParseErrors {}

/// Line and column of a byte offset, both from 1; the column counts bytes. None in an empty text.
///
/// Warnings about a query name their place in the same way.
pub fn line_and_column(query: &str, offset: u32) -> Option<(u32, u32)> {
    if query.is_empty() {
        return None;
    }
    let before = query.as_bytes().get(..offset as usize).unwrap_or(query.as_bytes());
    let lines = before.iter().filter(|byte| **byte == b'\n').count() as u32;
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Some((lines + 1, (before.len() - line_start) as u32 + 1))
}
