//! The query log: a line of JSON for each query that was evaluated.
//! Compat: Prometheus `promql/engine.go`, `exec`, through its JSON log handler.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use prom_promql::{FinishedQuery, QueryOrigin};
use prom_telemetry::clock;

use crate::{api::push_stats, json};

/// The open file. To begin a new one it is opened again.
#[derive(Debug)]
pub struct QueryLogFile {
    file: Mutex<File>,
}

impl QueryLogFile {
    /// Opens `path` to append to it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Appends a line for `query`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn log(&self, query: &FinishedQuery) -> io::Result<()> {
        let line = line(query, clock::now_ms());
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
    }
}

fn line(query: &FinishedQuery, now_ms: i64) -> Vec<u8> {
    let (start_ms, end_ms) = query.times.bounds_ms();
    let mut out = Vec::with_capacity(512 + query.query.len());
    push_text(&mut out, "{", "time", &time_text(now_ms));
    out.extend_from_slice(
        br#","level":"INFO","source":"engine.go","msg":"promql query logged","params":"#,
    );
    push_text(&mut out, "{", "end", &time_text(end_ms));
    push_text(&mut out, ",", "query", &query.query);
    push_text(&mut out, ",", "start", &time_text(start_ms));
    // Compat: whole seconds.
    let step = format!(",\"step\":{}}},\"stats\":", query.times.step_ms() / 1000);
    out.extend_from_slice(step.as_bytes());
    push_stats(&mut out, &query.stats);
    if let Some(error) = &query.error {
        push_text(&mut out, ",", "error", &error.to_string());
    }
    push_text(&mut out, ",", "spanID", "0000000000000000");
    push_text(&mut out, ",", "traceID", "00000000000000000000000000000000");
    match &query.origin {
        QueryOrigin::Unknown => {}
        QueryOrigin::Http { client_ip, method, path } => {
            push_text(&mut out, ",\"httpRequest\":{", "clientIP", client_ip);
            push_text(&mut out, ",", "method", method);
            push_text(&mut out, ",", "path", path);
            out.push(b'}');
        }
        QueryOrigin::RuleGroup { file, name } => {
            push_text(&mut out, ",\"ruleGroup\":{", "file", file);
            push_text(&mut out, ",", "name", name);
            out.push(b'}');
        }
    }
    out.extend_from_slice(b"}\n");
    out
}

fn push_text(out: &mut Vec<u8>, before: &str, name: &str, text: &str) {
    out.extend_from_slice(before.as_bytes());
    json::push_string(out, name);
    out.push(b':');
    json::push_string(out, text);
}

fn time_text(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        Err(_) => ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prom_promql::{Engine, EngineOptions, InstantParams, QueryParams};
    use prom_telemetry::Registry;
    use prom_testkit::MemoryStore;

    use super::*;

    /// The lines that queries of these origins leave.
    fn logged(query: &str, origin: QueryOrigin) -> serde_json::Value {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("query.log");
        let file = Arc::new(QueryLogFile::open(&path).unwrap());
        let engine = Engine::new(EngineOptions::default(), &Registry::default());
        engine.set_query_log(Some(Arc::new(move |query| file.log(query))));
        let params = QueryParams { origin, ..QueryParams::default() };
        let params = InstantParams { time_ms: 1_700_000_000_123, query: params };
        drop(engine.instant(&MemoryStore::default(), query, params));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn lines_have_the_fields_of_the_reference() {
        let origin = QueryOrigin::Http {
            client_ip: "127.0.0.1".to_owned(),
            method: "GET".to_owned(),
            path: "/api/v1/query".to_owned(),
        };
        let line = logged("up < 5", origin);
        let names: Vec<&String> = line.as_object().unwrap().keys().collect();
        let expected = [
            "httpRequest",
            "level",
            "msg",
            "params",
            "source",
            "spanID",
            "stats",
            "time",
            "traceID",
        ];
        assert_eq!(names, expected);
        let params = serde_json::json!({
            "end": "2023-11-14T22:13:20.123Z",
            "query": "up < 5",
            "start": "2023-11-14T22:13:20.123Z",
            "step": 0,
        });
        assert_eq!(line["params"], params);
        let request = serde_json::json!({
            "clientIP": "127.0.0.1", "method": "GET", "path": "/api/v1/query",
        });
        assert_eq!(line["httpRequest"], request);
        assert_eq!(line["stats"]["samples"]["totalQueryableSamples"], 0);
        assert!(line["stats"]["timings"]["execTotalTime"].as_f64().unwrap() > 0.0);
    }

    #[test]
    fn rules_and_errors_are_told() {
        let (file, name) = ("a.yml".to_owned(), "g \"1\"".to_owned());
        let line =
            logged("topk(scalar(vector(0)/0), vector(1))", QueryOrigin::RuleGroup { file, name });
        assert_eq!(line["ruleGroup"], serde_json::json!({"file": "a.yml", "name": "g \"1\""}));
        assert_eq!(line["error"], "Parameter value is NaN");
    }
}
