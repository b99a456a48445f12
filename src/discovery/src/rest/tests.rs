//! What every provider must survive, and how the parts work together over a real connection.

use std::path::Path;

use prom_config::{LoadOptions, Sources, load_with};
use prom_telemetry::Registry;
use prom_testkit::{Answer, FakeTarget};

use super::*;

/// Asks as an entry says, with all the time in the world; `hasty` has only the interval of the entry.
pub(super) struct TestAsker {
    patient: Box<dyn RestAsker>,
    pub(super) hasty: Box<dyn RestAsker>,
}

impl std::ops::Deref for TestAsker {
    type Target = dyn RestAsker;

    fn deref(&self) -> &Self::Target {
        &*self.patient
    }
}

impl std::ops::DerefMut for TestAsker {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.patient
    }
}

/// An asker of the one entry of `sd`, a list as in a configuration; the provider's public endpoint, if it has one, is
/// the service. `URL` and `HOST` stand for the service's.
pub(super) fn asker_of(service: &FakeTarget, sd: &str) -> TestAsker {
    asker_in(service, sd, &[])
}

/// The same in an environment, which is empty otherwise.
pub(super) fn asker_in(service: &FakeTarget, sd: &str, env: &[(&str, &str)]) -> TestAsker {
    let patient = sd.replace("refresh_interval: 50ms", "refresh_interval: 1m");
    TestAsker { patient: one_asker(service, &patient, env), hasty: one_asker(service, sd, env) }
}

fn one_asker(service: &FakeTarget, sd: &str, env: &[(&str, &str)]) -> Box<dyn RestAsker> {
    let sd = sd.replace("URL", &service.url("")).replace("HOST", &service.address());
    let text = format!("scrape_configs: [{{job_name: a, {sd}}}]");
    let path = Path::new("/p/p.yml");
    let mut sources = Sources::with_text(path, text.as_bytes());
    let cfg = load_with(path, &mut sources, &LoadOptions::SERVER).unwrap();
    let mut means = Means::new("Prometheus/3.5.0", &Registry::default());
    means.endpoint = Some(service.url(""));
    means.env = crate::polled::Env::of(env);
    asker(&cfg.scrape_configs[0].discovery_configs[0], &means).unwrap().0
}

pub(super) fn json(body: &str) -> Answer {
    Answer::body("application/json", &[], body.as_bytes())
}

/// All targets with the labels of their groups, one line each, `__meta_` and the mechanism's name cut off.
pub(crate) fn lines(groups: &[TargetGroup], cut: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for group in groups {
        for target in &group.targets {
            let pairs = group.labels.iter().filter(|(name, _)| target.get(name).is_none());
            let mut pairs: Vec<_> = pairs.chain(target.iter()).collect();
            pairs.sort_unstable();
            let pairs = pairs
                .iter()
                .map(|(name, value)| format!("{}={value}", name.strip_prefix(cut).unwrap_or(name)));
            lines.push(pairs.collect::<Vec<_>>().join(" "));
        }
    }
    lines
}

/// Whatever `path` answers that is none is an error with these words, and no more than that.
pub(super) async fn survives(service: &FakeTarget, asker: &mut dyn RestAsker, path: &str) {
    for (answer, expected) in [
        (Answer::status("401 Unauthorized"), "401"),
        (Answer::status("403 Forbidden"), "403"),
        (Answer::status("404 Not Found"), "404"),
        (Answer::status("429 Too Many Requests"), "429"),
        (Answer::status("500 Internal Server Error"), "500"),
        (Answer::status("503 Service Unavailable"), "503"),
        (json(""), "unexpected end of JSON input"),
        (json("{\"a\": [{"), ""),
        (json("<html>502</html>"), "expected value"),
        (json("7"), "invalid type"),
        (json(&"[".repeat(1 << 16)), ""),
        (
            Answer::body(
                "application/json",
                &["Content-Encoding: gzip"],
                b"no gzip at all, whatever they say",
            ),
            "gzip",
        ),
        (Answer::Reset, ""),
        (Answer::BytesThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[{".to_vec()), ""),
    ] {
        service.answer(path, answer.clone());
        let error = asker.ask().await.expect_err(&format!("{answer:?}"));
        assert!(error.message.contains(expected), "{answer:?}: {error}");
    }
    let throttled = b"HTTP/1.1 429 Slow Down\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n";
    service.answer(path, Answer::Bytes(throttled.to_vec()));
    let error = asker.ask().await.unwrap_err();
    assert!(error.is_throttled);
    assert_eq!(error.retry_after, Some(Duration::from_secs(17)));
}

/// A service that hangs in its head and in its body costs no more than the interval, here 50 ms.
pub(super) async fn ends_a_hang(service: &FakeTarget, asker: &mut dyn RestAsker, path: &str) {
    for start in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[{"] {
        service.answer(path, Answer::BytesThenHang(start.as_bytes().to_vec()));
        let asked = tokio::time::timeout(Duration::from_secs(20), asker.ask()).await.unwrap();
        let error = asked.unwrap_err().message;
        assert!(error.contains("context deadline exceeded"), "{error}");
    }
}
