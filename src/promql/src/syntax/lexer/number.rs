//! Extent of numbers and durations. Their values are read by the parser, which may still refuse them.

use super::{Lexer, Step, is_alphanumeric};
use crate::syntax::token::TokenKind;

const DIGITS: &str = "0123456789";
const HEX_DIGITS: &str = "0123456789abcdefABCDEF";

impl Lexer<'_> {
    /// A number or a duration, whose first character was read.
    pub(super) fn number_or_duration(&mut self) -> Step {
        self.pos = self.start;
        if self.scan_number() {
            return Ok(Some(TokenKind::Number));
        }
        if self.scan_rest_of_duration() {
            return Ok(Some(TokenKind::Duration));
        }
        self.fail_quoting("bad number or duration syntax")
    }

    /// A number; the position is where it begins.
    pub(super) fn number(&mut self) -> Step {
        if self.scan_number() {
            return Ok(Some(TokenKind::Number));
        }
        self.fail_quoting("bad number syntax")
    }

    /// Reads `[.]digits` with dots, underscores and exponents; where it fails, a duration may go on.
    fn scan_number(&mut self) -> bool {
        let begin = self.pos;
        let mut digits = DIGITS;
        // A hexadecimal prefix and the repetition `0x3` of a series description look alike.
        if !self.is_series && self.accept("0") && self.accept("xX") {
            self.accept("_");
            digits = HEX_DIGITS;
        }
        self.accept(".");
        self.accept(digits);
        let (mut has_dot, mut has_exponent) = (false, false);
        while let Some(c) = self.peek().filter(|c| digits.contains(*c) || "._eE".contains(*c)) {
            if c == '.' && has_dot || matches!(c, 'e' | 'E') && has_exponent {
                self.bump();
                return false;
            }
            if self.accept(".") {
                has_dot = true;
                // No underscore or second dot behind a dot, and no fractions of hexadecimal numbers.
                if self.accept("_.") || digits == HEX_DIGITS {
                    return false;
                }
            } else if self.accept("eE") {
                has_exponent = true;
                self.accept("+-");
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.accept("_") {
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else {
                self.skip_while(|c| digits.contains(c));
            }
        }
        if self.pos == begin {
            return false;
        }
        match self.peek() {
            Some('x') if self.is_series => true,
            Some(c) => !is_alphanumeric(c),
            None => true,
        }
    }

    /// Behind the first digits of a duration: a unit, then more digits and units.
    fn scan_rest_of_duration(&mut self) -> bool {
        if !self.accept("smhdwy") {
            return false;
        }
        self.accept("s");
        while self.accept(DIGITS) {
            self.skip_while(|c| c.is_ascii_digit());
            if !self.accept("smhdw") {
                return false;
            }
            self.accept("s");
        }
        match self.peek() {
            Some(c) if is_alphanumeric(c) => {
                self.bump();
                false
            }
            _ => true,
        }
    }

    fn accept(&mut self, set: &str) -> bool {
        let is_accepted = self.peek().is_some_and(|c| set.contains(c));
        if is_accepted {
            self.bump();
        }
        is_accepted
    }
}
