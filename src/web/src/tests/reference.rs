//! Answers of the real Prometheus 3.5.3 with an empty store: recorded ones, and how to record them anew.

use std::{
    fmt,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Attempts to reach a server that is starting, and the pause between them.
const ATTEMPTS_MAX: usize = 600;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(50);

/// A request and what it was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) method: String,
    pub(super) path: String,
    /// The form body of a POST.
    pub(super) form: String,
    /// Status, and content type or address of a redirection.
    pub(super) head: String,
    pub(super) body: String,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, form, head, body } = self;
        write!(f, "{method} {path} {form}\n{head}\n{body}")
    }
}

/// Three lines for each exchange: request, head, body; an empty line between.
pub(super) fn recorded() -> Vec<Exchange> {
    let mut lines = include_str!("../../fixtures/reference_answers.txt").lines();
    let mut exchanges = Vec::new();
    while let Some(request) = lines.next() {
        let mut parts = request.splitn(3, ' ').map(str::to_owned);
        exchanges.push(Exchange {
            method: parts.next().unwrap(),
            path: parts.next().unwrap(),
            form: parts.next().unwrap_or_default(),
            head: lines.next().unwrap().to_owned(),
            body: lines.next().unwrap().to_owned(),
        });
        assert_eq!(lines.next().unwrap_or_default(), "", "after {request}");
    }
    exchanges
}

/// The real server, ended on drop.
struct Peer {
    process: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Peer {
    /// Starts it, if it is installed.
    fn start() -> Option<Self> {
        let program = prom_testkit::peer("prometheus")?;
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("prometheus.yml");
        std::fs::File::create(&config).unwrap().write_all(b"global: {}\n").unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let process = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { process, address, _dir: dir })
    }

    fn wait_until_ready(&self) {
        let ready = Exchange {
            method: "GET".to_owned(),
            path: "/-/ready".to_owned(),
            form: String::new(),
            head: String::new(),
            body: String::new(),
        };
        for _ in 0..ATTEMPTS_MAX {
            if self.ask(&ready).is_ok_and(|answer| answer.head.starts_with("200")) {
                return;
            }
            std::thread::sleep(ATTEMPT_PAUSE);
        }
        panic!("the reference does not become ready");
    }

    fn ask(&self, exchange: &Exchange) -> std::io::Result<Exchange> {
        let Exchange { method, path, form, .. } = exchange;
        let mut stream = TcpStream::connect(&self.address)?;
        let form_type = match form.as_str() {
            "" => "",
            _ => "Content-Type: application/x-www-form-urlencoded\r\n",
        };
        // In one piece: a server that answers without having read all of it resets the connection.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\n{form_type}Content-Length: {}\r\n\r\n{form}",
            self.address,
            form.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let status = head.split(' ').nth(1).unwrap();
        let (head, body) = match (header("Location: "), header("Content-Type: ")) {
            (Some(location), _) => (format!("{status} -> {location}"), ""),
            (None, content_type) => (format!("{status} {}", content_type.unwrap_or("-")), body),
        };
        Ok(Exchange { head, body: body.trim_end().to_owned(), ..exchange.clone() })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn recorded_answers_are_what_the_reference_says() {
    let Some(peer) = Peer::start() else { return };
    peer.wait_until_ready();
    for exchange in recorded() {
        assert_eq!(peer.ask(&exchange).unwrap(), exchange);
    }
}
