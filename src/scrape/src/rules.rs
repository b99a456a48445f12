//! How the lines of one target become series: labels of the target, relabelling, limits.
//! It reads no body and keeps no state.

use std::{fmt, sync::Arc};

use prom_config::ScrapeConfig;
use prom_model::{Labels, LabelsBuilder, METRIC_NAME, quote_go, relabel};

/// Put before a label of the target's own that would hide one of ours.
/// Compat: prometheus/common `model.ExportedLabelPrefix`.
const EXPORTED_PREFIX: &str = "exported_";
/// How much of a name or value an error shows. Compat: `verifyLabelLimits` in `scrape/scrape.go`.
const SHOWN_CHARS_MAX: usize = 50;

/// What becomes of the histograms of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HistogramRules {
    /// Native ones are taken as such; otherwise all are classic.
    pub(crate) scrapes_native: bool,
    /// Classic ones stay beside the native ones that they are, or become.
    pub(crate) keeps_classic: bool,
    /// Classic ones become native ones with custom buckets.
    pub(crate) converts_classic: bool,
    /// More make the histogram coarser, or the scrape fail.
    pub(crate) bucket_count_max: Option<usize>,
    /// No histogram is finer.
    pub(crate) schema_max: i32,
}

/// What becomes of the times since when series count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StartRules {
    /// Series begin with a zero there.
    pub(crate) are_zeroed: bool,
    /// Samples are stored with them.
    pub(crate) are_stored: bool,
    /// Where a target tells none they are made up, and values count from the first one of their series on.
    pub(crate) are_synthesized: bool,
}

/// What decides about the series of one target; a change of it makes the cached lines worthless.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) cfg: Arc<ScrapeConfig>,
    /// The labels that all series of the target get.
    pub(crate) target_labels: Labels,
    pub(crate) histograms: HistogramRules,
    /// More is told of each scrape than the five series that always are.
    pub(crate) tells_extra: bool,
    /// What the target says of its metrics goes on the log of the store.
    pub(crate) logs_metadata: bool,
    /// Series get the type and the unit of their family as labels.
    pub(crate) labels_types_and_units: bool,
    pub(crate) starts: StartRules,
    /// Equal generations of one target understand every line in the same way.
    pub(crate) generation: u64,
}

/// A label set that fails the whole scrape. Texts: Prometheus `scrape/scrape.go`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LabelsRefused {
    #[error("missing metric name (__name__ label)")]
    NoName,
    #[error("invalid metric name or label names: {0}")]
    InvalidNames(String),
    #[error("label_limit exceeded (metric: {metric}, number of labels: {count}, limit: {limit})")]
    TooMany { metric: String, count: u64, limit: u64 },
    #[error(
        "label_name_length_limit exceeded (metric: {metric}, label name: {name}, length: {size}, limit: {limit})"
    )]
    LongName { metric: String, name: String, size: u64, limit: u64 },
    #[error(
        "label_value_length_limit exceeded (metric: {metric}, label name: {name}, value: {value}, length: {size}, limit: {limit})"
    )]
    LongValue { metric: String, name: String, value: String, size: u64, limit: u64 },
}

impl HistogramRules {
    /// What the configuration of a job says.
    pub(crate) fn new(cfg: &ScrapeConfig) -> Self {
        let bucket_count_max = match cfg.limits.native_histogram_bucket_count {
            0 => None,
            limit => Some(usize::try_from(limit).unwrap_or(usize::MAX)),
        };
        Self {
            scrapes_native: cfg.scrape_native_histograms,
            keeps_classic: cfg.always_scrape_classic_histograms,
            converts_classic: cfg.convert_classic_histograms_to_nhcb,
            bucket_count_max,
            schema_max: schema_of_factor(cfg.native_histogram_min_bucket_factor),
        }
    }
}

impl StartRules {
    /// Whether anybody wants to know what targets tell; lines of OpenMetrics that tell it are no series then.
    #[inline]
    pub(crate) fn are_read(self) -> bool {
        self.are_zeroed || self.are_stored
    }

    /// Whether each sample needs its own, also where the series has begun long ago.
    pub(crate) fn are_kept(self) -> bool {
        self.are_stored || self.are_synthesized
    }

    /// Whether samples have any.
    #[inline]
    pub(crate) fn are_wanted(self) -> bool {
        self.are_read() || self.are_synthesized
    }
}

impl LabelsRefused {
    pub(crate) fn is_limit(&self) -> bool {
        !matches!(self, Self::NoName | Self::InvalidNames(_))
    }
}

impl Rules {
    /// The labels of the stored series, or `None` if relabelling drops it. `exposed` holds what the line
    /// said and is used up.
    pub(crate) fn series_labels(
        &self,
        exposed: &mut LabelsBuilder,
    ) -> Result<Option<Labels>, LabelsRefused> {
        self.add_target_labels(exposed);
        if !relabel(&self.cfg.metric_relabel_configs, exposed) {
            return Ok(None);
        }
        let labels = exposed.labels();
        if labels.is_empty() {
            return Ok(None);
        }
        self.check(&labels)?;
        Ok(Some(labels))
    }

    /// The labels of a series that we report about the target. Compat: `mutateReportSampleLabels`.
    pub(crate) fn report_labels(&self, metric: &str) -> Labels {
        let name = [(METRIC_NAME, metric)];
        Labels::from_pairs(name.into_iter().chain(self.target_labels.iter()))
    }

    fn add_target_labels(&self, exposed: &mut LabelsBuilder) {
        let mut conflicts: Vec<(&str, String)> = Vec::new();
        for (name, value) in &self.target_labels {
            if self.cfg.honor_labels {
                // An empty label says that there is none, as the Pushgateway does of its groups.
                if !exposed.has(name) {
                    exposed.set(name, value);
                }
                continue;
            }
            let existing = exposed.get(name);
            if !existing.is_empty() {
                conflicts.push((name, existing.to_owned()));
            }
            exposed.set(name, value);
        }
        conflicts.sort_by_key(|(name, _)| name.len());
        for (name, value) in conflicts {
            let mut free = format!("{EXPORTED_PREFIX}{name}");
            while !exposed.get(&free).is_empty() {
                free.insert_str(0, EXPORTED_PREFIX);
            }
            exposed.set(&free, &value);
        }
    }

    fn check(&self, labels: &Labels) -> Result<(), LabelsRefused> {
        let metric = labels.metric_name();
        if metric.is_empty() {
            return Err(LabelsRefused::NoName);
        }
        let scheme = self.cfg.metric_name_validation_scheme;
        let is_valid = |(name, _): (&str, &str)| match name {
            METRIC_NAME => scheme.is_valid_metric_name(metric),
            name => scheme.is_valid_label_name(name),
        };
        if !labels.iter().all(is_valid) {
            return Err(LabelsRefused::InvalidNames(labels.to_string()));
        }
        self.check_limits(labels, metric)
    }

    fn check_limits(&self, labels: &Labels, metric: &str) -> Result<(), LabelsRefused> {
        let limits = &self.cfg.limits;
        let exceeds = |size: u64, limit: u64| limit > 0 && size > limit;
        let metric = || shown(metric).to_string();
        let count = labels.count() as u64;
        if exceeds(count, limits.label_count) {
            let limit = limits.label_count;
            return Err(LabelsRefused::TooMany { metric: metric(), count, limit });
        }
        for (name, value) in labels {
            let shown_name = || shown(name).to_string();
            let (size, limit) = (name.len() as u64, limits.label_name_size_bytes);
            if exceeds(size, limit) {
                let name = shown_name();
                return Err(LabelsRefused::LongName { metric: metric(), name, size, limit });
            }
            let (size, limit) = (value.len() as u64, limits.label_value_size_bytes);
            if exceeds(size, limit) {
                let (name, value) = (shown_name(), quote_go(&shown(value).to_string()).to_string());
                return Err(LabelsRefused::LongValue {
                    metric: metric(),
                    name,
                    value,
                    size,
                    limit,
                });
            }
        }
        Ok(())
    }
}

/// Whether both configurations make the same series of the same line of the same target, so that cached
/// lines stay good. Compat: `reusableCache` in `scrape/scrape.go`.
pub(crate) fn understand_alike(a: &ScrapeConfig, b: &ScrapeConfig) -> bool {
    let ScrapeConfig {
        job_name,
        honor_labels,
        honor_timestamps,
        track_timestamps_staleness,
        fallback_scrape_protocol,
        scrape_native_histograms,
        always_scrape_classic_histograms,
        convert_classic_histograms_to_nhcb,
        extra_scrape_metrics,
        limits,
        native_histogram_min_bucket_factor,
        metric_name_validation_scheme,
        metric_name_escaping_scheme,
        metric_relabel_configs,
        // What decides whether, when and how a target is asked, but not what its lines mean.
        params: _,
        scrape_interval: _,
        scrape_timeout: _,
        scrape_protocols: _,
        metrics_path: _,
        scheme: _,
        enable_compression: _,
        http_client: _,
        discovery_configs: _,
        scrape_failure_log_file: _,
        static_configs: _,
        relabel_configs: _,
    } = a;
    *job_name == b.job_name
        && *honor_labels == b.honor_labels
        && *honor_timestamps == b.honor_timestamps
        && *track_timestamps_staleness == b.track_timestamps_staleness
        && *fallback_scrape_protocol == b.fallback_scrape_protocol
        && *scrape_native_histograms == b.scrape_native_histograms
        && *always_scrape_classic_histograms == b.always_scrape_classic_histograms
        && *convert_classic_histograms_to_nhcb == b.convert_classic_histograms_to_nhcb
        && *extra_scrape_metrics == b.extra_scrape_metrics
        && limits.label_count == b.limits.label_count
        && limits.label_name_size_bytes == b.limits.label_name_size_bytes
        && limits.label_value_size_bytes == b.limits.label_value_size_bytes
        && *native_histogram_min_bucket_factor == b.native_histogram_min_bucket_factor
        && *metric_name_validation_scheme == b.metric_name_validation_scheme
        && *metric_name_escaping_scheme == b.metric_name_escaping_scheme
        && *metric_relabel_configs == b.metric_relabel_configs
}

/// The finest resolution whose buckets grow at least by `factor`.
/// Compat: `pickSchema` in `scrape/scrape.go`.
fn schema_of_factor(factor: f64) -> i32 {
    const FINEST_FACTOR: f64 = 1.00271;
    let factor = if factor <= 1.0 { FINEST_FACTOR } else { factor };
    (-factor.log2().log2()).floor().clamp(-4.0, 8.0) as i32
}

/// The beginning of a text.
fn shown(text: &str) -> impl fmt::Display {
    text.chars().take(SHOWN_CHARS_MAX).collect::<String>()
}
