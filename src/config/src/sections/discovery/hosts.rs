//! Mechanisms that ask a host or a file: lists of targets, names, containers, inventories.

use std::{path::PathBuf, time::Duration};

use prom_model::quote_go;

use super::require;
use crate::{
    HttpClientConfig, Secret, TlsConfig, check::Checker, go_url, key_path::KeyPath,
    section::section,
};

section! {
    /// `dns_sd_configs`.
    DnsSdConfig, RawDns = "dns.plain", check_dns {
        names: Vec<String> => always;
        refresh_interval: Duration = "30s";
        /// `SRV`, `A`, `AAAA`, `MX` or `NS`, in any case.
        record_type as "type": String = "SRV" => always;
        port: i64 => always;
    }
}

section! {
    /// `docker_sd_configs`.
    DockerSdConfig, RawDocker = "moby.plain#docker", check_docker {
        http_client as "#http": HttpClientConfig;
        host: String => always;
        port: i64 = 80 => always;
        filters: Vec<DockerFilter> => always;
        host_networking_host: String = "localhost" => always;
        refresh_interval: Duration = "1m" => always;
        match_first_network: bool = true => always;
    }
}

section! {
    /// A filter on what the daemon lists.
    DockerFilter, RawDockerFilter = "moby.Filter" {
        name: String => always;
        values: Vec<String> => always;
    }
}

section! {
    /// `dockerswarm_sd_configs`.
    DockerSwarmSdConfig, RawDockerSwarm = "moby.plain#dockerswarm", check_dockerswarm {
        http_client as "#http": HttpClientConfig;
        host: String => always;
        role: String => always;
        port: i64 = 80 => always;
        filters: Vec<DockerFilter> => always;
        refresh_interval: Duration = "1m" => always;
    }
}

section! {
    /// `file_sd_configs`.
    FileSdConfig, RawFile = "file.plain", check_file {
        /// Paths, with an asterisk in the last element at most.
        files: Vec<PathBuf> => always;
        refresh_interval: Duration = "5m";
    }
}

section! {
    /// `http_sd_configs`.
    HttpSdConfig, RawHttp = "http.plain", check_http {
        http_client as "#http": HttpClientConfig;
        refresh_interval: Duration = "1m";
        url: String => always;
    }
}

section! {
    /// `puppetdb_sd_configs`.
    PuppetDbSdConfig, RawPuppetDb = "puppetdb.plain", check_puppetdb {
        http_client as "#http": HttpClientConfig;
        refresh_interval: Duration = "1m";
        url: String => always;
        query: String => always;
        include_parameters: bool => always;
        port: i64 = 80 => always;
    }
}

section! {
    /// `triton_sd_configs`.
    TritonSdConfig, RawTriton = "triton.plain", check_triton {
        account: String => always;
        role: String = "container" => always;
        dns_suffix: String => always;
        endpoint: String => always;
        groups: Vec<String>;
        port: i64 = 9163 => always;
        refresh_interval: Duration = "1m";
        tls_config: TlsConfig;
        version: i64 = 1 => always;
    }
}

section! {
    /// `uyuni_sd_configs`.
    UyuniSdConfig, RawUyuni = "uyuni.plain", check_uyuni {
        server: String => always;
        username: String => always;
        password: Secret => always;
        http_client as "#http": HttpClientConfig;
        entitlement: String = "monitoring_entitled";
        separator: String = ",";
        refresh_interval: Duration = "1m";
    }
}

fn check_dns(sd: &mut DnsSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    if sd.names.is_empty() {
        let message = "DNS-SD config must contain at least one SRV record name";
        checker.report(&at.key("names"), message);
    }
    match sd.record_type.to_ascii_uppercase().as_str() {
        "SRV" => {}
        "A" | "AAAA" | "MX" | "NS" if sd.port != 0 => {}
        "A" | "AAAA" | "MX" | "NS" => checker.report(
            &at.key("port"),
            "a port is required in DNS-SD configs for all record types except SRV",
        ),
        _ => {
            let message = format!("invalid DNS-SD records type {}", sd.record_type);
            checker.report(&at.key("type"), message);
        }
    }
}

fn check_docker(sd: &mut DockerSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    check_daemon(&sd.host, checker, at);
}

fn check_dockerswarm(sd: &mut DockerSwarmSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    check_daemon(&sd.host, checker, at);
    match sd.role.as_str() {
        "services" | "nodes" | "tasks" => {}
        "" => {
            let message = "role missing (one of: tasks, services, nodes)";
            checker.report(&at.key("role"), message);
        }
        role => {
            let message = format!("invalid role {role}, expected tasks, services, or nodes");
            checker.report(&at.key("role"), message);
        }
    }
}

fn check_daemon(host: &str, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    require(host, "host", "host missing", checker, at);
    if let Err(message) = go_url::parse(host) {
        checker.report(&at.key("host"), message);
    }
}

fn check_file(sd: &mut FileSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let at = at.key("files");
    if sd.files.is_empty() {
        let message = "file service discovery config must contain at least one path name";
        checker.report(&at, message);
    }
    for i in 0..sd.files.len() {
        // What is written counts: the directory of the file may hold an asterisk.
        let Some(name) = checker.text_at(&at.index(i)) else { continue };
        if !is_file_pattern(&name) {
            let message = format!("path name {} is not valid for file discovery", quote_go(&name));
            checker.report_with_hint(
                &at.index(i),
                message,
                String::from(
                    "it ends in .json, .yml or .yaml; only the last element may hold one *",
                ),
            );
        }
    }
}

/// No asterisk but one in the last element, and an ending that tells the format.
fn is_file_pattern(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let is_known = matches!(extension, "json" | "yml" | "yaml" | "JSON" | "YML" | "YAML");
    let after_star = stem.split_once('*').map_or("", |(_, after)| after);
    is_known && !after_star.contains('/') && !stem.contains('\n')
}

fn check_http(sd: &mut HttpSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    check_address(&sd.url, checker, at);
}

fn check_puppetdb(sd: &mut PuppetDbSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    check_address(&sd.url, checker, at);
    require(&sd.query, "query", "query missing", checker, at);
}

fn check_address(address: &str, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let at = at.key("url");
    match go_url::parse(address) {
        _ if address.is_empty() => checker.report(&at, "URL is missing"),
        Err(message) => checker.report(&at, message),
        Ok(url) if !["http", "https"].contains(&url.scheme.to_ascii_lowercase().as_str()) => {
            checker.report(&at, "URL scheme must be 'http' or 'https'");
        }
        Ok(url) if url.host.is_empty() => checker.report(&at, "host is missing in URL"),
        Ok(_) => {}
    }
}

fn check_triton(sd: &mut TritonSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    if !["container", "cn"].contains(&sd.role.as_str()) {
        let message = "triton SD configuration requires role to be 'container' or 'cn'";
        checker.report(&at.key("role"), message);
    }
    for (text, key, what) in [
        (&sd.account, "account", "an account"),
        (&sd.dns_suffix, "dns_suffix", "a dns_suffix"),
        (&sd.endpoint, "endpoint", "an endpoint"),
    ] {
        let message = format!("triton SD configuration requires {what}");
        require(text, key, &message, checker, at);
    }
    if sd.refresh_interval.is_zero() {
        let message = "triton SD configuration requires RefreshInterval to be a positive integer";
        checker.report(&at.key("refresh_interval"), message);
    }
}

fn check_uyuni(sd: &mut UyuniSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let message = "Uyuni SD configuration requires server host";
    require(&sd.server, "server", message, checker, at);
    if let Err(message) = go_url::parse(&sd.server) {
        checker.report(&at.key("server"), format_args!("Uyuni Server URL is not valid: {message}"));
    }
    let message = "Uyuni SD configuration requires a username";
    require(&sd.username, "username", message, checker, at);
    if sd.password.is_empty() {
        let message = "Uyuni SD configuration requires a password";
        checker.report(&at.key("password"), message);
    }
}
