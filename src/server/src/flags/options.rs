//! The flags' values as types: what the server is wired from. Only checked values get here.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use prom_model::{parse_duration, parse_go_duration};
use prom_tsdb::SeriesLimits;
use prom_web::RuleEvaluators;

use super::{Features, FlagError, Flags, values::parse_size};
use crate::trial::TrialOptions;

/// Where and how the server runs.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) config_file: PathBuf,
    pub(crate) trial: TrialOptions,
    pub(crate) storage_path: PathBuf,
    pub(crate) is_lockfile_used: bool,
    pub(crate) wal_segment_size_bytes: u32,
    pub(crate) is_wal_compressed: bool,
    pub(crate) wal_compression_type: String,
    pub(crate) min_block_duration_ms: i64,
    /// 0 if it follows the retention.
    pub(crate) max_block_duration_ms: i64,
    /// 0 for no limit, here and below.
    pub(crate) retention_duration_ms: i64,
    pub(crate) retention_size_bytes: u64,
    pub(crate) is_log_shortened_early: bool,
    pub(crate) series_limits: SeriesLimits,
    pub(crate) listen_addresses: Vec<String>,
    pub(crate) external_url: String,
    pub(crate) route_prefix: String,
    pub(crate) page_title: String,
    pub(crate) cors_origin: String,
    pub(crate) connection_count_max: usize,
    pub(crate) read_timeout_ms: i64,
    pub(crate) is_lifecycle_enabled: bool,
    pub(crate) is_admin_enabled: bool,
    pub(crate) is_remote_write_received: bool,
    /// Rules are loaded and left alone; else a configuration with rules is refused.
    pub(crate) is_rule_evaluation_off: bool,
    pub(crate) lookback_delta_ms: i64,
    pub(crate) query_timeout_ms: i64,
    pub(crate) query_concurrency_max: usize,
    pub(crate) query_sample_count_max: usize,
    pub(crate) query_size_bytes_max: u64,
    pub(crate) query_total_size_bytes_max: u64,
    pub(crate) rule_evaluators: RuleEvaluators,
    pub(crate) is_scrape_time_adjusted: bool,
    pub(crate) scrape_time_tolerance_ms: i64,
    pub(crate) log_level: String,
    pub(crate) log_format: String,
    pub(crate) features: Features,
}

impl Options {
    /// Checks what no single flag can tell.
    ///
    /// # Errors
    /// A value is out of its range.
    pub(crate) fn new(flags: &Flags) -> Result<Self, FlagError> {
        Ok(Self {
            config_file: absolute(flags.text("config.file")),
            trial: trial(flags)?,
            storage_path: absolute(flags.text("storage.tsdb.path")),
            is_lockfile_used: !is_set(flags, "storage.tsdb.no-lockfile"),
            wal_segment_size_bytes: wal_segment_size_bytes(flags)?,
            is_wal_compressed: is_set(flags, "storage.tsdb.wal-compression"),
            wal_compression_type: flags.text("storage.tsdb.wal-compression-type").to_owned(),
            min_block_duration_ms: duration_ms(flags, "storage.tsdb.min-block-duration"),
            max_block_duration_ms: duration_ms(flags, "storage.tsdb.max-block-duration"),
            retention_duration_ms: duration_ms(flags, "storage.tsdb.retention.time"),
            retention_size_bytes: parse_size(flags.text("storage.tsdb.retention.size"))
                .expect("checked as a size"),
            is_log_shortened_early: is_set(flags, "storage.tsdb.early-wal-checkpoint"),
            series_limits: SeriesLimits {
                total: limit(flags, "storage.tsdb.series-limit")?,
                per_job: limit(flags, "storage.tsdb.series-limit-per-job")?,
                per_metric: limit(flags, "storage.tsdb.series-limit-per-metric")?,
            },
            listen_addresses: flags.all("web.listen-address").to_vec(),
            external_url: flags.text("web.external-url").to_owned(),
            route_prefix: flags.text("web.route-prefix").to_owned(),
            page_title: flags.text("web.page-title").to_owned(),
            cors_origin: flags.text("web.cors.origin").to_owned(),
            connection_count_max: count(flags, "web.max-connections")?,
            read_timeout_ms: duration_ms(flags, "web.read-timeout"),
            is_remote_write_received: takes_remote_write(flags)?,
            is_admin_enabled: is_set(flags, "web.enable-admin-api"),
            is_lifecycle_enabled: is_set(flags, "web.enable-lifecycle"),
            is_rule_evaluation_off: flags.text("rules.evaluation") == "off",
            lookback_delta_ms: duration_ms(flags, "query.lookback-delta"),
            query_timeout_ms: duration_ms(flags, "query.timeout"),
            query_concurrency_max: count(flags, "query.max-concurrency")?,
            query_sample_count_max: count(flags, "query.max-samples")?,
            query_size_bytes_max: size_bytes(flags, "query.max-memory"),
            query_total_size_bytes_max: size_bytes(flags, "query.max-memory-total"),
            rule_evaluators: rule_evaluators(flags)?,
            is_scrape_time_adjusted: is_set(flags, "scrape.adjust-timestamps"),
            scrape_time_tolerance_ms: go_duration_ms(flags, "scrape.timestamp-tolerance"),
            log_level: flags.text("log.level").to_owned(),
            log_format: flags.text("log.format").to_owned(),
            features: Features::new(flags),
        })
    }
}

/// The bound is a part of the whole.
fn trial(flags: &Flags) -> Result<TrialOptions, FlagError> {
    const BOUND: &str = "config.auto-revert-below";
    const WINDOW: &str = "config.auto-revert-window";
    let bound = prom_model::parse_float(flags.text(BOUND)).expect("checked as a number");
    let window_ms = duration_ms(flags, WINDOW).unsigned_abs();
    if !(0.0..=1.0).contains(&bound) {
        let reason = format!("flag '--{BOUND}' must be between 0 and 1, got {}", flags.text(BOUND));
        return Err(FlagError::Usage(reason));
    }
    if bound > 0.0 && window_ms == 0 {
        return Err(FlagError::Usage(format!("flag '--{WINDOW}' must be above 0s")));
    }
    Ok(TrialOptions { bound, window: Duration::from_millis(window_ms) })
}

fn size_bytes(flags: &Flags, name: &str) -> u64 {
    parse_size(flags.text(name)).expect("checked as a size")
}

/// Segments may be 10 MB to 256 MB; 0 is the default of 128 MB.
fn wal_segment_size_bytes(flags: &Flags) -> Result<u32, FlagError> {
    const MIN_BYTES: u64 = 10 << 20;
    const MAX_BYTES: u64 = 256 << 20;
    const DEFAULT_BYTES: u32 = 128 << 20;
    match parse_size(flags.text("storage.tsdb.wal-segment-size")).expect("checked as a size") {
        0 => Ok(DEFAULT_BYTES),
        bytes if (MIN_BYTES..=MAX_BYTES).contains(&bytes) => Ok(bytes as u32),
        _ => Err(FlagError::Usage(
            "flag 'storage.tsdb.wal-segment-size' must be set between 10MB and 256MB".to_owned(),
        )),
    }
}

/// Whether remote write is received. Messages that nobody knows, or that leave nothing to take, are refused.
fn takes_remote_write(flags: &Flags) -> Result<bool, FlagError> {
    const NAME: &str = "web.remote-write-receiver.accepted-protobuf-messages";
    const KNOWN: [&str; 2] = ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"];
    let accepted: Vec<_> = flags.all(NAME).iter().flat_map(|list| list.split(',')).collect();
    if let Some(unknown) = accepted.iter().find(|name| !KNOWN.contains(name)) {
        return Err(FlagError::Usage(format!(
            "unknown remote write protobuf message {unknown}, supported: {}",
            KNOWN.join(", ")
        )));
    }
    if !accepted.contains(&KNOWN[0]) {
        let reason = format!("flag '--{NAME}': {} is not supported by this build yet", KNOWN[1]);
        return Err(FlagError::Usage(reason));
    }
    Ok(is_set(flags, "web.enable-remote-write-receiver"))
}

/// Whose queries are those of rules.
fn rule_evaluators(flags: &Flags) -> Result<RuleEvaluators, FlagError> {
    const NAME: &str = "query.rule-evaluators";
    let texts = flags.all(NAME).iter().map(String::as_str).filter(|text| !text.is_empty());
    RuleEvaluators::parse(texts)
        .map_err(|reason| FlagError::Usage(format!("flag '--{NAME}': {reason}")))
}

fn is_set(flags: &Flags, name: &str) -> bool {
    flags.text(name) == "true"
}

fn duration_ms(flags: &Flags, name: &str) -> i64 {
    parse_duration(flags.text(name)).expect("checked as a duration")
}

fn go_duration_ms(flags: &Flags, name: &str) -> i64 {
    parse_go_duration(flags.text(name)).expect("checked as a duration") / 1_000_000
}

fn count(flags: &Flags, name: &str) -> Result<usize, FlagError> {
    let number: i64 = flags.text(name).parse().expect("checked as an integer");
    match usize::try_from(number) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(FlagError::Usage(format!("flag '--{name}' must be above 0, got {number}"))),
    }
}

/// 0 is no limit.
fn limit(flags: &Flags, name: &str) -> Result<usize, FlagError> {
    let number: i64 = flags.text(name).parse().expect("checked as an integer");
    usize::try_from(number)
        .map_err(|_| FlagError::Usage(format!("flag '--{name}' must not be below 0, got {number}")))
}

/// The path from the root, so that later changes of the working directory mean nothing.
fn absolute(path: &str) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| Path::new(path).to_owned())
}
