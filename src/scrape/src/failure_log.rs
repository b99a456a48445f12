//! The failure log: a line of JSON for each scrape that brought no body.
//! Compat: Prometheus `util/logging/file.go` and `scrape/scrape.go`.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use prom_config::ScrapeConfig;
use prom_telemetry::clock;

use crate::{ScrapeError, live::Target};

/// The files that a configuration names, open. A reload opens them again, so that they can be rotated.
#[derive(Debug, Default)]
pub(crate) struct FailureLogs {
    files: HashMap<PathBuf, Mutex<File>>,
}

impl FailureLogs {
    /// Opens the files of `jobs` to append to them.
    pub(crate) fn open<'a>(
        jobs: impl Iterator<Item = &'a ScrapeConfig>,
    ) -> Result<Self, ScrapeError> {
        let mut files = HashMap::new();
        for path in jobs.map(|job| &job.scrape_failure_log_file) {
            if path.as_os_str().is_empty() || files.contains_key(path) {
                continue;
            }
            let opened = OpenOptions::new().create(true).append(true).open(path);
            let file = opened.map_err(|error| ScrapeError::FailureLog {
                path: path.clone(),
                reason: error.to_string(),
            })?;
            files.insert(path.clone(), Mutex::new(file));
        }
        Ok(Self { files })
    }

    /// Appends a line, if `path` is open. That it could not be written is told to nobody: the log of the
    /// server is not the place for what an operator wanted elsewhere, and the next reload says it.
    pub(crate) fn log(&self, path: &Path, about: &Target, error: &str) {
        let Some(file) = self.files.get(path) else { return };
        let line = line(clock::now_ms(), &about.pool, &about.url, error);
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        drop(file.write_all(line.as_bytes()));
    }
}

fn line(now_ms: i64, job: &str, target: &str, error: &str) -> String {
    let time = match Timestamp::from_millisecond(now_ms) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        Err(_) => now_ms.to_string(),
    };
    let fields = [
        ("time", time.as_str()),
        ("level", "ERROR"),
        ("source", "scrape.go"),
        ("msg", error),
        ("job_name", job),
        ("target", target),
    ];
    let fields = fields.map(|(name, text)| format!("\"{name}\":{}", serde_json::Value::from(text)));
    format!("{{{}}}\n", fields.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_fields_of_the_reference() {
        assert_eq!(
            line(1_700_000_000_123, "j", "http://a/metrics", "a \"b\"\n"),
            "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"ERROR\",\"source\":\"scrape.go\",\
             \"msg\":\"a \\\"b\\\"\\n\",\"job_name\":\"j\",\"target\":\"http://a/metrics\"}\n"
        );
    }
}
