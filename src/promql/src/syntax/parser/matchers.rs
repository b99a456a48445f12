//! Selectors: a name, matchers in braces, or both.

use prom_model::{METRIC_NAME, MatchOp, Matcher};

use super::{Halt, Parsed, Parser};
use crate::syntax::{
    Span, VectorSelector,
    token::{Token, TokenKind},
};

const CONTEXT: &str = "label matching";

impl Parser<'_> {
    /// A selector whose name was read.
    pub(super) fn named_selector(&mut self, name: Token) -> Parsed<(VectorSelector, Span)> {
        let (mut matchers, end) = match self.take(TokenKind::LeftBrace)? {
            Some(_) => self.matchers()?,
            None => (Vec::new(), name.span.end),
        };
        let name_text = self.text(name);
        matchers.push(Matcher::equal(METRIC_NAME, name_text));
        let span = Span { start: name.span.start, end };
        Ok((selector(Some(name_text.to_owned()), matchers), span))
    }

    /// A selector whose opening brace was read.
    pub(super) fn nameless_selector(&mut self, open: Token) -> Parsed<(VectorSelector, Span)> {
        let (matchers, end) = self.matchers()?;
        Ok((selector(None, matchers), Span { start: open.span.start, end }))
    }

    /// Matchers up to the closing brace, and where that ends.
    fn matchers(&mut self) -> Parsed<(Vec<Matcher>, u32)> {
        let mut matchers = Vec::new();
        loop {
            if let Some(close) = self.take(TokenKind::RightBrace)? {
                return Ok((matchers, close.span.end));
            }
            let matcher = self.matcher();
            matchers.push(self.within(matcher, CONTEXT, "identifier or \"}\"")?);
            if self.take(TokenKind::Comma)?.is_none() {
                let close = self.expect(TokenKind::RightBrace);
                let close = self.within(close, CONTEXT, "\",\" or \"}\"")?;
                return Ok((matchers, close.span.end));
            }
        }
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        let name_token = self.next()?;
        self.count_node(name_token.span)?;
        let name = match name_token.kind {
            TokenKind::Identifier => self.text(name_token).to_owned(),
            TokenKind::String => self.unquote(name_token)?,
            _ => return Err(Halt::Unexpected(name_token)),
        };
        let op_token = self.peek()?;
        let Some(op) = match_op(op_token.kind) else {
            if name_token.kind == TokenKind::String {
                return Ok(Matcher::equal(METRIC_NAME, &name));
            }
            let unexpected = Err(Halt::Unexpected(op_token));
            return self.within(unexpected, CONTEXT, "label matching operator");
        };
        self.next()?;
        let value = self.expect(TokenKind::String);
        let value_token = self.within(value, CONTEXT, "string")?;
        let value = self.unquote(value_token)?;
        let span = Span { start: name_token.span.start, end: value_token.span.end };
        Matcher::new(&name, op, &value).or_else(|err| self.fail(span, err.to_string()))
    }
}

fn match_op(kind: TokenKind) -> Option<MatchOp> {
    Some(match kind {
        TokenKind::Equal => MatchOp::Equal,
        TokenKind::NotEqual => MatchOp::NotEqual,
        TokenKind::EqualRegex => MatchOp::Regex,
        TokenKind::NotEqualRegex => MatchOp::NotRegex,
        _ => return None,
    })
}

fn selector(name: Option<String>, matchers: Vec<Matcher>) -> VectorSelector {
    VectorSelector { name, matchers, offset: None, at: None, extension: None }
}
