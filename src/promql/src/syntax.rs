//! Text to tree and back.

mod ast;

pub use ast::*;
