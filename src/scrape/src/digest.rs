//! What one answer of a target comes to: inflate, understand, store. Plain CPU work and the store.
//! It knows neither connections nor time to wait for.

use prom_config::ScrapeProtocol;
use prom_exposition::{Format, FormatError};
use prom_http_client::{BodyLimit, Buffer, BufferPool, HttpError, inflate_gzip};

use crate::{
    fetch::{FetchError, Fetched},
    metadata::MetadataTable,
    pass::Body,
    report::Report,
    rules::Rules,
    store::{ScrapeTime, Stored, TargetStore},
};

/// What a target answered, or why it did not.
#[derive(Debug)]
pub(crate) enum Answer {
    Fetched(Fetched),
    Failed(FetchError),
    /// It was not asked, for this reason.
    NotAsked(String),
}

/// What came of an answer.
#[derive(Debug)]
pub(crate) struct Digested {
    pub(crate) stored: Stored,
    /// Why there was no body to understand.
    pub(crate) unread: Option<Unread>,
    /// After decompression.
    pub(crate) body_size_bytes: usize,
}

/// Why a body was not even looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{0}")]
    NotAsked(String),
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// How much a body may be, and how much the last one was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodySize {
    pub(crate) limit: BodyLimit,
    pub(crate) hint_bytes: usize,
}

/// Takes an answer over into the store.
pub(crate) fn digest(
    store: &mut TargetStore,
    answer: Answer,
    rules: &Rules,
    time: ScrapeTime,
    size: BodySize,
    buffers: &BufferPool,
    metadata: &MetadataTable,
) -> Digested {
    let mut report = Report { timeout: time.timeout, ..Report::default() };
    let body = match open(answer, buffers, size) {
        Ok(opened) => {
            report.body_size_bytes = i64::try_from(opened.body.len()).unwrap_or(i64::MAX);
            let format = opened.format(rules);
            format.map(|format| (opened.body, format)).map_err(Unread::from)
        }
        Err(unread) => {
            if matches!(&unread, Unread::Fetch(error) if error.is_body_too_large()) {
                report.body_size_bytes = -1;
            }
            Err(unread)
        }
    };
    match body {
        Ok((body, format)) => {
            let said = Body { bytes: body.as_slice(), format };
            let stored = store.store_body(said, rules, time, report, metadata);
            Digested { stored, unread: None, body_size_bytes: body.len() }
        }
        Err(unread) => {
            let stored = store.store_failure(rules, time, report);
            Digested { stored, unread: Some(unread), body_size_bytes: 0 }
        }
    }
}

impl Digested {
    /// Why the scrape failed, if it did: the first thing that went wrong.
    pub(crate) fn error(&self) -> Option<String> {
        let unread = self.unread.as_ref().map(ToString::to_string);
        let refused = || self.stored.refused.as_ref().map(ToString::to_string);
        let failed = || self.stored.failed.as_ref().map(ToString::to_string);
        unread.or_else(refused).or_else(failed)
    }
}

struct Opened {
    body: Buffer,
    content_type: String,
}

fn open(answer: Answer, buffers: &BufferPool, size: BodySize) -> Result<Opened, Unread> {
    let fetched = match answer {
        Answer::Fetched(fetched) => fetched,
        Answer::Failed(error) => return Err(error.into()),
        Answer::NotAsked(reason) => return Err(Unread::NotAsked(reason)),
    };
    let Fetched { body, is_gzip, content_type } = fetched;
    if !is_gzip {
        return Ok(Opened { body, content_type });
    }
    let mut inflated = buffers.lend(size.hint_bytes);
    inflate_gzip(body.as_slice(), &mut inflated, size.limit)
        .map_err(|error: HttpError| FetchError::from(error))?;
    Ok(Opened { body: inflated, content_type })
}

impl Opened {
    /// An empty body is in any format. Compat: `append` in `scrape/scrape.go`.
    fn format(&self, rules: &Rules) -> Result<Format, FormatError> {
        if self.body.is_empty() {
            return Ok(Format::Text);
        }
        let fallback = rules.cfg.fallback_scrape_protocol.map(|protocol| match protocol {
            ScrapeProtocol::PrometheusProto => Format::Protobuf,
            ScrapeProtocol::PrometheusText0_0_4 | ScrapeProtocol::PrometheusText1_0_0 => {
                Format::Text
            }
            ScrapeProtocol::OpenMetricsText0_0_1 | ScrapeProtocol::OpenMetricsText1_0_0 => {
                Format::OpenMetrics
            }
        });
        Ok(Format::of_response(&self.content_type, fallback)?.0)
    }
}
