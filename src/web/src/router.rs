//! All routes, each with the layers it needs.

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, OriginalUri, Request, State},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use http_body::Body as _;
use tower::ServiceBuilder;
use tower_http::{
    CompressionLevel,
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, Predicate, SizeAbove},
    },
    csrf::CsrfLayer,
    timeout::TimeoutBody,
};

use crate::{
    WebOptions, WebParts,
    api::{self, status::version},
    context::WebContext,
    metrics::metrics,
    middleware::{
        HttpMetrics, measure, only_when_ready, preflight, with_cors, with_cors_when_ready,
    },
    pages::{self, SentInPieces},
};

/// Largest form body. Compat: Go's `ParseForm`.
const FORM_SIZE_BYTES_MAX: usize = 10 << 20;
/// Shorter answers stay plain: they are one packet anyway, and a compressor takes longer than its gain.
const COMPRESSED_SIZE_BYTES_MIN: u64 = 1024;

type Routes = Router<Arc<WebContext>>;
type Endpoints = Vec<(&'static str, MethodRouter<Arc<WebContext>>)>;

/// Builds the router of a server: API, pages, probes and metrics.
pub fn router(options: WebOptions, parts: WebParts) -> Router {
    let mut table =
        Table { prefix: options.routes_at(), metrics: HttpMetrics::new(&parts.registry) };
    let probes = prom_lifecycle::probe_routes(parts.lifecycle.clone());
    let ctx = Arc::new(WebContext::new(options, parts));
    let ready = from_fn_with_state(Arc::clone(&ctx), only_when_ready);
    let cors = from_fn_with_state(Arc::clone(&ctx), with_cors);
    let ready_cors = from_fn_with_state(Arc::clone(&ctx), with_cors_when_ready);

    let own = vec![("/metrics", get(metrics)), ("/version", get(version))];
    let routes = table
        .routes(api::endpoints())
        .merge(table.routes(api::actions()).layer(CsrfLayer::new())) // I4
        .layer(ready_cors)
        .merge(table.routes(api::endpoints_of_every_state()).layer(cors))
        .merge(table.routes(pages::endpoints()).layer(ready))
        .merge(table.routes(pages::endpoints_of_every_state()))
        .merge(table.routes(own))
        // I4: only what changes something; reading by POST from other origins is CORS's matter.
        .merge(table.routes(pages::actions()).merge(table.probes(probes)).layer(CsrfLayer::new()));
    let routes = match table.prefix.as_str() {
        "" => routes,
        prefix => {
            let (here, there) = (prefix.to_owned(), format!("{prefix}/"));
            routes.route("/", get(async move || pages::redirect(StatusCode::FOUND, &here))).route(
                prefix,
                get(async move || pages::redirect(StatusCode::MOVED_PERMANENTLY, &there)),
            )
        }
    };
    layered(routes.fallback(fallback), ctx, table.metrics)
}

/// Where routes begin, and the metrics of their handlers.
struct Table {
    prefix: String,
    metrics: HttpMetrics,
}

impl Table {
    fn routes(&mut self, endpoints: Endpoints) -> Routes {
        let mut routes = Routes::new();
        for (path, endpoint) in endpoints {
            self.metrics.register(&self.prefix, path);
            routes = routes.route(&format!("{}{path}", self.prefix), endpoint);
        }
        // Before any layer: those of the API answer `OPTIONS` themselves.
        routes.method_not_allowed_fallback(async || {
            (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n")
        })
    }

    fn probes(&mut self, probes: Router) -> Routes {
        const PATHS: [&str; 5] =
            ["/-/healthy", "/-/ready", "/-/reload", "/-/quit", "/api/v1/status/lifecycle"];
        for path in PATHS {
            self.metrics.register(&self.prefix, path);
        }
        match self.prefix.as_str() {
            "" => Routes::new().merge(probes.with_state(())),
            prefix => Routes::new().nest(prefix, probes.with_state(())),
        }
    }
}

/// Layers around all routes, the outermost first. They are one service around the router: as layers of its
/// routes each would be cloned with all that is in it, for every request.
fn layered(routes: Routes, ctx: Arc<WebContext>, http_metrics: HttpMetrics) -> Router {
    let read_timeout = ctx.options.read_timeout;
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(
        DefaultPredicate::new().and(SizeAbove::new(COMPRESSED_SIZE_BYTES_MIN)).and(is_sent_at_once),
    );
    let site = ServiceBuilder::new()
        .layer(from_fn_with_state(Arc::new(http_metrics), measure))
        .layer(CatchPanicLayer::custom(panicked))
        .map_request(move |request| with_read_timeout(request, read_timeout))
        .map_response(with_nosniff)
        .layer(compression)
        .layer(DefaultBodyLimit::max(FORM_SIZE_BYTES_MAX))
        .service(routes.with_state::<()>(ctx));
    Router::new().fallback_service(site)
}

/// What no route is for.
async fn fallback(
    state: State<Arc<WebContext>>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Response {
    let path = uri.path();
    let is_api =
        path.strip_prefix(&state.options.routes_at()).is_some_and(|p| p.starts_with("/api/v1/"));
    if is_api && *request.method() == Method::OPTIONS {
        return preflight(&state, request.headers());
    }
    pages::not_found(&state, request.headers())
}

/// A compressor keeps the first pieces back until it has enough: what is sent in pieces stays plain.
fn is_sent_at_once(_: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions) -> bool {
    extensions.get::<SentInPieces>().is_none()
}

fn with_nosniff<B>(mut response: http::Response<B>) -> http::Response<B> {
    let value = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, value);
    response
}

/// A body that stops coming does not hold its connection for ever.
fn with_read_timeout(request: Request, timeout: Duration) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    request.map(|body| Body::new(TimeoutBody::new(timeout, body)))
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    tracing::error!(panic = message, "A request handler panicked");
    (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error\n").into_response()
}
