//! Tokens of OpenMetrics, one at a time and as strict as the reference: one blank parts tokens, every line ends
//! in a line feed, and what is a token depends on what came before.
//! Compat: Prometheus `model/textparse/openmetricslex.l`.

use super::super::token::{Token, is_label_byte, is_label_start, is_metric_byte, is_metric_start};

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Init,
    Comment,
    MetadataName,
    MetadataText,
    Labels,
    LabelValue,
    Value,
    Timestamp,
    Exemplar,
    ExemplarValue,
    ExemplarTimestamp,
}

/// Reads tokens.
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

    pub(super) fn start(&self) -> usize {
        self.start
    }

    pub(super) fn end(&self) -> usize {
        self.at
    }

    /// Goes to a place where `state` holds.
    pub(super) fn restart(&mut self, offset: usize, state: State) {
        (self.state, self.start, self.at) = (state, offset, offset);
    }

    pub(super) fn next(&mut self) -> Token {
        let Some(first) = self.byte(self.at) else { return Token::End };
        self.start = self.at;
        match self.state {
            State::Init => match first {
                b'#' => {
                    self.at += 1;
                    if self.byte(self.at) != Some(b' ') {
                        return Token::Invalid;
                    }
                    self.at += 1;
                    self.state = State::Comment;
                    self.comment()
                }
                b'{' => self.single(Token::BraceOpen, State::Labels),
                _ => self.name(Token::MetricName, is_metric_start, is_metric_byte, State::Value),
            },
            State::Comment => self.comment(),
            State::MetadataName => match first {
                b'"' => self.quoted(Token::MetricName, true, State::MetadataText),
                _ => {
                    let then = State::MetadataText;
                    self.name(Token::MetricName, is_metric_start, is_metric_byte, then)
                }
            },
            State::MetadataText => self.text(),
            State::Labels | State::Exemplar => self.inside_braces(first),
            State::LabelValue => self.quoted(Token::LabelValue, false, State::Labels),
            State::Value if first == b'{' => self.single(Token::BraceOpen, State::Labels),
            State::Value => self.word(Token::Value, State::Timestamp),
            State::Timestamp => self.after_value(first),
            State::ExemplarValue => match first {
                b'"' => self.quoted(Token::LabelValue, false, State::Exemplar),
                _ => self.word(Token::Value, State::ExemplarTimestamp),
            },
            State::ExemplarTimestamp => match first {
                b'\n' => self.single(Token::Linebreak, State::Init),
                _ => self.word(Token::Timestamp, State::ExemplarTimestamp),
            },
        }
    }

    /// Behind `# `.
    fn comment(&mut self) -> Token {
        let rest = self.input.get(self.at..).unwrap_or_default();
        if rest.starts_with(b"EOF") {
            self.at += 3;
            self.at += usize::from(self.byte(self.at) == Some(b'\n'));
            self.state = State::Init;
            return Token::EofWord;
        }
        let words = [(b"HELP ", Token::Help), (b"TYPE ", Token::Type), (b"UNIT ", Token::Unit)];
        for (word, token) in words {
            if rest.starts_with(word) {
                self.at += word.len();
                self.state = State::MetadataName;
                return token;
            }
        }
        let alike = |word: &[u8]| word.iter().zip(rest).take_while(|(a, b)| a == b).count();
        let words = [b"HELP ".as_slice(), b"TYPE ", b"UNIT ", b"EOF"];
        self.at += words.into_iter().map(alike).max().unwrap_or_default();
        Token::Invalid
    }

    fn text(&mut self) -> Token {
        if self.byte(self.at) != Some(b' ') {
            return Token::Invalid;
        }
        let rest = self.input.get(self.at..).unwrap_or_default();
        match memchr::memchr(b'\n', rest) {
            Some(size) => {
                self.at += size + 1;
                self.state = State::Init;
                Token::Text
            }
            None => {
                self.at = self.input.len();
                Token::Invalid
            }
        }
    }

    fn inside_braces(&mut self, first: u8) -> Token {
        let is_exemplar = self.state == State::Exemplar;
        let or = |exemplar, labels| if is_exemplar { exemplar } else { labels };
        match first {
            b'}' => self.single(Token::BraceClose, or(State::ExemplarValue, State::Value)),
            b'=' => self.single(Token::Equal, or(State::ExemplarValue, State::LabelValue)),
            b',' => self.single(Token::Comma, self.state),
            b'"' => self.quoted(Token::QuotedString, !is_exemplar, self.state),
            _ => self.name(Token::LabelName, is_label_start, is_label_byte, self.state),
        }
    }

    /// Behind a value or a timestamp.
    fn after_value(&mut self, first: u8) -> Token {
        if first == b'\n' {
            return self.single(Token::Linebreak, State::Init);
        }
        let rest = self.input.get(self.at..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix(b" # ") {
            self.at += 3;
            return match after.first() {
                Some(b'{') => self.single(Token::Comment, State::Exemplar),
                _ => Token::Invalid,
            };
        }
        self.word(Token::Timestamp, State::Timestamp)
    }

    /// A blank, and everything up to the next one.
    fn word(&mut self, token: Token, then: State) -> Token {
        if self.byte(self.at) != Some(b' ') {
            return Token::Invalid;
        }
        self.at += 1;
        let before = self.at;
        while self.byte(self.at).is_some_and(|b| !matches!(b, b' ' | b'\n' | 0)) {
            self.at += 1;
        }
        if self.at == before {
            return Token::Invalid;
        }
        self.state = then;
        token
    }

    /// A string in quotes; null bytes only in values.
    fn quoted(&mut self, token: Token, may_hold_linefeed: bool, then: State) -> Token {
        if self.byte(self.at) != Some(b'"') {
            return Token::Invalid;
        }
        let may_hold_null = self.state == State::LabelValue;
        self.at += 1;
        loop {
            match self.byte(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    self.state = then;
                    return token;
                }
                Some(b'\\') => {
                    self.at += 1;
                    if matches!(self.byte(self.at), None | Some(b'\n' | 0)) {
                        return Token::Invalid;
                    }
                }
                None => return Token::Invalid,
                Some(b'\n') if !may_hold_linefeed => return Token::Invalid,
                Some(0) if !may_hold_null => return Token::Invalid,
                Some(_) => {}
            }
            self.at += 1;
        }
    }

    fn name(
        &mut self,
        token: Token,
        is_start: fn(u8) -> bool,
        is_byte: fn(u8) -> bool,
        then: State,
    ) -> Token {
        if !self.byte(self.at).is_some_and(is_start) {
            return Token::Invalid;
        }
        while self.byte(self.at).is_some_and(is_byte) {
            self.at += 1;
        }
        self.state = then;
        token
    }

    fn single(&mut self, token: Token, then: State) -> Token {
        self.at += 1;
        self.state = then;
        token
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.input.get(at).copied()
    }
}
