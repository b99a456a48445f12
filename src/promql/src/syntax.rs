//! Text to tree and back: lexer, parser, type check, printers. Pure: no I/O, no clock, no storage.

mod ast;
mod check;
mod error;
mod histogram_literal;
mod json;
mod lexer;
mod literal;
mod names;
mod options;
mod parser;
mod pretty;
mod print;
mod token;

pub(crate) use parser::parse_while;
pub(crate) use pretty::pretty_while;

pub use ast::*;
pub use error::{ParseError, ParseErrors, line_and_column};
pub use json::parse_query_json;
pub use options::ParseOptions;
pub use parser::{
    HistogramLiteral, NODE_COUNT_MAX, QUERY_SIZE_BYTES_MAX, SeriesDescription, SeriesItem,
    TREE_HEIGHT_MAX, has_nonempty_matcher, parse, parse_metric_selector, parse_series_description,
};
pub use pretty::pretty;
pub use token::ResetHint;

#[cfg(test)]
mod tests;
