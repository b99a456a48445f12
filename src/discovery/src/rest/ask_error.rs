//! Why a mechanism got no answer, and when it makes sense to ask again.

use std::{fmt, time::Duration};

use prom_http_client::{HttpError, Response};

/// An attempt that found nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AskError {
    pub(crate) message: String,
    /// The service said that it is asked too often.
    pub(crate) is_throttled: bool,
    /// How long the service wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// Of the answer, if there was one.
    pub(crate) status_code: Option<u16>,
}

impl AskError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, is_throttled: false, retry_after: None, status_code: None }
    }

    /// Keeps what a refusal says about when to ask again.
    pub(crate) fn note_refusal(&mut self, response: &Response) {
        let code = response.status_code();
        self.status_code = Some(code);
        self.is_throttled = code == 429;
        self.retry_after = retry_after(response);
    }

    /// Says what was tried when it happened.
    pub(crate) fn during(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

/// How long the service wants to be left alone.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.header("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<String> for AskError {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<HttpError> for AskError {
    fn from(error: HttpError) -> Self {
        Self::new(error.to_string())
    }
}
