//! The checked configuration as YAML, with the keys, the order and the layout of the real server's answer.
//! Keys newer than 3.5 are printed only where they differ from their default, so that every 3.x reads it.

mod emit;

use std::time::Duration;

use prom_model::{RelabelRule, format_duration, format_float};

use crate::{
    AlertmanagerConfig, Config, GlobalConfig, HttpAuth, HttpClientConfig, HttpHeader, OtlpConfig,
    ScrapeConfig, ScrapeLimits, ScrapeProtocol, Secret, Source, StaticConfig, section::Field,
    sections::put_discovery, units::format_size_bytes,
};
pub(crate) use emit::{Map, Value};

/// Prints a configuration; secrets are masked (I3).
pub(crate) fn to_yaml(config: &Config) -> String {
    let alerting = &config.alerting;
    let mut top = Map::default();
    top.put("global", global(&config.global));
    top.put("runtime", Map::default().with("gogc", Value::Plain(config.runtime.gogc.to_string())));
    let alerting = Map::default()
        .with_list("alert_relabel_configs", alerting.alert_relabel_configs.iter().map(rule))
        .with_list("alertmanagers", alerting.alertmanagers.iter().map(alertmanager));
    top.put_map("alerting", alerting);
    top.put_list("rule_files", config.rule_file_patterns.iter().map(|it| it.as_str().into()));
    let files = config.scrape_file_patterns.iter();
    top.put_list("scrape_config_files", files.map(|it| it.as_str().into()));
    let jobs = &config.scrape_configs[..config.main_job_count];
    top.put_list("scrape_configs", jobs.iter().map(|job| scrape(job)));
    config.storage.put("storage", false, &mut top);
    config.tracing.put("tracing", false, &mut top);
    config.remote_write.put("remote_write", false, &mut top);
    config.remote_read.put("remote_read", false, &mut top);
    top.put_map("otlp", otlp(&config.otlp));
    top.to_yaml()
}

/// Keys that no version before 3.6 knows are left out while they have their default.
fn otlp(config: &OtlpConfig) -> Map {
    let mut map = Map::default();
    config.put("#", true, &mut map);
    for key in ["label_name_underscore_sanitization", "label_name_preserve_multiple_underscores"] {
        map.remove_if(key, "true");
    }
    map
}

fn global(global: &GlobalConfig) -> Map {
    let mut map = Map::default();
    map.put("scrape_interval", duration(global.scrape_interval));
    map.put("scrape_timeout", duration(global.scrape_timeout));
    map.put(
        "scrape_protocols",
        protocols(global.scrape_protocols.as_deref().unwrap_or(&ScrapeProtocol::DEFAULT)),
    );
    map.put("evaluation_interval", duration(global.evaluation_interval));
    if !global.rule_query_offset.is_zero() {
        map.put("rule_query_offset", duration(global.rule_query_offset));
    }
    global.query_log_file.put("query_log_file", false, &mut map);
    global.scrape_failure_log_file.put("scrape_failure_log_file", false, &mut map);
    let mut labels: Vec<(&str, Value)> =
        global.external_labels.iter().map(|(name, value)| (name, value.into())).collect();
    labels.extend(global.blank_external_labels.iter().map(|name| (name.as_str(), "".into())));
    labels.sort_by_key(|(name, _)| *name);
    map.put_map("external_labels", labels.into_iter().collect());
    limits(&global.limits, 0.0, &mut map);
    if let Some(scheme) = global.metric_name_validation_scheme {
        map.put("metric_name_validation_scheme", scheme.name());
    }
    if let Some(scheme) = global.metric_name_escaping_scheme {
        map.put("metric_name_escaping_scheme", scheme.name());
    }
    map.put_true("scrape_native_histograms", global.scrape_native_histograms);
    map.put_true("convert_classic_histograms_to_nhcb", global.convert_classic_histograms_to_nhcb);
    map.put_true("always_scrape_classic_histograms", global.always_scrape_classic_histograms);
    map.put_true("extra_scrape_metrics", global.extra_scrape_metrics);
    map
}

fn limits(limits: &ScrapeLimits, min_bucket_factor: f64, map: &mut Map) {
    if limits.body_size_bytes > 0 {
        let size_bytes = i64::try_from(limits.body_size_bytes).unwrap_or(i64::MAX);
        map.put("body_size_limit", format_size_bytes(size_bytes));
    }
    for (key, limit) in [
        ("sample_limit", limits.sample_count),
        ("target_limit", limits.target_count),
        ("label_limit", limits.label_count),
        ("label_name_length_limit", limits.label_name_size_bytes),
        ("label_value_length_limit", limits.label_value_size_bytes),
        ("native_histogram_bucket_limit", limits.native_histogram_bucket_count),
    ] {
        put_limit(key, limit, map);
    }
    if min_bucket_factor != 0.0 {
        let factor = format_float(min_bucket_factor);
        map.put("native_histogram_min_bucket_factor", Value::Plain(factor));
    }
    put_limit("keep_dropped_targets", limits.dropped_target_count, map);
}

fn put_limit(key: &str, limit: u64, map: &mut Map) {
    if limit > 0 {
        map.put(key, Value::Plain(limit.to_string()));
    }
}

fn scrape(job: &ScrapeConfig) -> Value {
    let mut map = Map::default();
    map.put("job_name", job.job_name.as_str());
    map.put_true("honor_labels", job.honor_labels);
    map.put("honor_timestamps", job.honor_timestamps);
    map.put("track_timestamps_staleness", job.track_timestamps_staleness);
    let params = job.params.iter();
    map.put_map("params", params.map(|(name, values)| (name.as_str(), texts(values))).collect());
    map.put("scrape_interval", duration(job.scrape_interval));
    map.put("scrape_timeout", duration(job.scrape_timeout));
    map.put("scrape_protocols", protocols(&job.scrape_protocols));
    if let Some(protocol) = job.fallback_scrape_protocol {
        map.put("fallback_scrape_protocol", protocol.name());
    }
    map.put_true("scrape_native_histograms", job.scrape_native_histograms);
    map.put("always_scrape_classic_histograms", job.always_scrape_classic_histograms);
    map.put("convert_classic_histograms_to_nhcb", job.convert_classic_histograms_to_nhcb);
    job.scrape_failure_log_file.put("scrape_failure_log_file", false, &mut map);
    map.put_text("metrics_path", &job.metrics_path);
    map.put_text("scheme", &job.scheme);
    map.put("enable_compression", job.enable_compression);
    limits(&job.limits, job.native_histogram_min_bucket_factor, &mut map);
    map.put("metric_name_validation_scheme", job.metric_name_validation_scheme.name());
    map.put("metric_name_escaping_scheme", job.metric_name_escaping_scheme.name());
    map.put_true("extra_scrape_metrics", job.extra_scrape_metrics);
    http_client(&job.http_client, &mut map);
    map.put_list("relabel_configs", job.relabel_configs.iter().map(rule));
    map.put_list("metric_relabel_configs", job.metric_relabel_configs.iter().map(rule));
    put_discovery(&job.discovery_configs, &mut map);
    map.put_list("static_configs", job.static_configs.iter().map(static_config));
    map.into()
}

fn alertmanager(config: &AlertmanagerConfig) -> Value {
    let mut map = Map::default();
    http_client(&config.http_client, &mut map);
    config.sigv4.put("sigv4", false, &mut map);
    map.put_text("scheme", &config.scheme);
    map.put_text("path_prefix", &config.path_prefix);
    map.put("timeout", duration(config.timeout));
    map.put("api_version", "v2");
    map.put_list("relabel_configs", config.relabel_configs.iter().map(rule));
    map.put_list("alert_relabel_configs", config.alert_relabel_configs.iter().map(rule));
    put_discovery(&config.discovery_configs, &mut map);
    map.put_list("static_configs", config.static_configs.iter().map(static_config));
    map.into()
}

pub(crate) fn http_client(config: &HttpClientConfig, map: &mut Map) {
    match &config.auth {
        None => {}
        Some(HttpAuth::Basic { username, password }) => {
            let mut basic = Map::default();
            let keys = ("username", "username_file", "username_ref");
            source(&mut basic, keys, username, |text| text.clone());
            let keys = ("password", "password_file", "password_ref");
            source(&mut basic, keys, password, Secret::to_string);
            map.put("basic_auth", basic);
        }
        Some(HttpAuth::Authorization { scheme, credentials }) => {
            let mut authorization = Map::default().with("type", scheme.as_str());
            let keys = ("credentials", "credentials_file", "credentials_ref");
            source(&mut authorization, keys, credentials, Secret::to_string);
            map.put("authorization", authorization);
        }
    }
    config.oauth2.put("oauth2", false, map);
    config.tls.put("tls_config", false, map);
    map.put("follow_redirects", config.follow_redirects);
    map.put("enable_http2", config.enable_http2);
    config.proxy.put("#", true, map);
    let headers = config.http_headers.iter();
    map.put_map("http_headers", headers.map(|it| (it.name.as_str(), header(it))).collect());
}

fn source<T>(
    map: &mut Map,
    (inline_key, file_key, reference_key): (&str, &str, &str),
    source: &Source<T>,
    show: impl Fn(&T) -> String,
) {
    match source {
        Source::Inline(value) => map.put_text(inline_key, &show(value)),
        Source::File(file) => map.put(file_key, file.display().to_string()),
        Source::Reference(name) => map.put(reference_key, name.as_str()),
    }
}

fn header(header: &HttpHeader) -> Value {
    Map::default()
        .with_list("values", header.values.iter().map(|value| value.as_str().into()))
        .with_list("secrets", header.secrets.iter().map(|secret| secret.to_string().into()))
        .with_list("files", header.files.iter().map(|file| file.display().to_string().into()))
        .into()
}

pub(crate) fn rule(rule: &RelabelRule) -> Value {
    let spec = rule.spec();
    let mut map = Map::default();
    if let Some(names) = spec.source_labels.as_ref().filter(|names| !names.is_empty()) {
        map.put(
            "source_labels",
            Value::Flow(names.iter().map(String::as_str).map(Value::from).collect()),
        );
    }
    map.put("separator", spec.separator.as_str());
    if let Some(regex) = &spec.regex {
        map.put("regex", regex.as_str());
    }
    if spec.modulus > 0 {
        map.put("modulus", Value::Plain(spec.modulus.to_string()));
    }
    map.put_text("target_label", &spec.target_label);
    map.put("replacement", spec.replacement.as_str());
    map.put("action", spec.action.name());
    map.into()
}

fn static_config(group: &StaticConfig) -> Value {
    let labels = group.labels.iter();
    let labels: Map = labels.map(|(name, value)| (name.as_str(), value.as_str().into())).collect();
    let mut map = Map::default().with("targets", texts(&group.targets));
    map.put_map("labels", labels);
    map.into()
}

fn texts(texts: &[String]) -> Value {
    Value::List(texts.iter().map(|text| text.as_str().into()).collect())
}

fn protocols(protocols: &[ScrapeProtocol]) -> Value {
    Value::List(protocols.iter().map(|protocol| protocol.name().into()).collect())
}

fn duration(duration: Duration) -> String {
    format_duration(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
