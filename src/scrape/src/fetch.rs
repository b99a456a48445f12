//! Asks one target for its metrics: the request, the answer's head, the body as it came over the wire.
//! What the body says is not looked at.

use std::sync::Arc;

use prom_config::{ScrapeConfig, ScrapeProtocol};
use prom_http_client::{BodyLimit, Buffer, BufferPool, Client, HttpError, Request};

use crate::target::TargetSpec;

/// Bound on a body for which the configuration sets none, after decompression.
const BODY_SIZE_BYTES_MAX: u64 = 256 << 20;

/// How one target is asked; made once, used for every scrape.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client,
    request: Arc<Request>,
    limit: BodyLimit,
}

/// An answer with a body.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) body: Buffer,
    pub(crate) is_gzip: bool,
    pub(crate) content_type: String,
}

/// Why there is no body to read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("server returned HTTP status {0}")]
    Status(String),
}

impl FetchError {
    pub(crate) fn is_body_too_large(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_body_too_large())
    }
}

impl Fetcher {
    pub(crate) fn new(
        cfg: &ScrapeConfig,
        spec: &TargetSpec,
        client: Client,
    ) -> Result<Self, HttpError> {
        let encoding = if cfg.enable_compression { "gzip" } else { "identity" };
        let mut request = Request::get(&spec.url, spec.timeout)?
            .with_header("accept", &accept(cfg))?
            .with_header("accept-encoding", encoding)?
            .with_header(
                "x-prometheus-scrape-timeout-seconds",
                &spec.timeout.as_secs_f64().to_string(),
            )?;
        if let Some(socket) = &spec.socket {
            request = request.over_socket(socket);
        }
        let size_bytes = match cfg.limits.body_size_bytes {
            0 => BODY_SIZE_BYTES_MAX,
            limit => limit,
        };
        Ok(Self { client, request: Arc::new(request), limit: BodyLimit { size_bytes } })
    }

    pub(crate) fn limit(&self) -> BodyLimit {
        self.limit
    }

    /// Asks, and reads the whole answer into a buffer of `buffers` that suits `hint_bytes`.
    pub(crate) async fn fetch(
        &self,
        buffers: &BufferPool,
        hint_bytes: usize,
    ) -> Result<Fetched, FetchError> {
        let response = self.client.send(&self.request).await?;
        if response.status_code() != 200 {
            let status = response.status_text();
            response.discard().await;
            return Err(FetchError::Status(status));
        }
        let is_gzip = response.header("content-encoding") == Some("gzip");
        let content_type = response.header("content-type").unwrap_or_default().to_owned();
        let mut body = buffers.lend(hint_bytes);
        response.read_body(&mut body, self.limit).await?;
        Ok(Fetched { body, is_gzip, content_type })
    }
}

/// Compat: `acceptHeader` in `scrape/scrape.go`.
fn accept(cfg: &ScrapeConfig) -> String {
    let weights = (1..=ScrapeProtocol::ALL.len() + 1).rev();
    let wanted = cfg.scrape_protocols.iter();
    let mut clauses: Vec<String> = wanted
        .zip(weights)
        .map(|(protocol, weight)| {
            let escaping = match protocol {
                ScrapeProtocol::PrometheusText1_0_0 | ScrapeProtocol::OpenMetricsText1_0_0 => {
                    format!(";escaping={}", cfg.metric_name_escaping_scheme.name())
                }
                _ => String::new(),
            };
            format!("{}{escaping};q=0.{weight}", protocol.header())
        })
        .collect();
    let weight = ScrapeProtocol::ALL.len() + 1 - clauses.len();
    clauses.push(format!("*/*;q=0.{weight}"));
    clauses.join(",")
}
