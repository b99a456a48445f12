//! The file as it is written, section by section: nothing is checked but the kind of each value.
//! Defaults are those Prometheus sets before it reads a section; null is the zero value, as in Go.
//! Structs are renamed to what Prometheus calls them in its messages (see `yaml::Schema`).

mod schema;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::{
    Secret,
    sections::{
        RawDiscovery, RawOAuth2, RawOtlp, RawProxy, RawRemoteRead, RawRemoteWrite, RawSigv4,
        RawStorage, RawTls, RawTracing,
    },
};

pub(crate) use schema::SCHEMA;

/// Lists whose entries may be null, which is refused later with a text of its own.
pub(crate) type Nullable<T> = Vec<Option<T>>;

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "config.plain#config", default)]
pub(crate) struct RawConfig {
    pub(crate) global: Option<RawGlobal>,
    pub(crate) runtime: Option<RawRuntime>,
    pub(crate) alerting: Option<RawAlerting>,
    pub(crate) rule_files: Vec<String>,
    pub(crate) scrape_config_files: Vec<String>,
    pub(crate) scrape_configs: Nullable<RawScrape>,
    pub(crate) storage: Option<RawStorage>,
    pub(crate) tracing: Option<RawTracing>,
    pub(crate) remote_write: Nullable<RawRemoteWrite>,
    pub(crate) remote_read: Nullable<RawRemoteRead>,
    /// A null section is all zero, not all defaults.
    #[serde(deserialize_with = "given")]
    pub(crate) otlp: Option<Option<RawOtlp>>,
}

/// A file that `scrape_config_files` names.
#[derive(Debug, Default, Deserialize)]
#[serde(rename = "config.ScrapeConfigs", default)]
pub(crate) struct RawScrapeFile {
    pub(crate) scrape_configs: Nullable<RawScrape>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "config.plain#global", default)]
pub(crate) struct RawGlobal {
    pub(crate) scrape_interval: Option<String>,
    pub(crate) scrape_timeout: Option<String>,
    pub(crate) scrape_protocols: Option<Vec<String>>,
    pub(crate) evaluation_interval: Option<String>,
    pub(crate) rule_query_offset: Option<String>,
    pub(crate) query_log_file: String,
    pub(crate) scrape_failure_log_file: String,
    pub(crate) external_labels: BTreeMap<String, String>,
    #[serde(rename = "#limits")]
    pub(crate) limits: RawLimits,
    pub(crate) metric_name_validation_scheme: Option<String>,
    pub(crate) metric_name_escaping_scheme: Option<String>,
    pub(crate) scrape_native_histograms: Option<bool>,
    pub(crate) convert_classic_histograms_to_nhcb: bool,
    pub(crate) always_scrape_classic_histograms: bool,
    pub(crate) extra_scrape_metrics: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "config.RuntimeConfig", default)]
pub(crate) struct RawRuntime {
    pub(crate) gogc: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename = "config.ScrapeConfig", default)]
pub(crate) struct RawScrape {
    pub(crate) job_name: String,
    pub(crate) honor_labels: bool,
    pub(crate) honor_timestamps: bool,
    pub(crate) track_timestamps_staleness: bool,
    pub(crate) params: BTreeMap<String, Vec<String>>,
    pub(crate) scrape_interval: Option<String>,
    pub(crate) scrape_timeout: Option<String>,
    pub(crate) scrape_protocols: Option<Vec<String>>,
    pub(crate) fallback_scrape_protocol: String,
    pub(crate) scrape_native_histograms: Option<bool>,
    pub(crate) always_scrape_classic_histograms: Option<bool>,
    pub(crate) convert_classic_histograms_to_nhcb: Option<bool>,
    pub(crate) scrape_failure_log_file: String,
    pub(crate) metrics_path: String,
    pub(crate) scheme: String,
    pub(crate) enable_compression: bool,
    #[serde(rename = "#limits")]
    pub(crate) limits: RawLimits,
    pub(crate) native_histogram_bucket_limit: u64,
    pub(crate) native_histogram_min_bucket_factor: f64,
    pub(crate) metric_name_validation_scheme: Option<String>,
    pub(crate) metric_name_escaping_scheme: Option<String>,
    pub(crate) extra_scrape_metrics: Option<bool>,
    #[serde(rename = "#http")]
    pub(crate) http: RawHttpClient,
    #[serde(rename = "#sd")]
    pub(crate) discovery: RawDiscovery,
    pub(crate) static_configs: Nullable<RawTargetGroup>,
    pub(crate) relabel_configs: Nullable<RawRelabel>,
    pub(crate) metric_relabel_configs: Nullable<RawRelabel>,
}

impl Default for RawScrape {
    fn default() -> Self {
        Self {
            job_name: String::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            params: BTreeMap::new(),
            scrape_interval: None,
            scrape_timeout: None,
            scrape_protocols: None,
            fallback_scrape_protocol: String::new(),
            scrape_native_histograms: None,
            always_scrape_classic_histograms: None,
            convert_classic_histograms_to_nhcb: None,
            scrape_failure_log_file: String::new(),
            metrics_path: String::from("/metrics"),
            scheme: String::from("http"),
            enable_compression: true,
            limits: RawLimits::default(),
            native_histogram_bucket_limit: 0,
            native_histogram_min_bucket_factor: 0.0,
            metric_name_validation_scheme: None,
            metric_name_escaping_scheme: None,
            extra_scrape_metrics: None,
            http: RawHttpClient::default(),
            discovery: RawDiscovery::default(),
            static_configs: Vec::new(),
            relabel_configs: Vec::new(),
            metric_relabel_configs: Vec::new(),
        }
    }
}

/// The limits that stand in `global` and may be others in a job.
#[derive(Debug, Default, Deserialize)]
#[serde(rename = "#limits", default)]
pub(crate) struct RawLimits {
    pub(crate) body_size_limit: Option<String>,
    pub(crate) sample_limit: u64,
    pub(crate) target_limit: u64,
    pub(crate) label_limit: u64,
    pub(crate) label_name_length_limit: u64,
    pub(crate) label_value_length_limit: u64,
    pub(crate) keep_dropped_targets: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename = "#http", default)]
pub(crate) struct RawHttpClient {
    pub(crate) basic_auth: Option<RawBasicAuth>,
    pub(crate) authorization: Option<RawAuthorization>,
    pub(crate) oauth2: Option<Box<RawOAuth2>>,
    pub(crate) bearer_token: Secret,
    pub(crate) bearer_token_file: String,
    pub(crate) tls_config: RawTls,
    pub(crate) follow_redirects: bool,
    pub(crate) enable_http2: bool,
    pub(crate) proxy_url: Option<String>,
    pub(crate) no_proxy: String,
    pub(crate) proxy_from_environment: bool,
    pub(crate) proxy_connect_header: BTreeMap<String, Vec<Secret>>,
    pub(crate) http_headers: Option<BTreeMap<String, RawHeader>>,
}

impl Default for RawHttpClient {
    fn default() -> Self {
        Self {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            bearer_token: Secret::default(),
            bearer_token_file: String::new(),
            tls_config: RawTls::default(),
            follow_redirects: true,
            enable_http2: true,
            proxy_url: None,
            no_proxy: String::new(),
            proxy_from_environment: false,
            proxy_connect_header: BTreeMap::new(),
            http_headers: None,
        }
    }
}

impl RawHttpClient {
    /// The default of remote writing.
    pub(crate) fn without_http2() -> Self {
        Self { enable_http2: false, ..Self::default() }
    }

    /// Where Prometheus forgets its defaults.
    pub(crate) fn all_off() -> Self {
        Self { follow_redirects: false, enable_http2: false, ..Self::default() }
    }

    /// The keys of the proxy, which stand among the others.
    pub(crate) fn take_proxy(&mut self) -> RawProxy {
        RawProxy {
            proxy_url: self.proxy_url.take(),
            no_proxy: std::mem::take(&mut self.no_proxy),
            proxy_from_environment: self.proxy_from_environment,
            proxy_connect_header: std::mem::take(&mut self.proxy_connect_header),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "config.plain#basic_auth", default)]
pub(crate) struct RawBasicAuth {
    pub(crate) username: String,
    pub(crate) username_file: String,
    pub(crate) username_ref: String,
    pub(crate) password: Secret,
    pub(crate) password_file: String,
    pub(crate) password_ref: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "config.Authorization", default)]
pub(crate) struct RawAuthorization {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) credentials: Secret,
    pub(crate) credentials_file: String,
    pub(crate) credentials_ref: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "config.Header", default)]
pub(crate) struct RawHeader {
    pub(crate) values: Vec<String>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) files: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(
    rename = r#"struct { Targets []string "yaml:\"targets\""; Labels model.LabelSet "yaml:\"labels\"" }"#,
    default
)]
pub(crate) struct RawTargetGroup {
    pub(crate) targets: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename = "relabel.plain", default)]
pub(crate) struct RawRelabel {
    pub(crate) source_labels: Option<Vec<String>>,
    pub(crate) separator: String,
    /// A null expression is the empty one, not the default.
    #[serde(deserialize_with = "given")]
    pub(crate) regex: Option<String>,
    pub(crate) modulus: u64,
    pub(crate) target_label: String,
    pub(crate) replacement: String,
    pub(crate) action: String,
}

impl Default for RawRelabel {
    fn default() -> Self {
        Self {
            source_labels: None,
            separator: String::from(";"),
            regex: None,
            modulus: 0,
            target_label: String::new(),
            replacement: String::from("$1"),
            action: String::from("replace"),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "config.plain#alerting", default)]
pub(crate) struct RawAlerting {
    pub(crate) alert_relabel_configs: Nullable<RawRelabel>,
    pub(crate) alertmanagers: Nullable<RawAlertmanager>,
}

#[derive(Debug, Deserialize)]
#[serde(rename = "config.AlertmanagerConfig", default)]
pub(crate) struct RawAlertmanager {
    #[serde(rename = "#http")]
    pub(crate) http: RawHttpClient,
    #[serde(rename = "#sd")]
    pub(crate) discovery: RawDiscovery,
    pub(crate) sigv4: Option<RawSigv4>,
    pub(crate) scheme: String,
    pub(crate) path_prefix: String,
    pub(crate) timeout: Option<String>,
    pub(crate) api_version: Option<String>,
    pub(crate) static_configs: Nullable<RawTargetGroup>,
    pub(crate) relabel_configs: Nullable<RawRelabel>,
    pub(crate) alert_relabel_configs: Nullable<RawRelabel>,
}

impl Default for RawAlertmanager {
    fn default() -> Self {
        Self {
            http: RawHttpClient::default(),
            discovery: RawDiscovery::default(),
            sigv4: None,
            scheme: String::from("http"),
            path_prefix: String::new(),
            timeout: None,
            api_version: None,
            static_configs: Vec::new(),
            relabel_configs: Vec::new(),
            alert_relabel_configs: Vec::new(),
        }
    }
}

/// Keeps apart a key that is absent and one that is null.
fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}
