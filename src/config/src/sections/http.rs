//! Parts of the HTTP client's block: TLS, the proxy, tokens by OAuth 2.0. The block itself is checked in
//! `check::http`.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    Secret, Url, check::Checker, key_path::KeyPath, open_value::OpenValue, section::section,
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Names of versions, oldest first.
const TLS_VERSIONS: [&str; 4] = ["TLS10", "TLS11", "TLS12", "TLS13"];

section! {
    /// `tls_config`: whom to trust and who to be.
    #[derive(Default)]
    TlsConfig, RawTls = "config.plain#tls_config", check_tls {
        ca: String;
        cert: String;
        key: Secret;
        ca_file: PathBuf;
        cert_file: PathBuf;
        key_file: PathBuf;
        /// Names in a secret manager, which Prometheus itself has not.
        ca_ref: String;
        cert_ref: String;
        key_ref: String;
        server_name: String;
        insecure_skip_verify: bool => always;
        /// `TLS10` to `TLS13`; empty for the library's own.
        min_version: String;
        max_version: String;
    }
}

section! {
    /// How requests leave: through which proxy.
    #[derive(Default)]
    ProxyConfig, RawProxy = "#proxy", check_proxy {
        proxy_url: Option<Url>;
        no_proxy: String;
        proxy_from_environment: bool;
        proxy_connect_header: BTreeMap<String, Vec<Secret>>;
    }
}

section! {
    /// `oauth2`: where a token comes from.
    OAuth2Config, RawOAuth2 = "config.plain#oauth2", check_oauth2 {
        client_id: String;
        client_secret: Secret;
        client_secret_file: PathBuf;
        client_secret_ref: String;
        client_certificate_key_id: String;
        client_certificate_key: Secret;
        /// From the working directory, as Prometheus takes it.
        client_certificate_key_file: String;
        client_certificate_key_ref: String;
        grant_type: String;
        signature_algorithm: String;
        iss: String;
        audience: String;
        claims: BTreeMap<String, OpenValue>;
        scopes: Vec<String>;
        token_url: String;
        endpoint_params: BTreeMap<String, String>;
        tls_config: TlsConfig;
        proxy as "#proxy": ProxyConfig;
    }
}

/// How many of some alternatives are given.
fn count(given: [bool; 3]) -> usize {
    given.into_iter().filter(|is_given| *is_given).count()
}

fn check_tls(tls: &mut TlsConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let is_path = |path: &PathBuf| !path.as_os_str().is_empty();
    let ca = [!tls.ca.is_empty(), is_path(&tls.ca_file), !tls.ca_ref.is_empty()];
    let cert = [!tls.cert.is_empty(), is_path(&tls.cert_file), !tls.cert_ref.is_empty()];
    let key = [!tls.key.is_empty(), is_path(&tls.key_file), !tls.key_ref.is_empty()];
    for (given, place, message) in [
        (ca, "ca_file", "at most one of ca, ca_file & ca_ref must be configured"),
        (cert, "cert_file", "at most one of cert, cert_file & cert_ref must be configured"),
        (key, "key_file", "at most one of key and key_file must be configured"),
    ] {
        if count(given) > 1 {
            checker.report(&at.key(place), message);
        }
    }
    match (count(cert) > 0, count(key) > 0) {
        (true, false) => checker.report(at, "exactly one of key or key_file must be configured when a client certificate is configured"),
        (false, true) => checker.report(at, "exactly one of cert or cert_file must be configured when a client key is configured"),
        _ => {}
    }
    for (key, version) in [("min_version", &tls.min_version), ("max_version", &tls.max_version)] {
        if !version.is_empty() && !TLS_VERSIONS.contains(&version.as_str()) {
            let versions = TLS_VERSIONS.join(", ");
            checker.report_with_hint(
                &at.key(key),
                format_args!("unknown TLS version: {version}"),
                format!("one of {versions}"),
            );
        }
    }
}

fn check_proxy(proxy: &mut ProxyConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let has_url = proxy.proxy_url.as_ref().is_some_and(|url| !url.is_empty());
    if !proxy.proxy_connect_header.is_empty() && !proxy.proxy_from_environment && !has_url {
        checker.report(&at.key("proxy_connect_header"), "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured");
    }
    if proxy.proxy_from_environment && has_url {
        checker.report(
            &at.key("proxy_url"),
            "if proxy_from_environment is configured, proxy_url must not be configured",
        );
    }
    if proxy.proxy_from_environment && !proxy.no_proxy.is_empty() {
        checker.report(
            &at.key("no_proxy"),
            "if proxy_from_environment is configured, no_proxy must not be configured",
        );
    } else if proxy.proxy_url.is_none() && !proxy.no_proxy.is_empty() {
        checker.report(
            &at.key("no_proxy"),
            "if no_proxy is configured, proxy_url must also be configured",
        );
    }
}

fn check_oauth2(oauth2: &mut OAuth2Config, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    if oauth2.client_id.is_empty() {
        checker.report(&at.key("client_id"), "oauth2 client_id must be configured");
    }
    if oauth2.token_url.is_empty() {
        checker.report(&at.key("token_url"), "oauth2 token_url must be configured");
    }
    if oauth2.grant_type == JWT_BEARER {
        let given = [
            !oauth2.client_certificate_key.is_empty(),
            !oauth2.client_certificate_key_file.is_empty(),
            !oauth2.client_certificate_key_ref.is_empty(),
        ];
        if count(given) > 1 {
            checker.report(&at.key("client_certificate_key_file"), "at most one of oauth2 client_certificate_key, client_certificate_key_file & client_certificate_key_ref must be configured using grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer");
        }
        if !["", "RS256", "RS384", "RS512"].contains(&oauth2.signature_algorithm.as_str()) {
            let message = "valid signature algorithms are RS256, RS384 and RS512";
            checker.report(&at.key("signature_algorithm"), message);
        }
        return;
    }
    let given = [
        !oauth2.client_secret.is_empty(),
        !oauth2.client_secret_file.as_os_str().is_empty(),
        !oauth2.client_secret_ref.is_empty(),
    ];
    if count(given) > 1 {
        checker.report(&at.key("client_secret_file"), "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured using grant-type=client_credentials");
    }
}
