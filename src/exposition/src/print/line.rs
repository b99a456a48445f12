//! Single lines of both text formats: names, labels, escapes, numbers.

use prom_model::{NameValidation, push_float_g};

/// In what the two formats differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Text,
    OpenMetrics,
}

/// What all sample lines of one metric share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) labels: &'a [(String, String)],
    pub(super) style: Style,
}

impl Line<'_> {
    pub(super) fn float(
        self,
        suffix: &str,
        bound: Option<(&str, f64)>,
        value: f64,
        out: &mut Vec<u8>,
    ) {
        self.series(suffix, bound, out);
        push_number(out, value, self.style);
        out.push(b'\n');
    }

    pub(super) fn count(
        self,
        suffix: &str,
        bound: Option<(&str, f64)>,
        count: u64,
        out: &mut Vec<u8>,
    ) {
        self.series(suffix, bound, out);
        out.extend_from_slice(count.to_string().as_bytes());
        out.push(b'\n');
    }

    /// Name and labels, the bound of a bucket or quantile last.
    fn series(self, suffix: &str, bound: Option<(&str, f64)>, out: &mut Vec<u8>) {
        let is_plain = is_plain_name(self.name);
        if is_plain {
            out.extend_from_slice(self.name.as_bytes());
            out.extend_from_slice(suffix.as_bytes());
        }
        let mut separator = b'{';
        if !is_plain {
            out.push(separator);
            separator = b',';
            out.push(b'"');
            push_escaped(out, self.name, true);
            out.extend_from_slice(suffix.as_bytes());
            out.push(b'"');
        }
        for (name, value) in self.labels {
            out.push(separator);
            separator = b',';
            push_name(out, name, NameValidation::Legacy.is_valid_label_name(name));
            out.extend_from_slice(b"=\"");
            push_escaped(out, value, true);
            out.push(b'"');
        }
        if let Some((name, value)) = bound {
            out.push(separator);
            separator = b',';
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            push_number(out, value, self.style);
            out.push(b'"');
        }
        if separator == b',' {
            out.push(b'}');
        }
        out.push(b' ');
    }
}

pub(super) fn help(name: &str, help: &str, style: Style, out: &mut Vec<u8>) {
    out.extend_from_slice(b"# HELP ");
    push_name(out, name, is_plain_name(name));
    out.push(b' ');
    push_escaped(out, help, style == Style::OpenMetrics);
    out.push(b'\n');
}

pub(super) fn metric_type(name: &str, metric_type: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"# TYPE ");
    push_name(out, name, is_plain_name(name));
    out.push(b' ');
    out.extend_from_slice(metric_type.as_bytes());
    out.push(b'\n');
}

/// OpenMetrics wants a point or an exponent in every finite float.
fn push_number(out: &mut Vec<u8>, value: f64, style: Style) {
    let start = out.len();
    push_float_g(out, value);
    let has_mark = out[start..].iter().any(|b| matches!(b, b'.' | b'e'));
    if style == Style::OpenMetrics && value.is_finite() && !has_mark {
        out.extend_from_slice(b".0");
    }
}

fn push_name(out: &mut Vec<u8>, name: &str, is_plain: bool) {
    if is_plain {
        return out.extend_from_slice(name.as_bytes());
    }
    out.push(b'"');
    push_escaped(out, name, true);
    out.push(b'"');
}

fn is_plain_name(name: &str) -> bool {
    NameValidation::Legacy.is_valid_metric_name(name)
}

/// Backslashes and line feeds, and quotes where the text stands in quotes.
fn push_escaped(out: &mut Vec<u8>, text: &str, quotes: bool) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            _ => out.push(byte),
        }
    }
}
