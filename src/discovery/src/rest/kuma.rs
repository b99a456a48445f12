//! `kuma_sd_configs`: data planes of a mesh, by xDS over REST with JSON (Kuma's MADS v1). Each request waits at
//! the server until there is something new.
//! Compat: Prometheus `discovery/xds`; <https://kuma.io/docs/latest/policies/applications-metrics>.

use std::time::Duration;

use futures_util::future::BoxFuture;
use prom_config::KumaSdConfig;
use prom_model::{Labels, LabelsBuilder, format_duration};
use prom_telemetry::{Counter, Registry, Summary, clock};
use serde_json::{Value, json};

use super::{
    AskError, Call, Refusal, RestAsker, RestClient, Rule,
    json::read_list,
    rules::{list, text},
};
use crate::{TargetGroup, group::ADDRESS, polled::Means};

const TYPE_URL: &str = "type.googleapis.com/kuma.observability.v1.MonitoringAssignment";
const PATH: &str = "/v3/discovery:monitoringassignments";
/// A request may take so much longer than the server is asked to wait.
const GRACE: Duration = Duration::from_secs(15);
const NOT_MODIFIED: u16 = 304;
/// Who asks, if the machine has no name.
const CLIENT_ID: &str = "prometheus";
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";

const REFUSAL: Refusal = Refusal {
    text: "non 200 status '{code}' response during xDS fetch",
    reason_at: "",
    is_strict: true,
};

/// Compat: Prometheus `discovery/xds/metrics.go`.
#[derive(Clone, Debug)]
pub(crate) struct KumaMetrics {
    failures: Counter,
    skipped_updates: Counter,
    duration: Summary,
}

#[derive(Debug)]
struct KumaAsker {
    client: RestClient,
    call: Call,
    client_id: String,
    /// What the server said last: with it, it knows what is new.
    version: String,
    nonce: String,
    found: Vec<TargetGroup>,
    metrics: KumaMetrics,
}

impl KumaMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            failures: registry.counter(
                "prometheus_sd_kuma_fetch_failures_total",
                "The number of Kuma MADS fetch call failures.",
            ),
            skipped_updates: registry.counter(
                "prometheus_sd_kuma_fetch_skipped_updates_total",
                "The number of Kuma MADS fetch calls that result in no updates to the targets.",
            ),
            duration: registry.summary(
                "prometheus_sd_kuma_fetch_duration_seconds",
                "The duration of a Kuma MADS fetch call.",
                &[0.5, 0.9, 0.99],
            ),
        }
    }
}

pub(super) fn asker(cfg: &KumaSdConfig, means: &Means) -> Box<dyn RestAsker> {
    let wait_ms = i64::try_from(cfg.fetch_timeout.as_millis()).unwrap_or(i64::MAX);
    let call = Call::get(&cfg.server, PATH)
        .with_parameter("fetch-timeout", &format_duration(wait_ms))
        .with_header("content-type", "application/json");
    let client_id = match cfg.client_id.as_str() {
        "" => std::fs::read_to_string(HOSTNAME_FILE).unwrap_or_default().trim().to_owned(),
        id => id.to_owned(),
    };
    Box::new(KumaAsker {
        client: RestClient::new(&cfg.http_client, cfg.fetch_timeout + GRACE, means),
        call,
        client_id: if client_id.is_empty() { CLIENT_ID.to_owned() } else { client_id },
        version: String::new(),
        nonce: String::new(),
        found: Vec::new(),
        metrics: means.kuma.clone(),
    })
}

impl RestAsker for KumaAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            match self.fetch().await {
                Ok(()) => {}
                Err(error) if error.status_code == Some(NOT_MODIFIED) => {
                    self.metrics.skipped_updates.inc();
                }
                Err(error) => {
                    self.metrics.failures.inc();
                    return Err(error);
                }
            }
            Ok(self.found.clone())
        })
    }

    fn has_refresh_metrics(&self) -> bool {
        false
    }
}

impl KumaAsker {
    async fn fetch(&mut self) -> Result<(), AskError> {
        let mut body = json!({"node": {"id": self.client_id}, "type_url": TYPE_URL});
        for (key, value) in [("version_info", &self.version), ("response_nonce", &self.nonce)] {
            if !value.is_empty() {
                body[key] = value.as_str().into();
            }
        }
        let call = Call { body: Some(body.to_string().into_bytes()), ..self.call.clone() };
        let began = clock::monotonic();
        let answer = self.client.fetch(&call, &REFUSAL, None).await;
        self.metrics.duration.observe((clock::monotonic() - began).as_secs_f64());
        let answer = answer?;
        let mut targets = Vec::new();
        let around = read_list(answer.body.as_slice(), "/resources", &mut |resource| {
            match text(&resource, "/@type") {
                kind if kind == TYPE_URL => take(&resource, &mut targets),
                kind => return Err(format!("unable to resolve {kind:?}")),
            }
            Ok(())
        })?;
        let type_url = either(&around, ["typeUrl", "type_url"]);
        // The server is not asked to repeat what nobody understands.
        self.version = either(&around, ["versionInfo", "version_info"]);
        self.nonce = either(&around, ["nonce", "nonce"]);
        if type_url != TYPE_URL {
            let text = "received invalid typeURL for Kuma MADS v1 Resource";
            return Err(AskError::new(format!("{text}: {type_url}")));
        }
        self.found = vec![TargetGroup { source: "kuma".into(), targets, labels: Labels::empty() }];
        Ok(())
    }
}

/// The targets of one assignment: data planes of one service.
fn take(assignment: &Value, targets: &mut Vec<Labels>) {
    let user = |thing: &Value, labels: &mut LabelsBuilder| {
        let rules = [("label_", Rule::Map("/labels"))];
        Rule::apply(&rules, "__meta_kuma_", thing, labels);
    };
    for target in list(assignment, "/targets") {
        let mut labels = LabelsBuilder::default();
        user(target, &mut labels);
        user(assignment, &mut labels);
        let name = text(target, "/name");
        let path = ["/metricsPath", "/metrics_path"].map(|at| text(target, at));
        let path = path.iter().find(|path| !path.is_empty()).map_or("", |path| path);
        for (label, value) in [
            ("__meta_kuma_mesh", &*text(assignment, "/mesh")),
            ("__meta_kuma_service", &text(assignment, "/service")),
            ("__meta_kuma_dataplane", &name),
            (ADDRESS, &text(target, "/address")),
            ("instance", &name),
            ("__scheme__", &text(target, "/scheme")),
            ("__metrics_path__", path),
        ] {
            labels.set(label, value);
        }
        targets.push(labels.build());
    }
}

/// Fields may be written in either way.
fn either(thing: &Value, names: [&str; 2]) -> String {
    let found = names.iter().find_map(|name| thing.get(name)?.as_str());
    found.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use prom_testkit::{Answer, FakeTarget};

    use super::PATH;
    use crate::rest::tests::{asker_of, json, lines, survives};

    const SD: &str = "kuma_sd_configs: [{server: 'URL', client_id: me, fetch_timeout: 50ms}]";
    const ANSWER: &str = include_str!("../../fixtures/kuma_assignments.json");

    #[tokio::test]
    async fn data_planes_are_targets_until_something_changes() {
        let service = FakeTarget::start().await;
        let not_modified = Answer::Bytes(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec());
        service.answer_in_turn(PATH, &[json(ANSWER), not_modified]);
        let mut asker = asker_of(&service, SD);
        let found = asker.ask().await.unwrap();
        assert_eq!(&*found[0].source, "kuma");
        assert_eq!(
            lines(&found, "__meta_kuma_"),
            [
                "__address__=10.1.4.32:9090 dataplane=prometheus-01 label_commit_hash=6208 label_kuma_io_zone=us-east-1 label_team_a=all \
              mesh=metrics service=prometheus __metrics_path__=/custom-metrics __scheme__=http instance=prometheus-01"
            ]
        );
        assert_eq!(asker.ask().await.unwrap(), found);
        let requests = service.requests();
        assert!(
            requests[0].starts_with(&format!("POST {PATH}?fetch-timeout=50ms HTTP")),
            "{}",
            requests[0]
        );
        let kind = "type.googleapis.com/kuma.observability.v1.MonitoringAssignment";
        assert!(
            requests[0].ends_with(&format!(r#"{{"node":{{"id":"me"}},"type_url":"{kind}"}}"#)),
            "{}",
            requests[0]
        );
        assert!(
            requests[1].contains(r#""response_nonce":"n1""#)
                && requests[1].contains(r#""version_info":"1""#)
        );
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let service = FakeTarget::start().await;
        let mut asker = asker_of(&service, SD);
        survives(&service, &mut *asker, PATH).await;
        for (answer, expected) in [
            ("{}", "received invalid typeURL for Kuma MADS v1 Resource: "),
            (r#"{"resources": [{"@type": "x"}]}"#, "unable to resolve \"x\""),
        ] {
            service.answer(PATH, json(answer));
            let error = asker.ask().await.unwrap_err().message;
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
