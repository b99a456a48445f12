//! The objects of the API, as far as targets are made of them; everything else is skipped while it is read.
//! Compat: the JSON of Kubernetes's API groups `core/v1`, `discovery.k8s.io/v1`, `networking.k8s.io/v1`.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

/// Text of an object; equal texts of several objects may be the same one.
pub(super) type Text = Arc<str>;

/// Declares objects with the names of their fields in JSON. A field that is missing or `null` is empty.
macro_rules! objects {
    ($($(#[$meta:meta])* $name:ident {
        $($(#[$field_meta:meta])* $field:ident as $key:literal: $type:ty;)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(default)]
        pub(super) struct $name {
            $(
                $(#[$field_meta])*
                #[serde(rename = $key, deserialize_with = "nullable")]
                pub(super) $field: $type,
            )*
        }
    )*};
}

objects! {
    /// What all objects have.
    Meta {
        name as "name": Text;
        namespace as "namespace": Text;
        uid as "uid": Text;
        /// Where a watch goes on after this object. Taken out before objects are compared.
        resource_version as "resourceVersion": Text;
        labels as "labels": Pairs;
        annotations as "annotations": Pairs;
        owners as "ownerReferences": Vec<Owner>;
    }
    Owner {
        kind as "kind": Text;
        name as "name": Text;
        is_controller as "controller": bool;
    }
    Pod {
        metadata as "metadata": Meta;
        spec as "spec": PodSpec;
        status as "status": PodStatus;
    }
    PodSpec {
        node_name as "nodeName": Text;
        containers as "containers": Vec<Container>;
        init_containers as "initContainers": Vec<Container>;
    }
    Container {
        name as "name": Text;
        image as "image": Text;
        ports as "ports": Vec<ContainerPort>;
    }
    ContainerPort {
        name as "name": Text;
        number as "containerPort": i32;
        protocol as "protocol": Text;
    }
    PodStatus {
        phase as "phase": Text;
        pod_ip as "podIP": Text;
        host_ip as "hostIP": Text;
        conditions as "conditions": Vec<Condition>;
        containers as "containerStatuses": Vec<ContainerStatus>;
        init_containers as "initContainerStatuses": Vec<ContainerStatus>;
    }
    Condition {
        kind as "type": Text;
        status as "status": Text;
    }
    ContainerStatus {
        name as "name": Text;
        id as "containerID": Text;
    }
    Node {
        metadata as "metadata": Meta;
        spec as "spec": NodeSpec;
        status as "status": NodeStatus;
    }
    NodeSpec {
        provider_id as "providerID": Text;
    }
    NodeStatus {
        conditions as "conditions": Vec<Condition>;
        addresses as "addresses": Vec<NodeAddress>;
        daemons as "daemonEndpoints": NodeDaemons;
    }
    NodeAddress {
        kind as "type": Text;
        address as "address": Text;
    }
    NodeDaemons {
        kubelet as "kubeletEndpoint": DaemonEndpoint;
    }
    DaemonEndpoint {
        port as "Port": i32;
    }
    Service {
        metadata as "metadata": Meta;
        spec as "spec": ServiceSpec;
        status as "status": ServiceStatus;
    }
    ServiceSpec {
        ports as "ports": Vec<ServicePort>;
        kind as "type": Text;
        cluster_ip as "clusterIP": Text;
        external_name as "externalName": Text;
        load_balancer_ip as "loadBalancerIP": Text;
        ip_family_policy as "ipFamilyPolicy": Text;
        ip_families as "ipFamilies": Vec<Text>;
    }
    ServicePort {
        name as "name": Text;
        number as "port": i32;
        protocol as "protocol": Text;
    }
    ServiceStatus {
        load_balancer as "loadBalancer": LoadBalancer;
    }
    LoadBalancer {
        ingress as "ingress": Vec<LoadBalancerIngress>;
    }
    LoadBalancerIngress {
        ip as "ip": Text;
    }
    Endpoints {
        metadata as "metadata": Meta;
        subsets as "subsets": Vec<Subset>;
    }
    Subset {
        addresses as "addresses": Vec<EndpointAddress>;
        not_ready_addresses as "notReadyAddresses": Vec<EndpointAddress>;
        ports as "ports": Vec<ServicePort>;
    }
    EndpointAddress {
        ip as "ip": Text;
        hostname as "hostname": Text;
        node_name as "nodeName": Option<Text>;
        target as "targetRef": Option<Reference>;
    }
    Reference {
        kind as "kind": Text;
        namespace as "namespace": Text;
        name as "name": Text;
    }
    EndpointSlice {
        metadata as "metadata": Meta;
        address_type as "addressType": Text;
        endpoints as "endpoints": Vec<Endpoint>;
        ports as "ports": Vec<SlicePort>;
    }
    Endpoint {
        addresses as "addresses": Vec<Text>;
        conditions as "conditions": EndpointConditions;
        hostname as "hostname": Option<Text>;
        target as "targetRef": Option<Reference>;
        node_name as "nodeName": Option<Text>;
        zone as "zone": Option<Text>;
        topology as "deprecatedTopology": Pairs;
    }
    EndpointConditions {
        ready as "ready": Option<bool>;
        serving as "serving": Option<bool>;
        terminating as "terminating": Option<bool>;
    }
    SlicePort {
        name as "name": Option<Text>;
        number as "port": Option<i32>;
        protocol as "protocol": Option<Text>;
        app_protocol as "appProtocol": Option<Text>;
    }
    Ingress {
        metadata as "metadata": Meta;
        spec as "spec": IngressSpec;
    }
    IngressSpec {
        class_name as "ingressClassName": Option<Text>;
        tls as "tls": Vec<IngressTls>;
        rules as "rules": Vec<IngressRule>;
    }
    IngressTls {
        hosts as "hosts": Vec<Text>;
    }
    IngressRule {
        host as "host": Text;
        http as "http": Option<IngressHttp>;
    }
    IngressHttp {
        paths as "paths": Option<Vec<IngressPath>>;
    }
    IngressPath {
        path as "path": Text;
    }
    /// An object of which only the metadata counts.
    Bare {
        metadata as "metadata": Meta;
    }
}

/// Labels or annotations, sorted by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pairs(pub(super) Box<[(Text, Text)]>);

impl Meta {
    /// `namespace/name`, or the name alone: unique among the objects of a resource.
    pub(super) fn key(&self) -> Text {
        key(&self.namespace, &self.name)
    }

    /// Who runs this object. Compat: `GetControllerOf` of Kubernetes's `apimachinery`.
    pub(super) fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.is_controller)
    }
}

impl Pairs {
    pub(super) fn get(&self, name: &str) -> Option<&Text> {
        self.0.iter().find(|(other, _)| &**other == name).map(|(_, value)| value)
    }
}

/// See [`Meta::key`].
pub(super) fn key(namespace: &str, name: &str) -> Text {
    if namespace.is_empty() { name.into() } else { format!("{namespace}/{name}").into() }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<Text, Option<Text>>()? {
                    pairs.push((name, value.unwrap_or_default()));
                }
                pairs.sort();
                Ok(Pairs(pairs.into()))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// Go writes an empty list or map as `null`.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
