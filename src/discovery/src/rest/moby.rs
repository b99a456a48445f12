//! What `docker_sd_configs` and `dockerswarm_sd_configs` share: how the daemon is asked, and its networks.
//! Compat: Prometheus `discovery/moby`; <https://docs.docker.com/reference/api/engine>.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use prom_config::{DockerFilter, HttpClientConfig};
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{
    AskError, Call, LabelRule, Listing, Paging, Refusal, RestClient,
    Rule::{self, Bool, Map, Text},
    rules::text,
};
use crate::polled::Means;

pub(super) mod docker;
pub(super) mod swarm;

static NETWORK: [LabelRule; 6] = [
    ("network_id", Text("/Id")),
    ("network_name", Text("/Name")),
    ("network_scope", Text("/Scope")),
    ("network_internal", Bool("/Internal")),
    ("network_ingress", Bool("/Ingress")),
    ("network_label_", Map("/Labels")),
];

/// A list of the daemon; the version of its API is whatever it speaks, since the fields that are read are in
/// all of them.
const LISTING: Listing = Listing {
    at: "",
    paging: Paging::Single,
    refusal: Refusal { text: "Error response from daemon: {status}", ..Refusal::plain("/message") },
};

/// Asks one daemon.
#[derive(Debug)]
struct Daemon {
    client: RestClient,
    /// Or why it cannot be asked.
    place: Result<Place, String>,
}

/// Where a daemon listens.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// On a socket the host is only told to the daemon.
    base: String,
    socket: Option<PathBuf>,
}

impl Daemon {
    /// The HTTP client's block counts for `http` and `https` only, as in the original.
    fn new(
        host: &str,
        http: &HttpClientConfig,
        timeout: std::time::Duration,
        means: &Means,
    ) -> Self {
        let scheme = host.split_once("://").map_or("", |(scheme, _)| scheme);
        let plain = HttpClientConfig::default();
        let http = if matches!(scheme, "http" | "https") { http } else { &plain };
        Self { client: RestClient::new(http, timeout, means), place: place(host) }
    }

    async fn list(
        &self,
        path: &str,
        filters: &str,
        each: &mut (dyn FnMut(Value) -> Result<(), String> + Send),
    ) -> Result<(), AskError> {
        let place = self.place.as_ref().map_err(|reason| AskError::new(&**reason))?;
        let mut call = Call { socket: place.socket.clone(), ..Call::get(&place.base, path) };
        if !filters.is_empty() {
            call = call.with_parameter("filters", filters);
        }
        self.client.list(&call, &LISTING, each).await.map(drop)
    }

    /// The labels of things by their ids.
    async fn labels(
        &self,
        path: &str,
        id: &str,
        read: impl Fn(&Value) -> Labels + Send + Sync,
    ) -> Result<HashMap<String, Labels>, AskError> {
        let mut all = HashMap::new();
        let mut take = |thing: Value| {
            all.insert(text(&thing, id).into_owned(), read(&thing));
            Ok(())
        };
        self.list(path, "", &mut take).await?;
        Ok(all)
    }

    async fn networks(&self, prefix: &str) -> Result<HashMap<String, Labels>, AskError> {
        self.labels("/networks", "/Id", |network| {
            let mut labels = LabelsBuilder::default();
            Rule::apply(&NETWORK, prefix, network, &mut labels);
            labels.build()
        })
        .await
    }
}

/// `filters` as the daemon takes them; empty for none.
fn filter_parameter(filters: &[DockerFilter]) -> String {
    let mut by_name = BTreeMap::<&str, BTreeMap<&str, bool>>::new();
    for filter in filters {
        let values = filter.values.iter().map(|value| (value.as_str(), true));
        by_name.entry(&filter.name).or_default().extend(values);
    }
    by_name.retain(|_, values| !values.is_empty());
    if by_name.is_empty() { String::new() } else { serde_json::json!(by_name).to_string() }
}

/// Where a host of the configuration is.
fn place(host: &str) -> Result<Place, String> {
    let at = |base: String| Ok(Place { base, socket: None });
    match host.split_once("://") {
        Some(("http" | "https", _)) => at(host.to_owned()),
        Some(("tcp", address)) => at(format!("http://{address}")),
        Some(("unix", path)) => {
            Ok(Place { base: "http://localhost".to_owned(), socket: Some(path.into()) })
        }
        Some((scheme, _)) => Err(format!("protocol not supported: {scheme}")),
        None => Err(format!("unable to parse docker host `{host}`")),
    }
}

/// Adds labels; they win over those of before.
fn merge(labels: &mut LabelsBuilder, more: Option<&Labels>) {
    for (name, value) in more.into_iter().flat_map(Labels::iter) {
        labels.set(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_filters_are_written_as_the_daemon_takes_them() {
        let at = |base: &str, socket: Option<&str>| {
            Ok(Place { base: base.to_owned(), socket: socket.map(PathBuf::from) })
        };
        assert_eq!(place("tcp://10.0.0.1:2375"), at("http://10.0.0.1:2375", None));
        assert_eq!(place("https://d:2376/x"), at("https://d:2376/x", None));
        assert_eq!(place("unix:///run/d.sock"), at("http://localhost", Some("/run/d.sock")));
        assert!(place("npipe:////./pipe/docker").is_err());
        assert!(place("localhost").is_err());
        let filter = |name: &str, values: &[&str]| DockerFilter {
            name: name.to_owned(),
            values: values.iter().map(|&it| it.to_owned()).collect(),
        };
        assert_eq!(filter_parameter(&[]), "");
        assert_eq!(filter_parameter(&[filter("name", &[])]), "");
        assert_eq!(
            filter_parameter(&[
                filter("name", &["b", "a"]),
                filter("label", &["x=y"]),
                filter("name", &["c"])
            ]),
            r#"{"label":{"x=y":true},"name":{"a":true,"b":true,"c":true}}"#
        );
    }
}
