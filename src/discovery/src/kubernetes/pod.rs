//! Pods: a target for each port of each container. Compat: Prometheus `discovery/kubernetes/pod.go`.

use prom_model::Labels;

use super::{
    cluster::Near,
    labels::MetaLabels,
    objects::{Container, ContainerPort, ContainerStatus, Pod},
};
use crate::{TargetGroup, group::host_port};

/// A container that starts before the others, or one of these others.
#[derive(Clone, Copy)]
pub(super) struct Placed<'p> {
    pub(super) container: &'p Container,
    pub(super) is_init: bool,
}

pub(super) fn group(pod: &Pod, near: &Near<'_>) -> TargetGroup {
    let meta = &pod.metadata;
    let source = format!("pod/{}/{}", meta.namespace, meta.name).into();
    let mut group = TargetGroup { source, targets: Vec::new(), labels: Labels::empty() };
    // A pod that starts, or was evicted, has no address. One on an unknown node was left out by a
    // selector of nodes.
    let node = &pod.spec.node_name;
    if pod.status.pod_ip.is_empty() || (near.attach.node && near.node(node).is_none()) {
        return group;
    }
    let mut labels = MetaLabels::default();
    add_pod(&mut labels, pod, near);
    labels.add("namespace", &meta.namespace);
    labels.add_node(near, Some(node));
    labels.add_namespace(near, &meta.namespace);
    group.labels = labels.build();
    for placed in containers(pod) {
        let ports = &placed.container.ports;
        group.targets.extend(ports.iter().map(|port| target(pod, placed, Some(port))));
        // Whoever has no port gets a target, too; relabelling may give it one.
        if ports.is_empty() {
            group.targets.push(target(pod, placed, None));
        }
    }
    group
}

/// All containers, those that start first at the end.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = Placed<'_>> {
    let place = |is_init| move |container| Placed { container, is_init };
    let spec = &pod.spec;
    spec.containers.iter().map(place(false)).chain(spec.init_containers.iter().map(place(true)))
}

/// The labels that tell a pod, on a target of its own or of a service.
pub(super) fn add_pod(labels: &mut MetaLabels, pod: &Pod, near: &Near<'_>) {
    let Pod { metadata, spec, status } = pod;
    labels.add("pod_ip", &status.pod_ip);
    let ready = status.conditions.iter().find(|condition| &*condition.kind == "Ready");
    let ready = ready.map_or("unknown".to_owned(), |condition| condition.status.to_lowercase());
    labels.add("pod_ready", &ready);
    labels.add("pod_phase", &status.phase);
    labels.add("pod_node_name", &spec.node_name);
    labels.add("pod_host_ip", &status.host_ip);
    labels.add("pod_uid", &metadata.uid);
    labels.add_object("pod", metadata);
    let Some(owner) = metadata.controller() else { return };
    labels.add("pod_controller_kind", &owner.kind);
    labels.add("pod_controller_name", &owner.name);
    match &*owner.kind {
        "ReplicaSet" if near.attach.deployment => {
            let replica_set = near.replica_set(&metadata.namespace, &owner.name);
            let above = replica_set.and_then(|meta| meta.controller());
            let above = above.filter(|above| &*above.kind == "Deployment");
            labels.add_some("pod_deployment_name", above.map(|above| &*above.name));
        }
        "Job" => {
            if near.attach.job {
                labels.add("pod_job_name", &owner.name);
            }
            if near.attach.cronjob {
                let job = near.job(&metadata.namespace, &owner.name);
                let above = job.and_then(|meta| meta.controller());
                let above = above.filter(|above| &*above.kind == "CronJob");
                labels.add_some("pod_cronjob_name", above.map(|above| &*above.name));
            }
        }
        _ => {}
    }
}

/// The labels that tell a container's port; `protocol` is told by whoever names the port.
pub(super) fn add_port(
    labels: &mut MetaLabels,
    placed: Placed<'_>,
    port: &ContainerPort,
    protocol: &str,
) {
    add_container(labels, placed);
    labels.add("pod_container_port_name", &port.name);
    labels.add("pod_container_port_number", &number(port.number));
    labels.add("pod_container_port_protocol", protocol);
}

/// A port as the original prints it.
pub(super) fn number(port: i32) -> String {
    (i64::from(port) as u64).to_string()
}

fn add_container(labels: &mut MetaLabels, placed: Placed<'_>) {
    labels.add("pod_container_name", &placed.container.name);
    labels.add("pod_container_image", &placed.container.image);
    labels.add("pod_container_init", if placed.is_init { "true" } else { "false" });
}

fn target(pod: &Pod, placed: Placed<'_>, port: Option<&ContainerPort>) -> Labels {
    let ip = &pod.status.pod_ip;
    let address = port.map_or_else(|| (**ip).to_owned(), |port| host_port(ip, number(port.number)));
    let mut labels = MetaLabels::of_target(&address);
    match port {
        Some(port) => add_port(&mut labels, placed, port, &port.protocol),
        None => add_container(&mut labels, placed),
    }
    let status = &pod.status;
    let statuses = if placed.is_init { &status.init_containers } else { &status.containers };
    let is_ours = |status: &&ContainerStatus| status.name == placed.container.name;
    labels.add_some("pod_container_id", statuses.iter().find(is_ours).map(|status| &*status.id));
    labels.build()
}
