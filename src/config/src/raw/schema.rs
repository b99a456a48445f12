//! What there is to say about the keys of the server's configuration beyond the raw types. The lists of
//! known keys shrink as rooms learn to honour them.

use crate::yaml::{KnownKey, Schema};

/// The schema of `prometheus.yml`.
pub(crate) static SCHEMA: Schema = Schema { known_keys, type_name, inline_fields, is_secret };

/// A key that is refused whatever it says, unless it is null or an empty list.
const fn known(name: &'static str) -> KnownKey {
    KnownKey { name, is_harmless: |_| false }
}

/// A key of which false, zero, the empty text and the empty mapping say nothing.
const fn optional(name: &'static str) -> KnownKey {
    KnownKey { name, is_harmless: |text| matches!(text, "false" | "0" | "0s" | "" | "{}") }
}

static TOP: [KnownKey; 7] = [
    known("rule_files"),
    known("scrape_config_files"),
    optional("storage"),
    known("tracing"),
    known("remote_write"),
    known("remote_read"),
    KnownKey {
        name: "otlp",
        // What the server itself prints.
        is_harmless: |text| matches!(text, "{}" | "UnderscoreEscapingWithSuffixes"),
    },
];

static GLOBAL: [KnownKey; 3] = [
    optional("query_log_file"),
    optional("scrape_failure_log_file"),
    optional("convert_classic_histograms_to_nhcb"),
];

/// Keys of jobs, then the discovery mechanisms both share, then keys of Alertmanagers.
static TARGETS: [KnownKey; 39] = [
    optional("scrape_failure_log_file"),
    optional("convert_classic_histograms_to_nhcb"),
    known("aws_sd_configs"),
    known("azure_sd_configs"),
    known("consul_sd_configs"),
    known("digitalocean_sd_configs"),
    known("dns_sd_configs"),
    known("docker_sd_configs"),
    known("dockerswarm_sd_configs"),
    known("ec2_sd_configs"),
    known("ecs_sd_configs"),
    known("elasticache_sd_configs"),
    known("eureka_sd_configs"),
    known("file_sd_configs"),
    known("gce_sd_configs"),
    known("hetzner_sd_configs"),
    known("http_sd_configs"),
    known("ionos_sd_configs"),
    known("kubernetes_sd_configs"),
    known("kuma_sd_configs"),
    known("lightsail_sd_configs"),
    known("linode_sd_configs"),
    known("marathon_sd_configs"),
    known("msk_sd_configs"),
    known("nerve_sd_configs"),
    known("nomad_sd_configs"),
    known("oci_sd_configs"),
    known("openstack_sd_configs"),
    known("outscale_sd_configs"),
    known("ovhcloud_sd_configs"),
    known("puppetdb_sd_configs"),
    known("rds_sd_configs"),
    known("scaleway_sd_configs"),
    known("serverset_sd_configs"),
    known("stackit_sd_configs"),
    known("triton_sd_configs"),
    known("uyuni_sd_configs"),
    known("vultr_sd_configs"),
    known("sigv4"),
];

static HTTP: [KnownKey; 6] = [
    known("oauth2"),
    optional("tls_config"),
    optional("proxy_url"),
    optional("no_proxy"),
    optional("proxy_from_environment"),
    optional("proxy_connect_header"),
];

static BASIC_AUTH: [KnownKey; 2] = [optional("username_ref"), optional("password_ref")];
static AUTHORIZATION: [KnownKey; 1] = [optional("credentials_ref")];

fn known_keys(struct_name: &str) -> &'static [KnownKey] {
    match struct_name {
        "config.plain#config" => &TOP,
        "config.plain#global" => &GLOBAL,
        "config.ScrapeConfig" => &TARGETS[..TARGETS.len() - 1],
        "config.AlertmanagerConfig" => &TARGETS[2..],
        "config.plain#basic_auth" => &BASIC_AUTH,
        "config.Authorization" => &AUTHORIZATION,
        "#http" => &HTTP,
        _ => &[],
    }
}

fn type_name(struct_name: &str, key: &str) -> Option<&'static str> {
    Some(match (struct_name, key) {
        (_, "scrape_configs") => "[]*config.ScrapeConfig",
        (_, "scrape_protocols") => "[]config.ScrapeProtocol",
        (_, "fallback_scrape_protocol") => "config.ScrapeProtocol",
        (_, "external_labels") => "map[string]string",
        (_, "body_size_limit") => "units.Base2Bytes",
        (_, "params") => "url.Values",
        (_, "static_configs") => "[]*targetgroup.Group",
        (_, "labels") => "model.LabelSet",
        (_, "source_labels") => "model.LabelNames",
        (_, "modulus") => "uint64",
        (_, "relabel_configs" | "metric_relabel_configs" | "alert_relabel_configs") => {
            "[]*relabel.Config"
        }
        (_, "alertmanagers") => "config.AlertmanagerConfigs",
        (_, "http_headers") => "config.Headers",
        (_, "secrets") => "[]config.Secret",
        ("config.plain#basic_auth", "password") => "config.Secret",
        ("config.Authorization", "credentials") => "config.Secret",
        ("#http", "bearer_token") => "config.Secret",
        _ => return None,
    })
}

/// A section that holds credentials may have been given as one text.
fn is_secret(type_name: &str) -> bool {
    matches!(
        type_name,
        "config.Secret"
            | "[]config.Secret"
            | "config.plain#basic_auth"
            | "config.Authorization"
            | "config.Header"
            | "config.Headers"
    )
}

fn inline_fields(inline: &str) -> &'static [&'static str] {
    match inline {
        "#limits" => &[
            "body_size_limit",
            "sample_limit",
            "target_limit",
            "label_limit",
            "label_name_length_limit",
            "label_value_length_limit",
            "keep_dropped_targets",
        ],
        "#http" => &[
            "basic_auth",
            "authorization",
            "bearer_token",
            "bearer_token_file",
            "follow_redirects",
            "enable_http2",
            "http_headers",
        ],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
