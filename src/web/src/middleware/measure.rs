//! Requests counted, timed and weighed by handler, under Prometheus's names.
//! Compat: Prometheus `web/web.go`, `newMetrics`; handlers are named by their paths in its router.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http_body::{Frame, SizeHint};
use prom_telemetry::{Counter, CounterVec, Histogram, HistogramVec, Registry, clock};

const DURATION_BUCKETS: [f64; 9] = [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];
const SIZE_BUCKETS: [f64; 8] = [1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// The metrics of all handlers.
#[derive(Debug)]
pub(crate) struct HttpMetrics {
    requests: CounterVec,
    durations: HistogramVec,
    sizes: HistogramVec,
    /// By path of the route, those without wildcards.
    handlers: HashMap<String, Handler>,
    /// The others with their routes.
    wild: Vec<(String, Handler)>,
}

#[derive(Debug)]
struct Handler {
    name: String,
    ok_count: Counter,
    duration: Histogram,
    size: Histogram,
}

impl HttpMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let requests = registry.counter_vec(
            "prometheus_http_requests_total",
            "Counter of HTTP requests.",
            &["handler", "code"],
        );
        let durations = registry.histogram_vec(
            "prometheus_http_request_duration_seconds",
            "Histogram of latencies for HTTP requests.",
            &DURATION_BUCKETS,
            &["handler"],
        );
        let sizes = registry.histogram_vec(
            "prometheus_http_response_size_bytes",
            "Histogram of response size for HTTP requests.",
            &SIZE_BUCKETS,
            &["handler"],
        );
        Self { requests, durations, sizes, handlers: HashMap::new(), wild: Vec::new() }
    }

    /// Prepares the metrics of the route at `prefix` and `path`; counts start at 0.
    pub(crate) fn register(&mut self, prefix: &str, path: &str) {
        let name = handler_name(path);
        let handler = Handler {
            ok_count: self.requests.with(&[&name, "200"]),
            duration: self.durations.with(&[&name]),
            size: self.sizes.with(&[&name]),
            name,
        };
        let route = format!("{prefix}{path}");
        match path.contains('{') {
            false => drop(self.handlers.insert(route, handler)),
            true => self.wild.push((route, handler)),
        }
    }

    fn handler(&self, path: &str) -> Option<&Handler> {
        let of_wild = || self.wild.iter().find(|(route, _)| is_of_route(path, route));
        self.handlers.get(path).or_else(|| of_wild().map(|(_, handler)| handler))
    }
}

/// Whether the router leads `path` to `route`, whose wildcards are whole segments.
fn is_of_route(path: &str, route: &str) -> bool {
    let (mut path, mut route) = (path.split('/'), route.split('/'));
    loop {
        match (path.next(), route.next()) {
            (None, None) => return true,
            (Some(first), Some(wildcard)) if wildcard.starts_with("{*") => {
                return !first.is_empty() || path.next().is_some();
            }
            (Some(segment), Some(wildcard)) if wildcard.starts_with('{') => {
                if segment.is_empty() {
                    return false;
                }
            }
            (segment, expected) if segment == expected => {}
            _ => return false,
        }
    }
}

/// Counts the request when its answer is known, and times and weighs it when the answer is sent.
pub(crate) async fn measure(
    State(metrics): State<Arc<HttpMetrics>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(handler) = metrics.handler(request.uri().path()) else {
        return next.run(request).await;
    };
    let started = clock::monotonic();
    let response = next.run(request).await;
    match response.status().as_u16() {
        200 => handler.ok_count.inc(),
        code => metrics.requests.with(&[&handler.name, &code.to_string()]).inc(),
    }
    let (duration, size) = (handler.duration.clone(), handler.size.clone());
    response.map(|body| Body::new(Measured { body, started, duration, size, size_bytes: 0 }))
}

/// The name of a handler: its path, with wildcards as Prometheus's router writes them.
fn handler_name(path: &str) -> String {
    path.replace("{*", "*").replace('{', ":").replace('}', "")
}

/// A body that is weighed as it goes by, and told when it is gone: sent or given up.
struct Measured {
    body: Body,
    started: Instant,
    duration: Histogram,
    size: Histogram,
    size_bytes: u64,
}

impl http_body::Body for Measured {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.size_bytes += data.len() as u64;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let elapsed = clock::monotonic().saturating_duration_since(self.started);
        self.duration.observe(elapsed.as_secs_f64());
        self.size.observe(self.size_bytes as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_have_the_names_of_the_reference() {
        for (path, expected) in [
            ("/query", "/query"),
            ("/api/v1/label/{name}/values", "/api/v1/label/:name/values"),
            ("/static/{*filepath}", "/static/*filepath"),
        ] {
            assert_eq!(handler_name(path), expected);
        }
    }

    #[test]
    fn wildcards_are_whole_segments() {
        for (path, route, expected) in [
            ("/api/v1/label/job/values", "/api/v1/label/{name}/values", true),
            ("/api/v1/label//values", "/api/v1/label/{name}/values", false),
            ("/api/v1/label/job/values/", "/api/v1/label/{name}/values", false),
            ("/api/v1/label/job", "/api/v1/label/{name}/values", false),
            ("/p/static/a/b.css", "/p/static/{*filepath}", true),
            ("/static/a", "/p/static/{*filepath}", false),
            ("/static/", "/static/{*filepath}", false),
            ("/static", "/static/{*filepath}", false),
        ] {
            assert_eq!(is_of_route(path, route), expected, "{path} {route}");
        }
    }
}
