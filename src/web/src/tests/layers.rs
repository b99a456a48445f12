//! Layers: who may ask, when, and what is counted.

use http::{Method, StatusCode};
use prom_lifecycle::State;
use prom_model::GoRegex;
use prom_telemetry::MetricValue;

use crate::{WebOptions, testing::Site};

#[tokio::test]
async fn other_origins_may_read_the_api_if_they_are_allowed() {
    let cors_origin = GoRegex::anchored(r"https?://(a|b)\.example\.org").unwrap();
    let site = Site::with(WebOptions { cors_origin, ..WebOptions::default() }, State::Ready);
    for (method, path, origin, expected) in [
        (Method::GET, "/api/v1/query?query=1", "http://a.example.org", "http://a.example.org"),
        (Method::GET, "/api/v1/query?query=(", "http://a.example.org", "http://a.example.org"),
        (Method::OPTIONS, "/api/v1/query", "https://b.example.org", "https://b.example.org"),
        (Method::GET, "/api/v1/query?query=1", "http://c.example.org", ""),
        (Method::GET, "/api/v1/query?query=1", "http://a.example.org.evil", ""),
        (Method::GET, "/targets", "http://a.example.org", ""),
        (Method::GET, "/metrics", "http://a.example.org", ""),
    ] {
        let answer = site.ask(method, path, &[("origin", origin)], "").await;
        assert_eq!(answer.header("access-control-allow-origin"), expected, "{path} {origin}");
        let is_api = path.starts_with("/api/");
        assert_eq!(answer.header("vary").contains("Origin"), is_api, "{path}");
    }
}

#[tokio::test]
async fn only_our_own_pages_may_change_something() {
    let site = Site::new();
    let cross_site = [("sec-fetch-site", "cross-site"), ("origin", "http://evil.example.org")];
    let old_browser = [("origin", "http://evil.example.org")];
    for path in ["/-/reload", "/-/quit", "/lifecycle/reload", "/config/reload"] {
        for headers in [&cross_site[..], &old_browser[..]] {
            let answer = site.ask(Method::POST, path, headers, "").await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
            assert!(answer.body.is_empty() || !answer.body.contains("Lifecycle"), "{path}");
        }
        // From our own page and from a client that is no browser: refused by the switch, not by the layer.
        let own = [("sec-fetch-site", "same-origin"), ("origin", "http://localhost")];
        for headers in [&own[..], &[]] {
            let answer = site.ask(Method::POST, path, headers, "").await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
            assert!(
                answer.body.contains("not enabled") || answer.body.contains("switched off"),
                "{path}: {}",
                answer.body
            );
        }
    }
    let form = ("content-type", "application/x-www-form-urlencoded");
    let headers = [cross_site[0], cross_site[1], form];
    let answer = site.ask(Method::POST, "/api/v1/query", &headers, "query=1").await;
    assert_eq!(answer.status, StatusCode::OK, "reading is a matter of CORS");
}

#[tokio::test]
async fn a_server_that_is_not_ready_says_so() {
    for (state, header) in [(State::Bound, "false"), (State::Stopping, "true")] {
        let site = Site::with(WebOptions::default(), state);
        for path in ["/api/v1/query?query=1", "/query", "/targets", "/api/v1/labels"] {
            let answer = site.get(path).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(answer.header("x-prometheus-stopping"), header, "{path}");
            assert_eq!(answer.body, "Service Unavailable", "{path}");
        }
        for path in ["/lifecycle", "/metrics", "/-/healthy", "/api/v1/status/walreplay", "/version"]
        {
            assert_eq!(site.get(path).await.status, StatusCode::OK, "{path}");
        }
        assert_eq!(site.get("/-/ready").await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn answers_are_compressed_when_asked_for() {
    let site = Site::new();
    for (path, encoding, expected) in [
        ("/api/v1/targets", "gzip", "gzip"),
        ("/api/v1/targets", "zstd", "zstd"),
        ("/api/v1/targets", "gzip, deflate", "gzip"),
        ("/api/v1/targets", "identity", ""),
        ("/api/v1/query?query=1", "gzip", ""),
        ("/metrics", "gzip", "gzip"),
        ("/targets", "gzip", "gzip"),
    ] {
        let answer = site.ask(Method::GET, path, &[("accept-encoding", encoding)], "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header("content-encoding"), expected, "{path} {encoding}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_handler() {
    let site = Site::new();
    site.get("/api/v1/query?query=1").await;
    site.get("/api/v1/query?query=(").await;
    site.get("/api/v1/label/job/values").await;
    site.get("/nothing_here").await;
    let families = site.registry.gather();
    let find = |family: &str, labels: &[(&str, &str)]| {
        let family = families.iter().find(|one| one.name == family).unwrap();
        let is_wanted = |have: &[(String, String)]| {
            labels.iter().all(|(n, v)| have.iter().any(|(name, value)| name == n && value == v))
        };
        let found: Vec<_> = family.metrics.iter().filter(|one| is_wanted(&one.labels)).collect();
        assert_eq!(found.len(), 1, "{labels:?}");
        found[0].value.clone()
    };
    for (handler, code, count) in [
        ("/api/v1/query", "200", 1.0),
        ("/api/v1/query", "400", 1.0),
        ("/api/v1/label/:name/values", "200", 1.0),
        ("/api/v1/query_range", "200", 0.0),
        ("/-/ready", "200", 0.0),
        ("/metrics", "200", 0.0),
        ("/static/*filepath", "200", 0.0),
    ] {
        let labels = [("handler", handler), ("code", code)];
        assert_eq!(find("prometheus_http_requests_total", &labels), MetricValue::Number(count));
    }
    for family in
        ["prometheus_http_request_duration_seconds", "prometheus_http_response_size_bytes"]
    {
        let MetricValue::Histogram(value) = find(family, &[("handler", "/api/v1/query")]) else {
            panic!("{family} is a histogram");
        };
        assert_eq!(value.count, 2, "{family}");
        assert!(value.sum > 0.0, "{family}");
    }
}

#[tokio::test]
async fn a_prefix_moves_routes_and_links() {
    let external_url = "https://example.org/prom/".parse().unwrap();
    let site = Site::with(WebOptions { external_url, ..WebOptions::default() }, State::Ready);
    for (path, status, location) in [
        ("/", 302, "/prom"),
        ("/prom", 301, "/prom/"),
        ("/prom/", 302, "/prom/query"),
        ("/prom/graph?g0.expr=a", 302, "/prom/query?g0.expr=a"),
        ("/prom/api/v1/query?query=1", 200, ""),
        ("/prom/-/ready", 200, ""),
        ("/prom/metrics", 200, ""),
        ("/api/v1/query?query=1", 404, ""),
        ("/-/ready", 404, ""),
    ] {
        let answer = site.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (status, location),
            "{path}"
        );
    }
    for path in ["/query?g0.expr=up&g0.tab=graph", "/targets", "/lifecycle", "/config"] {
        let body = site.get(&format!("/prom{path}")).await.body;
        let links = body.split(" href=\"").skip(1).chain(body.split(" action=\"").skip(1));
        for link in links {
            let is_ours =
                link.starts_with("/prom/") || link.starts_with('#') || link.starts_with("http");
            assert!(is_ours, "{path}: {}", &link[..40]);
        }
    }
    let preflight = site.ask(Method::OPTIONS, "/prom/api/v1/nothing", &[], "").await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);

    // Behind a proxy that strips the prefix: links have it, routes do not.
    let external_url = "https://example.org/prom/".parse().unwrap();
    let route_prefix = Some("/".to_owned());
    let options = WebOptions { external_url, route_prefix, ..WebOptions::default() };
    let site = Site::with(options, State::Ready);
    assert_eq!(site.get("/").await.header("location"), "/prom/query");
    assert!(site.get("/query").await.body.contains("action=\"/prom/query\""));
}

#[tokio::test]
async fn the_style_sheet_is_cached_for_ever() {
    let site = Site::new();
    let page = site.get("/status").await.body;
    let path = page.split("href=\"/static/").nth(1).unwrap().split('"').next().unwrap();
    let answer = site.get(&format!("/static/{path}")).await;
    assert_eq!(answer.header("content-type"), "text/css; charset=utf-8");
    assert!(answer.header("cache-control").contains("immutable"));
    assert!(!answer.body.contains("url("), "nothing is fetched from elsewhere");
    assert_eq!(site.get("/static/style.css").await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.get("/static/../Cargo.toml").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let site = Site::new();
    let long = format!("query={}", "1".repeat(11 << 20));
    let answer = site.post("/api/v1/query", &long).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body.contains("error parsing form values"), "{}", answer.body);
}

#[tokio::test]
async fn our_metrics_come_in_the_format_that_is_wanted() {
    let site = Site::new();
    let text = site.get("/metrics").await;
    assert_eq!(
        text.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    );
    assert!(
        text.body.contains("\nprometheus_http_requests_total{code=\"200\",handler=\"/query\"} 0\n")
    );
    assert!(text.body.contains("\npromhttp_metric_handler_requests_in_flight 1\n"));
    let accept = [("accept", "application/openmetrics-text;version=1.0.0")];
    let open = site.ask(Method::GET, "/metrics", &accept, "").await;
    assert!(open.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(open.body.ends_with("# EOF\n"));
    assert!(open.body.contains("\npromhttp_metric_handler_requests_total{code=\"200\"} 1"));
}
