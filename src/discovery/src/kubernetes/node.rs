//! Nodes: one target each, the kubelet. Compat: Prometheus `discovery/kubernetes/node.go`.

use prom_model::Labels;

use super::{
    labels::MetaLabels,
    objects::{Node, NodeAddress},
};
use crate::{TargetGroup, group::host_port};

/// Kinds of addresses, the best first.
const PREFERENCE: [&str; 6] =
    ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];

pub(super) fn group(node: &Node) -> TargetGroup {
    let Node { metadata, spec, status } = node;
    let source = format!("node/{}", metadata.name).into();
    let first = |kind: &str| status.addresses.iter().find(|address| &*address.kind == kind);
    let Some(best) = PREFERENCE.into_iter().find_map(first) else {
        tracing::warn!(node = &*metadata.name, "No node address found");
        return TargetGroup { source, targets: Vec::new(), labels: Labels::empty() };
    };
    let mut labels = MetaLabels::default();
    labels.add("node_provider_id", &spec.provider_id);
    for condition in &status.conditions {
        let (kind, status) = (condition.kind.to_lowercase(), condition.status.to_lowercase());
        labels.add_sanitized("node_condition_", &kind, &status);
    }
    labels.add_object("node", metadata);
    let mut target = MetaLabels::of_target(&host_port(&best.address, status.daemons.kubelet.port));
    target.instance(&metadata.name);
    // The first address of each kind counts.
    for NodeAddress { kind, address } in status.addresses.iter().rev() {
        target.add_sanitized("node_address_", kind, address);
    }
    TargetGroup { source, targets: vec![target.build()], labels: labels.build() }
}
