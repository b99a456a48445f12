//! A real server process in a folder of its own, on a port that the kernel picks.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{Response, eventually, get, post};

/// What a server is started with.
#[derive(Debug)]
pub(crate) struct ServerBuilder {
    folder: TempDir,
    config: PathBuf,
    data: PathBuf,
    args: Vec<String>,
}

impl ServerBuilder {
    /// A server whose configuration is `config`.
    pub(crate) fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prometheus.yml");
        fs::write(&path, config).unwrap();
        let data = folder.path().join("data");
        Self { folder, config: path, data, args: Vec::new() }
    }

    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Stores in `data` rather than in the server's own folder.
    pub(crate) fn data(mut self, data: &Path) -> Self {
        data.clone_into(&mut self.data);
        self
    }

    /// Starts and returns at once.
    pub(crate) fn spawn(self) -> Server {
        let log = self.folder.path().join("log");
        let child = command(&self).stderr(append(&log)).spawn().unwrap();
        Server { child, log, builder: self }
    }

    /// Starts and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(self) -> Server {
        let mut server = self.spawn();
        server.wait_ready();
        server
    }
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    builder: ServerBuilder,
}

impl Server {
    pub(crate) fn config_path(&self) -> &Path {
        &self.builder.config
    }

    pub(crate) fn data_path(&self) -> &Path {
        &self.builder.data
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that the server has logged since its folder was made.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the log, which is written behind the server's back, says this.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        eventually(text, || self.log().contains(text).then_some(()));
    }

    /// `host:port` of the last start, when it is known.
    fn try_address(&self) -> Option<String> {
        let log = self.log();
        let line = log.lines().rev().find(|line| line.contains("msg=\"Listening on\""))?;
        let address = line.split("address=").nth(1)?;
        Some(address.split_whitespace().next()?.trim_matches('"').to_owned())
    }

    #[track_caller]
    pub(crate) fn address(&self) -> String {
        eventually("the server's address", || self.try_address())
    }

    #[track_caller]
    pub(crate) fn wait_ready(&mut self) {
        eventually("/-/ready answers 200", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server ended with {status}:\n{}", self.log());
            }
            let address = self.try_address()?;
            get(&address, "/-/ready").ok().filter(|answer| answer.status == 200).map(drop)
        });
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Response {
        get(&self.address(), path).unwrap()
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, form: &str) -> Response {
        post(&self.address(), path, form).unwrap()
    }

    /// `data.result` of an instant query.
    #[track_caller]
    pub(crate) fn query(&self, expression: &str) -> Vec<Value> {
        let answer = self.post("/api/v1/query", &format!("query={}", encode(expression)));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["data"]["result"].as_array().unwrap().clone()
    }

    /// The single value of an instant query.
    #[track_caller]
    pub(crate) fn value(&self, expression: &str) -> Option<f64> {
        let result = self.query(expression);
        // A scalar is its time and its value.
        if let [Value::Number(_), Value::String(scalar)] = &result[..] {
            return scalar.parse().ok();
        }
        assert!(result.len() <= 1, "{expression}: {result:?}");
        Some(result.first()?["value"][1].as_str()?.parse().unwrap())
    }

    /// The state that `/api/v1/status/lifecycle` names.
    #[track_caller]
    pub(crate) fn state(&self) -> String {
        self.get("/api/v1/status/lifecycle").json()["data"]["current"]
            .as_str()
            .expect("a state is named")
            .to_owned()
    }

    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(done.unwrap().success());
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the server ends", || self.child.try_wait().unwrap())
    }

    /// SIGTERM, then the end.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// SIGKILL, then the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts again on the same folder after an end.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        fs::write(&self.log, "").unwrap();
        self.child = command(&self.builder).stderr(append(&self.log)).spawn().unwrap();
        self.wait_ready();
    }

    /// Rewrites the configuration file in place.
    pub(crate) fn write_config(&self, config: &str) {
        let mut file = fs::File::create(&self.builder.config).unwrap();
        file.write_all(config.as_bytes()).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

fn command(builder: &ServerBuilder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prometheus"));
    command
        .arg(format!("--config.file={}", builder.config.display()))
        .arg(format!("--storage.tsdb.path={}", builder.data.display()))
        .args(["--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle"])
        .args(&builder.args)
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

fn append(path: &Path) -> Stdio {
    Stdio::from(fs::File::options().create(true).append(true).open(path).unwrap())
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
