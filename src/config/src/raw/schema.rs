//! What there is to say about the keys of the server's configuration beyond the raw types.

use crate::{
    sections::{RawDiscovery, RawProxy},
    yaml::Schema,
};

/// The schema of `prometheus.yml` and of the files with jobs that it names.
pub(crate) static SCHEMA: Schema = Schema { type_name, inline_fields, is_secret };

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
        (_, "proxy_connect_header") => "config.ProxyHeader",
        (
            _,
            "application_credential_secret"
            | "application_secret"
            | "auth_token"
            | "bearer_token"
            | "certificate_password"
            | "client_certificate_key"
            | "client_secret"
            | "consumer_key"
            | "credentials"
            | "key"
            | "key_passphrase"
            | "password"
            | "private_key"
            | "secret_key"
            | "service_account_key"
            | "token",
        ) => "config.Secret",
        // Addresses may hold passwords.
        (_, "url" | "proxy_url" | "api_server") => "config.URL",
        (_, "basic_auth_users") => "map[string]config.Secret",
        (_, "remote_write") => "[]*config.RemoteWriteConfig",
        (_, "remote_read") => "[]*config.RemoteReadConfig",
        (_, "write_relabel_configs") => "[]*relabel.Config",
        (_, "required_matchers") => "model.LabelSet",
        (_, key) => return RawDiscovery::list_type(key),
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
            | "config.ProxyHeader"
            | "map[string]config.Secret"
            | "config.URL"
            | "config.plain#oauth2"
            | "config.plain#tls_config"
            | "sigv4.plain"
            | "azuread.plain"
            | "azuread.OAuthConfig"
            | "azuread.CertificateConfig"
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
            "oauth2",
            "bearer_token",
            "bearer_token_file",
            "tls_config",
            "follow_redirects",
            "enable_http2",
            "proxy_url",
            "no_proxy",
            "proxy_from_environment",
            "proxy_connect_header",
            "http_headers",
        ],
        "#sd" => RawDiscovery::KEYS,
        "#proxy" => RawProxy::KEYS,
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
