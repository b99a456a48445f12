//! Slices of endpoints: a target for each address and port, and one for each port of a pod behind them that no
//! service names. Compat: Prometheus `discovery/kubernetes/endpointslice.go`.

use prom_model::Labels;

use super::{
    cluster::Near,
    endpoints::SeenPods,
    labels::MetaLabels,
    objects::{Endpoint, EndpointSlice, Service, SlicePort},
    pod::{add_pod, add_port, containers, number},
    service::add_service,
};
use crate::{TargetGroup, group::host_port};

/// Names the service that a slice belongs to.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

pub(super) fn group(slice: &EndpointSlice, near: &Near<'_>) -> TargetGroup {
    let meta = &slice.metadata;
    let mut labels = MetaLabels::default();
    labels.add("endpointslice_address_type", &slice.address_type);
    labels.add("namespace", &meta.namespace);
    labels.add_object("endpointslice", meta);
    let service = meta.labels.get(SERVICE_NAME);
    let service = service.and_then(|name| near.service(&meta.namespace, name));
    if let Some(service) = service {
        add_service(&mut labels, service);
    }
    labels.add_namespace(near, &meta.namespace);
    let mut group = TargetGroup {
        source: format!("endpointslice/{}/{}", meta.namespace, meta.name).into(),
        targets: Vec::new(),
        labels: labels.build(),
    };
    if service.is_some_and(|service| is_second_family(service, slice)) {
        return group;
    }
    let mut seen = SeenPods::default();
    for endpoint in &slice.endpoints {
        for port in &slice.ports {
            for address in &endpoint.addresses {
                group.targets.push(target(address, endpoint, port, near, &mut seen));
            }
        }
    }
    seen.add_other_ports(near, &mut group.targets);
    group
}

fn target<'n>(
    address: &str,
    endpoint: &Endpoint,
    port: &SlicePort,
    near: &Near<'n>,
    seen: &mut SeenPods<'n>,
) -> Labels {
    let port_text = port.number.map(number);
    let address =
        port_text.as_ref().map_or_else(|| address.to_owned(), |port| host_port(address, port));
    let mut labels = MetaLabels::of_target(&address);
    labels.add_some("endpointslice_port_name", port.name.as_deref());
    labels.add_some("endpointslice_port_protocol", port.protocol.as_deref());
    labels.add_some("endpointslice_port", port_text.as_deref());
    labels.add_some("endpointslice_port_app_protocol", port.app_protocol.as_deref());
    for (name, condition) in [
        ("endpointslice_endpoint_conditions_ready", endpoint.conditions.ready),
        ("endpointslice_endpoint_conditions_serving", endpoint.conditions.serving),
        ("endpointslice_endpoint_conditions_terminating", endpoint.conditions.terminating),
    ] {
        labels.add_some(name, condition.map(|is_so| if is_so { "true" } else { "false" }));
    }
    labels.add_some("endpointslice_endpoint_hostname", endpoint.hostname.as_deref());
    let reference = endpoint.target.as_ref();
    labels.add_some("endpointslice_address_target_kind", reference.map(|target| &*target.kind));
    labels.add_some("endpointslice_address_target_name", reference.map(|target| &*target.name));
    labels.add_some("endpointslice_endpoint_node_name", endpoint.node_name.as_deref());
    labels.add_some("endpointslice_endpoint_zone", endpoint.zone.as_deref());
    for (name, value) in &endpoint.topology.0 {
        labels.add_sanitized("endpointslice_endpoint_topology_", name, value);
        labels.add_sanitized("endpointslice_endpoint_topology_present_", name, "true");
    }
    let as_node = reference.filter(|target| &*target.kind == "Node").map(|target| &*target.name);
    labels.add_node(near, as_node.or(endpoint.node_name.as_deref()));
    if let Some(pod) = near.pod_of(reference) {
        seen.note(pod, port.number);
        add_pod(&mut labels, pod, near);
        for placed in containers(pod) {
            let mut ports = placed.container.ports.iter();
            if let Some(found) = ports.find(|found| Some(found.number) == port.number) {
                add_port(&mut labels, placed, found, &found.protocol);
            }
        }
    }
    labels.build()
}

/// Whether the slice repeats, in its other family of addresses, what the first slice of a service says.
fn is_second_family(service: &Service, slice: &EndpointSlice) -> bool {
    let spec = &service.spec;
    matches!(&*spec.ip_family_policy, "PreferDualStack" | "RequireDualStack")
        && spec.ip_families.first().is_some_and(|first| *first != slice.address_type)
}
