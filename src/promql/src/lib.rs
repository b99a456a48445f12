//! PromQL: syntax, planner, operators, functions, limits; over the `storage` traits only.

mod functions;
mod syntax;

pub use functions::Function;
pub use syntax::*;
