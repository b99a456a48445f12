//! Endpoints of services: a target for each address and port, and one for each port of a pod behind them that
//! no service names. Compat: Prometheus `discovery/kubernetes/endpoints.go`.

use prom_model::Labels;

use super::{
    cluster::Near,
    labels::MetaLabels,
    objects::{EndpointAddress, Endpoints, Pod, ServicePort},
    pod::{add_pod, add_port, containers, number},
    service::add_service,
};
use crate::{TargetGroup, group::host_port};

/// Set by the API server when an object holds as many addresses as it may, or nearly.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// Pods behind a service, in the order in which they came, with the ports that the service names.
#[derive(Default)]
pub(super) struct SeenPods<'n> {
    pods: Vec<(&'n Pod, Vec<i32>)>,
    by_key: std::collections::HashMap<(&'n str, &'n str), usize>,
}

pub(super) fn group(endpoints: &Endpoints, near: &Near<'_>) -> TargetGroup {
    let meta = &endpoints.metadata;
    let mut labels = MetaLabels::default();
    labels.add("namespace", &meta.namespace);
    if let Some(service) = near.service(&meta.namespace, &meta.name) {
        add_service(&mut labels, service);
    }
    labels.add_object("endpoints", meta);
    labels.add_namespace(near, &meta.namespace);
    warn_of_capacity(endpoints);
    let (mut targets, mut seen) = (Vec::new(), SeenPods::default());
    for subset in &endpoints.subsets {
        for port in &subset.ports {
            for address in &subset.addresses {
                targets.push(target(address, port, "true", near, &mut seen));
            }
            for address in &subset.not_ready_addresses {
                targets.push(target(address, port, "false", near, &mut seen));
            }
        }
    }
    seen.add_other_ports(near, &mut targets);
    let source = format!("endpoints/{}/{}", meta.namespace, meta.name).into();
    TargetGroup { source, targets, labels: labels.build() }
}

fn target<'n>(
    address: &EndpointAddress,
    port: &ServicePort,
    ready: &str,
    near: &Near<'n>,
    seen: &mut SeenPods<'n>,
) -> Labels {
    let mut labels = MetaLabels::of_target(&host_port(&address.ip, number(port.number)));
    labels.add("endpoint_port_name", &port.name);
    labels.add("endpoint_port_protocol", &port.protocol);
    labels.add("endpoint_ready", ready);
    let reference = address.target.as_ref();
    labels.add_some("endpoint_address_target_kind", reference.map(|target| &*target.kind));
    labels.add_some("endpoint_address_target_name", reference.map(|target| &*target.name));
    labels.add_some("endpoint_node_name", address.node_name.as_deref());
    labels.add("endpoint_hostname", &address.hostname);
    let as_node = reference.filter(|target| &*target.kind == "Node").map(|target| &*target.name);
    labels.add_node(near, address.node_name.as_deref().or(as_node));
    if let Some(pod) = near.pod_of(reference) {
        seen.note(pod, Some(port.number));
        add_pod(&mut labels, pod, near);
        for placed in containers(pod) {
            let mut ports = placed.container.ports.iter();
            if let Some(found) = ports.find(|found| found.number == port.number) {
                add_port(&mut labels, placed, found, &port.protocol);
            }
        }
    }
    labels.build()
}

impl<'n> SeenPods<'n> {
    /// Remembers a pod and a port that has its target.
    pub(super) fn note(&mut self, pod: &'n Pod, port: Option<i32>) {
        let Self { pods, by_key } = self;
        let at =
            *by_key.entry((&pod.metadata.namespace, &pod.metadata.name)).or_insert_with(|| {
                pods.push((pod, Vec::new()));
                pods.len() - 1
            });
        let named = &mut pods[at].1;
        if let Some(port) = port.filter(|port| !named.contains(port)) {
            named.push(port);
        }
    }

    /// Adds targets for the ports that have none.
    pub(super) fn add_other_ports(self, near: &Near<'n>, targets: &mut Vec<Labels>) {
        for (pod, named) in self.pods.iter().filter(|(pod, _)| !pod.status.pod_ip.is_empty()) {
            for placed in containers(pod) {
                let ports = placed.container.ports.iter();
                for port in ports.filter(|port| !named.contains(&port.number)) {
                    let address = host_port(&pod.status.pod_ip, number(port.number));
                    let mut labels = MetaLabels::of_target(&address);
                    add_port(&mut labels, placed, port, &port.protocol);
                    add_pod(&mut labels, pod, near);
                    targets.push(labels.build());
                }
            }
        }
    }
}

fn warn_of_capacity(endpoints: &Endpoints) {
    let name = &*endpoints.metadata.name;
    match endpoints.metadata.labels.get(OVER_CAPACITY).map(|value| &**value) {
        Some("truncated") => tracing::warn!(
            endpoint = name,
            "Number of endpoints in one Endpoints object exceeds 1000 and has been truncated, please use \"role: endpointslice\" instead"
        ),
        Some("warning") => tracing::warn!(
            endpoint = name,
            "Number of endpoints in one Endpoints object exceeds 1000, please use \"role: endpointslice\" instead"
        ),
        _ => {}
    }
}
