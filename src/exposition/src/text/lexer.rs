//! Tokens of the text format, one at a time and as strict as the reference: what is a token depends on what came
//! before, and an error shows exactly the bytes that the reference would show. Speed is the business of `fast`.
//! Compat: Prometheus `model/textparse/promlex.l`.

use super::token::{Token, is_label_byte, is_label_start, is_metric_byte, is_metric_start};

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Init,
    Comment,
    MetadataName,
    MetadataText,
    Labels,
    LabelValue,
    Value,
    Timestamp,
}

/// Reads tokens. A line feed is understood behind the last byte.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    input: &'a [u8],
    state: State,
    /// Where the last token begins and where it ends.
    start: usize,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, state: State::Init, start: 0, at: 0 }
    }

    /// Where the last token begins.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Where the last token ends.
    pub(super) fn end(&self) -> usize {
        self.at
    }

    /// Goes to the beginning of an entry.
    pub(super) fn restart(&mut self, offset: usize) {
        (self.state, self.start, self.at) = (State::Init, offset, offset);
    }

    /// The next token that is not blank.
    pub(super) fn next(&mut self) -> Token {
        loop {
            self.start = self.at;
            if self.at > self.input.len() {
                return Token::End;
            }
            // Blanks part tokens everywhere but inside the text of a help line.
            let blanks = self.blanks();
            let is_text = self.state == State::MetadataText;
            if blanks == 0 || (is_text && self.byte(self.at + blanks) != Some(b'\n')) {
                return self.token();
            }
            self.at += blanks;
        }
    }

    fn token(&mut self) -> Token {
        match self.state {
            State::Init => self.first(),
            State::Comment => self.comment(),
            State::MetadataName => {
                let token = match self.byte(self.at) {
                    Some(b'"') => self.quoted(Token::MetricName),
                    _ => self.name(Token::MetricName, is_metric_start, is_metric_byte),
                };
                self.then(token, State::MetadataText)
            }
            State::MetadataText => {
                self.skip_line();
                self.then(Token::Text, State::Init)
            }
            State::Labels => self.inside_braces(),
            State::LabelValue => {
                let token = self.quoted(Token::LabelValue);
                self.then(token, State::Labels)
            }
            State::Value => match self.byte(self.at) {
                Some(b'{') => self.single(Token::BraceOpen, State::Labels),
                _ => {
                    let is_value = |b| !matches!(b, b'{' | b' ' | b'\t' | b'\n' | 0);
                    let token = self.some(Token::Value, is_value);
                    self.then(token, State::Timestamp)
                }
            },
            State::Timestamp => match self.byte(self.at) {
                Some(b'\n') => self.single(Token::Linebreak, State::Init),
                _ => self.some(Token::Timestamp, |b| b.is_ascii_digit()),
            },
        }
    }

    /// The first token of a line.
    fn first(&mut self) -> Token {
        match self.byte(self.at) {
            // Compat: a null byte here ends the body, as silently as its last byte does.
            Some(0) => Token::End,
            Some(b'\n') => self.single(Token::Linebreak, State::Init),
            Some(b'{') => self.single(Token::BraceOpen, State::Labels),
            Some(b'#') => {
                self.at += 1;
                let blanks = self.blanks();
                if blanks == 0 {
                    return self.rest_of_comment();
                }
                self.at += blanks;
                self.state = State::Comment;
                self.comment()
            }
            _ => {
                let token = self.name(Token::MetricName, is_metric_start, is_metric_byte);
                self.then(token, State::Value)
            }
        }
    }

    /// Behind `# `: metadata, or just a comment.
    fn comment(&mut self) -> Token {
        for (word, token) in [(b"HELP", Token::Help), (b"TYPE", Token::Type)] {
            let is_word = self.input[self.at.min(self.input.len())..].starts_with(word);
            let end = self.at + word.len();
            if is_word && matches!(self.byte(end), Some(b' ' | b'\t')) {
                self.at = end;
                self.at += self.blanks();
                return self.then(token, State::MetadataName);
            }
        }
        self.rest_of_comment()
    }

    fn rest_of_comment(&mut self) -> Token {
        let may_hold_null = self.state == State::Comment;
        self.skip_while(|b| b != b'\n' && (may_hold_null || b != 0));
        if self.byte(self.at) == Some(0) {
            Token::End
        } else {
            self.then(Token::Comment, State::Init)
        }
    }

    fn inside_braces(&mut self) -> Token {
        match self.byte(self.at) {
            Some(b'}') => self.single(Token::BraceClose, State::Value),
            Some(b'=') => self.single(Token::Equal, State::LabelValue),
            Some(b',') => self.single(Token::Comma, State::Labels),
            Some(b'"') => self.quoted(Token::QuotedString),
            _ => self.name(Token::LabelName, is_label_start, is_label_byte),
        }
    }

    /// A string in quotes. Line feeds may stand in it, but not behind a backslash; null bytes only in values.
    fn quoted(&mut self, token: Token) -> Token {
        if self.byte(self.at) != Some(b'"') {
            return Token::Invalid;
        }
        let may_hold_null = token == Token::LabelValue;
        self.at += 1;
        loop {
            self.skip_while(|b| b != b'"' && b != b'\\' && (may_hold_null || b != 0));
            match self.byte(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return token;
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.skip_nulls(may_hold_null);
                    if matches!(self.byte(self.at), None | Some(b'\n' | 0)) {
                        return Token::Invalid;
                    }
                    self.at += 1;
                }
                _ => return Token::Invalid,
            }
        }
    }

    fn name(&mut self, token: Token, is_start: fn(u8) -> bool, is_byte: fn(u8) -> bool) -> Token {
        if !self.byte(self.at).is_some_and(is_start) {
            return Token::Invalid;
        }
        self.some(token, is_byte)
    }

    /// At least one byte that fits.
    fn some(&mut self, token: Token, fits: impl Fn(u8) -> bool) -> Token {
        let before = self.at;
        self.skip_while(fits);
        if self.at == before { Token::Invalid } else { token }
    }

    fn single(&mut self, token: Token, state: State) -> Token {
        self.at += 1;
        self.then(token, state)
    }

    /// A token leads to the next state, an invalid one stays.
    fn then(&mut self, token: Token, state: State) -> Token {
        if token != Token::Invalid {
            self.state = state;
        }
        token
    }

    fn skip_nulls(&mut self, allowed: bool) {
        while allowed && self.byte(self.at) == Some(0) {
            self.at += 1;
        }
    }

    fn skip_line(&mut self) {
        let rest = &self.input[self.at.min(self.input.len())..];
        self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    }

    fn skip_while(&mut self, fits: impl Fn(u8) -> bool) {
        while self.byte(self.at).is_some_and(&fits) {
            self.at += 1;
        }
    }

    /// How many blanks stand at the cursor.
    fn blanks(&self) -> usize {
        let rest = &self.input[self.at.min(self.input.len())..];
        rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        match self.input.get(at) {
            Some(byte) => Some(*byte),
            None if at == self.input.len() => Some(b'\n'),
            None => None,
        }
    }
}
