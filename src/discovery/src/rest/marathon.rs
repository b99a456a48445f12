//! `marathon_sd_configs`: tasks of applications, a group for each application.
//! Compat: Prometheus `discovery/marathon/marathon.go`; <https://mesosphere.github.io/marathon/api-console>.

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use prom_config::MarathonSdConfig;
use prom_http_client::SmallFiles;
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{
    AskError, Call, LabelRule, Listing, Paging, Refusal, RestAsker, RestClient,
    Rule::{self, Map, Text},
    host_port,
    rules::{flag, int, list, text},
    sanitized,
};
use crate::{TargetGroup, group::ADDRESS, polled::Means};

const PATH: &str = "/v2/apps/?embed=apps.tasks";
/// A larger file holds no token.
const TOKEN_SIZE_BYTES_MAX: usize = 64 << 10;

const LISTING: Listing = Listing {
    at: "/apps",
    paging: Paging::Single,
    refusal: Refusal {
        text: "non 2xx status '{code}' response during marathon service discovery",
        ..Refusal::plain("/message")
    },
};

static APP: [LabelRule; 3] = [
    ("app", Text("/id")),
    ("image", Text("/container/docker/image")),
    ("app_label_", Map("/labels")),
];

#[derive(Debug)]
struct MarathonAsker {
    client: RestClient,
    files: Arc<SmallFiles>,
    servers: Vec<String>,
    /// Of the servers: they take turns.
    turn: usize,
    token: Token,
}

#[derive(Debug)]
enum Token {
    None,
    Inline(prom_config::Secret),
    File(PathBuf),
}

/// A port that all tasks of an application have.
struct Port<'a> {
    /// 0 if each task has its own.
    number: i64,
    labels: Option<&'a serde_json::Map<String, Value>>,
}

pub(super) fn asker(cfg: &MarathonSdConfig, means: &Means) -> Box<dyn RestAsker> {
    let token = match (cfg.auth_token.is_empty(), cfg.auth_token_file.as_os_str().is_empty()) {
        (false, _) => Token::Inline(cfg.auth_token.clone()),
        (true, false) => Token::File(cfg.auth_token_file.clone()),
        (true, true) => Token::None,
    };
    let client = RestClient::new(&cfg.http_client, cfg.refresh_interval, means);
    Box::new(MarathonAsker {
        client,
        servers: cfg.servers.clone(),
        turn: 0,
        token,
        files: Arc::clone(&means.files),
    })
}

impl RestAsker for MarathonAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let server = self.servers.get(self.turn % self.servers.len().max(1));
            let server = server.ok_or_else(|| AskError::new("no server"))?;
            self.turn = self.turn.wrapping_add(1);
            // Slashes at the end count: the path is added as it is.
            let mut call = Call::get(server, PATH);
            if let Some(token) = self.token.read(&self.files).await? {
                call = call.with_header("authorization", format!("token={token}"));
            }
            let mut groups = Vec::new();
            let mut take = |app: Value| {
                groups.push(group(&app));
                Ok(())
            };
            let asked = self.client.list(&call, &LISTING, &mut take).await;
            // Compat: what is wrong with the JSON is told with the address.
            asked.map_err(|error| match error.status_code {
                Some(_) => error,
                None => error.during(prom_model::quote_go(&call.url)),
            })?;
            Ok(groups)
        })
    }
}

impl Token {
    /// The one of this moment.
    async fn read(&self, files: &SmallFiles) -> Result<Option<String>, AskError> {
        let file = match self {
            Self::None => return Ok(None),
            Self::Inline(token) => return Ok(Some(token.reveal().to_owned())),
            Self::File(file) => file,
        };
        let text = files.read_text(file, TOKEN_SIZE_BYTES_MAX).await.map_err(|error| {
            AskError::new(format!("unable to read auth token file {}: {error}", file.display()))
        })?;
        Ok(Some(text.trim().to_owned()))
    }
}

fn group(app: &Value) -> TargetGroup {
    let mut labels = LabelsBuilder::default();
    Rule::apply(&APP, "__meta_marathon_", app, &mut labels);
    let source: &str = &text(app, "/id");
    TargetGroup { source: source.into(), targets: targets(app), labels: labels.build() }
}

/// A target for each port of each task. A port of a task that its application does not name is its own: here
/// the original gives the ports of the first task to all others.
fn targets(app: &Value) -> Vec<Labels> {
    let is_container_net = text(app, "/networks/0/mode") == "container";
    let (ports, prefix) = ports(app, is_container_net);
    let mut targets = Vec::new();
    for task in list(app, "/tasks") {
        let own: Vec<i64> =
            list(task, "/ports").iter().map(|port| port.as_i64().unwrap_or(0)).collect();
        let ips = list(task, "/ipAddresses");
        let host: Cow<'_, str> = match ips {
            [first, ..] if is_container_net => text(first, "/ipAddress"),
            _ => text(task, "/host"),
        };
        let count = if ports.is_empty() { own.len() } else { ports.len() };
        for index in 0..count {
            let port = ports.get(index);
            let number = port.map_or(0, |port| port.number);
            let own_number = own.get(index).filter(|_| own.len() == count);
            let number = if number == 0 { own_number.copied().unwrap_or(0) } else { number };
            let mut labels = LabelsBuilder::default();
            labels.set(ADDRESS, &host_port(&host, number));
            labels.set("__meta_marathon_task", &text(task, "/id"));
            labels.set("__meta_marathon_port_index", &index.to_string());
            for (key, value) in port.and_then(|port| port.labels).into_iter().flatten() {
                let name = format!("{prefix}{}", sanitized(key));
                labels.set(&name, value.as_str().unwrap_or_default());
            }
            targets.push(labels.build());
        }
    }
    targets
}

/// The ports that an application names, and how their labels begin.
fn ports(app: &Value, is_container_net: bool) -> (Vec<Port<'_>>, &'static str) {
    for at in ["/container/portMappings", "/container/docker/portMappings"] {
        let number = if is_container_net { "/containerPort" } else { "/hostPort" };
        let mappings = list(app, at).iter();
        let ports: Vec<_> =
            mappings.map(|it| Port { number: int(it, number), labels: labels_of(it) }).collect();
        if !ports.is_empty() {
            return (ports, "__meta_marathon_port_mapping_label_");
        }
    }
    let is_fixed = flag(app, "/requirePorts");
    let definitions = list(app, "/portDefinitions").iter().map(|definition| Port {
        number: if is_fixed { int(definition, "/port") } else { 0 },
        labels: labels_of(definition),
    });
    (definitions.collect(), "__meta_marathon_port_definition_label_")
}

fn labels_of(port: &Value) -> Option<&serde_json::Map<String, Value>> {
    port.get("labels")?.as_object()
}

#[cfg(test)]
mod tests {
    use prom_testkit::FakeTarget;

    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

    const PATH: &str = "/v2/apps/";
    const SD: &str =
        "marathon_sd_configs: [{servers: ['URL'], auth_token: abc, refresh_interval: 50ms}]";

    async fn check(app: &str, expected: &[&str]) {
        let service = FakeTarget::start().await;
        service.answer(PATH, json(&format!("{{\"apps\": [{app}]}}")));
        let found = asker_of(&service, SD).ask().await.unwrap();
        assert_eq!(lines(&found, "__meta_marathon_"), expected, "{app}");
        let request = &service.requests()[0];
        assert!(request.starts_with("GET /v2/apps/?embed=apps.tasks HTTP"), "{request}");
        assert!(request.contains("authorization: token=abc"), "{request}");
    }

    #[tokio::test]
    async fn tasks_are_targets_by_the_ports_of_their_application() {
        check(
            r#"{"id": "/svc", "labels": {"owner.team": "x"}, "container": {"docker": {"image": "repo/image:tag"}},
                "portDefinitions": [{"labels": {"prometheus": "yes"}, "port": 22222}, {"port": 11111}],
                "tasks": [{"id": "t1", "host": "mesos-1", "ports": [31000, 32000]}, {"id": "t2", "host": "mesos-2", "ports": [33000, 34000]}]}"#,
            &[
                "__address__=mesos-1:31000 app=/svc app_label_owner_team=x image=repo/image:tag port_definition_label_prometheus=yes port_index=0 task=t1",
                "__address__=mesos-1:32000 app=/svc app_label_owner_team=x image=repo/image:tag port_index=1 task=t1",
                "__address__=mesos-2:33000 app=/svc app_label_owner_team=x image=repo/image:tag port_definition_label_prometheus=yes port_index=0 task=t2",
                "__address__=mesos-2:34000 app=/svc app_label_owner_team=x image=repo/image:tag port_index=1 task=t2",
            ],
        )
        .await;
        check(
            r#"{"id": "/fixed", "requirePorts": true, "portDefinitions": [{"port": 80}], "tasks": [{"id": "t", "host": "h", "ports": [31000]}]}"#,
            &["__address__=h:80 app=/fixed port_index=0 task=t"],
        )
        .await;
        check(
            r#"{"id": "/net", "networks": [{"mode": "container", "name": "n"}],
                "container": {"portMappings": [{"containerPort": 8080, "hostPort": 31000, "labels": {"a-b": "c"}}]},
                "tasks": [{"id": "t", "host": "h", "ports": [31000], "ipAddresses": [{"ipAddress": "1.2.3.4"}]}]}"#,
            &["__address__=1.2.3.4:8080 app=/net port_index=0 port_mapping_label_a_b=c task=t"],
        )
        .await;
        check(
            r#"{"id": "/host", "container": {"docker": {"portMappings": [{"containerPort": 8080, "hostPort": 0}]}},
                "tasks": [{"id": "t", "host": "h", "ports": [31500]}]}"#,
            &["__address__=h:31500 app=/host port_index=0 task=t"],
        )
        .await;
        check(
            r#"{"id": "/own", "tasks": [{"id": "t", "host": "h", "ports": [1]}, {"id": "u", "host": "i", "ports": [2, 3]}]}"#,
            &[
                "__address__=h:1 app=/own port_index=0 task=t",
                "__address__=i:2 app=/own port_index=0 task=u",
                "__address__=i:3 app=/own port_index=1 task=u",
            ],
        )
        .await;
        check(r#"{"id": "/none", "tasks": []}"#, &[]).await;
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let service = FakeTarget::start().await;
        let mut asker = asker_of(&service, SD);
        survives(&service, &mut *asker, PATH).await;
        ends_a_hang(&service, &mut *asker.hasty, PATH).await;
    }
}
