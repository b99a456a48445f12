//! `uyuni_sd_configs`: exporters of the systems that Uyuni or SUSE Manager monitors, by XML-RPC.
//! Compat: Prometheus `discovery/uyuni`; <https://www.uyuni-project.org/uyuni-docs-api/uyuni>.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use prom_config::UyuniSdConfig;
use prom_model::{Labels, LabelsBuilder};
use prom_telemetry::clock;

use super::{
    AskError, Call, Refusal, RestAsker, RestClient,
    xml::{Element, read_list},
};
use crate::{TargetGroup, group::ADDRESS, polled::Means};

/// How long a login is good for; it is renewed after half of that.
const TOKEN_DURATION: Duration = Duration::from_secs(600);
/// The elements of the list that an answer is.
const LIST: [&str; 6] = ["params", "param", "value", "array", "data", "value"];

const REFUSAL: Refusal =
    Refusal { text: "request error: bad status code - {code}", ..Refusal::plain("") };

#[derive(Debug)]
struct UyuniAsker {
    client: RestClient,
    cfg: UyuniSdConfig,
    url: String,
    token: Option<Token>,
}

struct Token {
    text: String,
    renewed_at: Instant,
}

/// What an answer says of one system.
#[derive(Clone, Debug, Default)]
struct System {
    groups: Vec<String>,
    hostname: String,
    primary_fqdn: String,
}

pub(super) fn asker(cfg: &UyuniSdConfig, means: &Means) -> Box<dyn RestAsker> {
    Box::new(UyuniAsker {
        client: RestClient::new(&cfg.http_client, cfg.refresh_interval, means),
        url: format!("{}/rpc/api", cfg.server.trim_end_matches('/')),
        cfg: cfg.clone(),
        token: None,
    })
}

impl RestAsker for UyuniAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let token = match self.token.take_if(|token| clock::monotonic() < token.renewed_at) {
                Some(token) => token,
                None => {
                    self.login().await.map_err(|it| it.during("unable to login to Uyuni API"))?
                }
            };
            // A login that does not serve is not used again.
            let targets = self.targets(&token.text).await?;
            self.token = Some(token);
            let source = self.url.as_str().into();
            Ok(vec![TargetGroup { source, targets, labels: Labels::empty() }])
        })
    }
}

impl UyuniAsker {
    async fn login(&self) -> Result<Token, AskError> {
        let seconds = TOKEN_DURATION.as_secs();
        let (username, password) = (string(&self.cfg.username), string(self.cfg.password.reveal()));
        let parameters = [username, password, format!("<int>{seconds}</int>")];
        let mut text = String::new();
        self.call("auth.login", &parameters, |answer| {
            text = answer.children.iter().fold(answer, |_, child| child).text.trim().to_owned();
        })
        .await?;
        Ok(Token { text, renewed_at: clock::monotonic() + TOKEN_DURATION / 2 })
    }

    async fn targets(&self, token: &str) -> Result<Vec<Labels>, AskError> {
        let mut systems = BTreeMap::<i64, System>::new();
        let name = "system.listSystemGroupsForSystemsWithEntitlement";
        let parameters = [string(token), string(&self.cfg.entitlement)];
        let called = self.list(name, &parameters, |system| {
            let groups = member(system, "system_groups").map(elements).unwrap_or_default();
            let groups = groups.iter().map(|group| text(group, "name").to_owned()).collect();
            systems.insert(number(system, "id"), System { groups, ..System::default() });
        });
        called.await.map_err(|error| {
            error.during("unable to get the managed system groups information of monitored clients")
        })?;
        let ids = systems.keys().map(|id| format!("<value><int>{id}</int></value>"));
        let ids = format!("<array><data>{}</data></array>", ids.collect::<String>());
        let parameters = [string(token), ids];
        let mut endpoints = Vec::new();
        let called = self.list("system.monitoring.listEndpoints", &parameters, |endpoint| {
            endpoints.push((
                number(endpoint, "system_id"),
                labels(endpoint),
                number(endpoint, "port"),
            ));
        });
        called.await.map_err(|error| error.during("unable to get endpoints information"))?;
        let called = self.list("system.getNetworkForSystems", &parameters, |network| {
            let system = systems.entry(number(network, "system_id")).or_default();
            system.hostname = text(network, "hostname").to_owned();
            system.primary_fqdn = text(network, "primary_fqdn").to_owned();
        });
        let called = called.await;
        called.map_err(|it| it.during("unable to get the systems network information"))?;
        let target = |(id, mut labels, port): (i64, LabelsBuilder, i64)| {
            let system = systems.get(&id).cloned().unwrap_or_default();
            labels.set(ADDRESS, &format!("{}:{port}", system.hostname));
            labels.set("__meta_uyuni_system_id", &id.to_string());
            labels.set("__meta_uyuni_minion_hostname", &system.hostname);
            labels.set("__meta_uyuni_primary_fqdn", &system.primary_fqdn);
            labels.set("__meta_uyuni_groups", &system.groups.join(&self.cfg.separator));
            labels.build()
        };
        Ok(endpoints.into_iter().map(target).collect())
    }

    /// Calls a procedure that answers with a list of structures.
    async fn list(
        &self,
        name: &str,
        parameters: &[String],
        mut each: impl FnMut(&Element<'_>) + Send,
    ) -> Result<(), AskError> {
        let answer = self.post(name, parameters).await?;
        let read = read_list(answer.body.as_slice(), &LIST, &mut |value| {
            each(&value);
            Ok(())
        });
        Ok(check_fault(&read?)?)
    }

    /// Calls a procedure that answers with one value.
    async fn call(
        &self,
        name: &str,
        parameters: &[String],
        take: impl FnOnce(&Element<'_>),
    ) -> Result<(), AskError> {
        let answer = self.post(name, parameters).await?;
        let root = read_list(answer.body.as_slice(), &[], &mut |_| Ok(()))?;
        check_fault(&root)?;
        let value = ["params", "param", "value"].iter().try_fold(&root, |at, name| at.child(name));
        take(value.ok_or_else(|| AskError::new("invalid response: missing value"))?);
        Ok(())
    }

    async fn post(
        &self,
        name: &str,
        parameters: &[String],
    ) -> Result<super::client::Answer, AskError> {
        let parameters = parameters.iter().map(|it| format!("<param><value>{it}</value></param>"));
        let parameters: String = parameters.collect();
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <methodCall><methodName>{name}</methodName><params>{parameters}</params></methodCall>"
        );
        let call = Call::get(&self.url, "")
            .with_header("accept", "text/xml")
            .with_header("content-type", "text/xml");
        let call = Call { body: Some(body.into_bytes()), ..call };
        self.client.fetch(&call, &REFUSAL, None).await
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("renewed_at", &self.renewed_at).finish_non_exhaustive()
    }
}

/// Those that the endpoint itself knows.
fn labels(endpoint: &Element<'_>) -> LabelsBuilder {
    let mut labels = LabelsBuilder::default();
    let is_tls = matches!(text(endpoint, "tls_enabled"), "1" | "true");
    for (name, value) in [
        ("endpoint_name", text(endpoint, "endpoint_name")),
        ("exporter", text(endpoint, "exporter_name")),
        ("proxy_module", text(endpoint, "module")),
        ("metrics_path", text(endpoint, "path")),
        ("scheme", if is_tls { "https" } else { "http" }),
    ] {
        labels.set(&format!("__meta_uyuni_{name}"), value);
    }
    labels
}

fn check_fault(root: &Element<'_>) -> Result<(), String> {
    let Some(fault) = root.child("fault").and_then(|fault| fault.child("value")) else {
        return match root.name.as_str() {
            "methodResponse" => Ok(()),
            other => Err(format!("invalid response: {other}")),
        };
    };
    let (code, reason) = (number(fault, "faultCode"), text(fault, "faultString"));
    Err(format!("Fault({code}): {reason}"))
}

/// The value of a member of a structure.
fn member<'e, 't>(value: &'e Element<'t>, name: &str) -> Option<&'e Element<'t>> {
    let members = value.child("struct")?.children.iter();
    members.into_iter().find(|member| member.text_of("name") == name)?.child("value")
}

fn elements<'e, 't>(value: &'e Element<'t>) -> &'e [Element<'t>] {
    let data = value.child("array").and_then(|array| array.child("data"));
    data.map_or(&[], |data| &data.children)
}

/// The text of a member, whatever its type.
fn text<'e>(value: &'e Element<'_>, name: &str) -> &'e str {
    let Some(value) = member(value, name) else { return "" };
    value.children.first().map_or(&*value.text, |typed| &typed.text)
}

fn number(value: &Element<'_>, name: &str) -> i64 {
    text(value, name).trim().parse().unwrap_or(0)
}

fn string(text: &str) -> String {
    format!("<string>{}</string>", quick_xml::escape::escape(text))
}

#[cfg(test)]
mod tests {
    use prom_testkit::{Answer, FakeTarget};

    use crate::rest::tests::{asker_of, ends_a_hang, lines};

    const PATH: &str = "/rpc/api";
    const SD: &str =
        "uyuni_sd_configs: [{server: 'URL', username: 'a<b', password: p, refresh_interval: 50ms}]";

    fn answers() -> [Answer; 4] {
        [
            include_str!("../../fixtures/uyuni_login.xml"),
            include_str!("../../fixtures/uyuni_groups.xml"),
            include_str!("../../fixtures/uyuni_endpoints.xml"),
            include_str!("../../fixtures/uyuni_networks.xml"),
        ]
        .map(|body| Answer::body("text/xml", &[], body.as_bytes()))
    }

    #[tokio::test]
    async fn endpoints_of_monitored_systems_are_targets() {
        let service = FakeTarget::start().await;
        let [login, groups, endpoints, networks] = answers();
        service.answer_in_turn(
            PATH,
            &[
                login,
                groups.clone(),
                endpoints.clone(),
                networks.clone(),
                groups,
                endpoints,
                networks,
            ],
        );
        let mut asker = asker_of(&service, SD);
        let found = asker.ask().await.unwrap();
        assert_eq!(&*found[0].source, service.url(PATH));
        assert_eq!(
            lines(&found, "__meta_uyuni_"),
            [
                "__address__=client:9100 endpoint_name=node & co exporter=node_exporter groups=a,b metrics_path=/metrics minion_hostname=client \
                 primary_fqdn=client.example proxy_module=m scheme=https system_id=1000010000",
                "__address__=:9187 scheme=http system_id=1000010001",
            ]
        );
        // The login is still good.
        assert_eq!(asker.ask().await.unwrap(), found);
        let requests = service.requests();
        assert_eq!(requests.len(), 7);
        assert!(requests[0].ends_with("<methodCall><methodName>auth.login</methodName><params><param><value><string>a&lt;b</string></value></param>\
            <param><value><string>p</string></value></param><param><value><int>600</int></value></param></params></methodCall>"), "{}", requests[0]);
        assert!(requests[1].contains("<string>token-1</string></value></param><param><value><string>monitoring_entitled</string>"));
        assert!(requests[2].contains("<array><data><value><int>1000010000</int></value><value><int>1000010001</int></value></data></array>"));
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let service = FakeTarget::start().await;
        let mut asker = asker_of(&service, SD);
        let fault = "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>2950</int></value></member>\
                     <member><name>faultString</name><value><string>Either the password or username is incorrect.</string></value></member></struct></value></fault></methodResponse>";
        for (answer, expected) in [
            (
                Answer::body("text/xml", &[], fault.as_bytes()),
                "Fault(2950): Either the password or username is incorrect.",
            ),
            (Answer::status("429 Slow"), "request error: bad status code - 429"),
            (Answer::text("<html></html>"), "invalid response: html"),
            (Answer::text(""), "EOF"),
        ] {
            service.answer(PATH, answer);
            let error = asker.ask().await.unwrap_err().message;
            assert_eq!(error, format!("unable to login to Uyuni API: {expected}"));
        }
        // A login that does not serve is followed by another one.
        let [login, groups, endpoints, networks] = answers();
        let broken = Answer::body("text/xml", &[], fault.as_bytes());
        service.answer_in_turn(PATH, &[login.clone(), broken, login, groups, endpoints, networks]);
        let error = asker.ask().await.unwrap_err().message;
        assert!(error.starts_with("unable to get the managed system groups information of monitored clients: Fault(2950)"), "{error}");
        assert_eq!(asker.ask().await.unwrap()[0].targets.len(), 2);
        ends_a_hang(&service, &mut *asker_of(&service, SD).hasty, PATH).await;
    }
}
