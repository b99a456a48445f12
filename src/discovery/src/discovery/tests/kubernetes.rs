//! A whole API server, of the test's own: lists, watches, and all that goes wrong with them.

use prom_testkit::{FakeKubernetes, tls_of};
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use super::*;

fn pod(name: &str, ip: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "n"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "c", "ports": [{"containerPort": 1}]}]},
        "status": {"podIP": ip},
    })
}

fn job(server: &FakeKubernetes, keys: &str) -> String {
    let url = server.url();
    format!("- {{job_name: a, kubernetes_sd_configs: [{{api_server: '{url}', {keys}}}]}}")
}

/// As large as pods of a real cluster are.
fn large_pod(number: usize, ip: &str) -> Value {
    let name = format!("service-{:04}-7c9f8b6d5-{number:06}", number / 50);
    let mut pod = pod(&name, ip);
    pod["metadata"]["uid"] = format!("b4176700-596a-4f80-9fc8-{number:012}").into();
    pod["metadata"]["labels"] =
        json!({"app.kubernetes.io/name": name, "pod-template-hash": "7c9f8b6d5", "team": "a"});
    pod["metadata"]["annotations"] = json!({"prometheus.io/scrape": "true", "kubernetes.io/config.hash": "f".repeat(64),
        "large": "x".repeat(700)});
    pod["metadata"]["ownerReferences"] =
        json!([{"kind": "ReplicaSet", "name": "service-7c9f8b6d5", "controller": true}]);
    pod["spec"]["containers"] = json!([
        {"name": "main", "image": "registry.test/team/service:v1.2.3", "env": [{"name": "A", "value": "b".repeat(300)}],
         "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"name": "metrics", "containerPort": 9090}]},
        {"name": "sidecar", "image": "registry.test/mesh:v2", "ports": [{"name": "admin", "containerPort": 15000}]},
    ]);
    pod["status"]["phase"] = "Running".into();
    pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    pod
}

/// The memory of this process that is in use.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// With `PROMETHEUS_TESTS_PODS=100000` (and nothing beside it) it is a whole large cluster, whose memory is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn many_pods_come_in_pages_and_one_that_changes_touches_one_group() {
    let asked = std::env::var("PROMETHEUS_TESTS_PODS").ok().map(|it| it.parse::<usize>().unwrap());
    let count = asked.unwrap_or(2_500);
    let (house, server) = (House::hasty(), FakeKubernetes::start());
    for number in 0..count {
        server.put("pods", large_pod(number, "10.0.0.1"));
    }
    server.forget();
    let (before_bytes, began) = (resident_bytes(), prom_telemetry::clock::monotonic());
    house.reload(&job(&server, "role: pod"));
    let groups = || house.discovery.target_set("a").groups;
    let wait = async |is_there: &dyn Fn() -> bool| {
        while !is_there() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        prom_telemetry::clock::monotonic()
    };
    let listed = wait(&|| groups().len() == count).await - began;
    let bytes = resident_bytes().saturating_sub(before_bytes);
    assert_eq!(groups().iter().map(|group| group.targets.len()).sum::<usize>(), 3 * count);
    let asked_for = server.requests();
    let pages = asked_for.iter().filter(|line| line.contains("limit=500")).count();
    assert_eq!(pages, count.div_ceil(500));

    let changed = count / 2;
    let before = groups();
    let began = prom_telemetry::clock::monotonic();
    server.put("pods", large_pod(changed, "10.0.0.2"));
    let has_changed = || {
        let (before, after) = (&before, groups());
        !Arc::ptr_eq(&before[changed], &after[changed])
    };
    let noticed = wait(&has_changed).await - began;
    let after = groups();
    let touched = before.iter().zip(&*after).filter(|(one, other)| !Arc::ptr_eq(one, other));
    assert_eq!((touched.count(), before.len()), (1, after.len()));
    assert_eq!(after[changed].targets[0].get("__address__"), Some("10.0.0.2:8080"));
    println!(
        "{count} pods: listed in {listed:?}, {bytes} bytes more, a change is there after {noticed:?}"
    );
    if asked.is_some() {
        assert!(bytes / count < 10_000, "{} bytes a pod", bytes / count);
    }
}

#[tokio::test]
async fn pods_are_listed_watched_and_listed_again() {
    let (house, server) = (House::hasty(), FakeKubernetes::start());
    for number in 0..1_203 {
        server.put("pods", pod(&format!("p{number:04}"), "10.0.0.1"));
    }
    house.reload(&job(&server, "role: pod"));
    house.wait_for("a", &["10.0.0.1:1"; 1_203]).await;
    let asked = server.requests();
    assert!(asked[0].starts_with("GET /api/v1/pods?limit=500 "), "{}", asked[0]);
    assert!(asked[2].starts_with("GET /api/v1/pods?limit=500&continue=1000 "), "{}", asked[2]);

    for number in 2..1_203 {
        server.delete("pods", "n", &format!("p{number:04}"));
    }
    house.wait_for("a", &["10.0.0.1:1"; 2]).await;
    let before = house.discovery.target_set("a").groups;
    server.put("pods", pod("p0001", "10.0.0.2"));
    server.put("pods", pod("p0002", "10.0.0.3"));
    house.wait_for("a", &["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]).await;
    let after = house.discovery.target_set("a").groups;
    assert!(Arc::ptr_eq(&before[0], &after[0]), "an unchanged group is the same object");

    // A watch that breaks goes on where it was; one whose past is forgotten begins anew.
    let lists = |server: &FakeKubernetes| {
        server.requests().iter().filter(|line| !line.contains("watch=true")).count()
    };
    let list_count = lists(&server);
    server.break_watches();
    server.delete("pods", "n", "p0002");
    house.wait_for("a", &["10.0.0.1:1", "10.0.0.2:1"]).await;
    assert_eq!(lists(&server), list_count);
    server.forget();
    server.delete("pods", "n", "p0001");
    server.put("pods", pod("p0003", "10.0.0.4"));
    house.wait_for("a", &["10.0.0.1:1", "10.0.0.4:1"]).await;
    assert!(lists(&server) > list_count);
    assert!(house.metric("prometheus_sd_kubernetes_events_total") > 1_203.0);
    assert!(house.metric("prometheus_sd_kubernetes_http_request_total") > 5.0);
    house.reload("");
    assert_eq!(house.targets("a"), [""; 0]);
}

/// TLS before a server; its certificate and its port.
#[expect(clippy::disallowed_methods, reason = "a server of a test needs no supervisor")]
async fn with_tls(server: &FakeKubernetes) -> (String, u16) {
    let ((acceptor, authority), inner) = (tls_of(&["localhost"], &[]), server.address());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((outer, _)) = listener.accept().await {
            let (acceptor, inner) = (acceptor.clone(), inner.clone());
            tokio::spawn(async move {
                let Ok(mut outer) = acceptor.accept(outer).await else { return };
                let mut inner = TcpStream::connect(inner).await.unwrap();
                drop(copy_bidirectional(&mut outer, &mut inner).await);
            });
        }
    });
    (authority, port)
}

#[tokio::test]
async fn a_kubeconfig_names_certificates_and_a_token_that_changes() {
    let (house, server) = (House::hasty(), FakeKubernetes::start());
    server.require_token("t-1");
    server.put("pods", pod("p", "10.0.0.1"));
    let (ca, port) = with_tls(&server).await;
    house.write("ca.pem", &ca);
    house.write("token", "t-0");
    house.write("kube.yml", &format!("{{current-context: x, contexts: [{{name: x, context: {{cluster: c, user: u}}}}], clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{port}', tls-server-name: localhost, certificate-authority: ca.pem}}}}], users: [{{name: u, user: {{tokenFile: token}}}}]}}"));
    house
        .reload("- {job_name: a, kubernetes_sd_configs: [{role: pod, kubeconfig_file: kube.yml}]}");
    house.wait_for_metric_above("prometheus_sd_kubernetes_failures_total", 0.0).await;
    house.write("token", "t-1");
    house.wait_for("a", &["10.0.0.1:1"]).await;
    server.put("pods", pod("q", "10.0.0.2"));
    house.wait_for("a", &["10.0.0.1:1", "10.0.0.2:1"]).await;
}

#[tokio::test]
async fn a_kubeconfig_names_a_program_that_is_asked_again_when_it_is_refused() {
    let (house, server) = (House::hasty(), FakeKubernetes::start());
    server.require_token("t-1");
    server.put("pods", pod("p", "10.0.0.1"));
    let credential = |token: &str| {
        let status = json!({"token": token, "expirationTimestamp": "2100-01-01T00:00:00Z"});
        json!({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": status}).to_string()
    };
    house.write("credential.json", &credential("t-0"));
    let folder = house.folder.path().display();
    house.write(
        "kube.yml",
        &format!(
            "{{current-context: x, contexts: [{{name: x, context: {{cluster: c, user: u}}}}], clusters: [{{name: c, cluster: {{server: '{}'}}}}], \
             users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: cat, args: ['{folder}/credential.json'], interactiveMode: Never}}}}}}]}}",
            server.url()
        ),
    );
    house
        .reload("- {job_name: a, kubernetes_sd_configs: [{role: pod, kubeconfig_file: kube.yml}]}");
    house.wait_for_metric_above("prometheus_sd_kubernetes_failures_total", 0.0).await;
    house.write("credential.json", &credential("t-1"));
    house.wait_for("a", &["10.0.0.1:1"]).await;
    server.require_token("t-2");
    house.write("credential.json", &credential("t-2"));
    server.break_watches();
    server.put("pods", pod("q", "10.0.0.2"));
    house.wait_for("a", &["10.0.0.1:1", "10.0.0.2:1"]).await;
}

#[tokio::test]
async fn a_tool_reads_all_lists_once() {
    let (house, server) = (House::hasty(), FakeKubernetes::start());
    server.put("namespaces", json!({"metadata": {"name": "n", "labels": {"team": "x"}}}));
    for number in 0..700 {
        server.put("pods", pod(&format!("p{number:04}"), "10.0.0.1"));
    }
    let cfg =
        config(house.folder.path(), &job(&server, "role: pod, attach_metadata: {namespace: true}"));
    let cfg = &cfg.scrape_configs[0].discovery_configs[0];
    let found = crate::discover_once(cfg, "Prometheus/3.5.0").await.unwrap();
    assert_eq!(found.len(), 700);
    assert_eq!(found[0].labels.get("__meta_kubernetes_namespace_label_team"), Some("x"));
    server.refuse("namespaces", 1, 403, r#"{"message": "namespaces is forbidden"}"#);
    let refused = crate::discover_once(cfg, "Prometheus/3.5.0").await.unwrap_err();
    assert_eq!(refused.to_string(), "namespaces is forbidden");
}

#[tokio::test]
async fn what_is_no_list_changes_nothing() {
    let (house, server) = (House::hasty(), FakeKubernetes::start());
    server.put("pods", pod("p", "10.0.0.1"));
    house.reload(&job(&server, "role: pod"));
    house.wait_for("a", &["10.0.0.1:1"]).await;
    let before = house.discovery.target_set("a");
    for (index, (status, body)) in [
        (200, "<html>"),
        (200, r#"{"items": [{"metadata": {"labels": 1}}]}"#),
        (403, r#"{"kind": "Status", "message": "pods is forbidden", "code": 403}"#),
        (500, ""),
    ]
    .into_iter()
    .enumerate()
    {
        let failures = house.metric("prometheus_sd_kubernetes_failures_total");
        assert_eq!(failures > 0.0, index > 0);
        // The watch fails as well as the list.
        server.refuse("pods", 2, status, body);
        server.break_watches();
        house.wait_for_metric_above("prometheus_sd_kubernetes_failures_total", failures).await;
        assert_eq!(house.discovery.target_set("a"), before, "{body}");
    }
}

#[tokio::test]
async fn nothing_is_delivered_before_all_lists_are_there() {
    let (house, server) = (House::hasty(), FakeKubernetes::start());
    server.require_token("t-1");
    server.put("pods", pod("p", "10.0.0.1"));
    server.put("pods", pod("q", "10.0.0.2"));
    server.put("namespaces", json!({"metadata": {"name": "n", "labels": {"team": "x"}}}));
    server.refuse("namespaces", 1, 500, "");
    let token = house.folder.path().join("token");
    std::fs::write(&token, "t-0").unwrap();
    let keys = format!(
        "role: pod, bearer_token_file: '{}', namespaces: {{names: [n, n]}}, attach_metadata: {{namespace: true}}, selectors: [{{role: pod, field: metadata.name=p}}]",
        token.display()
    );
    house.reload(&job(&server, &keys));
    house.wait_for_metric_above("prometheus_sd_kubernetes_failures_total", 1.0).await;
    assert_eq!(house.targets("a"), [""; 0]);
    // The right token counts from the next request on.
    std::fs::write(&token, "t-1").unwrap();
    house.wait_for("a", &["10.0.0.1:1"]).await;
    let group = Arc::clone(&house.discovery.target_set("a").groups[0]);
    assert_eq!(group.labels.get("__meta_kubernetes_namespace_label_team"), Some("x"));
    let is_selected =
        |line: &String| line.contains("/api/v1/namespaces/n/pods?fieldSelector=metadata.name%3Dp&");
    assert!(server.requests().iter().any(is_selected), "{:?}", server.requests());
}

#[tokio::test]
async fn a_kubeconfig_that_comes_later_is_found() {
    let (house, server) = (House::hasty(), FakeKubernetes::start());
    server.put(
        "services",
        json!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"ports": [{"port": 80}]}}),
    );
    let job =
        "- {job_name: a, kubernetes_sd_configs: [{role: service, kubeconfig_file: kube.yml}]}";
    house.reload(job);
    house.wait_for_metric("prometheus_sd_failed_configs", 1.0).await;
    let url = server.url();
    house.write("kube.yml", &format!("{{current-context: x, contexts: [{{name: x, context: {{cluster: c, user: u}}}}], clusters: [{{name: c, cluster: {{server: '{url}'}}}}], users: [{{name: u, user: {{token: t}}}}]}}"));
    house.wait_for("a", &["s.n.svc:80"]).await;
    assert_eq!(house.metric("prometheus_sd_failed_configs"), 0.0);
}

#[tokio::test]
async fn twenty_thousand_pods_are_taken_over_and_one_changes() {
    let (house, server) = (House::hasty(), FakeKubernetes::start());
    const COUNT: usize = 20_000;
    for number in 0..COUNT {
        server.put("pods", pod(&format!("p{number:05}"), "10.0.0.1"));
    }
    house.reload(&job(&server, "role: pod"));
    house.wait_for("a", &["10.0.0.1:1"; COUNT]).await;
    let before = house.discovery.target_set("a").groups;
    server.put("pods", pod("p10000", "10.0.0.2"));
    let mut expected = vec!["10.0.0.1:1"; COUNT];
    expected[10_000] = "10.0.0.2:1";
    house.wait_for("a", &expected).await;
    let after = house.discovery.target_set("a").groups;
    let changed = before.iter().zip(&*after).filter(|(old, new)| !Arc::ptr_eq(old, new)).count();
    assert_eq!(changed, 1);
}
