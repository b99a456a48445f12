//! Services: a target for each port. Compat: Prometheus `discovery/kubernetes/service.go`.

use prom_model::Labels;

use super::{
    cluster::Near,
    labels::MetaLabels,
    objects::{Service, ServicePort},
};
use crate::{TargetGroup, group::host_port};

pub(super) fn group(service: &Service, near: &Near<'_>) -> TargetGroup {
    let meta = &service.metadata;
    let mut labels = MetaLabels::default();
    add_service(&mut labels, service);
    labels.add_namespace(near, &meta.namespace);
    let ports = service.spec.ports.iter();
    TargetGroup {
        source: format!("svc/{}/{}", meta.namespace, meta.name).into(),
        targets: ports.map(|port| target(service, port)).collect(),
        labels: labels.build(),
    }
}

/// The labels that tell a service, on its own targets or those of its endpoints.
pub(super) fn add_service(labels: &mut MetaLabels, service: &Service) {
    labels.add("namespace", &service.metadata.namespace);
    labels.add_object("service", &service.metadata);
}

fn target(service: &Service, port: &ServicePort) -> Labels {
    let Service { metadata, spec, .. } = service;
    let host = format!("{}.{}.svc", metadata.name, metadata.namespace);
    let mut labels = MetaLabels::of_target(&host_port(&host, port.number));
    labels.add("service_port_name", &port.name);
    labels.add("service_port_number", &port.number.to_string());
    labels.add("service_port_protocol", &port.protocol);
    labels.add("service_type", &spec.kind);
    match &*spec.kind {
        "ExternalName" => labels.add("service_external_name", &spec.external_name),
        _ => labels.add("service_cluster_ip", &spec.cluster_ip),
    }
    if &*spec.kind == "LoadBalancer" {
        labels.add("service_loadbalancer_ip", &load_balancer_ip(service));
    }
    labels.build()
}

/// What the balancer says it has; before it says so, what was asked for.
fn load_balancer_ip(service: &Service) -> String {
    let ingress = service.status.load_balancer.ingress.iter();
    let given: Vec<&str> = ingress.map(|it| &*it.ip).filter(|ip| !ip.is_empty()).collect();
    match given.is_empty() {
        true => service.spec.load_balancer_ip.as_ref().to_owned(),
        false => given.join(","),
    }
}
