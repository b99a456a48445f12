//! Mechanisms that ask a registry of services.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::require;
use crate::{
    HttpAuth, HttpClientConfig, Secret, Source, check::Checker, go_url, key_path::KeyPath,
    section::section,
};

section! {
    /// `consul_sd_configs`.
    ConsulSdConfig, RawConsul = "consul.plain", check_consul {
        server: String = "localhost:8500";
        path_prefix: String;
        token: Secret;
        datacenter: String;
        namespace: String;
        partition: String;
        tag_separator: String = ",";
        scheme: String = "http";
        /// With the password the same as `basic_auth`.
        username: String;
        password: Secret;
        allow_stale: bool = true => always;
        refresh_interval: Duration = "30s";
        services: Vec<String>;
        tags: Vec<String>;
        node_meta: BTreeMap<String, String>;
        filter: String;
        health_filter: String;
        http_client as "#http": HttpClientConfig;
    }
}

section! {
    /// `eureka_sd_configs`.
    EurekaSdConfig, RawEureka = "eureka.plain", check_eureka {
        server: String;
        http_client as "#http": HttpClientConfig;
        refresh_interval: Duration = "30s";
    }
}

section! {
    /// `kuma_sd_configs`.
    KumaSdConfig, RawKuma = "xds.plain", check_kuma {
        http_client as "#http": HttpClientConfig;
        refresh_interval: Duration = "15s";
        fetch_timeout: Duration = "2m";
        server: String;
        client_id: String;
    }
}

section! {
    /// `marathon_sd_configs`.
    MarathonSdConfig, RawMarathon = "marathon.plain", check_marathon {
        servers: Vec<String>;
        refresh_interval: Duration = "30s";
        auth_token: Secret;
        auth_token_file: PathBuf;
        http_client as "#http": HttpClientConfig;
    }
}

section! {
    /// `nerve_sd_configs`: nodes of ZooKeeper.
    NerveSdConfig, RawNerve = "zookeeper.plain#nerve", check_nerve {
        servers: Vec<String> => always;
        paths: Vec<String> => always;
        timeout: Duration = "10s";
    }
}

section! {
    /// `nomad_sd_configs`.
    NomadSdConfig, RawNomad = "nomad.plain", check_nomad {
        allow_stale: bool = true => always;
        http_client as "#http": HttpClientConfig;
        namespace: String = "default" => always;
        refresh_interval: Duration = "1m" => always;
        region: String = "global" => always;
        server: String = "http://localhost:4646" => always;
        tag_separator: String = ",";
    }
}

section! {
    /// `serverset_sd_configs`: nodes of ZooKeeper.
    ServersetSdConfig, RawServerset = "zookeeper.plain#serverset", check_serverset {
        servers: Vec<String> => always;
        paths: Vec<String> => always;
        timeout: Duration = "10s";
    }
}

fn check_consul(sd: &mut ConsulSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let message = "consul SD configuration requires a server address";
    require(sd.server.trim(), "server", message, checker, at);
    if !sd.username.is_empty() || !sd.password.is_empty() {
        match &sd.http_client.auth {
            None => {
                sd.http_client.auth = Some(HttpAuth::Basic {
                    username: Source::Inline(sd.username.clone()),
                    password: Source::Inline(sd.password.clone()),
                });
            }
            Some(HttpAuth::Basic { .. }) => checker.report(&at.key("username"), "at most one of consul SD configuration username and password and basic auth can be configured"),
            Some(HttpAuth::Authorization { .. }) => checker.report(&at.key("username"), "at most one of basic_auth, oauth2 & authorization must be configured"),
        }
    }
    let has_authorization = matches!(sd.http_client.auth, Some(HttpAuth::Authorization { .. }));
    if !sd.token.is_empty() && (has_authorization || sd.http_client.oauth2.is_some()) {
        let message = "at most one of consul SD token, authorization, or oauth2 can be configured";
        checker.report(&at.key("token"), message);
    }
}

fn check_eureka(sd: &mut EurekaSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let at = at.key("server");
    match go_url::parse(&sd.server) {
        _ if sd.server.is_empty() => {
            checker.report(&at, "eureka_sd: empty or null eureka server");
        }
        Err(message) => checker.report(&at, message),
        Ok(url) if url.scheme.is_empty() || url.host.is_empty() => {
            checker.report(&at, "eureka_sd: invalid eureka server URL");
        }
        Ok(_) => {}
    }
}

fn check_kuma(sd: &mut KumaSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let (at, server) = (at.key("server"), &sd.server);
    match go_url::parse(server) {
        _ if server.is_empty() => {
            checker.report(&at, "kuma SD server must not be empty: ");
        }
        Err(message) => checker.report(&at, message),
        Ok(url) if url.scheme.is_empty() || url.host.is_empty() => checker.report(
            &at,
            format_args!("kuma SD server must not be empty and have a scheme: {server}"),
        ),
        Ok(_) => {}
    }
}

fn check_marathon(sd: &mut MarathonSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    if sd.servers.is_empty() {
        let message = "marathon_sd: must contain at least one Marathon server";
        checker.report(&at.key("servers"), message);
    }
    let has_file = !sd.auth_token_file.as_os_str().is_empty();
    if !sd.auth_token.is_empty() && has_file {
        let message = "marathon_sd: at most one of auth_token & auth_token_file must be configured";
        checker.report(&at.key("auth_token_file"), message);
    }
    if sd.auth_token.is_empty() && !has_file {
        return;
    }
    let has_bearer = ["bearer_token", "bearer_token_file"]
        .into_iter()
        .any(|key| checker.is_written(&at.key(key)));
    match &sd.http_client.auth {
        None => {}
        Some(HttpAuth::Basic { .. }) => checker.report(&at.key("basic_auth"), "marathon_sd: at most one of basic_auth, auth_token & auth_token_file must be configured"),
        Some(HttpAuth::Authorization { .. }) if has_bearer => checker.report(at, "marathon_sd: at most one of bearer_token, bearer_token_file, auth_token & auth_token_file must be configured"),
        Some(HttpAuth::Authorization { .. }) => checker.report(&at.key("authorization"), "marathon_sd: at most one of auth_token, auth_token_file & authorization must be configured"),
    }
}

fn check_nomad(sd: &mut NomadSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let message = "nomad SD configuration requires a server address";
    require(sd.server.trim(), "server", message, checker, at);
}

fn check_nerve(sd: &mut NerveSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    check_zookeeper("nerve", (&sd.servers, &sd.paths), checker, at);
}

fn check_serverset(sd: &mut ServersetSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    check_zookeeper("serverset", (&sd.servers, &sd.paths), checker, at);
}

fn check_zookeeper(
    name: &str,
    (servers, paths): (&[String], &[String]),
    checker: &mut Checker<'_>,
    at: &KeyPath<'_>,
) {
    if servers.is_empty() {
        let message = format!("{name} SD config must contain at least one Zookeeper server");
        checker.report(&at.key("servers"), message);
    }
    if paths.is_empty() {
        let message = format!("{name} SD config must contain at least one path");
        checker.report(&at.key("paths"), message);
    }
    for (i, path) in paths.iter().enumerate().filter(|(_, path)| !path.starts_with('/')) {
        let message = format!("{name} SD config paths must begin with '/': {path}");
        checker.report(&at.key("paths").index(i), message);
    }
}
