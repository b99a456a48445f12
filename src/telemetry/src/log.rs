//! Log lines as Prometheus writes them, through `tracing`: logfmt or JSON on stderr.
//! Rotation, files and journald's own protocol are not here: systemd reads stderr.
//!
//! A line is built on the thread that logs and handed to one writer thread through a bounded queue, so a stuck
//! reader of stderr stops nobody (I2). When stderr is gone, lines are counted and dropped.

mod format;
mod layer;
mod writer;

use std::{fmt, str::FromStr, sync::OnceLock, time::Duration};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Registry, filter, layer::SubscriberExt, reload};

use self::{layer::LineLayer, writer::Writer};

pub use self::writer::QUEUE_LINES_MAX;

/// Longest line, in bytes; a longer message is cut so that no log call can fill the memory.
pub const LINE_SIZE_BYTES_MAX: usize = 64 * 1024;
/// How long the end of the process waits for lines that are still queued.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

static HANDLE: OnceLock<LevelHandle> = OnceLock::new();

type LevelHandle = reload::Handle<LevelFilter, Registry>;

/// What `--log.level` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

/// What `--log.format` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Logfmt,
    Json,
}

/// A word that is no level or format. Compat: the texts of prometheus/common `promslog`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogOptionError {
    #[error("unrecognized log level {0}")]
    Level(String),
    #[error("unrecognized log format {0}")]
    Format(String),
}

/// Writes what is queued when it is dropped, so keep it until `main` returns.
#[derive(Debug)]
#[must_use = "dropping it at once flushes once and for all"]
pub struct LogGuard(());

/// Installs the subscriber of the whole process. A second call changes the level only.
pub fn init(level: LogLevel, format: LogFormat) -> LogGuard {
    let (level_filter, handle) = reload::Layer::new(level.filter());
    let lines = LineLayer::new(format, |line| writer().push(line));
    // Libraries are heard from "warn" on: their debug lines are about themselves.
    let ours_or_serious = filter::filter_fn(|metadata| {
        metadata.target().starts_with("prom") || *metadata.level() <= tracing::Level::WARN
    });
    let subscriber =
        tracing_subscriber::registry().with(level_filter).with(ours_or_serious).with(lines);
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        HANDLE.get_or_init(|| handle);
    } else {
        set_level(level);
    }
    LogGuard(())
}

/// Changes the level while running; without effect before [`init`].
pub fn set_level(level: LogLevel) {
    if let Some(handle) = HANDLE.get() {
        // It fails only if the subscriber is gone, and then there is nothing to filter.
        handle.reload(level.filter()).unwrap_or_default();
    }
}

/// Waits until everything logged so far is written, at most a second.
pub fn flush() {
    writer().flush(FLUSH_TIMEOUT);
}

/// Lines that could not be queued or written since the start.
pub fn dropped_lines_count() -> u64 {
    writer().dropped_count()
}

fn writer() -> &'static Writer {
    static WRITER: OnceLock<Writer> = OnceLock::new();
    WRITER.get_or_init(|| Writer::start(Box::new(std::io::stderr())))
}

impl LogLevel {
    /// `debug`, `info`, `warn` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LogLevel {
    type Err = LogOptionError;

    /// Compat: case does not matter.
    fn from_str(text: &str) -> Result<Self, LogOptionError> {
        let all = [Self::Debug, Self::Info, Self::Warn, Self::Error];
        let level = all.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(text));
        level.ok_or_else(|| LogOptionError::Level(text.to_owned()))
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Logfmt => "logfmt",
            Self::Json => "json",
        })
    }
}

impl FromStr for LogFormat {
    type Err = LogOptionError;

    fn from_str(text: &str) -> Result<Self, LogOptionError> {
        match text {
            "logfmt" => Ok(Self::Logfmt),
            "json" => Ok(Self::Json),
            _ => Err(LogOptionError::Format(text.to_owned())),
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        flush();
    }
}

#[cfg(test)]
mod tests;
