//! `/metrics`: what the house tells about itself, in the format the reader asks for.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};
use prom_exposition::{negotiate, print};

use prom_telemetry::{CounterVec, Gauge, Registry};

use crate::context::WebContext;

/// What `/metrics` tells of itself. Compat: client_golang `promhttp.InstrumentMetricHandler`.
#[derive(Debug)]
pub(crate) struct HandlerMetrics {
    requests: CounterVec,
    in_flight: Gauge,
}

/// Counts down when the request is gone, however that comes.
struct InFlight(Gauge);

impl HandlerMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let requests = registry.counter_vec(
            "promhttp_metric_handler_requests_total",
            "Total number of scrapes by HTTP status code.",
            &["code"],
        );
        for code in ["200", "500", "503"] {
            requests.with(&[code]);
        }
        let in_flight = registry.gauge(
            "promhttp_metric_handler_requests_in_flight",
            "Current number of scrapes being served.",
        );
        Self { requests, in_flight }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

pub(crate) async fn metrics(State(ctx): State<Arc<WebContext>>, headers: HeaderMap) -> Response {
    let own = &ctx.handler_metrics;
    own.in_flight.inc();
    let _in_flight = InFlight(own.in_flight.clone());
    let response = printed(&ctx, &headers).await;
    own.requests.with(&[response.status().as_str()]).inc();
    response
}

async fn printed(ctx: &WebContext, headers: &HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = negotiate(accept);
    let registry = ctx.parts.registry.clone();
    // Gathering asks other rooms, which may take their time.
    let printed = ctx.parts.lifecycle.blocking(move || {
        let mut body = Vec::with_capacity(64 * 1024);
        print::families(&registry.gather(), format, &mut body);
        body
    });
    match printed.await {
        Ok(body) => {
            let content_type = HeaderValue::from_static(format.content_type());
            ([(CONTENT_TYPE, content_type)], body).into_response()
        }
        Err(error) => {
            tracing::error!(err = %error, "Gathering metrics failed");
            (http::StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response()
        }
    }
}
