//! Native histograms in answers: count, sum and the buckets that are not empty.
//! Compat: Prometheus `util/jsonutil/marshal.go`, `MarshalHistogram`.

use prom_model::{FloatHistogram, HistogramBucket, push_float};

use crate::json;

/// Writes `[time,{"count":"2","sum":"3","buckets":[[0,"1","2","2"]]}]`.
pub(super) fn push_histogram_sample(
    out: &mut Vec<u8>,
    timestamp_ms: i64,
    histogram: &FloatHistogram,
) {
    out.push(b'[');
    json::push_timestamp(out, timestamp_ms);
    out.extend_from_slice(b",{\"count\":");
    push_quoted(out, histogram.count);
    out.extend_from_slice(b",\"sum\":");
    push_quoted(out, histogram.sum);
    let mut has_bucket = false;
    for bucket in histogram.all_iter().filter(|bucket| bucket.count != 0.0) {
        let before: &[u8] = if has_bucket { b"," } else { b",\"buckets\":[" };
        out.extend_from_slice(before);
        push_bucket(out, &bucket);
        has_bucket = true;
    }
    if has_bucket {
        out.push(b']');
    }
    out.extend_from_slice(b"}]");
}

/// The first number says which bounds belong to the bucket: 0 the upper, 1 the lower, 2 none, 3 both.
fn push_bucket(out: &mut Vec<u8>, bucket: &HistogramBucket) {
    let rule = match (bucket.is_lower_inclusive, bucket.is_upper_inclusive) {
        (false, true) => b'0',
        (true, false) => b'1',
        (false, false) => b'2',
        (true, true) => b'3',
    };
    out.extend_from_slice(&[b'[', rule]);
    for number in [bucket.lower, bucket.upper, bucket.count] {
        out.push(b',');
        push_quoted(out, number);
    }
    out.push(b']');
}

fn push_quoted(out: &mut Vec<u8>, number: f64) {
    out.push(b'"');
    push_float(out, number);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use prom_model::Span;

    use super::*;

    #[test]
    fn histograms_are_written_as_by_the_reference() {
        let check = |histogram: &FloatHistogram, expected: &str| {
            let mut out = Vec::new();
            push_histogram_sample(&mut out, 1_500, histogram);
            assert_eq!(String::from_utf8(out).expect("text"), expected);
        };
        check(&FloatHistogram::default(), r#"[1.500,{"count":"0","sum":"0"}]"#);
        let histogram = FloatHistogram {
            count: 10.0,
            sum: 3.25,
            zero_threshold: 0.25,
            zero_count: 1.0,
            positive_spans: [Span { offset: 0, length: 3 }].into(),
            positive_buckets: vec![2.0, 0.0, 4.0],
            negative_spans: [Span { offset: 0, length: 1 }].into(),
            negative_buckets: vec![3.0],
            ..FloatHistogram::default()
        };
        check(
            &histogram,
            r#"[1.500,{"count":"10","sum":"3.25","buckets":[[1,"-1","-0.5","3"],[3,"-0.25","0.25","1"],[0,"0.5","1","2"],[0,"2","4","4"]]}]"#,
        );
    }
}
