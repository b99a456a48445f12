//! Samples of many series over hours, sent by remote write 1.0 to several servers in turn, over one kept
//! connection each. What making them costs is not counted: only the servers' own processor time is.

use std::{
    io::{Read, Write},
    net::TcpStream,
    ops::Range,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use prom_testkit::{WriteRequest, WriteSeries};

use crate::contender::Contender;

/// Time between two samples of a series.
const STEP_MS: i64 = 15_000;
/// Time of a block of the head.
const BLOCK_MS: i64 = 7_200_000;
/// Series in one request, as senders do.
const REQUEST_SERIES_COUNT: usize = 500;

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) series_count: usize,
    begin_ms: i64,
    /// Tells series of one generation from those of another.
    pub(crate) generation: usize,
}

/// A kept connection.
#[derive(Debug)]
pub(crate) struct Sender {
    stream: TcpStream,
    address: String,
}

impl Load {
    /// Samples that begin `hours` before now.
    #[expect(clippy::disallowed_methods, reason = "samples are sent for times before now")]
    pub(crate) fn new(series_count: usize, hours: f64) -> Result<Self> {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
        let begin_ms = now_ms - (hours * 3_600_000.0) as i64 - 60_000;
        Ok(Self { series_count, begin_ms, generation: 0 })
    }

    /// Samples that begin where a block does, `hours` before now or earlier.
    pub(crate) fn aligned(series_count: usize, hours: f64) -> Result<Self> {
        let mut load = Self::new(series_count, hours)?;
        load.begin_ms -= load.begin_ms.rem_euclid(BLOCK_MS);
        Ok(load)
    }

    /// How many samples a series has in `hours`.
    pub(crate) fn steps_in(hours: f64) -> usize {
        (hours * 3_600_000.0 / STEP_MS as f64) as usize
    }

    /// Sends these samples of all series, `steps_per_request` at a time.
    pub(crate) fn send(
        &self,
        senders: &mut [Sender],
        steps: Range<usize>,
        steps_per_request: usize,
    ) -> Result<()> {
        for begin in steps.clone().step_by(steps_per_request) {
            let steps = begin..(begin + steps_per_request).min(steps.end);
            for first in (0..self.series_count).step_by(REQUEST_SERIES_COUNT) {
                let series = first..(first + REQUEST_SERIES_COUNT).min(self.series_count);
                let body = self.body(series, steps.clone());
                for sender in &mut *senders {
                    sender.post(&body)?;
                }
            }
        }
        Ok(())
    }

    /// The time of the last of so many samples, in seconds; rounded up, so that a query at it finds that sample
    /// and not the one before.
    pub(crate) fn end_seconds(&self, steps_count: usize) -> i64 {
        (self.begin_ms + steps_count as i64 * STEP_MS + 999) / 1000
    }

    fn body(&self, series: Range<usize>, steps: Range<usize>) -> Vec<u8> {
        let mut request = WriteRequest::default();
        for number in series {
            let name = format!("bench_metric_{}_total", number % 50);
            let instance = format!("host-{}.example.org:9100", number / 500);
            let pod = format!("pod-{}-{number:06}", self.generation);
            let labels = [
                ("__name__", &*name),
                ("cluster", "eu-west-1-production"),
                ("container", "application"),
                ("instance", &*instance),
                ("job", "kubernetes-pods"),
                ("namespace", ["default", "payments", "search", "web"][number % 4]),
                ("pod", &*pod),
                ("service", "frontend-gateway"),
            ];
            let at = |step| (self.begin_ms + step as i64 * STEP_MS, value_at(number, step));
            let floats: Vec<_> = steps.clone().map(at).collect();
            request.push(WriteSeries { labels: &labels, floats: &floats, ..Default::default() });
        }
        request.body()
    }
}

impl Sender {
    pub(crate) fn connect_all(contenders: &[Contender]) -> Result<Vec<Self>> {
        let connect = |contender: &Contender| Self::connect(&contender.address);
        contenders.iter().map(connect).collect()
    }

    fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address: address.to_owned() })
    }

    fn post(&mut self, body: &[u8]) -> Result<()> {
        let mut request = format!(
            "POST /api/v1/write HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-protobuf\r\n\
             Content-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n\
             Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request)?;
        // No server answers success with a body.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0; 512];
            match self.stream.read(&mut byte)? {
                0 => bail!("{} closed the connection", self.address),
                size => answer.extend_from_slice(&byte[..size]),
            }
            if !answer.starts_with(b"HTTP/1.1 204"[..answer.len().min(12)].as_ref()) {
                bail!("{}: {}", self.address, String::from_utf8_lossy(&answer));
            }
        }
        Ok(())
    }
}

/// Counters, gauges that rarely change, and noise, as exporters have them.
fn value_at(series: usize, step: usize) -> f64 {
    let noise =
        (series.wrapping_mul(0x9e37_79b9).wrapping_add(step.wrapping_mul(0x85eb_ca6b))) >> 7;
    match series % 5 {
        0 => (series + step / 200) as f64,
        1 | 2 => (step * (15 + series % 40) + noise % 9) as f64,
        3 => (noise % 1000) as f64 / 10.0,
        _ => 1.0,
    }
}

/// How many series an instant query finds at a time.
pub(crate) fn count_series(contender: &Contender, at_seconds: i64) -> Result<usize> {
    let query = "count(%7B__name__%3D~%22bench_metric_.%2B%22%7D)";
    let answer = contender.get(&format!("/api/v1/query?time={at_seconds}&query={query}"))?;
    let text = String::from_utf8_lossy(&answer);
    let begin = text.find('{').context("an answer without JSON")?;
    let end = text.rfind('}').context("an answer without JSON")?;
    let answer: serde_json::Value = serde_json::from_str(&text[begin..=end])?;
    let value = answer["data"]["result"][0]["value"][1].as_str().unwrap_or("0");
    Ok(value.parse()?)
}
