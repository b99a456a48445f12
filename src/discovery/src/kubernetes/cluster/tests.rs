//! From objects as the API shows them to groups, and which groups change with what.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::*;
use crate::kubernetes::resource::{Source, sources};

/// A cluster that an entry of a configuration follows.
struct Followed {
    sources: Vec<Source>,
    cluster: Cluster,
}

impl Followed {
    /// `attach` names what lends its labels.
    fn new(role: &str, attach: &[&str]) -> Self {
        let has = |name: &str| attach.contains(&name);
        let attach = KubernetesMetadata {
            node: has("node"),
            namespace: has("namespace"),
            deployment: has("deployment"),
            job: has("job"),
            cronjob: has("cronjob"),
        };
        let cfg = prom_config::KubernetesSdConfig {
            api_server: None,
            role: role.to_owned(),
            kubeconfig_file: Default::default(),
            http_client: Default::default(),
            namespaces: prom_config::KubernetesNamespaces {
                own_namespace: false,
                names: Vec::new(),
            },
            selectors: Vec::new(),
            attach_metadata: attach.clone(),
        };
        Self { sources: sources(&cfg, None), cluster: Cluster::new(attach) }
    }

    fn put(&mut self, role: &str, object: &Value) {
        let index = self.sources.iter().position(|it| it.resource.role() == role).unwrap();
        let (source, seen) = (&self.sources[index], Seen { source: index, list: 1 });
        let mut object = source.read_object(&object.to_string()).unwrap();
        drop(object.take_version());
        match source.is_primary {
            true => self.cluster.put_primary(seen, object),
            false => self.cluster.put_other(seen, source.resource, object),
        };
    }

    fn remove(&mut self, role: &str, key: &str) {
        let source = self.sources.iter().find(|it| it.resource.role() == role).unwrap();
        self.cluster.remove(source.resource, source.is_primary, &key.into());
    }

    fn groups(&mut self) -> Vec<Arc<TargetGroup>> {
        self.cluster.make_groups(usize::MAX);
        self.cluster.groups()
    }

    /// A line for each group, and one below it for each target.
    fn shown(&mut self) -> String {
        let mut text = String::new();
        let labels = |labels: &prom_model::Labels| {
            let pairs = labels.iter().map(|(name, value)| {
                format!(" {}={value}", name.trim_start_matches("__meta_kubernetes_"))
            });
            pairs.collect::<String>()
        };
        for group in self.groups() {
            writeln!(text, "{}:{}", group.source, labels(&group.labels)).unwrap();
            for target in &group.targets {
                writeln!(text, " {}", labels(target)).unwrap();
            }
        }
        text
    }
}

fn check(role: &str, attach: &[&str], objects: &[(&str, Value)], expected: &str) {
    let mut followed = Followed::new(role, attach);
    for (role, object) in objects {
        followed.put(role, object);
    }
    assert_eq!(followed.shown(), expected, "{role}");
}

fn pod() -> Value {
    json!({
        "metadata": {
            "name": "p", "namespace": "n", "uid": "u-1", "resourceVersion": "7",
            "labels": {"app.kubernetes.io/name": "x", "empty": ""},
            "annotations": {"a-b": "c"},
            "ownerReferences": [{"kind": "Other", "name": "o"}, {"kind": "ReplicaSet", "name": "rs", "controller": true}],
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:metadata": {}}}],
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [
                {"name": "c", "image": "i:1", "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}, {"containerPort": 81, "protocol": "UDP"}]},
                {"name": "d", "image": "j:1", "ports": null},
            ],
            "initContainers": [{"name": "s", "image": "k", "ports": [{"containerPort": 9, "protocol": "TCP"}]}],
        },
        "status": {
            "phase": "Running", "podIP": "10.0.0.1", "hostIP": "1.1.1.1",
            "conditions": [{"type": "Initialized", "status": "False"}, {"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "c", "containerID": "docker://1"}],
            "initContainerStatuses": [{"name": "s", "containerID": "docker://2"}],
        },
    })
}

const POD: &str = "pod_annotation_a_b=c pod_annotationpresent_a_b=true";
const POD_REST: &str = "pod_host_ip=1.1.1.1 pod_ip=10.0.0.1 pod_label_app_kubernetes_io_name=x pod_labelpresent_app_kubernetes_io_name=true pod_labelpresent_empty=true pod_name=p pod_node_name=node-1 pod_phase=Running pod_ready=true pod_uid=u-1";
const OWNED: &str = "pod_controller_kind=ReplicaSet pod_controller_name=rs";

#[test]
fn a_pod_has_a_target_for_each_port() {
    let bare = json!({"metadata": {"name": "q", "namespace": "n"}, "status": {"podIP": "fd00::1"},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 1}]}, {"name": "e"}]}});
    let waiting = json!({"metadata": {"name": "r", "namespace": "n"}, "spec": {"containers": [{"name": "c"}]}});
    let expected = format!(
        "pod/n/p: namespace=n {POD} {OWNED} {POD_REST}
  __address__=10.0.0.1:80 pod_container_id=docker://1 pod_container_image=i:1 pod_container_init=false pod_container_name=c pod_container_port_name=http pod_container_port_number=80 pod_container_port_protocol=TCP
  __address__=10.0.0.1:81 pod_container_id=docker://1 pod_container_image=i:1 pod_container_init=false pod_container_name=c pod_container_port_number=81 pod_container_port_protocol=UDP
  __address__=10.0.0.1 pod_container_image=j:1 pod_container_init=false pod_container_name=d
  __address__=10.0.0.1:9 pod_container_id=docker://2 pod_container_image=k pod_container_init=true pod_container_name=s pod_container_port_number=9 pod_container_port_protocol=TCP
pod/n/q: namespace=n pod_ip=fd00::1 pod_name=q pod_ready=unknown
  __address__=[fd00::1]:1 pod_container_init=false pod_container_name=c pod_container_port_number=1
  __address__=fd00::1 pod_container_init=false pod_container_name=e
"
    );
    check("pod", &[], &[("pod", pod()), ("pod", bare), ("pod", waiting)], &expected);
}

#[test]
fn others_lend_a_pod_their_labels() {
    let mut followed = Followed::new("pod", &["node", "namespace", "deployment"]);
    let has = |followed: &mut Followed, label: &str| {
        let groups = followed.groups();
        let name = format!("__meta_kubernetes_{label}");
        groups.first().map(|group| group.labels.get(&name).unwrap_or("-").to_owned())
    };
    followed.put("pod", &pod());
    assert_eq!(has(&mut followed, "namespace"), None, "its node is not known");
    followed.put("node", &json!({"metadata": {"name": "node-1", "labels": {"zone": "z"}}}));
    assert_eq!(has(&mut followed, "node_label_zone").unwrap(), "z");
    let namespace = |team: &str| json!({"metadata": {"name": "n", "annotations": {"team": team}}});
    for team in ["t1", "t2"] {
        followed.put("namespace", &namespace(team));
        assert_eq!(has(&mut followed, "namespace_annotation_team").unwrap(), team);
    }
    let owner = |kind: &str| {
        let owners = json!([{"kind": kind, "name": "deploy", "controller": true}]);
        json!({"metadata": {"name": "rs", "namespace": "n", "ownerReferences": owners}})
    };
    for (kind, expected) in [("Deployment", "deploy"), ("Rollout", "-")] {
        followed.put("replicaset", &owner(kind));
        assert_eq!(has(&mut followed, "pod_deployment_name").unwrap(), expected);
    }
    // What does not change makes no other group.
    let before = followed.groups();
    followed.put("namespace", &namespace("t2"));
    followed.put("node", &json!({"metadata": {"name": "node-2"}}));
    assert_eq!(followed.cluster.dirty_count(), 0);
    followed.put("pod", &pod());
    assert!(Arc::ptr_eq(&followed.groups()[0], &before[0]));
    followed.remove("node", "node-1");
    assert_eq!(has(&mut followed, "namespace"), None);
    followed.remove("pod", "n/p");
    assert!(followed.cluster.askers.is_empty(), "{:?}", followed.cluster.askers);

    let mut of_job = pod();
    of_job["metadata"]["ownerReferences"] =
        json!([{"kind": "Job", "name": "j", "controller": true}]);
    let mut followed = Followed::new("pod", &["job", "cronjob"]);
    followed.put("pod", &of_job);
    assert_eq!(has(&mut followed, "pod_job_name").unwrap(), "j");
    let owners = json!([{"kind": "CronJob", "name": "cj", "controller": true}]);
    followed.put(
        "job",
        &json!({"metadata": {"name": "j", "namespace": "n", "ownerReferences": owners}}),
    );
    assert_eq!(has(&mut followed, "pod_cronjob_name").unwrap(), "cj");
}

#[test]
fn a_node_has_one_target() {
    let node = json!({
        "metadata": {"name": "node-1", "labels": {"zone/a": "z"}},
        "spec": {"providerID": "aws:///i-1"},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Disk-Pressure", "status": "Unknown"}],
            "addresses": [{"type": "Hostname", "address": "h"}, {"type": "ExternalIP", "address": "1.2.3.4"}, {"type": "ExternalIP", "address": "5.6.7.8"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    });
    let nowhere = json!({"metadata": {"name": "node-2"}, "status": {"addresses": null}});
    let expected = "node/node-1: node_condition_disk_pressure=unknown node_condition_ready=true node_label_zone_a=z node_labelpresent_zone_a=true node_name=node-1 node_provider_id=aws:///i-1
  __address__=1.2.3.4:10250 node_address_ExternalIP=1.2.3.4 node_address_Hostname=h instance=node-1
";
    check("node", &[], &[("node", node), ("node", nowhere)], expected);
}

#[test]
fn a_service_has_a_target_for_each_port() {
    let service = |name: &str, spec: Value, status: Value| json!({"metadata": {"name": name, "namespace": "n"}, "spec": spec, "status": status});
    let ports = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    let cluster = json!({"type": "ClusterIP", "clusterIP": "10.9.0.1", "ports": ports});
    let external = json!({"type": "ExternalName", "externalName": "e.test", "ports": ports});
    let balanced = json!({"type": "LoadBalancer", "clusterIP": "10.9.0.2", "loadBalancerIP": "7.7.7.7", "ports": ports});
    let given = json!({"loadBalancer": {"ingress": [{"ip": "8.8.8.8"}, {"hostname": "h"}, {"ip": "9.9.9.9"}]}});
    let objects = [
        service("a", cluster, json!({"loadBalancer": {}})),
        service("b", external, json!({})),
        service("c", balanced.clone(), given),
        service("d", balanced, json!({"loadBalancer": {"ingress": null}})),
        service("e", json!({"type": "ClusterIP", "clusterIP": "None"}), json!({})),
    ];
    let expected = "svc/n/a: namespace=n service_name=a
  __address__=a.n.svc:80 service_cluster_ip=10.9.0.1 service_port_name=http service_port_number=80 service_port_protocol=TCP service_type=ClusterIP
svc/n/b: namespace=n service_name=b
  __address__=b.n.svc:80 service_external_name=e.test service_port_name=http service_port_number=80 service_port_protocol=TCP service_type=ExternalName
svc/n/c: namespace=n service_name=c
  __address__=c.n.svc:80 service_cluster_ip=10.9.0.2 service_loadbalancer_ip=8.8.8.8,9.9.9.9 service_port_name=http service_port_number=80 service_port_protocol=TCP service_type=LoadBalancer
svc/n/d: namespace=n service_name=d
  __address__=d.n.svc:80 service_cluster_ip=10.9.0.2 service_loadbalancer_ip=7.7.7.7 service_port_name=http service_port_number=80 service_port_protocol=TCP service_type=LoadBalancer
";
    check("service", &[], &objects.map(|it| ("service", it)), expected);
}

#[test]
fn an_ingress_has_a_target_for_each_path() {
    let ingress = json!({
        "metadata": {"name": "i", "namespace": "n"},
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": ["*.s.test"]}, {"hosts": null}],
            "rules": [
                {"host": "a.s.test", "http": {"paths": [{"path": "/x"}, {"path": ""}]}},
                {"host": "b.test"},
                {"host": "c.test", "http": {"paths": null}},
            ],
        },
    });
    let expected = "ingress/n/i: ingress_class_name=nginx ingress_name=i namespace=n
  __address__=a.s.test ingress_host=a.s.test ingress_path=/x ingress_scheme=https
  __address__=a.s.test ingress_host=a.s.test ingress_path=/ ingress_scheme=https
  __address__=b.test ingress_host=b.test ingress_path=/ ingress_scheme=http
";
    check("ingress", &[], &[("ingress", ingress)], expected);
}

#[test]
fn endpoints_stand_for_pods_nodes_and_anything() {
    let endpoints = json!({
        "metadata": {"name": "svc", "namespace": "n", "labels": {"l": "v"}},
        "subsets": [{
            "addresses": [
                {"ip": "10.0.0.1", "nodeName": "node-1", "targetRef": {"kind": "Pod", "namespace": "n", "name": "p"}},
                {"ip": "1.1.1.1", "hostname": "h", "targetRef": {"kind": "Node", "name": "node-1"}},
            ],
            "notReadyAddresses": [{"ip": "2.2.2.2"}],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        }],
    });
    let objects = [
        ("endpoints", endpoints),
        (
            "service",
            json!({"metadata": {"name": "svc", "namespace": "n", "annotations": {"s": "1"}}}),
        ),
        ("pod", pod()),
        ("node", json!({"metadata": {"name": "node-1", "labels": {"zone": "z"}}})),
    ];
    let node = "node_label_zone=z node_labelpresent_zone=true node_name=node-1";
    let expected = format!(
        "endpoints/n/svc: endpoints_label_l=v endpoints_labelpresent_l=true endpoints_name=svc namespace=n service_annotation_s=1 service_annotationpresent_s=true service_name=svc
  __address__=10.0.0.1:80 endpoint_address_target_kind=Pod endpoint_address_target_name=p endpoint_node_name=node-1 endpoint_port_name=http endpoint_port_protocol=TCP endpoint_ready=true {node} {POD} pod_container_image=i:1 pod_container_init=false pod_container_name=c pod_container_port_name=http pod_container_port_number=80 pod_container_port_protocol=TCP {OWNED} {POD_REST}
  __address__=1.1.1.1:80 endpoint_address_target_kind=Node endpoint_address_target_name=node-1 endpoint_hostname=h endpoint_port_name=http endpoint_port_protocol=TCP endpoint_ready=true {node}
  __address__=2.2.2.2:80 endpoint_port_name=http endpoint_port_protocol=TCP endpoint_ready=false
  __address__=10.0.0.1:81 {POD} pod_container_image=i:1 pod_container_init=false pod_container_name=c pod_container_port_number=81 pod_container_port_protocol=UDP {OWNED} {POD_REST}
  __address__=10.0.0.1:9 {POD} pod_container_image=k pod_container_init=true pod_container_name=s pod_container_port_number=9 pod_container_port_protocol=TCP {OWNED} {POD_REST}
"
    );
    check("endpoints", &["node"], &objects, &expected);
    // In whatever order they come.
    let mut reversed = objects;
    reversed.reverse();
    check("endpoints", &["node"], &reversed, &expected);
    check(
        "endpoints",
        &[],
        &[("endpoints", json!({"metadata": {"name": "e", "namespace": "n"}, "subsets": null}))],
        "",
    );
}

#[test]
fn slices_tell_conditions_and_repeat_no_family() {
    let slice = |name: &str, kind: &str| {
        json!({
            "metadata": {"name": name, "namespace": "n", "labels": {"kubernetes.io/service-name": "svc"}},
            "addressType": kind,
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": true, "terminating": false}, "hostname": "h", "nodeName": "node-1", "zone": "z",
                 "deprecatedTopology": {"a/b": "c"}, "targetRef": {"kind": "Pod", "namespace": "n", "name": "p"}},
                {"addresses": ["2.2.2.2"], "conditions": {}},
            ],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "h2"}],
        })
    };
    let portless = json!({"metadata": {"name": "c", "namespace": "n"}, "addressType": "FQDN", "endpoints": [{"addresses": ["x.test"], "conditions": {}}], "ports": [{}]});
    let none = json!({"metadata": {"name": "d", "namespace": "n"}, "addressType": "IPv4", "endpoints": null, "ports": null});
    let mut plain_pod = pod();
    plain_pod["spec"] = json!({"nodeName": "node-1", "containers": [{"name": "c", "image": "i:1", "ports": [{"name": "http", "containerPort": 80, "protocol": "SCTP"}]}]});
    let objects = [
        ("endpointslice", slice("a", "IPv4")),
        ("endpointslice", slice("b", "IPv6")),
        ("endpointslice", portless),
        ("endpointslice", none),
        ("pod", plain_pod),
        (
            "service",
            json!({"metadata": {"name": "svc", "namespace": "n"}, "spec": {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"]}}),
        ),
    ];
    let port = "endpointslice_port=80 endpointslice_port_app_protocol=h2 endpointslice_port_name=http endpointslice_port_protocol=TCP";
    let expected = format!(
        "endpointslice/n/a: endpointslice_address_type=IPv4 endpointslice_label_kubernetes_io_service_name=svc endpointslice_labelpresent_kubernetes_io_service_name=true endpointslice_name=a namespace=n service_name=svc
  __address__=10.0.0.1:80 endpointslice_address_target_kind=Pod endpointslice_address_target_name=p endpointslice_endpoint_conditions_ready=true endpointslice_endpoint_conditions_serving=true endpointslice_endpoint_conditions_terminating=false endpointslice_endpoint_hostname=h endpointslice_endpoint_node_name=node-1 endpointslice_endpoint_topology_a_b=c endpointslice_endpoint_topology_present_a_b=true endpointslice_endpoint_zone=z {port} {POD} pod_container_image=i:1 pod_container_init=false pod_container_name=c pod_container_port_name=http pod_container_port_number=80 pod_container_port_protocol=SCTP {OWNED} {POD_REST}
  __address__=2.2.2.2:80 {port}
endpointslice/n/c: endpointslice_address_type=FQDN endpointslice_name=c namespace=n
  __address__=x.test
"
    );
    check("endpointslice", &[], &objects, &expected);
}

#[test]
fn texts_that_nobody_uses_are_let_go_of() {
    let mut followed = Followed::new("pod", &["namespace"]);
    for number in 0..3 * INTERNED_COUNT_MIN {
        let labels = json!({"number": number.to_string()});
        followed.put("namespace", &json!({"metadata": {"name": "n", "labels": labels}}));
    }
    assert!(followed.cluster.texts.known.len() <= INTERNED_COUNT_MIN + 8);
}
