//! Data folders go from one program to the other and back: written by the original and opened here, written
//! here and opened by the original; while the writer runs, after its SIGKILL, after its SIGTERM; with a
//! log only, with head chunks, with blocks.

use std::{path::Path, process::Command, sync::Arc};

use prom_model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Exemplar, FloatHistogram, Histogram, HistogramValue,
    Labels, Span,
};
use prom_testkit::{WriteRequest, WriteSeries};

use crate::{
    harness::{Need, Peer, RECEIVER, ServerBuilder, copy_tree, need, post, post_bytes},
    ledger::Ledger,
    random::mix,
};

/// Samples of each series, a quarter of a minute apart, and what a folder holds then.
const PHASES: [(u64, &str); 3] =
    [(90, "a log only"), (900, "a log and head chunks"), (2_600, "a log, head chunks and blocks")];
/// Samples of each series in one request.
const BATCH_STEPS_COUNT: u64 = 10;

/// Sends to both until so many steps are sent; both must take all.
fn send_to_both(ledger: &mut Ledger, steps_count: u64, addresses: [&str; 2]) {
    while ledger.steps_count() < steps_count {
        let batch = ledger.next_batch(BATCH_STEPS_COUNT);
        let body = batch.body();
        for address in addresses {
            let answer = post_bytes(address, "/api/v1/write", &body).unwrap();
            assert_eq!(answer.status, 204, "{}", answer.body);
        }
        ledger.acknowledge(&batch);
    }
}

/// Opens copies of both folders, each with the other program.
fn open_across(ledger: &Ledger, original: &Path, theirs: &Path, ours: &Path, when: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (their_copy, our_copy) = (folder.path().join("theirs"), folder.path().join("ours"));
    copy_tree(theirs, &their_copy);
    copy_tree(ours, &our_copy);
    let mut server = ServerBuilder::new("").data(&their_copy).start();
    let verdict = ledger.verify(&server.address());
    verdict.assert_whole(&format!("{when}: the original's folder opened here"));
    assert!(server.stop().success());
    assert!(!server.log().contains("panicked"), "{}", server.log());
    let mut peer = Peer::original_on(original, &our_copy, &[]);
    let verdict = ledger.verify(&peer.address);
    verdict.assert_whole(&format!("{when}: our folder opened by the original"));
    let metrics = crate::harness::get(&peer.address, "/metrics").unwrap().body;
    for name in ["wal_corruptions_total", "mmap_chunk_corruptions_total"] {
        let line = format!("prometheus_tsdb_{name} 0");
        assert!(metrics.lines().any(|known| known == line), "{when}: {line}");
    }
    peer.stop();
    // ... and back, after what the other has made of it
    let mut server = ServerBuilder::new("").data(&our_copy).start();
    let verdict = ledger.verify(&server.address());
    verdict.assert_whole(&format!("{when}: our folder, back from the original"));
    assert!(server.stop().success());
}

/// What a promtool prints of a folder, in the order of the text.
fn dump(promtool: &Path, data: &Path) -> Vec<String> {
    let output = Command::new(promtool).args(["tsdb", "dump"]).arg(data).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn slow_data_folders_go_from_the_original_to_us_and_back() {
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let Some(promtool) = need(Need::Peer("promtool")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    let mut peer = Peer::original_on(&original, &theirs, &[RECEIVER]);
    let mut server = ServerBuilder::new("").arg(RECEIVER).start();
    let ours = server.data_path().to_owned();
    let mut ledger = Ledger::new();
    for (steps_count, state) in PHASES {
        send_to_both(&mut ledger, steps_count, [&peer.address, &server.address()]);
        open_across(&ledger, &original, &theirs, &ours, &format!("{state}, running"));
    }
    peer.kill();
    server.kill();
    open_across(&ledger, &original, &theirs, &ours, "after SIGKILL");
    let mut peer = Peer::original_on(&original, &theirs, &[]);
    peer.stop();
    server.restart();
    assert!(server.stop().success());
    open_across(&ledger, &original, &theirs, &ours, "after SIGTERM");
    let (of_theirs, of_ours) = (dump(&promtool, &theirs), dump(&promtool, &ours));
    assert_eq!(of_theirs.len(), of_ours.len());
    assert!(of_theirs == of_ours, "the original's promtool prints another text of our folder");
}

const HISTOGRAM_STEPS_COUNT: u64 = 400;
const HISTOGRAM_STEP_MS: i64 = 15_000;

/// A counter of integers that is reset now and then, a gauge of floats, and custom buckets.
fn histograms_at(step: u64) -> [(&'static str, HistogramValue); 3] {
    let since_reset = step % 150 + 1;
    let noise = |salt: u64| mix(step << 8 | salt) % 5;
    let counter = Histogram {
        schema: 3,
        zero_threshold: 0.001,
        zero_count: since_reset,
        count: since_reset * 9,
        sum: since_reset as f64 * 1.5,
        positive_spans: [Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }].into(),
        positive_buckets: vec![since_reset as i64, since_reset as i64, since_reset as i64],
        negative_spans: [Span { offset: 2, length: 2 }].into(),
        negative_buckets: vec![since_reset as i64, 0],
        ..Histogram::default()
    };
    let counts: Vec<f64> = (0..4).map(|salt| noise(salt) as f64 + 0.5).collect();
    let gauge = FloatHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: 0,
        count: counts.iter().sum(),
        sum: noise(9) as f64 - 2.0,
        // The layout changes, so that chunks are cut.
        positive_spans: [Span { offset: (step / 90) as i32, length: 4 }].into(),
        positive_buckets: counts,
        ..FloatHistogram::default()
    };
    let custom = Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: step * 2,
        sum: step as f64 * 7.0,
        positive_spans: [Span { offset: 0, length: 2 }].into(),
        positive_buckets: vec![step as i64, 0],
        custom_values: [1.0, 5.0, 10.0].into(),
        ..Histogram::default()
    };
    [
        ("counter", HistogramValue::Integer(Arc::new(counter))),
        ("gauge", HistogramValue::Float(Arc::new(gauge))),
        ("custom", HistogramValue::Integer(Arc::new(custom))),
    ]
}

/// Answers about the histograms, with series in order.
fn ask_histograms(address: &str, begin_s: i64) -> Vec<String> {
    let end_s = begin_s + HISTOGRAM_STEPS_COUNT as i64 * HISTOGRAM_STEP_MS / 1000;
    let expressions = [
        "histogram_count(histogram)",
        "histogram_sum(histogram)",
        "histogram_quantile(0.7, histogram)",
        "rate(histogram[2m])",
    ];
    let ask = |expression: &&str| {
        let form = format!("start={begin_s}&end={end_s}&step=60&query={expression}");
        let answer = post(address, "/api/v1/query_range", &form).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer = answer.json();
        let mut series = answer["data"]["result"].as_array().unwrap().clone();
        assert_eq!(series.len(), 3, "{expression}");
        series.sort_by_key(|series| series["metric"].to_string());
        format!("{expression}: {}", serde_json::Value::Array(series))
    };
    expressions.iter().map(ask).collect()
}

#[test]
fn slow_histograms_and_exemplars_go_from_the_original_to_us_and_back() {
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let Some(promtool) = need(Need::Peer("promtool")) else { return };
    let features = "--enable-feature=native-histograms,exemplar-storage";
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    let mut peer = Peer::original_on(&original, &theirs, &[RECEIVER, features]);
    let mut server = ServerBuilder::new("").arg(RECEIVER).arg(features).start();
    let ours = server.data_path().to_owned();
    let begin_ms = Ledger::new().begin_ms();
    for step in 0..HISTOGRAM_STEPS_COUNT {
        let timestamp_ms = begin_ms + step as i64 * HISTOGRAM_STEP_MS;
        let mut request = WriteRequest::default();
        for (kind, histogram) in histograms_at(step) {
            let trace = format!("{:016x}", mix(step));
            let exemplar = Exemplar {
                labels: Labels::from_pairs([("trace_id", trace)]),
                value: step as f64,
                timestamp_ms,
            };
            request.push(WriteSeries {
                labels: &[("__name__", "histogram"), ("kind", kind)],
                histograms: &[(timestamp_ms, histogram)],
                exemplars: &[exemplar],
                ..Default::default()
            });
        }
        for address in [&*peer.address, &*server.address()] {
            let answer = post_bytes(address, "/api/v1/write", &request.body()).unwrap();
            assert_eq!(answer.status, 204, "{address}: {}", answer.body);
        }
    }
    let asked = ask_histograms(&peer.address, begin_ms / 1000);
    let exemplars = |address: &str| {
        let path = "/api/v1/query_exemplars";
        let form = format!("query=histogram&start={}&end=4000000000", begin_ms / 1000);
        let answer = post(address, path, &form).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut series = answer.json()["data"].as_array().unwrap().clone();
        series.sort_by_key(|series| series["seriesLabels"].to_string());
        series
    };
    assert_eq!(ask_histograms(&server.address(), begin_ms / 1000), asked, "as they came");
    assert_eq!(exemplars(&server.address()), exemplars(&peer.address), "as they came");
    let kept = exemplars(&peer.address);
    peer.kill();
    server.kill();

    let copy = folder.path().join("copy");
    copy_tree(&theirs, &copy);
    let mut opened = ServerBuilder::new("").arg(features).data(&copy).start();
    assert_eq!(ask_histograms(&opened.address(), begin_ms / 1000), asked, "their folder, here");
    assert_eq!(exemplars(&opened.address()), kept, "their folder, here");
    assert!(opened.stop().success());
    let mut peer = Peer::original_on(&original, &ours, &[features]);
    assert_eq!(ask_histograms(&peer.address, begin_ms / 1000), asked, "our folder, there");
    assert_eq!(exemplars(&peer.address), kept, "our folder, there");
    peer.stop();
    server.restart();
    assert_eq!(ask_histograms(&server.address(), begin_ms / 1000), asked, "our folder, back");
    assert!(server.stop().success());
    let mut peer = Peer::original_on(&original, &theirs, &[features]);
    peer.stop();
    assert!(dump(&promtool, &theirs) == dump(&promtool, &ours), "dumps differ");
}
