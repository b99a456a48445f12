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

use crate::context::WebContext;

pub(crate) async fn metrics(State(ctx): State<Arc<WebContext>>, headers: HeaderMap) -> Response {
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
