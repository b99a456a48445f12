//! `puppetdb_sd_configs`: resources that a query in PQL finds.
//! Compat: Prometheus `discovery/puppetdb`; <https://www.puppet.com/docs/puppetdb/latest/api>.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use prom_config::PuppetDbSdConfig;
use prom_model::{Labels, LabelsBuilder, format_float_g};
use serde_json::Value;

use super::{
    Address, AskError, Call, Listing, Paging, Refusal, RestAsker, RestClient,
    Rule::{Bool, Joined, Text},
    Table, sanitized,
};
use crate::{TargetGroup, http::is_json, polled::Means};

static RESOURCES: Table = Table {
    // The address of the query in truth: see `ask`.
    source: "puppetdb",
    listing: Listing {
        at: "",
        paging: Paging::Single,
        refusal: Refusal { is_strict: true, ..Refusal::plain("") },
    },
    prefix: "__meta_puppetdb_",
    labels: &[
        ("certname", Text("/certname")),
        ("resource", Text("/resource")),
        ("type", Text("/type")),
        ("title", Text("/title")),
        ("exported", Bool("/exported")),
        ("file", Text("/file")),
        ("environment", Text("/environment")),
        ("tags", Joined("/tags", ",")),
    ],
    address: Address::Host("/certname"),
};

#[derive(Debug)]
struct PuppetDbAsker {
    client: RestClient,
    call: Call,
    query: String,
    has_parameters: bool,
    port: i64,
}

pub(super) fn asker(cfg: &PuppetDbSdConfig, means: &Means) -> Box<dyn RestAsker> {
    let query = serde_json::json!({"query": cfg.query});
    Box::new(PuppetDbAsker {
        client: RestClient::new(&cfg.http_client, cfg.refresh_interval, means),
        call: Call::post_json(&cfg.url, "/pdb/query/v4", &query),
        query: cfg.query.clone(),
        has_parameters: cfg.include_parameters,
        port: cfg.port,
    })
}

impl RestAsker for PuppetDbAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let mut targets = Vec::new();
            let listing = &RESOURCES.listing;
            let header = Some("content-type");
            let answer = self.client.fetch(&self.call, &listing.refusal, header).await?;
            let content_type = answer.header.unwrap_or_default();
            if !is_json(&content_type) {
                return Err(AskError::new(format!("unsupported content type {content_type}")));
            }
            let mut take = |resource: Value| {
                let more = |labels: &mut LabelsBuilder| {
                    labels.set("__meta_puppetdb_query", &self.query);
                    if self.has_parameters {
                        set_parameters(&resource, labels);
                    }
                };
                targets.extend(RESOURCES.target(&resource, self.port, more));
                Ok(())
            };
            super::json::read_list(answer.body.as_slice(), listing.at, &mut take)?;
            let source = format!("{}?query={}", self.call.url, self.query);
            Ok(vec![TargetGroup { source: source.into(), targets, labels: Labels::empty() }])
        })
    }
}

fn set_parameters(resource: &Value, labels: &mut LabelsBuilder) {
    let mut parameters = BTreeMap::new();
    flatten("", resource.get("parameters").unwrap_or(&Value::Null), &mut parameters);
    for (name, value) in parameters {
        labels.set(&format!("__meta_puppetdb_parameter_{name}"), &value);
    }
}

/// Objects in objects become longer names. The depth of a tree is bounded by whoever read it.
fn flatten(prefix: &str, parameters: &Value, all: &mut BTreeMap<String, String>) {
    for (key, value) in parameters.as_object().into_iter().flatten() {
        let name = format!("{prefix}{}", sanitized(key));
        match value {
            Value::Object(_) => flatten(&format!("{name}_"), value, all),
            Value::Array(list) => {
                let texts: Vec<_> = list.iter().map(|it| scalar(it).unwrap_or_default()).collect();
                all.insert(name, texts.join(","));
            }
            value => all.extend(scalar(value).map(|text| (name, text))),
        }
    }
}

/// Compat: all numbers of JSON are floats in the original.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => number.as_f64().map(format_float_g),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use prom_testkit::{Answer, FakeTarget};

    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

    const PATH: &str = "/pdb/query/v4";
    const SD: &str = "puppetdb_sd_configs: [{url: 'URL', query: 'vhosts', port: 80, include_parameters: true, refresh_interval: 50ms}]";
    const VHOSTS: &str = include_str!("../../fixtures/puppetdb_resources.json");

    #[tokio::test]
    async fn resources_are_targets() {
        let service = FakeTarget::start().await;
        service.answer(PATH, json(VHOSTS));
        let found = asker_of(&service, SD).ask().await.unwrap();
        assert_eq!(&*found[0].source, format!("{}?query=vhosts", service.url(PATH)));
        let common = "__address__=edinburgh.example.com:80 certname=edinburgh.example.com environment=prod exported=false file=/etc/upstream.pp";
        let rest = "query=vhosts resource=49af83866dc5a1518968b68e58a25319107afe11 tags=,roles::hypervisor,apache, title=prometheus-2 type=Apache::Vhost";
        let parameters = "parameter_access_log=true parameter_big=1e+21 parameter_docroot=/var/www parameter_f=1.5 parameter_labels_alias=edinburgh \
                          parameter_labels_deep_er=x parameter_list=a,1,true, parameter_n=3";
        assert_eq!(lines(&found, "__meta_puppetdb_"), [format!("{common} {parameters} {rest}")]);
        let request = &service.requests()[0];
        assert!(request.starts_with("POST /pdb/query/v4 HTTP"), "{request}");
        assert!(request.ends_with(r#"{"query":"vhosts"}"#), "{request}");
        let bare = asker_of(&service, &SD.replace("true", "false")).ask().await.unwrap();
        assert_eq!(lines(&bare, "__meta_puppetdb_"), [format!("{common} {rest}")]);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let service = FakeTarget::start().await;
        let mut asker = asker_of(&service, SD);
        survives(&service, &mut *asker, PATH).await;
        ends_a_hang(&service, &mut *asker.hasty, PATH).await;
        service.answer(PATH, Answer::body("text/html", &[], b"[]"));
        assert_eq!(asker.ask().await.unwrap_err().message, "unsupported content type text/html");
    }
}
