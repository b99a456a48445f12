//! Prints gathered metric families. Families come sorted from `telemetry`; nothing is reordered here.
//! Compat: prometheus/common `expfmt/text_create.go` and `expfmt/openmetrics_create.go`.

mod line;

use prom_telemetry::{HistogramValue, Metric, MetricFamily, MetricKind, MetricValue, SummaryValue};

use self::line::{Line, Style};
use crate::Format;

/// Text format 0.0.4.
pub fn text(families: &[MetricFamily], out: &mut Vec<u8>) {
    families.iter().for_each(|family| print_family(family, Style::Text, out));
}

/// OpenMetrics 1.0, with its end mark.
pub fn openmetrics(families: &[MetricFamily], out: &mut Vec<u8>) {
    families.iter().for_each(|family| print_family(family, Style::OpenMetrics, out));
    out.extend_from_slice(b"# EOF\n");
}

/// In one of the formats that [`crate::negotiate`] answers. Protobuf is not among them and comes out as text.
pub fn families(families: &[MetricFamily], format: Format, out: &mut Vec<u8>) {
    match format {
        Format::Text | Format::Protobuf => text(families, out),
        Format::OpenMetrics => openmetrics(families, out),
    }
}

fn print_family(family: &MetricFamily, style: Style, out: &mut Vec<u8>) {
    let (name, kind) = family_line_of(family, style);
    line::help(name, &family.help, style, out);
    line::metric_type(name, kind, out);
    for metric in &family.metrics {
        print_metric(&family.name, metric, style, out);
    }
}

/// Name and type of the family: OpenMetrics counters end in `_total`, but their families do not.
fn family_line_of(family: &MetricFamily, style: Style) -> (&str, &'static str) {
    let name = family.name.as_str();
    match (style, family.kind) {
        (Style::OpenMetrics, MetricKind::Counter) => match name.strip_suffix("_total") {
            Some(short) => (short, "counter"),
            None => (name, "unknown"),
        },
        (Style::OpenMetrics, MetricKind::Untyped) => (name, "unknown"),
        (_, kind) => (name, kind.as_str()),
    }
}

fn print_metric(name: &str, metric: &Metric, style: Style, out: &mut Vec<u8>) {
    let line = Line { name, labels: &metric.labels, style };
    match &metric.value {
        MetricValue::Number(value) => line.float("", None, *value, out),
        MetricValue::Histogram(histogram) => print_histogram(line, histogram, out),
        MetricValue::Summary(summary) => print_summary(line, summary, out),
    }
}

fn print_histogram(line: Line<'_>, histogram: &HistogramValue, out: &mut Vec<u8>) {
    for (bound, count) in &histogram.buckets {
        line.count("_bucket", Some(("le", *bound)), *count, out);
    }
    line.count("_bucket", Some(("le", f64::INFINITY)), histogram.count, out);
    line.float("_sum", None, histogram.sum, out);
    line.count("_count", None, histogram.count, out);
}

fn print_summary(line: Line<'_>, summary: &SummaryValue, out: &mut Vec<u8>) {
    for (quantile, value) in &summary.quantiles {
        line.float("", Some(("quantile", *quantile)), *value, out);
    }
    line.float("_sum", None, summary.sum, out);
    line.count("_count", None, summary.count, out);
}

#[cfg(test)]
mod tests;
