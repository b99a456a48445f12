//! The modes of series descriptions: values, histograms, lists of bucket counts.

use prom_model::quote_go;

use super::{Lexer, Mode, Step, is_alpha, is_space, starts_number};
use crate::syntax::{
    literal::quote_char,
    token::{TokenKind, histogram_word, keyword},
};

impl Lexer<'_> {
    pub(super) fn series_value(&mut self) -> Step {
        let Some(c) = self.bump() else { return self.end_of_input() };
        Ok(Some(match c {
            '{' if self.peek() == Some('{') => {
                self.mode = Mode::Histogram;
                self.bump_as(TokenKind::OpenHistogram)
            }
            c if is_space(c) => return self.space(),
            '+' => TokenKind::Add,
            '-' => TokenKind::Sub,
            'x' => TokenKind::Times,
            '_' => TokenKind::Blank,
            c if starts_number(c, self.peek()) => {
                self.pos = self.start;
                return self.number();
            }
            c if is_alpha(c) => return self.keyword_or_identifier(),
            c => {
                let c = quote_char(Some(c));
                return self.fail(format!("unexpected character in series sequence: {c}"));
            }
        }))
    }

    pub(super) fn histogram(&mut self) -> Step {
        let c = self.bump();
        Ok(Some(match c {
            Some(c) if is_space(c) => return self.space(),
            Some(c) if is_alpha(c) => return self.histogram_word(),
            Some(':') => TokenKind::Colon,
            Some('-') => TokenKind::Sub,
            Some('0'..='9') => {
                self.pos = self.start;
                return self.number();
            }
            Some('[') => {
                self.mode = Mode::Buckets;
                TokenKind::LeftBracket
            }
            Some('}') if self.peek() == Some('}') => {
                self.mode = Mode::Values;
                self.bump_as(TokenKind::CloseHistogram)
            }
            c => {
                let c = quote_char(c);
                return self.fail(format!("histogram description incomplete unexpected: {c}"));
            }
        }))
    }

    fn histogram_word(&mut self) -> Step {
        self.skip_while(is_alpha);
        let word = &self.input[self.start..self.pos];
        match histogram_word(word) {
            Some(TokenKind::HistogramKey(_)) if self.peek() != Some(':') => {
                self.fail("missing `:` for histogram descriptor")
            }
            Some(kind) => Ok(Some(kind)),
            None => self.fail(format!("bad histogram descriptor found: {}", quote_go(word))),
        }
    }

    pub(super) fn bucket(&mut self) -> Step {
        let c = self.bump();
        Ok(Some(match c {
            Some(c) if is_space(c) => return self.space(),
            Some('-') => TokenKind::Sub,
            Some('0'..='9') => {
                self.pos = self.start;
                return self.number();
            }
            Some(']') => {
                self.mode = Mode::Histogram;
                TokenKind::RightBracket
            }
            Some(c) if is_alpha(c) => {
                self.skip_while(is_alpha);
                let word = &self.input[self.start..self.pos];
                match keyword(word) {
                    Some(TokenKind::Number) => TokenKind::Number,
                    _ => return self.fail_quoting("invalid word in buckets description"),
                }
            }
            c => {
                let c = quote_char(c);
                return self.fail(format!("invalid character in buckets description: {c}"));
            }
        }))
    }

    /// Spaces part values, so a run of them is one token, as long as its first.
    fn space(&mut self) -> Step {
        self.skip_while(is_space);
        Ok(Some(TokenKind::Space))
    }
}
