//! Histograms of all kinds and exemplars go from one program to the other in its data folder and back, while
//! the writer runs, after its SIGKILL and after its SIGTERM; with a log only, with head chunks, with blocks. Each
//! promtool prints the same text of both folders.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use prom_model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Exemplar, FloatHistogram, Histogram, HistogramValue,
    Labels, Span,
};
use prom_testkit::{WriteRequest, WriteSeries};
use serde_json::Value;

use crate::{
    harness::{Need, Peer, RECEIVER, ServerBuilder, copy_tree, get, need, post, post_bytes},
    random::mix,
};

const FEATURES: &str = "--enable-feature=native-histograms,exemplar-storage";
const STEP_MS: i64 = 15_000;
/// Samples of each series, and what a folder holds then.
const PHASES: [(i64, &str); 3] =
    [(60, "a log only"), (500, "a log and head chunks"), (1_500, "a log, head chunks and blocks")];
const BATCH_STEPS_COUNT: i64 = 20;
/// A marker that a series has ended, each so many steps; not for custom buckets, whose samples before the
/// marker the original loses at a start if both came in one request.
const STALE_STEPS_COUNT: i64 = 71;
/// What counts begins anew, each so many steps.
const RESET_STEPS_COUNT: i64 = 97;

/// What is sent: it follows from the step.
#[derive(Clone, Copy, Debug)]
struct Sent {
    begin_ms: i64,
    steps_count: i64,
}

impl Sent {
    #[expect(clippy::disallowed_methods, reason = "samples are sent for times before now")]
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        Self { begin_ms: (now / STEP_MS - 2_000) * STEP_MS, steps_count: 0 }
    }

    /// Of all six series.
    fn samples_count(&self) -> usize {
        6 * self.steps_count as usize
    }

    fn time_ms(&self, step: i64) -> i64 {
        self.begin_ms + step * STEP_MS
    }

    fn exemplar(&self, step: i64) -> Option<Exemplar> {
        (step % 3 == 0).then(|| Exemplar {
            labels: Labels::from_pairs([(
                "trace_id",
                format!("{:08x}", mix(step as u64)).as_str(),
            )]),
            value: step as f64 / 7.0,
            timestamp_ms: self.time_ms(step) - 3,
        })
    }

    /// The next request.
    fn next(&mut self) -> Vec<u8> {
        let steps = self.steps_count..self.steps_count + BATCH_STEPS_COUNT;
        self.steps_count = steps.end;
        let mut request = WriteRequest::default();
        for kind in ["counter", "float", "gauge", "custom"] {
            let at = |step| (self.time_ms(step), histogram(kind, step));
            let histograms: Vec<_> = steps.clone().map(at).collect();
            let labels = [("__name__", "kinds"), ("kind", kind)];
            let labels = &labels;
            request.push(WriteSeries { labels, histograms: &histograms, ..Default::default() });
        }
        let floats: Vec<_> = steps.clone().map(|step| (self.time_ms(step), step as f64)).collect();
        let exemplars: Vec<_> = steps.clone().filter_map(|step| self.exemplar(step)).collect();
        let labels = &[("__name__", "kinds"), ("kind", "plain")];
        let (floats, exemplars) = (&floats, &exemplars);
        request.push(WriteSeries { labels, floats, exemplars, ..Default::default() });
        // A series that changes what it holds, from one request to the next: within one the original applies
        // floats, integer and float histograms in turn, whatever their times are.
        let labels = &[("__name__", "kinds"), ("kind", "turning")];
        let turn = steps.start / BATCH_STEPS_COUNT % 3;
        let kind = if turn == 1 { "counter" } else { "float" };
        let of_turn = |step| (self.time_ms(step), histogram(kind, step));
        let histograms: Vec<_> = steps.map(of_turn).filter(|_| turn > 0).collect();
        let (floats, histograms) = (if turn == 0 { floats.as_slice() } else { &[] }, &histograms);
        request.push(WriteSeries { labels, floats, histograms, ..Default::default() });
        request.body()
    }
}

fn histogram(kind: &str, step: i64) -> HistogramValue {
    if step % STALE_STEPS_COUNT == STALE_STEPS_COUNT - 1 && kind != "custom" {
        return match kind {
            "float" => HistogramValue::Float(Arc::new(FloatHistogram::stale())),
            _ => HistogramValue::Integer(Arc::new(Histogram::stale())),
        };
    }
    let noise = mix(step as u64);
    let since = step % RESET_STEPS_COUNT;
    let first = if kind == "gauge" { noise as i64 % 50 + 60 } else { 10 + since * 2 };
    let length = 2 + (since / 20) as u32;
    let counts: Vec<i64> = (0..i64::from(length)).map(|at| first + at).collect();
    let deltas: Vec<i64> =
        counts.iter().scan(0, |last, n| Some(n - std::mem::replace(last, *n))).collect();
    let total = counts.iter().sum::<i64>() as u64;
    let mut plain = Histogram {
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 2,
        count: total + 2,
        sum: total as f64 * 1.7,
        positive_spans: [Span { offset: -4, length: 1 }, Span { offset: 2, length: length - 1 }]
            .into(),
        positive_buckets: deltas,
        ..Histogram::default()
    };
    match kind {
        "gauge" => plain.counter_reset_hint = CounterResetHint::Gauge,
        "custom" => {
            plain.schema = CUSTOM_BUCKETS_SCHEMA;
            (plain.zero_threshold, plain.zero_count, plain.count) = (0.0, 0, total);
            plain.positive_spans = [Span { offset: 0, length }].into();
            plain.custom_values = (1..i64::from(length)).map(|at| at as f64 / 8.0).collect();
        }
        _ => {}
    }
    let integer = HistogramValue::Integer(Arc::new(plain));
    match kind {
        "float" => HistogramValue::Float(integer.to_float()),
        _ => integer,
    }
}

/// All samples of a server, series by series.
fn samples(address: &str, sent: &Sent) -> Vec<Value> {
    let end_s = sent.time_ms(sent.steps_count) / 1000;
    let range_s = (sent.steps_count + 2) * STEP_MS / 1000;
    let form = format!("time={end_s}&query=kinds[{range_s}s]");
    let answer = post(address, "/api/v1/query", &form).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut series = answer.json()["data"]["result"].as_array().unwrap().clone();
    series.sort_by_key(|one| one["metric"].to_string());
    assert_eq!(series.len(), 6);
    series
}

fn exemplars(address: &str, sent: &Sent) -> Vec<Value> {
    let (start_s, end_s) = (sent.begin_ms / 1000 - 1, sent.time_ms(sent.steps_count) / 1000);
    let path = format!("/api/v1/query_exemplars?query=kinds&start={start_s}&end={end_s}");
    let answer = get(address, &path).unwrap().json();
    let series = answer["data"].as_array().unwrap();
    let all = series.iter().flat_map(|one| one["exemplars"].as_array().unwrap().clone());
    all.collect()
}

#[track_caller]
fn assert_same(ours: &[Value], theirs: &[Value], when: &str) {
    for (ours, theirs) in ours.iter().zip(theirs) {
        for field in ["values", "histograms"] {
            let of = |one: &Value| one[field].as_array().cloned().unwrap_or_default();
            let (ours, theirs) = (of(ours), of(theirs));
            for (our, their) in ours.iter().zip(&theirs) {
                assert_eq!(our, their, "{when}");
            }
            assert_eq!(ours.len(), theirs.len(), "{when}: {field}");
        }
        assert_eq!(ours["metric"], theirs["metric"], "{when}");
    }
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

struct Both {
    original: PathBuf,
    promtools: [PathBuf; 2],
    theirs: PathBuf,
    ours: PathBuf,
}

impl Both {
    /// Opens copies of both folders, each with the other program and with both promtools.
    fn open_across(&self, sent: &Sent, expected: &[Value], when: &str) {
        let folder = tempfile::tempdir().unwrap();
        let copies = [folder.path().join("theirs"), folder.path().join("ours")];
        copy_tree(&self.theirs, &copies[0]);
        copy_tree(&self.ours, &copies[1]);
        let texts =
            self.promtools.iter().flat_map(|tool| copies.iter().map(move |copy| dump(tool, copy)));
        let texts: Vec<_> = texts.collect();
        let alone = |these: &[String], those: &[String]| -> Vec<String> {
            these.iter().filter(|line| those.binary_search(line).is_err()).cloned().collect()
        };
        for (ours, theirs) in [(&texts[1], &texts[0]), (&texts[3], &texts[2])] {
            assert_eq!(alone(ours, theirs), alone(theirs, ours), "{when}");
            assert_eq!(ours.len(), theirs.len(), "{when}");
        }
        // Where the samples of a series change their kind, the original's promtool passes over one.
        assert_eq!(alone(&texts[0], &texts[2]), Vec::<String>::new(), "{when}");
        assert_eq!(texts[2].len(), sent.samples_count(), "{when}");
        let mut server = ServerBuilder::new("").data(&copies[0]).arg(FEATURES).start();
        assert_same(&samples(&server.address(), sent), expected, &format!("{when}, theirs here"));
        let our_exemplars = exemplars(&server.address(), sent);
        assert!(server.stop().success());
        assert!(!server.log().contains("panicked"), "{}", server.log());
        let mut peer = Peer::original_on(&self.original, &copies[1], &[FEATURES]);
        assert_same(&samples(&peer.address, sent), expected, &format!("{when}, ours there"));
        // Whose log was shortened at the moment of the copy has fewer old ones.
        let their_exemplars = exemplars(&peer.address, sent);
        let count = our_exemplars.len().min(their_exemplars.len());
        let last = |all: &[Value]| all[all.len() - count..].to_vec();
        assert_eq!(last(&our_exemplars), last(&their_exemplars), "{when}");
        assert!(count > 0, "{when}");
        peer.stop();
        let mut server = ServerBuilder::new("").data(&copies[1]).arg(FEATURES).start();
        assert_same(&samples(&server.address(), sent), expected, &format!("{when}, ours back"));
        assert!(server.stop().success());
        println!("{when}: {} lines the same", texts[0].len());
    }
}

#[test]
fn slow_histograms_and_exemplars_go_from_the_original_to_us_and_back() {
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let Some(promtool) = need(Need::Peer("promtool")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    let mut peer = Peer::original_on(&original, &theirs, &[RECEIVER, FEATURES]);
    let mut server = ServerBuilder::new("").arg(RECEIVER).arg(FEATURES).start();
    let our_promtool = PathBuf::from(env!("CARGO_BIN_EXE_prometheus")).with_file_name("promtool");
    let ours = server.data_path().to_owned();
    let both =
        Both { original: original.clone(), promtools: [promtool, our_promtool], theirs, ours };
    let mut sent = Sent::new();
    let mut expected = Vec::new();
    for (steps_count, state) in PHASES {
        while sent.steps_count < steps_count {
            let body = sent.next();
            for address in [&*peer.address, &server.address()] {
                let answer = post_bytes(address, "/api/v1/write", &body).unwrap();
                assert_eq!(answer.status, 204, "{address} {}", answer.body);
            }
        }
        expected = samples(&peer.address, &sent);
        assert_same(&samples(&server.address(), &sent), &expected, state);
        assert_eq!(exemplars(&server.address(), &sent), exemplars(&peer.address, &sent), "{state}");
        both.open_across(&sent, &expected, &format!("{state}, running"));
    }
    peer.kill();
    server.kill();
    both.open_across(&sent, &expected, "after SIGKILL");
    let mut peer = Peer::original_on(&original, &both.theirs, &[FEATURES]);
    peer.stop();
    server.restart();
    assert!(server.stop().success());
    both.open_across(&sent, &expected, "after SIGTERM");
}
