//! A server under test: ours or an original, in a fresh folder, on a port of its own; and what the kernel
//! counts for it.

use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use prom_testkit::find_peer;
use tempfile::TempDir;

use crate::report;

/// How long a start may take.
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// Kernel clock ticks a second (`getconf CLK_TCK`), the unit of `/proc/<pid>/stat`.
const TICKS_PER_SECOND: f64 = 100.0;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    /// Ours with `--storage.tsdb.early-wal-checkpoint`.
    OursShortLog,
    Original,
    VictoriaMetrics,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursShortLog => "ours, short log",
            Self::Original => "prometheus",
            Self::VictoriaMetrics => "victoria-metrics",
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursShortLog)
    }

    fn binary(self) -> Result<PathBuf> {
        if self.is_ours() {
            let path = env::current_exe()?.with_file_name("prometheus");
            return path.canonicalize().with_context(|| path.display().to_string());
        }
        find_peer(self.name()).context("not installed (see PROMETHEUS_PEERS)")
    }

    /// Those of `kinds` that are on this machine; the others are named as left out.
    pub(crate) fn available(kinds: &[Self]) -> Vec<Self> {
        let mut found = Vec::new();
        for kind in kinds {
            match kind.binary() {
                Ok(_) => found.push(*kind),
                Err(err) => report::line(&format!("left out: {}: {err:#}", kind.name())),
            }
        }
        found
    }
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    pub(crate) address: String,
    /// From exec to the first 200 of its readiness endpoint.
    pub(crate) start_time: Duration,
    config: String,
    args: Vec<String>,
    child: Child,
    folder: TempDir,
}

impl Contender {
    /// Starts a server with `config` and waits until it is ready.
    pub(crate) fn start(kind: Kind, config: &str) -> Result<Self> {
        Self::start_with(kind, config, Vec::new())
    }

    /// The same, with more flags.
    pub(crate) fn start_with(kind: Kind, config: &str, args: Vec<String>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let child = spawn(kind, &folder, &address, config, &args)?;
        let config = config.to_owned();
        let mut contender =
            Self { kind, address, start_time: Duration::ZERO, config, args, child, folder };
        contender.wait_ready(now())?;
        Ok(contender)
    }

    /// All of `kinds` that are on this machine, started with nothing to scrape.
    pub(crate) fn start_all(kinds: &[Kind]) -> Result<Vec<Self>> {
        Kind::available(kinds).into_iter().map(|kind| Self::start(kind, "")).collect()
    }

    /// Ends the process by a signal (`TERM`, `KILL`) and waits for the end.
    pub(crate) fn end(&mut self, signal: &str) -> Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-s", signal, &pid]).status()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts again on what is in the folder; `start_time` is measured anew.
    pub(crate) fn restart(&mut self) -> Result<()> {
        let begin = now();
        self.spawn_again()?;
        self.wait_ready(begin)
    }

    /// Starts again and does not wait for it.
    pub(crate) fn spawn_again(&mut self) -> Result<()> {
        self.child = spawn(self.kind, &self.folder, &self.address, &self.config, &self.args)?;
        Ok(())
    }

    pub(crate) fn wait_until_ready(&mut self) -> Result<()> {
        self.wait_ready(now())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_ready(&mut self, begin: Instant) -> Result<()> {
        let path = if self.kind == Kind::VictoriaMetrics { "/health" } else { "/-/ready" };
        while !self.get(path).is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200")) {
            if begin.elapsed() > START_TIME_MAX || self.child.try_wait()?.is_some() {
                bail!("{} did not become ready", self.kind.name());
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        self.start_time = begin.elapsed();
        Ok(())
    }

    /// Where the server stores.
    pub(crate) fn data_path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a file beside the configuration, or the configuration itself, `prometheus.yml`.
    pub(crate) fn write_file(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.folder.path().join(name), text)?)
    }

    /// The whole answer to a request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Result<Vec<u8>> {
        self.ask("GET", path)
    }

    /// The same for a request that changes something.
    pub(crate) fn post(&self, path: &str) -> Result<Vec<u8>> {
        self.ask("POST", path)
    }

    fn ask(&self, method: &str, path: &str) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address)?;
        let address = &self.address;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// Processor time used so far, user and system.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok());
        let total = ticks(11).zip(ticks(12)).context("/proc/<pid>/stat")?;
        Ok((total.0 + total.1) / TICKS_PER_SECOND)
    }

    /// Makes the kernel forget the most that was resident so far: `VmHWM` begins anew.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        const RESET_PEAK: &str = "5";
        let path = format!("/proc/{}/clear_refs", self.child.id());
        fs::write(&path, RESET_PEAK).with_context(|| path)
    }

    /// A line of `/proc/<pid>/status` such as `RssAnon`, in bytes.
    pub(crate) fn memory_bytes(&self, field: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kibibytes = line.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kibibytes.context("/proc/<pid>/status")? * 1024.0)
    }
}

/// What receives old samples by remote write, besides what was asked for.
fn spawn(
    kind: Kind,
    folder: &TempDir,
    address: &str,
    config: &str,
    args: &[String],
) -> Result<Child> {
    let config_path = folder.path().join("prometheus.yml");
    fs::write(&config_path, config)?;
    let (config, data) = (config_path.display(), folder.path().join("data"));
    let data = data.display();
    let mut command = Command::new(kind.binary()?);
    if kind.is_ours() {
        // Rules are loaded, as in the others, though this build evaluates none.
        command.arg("--rules.evaluation=off");
    }
    if kind == Kind::OursShortLog {
        command.arg("--storage.tsdb.early-wal-checkpoint");
    }
    match kind {
        Kind::Ours | Kind::OursShortLog | Kind::Original => command.args([
            format!("--config.file={config}"),
            format!("--storage.tsdb.path={data}"),
            format!("--web.listen-address={address}"),
            "--web.enable-lifecycle".to_owned(),
            "--web.enable-remote-write-receiver".to_owned(),
        ]),
        Kind::VictoriaMetrics => command.args([
            format!("-promscrape.config={config}"),
            format!("-storageDataPath={data}"),
            format!("-httpListenAddr={address}"),
            "-search.latencyOffset=0s".to_owned(),
            // Senders keep their connections, however long a load takes.
            "-http.connTimeout=1h".to_owned(),
            "-http.idleConnTimeout=1h".to_owned(),
        ]),
    };
    Ok(command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

impl Drop for Contender {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The time, for measuring.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
