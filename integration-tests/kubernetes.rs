//! Targets of a cluster: the original and our server follow the same API server, and show the same targets in
//! each role, at first and after changes.

use std::{collections::BTreeSet, time::Duration};

use prom_testkit::FakeKubernetes;
use serde_json::{Value, json};

use crate::harness::{
    NEWER_JOB_LABELS, Need, PATIENCE, Peer, Server, ServerBuilder, get, need, now,
};

const ROLES: [&str; 6] = ["node", "pod", "service", "endpoints", "endpointslice", "ingress"];

/// Of targets that are the same after relabelling only one is shown, and not always the same.
const KEEP_APART: &str =
    "relabel_configs: [{action: labelmap, regex: '__meta_(.+)', replacement: 'm_$1'}]";
/// What the installed original does not show yet. Compat: Prometheus 3.7 and later do.
const NEWER_LABELS: &str = "__meta_kubernetes_node_condition_";

/// A job for each role, and one for what is lent by nodes or left out by selectors.
fn config(server: &FakeKubernetes) -> String {
    let url = server.url();
    let mut text = "global: {scrape_interval: 10m}\nscrape_configs:\n".to_owned();
    let mut job = |name: &str, keys: &str| {
        text.push_str(&format!(
            "- {{job_name: {name}, kubernetes_sd_configs: [{{api_server: '{url}', {keys}}}], {KEEP_APART}}}\n"
        ));
    };
    for role in ROLES {
        job(role, &format!("role: {role}"));
    }
    for role in ["pod", "endpoints", "endpointslice"] {
        let keys = format!("role: {role}, attach_metadata: {{node: true}}");
        job(&format!("{role}-node"), &keys);
    }
    job(
        "selected",
        "role: pod, namespaces: {names: [n]}, selectors: [{role: pod, label: 'app=x'}]",
    );
    job(
        "named",
        "role: endpoints, namespaces: {names: [n, m]}, selectors: [{role: endpoints, field: 'metadata.name=web'}]",
    );
    text
}

fn meta(name: &str, namespace: &str, more: Value) -> Value {
    let mut meta = json!({"name": name, "namespace": namespace, "uid": format!("uid-{name}")});
    for (key, value) in more.as_object().unwrap() {
        meta[key] = value.clone();
    }
    meta
}

fn pod(name: &str, namespace: &str, ip: &str, phase: &str) -> Value {
    let labels = json!({
        "labels": {"app": if ip.is_empty() { "y" } else { "x" }, "a.b/c-d": "v"},
        "annotations": {"prometheus.io/scrape": "true", "kubectl.kubernetes.io/last": "{\"a\": 1}\n"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "r", "controller": true}],
    });
    json!({
        "metadata": meta(name, namespace, labels),
        "spec": {
            "nodeName": "node-1",
            "containers": [
                {"name": "web", "image": "web:1", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"name": "m", "containerPort": 9100, "protocol": "TCP"}]},
                {"name": "side", "image": "side:1"},
            ],
            "initContainers": [{"name": "setup", "image": "setup:1", "ports": [{"containerPort": 7000, "protocol": "UDP"}]}],
        },
        "status": {
            "phase": phase, "podIP": ip, "hostIP": "127.0.0.9",
            "conditions": [{"type": "Ready", "status": if phase == "Running" { "True" } else { "False" }}],
            "containerStatuses": [{"name": "web", "containerID": "containerd://web", "ready": true, "restartCount": 0, "image": "web:1", "imageID": ""}],
            "initContainerStatuses": [{"name": "setup", "containerID": "containerd://setup", "ready": true, "restartCount": 0, "image": "setup:1", "imageID": ""}],
        },
    })
}

fn node(name: &str, status: &str) -> Value {
    let mut meta = meta(name, "", json!({"labels": {"zone": "z", "kubernetes.io/os": "linux"}}));
    meta.as_object_mut().unwrap().remove("namespace");
    json!({
        "metadata": meta,
        "spec": {"providerID": "test:///node"},
        "status": {
            "conditions": [{"type": "Ready", "status": status}, {"type": "DiskPressure", "status": "False"}],
            "addresses": [{"type": "Hostname", "address": name}, {"type": "ExternalIP", "address": "127.0.0.8"}, {"type": "InternalIP", "address": "127.0.0.9"}, {"type": "InternalIP", "address": "127.0.0.7"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    })
}

fn service(kind: &str) -> Value {
    let name = kind.to_lowercase();
    json!({
        "metadata": meta(&name, "n", json!({"labels": {"team": "t"}})),
        "spec": {
            "type": kind, "clusterIP": "10.9.0.1", "externalName": "e.test", "loadBalancerIP": "10.9.0.2",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}],
        },
    })
}

fn endpoints(name: &str, pods: &[&str]) -> Value {
    let address = |(index, pod): (usize, &&str)| {
        json!({
            "ip": format!("127.0.1.{index}"), "nodeName": "node-1", "hostname": "h",
            "targetRef": {"kind": "Pod", "namespace": "n", "name": pod},
        })
    };
    let addresses: Vec<Value> = pods.iter().enumerate().map(address).collect();
    json!({
        "metadata": meta(name, "n", json!({"annotations": {"e": "1"}})),
        "subsets": [
            {
                "addresses": addresses,
                "notReadyAddresses": [{"ip": "127.0.2.1", "targetRef": {"kind": "Node", "name": "node-1"}}],
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            },
            {"addresses": [{"ip": "127.0.2.2"}], "ports": [{"port": 443, "protocol": "TCP"}]},
        ],
    })
}

fn slice(name: &str, ready: bool) -> Value {
    json!({
        "metadata": meta(name, "n", json!({"labels": {"kubernetes.io/service-name": "web"}})),
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": ["127.0.1.0"], "hostname": "h", "nodeName": "node-1", "zone": "z",
                "conditions": {"ready": ready, "serving": true, "terminating": false},
                "targetRef": {"kind": "Pod", "namespace": "n", "name": "web-0"},
                "deprecatedTopology": {"topology.kubernetes.io/region": "r"},
            },
            {"addresses": ["127.0.2.9"], "conditions": {}},
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "h2c"}],
    })
}

fn ingress(host: &str) -> Value {
    json!({
        "metadata": meta("in", "n", json!({"labels": {"l": "v"}})),
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": ["*.s.test"]}],
            "rules": [
                {"host": host, "http": {"paths": [{"path": "/a", "pathType": "Prefix", "backend": {}}, {"pathType": "Prefix", "backend": {}}]}},
                {"host": "plain.test"},
            ],
        },
    })
}

/// What each job has discovered, in a form that can be compared.
fn discovered(address: &str) -> BTreeSet<String> {
    let answer = get(address, "/api/v1/targets").unwrap().json();
    let of = |kind: &str| answer["data"][kind].as_array().unwrap().clone();
    let all = [of("activeTargets"), of("droppedTargets")].concat();
    let labels = all.iter().map(|target| {
        let labels = target["discoveredLabels"].as_object().unwrap().iter();
        let labels = labels.filter(|(name, _)| {
            !name.starts_with(NEWER_LABELS) && !NEWER_JOB_LABELS.contains(&name.as_str())
        });
        let pairs: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(" ")
    });
    labels.collect()
}

#[track_caller]
fn compare(what: &str, peer: &Peer, ours: &Server, is_there: impl Fn(&BTreeSet<String>) -> bool) {
    let deadline = now() + PATIENCE;
    let last = loop {
        let last = (discovered(&peer.address), discovered(&ours.address()));
        if last.0 == last.1 && is_there(&last.0) {
            return;
        }
        if now() > deadline {
            break last;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let missing: Vec<_> = last.0.difference(&last.1).collect();
    let extra: Vec<_> = last.1.difference(&last.0).collect();
    panic!("{what}: {} shown by both; missing: {missing:#?}, extra: {extra:#?}", last.0.len());
}

#[test]
fn the_original_and_we_find_the_same_in_a_cluster() {
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let cluster = FakeKubernetes::start();
    for name in ["node-1", "node-2"] {
        cluster.put("nodes", node(name, "True"));
    }
    for (name, namespace) in [("web-0", "n"), ("web-1", "n"), ("other", "m")] {
        cluster.put("pods", pod(name, namespace, "127.0.1.0", "Running"));
    }
    cluster.put("pods", pod("waiting", "n", "", "Pending"));
    for kind in ["ClusterIP", "ExternalName", "LoadBalancer"] {
        cluster.put("services", service(kind));
    }
    cluster.put("services", json!({"metadata": meta("web", "n", json!({"labels": {"s": "1"}}))}));
    cluster.put("endpoints", endpoints("web", &["web-0", "web-1", "nobody"]));
    cluster.put("endpoints", endpoints("lonely", &[]));
    cluster.put("endpointslices", slice("web-abc", true));
    cluster.put("ingresses", ingress("a.s.test"));

    let config = config(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::original_with(&original, &folder.path().join("data"), &config, &[]);
    let ours = ServerBuilder::new(&config).start();
    let contains = |part: &'static str| {
        move |all: &BTreeSet<String>| all.iter().any(|labels| labels.contains(part))
    };
    compare("at first", &peer, &ours, |all| {
        let has = |job: &str| all.iter().any(|it| it.contains(&format!("job=\"{job}\"")));
        ROLES
            .into_iter()
            .chain(["pod-node", "endpoints-node", "endpointslice-node", "selected", "named"])
            .all(has)
    });

    cluster.put("nodes", node("node-1", "Unknown"));
    cluster.put("pods", pod("web-1", "n", "127.0.1.77", "Succeeded"));
    cluster.put("endpoints", endpoints("web", &["web-1"]));
    cluster.put("endpointslices", slice("web-abc", false));
    cluster.put("endpointslices", slice("web-def", true));
    cluster.put("ingresses", ingress("b.s.test"));
    cluster.put("services", json!({"metadata": meta("web", "n", json!({"labels": {"s": "2"}}))}));
    compare("after changes", &peer, &ours, contains("b.s.test"));

    cluster.delete("nodes", "", "node-2");
    cluster.delete("pods", "m", "other");
    cluster.delete("services", "n", "externalname");
    cluster.delete("endpoints", "n", "lonely");
    cluster.delete("endpointslices", "n", "web-abc");
    cluster.delete("ingresses", "n", "in");
    compare("after deletions", &peer, &ours, |all| !contains("ingress_host")(all));

    // What happens while nobody can watch is found by listing again.
    cluster.forget();
    cluster.delete("pods", "n", "waiting");
    cluster.put("pods", pod("late", "n", "127.0.1.99", "Running"));
    cluster.put("ingresses", ingress("c.s.test"));
    compare("after a gap", &peer, &ours, |all| {
        contains("127.0.1.99")(all) && contains("c.s.test")(all)
    });

    let metric = |address: &str, name: &str| {
        let body = get(address, "/metrics").unwrap().body;
        let names = body.lines().filter(|line| line.starts_with(name));
        names.map(|line| line.split(' ').next().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    for name in [
        "prometheus_sd_kubernetes_events_total",
        "prometheus_sd_kubernetes_failures_total",
        "prometheus_sd_kubernetes_workqueue",
    ] {
        assert_eq!(metric(&ours.address(), name), metric(&peer.address, name), "{name}");
    }
}
