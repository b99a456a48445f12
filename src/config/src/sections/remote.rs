//! `remote_write` and `remote_read`: where samples go to and come from.

use std::{collections::BTreeMap, time::Duration};

use prom_model::quote_go;

use super::{AzureAdConfig, GoogleIamConfig, Sigv4Config};
use crate::{
    HttpAuth, HttpClientConfig, Url,
    check::{Checker, is_reserved_header},
    key_path::KeyPath,
    raw::RawHttpClient,
    section::{RelabelRules, section},
};

const MESSAGES: [&str; 2] = ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"];

section! {
    /// One entry of `remote_write`.
    RemoteWriteConfig, RawRemoteWrite = "config.plain#remote_write", check_write {
        url: Option<Url> => always;
        remote_timeout: Duration = "30s";
        headers: BTreeMap<String, String>;
        write_relabel_configs: RelabelRules;
        name: String;
        send_exemplars: bool;
        send_native_histograms: bool;
        round_robin_dns: bool;
        /// `prometheus.WriteRequest` or `io.prometheus.write.v2.Request`.
        protobuf_message: String = MESSAGES[0];
        failed_request_logging: bool;
        http_client as "#http": HttpClientConfig = RawHttpClient::without_http2();
        queue_config: QueueConfig;
        metadata_config: MetadataConfig;
        sigv4: Option<Sigv4Config>;
        azuread: Option<AzureAdConfig>;
        google_iam: Option<GoogleIamConfig>;
    }
}

section! {
    /// `queue_config`: how much waits and how much is sent at once.
    QueueConfig, RawQueue = "config.QueueConfig", check_queue {
        capacity: i64 = 10_000;
        max_shards: i64 = 50;
        min_shards: i64 = 1;
        max_samples_per_send: i64 = 2_000;
        batch_send_deadline: Duration = "5s";
        min_backoff: Duration = "30ms";
        max_backoff: Duration = "5s";
        retry_on_http_429: bool;
        sample_age_limit: Duration;
    }
}

section! {
    /// `metadata_config`: what is sent about metrics beside their samples.
    MetadataConfig, RawMetadata = "config.MetadataConfig" {
        send: bool = true => always;
        send_interval: Duration = "1m" => always;
        max_samples_per_send: i64 = 2_000;
    }
}

section! {
    /// One entry of `remote_read`.
    RemoteReadConfig, RawRemoteRead = "config.plain#remote_read", check_read {
        url: Option<Url> => always;
        remote_timeout: Duration = "1m";
        chunked_read_limit: u64 = 50_000_000_u64;
        headers: BTreeMap<String, String>;
        read_recent: bool;
        name: String;
        http_client as "#http": HttpClientConfig;
        required_matchers: BTreeMap<String, String>;
        filter_external_labels: bool = true;
    }
}

fn check_write(write: &mut RemoteWriteConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    if write.url.is_none() {
        checker.report(&at.key("url"), "url for remote_write is empty");
    }
    check_headers(&write.headers, checker, at);
    if !MESSAGES.contains(&write.protobuf_message.as_str()) {
        let name = &write.protobuf_message;
        checker.report(&at.key("protobuf_message"), format_args!("invalid protobuf_message value: unknown type for remote write protobuf message {name}, supported: {}", MESSAGES.join(", ")));
    }
    let by_client = match (&write.http_client.auth, &write.http_client.oauth2) {
        (Some(HttpAuth::Basic { .. }), _) => Some("basic_auth"),
        (Some(HttpAuth::Authorization { .. }), _) => Some("authorization"),
        (None, Some(_)) => Some("oauth2"),
        (None, None) => None,
    };
    let ways: Vec<&str> = [
        by_client,
        write.sigv4.as_ref().map(|_| "sigv4"),
        write.azuread.as_ref().map(|_| "azuread"),
        write.google_iam.as_ref().map(|_| "google_iam"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let [.., last] = ways.as_slice()
        && ways.len() > 1
    {
        checker.report(&at.key(last), format_args!("at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. Currently configured: [{}]", ways.join(" ")));
    }
}

fn check_queue(queue: &mut QueueConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let wrong = [
        (queue.max_shards <= 0, "max_shards", "must be positive"),
        (queue.min_shards <= 0, "min_shards", "must be positive"),
        (
            queue.min_shards > queue.max_shards && queue.max_shards > 0,
            "min_shards",
            "must not be greater than max_shards",
        ),
        (queue.max_samples_per_send <= 0, "max_samples_per_send", "must be positive"),
        (queue.capacity <= 0, "capacity", "must be positive"),
        (queue.max_backoff < queue.min_backoff, "max_backoff", "must not be less than min_backoff"),
    ];
    for (_, key, rule) in wrong.into_iter().filter(|(is_wrong, ..)| *is_wrong) {
        checker.report(&at.key(key), format_args!("remote write queue {key} {rule}"));
    }
}

fn check_read(read: &mut RemoteReadConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    if read.url.is_none() {
        checker.report(&at.key("url"), "url for remote_read is empty");
    }
    check_headers(&read.headers, checker, at);
    for name in read.required_matchers.keys() {
        checker.label_name(name, &at.key("required_matchers").key(name));
    }
}

fn check_headers(headers: &BTreeMap<String, String>, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    for name in headers.keys() {
        if name.eq_ignore_ascii_case("authorization") {
            checker.report(&at.key("headers").key(name), "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter");
        } else if is_reserved_header(name) {
            let message = format!("{name} is a reserved header. It must not be changed");
            checker.report(&at.key("headers").key(name), message);
        }
    }
}

/// Names of entries are unique; those without one are told apart by their content.
pub(crate) fn check_names<'n>(
    names: impl Iterator<Item = &'n str>,
    what: &str,
    checker: &mut Checker<'_>,
    at: &KeyPath<'_>,
) {
    let mut seen = std::collections::HashSet::new();
    for (i, name) in names.enumerate() {
        if !name.is_empty() && !seen.insert(name) {
            let name = quote_go(name);
            checker.report(
                &at.index(i).key("name"),
                format_args!("found multiple {what} configs with job name {name}"),
            );
        }
    }
}
