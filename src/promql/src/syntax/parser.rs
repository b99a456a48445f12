//! Tokens to tree: entry points, the token window, and what stops a parse. Types are checked
//! afterwards by `check`; the grammar stands in the submodules.
//!
//! Recursive descent with operator precedence. An unexpected token travels up until a construct that
//! has something to say about it (`within`) turns it into a message, so messages name the innermost
//! such construct, as the error productions of the reference's grammar do.
//! Compat: `promql/parser/generated_parser.y`.

mod binary;
mod duration;
mod matchers;
mod postfix;
mod primary;
mod series;

pub use series::{HistogramLiteral, SeriesDescription, SeriesItem};

use prom_model::Matcher;

use super::{
    Expr, ParseError, ParseErrors, ParseOptions, Span, check,
    lexer::Lexer,
    token::{Token, TokenKind},
};

/// The longest query that is read at all.
pub const QUERY_SIZE_BYTES_MAX: usize = 4 << 20;
/// How high a tree may grow: nesting and chains of operators together. Whoever walks the tree by
/// recursion counts on it.
pub const TREE_HEIGHT_MAX: u32 = 1_000;
/// Nodes between two questions whether to go on: some compile a regular expression.
const NODES_PER_CHECK: u32 = 128;
/// How many nodes and matchers a query may have.
pub const NODE_COUNT_MAX: u32 = 200_000;

/// Parses an expression and checks its types.
///
/// # Errors
/// The text is not an expression, breaks a limit, or uses what `options` leave off.
pub fn parse(query: &str, options: &ParseOptions) -> Result<Expr, ParseErrors> {
    parse_while(query, options, &|| true).map_err(|errors| errors.expect("nobody stops this parse"))
}

/// [`parse`], as long as `may_go_on` says so.
///
/// # Errors
/// As [`parse`]; and nothing at all where the parse was stopped.
pub(crate) fn parse_while(
    query: &str,
    options: &ParseOptions,
    may_go_on: &dyn Fn() -> bool,
) -> Result<Expr, Option<ParseErrors>> {
    let mut parser = Parser::new(Lexer::new(query), *options).map_err(Some)?;
    parser.may_go_on = may_go_on;
    let parsed = parser.run(Parser::whole_expr);
    if parser.is_stopped {
        return Err(None);
    }
    let mut expr = parsed.map_err(Some)?;
    check::check(&mut expr, query).map_err(Some)?;
    Ok(expr)
}

/// Parses a selector without range and modifiers, as in the API's `match[]` parameters.
/// Whether it selects everything is for the caller to ask: see [`has_nonempty_matcher`].
///
/// # Errors
/// The text is not a selector or breaks a limit.
pub fn parse_metric_selector(text: &str) -> Result<Vec<Matcher>, ParseErrors> {
    let mut parser = Parser::new(Lexer::new(text), ParseOptions::default())?;
    parser.run(Parser::whole_selector)
}

/// Parses a line of a test script or unit test: `metric{a="b"} 1+2x3 _ stale`.
///
/// # Errors
/// The text is not a series description or breaks a limit.
pub fn parse_series_description(text: &str) -> Result<SeriesDescription, ParseErrors> {
    let mut parser = Parser::new(Lexer::for_series(text), ParseOptions::default())?;
    parser.run(Parser::whole_series)
}

/// Whether some matcher refuses the empty value, so that not all series are selected.
pub fn has_nonempty_matcher(matchers: &[Matcher]) -> bool {
    matchers.iter().any(|matcher| !matcher.matches_empty())
}

/// Why a parse stops.
#[derive(Debug)]
enum Halt {
    /// A token that fits nowhere; who is responsible is not yet known.
    Unexpected(Token),
    Failed(Box<ParseError>),
}

impl From<ParseError> for Halt {
    fn from(error: ParseError) -> Self {
        Self::Failed(Box::new(error))
    }
}

type Parsed<T> = Result<T, Halt>;

/// A piece of a tree and how high it is. Boxed, as many of these wait on the stack when a query nests
/// deeply; for the same reason what is not part of the recursion is kept out of its frames.
#[derive(Debug)]
struct Node<T> {
    value: Box<T>,
    height: u32,
}

impl<T> Node<T> {
    fn leaf(value: T) -> Self {
        Self { value: Box::new(value), height: 1 }
    }
}

struct Parser<'q> {
    lexer: Lexer<'q>,
    options: ParseOptions,
    lookahead: Option<Token>,
    /// How many constructs are open.
    depth: u32,
    node_count: u32,
    may_go_on: &'q dyn Fn() -> bool,
    is_stopped: bool,
}

impl<'q> Parser<'q> {
    fn new(lexer: Lexer<'q>, options: ParseOptions) -> Result<Self, ParseErrors> {
        let size = lexer.input().len();
        if size > QUERY_SIZE_BYTES_MAX {
            let message =
                format!("query has {size} bytes, more than the limit of {QUERY_SIZE_BYTES_MAX}");
            let error = ParseError::new(lexer.input(), Span::default(), message);
            return Err(ParseErrors::one(error));
        }
        Ok(Self {
            lexer,
            options,
            lookahead: None,
            depth: 0,
            node_count: 0,
            may_go_on: &|| true,
            is_stopped: false,
        })
    }

    /// Runs a rule; a token that no construct was responsible for gets the plain message.
    fn run<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Result<T, ParseErrors> {
        rule(self).map_err(|halt| match halt {
            Halt::Failed(error) => ParseErrors::one(*error),
            Halt::Unexpected(token) => ParseErrors::one(self.unexpected(token, "", "")),
        })
    }

    fn whole_expr(&mut self) -> Parsed<Expr> {
        if self.peek()?.kind == TokenKind::EndOfInput {
            return self.fail(Span::default(), "no expression found in input");
        }
        let expr = self.expr()?.value;
        self.expect(TokenKind::EndOfInput)?;
        Ok(*expr)
    }

    fn whole_selector(&mut self) -> Parsed<Vec<Matcher>> {
        let token = self.next()?;
        let selector = match token.kind {
            TokenKind::LeftBrace => self.nameless_selector(token)?,
            kind if kind.is_metric_name() => self.named_selector(token)?,
            _ => return Err(Halt::Unexpected(token)),
        };
        self.expect(TokenKind::EndOfInput)?;
        Ok(selector.0.matchers)
    }

    /// The next token, left where it is. Called only where a decision needs it: a faulty token must
    /// not hide the error of what stands before it.
    fn peek(&mut self) -> Parsed<Token> {
        match self.lookahead {
            Some(token) => Ok(token),
            None => Ok(*self.lookahead.insert(self.lexer.next()?)),
        }
    }

    fn next(&mut self) -> Parsed<Token> {
        match self.lookahead.take() {
            Some(token) => Ok(token),
            None => Ok(self.lexer.next()?),
        }
    }

    /// Consumes the next token if it is of this kind.
    fn take(&mut self, kind: TokenKind) -> Parsed<Option<Token>> {
        if self.peek()?.kind == kind { Ok(self.lookahead.take()) } else { Ok(None) }
    }

    fn expect(&mut self, kind: TokenKind) -> Parsed<Token> {
        let token = self.next()?;
        if token.kind == kind { Ok(token) } else { Err(Halt::Unexpected(token)) }
    }

    fn text(&self, token: Token) -> &'q str {
        self.lexer.text(token.span)
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.lexer.input(), span, message)
    }

    fn fail<T>(&self, span: Span, message: impl Into<String>) -> Parsed<T> {
        Err(self.error(span, message).into())
    }

    /// Says what `context` expected, if `result` is a token that nobody inside was responsible for.
    fn within<T>(&self, result: Parsed<T>, context: &str, expected: &str) -> Parsed<T> {
        match result {
            Err(Halt::Unexpected(token)) => Err(self.unexpected(token, context, expected).into()),
            other => other,
        }
    }

    #[cold]
    fn unexpected(&self, token: Token, context: &str, expected: &str) -> ParseError {
        let mut message = format!("unexpected {}", token.kind.describe(self.text(token)));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.error(token.span, message)
    }

    /// Opens a construct that may hold further ones; `leave` closes it.
    fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > TREE_HEIGHT_MAX {
            let span = self.peek()?.span;
            return self.fail_too_high(span);
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    /// A node above others, the highest of which has `height` levels.
    fn above<T>(&mut self, height: u32, span: Span, value: T) -> Parsed<Node<T>> {
        self.count_node(span)?;
        let height = height + 1;
        if height > TREE_HEIGHT_MAX {
            return self.fail_too_high(span);
        }
        Ok(Node { value: Box::new(value), height })
    }

    fn count_node(&mut self, span: Span) -> Parsed<()> {
        self.node_count += 1;
        if self.node_count > NODE_COUNT_MAX {
            return self.fail(span, format!("query has more than {NODE_COUNT_MAX} parts"));
        }
        if self.node_count.is_multiple_of(NODES_PER_CHECK) && !(self.may_go_on)() {
            self.is_stopped = true;
            return self.fail(span, "stopped");
        }
        Ok(())
    }

    #[cold]
    fn fail_too_high<T>(&self, span: Span) -> Parsed<T> {
        self.fail(span, format!("expression nests deeper than {TREE_HEIGHT_MAX} levels"))
    }
}
