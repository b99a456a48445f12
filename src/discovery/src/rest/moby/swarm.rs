//! `dockerswarm_sd_configs`: services, tasks or nodes of a swarm.

use std::collections::HashMap;

use futures_util::future::BoxFuture;
use prom_config::DockerSwarmSdConfig;
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{Daemon, filter_parameter, merge};
use crate::{
    TargetGroup,
    group::ADDRESS,
    polled::Means,
    rest::{
        AskError, LabelRule, RestAsker,
        Rule::{self, Code, Int, Map, Text},
        host_port,
        rules::{flag, int, list, text, texts},
    },
};

const PREFIX: &str = "__meta_dockerswarm_";
const NODE_ADDRESS: &str = "__meta_dockerswarm_node_address";
const PORT_MODE: &str = "__meta_dockerswarm_task_port_publish_mode";

/// Of nodes, and of the tasks on them.
static NODE: [LabelRule; 9] = [
    ("node_id", Text("/ID")),
    ("node_role", Text("/Spec/Role")),
    ("node_availability", Text("/Spec/Availability")),
    ("node_hostname", Text("/Description/Hostname")),
    ("node_platform_architecture", Text("/Description/Platform/Architecture")),
    ("node_platform_os", Text("/Description/Platform/OS")),
    ("node_status", Text("/Status/State")),
    ("node_address", Text("/Status/Addr")),
    ("node_label_", Map("/Spec/Labels")),
];

/// Of nodes alone.
static NODE_MORE: [LabelRule; 4] = [
    ("node_engine_version", Text("/Description/Engine/EngineVersion")),
    ("node_manager_address", Text("/ManagerStatus/Addr")),
    ("node_manager_reachability", Text("/ManagerStatus/Reachability")),
    ("node_manager_leader", Code(manager_leader)),
];

/// Of services, and of their tasks.
static SERVICE: [LabelRule; 4] = [
    ("service_id", Text("/ID")),
    ("service_name", Text("/Spec/Name")),
    ("service_mode", Code(service_mode)),
    ("service_label_", Map("/Spec/Labels")),
];

/// Of services alone.
static SERVICE_MORE: [LabelRule; 3] = [
    ("service_task_container_hostname", Text("/Spec/TaskTemplate/ContainerSpec/Hostname")),
    ("service_task_container_image", Text("/Spec/TaskTemplate/ContainerSpec/Image")),
    ("service_updating_status", Text("/UpdateStatus/State")),
];

static TASK: [LabelRule; 6] = [
    ("task_id", Text("/ID")),
    ("task_desired_state", Text("/DesiredState")),
    ("task_state", Text("/Status/State")),
    ("task_slot", Int("/Slot")),
    ("task_container_id", Text("/Status/ContainerStatus/ContainerID")),
    ("container_label_", Map("/Spec/ContainerSpec/Labels")),
];

#[derive(Debug)]
struct SwarmAsker {
    daemon: Daemon,
    cfg: DockerSwarmSdConfig,
    filters: String,
}

/// A port that a service publishes.
#[derive(Clone, Debug)]
struct Port {
    published: i64,
    name: String,
    mode: String,
}

/// What is known of the things that tasks refer to.
struct Surroundings {
    services: HashMap<String, Labels>,
    ports: HashMap<String, Vec<Port>>,
    nodes: HashMap<String, Labels>,
    networks: HashMap<String, Labels>,
}

pub(in crate::rest) fn asker(cfg: &DockerSwarmSdConfig, means: &Means) -> Box<dyn RestAsker> {
    Box::new(SwarmAsker {
        daemon: Daemon::new(&cfg.host, &cfg.http_client, cfg.refresh_interval, means),
        filters: filter_parameter(&cfg.filters),
        cfg: cfg.clone(),
    })
}

impl RestAsker for SwarmAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let targets = match self.cfg.role.as_str() {
                "services" => self.services().await?,
                "tasks" => self.tasks().await?,
                _ => self.nodes().await?,
            };
            Ok(vec![TargetGroup { source: "DockerSwarm".into(), targets, labels: Labels::empty() }])
        })
    }
}

impl SwarmAsker {
    async fn nodes(&self) -> Result<Vec<Labels>, AskError> {
        let mut targets = Vec::new();
        let mut take = |node: Value| {
            let mut labels = labels(&[&NODE, &NODE_MORE], &node);
            labels.set(ADDRESS, &host_port(&text(&node, "/Status/Addr"), self.cfg.port));
            targets.push(labels.build());
            Ok(())
        };
        let listed = self.daemon.list("/nodes", &self.filters, &mut take).await;
        listed.map_err(|error| error.during("error while listing swarm nodes"))?;
        Ok(targets)
    }

    async fn services(&self) -> Result<Vec<Labels>, AskError> {
        let networks = self.networks().await?;
        let mut targets = Vec::new();
        let mut take = |service: Value| {
            let common = labels(&[&SERVICE, &SERVICE_MORE], &service);
            let ports = ports(&service, "/Endpoint/Ports");
            for ip in list(&service, "/Endpoint/VirtualIPs") {
                let host = host_of_block(&text(ip, "/Addr"))?;
                let mut common = common.clone();
                merge(&mut common, networks.get(&*text(ip, "/NetworkID")));
                for port in &ports {
                    let mut labels = common.clone();
                    labels.set("__meta_dockerswarm_service_endpoint_port_name", &port.name);
                    let mode = "__meta_dockerswarm_service_endpoint_port_publish_mode";
                    labels.set(mode, &port.mode);
                    labels.set(ADDRESS, &host_port(&host, port.published));
                    targets.push(labels.build());
                }
                if ports.is_empty() {
                    common.set(ADDRESS, &host_port(&host, self.cfg.port));
                    targets.push(common.build());
                }
            }
            Ok(())
        };
        let listed = self.daemon.list("/services", &self.filters, &mut take).await;
        listed.map_err(|error| error.during("error while listing swarm services"))?;
        Ok(targets)
    }

    async fn tasks(&self) -> Result<Vec<Labels>, AskError> {
        let around = self.surroundings().await?;
        let mut targets = Vec::new();
        let mut take = |task: Value| self.take_task(&task, &around, &mut targets);
        let listed = self.daemon.list("/tasks", &self.filters, &mut take).await;
        // Compat: the original says services here.
        listed.map_err(|error| error.during("error while listing swarm services"))?;
        Ok(targets)
    }

    async fn surroundings(&self) -> Result<Surroundings, AskError> {
        let (mut services, mut ports_of) = (HashMap::new(), HashMap::new());
        let mut take = |service: Value| {
            let id = text(&service, "/ID").into_owned();
            ports_of.insert(id.clone(), ports(&service, "/Endpoint/Ports"));
            services.insert(id, labels(&[&SERVICE], &service).build());
            Ok(())
        };
        let listed = self.daemon.list("/services", "", &mut take).await;
        listed.map_err(|it| it.during("error while computing services labels and ports"))?;
        let nodes =
            self.daemon.labels("/nodes", "/ID", |node| labels(&[&NODE], node).build()).await;
        let nodes = nodes.map_err(|it| {
            it.during("error while listing swarm nodes")
                .during("error while computing nodes labels and ports")
        })?;
        Ok(Surroundings { services, ports: ports_of, nodes, networks: self.networks().await? })
    }

    async fn networks(&self) -> Result<HashMap<String, Labels>, AskError> {
        let networks = self.daemon.networks(PREFIX).await;
        networks.map_err(|error| error.during("error while computing swarm network labels"))
    }

    /// A target for each port that a task publishes itself, and for each of its addresses.
    fn take_task(
        &self,
        task: &Value,
        around: &Surroundings,
        targets: &mut Vec<Labels>,
    ) -> Result<(), String> {
        let service = text(task, "/ServiceID");
        let mut common = labels(&[&TASK], task);
        merge(&mut common, around.services.get(&*service));
        merge(&mut common, around.nodes.get(&*text(task, "/NodeID")));
        let with_port = |common: &LabelsBuilder, host: &str, port: &Port| {
            let mut labels = common.clone();
            labels.set(PORT_MODE, &port.mode);
            labels.set(ADDRESS, &host_port(host, port.published));
            labels.build()
        };
        let node_address = common.get(NODE_ADDRESS).to_owned();
        for port in &ports(task, "/Status/PortStatus/Ports") {
            targets.push(with_port(&common, &node_address, port));
        }
        let ports = around.ports.get(&*service).map_or(&[][..], Vec::as_slice);
        for network in list(task, "/NetworksAttachments") {
            let mut common = common.clone();
            merge(&mut common, around.networks.get(&*text(network, "/Network/ID")));
            for address in texts(network, "/Addresses") {
                let host = host_of_block(&address)?;
                targets.extend(ports.iter().map(|port| with_port(&common, &host, port)));
                if ports.is_empty() {
                    let mut labels = common.clone();
                    labels.set(ADDRESS, &host_port(&host, self.cfg.port));
                    targets.push(labels.build());
                }
            }
        }
        Ok(())
    }
}

fn labels(rules: &[&[LabelRule]], thing: &Value) -> LabelsBuilder {
    let mut labels = LabelsBuilder::default();
    for rules in rules {
        Rule::apply(rules, PREFIX, thing, &mut labels);
    }
    labels
}

/// Those of TCP.
fn ports(thing: &Value, at: &str) -> Vec<Port> {
    let ports = list(thing, at).iter().filter(|port| text(port, "/Protocol") == "tcp");
    let read = |port: &Value| Port {
        published: int(port, "/PublishedPort"),
        name: text(port, "/Name").into_owned(),
        mode: text(port, "/PublishMode").into_owned(),
    };
    ports.map(read).collect()
}

/// `10.0.0.5/24` without its mask.
fn host_of_block(block: &str) -> Result<String, String> {
    let host = block.split_once('/').map(|(host, _)| host);
    let host = host.filter(|host| host.parse::<std::net::IpAddr>().is_ok());
    let unreadable =
        || format!("error while parsing address {block}: invalid CIDR address: {block}");
    host.map(str::to_owned).ok_or_else(unreadable)
}

fn service_mode(service: &Value) -> String {
    let has = |at: &str| service.pointer(at).is_some_and(|mode| !mode.is_null());
    let mode = match () {
        () if has("/Spec/Mode/Global") => "global",
        () if has("/Spec/Mode/Replicated") => "replicated",
        () => "",
    };
    mode.to_owned()
}

/// Nothing for nodes that manage nothing.
fn manager_leader(node: &Value) -> String {
    let is_manager = node.get("ManagerStatus").is_some_and(|status| !status.is_null());
    if is_manager { flag(node, "/ManagerStatus/Leader").to_string() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use prom_testkit::FakeTarget;

    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

    const NODES: &str = include_str!("../../../fixtures/swarm_nodes.json");
    const SERVICES: &str = include_str!("../../../fixtures/swarm_services.json");
    const TASKS: &str = include_str!("../../../fixtures/swarm_tasks.json");
    const NETWORKS: &str = include_str!("../../../fixtures/swarm_networks.json");

    async fn check(role: &str, expected: &[&str]) {
        let service = FakeTarget::start().await;
        let answers = [
            ("/nodes", NODES),
            ("/services", SERVICES),
            ("/tasks", TASKS),
            ("/networks", NETWORKS),
        ];
        for (path, answer) in answers {
            service.answer(path, json(answer));
        }
        let sd = format!(
            "dockerswarm_sd_configs: [{{host: 'URL', role: {role}, port: 9323, refresh_interval: 50ms}}]"
        );
        let mut asker = asker_of(&service, &sd);
        let found = asker.ask().await.unwrap();
        assert_eq!(&*found[0].source, "DockerSwarm");
        assert_eq!(lines(&found, "__meta_dockerswarm_"), expected);
        let paths: &[&str] = match role {
            "nodes" => &["/nodes"],
            "services" => &["/networks", "/services"],
            _ => &["/networks", "/nodes", "/services", "/tasks"],
        };
        for path in paths {
            survives(&service, &mut *asker, path).await;
            ends_a_hang(&service, &mut *asker.hasty, path).await;
            let answer = answers.iter().find(|(other, _)| other == path).unwrap().1;
            service.answer(path, json(answer));
        }
        assert_eq!(lines(&asker.ask().await.unwrap(), "__meta_dockerswarm_"), expected);
    }

    #[tokio::test]
    async fn nodes_are_targets() {
        check("nodes", &[
            "__address__=10.0.232.3:9323 node_address=10.0.232.3 node_availability=active node_engine_version=19.03.11 node_hostname=master-1 \
             node_id=i9wo node_label_a_b=c node_manager_address=10.0.232.3:2377 node_manager_leader=true node_manager_reachability=reachable \
             node_platform_architecture=x86_64 node_platform_os=linux node_role=manager node_status=ready",
            "__address__=[fd00::2]:9323 node_address=fd00::2 node_availability=drain node_hostname=oslo-2 node_id=jkc2 node_role=worker node_status=down",
        ]).await;
    }

    #[tokio::test]
    async fn services_are_targets() {
        let net = "network_id=8qoc network_ingress=true network_internal=false network_name=ingress network_scope=swarm";
        let grafana = "service_id=9qog service_label_com_docker_stack_namespace=mon service_mode=replicated service_name=mon_grafana \
                       service_task_container_hostname=g service_task_container_image=grafana/grafana:latest service_updating_status=completed";
        let port = "service_endpoint_port_name=web service_endpoint_port_publish_mode=ingress";
        check("services", &[
            &format!("__address__=10.0.0.5:80 {net} {port} {grafana}"),
            &format!("__address__=10.0.1.34:80 {port} {grafana}"),
            &format!("__address__=10.0.0.9:9323 {net} service_id=tkv9 service_mode=global service_name=mon_node-exporter"),
        ]).await;
    }

    #[tokio::test]
    async fn tasks_are_targets() {
        let net = "network_id=8qoc network_ingress=true network_internal=false network_name=ingress network_scope=swarm";
        let node = "node_address=10.0.232.3 node_availability=active node_hostname=master-1 node_id=i9wo node_label_a_b=c \
                    node_platform_architecture=x86_64 node_platform_os=linux node_role=manager node_status=ready";
        let service = "service_id=9qog service_label_com_docker_stack_namespace=mon service_mode=replicated service_name=mon_grafana";
        let task = "task_container_id=7f3b task_desired_state=running task_id=7ogo";
        check("tasks", &[
            &format!("__address__=10.0.232.3:9100 container_label_x=y {node} {service} {task} task_port_publish_mode=host task_slot=1 task_state=running"),
            &format!("__address__=10.0.0.78:80 container_label_x=y {net} {node} {service} {task} task_port_publish_mode=ingress task_slot=1 task_state=running"),
            &format!("__address__=10.0.0.9:9323 {net} service_id=tkv9 service_mode=global service_name=mon_node-exporter task_id=2 task_slot=0 task_state=failed"),
        ]).await;
    }
}
