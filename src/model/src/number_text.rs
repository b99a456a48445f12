//! Floats as Go reads and writes them. Durations are in `duration`.

mod parse;
mod print;

pub use parse::{ParseFloatError, ParseFloatReason, parse_float, parse_go_float};
pub use print::{
    format_float, format_float_f, format_float_g, push_float, push_float_f, push_float_g,
    push_integer,
};

#[cfg(test)]
mod tests;
