//! `redacted_yaml` against what the installed original answers at `/api/v1/status/config` for the same file,
//! compared as data. Files it refuses to run are told by name.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use prom_config::{IncludedFiles, LoadOptions, Sources, load_with};
use serde_yaml::Value;

use crate::{reference::verdicts, verdicts::is_not_for_peer};
use prom_testkit::{conformance, peer};

/// How long the original may take to listen, and to take a file.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked whether it listens: nothing else tells.
const POLL: Duration = Duration::from_millis(10);

/// The original with a configuration that changes under it.
struct Original {
    child: Child,
    port: u16,
    config: PathBuf,
    _directory: tempfile::TempDir,
}

impl Original {
    fn start(program: &Path, folder: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("prometheus.yml");
        fs::write(&config, "").unwrap();
        // Bound and let go: the original takes no port 0 that it would tell.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--web.enable-lifecycle", "--log.level=error"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut original = Self { child, port, config, _directory: directory };
        for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
            let answer = original.ask("GET /-/ready");
            if answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return original;
            }
            assert!(original.child.try_wait().unwrap().is_none(), "the original ended");
            std::thread::sleep(POLL);
        }
        panic!("the original does not get ready");
    }

    fn ask(&self, request: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("{request} HTTP/1.0\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut reader = BufReader::new(stream);
        let mut answer = String::new();
        reader.read_line(&mut answer).ok()?;
        let mut rest = String::new();
        reader.read_to_string(&mut rest).ok()?;
        Some(answer.replace("HTTP/1.0", "HTTP/1.1") + &rest)
    }

    /// The configuration it shows after a reload.
    fn shown(&self, text: &str) -> Result<Value, String> {
        fs::write(&self.config, text).unwrap();
        let reload = self.ask("POST /-/reload").unwrap();
        if !reload.starts_with("HTTP/1.1 200") {
            return Err(reload);
        }
        let answer = self.ask("GET /api/v1/status/config").unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        // JSON is YAML.
        let body: Value = serde_yaml::from_str(body).unwrap();
        Ok(serde_yaml::from_str(body["data"]["yaml"].as_str().unwrap()).unwrap())
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Keys that one side shows and the other does not, because of its version; taken out of both.
fn without_version_keys(mut value: Value) -> Value {
    const KEYS: [&str; 2] = ["extra_scrape_metrics", "scrape_native_histograms"];
    fn walk(value: &mut Value) {
        match value {
            Value::Mapping(map) => {
                for key in KEYS {
                    map.remove(key);
                }
                // Roles of DigitalOcean came after 3.5.
                if map.get("role").and_then(Value::as_str) == Some("droplets") {
                    map.remove("role");
                }
                map.values_mut().for_each(walk);
            }
            Value::Sequence(list) => list.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

#[test]
fn slow_shown_configurations_are_those_of_the_original() {
    let (Some(data), Some(promtool), Some(prometheus)) =
        (conformance("config"), peer("promtool"), peer("prometheus"))
    else {
        return;
    };
    let Some(examples) = conformance("config_examples") else { return };
    let mut files = Vec::new();
    for folder in [&data, &examples] {
        let entries = fs::read_dir(folder).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.retain(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.ends_with(".yml") && !name.contains(".bad.") && !name.contains("agent")
    });
    files.sort();
    let mut taken: Vec<PathBuf> = Vec::new();
    for (path, reason) in verdicts(&promtool, "--syntax-only", &files) {
        match reason {
            None => taken.push(path),
            // What the installed original cannot show is left out for a reason that is listed.
            Some(reason) => {
                assert!(is_not_for_peer(&path, &reason), "{}: {reason}", path.display())
            }
        }
    }
    let original = Original::start(&prometheus, data.parent().unwrap());
    let (mut equal, mut refused) = (0, Vec::new());
    for path in taken {
        let text = fs::read_to_string(&path).unwrap();
        let theirs = match original.shown(&text) {
            Ok(value) => without_version_keys(value),
            Err(_) => {
                refused.push(path.file_name().unwrap().display().to_string());
                continue;
            }
        };
        // Paths start from where the original read its copy.
        let mut sources = Sources::with_text(&original.config, text.as_bytes());
        let options = LoadOptions { included: IncludedFiles::None, ..LoadOptions::CHECK };
        let ours = load_with(&original.config, &mut sources, &options).unwrap().redacted_yaml();
        let ours = without_version_keys(serde_yaml::from_str(&ours).unwrap());
        assert_eq!(ours, theirs, "{}", path.display());
        equal += 1;
    }
    println!("{equal} are shown alike; the original does not run {refused:?}");
    assert!(equal > 50 && refused.is_empty(), "{refused:?}");
}
