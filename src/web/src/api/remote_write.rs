//! `/api/v1/write`: the request's headers, its body within limits, and the status of the answer.
//! What is in the body is the matter of `remote`.
//! Compat: Prometheus `storage/remote/write_handler.go`; texts of prometheus/client_golang `exp/api/remote`.

use std::{num::NonZero, sync::Arc, thread::available_parallelism};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use prom_lifecycle::{BlockingPool, Handle, PoolLimits};
use prom_remote::{Message, REQUEST_SIZE_BYTES_MAX, Receiver, WriteError};
use prom_telemetry::clock;
use tokio::sync::Semaphore;

use crate::context::WebContext;

const DISABLED: &str =
    "remote write receiver needs to be enabled with --web.enable-remote-write-receiver";
/// Compressed bytes of all requests that are read at a time; others wait for their turn.
const READ_SIZE_BYTES_MAX: usize = 128 << 20;
/// The unit in which they are counted.
const READ_UNIT_SIZE_BYTES: usize = 4 << 10;
/// Requests that are decoded at a time, which bounds the memory for what they inflate to.
const WORKERS_COUNT_MAX: usize = 4;
/// Requests that wait for a worker, their bodies read.
const WAITING_COUNT_MAX: usize = 4096;

/// The way into the receiver.
#[derive(Debug)]
pub(crate) struct RemoteWriteDoor {
    receiver: Option<Arc<Receiver>>,
    pool: BlockingPool,
    /// Units of compressed bytes that may still be read.
    budget: Semaphore,
}

impl RemoteWriteDoor {
    pub(crate) fn new(receiver: Option<Arc<Receiver>>, lifecycle: &Handle) -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        let limits = PoolLimits {
            workers_count_max: cores.min(WORKERS_COUNT_MAX),
            waiting_count_max: WAITING_COUNT_MAX,
        };
        Self {
            receiver,
            pool: lifecycle.pool("remote write", limits),
            budget: Semaphore::new(READ_SIZE_BYTES_MAX / READ_UNIT_SIZE_BYTES),
        }
    }
}

/// A refusal: status and text.
struct Refusal(StatusCode, String);

impl Refusal {
    fn new(status: StatusCode, text: impl ToString) -> Self {
        Self(status, text.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{}\n", self.1))
            .into_response()
    }
}

pub(super) async fn write(State(ctx): State<Arc<WebContext>>, request: Request) -> Response {
    match take(&ctx.remote_write, request).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn take(door: &RemoteWriteDoor, request: Request) -> Result<(), Refusal> {
    let Some(receiver) = &door.receiver else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, DISABLED));
    };
    check_headers(request.headers())?;
    let units = claimed_size_bytes(request.headers()).div_ceil(READ_UNIT_SIZE_BYTES).max(1);
    let permits = u32::try_from(units).unwrap_or(u32::MAX);
    let _permit = door.budget.acquire_many(permits).await.expect("the budget is never closed");
    let body = read_body(request.into_body()).await?;
    let receiver = Arc::clone(receiver);
    let written = door.pool.run(move || receiver.write_v1(&body, clock::now_ms())).await;
    match written {
        Ok(written) => written.map_err(|err| refuse(&err)),
        Err(err) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, err)),
    }
}

/// Encoding first, as in the reference.
fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"));
    let encoding = text(CONTENT_ENCODING);
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("snappy") {
        let reason = format!(
            "{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"
        );
        return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    let message = Message::of_content_type(text(CONTENT_TYPE))
        .map_err(|err| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, err))?;
    if message != Message::V1 {
        let reason = format!(
            "{message} protobuf message is not accepted by this server; only accepts {}",
            Message::V1
        );
        return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    Ok(())
}

/// How much room the body may take: what its length says, or the most there is.
fn claimed_size_bytes(headers: &HeaderMap) -> usize {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    length.unwrap_or(REQUEST_SIZE_BYTES_MAX).min(REQUEST_SIZE_BYTES_MAX)
}

async fn read_body(body: Body) -> Result<Bytes, Refusal> {
    match Limited::new(body, REQUEST_SIZE_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(err) if err.is::<LengthLimitError>() => {
            let reason = format!("request body exceeds limit {REQUEST_SIZE_BYTES_MAX}");
            Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, reason))
        }
        Err(err) => Err(Refusal::new(StatusCode::BAD_REQUEST, err)),
    }
}

/// Senders repeat what was answered with a status from 500 up, and only that.
fn refuse(err: &WriteError) -> Refusal {
    let status = if err.is_bad_request() {
        StatusCode::BAD_REQUEST
    } else if err.is_suspended() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        tracing::error!(err = %err, "Storing a remote write request failed");
        StatusCode::INTERNAL_SERVER_ERROR
    };
    Refusal::new(status, err)
}
