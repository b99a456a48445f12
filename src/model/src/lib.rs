//! Labels, matchers, samples, durations and Go-compatible number text: the words every room speaks.
//! It knows no room, does no I/O and reads no clock.
//!
//! Invariants:
//! I1. `Labels` are sorted by name, names are unique, and no value is empty.
//! I2. The bytes of `Labels` are Prometheus's "stringlabels" encoding, so hashes agree with the reference.

mod duration;
mod exemplar;
mod histogram;
mod kahan;
mod labels;
mod matcher;
mod metadata;
mod names;
mod number_text;
mod quote;
mod regex_expand;
mod regex_syntax;
mod relabel;
mod sample;

pub use duration::{
    DurationError, GoDurationError, format_duration, format_go_duration, parse_duration,
    parse_duration_allow_negative, parse_go_duration,
};
pub use exemplar::{EXEMPLAR_LABELS_CHAR_COUNT_MAX, Exemplar};
pub use histogram::{
    CUSTOM_BUCKETS_SCHEMA, Combined, CounterResetHint, FloatHistogram, Histogram, HistogramBucket,
    HistogramError, HistogramSum, HistogramValue, IncompatibleSchemas, Span, TrimPart,
};
pub use kahan::KahanSum;
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use metadata::{Metadata, MetricType};
pub use names::{NameEscaping, NameValidation};
pub use number_text::{
    ParseFloatError, ParseFloatReason, format_float, format_float_f, format_float_g, parse_float,
    parse_go_float, push_float, push_float_f, push_float_g, push_integer,
};
pub use quote::{is_printable, push_quote_go, quote_go, quote_go_bytes};
pub use regex_expand::GoCaptures;
pub use regex_syntax::{GoRegex, RegexError, RegexErrorCode};
pub use relabel::{RelabelAction, RelabelError, RelabelRule, RelabelSpec, relabel};
pub use sample::{
    METRIC_NAME, METRIC_TYPE, METRIC_UNIT, NORMAL_NAN_BITS, STALE_NAN_BITS, Sample, is_stale,
    normal_nan, stale_nan,
};
