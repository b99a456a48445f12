//! Cases of whole files; texts were compared with those of the reference.

use std::{path::Path, time::Duration};

use crate::{Config, ConfigErrors, HttpAuth, ScrapeProtocol, Secret, Source, load_text};
use prom_model::{NameEscaping, NameValidation};

fn load(text: &str) -> Result<Config, ConfigErrors> {
    load_text(Path::new("/etc/p/prometheus.yml"), text.as_bytes())
}

fn good(text: &str) -> Config {
    load(text).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

/// Checks all mistakes of a file as `line:column: key path: message (hint)`.
fn check(text: &str, expected: &[&str]) {
    let errors = load(text).expect_err(text);
    assert!(errors.is_invalid());
    let errors: Vec<String> = errors.errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, expected, "{text}");
}

/// Checks the one mistake of a job `{job_name: j, ...}`.
fn check_job(keys: &str, place: &str, expected: &str) {
    let text = format!("scrape_configs: [{{job_name: j, {keys}}}]");
    let errors = load(&text).expect_err(&text).errors;
    let [error] = errors.as_slice() else { panic!("{text}: {errors:?}") };
    assert_eq!(error.key_path, format!("scrape_configs[0]{place}"), "{text}");
    assert_eq!(error.message, expected, "{text}");
}

#[test]
fn an_empty_file_is_all_defaults() {
    for text in ["", "# nothing\n", "global:\n", "scrape_configs: []\n", "global: {}"] {
        let config = good(text);
        assert_eq!(config.global.scrape_interval, Duration::from_secs(60));
        assert_eq!(config.global.scrape_timeout, Duration::from_secs(10));
        assert_eq!(config.global.evaluation_interval, Duration::from_secs(60));
        assert_eq!(config.runtime.gogc, 75);
        assert!(config.scrape_configs.is_empty());
        assert!(config.notices().is_empty());
    }
}

#[test]
fn jobs_inherit_what_they_do_not_say() {
    let config = good(
        "global: {scrape_interval: 15s, scrape_timeout: 12s, sample_limit: 5, body_size_limit: 1KB,
                  scrape_protocols: [PrometheusText0.0.4], always_scrape_classic_histograms: true}
scrape_configs:
- {job_name: a}
- {job_name: b, scrape_interval: 10s, sample_limit: 6, always_scrape_classic_histograms: false}
- {job_name: c, scrape_interval: 1h, scrape_timeout: 1h, scrape_protocols: [PrometheusText1.0.0, PrometheusProto]}
",
    );
    let job = |name| config.scrape_config(name).unwrap();
    assert_eq!(job("a").scrape_interval, Duration::from_secs(15));
    assert_eq!(job("a").scrape_timeout, Duration::from_secs(12));
    assert_eq!(job("a").limits.body_size_bytes, 1024);
    assert_eq!(job("a").scrape_protocols, [ScrapeProtocol::PrometheusText0_0_4]);
    assert!(job("a").always_scrape_classic_histograms);
    assert_eq!(job("b").scrape_timeout, Duration::from_secs(10));
    assert_eq!((job("a").limits.sample_count, job("b").limits.sample_count), (5, 6));
    assert!(!job("b").always_scrape_classic_histograms);
    assert_eq!(job("c").scrape_timeout, Duration::from_secs(3600));
    assert_eq!(job("c").scrape_protocols.len(), 2);
}

#[test]
fn defaults_of_a_job() {
    let config = good("scrape_configs: [{job_name: a}]");
    let job = &config.scrape_configs[0];
    assert_eq!((job.metrics_path.as_str(), job.scheme.as_str()), ("/metrics", "http"));
    assert!(job.honor_timestamps && job.enable_compression && !job.honor_labels);
    assert!(job.http_client.follow_redirects && job.http_client.enable_http2);
    assert_eq!(job.scrape_protocols, ScrapeProtocol::DEFAULT);
    assert_eq!(job.metric_name_validation_scheme, NameValidation::Utf8);
    // A null key is the zero value, as in Go.
    let config = good("scrape_configs: [{job_name: a, metrics_path: , honor_timestamps: ~}]");
    assert_eq!(config.scrape_configs[0].metrics_path, "");
    assert!(!config.scrape_configs[0].honor_timestamps);
    // Wanted native histograms put protobuf first.
    let config = good("scrape_configs: [{job_name: a, scrape_native_histograms: true}]");
    assert_eq!(config.scrape_configs[0].scrape_protocols, ScrapeProtocol::DEFAULT_PROTO_FIRST);
    assert!(config.notices().is_empty());
}

#[test]
fn equal_jobs_compare_equal_and_others_do_not() {
    let job = |keys: &str| {
        good(&format!("scrape_configs: [{{job_name: a, {keys}}}]")).scrape_configs.remove(0)
    };
    assert_eq!(job("metrics_path: /metrics"), job(""));
    for keys in [
        "metrics_path: /m",
        "relabel_configs: [{target_label: x, replacement: y}]",
        "static_configs: [{targets: [x]}]",
        "basic_auth: {username: u, password: one}",
    ] {
        assert_ne!(job(keys), job(""), "{keys}");
        assert_eq!(job(keys), job(keys), "{keys}");
    }
    let secret = |text: &str| job(&format!("authorization: {{credentials: {text}}}"));
    assert_ne!(secret("one"), secret("two"));
}

#[test]
fn intervals_and_names_of_jobs_are_checked() {
    check(
        "global: {scrape_interval: 5s, scrape_timeout: 6s}",
        &["1:47: global.scrape_timeout: global scrape timeout greater than scrape interval"],
    );
    check(
        "scrape_configs:\n- {job_name: a, scrape_interval: 1s, scrape_timeout: 2s}\n-\n- {}\n- {job_name: a}\n",
        &[
            "2:54: scrape_configs[0].scrape_timeout: scrape timeout greater than scrape interval for scrape config with job name \"a\"",
            "3:2: scrape_configs[1]: empty or null scrape config section",
            "4:3: scrape_configs[2].job_name: job_name is empty",
            "5:14: scrape_configs[3].job_name: found multiple scrape configs with job name \"a\" (the other one is scrape_configs[0])",
        ],
    );
    check_job("scrape_interval: 1x", ".scrape_interval", "unknown unit \"x\" in duration \"1x\"");
    check_job("scrape_interval: 10", ".scrape_interval", "not a valid duration string: \"10\"");
    check_job("scrape_timeout: ''", ".scrape_timeout", "empty duration string");
    check_job("body_size_limit: 10", ".body_size_limit", "units: unknown unit  in 10");
}

#[test]
fn protocols_are_checked() {
    const ALL: &str = "supported: [OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 PrometheusText1.0.0]";
    let whose = "for scrape config with job name \"j\"";
    check_job(
        "scrape_protocols: [x, PrometheusText0.0.4]",
        ".scrape_protocols[0]",
        &format!("scrape_protocols: unknown scrape protocol x, {ALL} {whose}"),
    );
    check_job(
        "scrape_protocols: []",
        ".scrape_protocols",
        &format!("scrape_protocols cannot be empty {whose}"),
    );
    check_job(
        "scrape_protocols: [PrometheusText0.0.4, PrometheusTEXT0.0.4]",
        ".scrape_protocols[1]",
        &format!(
            "duplicated protocol in scrape_protocols, got [PrometheusText0.0.4 PrometheusTEXT0.0.4] {whose}"
        ),
    );
    check_job(
        "fallback_scrape_protocol: x",
        ".fallback_scrape_protocol",
        &format!("invalid fallback_scrape_protocol {whose}: unknown scrape protocol x, {ALL}"),
    );
    let keys =
        "scrape_protocols: [PrometheusProto], fallback_scrape_protocol: OpenMetricsText0.0.1";
    let config = good(&format!("scrape_configs: [{{job_name: a, {keys}}}]"));
    let job = &config.scrape_configs[0];
    assert_eq!(job.scrape_protocols, [ScrapeProtocol::PrometheusProto]);
    assert_eq!(job.fallback_scrape_protocol, Some(ScrapeProtocol::OpenMetricsText0_0_1));
}

#[test]
fn external_labels_are_expanded_and_checked() {
    let path = std::env::var("PATH").unwrap();
    let config =
        good("global: {external_labels: {a: $PATH, b: x$$y, c: '${NO_SUCH_VARIABLE}', a.b: z}}");
    let labels: Vec<_> = config.global.external_labels.iter().collect();
    assert_eq!(labels, [("a", path.as_str()), ("a.b", "z"), ("b", "x$y")]);
    check(
        "global: {metric_name_validation_scheme: legacy, external_labels: {a.b: c}}",
        &["1:72: global.external_labels.\"a.b\": \"a.b\" is not a valid label name"],
    );
}

#[test]
fn name_schemes_follow_each_other() {
    let schemes = |global: &str, job: &str| {
        let text = format!("global: {{{global}}}\nscrape_configs: [{{job_name: a, {job}}}]");
        let config = good(&text);
        let job = &config.scrape_configs[0];
        (job.metric_name_validation_scheme, job.metric_name_escaping_scheme)
    };
    let legacy = "metric_name_validation_scheme: legacy";
    let utf8 = "metric_name_validation_scheme: utf8";
    use {NameEscaping as E, NameValidation as V};
    assert_eq!(schemes("", ""), (V::Utf8, E::AllowUtf8));
    assert_eq!(schemes(legacy, ""), (V::Legacy, E::Underscores));
    assert_eq!(schemes("", legacy), (V::Legacy, E::Underscores));
    assert_eq!(schemes(legacy, utf8), (V::Utf8, E::AllowUtf8));
    assert_eq!(schemes("metric_name_escaping_scheme: dots", ""), (V::Utf8, E::Dots));
    assert_eq!(schemes("metric_name_escaping_scheme: dots", legacy), (V::Legacy, E::Underscores));
    assert_eq!(schemes("", "metric_name_escaping_scheme: values"), (V::Utf8, E::Values));
    check_job(
        "metric_name_escaping_scheme: allow-utf-8, metric_name_validation_scheme: legacy",
        ".metric_name_escaping_scheme",
        "utf8 metric names requested but validation scheme is not set to UTF8",
    );
    check_job(
        "metric_name_validation_scheme: x",
        ".metric_name_validation_scheme",
        "unknown scrape config name validation method specified, must be either '', 'legacy' or 'utf8', got x",
    );
    check_job(
        "metric_name_escaping_scheme: x",
        ".metric_name_escaping_scheme",
        "unknown scrape config name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got \"x\"",
    );
}

#[test]
fn credentials_become_one_way_to_authenticate() {
    let auth = |keys: &str| {
        let config = good(&format!("scrape_configs: [{{job_name: a, {keys}}}]"));
        config.scrape_configs[0].http_client.auth.clone()
    };
    let bearer = |credentials| HttpAuth::Authorization { scheme: "Bearer".to_owned(), credentials };
    let inline = |text: &str| Source::Inline(Secret::new(text));
    assert_eq!(auth(""), None);
    assert_eq!(auth("bearer_token: t"), Some(bearer(inline("t"))));
    assert_eq!(auth("authorization: {credentials: t}"), Some(bearer(inline("t"))));
    assert_eq!(auth("bearer_token_file: t"), Some(bearer(Source::File("/etc/p/t".into()))));
    assert_eq!(
        auth("authorization: {type: ' Token ', credentials_file: ../t}"),
        Some(HttpAuth::Authorization {
            scheme: "Token".to_owned(),
            credentials: Source::File("/etc/t".into())
        })
    );
    assert_eq!(
        auth("basic_auth: {username_file: u, password: p}"),
        Some(HttpAuth::Basic { username: Source::File("/etc/p/u".into()), password: inline("p") })
    );
}

#[test]
fn contradicting_credentials_are_refused() {
    check_job(
        "bearer_token: a, bearer_token_file: b",
        ".bearer_token",
        "at most one of bearer_token & bearer_token_file must be configured",
    );
    check_job(
        "bearer_token: a, basic_auth: {username: u}",
        ".bearer_token",
        "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
    );
    check_job(
        "bearer_token_file: a, authorization: {credentials: u}",
        ".bearer_token_file",
        "authorization is not compatible with bearer_token & bearer_token_file",
    );
    check_job(
        "authorization: {credentials: a}, basic_auth: {username: u}",
        ".authorization",
        "at most one of basic_auth, oauth2 & authorization must be configured",
    );
    check_job(
        "authorization: {credentials: a, credentials_file: b}",
        ".authorization.credentials_file",
        "at most one of authorization credentials & credentials_file must be configured",
    );
    check_job(
        "basic_auth: {username: a, username_file: b}",
        ".basic_auth.username_file",
        "at most one of basic_auth username, username_file & username_ref must be configured",
    );
    check_job(
        "basic_auth: {password: a, password_file: b}",
        ".basic_auth.password_file",
        "at most one of basic_auth password, password_file & password_ref must be configured",
    );
    check_job(
        "authorization: {type: Basic}",
        ".authorization.type",
        "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
    );
    check_job(
        "http_headers: {authorization: {values: [x]}}",
        ".http_headers.authorization",
        "setting header \"Authorization\" is not allowed",
    );
}

#[test]
fn targets_are_checked() {
    check_job(
        "static_configs: [~]",
        ".static_configs[0]",
        "empty or null section in static_configs",
    );
    check_job(
        "static_configs: [{targets: [a, 'http://b']}]",
        ".static_configs[0].targets[1]",
        "\"http://b\" is not a valid hostname",
    );
    check_job(
        "static_configs: [{labels: {'': x}}]",
        ".static_configs[0].labels.\"\"",
        "\"\" is not a valid label name",
    );
    // Relabelling may make an address of it.
    good(
        "scrape_configs: [{job_name: a, static_configs: [{targets: ['http://b']}], relabel_configs: [{target_label: x}]}]",
    );
}

#[test]
fn relabelling_rules_are_checked() {
    let first = |rule: &str, place: &str, expected: &str| {
        let place = format!(".relabel_configs[0]{place}");
        check_job(&format!("relabel_configs: [{rule}]"), &place, expected);
    };
    first("~", "", "empty or null target relabeling rule in scrape config");
    first("{action: foo}", ".action", "unknown relabel action \"foo\"");
    first("{action: }", ".action", "relabel action cannot be empty");
    first(
        "{action: keep, source_labels: ['']}",
        ".source_labels[0]",
        "\"\" is not a valid label name",
    );
    first(
        "{regex: '(', target_label: x}",
        ".regex",
        "error parsing regexp: missing closing ): `^(?s:()$`",
    );
    check_job(
        "metric_relabel_configs: [~]",
        ".metric_relabel_configs[0]",
        "empty or null metric relabeling rule in scrape config",
    );
    // A null expression is the empty one.
    let config =
        good("scrape_configs: [{job_name: a, relabel_configs: [{action: keep, regex: }]}]");
    assert_eq!(config.scrape_configs[0].relabel_configs[0].spec().regex.as_deref(), Some(""));
}

#[test]
fn alertmanagers_are_checked() {
    let config = good("alerting: {alertmanagers: [{static_configs: [{targets: ['a:9093']}]}]}");
    let alertmanager = &config.alerting.alertmanagers[0];
    assert_eq!(alertmanager.timeout, Duration::from_secs(10));
    assert_eq!(config.notices().len(), 1);
    assert!(
        good("alerting: {alertmanagers: [{static_configs: [{targets: }]}]}").notices().is_empty()
    );
    check(
        "alerting:\n  alert_relabel_configs: [~]\n  alertmanagers:\n  - api_version: v3\n  - relabel_configs: [~]\n  - alert_relabel_configs: [~]\n",
        &[
            "2:27: alerting.alert_relabel_configs[0]: empty or null alert relabeling rule",
            "4:18: alerting.alertmanagers[0].api_version: expected Alertmanager api version to be one of [v2] but got v3",
            "5:23: alerting.alertmanagers[1].relabel_configs[0]: empty or null Alertmanager target relabeling rule",
            "6:29: alerting.alertmanagers[2].alert_relabel_configs[0]: empty or null Alertmanager alert relabeling rule",
        ],
    );
}

#[test]
fn what_is_not_supported_yet_is_said_so() {
    for text in [
        "remote_write: [{url: 'http://x'}]",
        "tracing: {endpoint: x}",
        "scrape_configs: [{job_name: a, proxy_url: 'ftp://x'}]",
        "scrape_configs: [{job_name: a, tls_config: {ca_ref: x}}]",
        "scrape_configs: [{job_name: a, oauth2: {client_id: x, token_url: y, client_secret_ref: z}}]",
        "alerting: {alertmanagers: [{sigv4: {region: x}}]}",
    ] {
        let errors = load(text).expect_err(text);
        assert!(errors.is_unsupported(), "{errors}");
        assert!(errors.to_string().contains("is not supported by this build yet"), "{errors}");
    }
    for text in [
        "rule_files:",
        "rule_files: []",
        "storage: {}",
        "storage: {tsdb: {out_of_order_time_window: 1h}}",
        "storage: {tsdb: {out_of_order_time_window: 0s}}",
        "otlp:",
        "otlp: {promote_all_resource_attributes: true}",
        "remote_write: []",
        "scrape_configs: [{job_name: a, proxy_url: 'socks5h://x'}]",
        "scrape_configs: [{job_name: a, tls_config: {insecure_skip_verify: false}}]",
        "scrape_configs: [{job_name: a, dns_sd_configs: []}]",
        "scrape_configs: [{job_name: a, file_sd_configs: [{files: ['*.json']}]}]",
        "scrape_configs: [{job_name: a, proxy_from_environment: yes}]",
        "scrape_configs: [{job_name: a, proxy_url: 'http://u:p@x'}]",
        "scrape_configs: [{job_name: a, scheme: https, tls_config: {ca_file: x}}]",
        "scrape_configs: [{job_name: a, oauth2: {client_id: x, token_url: y}}]",
    ] {
        good(text);
    }
    // Not known anywhere is another matter.
    assert!(!load("sigv4: {}").unwrap_err().is_unsupported());
}

#[test]
fn a_value_of_the_wrong_type_is_complained_about_once() {
    check(
        "scrape_configs: [{job_name: [x], scrape_timeout: {}}, abc]",
        &[
            "1:29: scrape_configs[0].job_name: cannot unmarshal !!seq into string",
            "1:50: scrape_configs[0].scrape_timeout: cannot unmarshal !!map into string",
            "1:55: scrape_configs[1]: cannot unmarshal !!str `abc` into config.ScrapeConfig",
        ],
    );
}

#[test]
fn secrets_show_in_no_error() {
    let text = "scrape_configs:
- {job_name: a, basic_auth: {password: [hunter2]}, bearer_token: hunter2,
   authorization: {credentials: hunter2, foo: hunter2}, http_headers: {a: {secrets: hunter2}}}
- {job_name: b, basic_auth: hunter2, authorization: hunter2, http_headers: {a: hunter2}}
";
    let errors = load(text).unwrap_err();
    assert!(errors.errors.len() > 7, "{errors}");
    for shown in [errors.to_string(), format!("{errors:?}"), errors.summary()] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn labels_that_are_too_long_are_refused() {
    // The path is some hundred bytes long.
    let text = format!("global: {{external_labels: {{a: '{}'}}}}", "$PATH".repeat(200_000));
    let errors = load(&text).unwrap_err();
    assert_eq!(errors.errors[0].key_path, "global.external_labels.a");
    assert_eq!(errors.errors[0].message, "value has more than 1048576 bytes when expanded");
}

proptest::proptest! {
    #[test]
    fn no_edit_of_a_file_makes_it_panic(
        edits in proptest::collection::vec((0usize..4000, proptest::prelude::any::<u8>()), 1..8),
        end in 0usize..4000,
    ) {
        let mut bytes = include_bytes!("../../fixtures/status/all_keys.yml").to_vec();
        for (at, byte) in edits {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(end.max(100));
        if let Err(errors) = load_text(Path::new("x.yml"), &bytes) {
            proptest::prop_assert!(!errors.errors.is_empty() && !errors.summary().is_empty());
        }
    }
}
