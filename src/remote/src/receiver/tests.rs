//! The receiver over a store in memory: what is stored, what is answered, what is looked up.

use std::sync::Arc;

use prom_model::Labels;
use prom_telemetry::Registry;
use prom_testkit::{RecordingStore, WriteRequest, WriteSeries};
use proptest::prelude::*;
use snap::raw::Encoder;

use super::*;

const NOW_MS: i64 = 1_700_000_000_000;

struct Fixture {
    store: RecordingStore,
    receiver: Receiver,
}

fn fixture() -> Fixture {
    let store = RecordingStore::default();
    let receiver = Receiver::new(Arc::new(store.clone()), &Registry::default());
    Fixture { store, receiver }
}

fn nested(field: u8, message: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    let mut size = message.len();
    while size > 0x7f {
        out.push(size as u8 | 0x80);
        size >>= 7;
    }
    out.push(size as u8);
    out.extend_from_slice(message);
    out
}

fn label(name: &str, value: &str) -> Vec<u8> {
    nested(1, &[nested(1, name.as_bytes()), nested(2, value.as_bytes())].concat())
}

fn sample(timestamp_ms: i64, value: f64) -> Vec<u8> {
    // without the message around it, nor its key and size
    let whole = series(&[], &[(timestamp_ms, value)]);
    whole[2..].to_vec()
}

fn series(labels: &[(&str, &str)], floats: &[(i64, f64)]) -> Vec<u8> {
    let mut request = WriteRequest::default();
    request.push(WriteSeries { labels, floats, ..WriteSeries::default() });
    request.as_bytes().to_vec()
}

fn body(series: &[Vec<u8>]) -> Vec<u8> {
    Encoder::new().compress_vec(&series.concat()).unwrap()
}

impl Fixture {
    fn check(&self, series: &[Vec<u8>], answer: Result<(), &str>, stored: &[(&str, i64, f64)]) {
        let written = self.receiver.write_v1(&body(series), NOW_MS).map_err(|err| err.to_string());
        assert_eq!(written.as_ref().map_err(String::as_str), answer.as_ref().map_err(|err| *err));
        let added = self.store.take_added();
        let added: Vec<_> = added.iter().map(|(l, t, v)| (l.to_string(), *t, *v)).collect();
        let stored: Vec<_> = stored.iter().map(|(l, t, v)| ((*l).to_owned(), *t, *v)).collect();
        assert_eq!(added, stored);
    }
}

const UP: [(&str, &str); 2] = [("__name__", "up"), ("job", "a")];
const UP_TEXT: &str = r#"{__name__="up", job="a"}"#;

#[test]
fn samples_are_stored_and_known_series_are_not_looked_up() {
    let all = fixture();
    all.check(&[], Ok(()), &[]);
    let first = series(&UP, &[(1000, 1.0), (2000, 2.0)]);
    all.check(&[first], Ok(()), &[(UP_TEXT, 1000, 1.0), (UP_TEXT, 2000, 2.0)]);
    assert_eq!(all.store.lookup_count(), 1);
    all.check(&[series(&UP, &[(3000, 3.0)])], Ok(()), &[(UP_TEXT, 3000, 3.0)]);
    assert_eq!(all.store.lookup_count(), 1);
    // The same labels in other bytes are the same series.
    let turned = series(&[UP[1], UP[0]], &[(4000, 4.0)]);
    all.check(&[turned], Ok(()), &[(UP_TEXT, 4000, 4.0)]);
    assert_eq!(all.store.lookup_count(), 2);
}

#[test]
fn labels_may_stand_anywhere_in_the_message() {
    let all = fixture();
    let scattered = |job: &str, timestamp_ms| {
        let parts = [label("__name__", "up"), sample(timestamp_ms, 1.0), label("job", job)];
        nested(1, &parts.concat())
    };
    let stored = [(UP_TEXT, 1000, 1.0), (r#"{__name__="up", job="b"}"#, 1000, 1.0)];
    all.check(&[scattered("a", 1000), scattered("b", 1000)], Ok(()), &stored);
    all.check(&[scattered("b", 2000)], Ok(()), &[(r#"{__name__="up", job="b"}"#, 2000, 1.0)]);
}

#[test]
fn a_refused_sample_takes_no_other_with_it() {
    let all = fixture();
    all.check(&[series(&UP, &[(5000, 1.0)])], Ok(()), &[(UP_TEXT, 5000, 1.0)]);
    let other = [("__name__", "other")];
    let around = |bad: Vec<u8>, time_ms| [series(&other, &[(time_ms, 1.0)]), bad, sample(1, 1.0)];
    let stored = |time_ms| [(r#"{__name__="other"}"#, time_ms, 1.0)];
    let ahead_ms = NOW_MS + 10 * 60_000;
    let cases = [
        (series(&UP, &[(4000, 1.0)]), "out of order sample"),
        (series(&UP, &[(5000, 2.0)]), "duplicate sample for timestamp"),
        (series(&UP, &[(ahead_ms + 1, 2.0)]), "out of bounds: timestamp is too far in the future"),
        (series(&[("job", "a")], &[(1, 2.0)]), r#"invalid metric name or labels, got {job="a"}"#),
    ];
    for (index, (bad, reason)) in cases.into_iter().enumerate() {
        let time_ms = index as i64;
        // The third part is a field that the schema does not know as a series: passed over.
        all.check(&around(bad, time_ms), Err(reason), &stored(time_ms));
    }
    all.check(&[series(&UP, &[(ahead_ms, 2.0)])], Ok(()), &[(UP_TEXT, ahead_ms, 2.0)]);
    all.check(&[series(&UP, &[(ahead_ms, 2.0)])], Ok(()), &[]);
}

#[test]
fn a_damaged_request_stores_nothing() {
    let all = fixture();
    let good = series(&UP, &[(1000, 1.0)]);
    let cut = good[..good.len() - 1].to_vec();
    all.check(&[good.clone(), cut], Err("unexpected EOF"), &[]);
    all.check(
        &[good.clone(), vec![0x08, 1]],
        Err("proto: wrong wireType = 0 for field Timeseries"),
        &[],
    );
    all.check(
        &[good, nested(1, &nested(2, &[0x08, 1]))],
        Err("invalid metric name or labels, got {}"),
        &[(UP_TEXT, 1000, 1.0)],
    );
    assert!(all.receiver.write_v1(b"", NOW_MS).unwrap_err().is_bad_request());
}

#[test]
fn a_store_that_fails_can_be_tried_again() {
    let all = fixture();
    all.store.set_full(true);
    let good = body(&[series(&UP, &[(1000, 1.0)])]);
    let failure = all.receiver.write_v1(&good, NOW_MS).unwrap_err();
    assert!(!failure.is_bad_request() && !failure.is_suspended());
    all.store.set_full(false);
    all.check(&[series(&UP, &[(1000, 1.0)])], Ok(()), &[(UP_TEXT, 1000, 1.0)]);
}

#[test]
fn series_that_the_store_has_dropped_are_found_again() {
    let all = fixture();
    let many = |time_ms: i64| {
        let names: Vec<_> = (0..3000).map(|number| format!("m{number:04}")).collect();
        let of =
            |name: &String| series(&[("__name__", name)], &[(time_ms, 1.0), (time_ms + 1, 2.0)]);
        names.iter().map(of).collect::<Vec<_>>()
    };
    all.receiver.write_v1(&body(&many(1000)), NOW_MS).unwrap();
    assert_eq!(all.store.take_added().len(), 6000);
    all.store.forget_series();
    all.receiver.write_v1(&body(&many(2000)), NOW_MS).unwrap();
    let added = all.store.take_added();
    assert_eq!(added.len(), 6000);
    assert_eq!(added[0], (Labels::from_pairs([("__name__", "m0000")]), 2000, 1.0));
    assert_eq!(all.store.lookup_count(), 6000);
    all.receiver.write_v1(&body(&many(3000)), NOW_MS).unwrap();
    assert_eq!(all.store.lookup_count(), 6000);
}

#[test]
fn exemplars_that_are_not_wanted_fail_nothing_and_unsound_histograms_do() {
    let all = fixture();
    let labels: Vec<u8> = UP.iter().flat_map(|(name, value)| label(name, value)).collect();
    let exemplar = nested(3, &[label("trace_id", "x"), vec![0x18, 1]].concat());
    let with = |extra: &[u8]| nested(1, &[&labels[..], &sample(1000, 1.0), extra].concat());
    all.check(&[with(&exemplar)], Ok(()), &[(UP_TEXT, 1000, 1.0)]);
    all.check(&[with(&nested(4, &[0x78, 1]))], Ok(()), &[]);
    assert_eq!(all.store.take_histograms().len(), 1);
    let uncounted = "1 observations found in buckets, but the Count field is 0: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)";
    all.check(&[with(&nested(4, &[0x30, 1, 0x78, 1]))], Err(uncounted), &[]);
    assert!(all.store.take_histograms().is_empty());
}

#[test]
fn a_request_has_a_largest_count_of_samples() {
    let all = fixture();
    let labels: Vec<u8> = UP.iter().flat_map(|(name, value)| label(name, value)).collect();
    let message = [labels, [0x12, 0].repeat(2_000_001)].concat();
    let failure = all.receiver.write_v1(&body(&[nested(1, &message)]), NOW_MS).unwrap_err();
    assert_eq!(failure.to_string(), "request has more than 2000000 samples");
    assert!(all.store.take_added().is_empty());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let all = fixture();
        drop(all.receiver.write_v1(&bytes, NOW_MS));
        drop(all.receiver.write_v1(&Encoder::new().compress_vec(&bytes).unwrap(), NOW_MS));
        let mut request = series(&UP, &[(1000, 1.0), (2000, 2.0)]);
        let at = at.index(request.len());
        request[at] ^= flip;
        drop(all.receiver.write_v1(&body(&[request]), NOW_MS));
    }
}

#[test]
fn series_beyond_a_limit_are_refused_and_the_others_stored() {
    let all = fixture();
    all.check(&[series(&UP, &[(1000, 1.0)])], Ok(()), &[(UP_TEXT, 1000, 1.0)]);
    all.store.set_series_count_max(Some(1));
    let other = [("__name__", "up"), ("job", "b")];
    let both = [series(&other, &[(2000, 2.0)]), series(&UP, &[(2000, 2.0)])];
    all.check(&both, Err("series limit reached"), &[(UP_TEXT, 2000, 2.0)]);
    all.store.set_series_count_max(None);
    let text = r#"{__name__="up", job="b"}"#;
    all.check(&[series(&other, &[(3000, 3.0)])], Ok(()), &[(text, 3000, 3.0)]);
}
