//! The checked configuration as YAML, with the keys, the order and the layout of the real server's answer.
//! Keys newer than 3.5 are printed only where they differ from their default, so that every 3.x reads it.

mod emit;

use std::time::Duration;

use prom_model::{RelabelRule, format_duration, format_float};

use crate::{
    AlertmanagerConfig, Config, GlobalConfig, HttpAuth, HttpClientConfig, HttpHeader, ScrapeConfig,
    ScrapeLimits, ScrapeProtocol, Secret, Source, StaticConfig, units::format_size_bytes,
};
use emit::{Map, Value};

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
    top.put_list("scrape_configs", config.scrape_configs.iter().map(|job| scrape(job)));
    let otlp = Map::default().with("translation_strategy", "UnderscoreEscapingWithSuffixes");
    top.put("otlp", otlp);
    top.to_yaml()
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
    let labels = global.external_labels.iter();
    map.put_map("external_labels", labels.map(|(name, value)| (name, value.into())).collect());
    limits(&global.limits, 0.0, &mut map);
    if let Some(scheme) = global.metric_name_validation_scheme {
        map.put("metric_name_validation_scheme", scheme.name());
    }
    if let Some(scheme) = global.metric_name_escaping_scheme {
        map.put("metric_name_escaping_scheme", scheme.name());
    }
    map.put_true("scrape_native_histograms", global.scrape_native_histograms);
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
    map.put("convert_classic_histograms_to_nhcb", false);
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
    map.put_list("static_configs", job.static_configs.iter().map(static_config));
    map.into()
}

fn alertmanager(config: &AlertmanagerConfig) -> Value {
    let mut map = Map::default();
    http_client(&config.http_client, &mut map);
    map.put_text("scheme", &config.scheme);
    map.put_text("path_prefix", &config.path_prefix);
    map.put("timeout", duration(config.timeout));
    map.put("api_version", "v2");
    map.put_list("relabel_configs", config.relabel_configs.iter().map(rule));
    map.put_list("alert_relabel_configs", config.alert_relabel_configs.iter().map(rule));
    map.put_list("static_configs", config.static_configs.iter().map(static_config));
    map.into()
}

fn http_client(config: &HttpClientConfig, map: &mut Map) {
    match &config.auth {
        None => {}
        Some(HttpAuth::Basic { username, password }) => {
            let mut basic = Map::default();
            source(&mut basic, ("username", "username_file"), username, |text| text.clone());
            source(&mut basic, ("password", "password_file"), password, Secret::to_string);
            map.put("basic_auth", basic);
        }
        Some(HttpAuth::Authorization { scheme, credentials }) => {
            let mut authorization = Map::default().with("type", scheme.as_str());
            let keys = ("credentials", "credentials_file");
            source(&mut authorization, keys, credentials, Secret::to_string);
            map.put("authorization", authorization);
        }
    }
    map.put("follow_redirects", config.follow_redirects);
    map.put("enable_http2", config.enable_http2);
    let headers = config.http_headers.iter();
    map.put_map("http_headers", headers.map(|it| (it.name.as_str(), header(it))).collect());
}

fn source<T>(
    map: &mut Map,
    (inline_key, file_key): (&str, &str),
    source: &Source<T>,
    show: impl Fn(&T) -> String,
) {
    match source {
        Source::Inline(value) => map.put_text(inline_key, &show(value)),
        Source::File(file) => map.put(file_key, file.display().to_string()),
    }
}

fn header(header: &HttpHeader) -> Value {
    Map::default()
        .with_list("values", header.values.iter().map(|value| value.as_str().into()))
        .with_list("secrets", header.secrets.iter().map(|secret| secret.to_string().into()))
        .with_list("files", header.files.iter().map(|file| file.display().to_string().into()))
        .into()
}

fn rule(rule: &RelabelRule) -> Value {
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
