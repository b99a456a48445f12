//! Messages as programs encode them, and as nobody should.

use prom_model::{HistogramValue, LabelsBuilder, format_float_g};
use prom_testkit::Message;
use proptest::prelude::*;

use super::*;

const COUNTER: u64 = 0;
const GAUGE: u64 = 1;
const SUMMARY: u64 = 2;
const HISTOGRAM: u64 = 4;

fn family(name: &str, kind: u64) -> Message {
    Message::new().text(1, name).text(2, "help").integer(3, kind)
}

fn value(value: f64) -> Message {
    Message::new().double(1, value)
}

/// Everything a body says, one line a thing.
fn read(body: &[u8]) -> Vec<String> {
    let (mut out, mut parser) = (Vec::new(), Parser::new(body));
    if let Err(error) = read_into(&mut parser, &mut out) {
        out.push(format!("error: {error}"));
    }
    out
}

fn read_into(parser: &mut Parser<'_>, out: &mut Vec<String>) -> Result<(), ProtobufError> {
    while let Some(Family { name, help, unit, metric_type }) = parser.next_family()? {
        out.push(format!("family {name} {metric_type} {help:?} {unit:?}"));
        while let Some(metric) = parser.next_metric()? {
            out.push(show(name, metric_type, metric)?);
        }
    }
    Ok(())
}

fn show(name: &str, kind: MetricType, metric: &Metric<'_>) -> Result<String, ProtobufError> {
    let mut labels = LabelsBuilder::default();
    metric.labels(name, None, &mut labels)?;
    let time = metric.timestamp_ms.map(|ms| format!(" @{ms}")).unwrap_or_default();
    let created = metric.created_ms.map(|ms| format!(" since {ms}")).unwrap_or_default();
    let said = match kind {
        MetricType::Summary => {
            let quantiles =
                metric.quantiles.iter().map(|it| format!(" {}:{}", it.quantile, it.value));
            format!(
                "{} {}{}",
                metric.sample_count,
                metric.sample_sum,
                quantiles.collect::<String>()
            )
        }
        MetricType::Histogram | MetricType::GaugeHistogram => {
            let histogram = &metric.histogram;
            let buckets =
                histogram.buckets.iter().map(|it| format!(" {}:{}", it.upper_bound, it.count()));
            let classic: String = buckets.collect();
            let native = match histogram.is_native() {
                false => String::new(),
                true => {
                    let gauge = kind == MetricType::GaugeHistogram;
                    match histogram.native(gauge, &mut SpanPool::default()) {
                        HistogramValue::Integer(it) => {
                            format!(" i{}", it.to_float().to_test_text())
                        }
                        HistogramValue::Float(it) => format!(" f{}", it.to_test_text()),
                    }
                }
            };
            format!("{} {}{classic}{native}", histogram.count(), histogram.sum)
        }
        _ => format_float_g(metric.value),
    };
    Ok(format!("{} {said}{time}{created}", labels.labels()))
}

fn check(families: &[Message], expected: &[&str]) {
    let body: Vec<u8> = families.iter().flat_map(Message::delimited).collect();
    assert_eq!(read(&body), expected);
}

#[test]
fn simple_metrics_are_read() {
    let created = Message::new().double(1, 3.0).time(3, 1_500);
    check(
        &[
            family("a", COUNTER)
                .message(4, &Message::new().label(1, "x", "1").message(3, &created))
                .message(4, &Message::new().message(3, &value(4.0)).integer(6, 77)),
            family("empty", GAUGE),
            family("b", GAUGE)
                .text(5, "seconds")
                .message(4, &Message::new().message(2, &value(-0.5)).label(1, "y", "2")),
            // Another kind of value than the type says, a field from the future, and none.
            family("c", 3).integer(99, 1).message(4, &Message::new().message(2, &value(1.0))),
        ],
        &[
            "family a counter \"help\" \"\"",
            "{__name__=\"a\", x=\"1\"} 3 since 1500",
            "{__name__=\"a\"} 4 @77",
            "family b gauge \"help\" \"seconds\"",
            "{__name__=\"b\", y=\"2\"} -0.5",
            "family c unknown \"help\" \"\"",
            "{__name__=\"c\"} 0",
        ],
    );
}

#[test]
fn summaries_and_histograms_are_read() {
    let quantile = |quantile, value| Message::new().double(1, quantile).double(2, value);
    let summary = Message::new().integer(1, 9).double(2, 1.5).message(3, &quantile(0.5, 7.0));
    let bucket = |bound, count| Message::new().integer(1, count).double(2, bound);
    let classic = Message::new().integer(1, 3).double(2, 1.5).message(3, &bucket(1.0, 2));
    let span = Message::new().signed(1, -1).integer(2, 2);
    let native = classic
        .clone()
        .signed(5, 3)
        .double(6, 0.125)
        .integer(7, 1)
        .message(12, &span)
        .signed_list(13, &[1, 0]);
    let floats = Message::new()
        .double(4, 3.0)
        .signed(5, 3)
        .message(12, &span)
        .double(14, 1.0)
        .double(14, 2.0);
    check(
        &[
            family("s", SUMMARY).message(4, &Message::new().message(4, &summary)),
            family("h", HISTOGRAM)
                .message(4, &Message::new().message(7, &classic))
                .message(4, &Message::new().message(7, &native)),
            family("g", 5).message(4, &Message::new().message(7, &floats)),
        ],
        &[
            "family s summary \"help\" \"\"",
            "{__name__=\"s\"} 9 1.5 0.5:7",
            "family h histogram \"help\" \"\"",
            "{__name__=\"h\"} 3 1.5 1:2",
            "{__name__=\"h\"} 3 1.5 1:2 i{{schema:3 count:3 sum:1.5 z_bucket:1 z_bucket_w:0.125 offset:-1 buckets:[1 1]}}",
            "family g gaugehistogram \"help\" \"\"",
            "{__name__=\"g\"} 3 0 f{{schema:3 count:3 counter_reset_hint:gauge offset:-1 buckets:[1 2]}}",
        ],
    );
}

#[test]
fn malformed_bodies_are_named() {
    let metric = Message::new().message(2, &value(1.0));
    let bad = |label: &Message| family("a", GAUGE).message(4, &metric.clone().message(1, label));
    check(&[family("", GAUGE).message(4, &metric)], &["error: invalid metric name: "]);
    check(
        &[family("a", 9).message(4, &metric)],
        &["error: unknown metric type for metric \"a\": 9"],
    );
    check(
        &[bad(&Message::new().text(2, "x"))],
        &["family a gauge \"help\" \"\"", "error: invalid label name: "],
    );
    check(
        &[bad(&Message::new().text(1, "x").bytes(2, b"\xff"))],
        &["family a gauge \"help\" \"\"", "error: invalid label value: \u{fffd}"],
    );
    check(
        &[family("a", GAUGE).message(4, &metric.clone().label(1, "x", "1").label(1, "x", "2"))],
        &["family a gauge \"help\" \"\"", "error: label name \"x\" is not unique: invalid sample"],
    );
    check(
        &[family("a", GAUGE).message(4, &Message::new().integer(2, 1))],
        &["error: proto: wrong wireType = 0 for field Gauge"],
    );
    assert_eq!(read(&[0xff; 6]), ["error: clientpb: invalid varint encountered"]);
    let cut_off = "clientpb: insufficient length of buffer, expected at least 6 bytes, got 2 bytes";
    assert_eq!(read(&[5, 0]), [format!("error: {cut_off}")]);
}

#[test]
fn equal_labels_have_equal_keys_wherever_they_stand() {
    let (before, behind) = (
        Message::new().label(1, "x", "1").message(2, &value(1.0)),
        Message::new().message(2, &value(2.0)).label(1, "x", "1"),
    );
    let body = family("a", GAUGE).message(4, &before).message(4, &behind).delimited();
    let mut parser = Parser::new(&body);
    parser.next_family().unwrap();
    let mut key = || {
        let metric = parser.next_metric().unwrap().unwrap();
        metric.label_runs().collect::<Vec<_>>().concat()
    };
    assert_eq!(key(), key());
}

fn any_message() -> impl Strategy<Value = Message> {
    let leaf = prop::collection::vec((1..20_u64, any::<u64>(), any::<f64>(), 0..3), 0..6);
    let fields = |leaf: Vec<(u64, u64, f64, i32)>| {
        leaf.into_iter().fold(Message::new(), |message, (field, number, float, kind)| match kind {
            0 => message.integer(field, number),
            1 => message.double(field, float),
            _ => message.text(field, "x"),
        })
    };
    leaf.prop_map(fields).prop_recursive(4, 40, 5, |inner| {
        prop::collection::vec((1..17_u64, inner), 0..5).prop_map(|parts| {
            parts
                .iter()
                .fold(Message::new(), |message, (field, part)| message.message(*field, part))
        })
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read(&bytes);
    }

    #[test]
    fn any_messages_are_read_to_an_end(
        families in prop::collection::vec(any_message(), 0..4),
        flip in any::<prop::sample::Index>(),
        mask in any::<u8>(),
    ) {
        let named = |message: &Message| family("a", 4).bytes(4, message.as_bytes()).delimited();
        let mut body: Vec<u8> = families.iter().flat_map(named).collect();
        read(&body);
        if !body.is_empty() {
            let at = flip.index(body.len());
            body[at] ^= mask;
            read(&body);
        }
    }
}
