//! The answers of the probes and switches, as Prometheus 3.5 gives them.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use tokio::runtime;
use tower::ServiceExt;

use super::*;
use crate::machine::lifecycle::{Event, State};
use crate::systemd::Notifier;

/// The answer as one text: status, the headers that matter, a blank line, the body.
async fn answer(handle: &Handle, method: &str, path: &str) -> String {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let response = probe_routes(handle.clone()).oneshot(request).await.unwrap();
    let mut text = response.status().as_str().to_owned();
    for name in ["allow", "content-type", "x-content-type-options", "x-prometheus-stopping"] {
        if let Some(value) = response.headers().get(name) {
            text += &format!("\n{name}: {}", value.to_str().unwrap());
        }
    }
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    format!("{text}\n\n{}", String::from_utf8(body.to_vec()).unwrap())
}

async fn check(handle: &Handle, request: &str, expected: &str) {
    let (method, path) = request.split_once(' ').unwrap();
    assert_eq!(answer(handle, method, path).await, expected, "{request} in {}", handle.state());
}

const PLAIN: &str = "content-type: text/plain; charset=utf-8";

#[tokio::test]
async fn the_probes_answer_as_the_state_says() {
    let states = [
        (State::Init, "false"),
        (State::ConfigLoaded, "false"),
        (State::StorageReady, "false"),
        (State::Bound, "false"),
        (State::Stopping, "true"),
        (State::Stopped, "true"),
        (State::Failed, "true"),
    ];
    for (state, is_stopping) in states {
        let handle = Handle::detached("Prometheus Server", state);
        let healthy = format!("200\n{PLAIN}\n\nPrometheus Server is Healthy.\n");
        check(&handle, "GET /-/healthy", &healthy).await;
        let header = format!("x-prometheus-stopping: {is_stopping}");
        let not_ready = format!("503\n{PLAIN}\n{header}\n\nService Unavailable");
        check(&handle, "GET /-/ready", &not_ready).await;
        check(&handle, "HEAD /-/ready", &format!("503\n{PLAIN}\n{header}\n\n")).await;
    }
    for state in [State::Ready, State::Degraded, State::Reloading] {
        let handle = Handle::detached("Prometheus Agent", state);
        let ready = format!("200\n{PLAIN}\n\nPrometheus Agent is Ready.\n");
        check(&handle, "GET /-/ready", &ready).await;
        check(&handle, "HEAD /-/ready", &format!("200\n{PLAIN}\n\n")).await;
    }
}

#[tokio::test]
async fn other_methods_get_what_prometheus_gives() {
    let handle = Handle::detached("Prometheus Server", State::Ready);
    let refusal = |allow: &str| {
        format!(
            "405\nallow: {allow}\n{PLAIN}\nx-content-type-options: nosniff\n\nMethod Not Allowed\n"
        )
    };
    for method in ["POST", "PUT", "DELETE"] {
        check(&handle, &format!("{method} /-/healthy"), &refusal("GET, HEAD, OPTIONS")).await;
        check(&handle, &format!("{method} /-/ready"), &refusal("GET, HEAD, OPTIONS")).await;
    }
    check(&handle, "OPTIONS /-/ready", "200\nallow: GET, HEAD, OPTIONS\n\n").await;
    for path in ["/-/reload", "/-/quit"] {
        let only_post = format!("405\n{PLAIN}\n\nOnly POST or PUT requests allowed");
        check(&handle, &format!("GET {path}"), &only_post).await;
        let refusal = refusal("GET, OPTIONS, POST, PUT");
        check(&handle, &format!("DELETE {path}"), &refusal).await;
        let options = "200\nallow: GET, OPTIONS, POST, PUT\n\n";
        check(&handle, &format!("OPTIONS {path}"), options).await;
    }
}

#[tokio::test]
async fn without_the_flag_the_switches_are_off() {
    let handle = Handle::detached("Prometheus Server", State::Ready);
    let off = format!("403\n{PLAIN}\n\nLifecycle API is not enabled.");
    for request in ["POST /-/reload", "PUT /-/reload", "POST /-/quit", "PUT /-/quit"] {
        check(&handle, request, &off).await;
    }
    assert!(!handle.shared().inbox.has_wish());
}

fn enabled() -> Handle {
    Handle::new("Prometheus Server", true, Notifier::default(), runtime::Handle::current())
}

#[tokio::test]
async fn quit_says_goodbye_once() {
    let handle = enabled();
    let goodbye = format!("200\n{PLAIN}\n\nRequesting termination... Goodbye!");
    check(&handle, "POST /-/quit", &goodbye).await;
    let again = format!("200\n{PLAIN}\n\nTermination already in progress.");
    check(&handle, "PUT /-/quit", &again).await;
    let raised = handle.shared().inbox.next().await;
    assert_eq!(raised.iter().map(|raised| raised.event).collect::<Vec<_>>(), [Event::StopAsked]);
}

#[tokio::test]
async fn reload_answers_with_its_outcome() {
    let answered = async |outcome: Result<crate::ReloadOutcome, String>| {
        let handle = enabled();
        let driver = async {
            handle.shared().inbox.next().await;
            for waiter in handle.shared().inbox.take_wish().unwrap().waiters {
                waiter.send(outcome.clone()).unwrap();
            }
        };
        tokio::join!(answer(&handle, "POST", "/-/reload"), driver).0
    };
    assert_eq!(answered(Ok(crate::ReloadOutcome::Unchanged)).await, "200\n\n");
    let failed = format!(
        "500\n{PLAIN}\nx-content-type-options: nosniff\n\nfailed to reload config: line 1: no\n"
    );
    assert_eq!(answered(Err("line 1: no".to_owned())).await, failed);
}

#[tokio::test]
async fn the_view_is_json_in_the_envelope_of_the_api() {
    let handle = Handle::detached("Prometheus Server", State::Ready);
    let _heart = handle.heart("commit loop", std::time::Duration::from_secs(20));
    let text = answer(&handle, "GET", "/api/v1/status/lifecycle").await;
    let (head, body) = text.split_once("\n\n").unwrap();
    assert_eq!(head, "200\ncontent-type: application/json");
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(json["status"], "success");
    let data = &json["data"];
    assert_eq!(data["current"], "Ready");
    assert_eq!(data["is_ready"], true);
    assert_eq!(data["machine"]["states"].as_array().unwrap().len(), State::ALL.len());
    assert_eq!(data["machine"]["states"][0]["name"], "Init");
    assert_eq!(data["machine"]["transitions"][0]["from"], "Init");
    assert_eq!(data["hearts"][0]["name"], "commit loop");
    assert_eq!(data["reload"]["current"], "Idle");
}
