//! The table of functions: names, argument types, gates. How each computes stands in `exec`.

use crate::syntax::ValueType;

/// Signature of a function. Compat: Prometheus `promql/parser/functions.go`.
#[derive(Debug, PartialEq)]
pub struct Function {
    pub name: &'static str,
    pub arg_types: &'static [ValueType],
    /// 0: none optional; n > 0: the last n may be missing; -1: the last may repeat any number of times.
    pub variadic: i32,
    pub return_type: ValueType,
    pub is_experimental: bool,
}
