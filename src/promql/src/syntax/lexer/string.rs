//! Extent of quoted strings, and the errors of their escapes.

use super::{Lexer, Step};
use crate::syntax::{literal::describe_char, token::TokenKind};

impl Lexer<'_> {
    /// A string whose opening quote was read.
    pub(super) fn string(&mut self, quote: char) -> Step {
        loop {
            match self.bump() {
                Some('\\') => {
                    if let Err(message) = self.escape(quote) {
                        return self.fail(message);
                    }
                }
                Some(char::REPLACEMENT_CHARACTER) => return self.fail("invalid UTF-8 rune"),
                None | Some('\n') => return self.fail("unterminated quoted string"),
                Some(c) if c == quote => return Ok(Some(TokenKind::String)),
                Some(_) => {}
            }
        }
    }

    /// A string in backquotes, of which the first was read.
    pub(super) fn raw_string(&mut self) -> Step {
        loop {
            match self.bump() {
                Some(char::REPLACEMENT_CHARACTER) => return self.fail("invalid UTF-8 rune"),
                None => return self.fail("unterminated raw string"),
                Some('`') => return Ok(Some(TokenKind::String)),
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<(), String> {
        const NOT_TERMINATED: &str = "escape sequence not terminated";
        let (count, base, value_max, first) = match self.bump() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return Ok(()),
            Some(c) if c == quote => return Ok(()),
            Some(c @ '0'..='7') => (3, 8, 255, Some(c)),
            Some('x') => (2, 16, 255, self.bump()),
            Some('u') => (4, 16, char::MAX as u32, self.bump()),
            Some('U') => (8, 16, char::MAX as u32, self.bump()),
            None => return Err(NOT_TERMINATED.to_owned()),
            Some(c) => return Err(format!("unknown escape sequence {}", describe_char(c))),
        };
        let (mut value, mut next) = (0u32, first);
        for left in (0..count).rev() {
            let c = next.ok_or_else(|| NOT_TERMINATED.to_owned())?;
            let digit = c.to_digit(base).ok_or_else(|| {
                format!("illegal character {} in escape sequence", describe_char(c))
            })?;
            value = value.wrapping_mul(base).wrapping_add(digit);
            if left > 0 {
                next = self.bump();
            }
        }
        if value > value_max || (0xd800..0xe000).contains(&value) {
            return Err("escape sequence is an invalid Unicode code point".to_owned());
        }
        Ok(())
    }
}
