//! Labels, matchers, samples, durations and Go-compatible number text: the words every room speaks.
//! It knows no room, does no I/O and reads no clock.
//!
//! Invariants:
//! I1. `Labels` are sorted by name, names are unique, and no value is empty.
//! I2. The bytes of `Labels` are Prometheus's "stringlabels" encoding, so hashes agree with the reference.

mod duration;
mod labels;
mod matcher;
mod names;
mod number_text;
mod regex_expand;
mod regex_syntax;
mod relabel;
mod sample;

pub use duration::{DurationError, format_duration, format_go_duration, parse_duration};
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use names::{NameEscaping, NameValidation};
pub use number_text::{format_float, parse_float, push_float};
pub use regex_expand::GoCaptures;
pub use regex_syntax::{GoRegex, RegexError};
pub use relabel::{RelabelAction, RelabelError, RelabelRule, RelabelSpec, relabel};
pub use sample::{METRIC_NAME, STALE_NAN_BITS, Sample, is_stale, stale_nan};
