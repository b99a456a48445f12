//! Targets with some thousands of series, mixed like a cluster's: container metrics with long labels, classic
//! histograms, processor counters, gauges. Values move between scrapes as such values do.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use prom_testkit::Message;

use crate::contender::now;

/// The mix is that of a target with so many series; smaller ones have every n-th of them.
const MIX_COUNT: usize = 5_000;
/// What goes out first; the rest follows at once. As exporters in Go, which write through such a buffer.
const FIRST_SIZE_BYTES: usize = 4_096;
/// The type of a gauge in protobuf.
const GAUGE: u64 = 1;

/// How bodies come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
    Protobuf,
}

/// Listening targets; their threads end with the process.
pub(crate) struct Targets {
    addresses: Vec<String>,
}

impl Targets {
    /// Values move once in `interval`, so that all who scrape get the same bytes, made once.
    pub(crate) fn start(count: usize, series_count: usize, interval: Duration) -> Result<Self> {
        let mut addresses = Vec::new();
        for index in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            addresses.push(listener.local_addr()?.to_string());
            let exporter = Arc::new(Mutex::new(Exporter::new(index, series_count, interval)));
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let exporter = Arc::clone(&exporter);
                    std::thread::spawn(move || drop(serve(stream, &exporter)));
                }
            });
        }
        Ok(Self { addresses })
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.addresses.iter().map(String::as_str)
    }
}

fn serve(stream: TcpStream, exporter: &Mutex<Exporter>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let mut line = String::new();
    loop {
        let mut encoding = Encoding::Plain;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            if lower.starts_with("accept-encoding") && lower.contains("gzip") {
                encoding = encoding.max(Encoding::Gzip);
            }
            if lower.starts_with("accept:") && lower.contains("vnd.google.protobuf") {
                encoding = Encoding::Protobuf;
            }
            if line == "\r\n" {
                break;
            }
        }
        let body = exporter.lock().map_err(|_| anyhow::anyhow!("exporter"))?.body(encoding)?;
        let head = match encoding {
            Encoding::Plain => "text/plain; version=0.0.4",
            Encoding::Gzip => "text/plain; version=0.0.4\r\nContent-Encoding: gzip",
            Encoding::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        };
        let size = body.len();
        let mut first =
            format!("HTTP/1.1 200 OK\r\nContent-Type: {head}\r\nContent-Length: {size}\r\n\r\n")
                .into_bytes();
        let (begin, rest) = body.split_at(size.min(FIRST_SIZE_BYTES - first.len()));
        first.extend_from_slice(begin);
        stream.write_all(&first)?;
        stream.write_all(rest)?;
    }
}

/// Compressed by the program of that name, in another process than those that are measured.
fn gzip(body: Vec<u8>) -> Result<Vec<u8>> {
    let mut child = Command::new("gzip")
        .args(["-1", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("gzip's input")?;
    let writer = std::thread::spawn(move || input.write_all(&body));
    let output = child.wait_with_output()?;
    drop(writer.join());
    Ok(output.stdout)
}

struct Exporter {
    series: Vec<Series>,
    random: u64,
    interval: Duration,
    moved_at: Option<Instant>,
    /// Bodies of this interval.
    bodies: BTreeMap<Encoding, Arc<[u8]>>,
}

struct Series {
    text: String,
    value: f64,
    motion: Motion,
}

#[derive(Clone, Copy)]
enum Motion {
    Constant,
    /// A counter of whole numbers, idle in many scrapes.
    Counter,
    /// A counter with two decimals.
    Seconds,
    /// A gauge in pages of 4 096 bytes.
    Pages,
    /// A gauge with all its digits.
    Noise,
}

impl Exporter {
    fn new(target: usize, series_count: usize, interval: Duration) -> Self {
        let step = (MIX_COUNT / series_count).max(1);
        let series = (0..series_count).map(|index| {
            let index = index * step;
            Series { text: name(target, index), value: 0.0, motion: motion(index / step) }
        });
        let (random, bodies) = (target as u64 + 1, BTreeMap::new());
        Self { series: series.collect(), random, interval, moved_at: None, bodies }
    }

    /// The body of this interval.
    fn body(&mut self, encoding: Encoding) -> Result<Arc<[u8]>> {
        if self.moved_at.is_none_or(|at| at.elapsed() >= self.interval) {
            self.moved_at = Some(now());
            self.bodies.clear();
            self.advance();
        }
        if let Some(body) = self.bodies.get(&encoding) {
            return Ok(Arc::clone(body));
        }
        let body: Arc<[u8]> = match encoding {
            Encoding::Plain => self.text().into(),
            Encoding::Gzip => gzip(self.text())?.into(),
            Encoding::Protobuf => self.families().into(),
        };
        self.bodies.insert(encoding, Arc::clone(&body));
        Ok(body)
    }

    fn advance(&mut self) {
        for series in &mut self.series {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = (self.random >> 40) as f64 / f64::from(1 << 24);
            match series.motion {
                Motion::Constant => {}
                Motion::Counter if random < 0.4 => {}
                Motion::Counter => series.value += (random * 100.0).floor(),
                Motion::Seconds => series.value += (random * 500.0).floor() / 100.0,
                Motion::Pages => series.value = (random * 100_000.0).floor() * 4096.0,
                Motion::Noise => series.value = random * 1.000_000_1,
            }
        }
    }

    fn text(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.series.len() * 200);
        for series in &self.series {
            body.extend_from_slice(series.text.as_bytes());
            body.extend_from_slice(format!(" {}\n", series.value).as_bytes());
        }
        body
    }

    /// The same in protobuf, each family as gauges.
    fn families(&self) -> Vec<u8> {
        let mut families: BTreeMap<&str, Message> = BTreeMap::new();
        for series in &self.series {
            let (name, labels) = series.text.split_once('{').unwrap_or((&series.text, "}"));
            let pairs = labels.trim_end_matches('}').split("\",");
            let pairs = pairs.filter_map(|pair| pair.split_once("=\""));
            let metric = pairs.fold(Message::new(), |metric, (name, value)| {
                metric.label(1, name, value.trim_end_matches('"'))
            });
            let metric = metric.message(2, &Message::new().double(1, series.value));
            let family = families.entry(name).or_insert_with(|| {
                Message::new().text(1, name).text(2, "Made up.").integer(3, GAUGE)
            });
            *family = std::mem::take(family).message(4, &metric);
        }
        families.values().flat_map(Message::delimited).collect()
    }
}

fn motion(index: usize) -> Motion {
    match index % 100 {
        0..50 => Motion::Counter,
        50..68 => Motion::Constant,
        68..80 => Motion::Pages,
        80..96 => Motion::Seconds,
        _ => Motion::Noise,
    }
}

/// 30 % container, 42 % histogram, 10 % processor, 18 % application series; about 180 bytes a line.
fn name(target: usize, index: usize) -> String {
    match index {
        0..1500 => {
            let (pod, metric) = (index / 15, index % 15);
            format!(
                "container_metric_{metric:02}_bytes{{container=\"worker\",id=\"/kubepods/burstable/pod{target:04}{pod:04}-6b1f-4f7a-9c0e-1d2a3b4c5d6e\",image=\"registry.example.org/team/service:v1.{pod}.0\",name=\"k8s_worker_{target}_{pod}\",namespace=\"team-{}\",pod=\"service-{target}-{pod}-7d9f8c6b5\"}}",
                pod % 20
            )
        }
        1500..3600 => {
            let (handler, bucket) = ((index - 1500) / 14, (index - 1500) % 14);
            let le = 0.005 * f64::powi(2.0, bucket as i32);
            format!(
                "http_request_duration_seconds_bucket{{code=\"200\",handler=\"/api/v1/resource/{handler}/items\",method=\"GET\",service=\"frontend-{target}\",le=\"{le}\"}}"
            )
        }
        3600..4112 => {
            let (cpu, mode) = ((index - 3600) / 8, (index - 3600) % 8);
            format!("node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"mode{mode}\"}}")
        }
        _ => format!(
            "application_queue_depth_{}{{cluster=\"production-europe-west\",queue=\"orders-{index}\",shard=\"{}\",tenant=\"customer-{}\"}}",
            index % 40,
            index % 16,
            index % 200
        ),
    }
}
