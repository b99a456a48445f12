//! Why a query gave no answer. Texts that clients compare follow the reference.
//! HTTP statuses belong to `web`.

use prom_storage::StorageError;

use crate::syntax::ParseErrors;

/// A query that failed.
/// Compat: Prometheus `promql/engine.go`, `ErrQueryTimeout` and its neighbours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is no valid query.
    #[error("{0}")]
    Parse(ParseErrors),
    /// The query is valid, and cannot be asked for in this way.
    #[error("{0}")]
    Invalid(String),
    /// The expression cannot be evaluated over this data.
    #[error("{0}")]
    Evaluation(String),
    /// Something this engine does not evaluate yet; `position` is `line:column` in the query.
    #[error("{position}: {what} is not supported by this server")]
    Unsupported { what: String, position: String },
    /// Clients know it by its text up to the selector.
    #[error(
        "query processing would load too many samples into memory in query execution{selector}"
    )]
    TooManySamples {
        /// Names the selector that is to blame, behind a comma; empty while none is known.
        selector: String,
    },
    #[error(
        "query processing would need more than {limit_bytes} bytes of memory in query execution{selector}"
    )]
    TooManyBytes {
        limit_bytes: u64,
        /// Names the selector that is to blame, behind a comma; empty while none is known.
        selector: String,
    },
    #[error(
        "queries in execution would together need more than {limit_bytes} bytes of memory{selector}"
    )]
    TooManyBytesOfAll { limit_bytes: u64, selector: String },
    /// So many queries wait already that one more would only time out.
    #[error("{waiting_count} queries are waiting for their turn")]
    QueueFull { waiting_count: usize },
    #[error("query timed out in {0}")]
    TimedOut(&'static str),
    #[error("query was canceled in {0}")]
    Canceled(&'static str),
    #[error("{0}")]
    Storage(String),
}

/// What a caller can do about a failed query; the API's `errorType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryErrorKind {
    BadData,
    Execution,
    Timeout,
    Canceled,
    Unavailable,
    Internal,
}

impl QueryError {
    pub fn kind(&self) -> QueryErrorKind {
        match self {
            Self::Parse(_) | Self::Invalid(_) => QueryErrorKind::BadData,
            Self::Evaluation(_)
            | Self::Unsupported { .. }
            | Self::TooManySamples { .. }
            | Self::TooManyBytes { .. }
            | Self::TooManyBytesOfAll { .. } => QueryErrorKind::Execution,
            Self::QueueFull { .. } => QueryErrorKind::Unavailable,
            Self::TimedOut(_) => QueryErrorKind::Timeout,
            Self::Canceled(_) => QueryErrorKind::Canceled,
            Self::Storage(_) => QueryErrorKind::Internal,
        }
    }

    /// Whoever knows the selector that is to blame adds it.
    pub(crate) fn too_many_samples() -> Self {
        Self::TooManySamples { selector: String::new() }
    }

    /// Two series of one vector carry the same labels.
    pub(crate) fn same_labelset() -> Self {
        Self::Evaluation("vector cannot contain metrics with the same labelset".to_owned())
    }
}

impl From<StorageError> for QueryError {
    fn from(err: StorageError) -> Self {
        match err {
            StorageError::Canceled => Self::Canceled(crate::watch::IN_EVALUATION),
            err => Self::Storage(format!("expanding series: {err}")),
        }
    }
}
