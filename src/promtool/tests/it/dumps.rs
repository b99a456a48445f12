//! `tsdb dump` beside the original's, of a block and a log that a real server has written, and of folders of
//! a server that was killed. What the original leaves out is accounted for, sample by sample.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prom_model::{FloatHistogram, Histogram, HistogramValue, Span};
use prom_testkit::{WriteRequest, WriteSeries};

use super::tsdb::{golden, original, ours, run, text};

/// How long a server may take to start.
const START_TIME_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Float,
    FloatHistogram,
    Histogram,
}

/// By series, the lines of a dump without the labels, as they come.
fn by_series(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        let (labels, sample) = line.split_once("} ").unwrap();
        found.entry(labels.to_owned()).or_default().push(sample.to_owned());
    }
    found
}

/// Which samples of a series promtool 3.5.3 prints. It asks for the next sample in three loops, one for each
/// kind, and each loop takes the sample at which it ends.
fn printed_by_the_original(kinds: &[Kind]) -> Vec<usize> {
    let mut printed = Vec::new();
    let mut at = 0;
    for kind in [Kind::Float, Kind::FloatHistogram, Kind::Histogram] {
        while let Some(of_sample) = kinds.get(at) {
            at += 1;
            if *of_sample != kind {
                break;
            }
            printed.push(at - 1);
        }
    }
    printed
}

/// Holds our dump against the original's. A text does not tell the two kinds of histograms apart, so the
/// original's is one of those for series that have float histograms up to some sample, others from there on.
#[track_caller]
fn check_dumps(ours: &str, theirs: &str) {
    let (ours, mut theirs) = (by_series(ours), by_series(theirs));
    for (labels, samples) in &ours {
        let found = theirs.remove(labels).unwrap_or_default();
        let is_printed_with = |integers_from: usize| {
            let kind = |(at, sample): (usize, &String)| match sample.starts_with('{') {
                true if at >= integers_from => Kind::Histogram,
                true => Kind::FloatHistogram,
                false => Kind::Float,
            };
            let kinds: Vec<Kind> = samples.iter().enumerate().map(kind).collect();
            let printed = printed_by_the_original(&kinds);
            printed.len() == found.len()
                && printed.iter().zip(&found).all(|(at, found)| samples[*at] == *found)
        };
        let is_right = (0..=samples.len()).any(is_printed_with);
        assert!(is_right, "{labels}: {} samples are not of {}", found.len(), samples.len());
    }
    assert!(theirs.is_empty(), "{theirs:?}");
}

#[test]
fn dumps_of_a_block_and_a_log_are_those_of_the_original() {
    let (Some(folder), Some(original)) = (golden(), original()) else { return };
    for args in [
        &["dump"][..],
        &["dump", "--min-time=1750016900000", "--max-time=1750016950000"],
        &["dump", "--match={__name__=~\"http.*\"}", "--match=ctr_total"],
        &["dump", "--match=ctr_total", "--match=ctr_total"],
    ] {
        let (ours, theirs) =
            (run(&ours(), args, folder.path()), run(&original, args, folder.path()));
        assert_eq!(text(&ours.stderr), text(&theirs.stderr), "{args:?}");
        assert!(ours.status.success() && !ours.stdout.is_empty());
        check_dumps(&text(&ours.stdout), &text(&theirs.stdout));
    }
    let sorted = |promtool: &Path| -> Vec<String> {
        let output = run(promtool, &["dump-openmetrics"], folder.path());
        let mut lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&ours()), sorted(&original));
    let json = run(&ours(), &["dump", "--format=seriesjson", "--match=flappy"], folder.path());
    let json = text(&json.stdout);
    assert!(json.starts_with("{\"__name__\":\"flappy\""), "{json}");
}

/// The original server; killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(binary: &Path, folder: &Path) -> Self {
        let address = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().to_string()
        };
        let config = folder.join("prometheus.yml");
        fs::write(&config, "").unwrap();
        let child = Command::new(binary)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--web.enable-remote-write-receiver", "--enable-feature=native-histograms"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, address };
        let begin = now();
        while !server.ask("GET", "/-/ready", &[]).is_some_and(|answer| answer.contains(" 200 ")) {
            assert!(now() - begin < START_TIME_MAX, "the original does not become ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// The answer to a request on a connection of its own.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
             X-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        Some(text(&answer))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[expect(clippy::disallowed_methods, reason = "the original lives in real time")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn histogram(step: u64) -> HistogramValue {
    HistogramValue::Integer(Arc::new(Histogram {
        schema: 2,
        zero_threshold: 0.001,
        zero_count: step,
        count: step * 3,
        sum: step as f64 / 3.0,
        positive_spans: [Span { offset: 1, length: 2 }].into(),
        positive_buckets: vec![step as i64, 0],
        ..Histogram::default()
    }))
}

fn float_histogram(step: u64) -> HistogramValue {
    HistogramValue::Float(Arc::new(FloatHistogram {
        schema: 0,
        count: step as f64 * 1.5,
        sum: -1.0,
        positive_spans: [Span { offset: -2, length: 1 }].into(),
        positive_buckets: vec![step as f64 * 1.5],
        ..FloatHistogram::default()
    }))
}

/// Every kind of series, those that change their kind, and values that texts find hard.
fn request(begin_ms: i64, steps: std::ops::Range<u64>) -> Vec<u8> {
    let mut request = WriteRequest::default();
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let odd = [1e-7, 1e21, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, stale, 0.1 + 0.2];
    for step in steps {
        let at = begin_ms + step as i64 * 15_000;
        let mut push = |name: &str, float: Option<f64>, histogram: Option<HistogramValue>| {
            let labels = [("__name__", name), ("text", "a\"b\\c\n\u{fc}")];
            let floats: Vec<_> = float.into_iter().map(|value| (at, value)).collect();
            let histograms: Vec<_> = histogram.into_iter().map(|value| (at, value)).collect();
            request.push(WriteSeries {
                labels: &labels,
                floats: &floats,
                histograms: &histograms,
                ..Default::default()
            });
        };
        push("counter", Some(step as f64), None);
        push("odd", Some(odd[step as usize % odd.len()]), None);
        push("integer_histogram", None, Some(histogram(step)));
        push("float_histogram", None, Some(float_histogram(step)));
        match step {
            0..20 => push("changing", Some(step as f64), None),
            20..50 => push("changing", None, Some(histogram(step))),
            _ => push("changing", Some(step as f64), None),
        }
        match step {
            0..20 => push("becoming", None, Some(float_histogram(step))),
            _ => push("becoming", None, Some(histogram(step))),
        }
    }
    request.body()
}

#[test]
fn dumps_of_a_killed_server_are_those_of_the_original() {
    let (Some(promtool), Some(prometheus)) = (original(), prom_testkit::peer("prometheus")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let begin_ms = now().as_millis() as i64 - 5 * 3_600_000;
    // a log alone; with head chunks and a block
    for steps in [0..60, 60..900] {
        let server = Server::start(&prometheus, folder.path());
        // Of one request the original stores floats first, so no kind changes within one.
        for begin in steps.clone().step_by(10) {
            let body = request(begin_ms, begin..(begin + 10).min(steps.end));
            let answer = server.ask("POST", "/api/v1/write", &body).unwrap();
            assert!(answer.contains(" 204 "), "{answer}");
        }
        drop(server);
        for args in [&["dump"][..], &["dump", "--match={__name__=~\".*histogram|changing\"}"]] {
            let (ours, theirs) = (run(&ours(), args, &data), run(&promtool, args, &data));
            assert!(theirs.status.success(), "{}", text(&theirs.stderr));
            assert!(ours.status.success(), "{}", text(&ours.stderr));
            check_dumps(&text(&ours.stdout), &text(&theirs.stdout));
        }
        let all = text(&run(&ours(), &["dump"], &data).stdout);
        assert_eq!(all.lines().count() as u64, 6 * steps.end);
    }
}
