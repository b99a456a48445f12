//! Text to tokens, one at a time. A mode per place (expression, braces, brackets, series values,
//! histogram) decides what a character means; the parser never looks at characters.
//!
//! Compat: `promql/parser/lex.go`; the order of checks decides which error a text gets.

mod number;
mod series;
mod string;

use prom_model::quote_go;

use super::{
    ParseError, Span,
    literal::quote_char,
    token::{Token, TokenKind, duration_keyword, keyword},
};

/// What the next character belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// An expression; also brackets behind the first number, and series descriptions before values.
    Statements,
    /// Between braces.
    Braces,
    /// Brackets up to the first number.
    DurationExpr,
    /// Values of a series description.
    Values,
    /// Inside `{{...}}`.
    Histogram,
    /// A list of numbers inside `{{...}}`.
    Buckets,
}

/// The scanner. After an error it must not be asked again.
#[derive(Debug)]
pub(super) struct Lexer<'q> {
    input: &'q str,
    /// Where the next character stands.
    pos: usize,
    /// Where the current token began.
    start: usize,
    mode: Mode,
    paren_depth: i64,
    is_bracket_open: bool,
    has_colon: bool,
    has_duration: bool,
    is_series: bool,
}

/// Either a token, or a hint to go on (space, comment, change of mode).
type Step = Result<Option<TokenKind>, ParseError>;

impl<'q> Lexer<'q> {
    /// A scanner for an expression or a selector. The input is at most 4 GiB, so that spans fit.
    pub(super) fn new(input: &'q str) -> Self {
        Self {
            input,
            pos: 0,
            start: 0,
            mode: Mode::Statements,
            paren_depth: 0,
            is_bracket_open: false,
            has_colon: false,
            has_duration: false,
            is_series: false,
        }
    }

    /// A scanner for `metric{label="value"} 1 2 3`.
    pub(super) fn for_series(input: &'q str) -> Self {
        Self { is_series: true, ..Self::new(input) }
    }

    pub(super) fn input(&self) -> &'q str {
        self.input
    }

    /// The text of a token.
    pub(super) fn text(&self, span: Span) -> &'q str {
        self.input.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// The next token; at the end of the input `EndOfInput`, as often as it is asked.
    pub(super) fn next(&mut self) -> Result<Token, ParseError> {
        loop {
            self.start = self.pos;
            let step = match self.mode {
                Mode::Statements => self.statement(),
                Mode::Braces => self.inside_braces(),
                Mode::DurationExpr => self.duration_expr(),
                Mode::Values => self.series_value(),
                Mode::Histogram => self.histogram(),
                Mode::Buckets => self.bucket(),
            };
            if let Some(kind) = step? {
                let span = Span { start: self.start as u32, end: self.pos as u32 };
                return Ok(Token { kind, span });
            }
        }
    }

    fn statement(&mut self) -> Step {
        if self.peek() == Some('#') {
            return self.comment();
        }
        let Some(c) = self.bump() else { return self.end_of_input() };
        Ok(Some(match c {
            ' ' | '\t' | '\n' | '\r' => return self.skip_spaces(),
            ',' => TokenKind::Comma,
            '*' => TokenKind::Mul,
            '/' => TokenKind::Div,
            '%' => TokenKind::Mod,
            '+' => TokenKind::Add,
            '-' => TokenKind::Sub,
            '^' => TokenKind::Pow,
            '@' => TokenKind::At,
            '=' => match self.peek() {
                Some('=') => self.bump_as(TokenKind::EqualEqual),
                Some('~') => return self.fail("unexpected character after '=': '~'"),
                _ => TokenKind::Equal,
            },
            '!' => match self.bump() {
                Some('=') => TokenKind::NotEqual,
                other => {
                    let other = quote_char(other);
                    return self.fail(format!("unexpected character after '!': {other}"));
                }
            },
            '<' => match self.peek() {
                Some('=') => self.bump_as(TokenKind::LessOrEqual),
                Some('/') => self.bump_as(TokenKind::TrimUpper),
                _ => TokenKind::Less,
            },
            '>' => match self.peek() {
                Some('=') => self.bump_as(TokenKind::GreaterOrEqual),
                Some('/') => self.bump_as(TokenKind::TrimLower),
                _ => TokenKind::Greater,
            },
            c if starts_number(c, self.peek()) => return self.number_or_duration(),
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            c if is_alpha(c) || c == ':' => return self.word(c),
            '(' | ')' | '{' | '[' | ']' => return self.delimiter(c),
            c => return self.fail(format!("unexpected character: {}", quote_char(Some(c)))),
        }))
    }

    fn delimiter(&mut self, c: char) -> Step {
        Ok(Some(match c {
            '(' => return self.open_paren(),
            ')' => return self.close_paren(),
            '{' => {
                self.mode = Mode::Braces;
                TokenKind::LeftBrace
            }
            '[' if self.is_bracket_open => return self.fail("unexpected left bracket '['"),
            '[' => {
                self.has_colon = false;
                self.is_bracket_open = true;
                self.mode = Mode::DurationExpr;
                TokenKind::LeftBracket
            }
            _ if !self.is_bracket_open => return self.fail("unexpected right bracket ']'"),
            _ => {
                self.is_bracket_open = false;
                TokenKind::RightBracket
            }
        }))
    }

    fn open_paren(&mut self) -> Step {
        self.paren_depth += 1;
        Ok(Some(TokenKind::LeftParen))
    }

    fn close_paren(&mut self) -> Step {
        self.paren_depth -= 1;
        if self.paren_depth < 0 {
            return self.fail_behind("unexpected right parenthesis ')'");
        }
        Ok(Some(TokenKind::RightParen))
    }

    fn end_of_input(&mut self) -> Step {
        if self.paren_depth != 0 {
            return self.fail("unclosed left parenthesis");
        }
        if self.is_bracket_open {
            return self.fail("unclosed left bracket");
        }
        Ok(Some(TokenKind::EndOfInput))
    }

    /// A letter, underscore or colon was read. In brackets only `:` and few keywords make sense.
    fn word(&mut self, first: char) -> Step {
        if !self.is_bracket_open {
            return self.keyword_or_identifier();
        }
        if first == ':' {
            if self.has_colon {
                return self.fail("unexpected colon ':'");
            }
            self.has_colon = true;
            return Ok(Some(TokenKind::Colon));
        }
        if let Some(kind) = self.duration_word(first) {
            return Ok(Some(kind));
        }
        let first = quote_char(Some(first));
        self.fail(format!("unexpected character: {first}, expected ':'"))
    }

    fn keyword_or_identifier(&mut self) -> Step {
        self.skip_while(|c| is_alphanumeric(c) || c == ':');
        let word = &self.input[self.start..self.pos];
        let kind = match keyword(word) {
            // These became keywords late, so they stay names wherever they can be.
            Some(TokenKind::Fill | TokenKind::FillLeft | TokenKind::FillRight)
                if !self.is_paren_next() =>
            {
                TokenKind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        };
        if self.is_series {
            let has_labels = self.peek() == Some('{');
            self.mode = if has_labels { Mode::Statements } else { Mode::Values };
        }
        Ok(Some(kind))
    }

    fn is_paren_next(&self) -> bool {
        self.input[self.pos..].trim_start_matches(is_space).starts_with('(')
    }

    /// `step`, `range`, `min_of`, `max_of`; their first letter was read. None, if it is another word.
    fn duration_word(&mut self, first: char) -> Option<TokenKind> {
        if !matches!(first.to_ascii_lowercase(), 's' | 'r' | 'm') {
            return None;
        }
        self.skip_while(is_alpha);
        duration_keyword(&self.input[self.start..self.pos])
    }

    fn inside_braces(&mut self) -> Step {
        if self.peek() == Some('#') {
            return self.comment();
        }
        let Some(c) = self.bump() else {
            return self.fail("unexpected end of input inside braces");
        };
        Ok(Some(match c {
            c if is_space(c) => return self.skip_spaces(),
            c if is_alpha(c) => {
                self.skip_while(is_alphanumeric);
                TokenKind::Identifier
            }
            ',' => TokenKind::Comma,
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            '=' if self.peek() == Some('~') => self.bump_as(TokenKind::EqualRegex),
            '=' => TokenKind::Equal,
            '!' => match self.bump() {
                Some('~') => TokenKind::NotEqualRegex,
                Some('=') => TokenKind::NotEqual,
                other => {
                    let other = quote_char(other);
                    return self
                        .fail(format!("unexpected character after '!' inside braces: {other}"));
                }
            },
            '{' => return self.fail("unexpected left brace '{'"),
            '}' => {
                self.mode = if self.is_series { Mode::Values } else { Mode::Statements };
                TokenKind::RightBrace
            }
            c => {
                let c = quote_char(Some(c));
                return self.fail(format!("unexpected character inside braces: {c}"));
            }
        }))
    }

    fn duration_expr(&mut self) -> Step {
        let Some(c) = self.bump() else {
            return self.fail("unexpected end of input in duration expression");
        };
        Ok(Some(match c {
            ']' => {
                self.is_bracket_open = false;
                self.has_colon = false;
                self.mode = Mode::Statements;
                TokenKind::RightBracket
            }
            ':' if !self.has_duration => {
                return self.fail_behind("unexpected colon before duration in duration expression");
            }
            ':' if self.has_colon => {
                return self.fail_behind("unexpected repeated colon in duration expression");
            }
            ':' => {
                self.has_colon = true;
                TokenKind::Colon
            }
            '(' => return self.open_paren(),
            ')' => return self.close_paren(),
            c if is_space(c) => return self.skip_spaces(),
            '+' => TokenKind::Add,
            '-' => TokenKind::Sub,
            '*' => TokenKind::Mul,
            '/' => TokenKind::Div,
            '%' => TokenKind::Mod,
            '^' => TokenKind::Pow,
            ',' => TokenKind::Comma,
            c if starts_number(c, self.peek()) => {
                self.has_duration = true;
                self.mode = Mode::Statements;
                return self.number_or_duration();
            }
            c => match self.duration_word(c) {
                Some(kind) => kind,
                None => {
                    let c = quote_char(Some(c));
                    return self.fail(format!("unexpected character in duration expression: {c}"));
                }
            },
        }))
    }

    fn comment(&mut self) -> Step {
        self.skip_while(|c| !matches!(c, '\r' | '\n'));
        Ok(None)
    }

    fn skip_spaces(&mut self) -> Step {
        self.skip_while(is_space);
        Ok(None)
    }

    fn peek(&self) -> Option<char> {
        match self.input.as_bytes().get(self.pos)? {
            byte if byte.is_ascii() => Some(char::from(*byte)),
            _ => self.input[self.pos..].chars().next(),
        }
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn bump_as(&mut self, kind: TokenKind) -> TokenKind {
        self.bump();
        kind
    }

    fn skip_while(&mut self, is_wanted: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&is_wanted) {
            self.bump();
        }
    }

    /// An error that begins where the current token does.
    fn fail(&self, message: impl Into<String>) -> Step {
        let span = Span { start: self.start as u32, end: self.input.len() as u32 };
        Err(ParseError::new(self.input, span, message))
    }

    /// An error that begins behind the current token.
    fn fail_behind(&self, message: &str) -> Step {
        let span = Span { start: self.pos as u32, end: self.input.len() as u32 };
        Err(ParseError::new(self.input, span, message))
    }

    fn fail_quoting(&self, what: &str) -> Step {
        self.fail(format!("{what}: {}", quote_go(&self.input[self.start..self.pos])))
    }
}

/// The spaces of the language; no others count.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

fn starts_number(c: char, next: Option<char>) -> bool {
    c.is_ascii_digit() || c == '.' && next.is_some_and(|next| next.is_ascii_digit())
}
