//! Errors as clients of the API see them: the only place where a failure becomes a status code.
//! Inner rooms know no HTTP.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use prom_promql::{QueryError, QueryErrorKind};
use prom_storage::StorageError;

use crate::json;

/// Prometheus's `errorType`.
/// Compat: Prometheus `web/api/v1/api.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    BadData,
    Execution,
    Timeout,
    Canceled,
    Unavailable,
    Internal,
    NotFound,
}

/// An answer of status `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) kind: ErrorKind,
    /// What the client is shown.
    pub(crate) message: String,
}

impl ErrorKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
            Self::NotFound => "not_found",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        const CLIENT_CLOSED_REQUEST: u16 = 499;
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::Canceled => StatusCode::from_u16(CLIENT_CLOSED_REQUEST)
                .expect("a number of three digits is a status code"),
            Self::Unavailable | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound => StatusCode::NOT_FOUND,
        }
    }
}

impl ApiError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, message)
    }

    /// A parameter that is missing or means nothing.
    pub(crate) fn parameter(name: &str, message: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {message}"))
    }

    /// A route that Prometheus has and this server does not have yet.
    pub(crate) fn not_built(what: &str) -> Self {
        Self::new(ErrorKind::NotFound, format!("{what} is not supported by this server yet"))
    }

    /// A failure of ours: logged with its cause, shown without.
    pub(crate) fn internal(message: &str, cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(err = %cause, "{message}");
        Self::new(ErrorKind::Internal, message)
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let kind = match error.kind() {
            QueryErrorKind::BadData => return Self::parameter("query", error),
            QueryErrorKind::Execution => ErrorKind::Execution,
            QueryErrorKind::Timeout => ErrorKind::Timeout,
            QueryErrorKind::Canceled => ErrorKind::Canceled,
            QueryErrorKind::Unavailable => ErrorKind::Unavailable,
            QueryErrorKind::Internal => ErrorKind::Internal,
        };
        if kind == ErrorKind::Internal {
            tracing::error!(err = %error, "Query failed on storage");
        }
        Self::new(kind, error.to_string())
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Canceled => Self::new(ErrorKind::Canceled, error.to_string()),
            // Compat: the reference answers 422 where labels or series cannot be read.
            _ => {
                tracing::error!(err = %error, "Reading from storage failed");
                Self::new(ErrorKind::Execution, error.to_string())
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = br#"{"status":"error","errorType":""#.to_vec();
        body.extend_from_slice(self.kind.as_str().as_bytes());
        body.extend_from_slice(br#"","error":"#);
        json::push_html_string(&mut body, &self.message);
        body.push(b'}');
        let content_type = HeaderValue::from_static("application/json");
        (self.kind.status(), [(CONTENT_TYPE, content_type)], body).into_response()
    }
}
