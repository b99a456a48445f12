//! `docker_sd_configs`: containers, one target for each port and network.

use std::{borrow::Cow, collections::HashMap};

use futures_util::future::BoxFuture;
use prom_config::DockerSdConfig;
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{Daemon, filter_parameter, merge};
use crate::{
    TargetGroup,
    group::ADDRESS,
    polled::Means,
    rest::{
        AskError, LabelRule, RestAsker,
        Rule::{self, Map, Text},
        host_port,
        rules::{int, list, text},
    },
};

static CONTAINER: [LabelRule; 6] = [
    ("id", Text("/Id")),
    ("name", Text("/Names/0")),
    ("network_mode", Text("/HostConfig/NetworkMode")),
    ("image", Text("/Image")),
    ("image_id", Text("/ImageID")),
    ("label_", Map("/Labels")),
];

#[derive(Debug)]
struct DockerAsker {
    daemon: Daemon,
    cfg: DockerSdConfig,
    filters: String,
}

/// What is kept of a container until all are known: one may use the networks of another.
#[derive(Debug)]
struct Container {
    id: String,
    is_named: bool,
    labels: LabelsBuilder,
    mode: String,
    networks: Vec<Network>,
    ports: Vec<Port>,
}

#[derive(Debug)]
struct Network {
    id: String,
    /// Empty if it has none.
    ip: String,
}

#[derive(Debug)]
struct Port {
    private: i64,
    public: i64,
    public_ip: String,
}

pub(in crate::rest) fn asker(cfg: &DockerSdConfig, means: &Means) -> Box<dyn RestAsker> {
    Box::new(DockerAsker {
        daemon: Daemon::new(&cfg.host, &cfg.http_client, cfg.refresh_interval, means),
        filters: filter_parameter(&cfg.filters),
        cfg: cfg.clone(),
    })
}

impl RestAsker for DockerAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let mut containers = Vec::new();
            let mut take = |container: Value| {
                containers.push(Container::read(&container));
                Ok(())
            };
            let listed = self.daemon.list("/containers/json", &self.filters, &mut take).await;
            listed.map_err(|error| error.during("error while listing containers"))?;
            let networks = self.daemon.networks("__meta_docker_").await;
            let networks =
                networks.map_err(|it| it.during("error while computing network labels"))?;
            let by_id: HashMap<&str, &Container> =
                containers.iter().map(|it| (it.id.as_str(), it)).collect();
            let named = containers.iter().filter(|container| container.is_named);
            let targets = named.flat_map(|it| self.targets(it, &by_id, &networks)).collect();
            Ok(vec![TargetGroup { source: "Docker".into(), targets, labels: Labels::empty() }])
        })
    }
}

impl DockerAsker {
    fn targets(
        &self,
        container: &Container,
        by_id: &HashMap<&str, &Container>,
        labels_of_networks: &HashMap<String, Labels>,
    ) -> Vec<Labels> {
        let mut networks = container.networks_of(by_id);
        if self.cfg.match_first_network {
            // They are sorted by name.
            networks = networks.get(..1).unwrap_or_default();
        }
        let mut targets = Vec::new();
        for network in networks {
            let mut common = container.labels.clone();
            merge(&mut common, labels_of_networks.get(&network.id));
            common.set("__meta_docker_network_ip", &network.ip);
            for port in &container.ports {
                let mut labels = common.clone();
                labels.set("__meta_docker_port_private", &port.private.to_string());
                if port.public > 0 {
                    labels.set("__meta_docker_port_public", &port.public.to_string());
                    labels.set("__meta_docker_port_public_ip", &port.public_ip);
                }
                labels.set(ADDRESS, &host_port(&network.ip, port.private));
                targets.push(labels.build());
            }
            if container.ports.is_empty() {
                let address = match container.mode.as_str() {
                    "host" => self.cfg.host_networking_host.clone(),
                    _ => host_port(&network.ip, self.cfg.port),
                };
                common.set(ADDRESS, &address);
                targets.push(common.build());
            }
        }
        targets
    }
}

impl Container {
    fn read(container: &Value) -> Self {
        let mut labels = LabelsBuilder::default();
        Rule::apply(&CONTAINER, "__meta_docker_container_", container, &mut labels);
        let networks = container.pointer("/NetworkSettings/Networks").and_then(Value::as_object);
        let networks = networks.into_iter().flatten().filter(|(_, network)| !network.is_null());
        let ports = list(container, "/Ports").iter().filter(|port| text(port, "/Type") == "tcp");
        Self {
            id: text(container, "/Id").into_owned(),
            is_named: !list(container, "/Names").is_empty(),
            labels,
            mode: text(container, "/HostConfig/NetworkMode").into_owned(),
            networks: networks.map(|(_, network)| Network::read(network)).collect(),
            ports: ports.map(Port::read).collect(),
        }
    }

    /// Its own networks, or those of the container that it is joined to, however far away.
    fn networks_of<'c>(&'c self, by_id: &HashMap<&str, &'c Self>) -> &'c [Network] {
        let mut container = self;
        // Whoever is joined in a circle has none; no chain is longer than there are containers.
        for _ in 0..by_id.len() {
            let joined =
                container.mode.strip_prefix("container:").filter(|_| container.networks.is_empty());
            match joined.and_then(|id| by_id.get(id)) {
                Some(other) => container = other,
                None => break,
            }
        }
        &container.networks
    }
}

impl Network {
    fn read(network: &Value) -> Self {
        let ips = ["/IPAddress", "/GlobalIPv6Address"].map(|at| text(network, at));
        let ip = ips.into_iter().find(|ip| !ip.is_empty()).map(Cow::into_owned);
        Self { id: text(network, "/NetworkID").into_owned(), ip: ip.unwrap_or_default() }
    }
}

impl Port {
    fn read(port: &Value) -> Self {
        Self {
            private: int(port, "/PrivatePort"),
            public: int(port, "/PublicPort"),
            public_ip: text(port, "/IP").into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use prom_testkit::FakeTarget;

    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

    const NETWORKS: &str = include_str!("../../../fixtures/docker_networks.json");
    const CONTAINERS: &str = include_str!("../../../fixtures/docker_containers.json");
    const SD: &str = "docker_sd_configs: [{host: 'tcp://HOST', refresh_interval: 50ms, filters: [{name: name, values: [a]}]}]";

    #[tokio::test]
    async fn ports_of_containers_are_targets() {
        let service = FakeTarget::start().await;
        // A network that is null, of which the original dies, is none.
        let containers = CONTAINERS.replacen("\"Networks\": {", "\"Networks\": {\"a\": null,", 1);
        // Nor has a container any that is joined to itself, in which the original runs in a circle.
        let circle = r#"[{"Id": "dead", "Names": ["/c"], "HostConfig": {"NetworkMode": "container:dead"}},
            {"Id": "six", "Names": ["/six"], "HostConfig": {"NetworkMode": "x"},
             "NetworkSettings": {"Networks": {"x": {"NetworkID": "net-x", "GlobalIPv6Address": "fd00::3"}}}},"#;
        let containers = containers.replacen('[', circle, 1);
        service.answer("/containers/json", json(&containers));
        service.answer("/networks", json(NETWORKS));
        let found = asker_of(&service, SD).ask().await.unwrap();
        assert_eq!(&*found[0].source, "Docker");
        let web = "container_id=c301 container_image=nginx container_image_id=sha256:1 container_label_com_docker_compose_project=sd \
                   container_name=/web container_network_mode=dockersd_private network_id=net-a network_ingress=false network_internal=false \
                   network_ip=172.19.0.3 network_label_a_b=c network_name=dockersd_private network_scope=local";
        let net = "network_id=net-a network_ingress=false network_internal=false network_ip=172.19.0.3 network_label_a_b=c \
                   network_name=dockersd_private network_scope=local";
        assert_eq!(
            lines(&found, "__meta_docker_"),
            [
                "__address__=[fd00::3]:80 container_id=six container_name=/six container_network_mode=x network_ip=fd00::3".to_owned(),
                format!("__address__=172.19.0.3:443 {web} port_private=443 port_public=8443 port_public_ip=0.0.0.0"),
                format!("__address__=172.19.0.3:80 {web} port_private=80"),
                format!("__address__=172.19.0.3:80 container_id=6d11 container_name=/joined container_network_mode=container:0000 {net}"),
                format!("__address__=172.19.0.3:80 container_id=0000 container_name=/joined_too container_network_mode=container:c301 {net}"),
                "__address__=localhost container_id=host container_name=/exporter container_network_mode=host".to_owned(),
            ]
        );
        assert!(service.requests()[0].starts_with(
            "GET /containers/json?filters=%7B%22name%22%3A%7B%22a%22%3Atrue%7D%7D HTTP"
        ));
    }

    #[tokio::test]
    async fn a_daemon_may_listen_on_a_unix_socket() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let answer_all = async {
            loop {
                let mut stream = listener.accept().await.unwrap().0;
                let mut head = [0; 4096];
                let size = stream.read(&mut head).await.unwrap();
                let is_networks = head[..size].starts_with(b"GET /networks ");
                let body = if is_networks { NETWORKS } else { CONTAINERS };
                let size = body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let service = FakeTarget::start().await;
        let sd = format!("docker_sd_configs: [{{host: 'unix://{}'}}]", path.display());
        let mut asker = asker_of(&service, &sd);
        let found = tokio::select! {
            found = asker.ask() => found.unwrap(),
            () = answer_all => panic!("it never ends"),
        };
        assert_eq!(found[0].targets.len(), 5);
    }

    #[tokio::test]
    async fn all_networks_are_targets_if_wanted() {
        let service = FakeTarget::start().await;
        service.answer("/containers/json", json(CONTAINERS));
        service.answer("/networks", json(NETWORKS));
        let sd = SD.replace("filters", "match_first_network: false, filters");
        let found = asker_of(&service, &sd).ask().await.unwrap();
        let addresses: Vec<_> =
            found[0].targets.iter().filter_map(|it| it.get("__address__")).collect();
        assert_eq!(
            addresses[..4],
            ["172.19.0.3:443", "172.19.0.3:80", "10.2.0.2:443", "10.2.0.2:80"]
        );
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let service = FakeTarget::start().await;
        service.answer("/networks", json("[]"));
        service.answer("/containers/json", json("[]"));
        let mut asker = asker_of(&service, SD);
        for path in ["/networks", "/containers/json"] {
            survives(&service, &mut *asker, path).await;
            ends_a_hang(&service, &mut *asker.hasty, path).await;
        }
        let error = asker.hasty.ask().await.unwrap_err().message;
        assert!(error.starts_with("error while listing containers: "), "{error}");
    }
}
