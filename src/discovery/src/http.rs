//! `http_sd_configs`: a service that answers with the list of targets as JSON.
//! Compat: Prometheus `discovery/http/http.go`.

use prom_config::HttpSdConfig;
use prom_http_client::{BodyLimit, BufferPool, Client, Request, inflate_gzip};
use prom_model::quote_go;
use prom_telemetry::Counter;

use crate::{TargetGroup, json::parse_groups, polled::Means, rest::AskError};

/// Tells where a target was found.
const URL_LABEL: &str = "__meta_url";
/// Larger lists are refused, packed or not.
const BODY_LIMIT: BodyLimit = BodyLimit { size_bytes: 128 << 20 };

/// One entry.
#[derive(Debug)]
pub(crate) struct HttpAsker {
    client: Client,
    /// Or why the address is none.
    request: Result<Request, String>,
    url: String,
    answers: BufferPool,
    failures: Counter,
}

impl HttpAsker {
    pub(crate) fn new(cfg: &HttpSdConfig, means: &Means) -> Self {
        let seconds = cfg.refresh_interval.as_secs_f64().to_string();
        let request = Request::get(&cfg.url, cfg.refresh_interval)
            .and_then(|request| request.with_header("accept", "application/json"))
            .and_then(|request| request.with_header("accept-encoding", "gzip"))
            .and_then(|request| {
                request.with_header("x-prometheus-refresh-interval-seconds", &seconds)
            });
        Self {
            client: Client::new(cfg.http_client.clone(), means.user_agent),
            request: request.map_err(|error| error.to_string()),
            url: cfg.url.clone(),
            answers: means.answers.clone(),
            failures: means.http_failures.clone(),
        }
    }

    pub(crate) async fn ask(&self) -> Result<Vec<TargetGroup>, AskError> {
        let asked = self.try_ask().await;
        if asked.is_err() {
            self.failures.inc();
        }
        asked
    }

    async fn try_ask(&self) -> Result<Vec<TargetGroup>, AskError> {
        let request = self.request.as_ref().map_err(String::clone)?;
        let response = self.client.send(request).await?;
        if response.status_code() != 200 {
            let status = response.status_text();
            let mut error = AskError::new(format!("server returned HTTP status {status}"));
            error.note_refusal(&response);
            response.discard().await;
            return Err(error);
        }
        let content_type = response.header("content-type").unwrap_or_default().to_owned();
        if !is_json(content_type.trim()) {
            let text = format!("unsupported content type {}", quote_go(&content_type));
            return Err(AskError::new(text));
        }
        let is_gzip = response.header("content-encoding") == Some("gzip");
        let mut body = self.answers.lend(0);
        response.read_body(&mut body, BODY_LIMIT).await?;
        if is_gzip {
            let mut inflated = self.answers.lend(0);
            inflate_gzip(body.as_slice(), &mut inflated, BODY_LIMIT)?;
            body = inflated;
        }
        let label = Some((URL_LABEL, self.url.as_str()));
        let groups = parse_groups(body.as_slice())?.into_iter().enumerate().map(|(index, cfg)| {
            TargetGroup::of_addresses(format!("{}:{index}", self.url), &cfg, label)
        });
        Ok(groups.collect())
    }
}

/// JSON in UTF-8, said in one of the ways that the original knows.
pub(crate) fn is_json(content_type: &str) -> bool {
    let lower = content_type.to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("application/json") else { return false };
    rest.is_empty()
        || rest
            .strip_prefix(';')
            .map(str::trim_start)
            .is_some_and(|rest| ["charset=utf-8", "charset=\"utf-8\""].contains(&rest))
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use prom_config::{DiscoveryConfig, LoadOptions, Sources, load_with};
    use prom_telemetry::Registry;
    use prom_testkit::{Answer, FakeTarget};

    use super::*;

    fn asker(url: &str, keys: &str) -> HttpAsker {
        let text = format!(
            "scrape_configs: [{{job_name: a, http_sd_configs: [{{url: '{url}', {keys}}}]}}]"
        );
        let path = Path::new("/p/p.yml");
        let mut sources = Sources::with_text(path, text.as_bytes());
        let cfg = load_with(path, &mut sources, &LoadOptions::CHECK).unwrap();
        let DiscoveryConfig::Http(cfg) = &cfg.scrape_configs[0].discovery_configs[0] else {
            panic!("{text}")
        };
        HttpAsker::new(cfg, &Means::new("Prometheus/3.5.0", &Registry::default()))
    }

    fn json(body: &str) -> Answer {
        Answer::body("application/json", &[], body.as_bytes())
    }

    #[test]
    fn only_json_is_taken() {
        for (content_type, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json;charset=\"utf-8\"", true),
            ("application/json; charset=latin1", false),
            ("application/json;", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_json(content_type), expected, "{content_type}");
        }
    }

    #[tokio::test]
    async fn lists_are_taken_and_anything_else_is_refused() {
        let service = FakeTarget::start().await;
        let url = service.url("/sd");
        let asker = asker(&url, "refresh_interval: 90s");
        service.answer("/sd", json(r#"[{"targets": ["a:1", "a:1"], "labels": {"__meta_url": "x", "b": "c"}}, {"targets": []}]"#));
        let groups = asker.ask().await.unwrap();
        assert_eq!(groups.len(), 2);
        assert_eq!(&*groups[0].source, format!("{url}:0"));
        assert_eq!(groups[0].labels.get("__meta_url"), Some(url.as_str()));
        assert_eq!((groups[0].labels.get("b"), groups[0].targets.len()), (Some("c"), 2));
        let head = service.requests()[0].to_lowercase();
        for line in [
            "accept: application/json",
            "user-agent: prometheus/3.5.0",
            "x-prometheus-refresh-interval-seconds: 90",
        ] {
            assert!(head.contains(line), "{line}: {head}");
        }
        for (answer, expected) in [
            (json("null"), Ok(0)),
            (json("[]"), Ok(0)),
            (json("[{"), Err("unexpected end of JSON input")),
            (json("[null]"), Err("nil target group item found (index 0)")),
            (Answer::text("[]"), Err("unsupported content type \"text/plain; version=0.0.4\"")),
            (
                Answer::status("429 Too Many Requests"),
                Err("server returned HTTP status 429 Too Many Requests"),
            ),
            (
                Answer::status("500 Internal Server Error"),
                Err("server returned HTTP status 500 Internal Server Error"),
            ),
            (
                Answer::body(
                    "application/json",
                    &["Content-Encoding: gzip"],
                    b"no gzip at all, whatever they say",
                ),
                Err("gzip: invalid header"),
            ),
        ] {
            service.answer("/sd", answer);
            let got = asker.ask().await.map(|groups| groups.len()).map_err(|error| error.message);
            assert_eq!(got, expected.map_err(str::to_owned));
        }
        assert_eq!(asker.failures.get(), 6.0);
        let targets: Vec<String> = (0..100_000).map(|n| format!("\"h{n}:9100\"")).collect();
        service.answer("/sd", json(&format!("[{{\"targets\": [{}]}}]", targets.join(","))));
        assert_eq!(asker.ask().await.unwrap()[0].targets.len(), 100_000);
    }

    #[tokio::test]
    async fn a_service_says_when_it_wants_to_be_asked_again() {
        let service = FakeTarget::start().await;
        let asker = asker(&service.url("/sd"), "refresh_interval: 90s");
        for (head, is_throttled, seconds) in [
            ("429 Too Many Requests\r\nRetry-After: 17", true, Some(17)),
            ("429 Too Many Requests", true, None),
            ("429 Too Many Requests\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT", true, None),
            ("503 Service Unavailable\r\nRetry-After: 30", false, Some(30)),
            ("500 Internal Server Error", false, None),
        ] {
            let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n");
            service.answer("/sd", Answer::Bytes(answer.into_bytes()));
            let error = asker.ask().await.unwrap_err();
            assert_eq!(error.is_throttled, is_throttled, "{head}");
            assert_eq!(error.retry_after, seconds.map(Duration::from_secs), "{head}");
        }
    }

    #[tokio::test]
    async fn a_service_that_hangs_fails_by_the_next_turn() {
        let service = FakeTarget::start().await;
        service.answer("/sd", Answer::BytesThenHang(Vec::new()));
        let url = service.url("/sd");
        let asker = asker(&url, "refresh_interval: 50ms");
        let got = tokio::time::timeout(Duration::from_secs(20), asker.ask()).await.unwrap();
        let error = got.unwrap_err();
        assert_eq!(error.message, format!("Get \"{url}\": context deadline exceeded"));
        assert_eq!((error.is_throttled, error.retry_after), (false, None));
    }
}
