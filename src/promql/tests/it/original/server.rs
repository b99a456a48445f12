//! The original server over blocks made by its own tool.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value as Json;
use tempfile::TempDir;

use super::Ask;

/// How often the server is asked whether it is ready, a tenth of a second apart.
const READY_TRIES: usize = 300;

/// A running server; dropping it stops the process and removes its data.
pub(super) struct Original {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Original {
    /// Makes blocks of `openmetrics` and serves them.
    pub(super) fn start(prometheus: &Path, promtool: &Path, openmetrics: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("series.om"), openmetrics).unwrap();
        std::fs::write(path("prometheus.yml"), "{}\n").unwrap();
        let made = Command::new(promtool)
            .args(["tsdb", "create-blocks-from", "openmetrics", "-q"])
            .args([path("series.om"), path("data")])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self::run(prometheus, folder, &[])
    }

    /// Takes what is written to it, and keeps it in its head.
    pub(super) fn start_empty(prometheus: &Path, head_range_ms: i64) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("prometheus.yml"), "{}\n").unwrap();
        let range = head_range_ms / 1000;
        let args = [
            "--web.enable-remote-write-receiver".to_owned(),
            "--enable-feature=native-histograms,promql-experimental-functions".to_owned(),
            format!("--storage.tsdb.min-block-duration={range}s"),
            format!("--storage.tsdb.max-block-duration={range}s"),
        ];
        Self::run(prometheus, folder, &args)
    }

    fn run(prometheus: &Path, folder: TempDir, args: &[String]) -> Self {
        let path = |name: &str| folder.path().join(name);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(prometheus)
            .arg(format!("--config.file={}", path("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", path("data").display()))
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port, _folder: folder };
        for _ in 0..READY_TRIES {
            if server.get("/-/ready").is_some_and(|(status, _)| status == 200) {
                return server;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("the original is not ready on port {port}");
    }

    /// The answer of the API.
    pub(super) fn query(&self, query: &str, ask: &Ask) -> Json {
        let query = encode(query);
        let seconds = |time_ms: i64| format!("{}.{:03}", time_ms / 1000, time_ms % 1000);
        let path = match *ask {
            Ask::Instant { time_ms } => {
                format!("/api/v1/query?query={query}&stats=all&time={}", seconds(time_ms))
            }
            Ask::Range { start_ms, end_ms, step_ms } => format!(
                "/api/v1/query_range?query={query}&stats=all&start={}&end={}&step={}",
                seconds(start_ms),
                seconds(end_ms),
                step_ms / 1000
            ),
        };
        self.json(&path)
    }

    /// The answer of an endpoint that takes a query and nothing else.
    pub(super) fn about(&self, endpoint: &str, query: &str) -> Json {
        self.json(&format!("/api/v1/{endpoint}?query={}", encode(query)))
    }

    /// Sends a remote write request.
    pub(super) fn write(&self, body: &[u8]) {
        let head = format!(
            "POST /api/v1/write HTTP/1.0\r\nHost: localhost\r\nContent-Encoding: snappy\r\n\
             Content-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), body].concat();
        let (status, text) = self.ask(&request).expect("the original answers");
        assert_eq!(status, 204, "{text}");
    }

    fn json(&self, path: &str) -> Json {
        let (_, body) = self.get(path).expect("the original answers");
        serde_json::from_str(&body).unwrap_or_else(|err| panic!("{err}: {body}"))
    }

    /// Status and body; nothing while nobody listens.
    fn get(&self, path: &str) -> Option<(u16, String)> {
        self.ask(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())
    }

    fn ask(&self, request: &[u8]) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.write_all(request).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8(answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
