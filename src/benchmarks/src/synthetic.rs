//! Targets of 5 000 series each, mixed like a cluster's: container metrics with long labels, classic
//! histograms, processor counters, gauges. Values move between scrapes as such values do.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result};

pub(crate) const SERIES_PER_TARGET: usize = 5_000;

/// Listening targets; their threads end with the process.
pub(crate) struct Targets {
    addresses: Vec<String>,
}

impl Targets {
    pub(crate) fn start(count: usize) -> Result<Self> {
        let mut addresses = Vec::new();
        for index in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            addresses.push(listener.local_addr()?.to_string());
            let exporter = Arc::new(Mutex::new(Exporter::new(index)));
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
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let mut line = String::new();
    loop {
        let mut accepts_gzip = false;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            accepts_gzip |= lower.starts_with("accept-encoding") && lower.contains("gzip");
            if line == "\r\n" {
                break;
            }
        }
        let body = exporter.lock().map_err(|_| anyhow::anyhow!("exporter"))?.body();
        let (body, encoding) =
            if accepts_gzip { (gzip(body)?, "Content-Encoding: gzip\r\n") } else { (body, "") };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n{encoding}\
             Content-Length: {}\r\n\r\n",
            body.len()
        )?;
        stream.write_all(&body)?;
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
    fn new(target: usize) -> Self {
        let mut series = Vec::with_capacity(SERIES_PER_TARGET);
        for index in 0..SERIES_PER_TARGET {
            series.push(Series { text: name(target, index), value: 0.0, motion: motion(index) });
        }
        Self { series, random: target as u64 + 1 }
    }

    fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::with_capacity(SERIES_PER_TARGET * 200);
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
            body.extend_from_slice(series.text.as_bytes());
            body.extend_from_slice(format!(" {}\n", series.value).as_bytes());
        }
        body
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
