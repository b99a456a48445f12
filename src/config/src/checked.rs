//! The checked configuration: plain data that cannot be invalid, built only by this room's checker.
//! It opens no file and resolves no address.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use prom_model::{Labels, NameEscaping, NameValidation, RelabelRule};

use crate::{
    ConfigError, ConfigErrors, DiscoveryConfig, OAuth2Config, OtlpConfig, ProxyConfig,
    RemoteReadConfig, RemoteWriteConfig, RuleFile, Secret, Sigv4Config, Source, StorageConfig,
    TlsConfig, TracingConfig,
};

/// A whole configuration, included files and all, read-only and shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub global: GlobalConfig,
    pub runtime: RuntimeConfig,
    pub alerting: AlertingConfig,
    /// The files that `rule_files` names, each once, in the order of the patterns.
    pub rule_files: Vec<Arc<RuleFile>>,
    /// In the order of the file, then those of the files in `scrape_config_files`; job names are unique.
    /// Equal jobs of two configurations compare equal, so that a reload can leave them alone.
    pub scrape_configs: Vec<Arc<ScrapeConfig>>,
    pub storage: StorageConfig,
    pub tracing: Option<TracingConfig>,
    pub remote_write: Vec<RemoteWriteConfig>,
    pub remote_read: Vec<RemoteReadConfig>,
    pub otlp: OtlpConfig,
    pub(crate) rule_file_patterns: Vec<String>,
    pub(crate) scrape_file_patterns: Vec<String>,
    /// How many of the jobs stand in the main file.
    pub(crate) main_job_count: usize,
    pub(crate) unrunnable: Vec<ConfigError>,
    pub(crate) included_files: Vec<PathBuf>,
    pub(crate) file: PathBuf,
    pub(crate) content_hash: u64,
}

impl Config {
    /// The main file, as it was named on the command line.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// xxh3 of the bytes the configuration was read from, those of included files among them: equal hashes
    /// mean that nothing was edited.
    pub fn content_hash(&self) -> u64 {
        self.content_hash
    }

    /// Patterns of `rule_files`, from the directory of the main file.
    pub fn rule_file_patterns(&self) -> &[String] {
        &self.rule_file_patterns
    }

    /// Patterns of `scrape_config_files`, from the directory of the main file.
    pub fn scrape_file_patterns(&self) -> &[String] {
        &self.scrape_file_patterns
    }

    /// Refuses what is valid but needs a component that this build has not: a server that started with it
    /// would silently scrape or send something else than what is written.
    ///
    /// # Errors
    /// Each such key with its place.
    pub fn check_runnable(&self) -> Result<(), ConfigErrors> {
        match self.unrunnable.as_slice() {
            [] => Ok(()),
            errors => Err(ConfigErrors::invalid(&self.file, errors.to_vec())),
        }
    }

    /// The configuration as Prometheus shows it: defaults filled in, secrets masked.
    pub fn redacted_yaml(&self) -> String {
        crate::print::to_yaml(self)
    }

    /// Rules in all rule files.
    pub fn rule_count(&self) -> usize {
        self.rule_files.iter().map(|file| file.rule_count()).sum()
    }

    /// The job of this name.
    pub fn scrape_config(&self, job_name: &str) -> Option<&Arc<ScrapeConfig>> {
        self.scrape_configs.iter().find(|scrape| scrape.job_name == job_name)
    }
}

/// `global`: defaults for jobs, and what belongs to the whole server.
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalConfig {
    pub scrape_interval: Duration,
    pub scrape_timeout: Duration,
    /// As written; `None` leaves the choice to each job.
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    pub evaluation_interval: Duration,
    pub rule_query_offset: Duration,
    /// Empty if queries are not logged.
    pub query_log_file: PathBuf,
    /// Empty if failures are not logged.
    pub scrape_failure_log_file: PathBuf,
    /// With environment variables filled in.
    pub external_labels: Labels,
    /// Names of those whose value is empty once variables are filled in: shown, and no labels.
    pub(crate) blank_external_labels: Vec<String>,
    pub limits: ScrapeLimits,
    /// As written; `None` means UTF-8.
    pub metric_name_validation_scheme: Option<NameValidation>,
    /// As written; `None` follows the validation scheme.
    pub metric_name_escaping_scheme: Option<NameEscaping>,
    pub scrape_native_histograms: bool,
    pub convert_classic_histograms_to_nhcb: bool,
    pub always_scrape_classic_histograms: bool,
    pub extra_scrape_metrics: bool,
}

/// `runtime`: accepted for compatibility, without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeConfig {
    pub gogc: i64,
}

/// Bounds of a scrape; 0 means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeLimits {
    /// Of the body after decompression.
    pub body_size_bytes: u64,
    /// Samples after metric relabelling.
    pub sample_count: u64,
    /// Targets of the job after relabelling.
    pub target_count: u64,
    /// Labels per sample after metric relabelling.
    pub label_count: u64,
    pub label_name_size_bytes: u64,
    pub label_value_size_bytes: u64,
    /// Dropped targets to remember per job.
    pub dropped_target_count: u64,
    /// Buckets of a native histogram.
    pub native_histogram_bucket_count: u64,
}

/// One job of `scrape_configs`, with the global defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrapeConfig {
    /// Never empty.
    pub job_name: String,
    pub honor_labels: bool,
    pub honor_timestamps: bool,
    pub track_timestamps_staleness: bool,
    /// Query parameters, sorted by name.
    pub params: Vec<(String, Vec<String>)>,
    pub scrape_interval: Duration,
    /// Never longer than the interval.
    pub scrape_timeout: Duration,
    /// What to ask for, most wanted first; never empty, without repetition.
    pub scrape_protocols: Vec<ScrapeProtocol>,
    /// What to assume when the answer names no known content type.
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
    /// Without effect as long as only text formats are scraped.
    pub scrape_native_histograms: bool,
    pub convert_classic_histograms_to_nhcb: bool,
    pub always_scrape_classic_histograms: bool,
    pub extra_scrape_metrics: bool,
    /// Empty if failures are not logged.
    pub scrape_failure_log_file: PathBuf,
    pub metrics_path: String,
    pub scheme: String,
    pub enable_compression: bool,
    pub limits: ScrapeLimits,
    pub native_histogram_min_bucket_factor: f64,
    pub metric_name_validation_scheme: NameValidation,
    pub metric_name_escaping_scheme: NameEscaping,
    pub http_client: HttpClientConfig,
    /// In the order of the keys of the mechanisms.
    pub discovery_configs: Vec<DiscoveryConfig>,
    pub static_configs: Vec<StaticConfig>,
    /// Applied to targets.
    pub relabel_configs: Vec<RelabelRule>,
    /// Applied to samples.
    pub metric_relabel_configs: Vec<RelabelRule>,
}

/// An exposition format a target may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScrapeProtocol {
    PrometheusProto,
    PrometheusText0_0_4,
    PrometheusText1_0_0,
    OpenMetricsText0_0_1,
    OpenMetricsText1_0_0,
}

impl ScrapeProtocol {
    /// In the order of their names.
    pub const ALL: [Self; 5] = [
        Self::OpenMetricsText0_0_1,
        Self::OpenMetricsText1_0_0,
        Self::PrometheusProto,
        Self::PrometheusText0_0_4,
        Self::PrometheusText1_0_0,
    ];

    /// What a target is asked for by default, most wanted first.
    pub const DEFAULT: [Self; 4] = [
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    /// What it is asked for by default where native histograms are wanted.
    pub const DEFAULT_PROTO_FIRST: [Self; 5] = [
        Self::PrometheusProto,
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrometheusProto => "PrometheusProto",
            Self::PrometheusText0_0_4 => "PrometheusText0.0.4",
            Self::PrometheusText1_0_0 => "PrometheusText1.0.0",
            Self::OpenMetricsText0_0_1 => "OpenMetricsText0.0.1",
            Self::OpenMetricsText1_0_0 => "OpenMetricsText1.0.0",
        }
    }

    /// The media type with its parameters, as it stands in an `Accept` header.
    pub fn header(self) -> &'static str {
        match self {
            Self::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::PrometheusText0_0_4 => "text/plain;version=0.0.4",
            Self::PrometheusText1_0_0 => "text/plain;version=1.0.0",
            Self::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            Self::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
        }
    }
}

/// How to speak HTTP to a target or a service.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpClientConfig {
    /// At most one of this and `oauth2`.
    pub auth: Option<HttpAuth>,
    pub oauth2: Option<Box<OAuth2Config>>,
    pub tls: TlsConfig,
    pub proxy: ProxyConfig,
    pub follow_redirects: bool,
    pub enable_http2: bool,
    /// Sorted by name; none of the headers the client sets itself.
    pub http_headers: Vec<HttpHeader>,
}

impl Default for HttpClientConfig {
    fn default() -> Self {
        Self {
            auth: None,
            oauth2: None,
            tls: TlsConfig::default(),
            proxy: ProxyConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            http_headers: Vec::new(),
        }
    }
}

/// How requests prove who sends them; at most one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpAuth {
    Basic {
        username: Source<String>,
        password: Source<Secret>,
    },
    /// `Authorization: <scheme> <credentials>`.
    Authorization {
        scheme: String,
        credentials: Source<Secret>,
    },
}

/// A header sent with every request, once per value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpHeader {
    pub name: String,
    pub values: Vec<String>,
    pub secrets: Vec<Secret>,
    pub files: Vec<PathBuf>,
}

/// A group of targets written in the file itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticConfig {
    /// Addresses, `host:port`.
    pub targets: Vec<String>,
    /// Sorted by name.
    pub labels: Vec<(String, String)>,
}

/// `alerting`: where alerts go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertingConfig {
    pub alert_relabel_configs: Vec<RelabelRule>,
    pub alertmanagers: Vec<AlertmanagerConfig>,
}

/// A set of Alertmanagers.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertmanagerConfig {
    pub scheme: String,
    pub path_prefix: String,
    pub timeout: Duration,
    pub http_client: HttpClientConfig,
    pub sigv4: Option<Sigv4Config>,
    pub discovery_configs: Vec<DiscoveryConfig>,
    pub static_configs: Vec<StaticConfig>,
    /// Applied to the addresses of the Alertmanagers.
    pub relabel_configs: Vec<RelabelRule>,
    /// Applied to alerts.
    pub alert_relabel_configs: Vec<RelabelRule>,
}
