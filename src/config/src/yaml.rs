//! YAML by the rules of go-yaml v2 in strict mode, which is what Prometheus reads its files with: YAML 1.1
//! booleans, octal and underscored numbers, null as the zero value, merge keys, duplicate keys refused.
//! It knows no key of any file: a [`Schema`] tells it what else there is to say about one.
//! Compat: gopkg.in/yaml.v2 `decode.go`, `resolve.go`.

mod base64;
mod decode;
mod document;
mod fields;
mod scalar;
mod scope;
mod text;

pub use base64::decode as decode_base64;

pub(crate) use decode::{Decoded, Schema, decode};
pub(crate) use document::{Document, Fault, Rank};
pub(crate) use scope::ERROR_COUNT_MAX;
pub(crate) use text::to_text;

#[cfg(test)]
mod tests;
