//! From an HTTP request to its parameters, and the parameters that many endpoints share.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use http::{Method, header::CONTENT_TYPE};

use super::{
    form::Form,
    params::{parse_limit, parse_time},
};
use crate::error::ApiError;

/// The content type of HTML forms; other bodies hold no parameters.
const FORM_TYPE: &str = "application/x-www-form-urlencoded";

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let query = request.uri().query().map(str::to_owned);
        let content_type =
            request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_form = content_type.is_some_and(|value| {
            let media_type = value.split(';').next().unwrap_or_default();
            media_type.trim().eq_ignore_ascii_case(FORM_TYPE)
        });
        let has_body = *request.method() == Method::POST || *request.method() == Method::PUT;
        if !(is_form && has_body) {
            return Ok(Self::parse(&[], query.as_deref()));
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|error| ApiError::bad_data(format!("error parsing form values: {error}")))?;
        Ok(Self::parse(&body, query.as_deref()))
    }
}

/// The parameter `limit`, 0 if there is none.
pub(super) fn limit(form: &Form) -> Result<usize, ApiError> {
    parse_limit(form.value("limit")).map_err(|error| ApiError::parameter("limit", error))
}

/// A time that may be left out.
pub(super) fn time_or(form: &Form, name: &str, default_ms: i64) -> Result<i64, ApiError> {
    match form.value(name) {
        "" => Ok(default_ms),
        text => parse_time(text).map_err(|error| {
            ApiError::parameter(name, format!("invalid time value for '{name}': {error}"))
        }),
    }
}
