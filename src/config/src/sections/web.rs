//! The web config file: TLS of the listeners, who may ask, which headers answers get.
//! Compat: prometheus/exporter-toolkit `web/tls_config.go`.

use std::{collections::BTreeMap, path::PathBuf};

use prom_model::{format_go_duration, parse_go_duration, quote_go};

use crate::{
    Secret,
    check::Checker,
    key_path::KeyPath,
    print::Value,
    section::{Field, section},
};

const CIPHERS: [&str; 13] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
];
const CURVES: [&str; 4] = ["CurveP256", "CurveP384", "CurveP521", "X25519"];
const VERSIONS: [&str; 4] = ["TLS10", "TLS11", "TLS12", "TLS13"];
const CLIENT_AUTH_TYPES: [&str; 6] = [
    "",
    "NoClientCert",
    "RequestClientCert",
    "RequireAnyClientCert",
    "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
];
/// Headers that may be set, and to what; anything if nothing is said.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];
/// Shortest bcrypt hash.
const BCRYPT_SIZE_MIN: usize = 59;

section! {
    /// A web config file. Paths start from its directory.
    #[derive(Default)]
    WebConfig, RawWeb = "web.Config", check_web {
        tls_server_config: WebTlsConfig;
        http_server_config: WebHttpConfig;
        rate_limit: WebRateLimit;
        /// Passwords as bcrypt hashes.
        basic_auth_users: BTreeMap<String, Secret>;
    }
}

section! {
    /// `tls_server_config`; without a certificate nothing is encrypted.
    WebTlsConfig, RawWebTls = "web.TLSConfig", check_web_tls {
        cert: String;
        key: Secret;
        client_ca: String;
        cert_file: PathBuf;
        key_file: PathBuf;
        /// Empty for `NoClientCert`.
        client_auth_type: String;
        client_ca_file: PathBuf;
        cipher_suites: Vec<String>;
        curve_preferences: Vec<String>;
        min_version: String = "TLS12";
        max_version: String = "TLS13";
        prefer_server_cipher_suites: bool = true;
        client_allowed_sans: Vec<String>;
    }
}

section! {
    /// `http_server_config`.
    WebHttpConfig, RawWebHttp = "web.HTTPConfig", check_web_http {
        http2: bool = true;
        headers: BTreeMap<String, String>;
    }
}

section! {
    /// `rate_limit`: how often requests may come; zero for any number.
    WebRateLimit, RawWebRateLimit = "web.RateLimiterConfig" {
        interval: GoDuration;
        burst: i64;
    }
}

impl Default for WebTlsConfig {
    fn default() -> Self {
        Self {
            cert: String::new(),
            key: Secret::default(),
            client_ca: String::new(),
            cert_file: PathBuf::new(),
            key_file: PathBuf::new(),
            client_auth_type: String::new(),
            client_ca_file: PathBuf::new(),
            cipher_suites: Vec::new(),
            curve_preferences: Vec::new(),
            min_version: String::from("TLS12"),
            max_version: String::from("TLS13"),
            prefer_server_cipher_suites: true,
            client_allowed_sans: Vec::new(),
        }
    }
}

impl Default for WebHttpConfig {
    fn default() -> Self {
        Self { http2: true, headers: BTreeMap::new() }
    }
}

impl Default for WebRateLimit {
    fn default() -> Self {
        Self { interval: GoDuration(0), burst: 0 }
    }
}

impl WebTlsConfig {
    /// Whether connections are to be encrypted.
    pub fn is_enabled(&self) -> bool {
        let Self { cert, key, client_ca, cert_file, key_file, client_auth_type, .. } = self;
        let is_given = |path: &PathBuf| !path.as_os_str().is_empty();
        !cert.is_empty()
            || !key.is_empty()
            || !client_ca.is_empty()
            || is_given(cert_file)
            || is_given(key_file)
            || is_given(&self.client_ca_file)
            || !client_auth_type.is_empty()
    }
}

/// Nanoseconds, written as Go writes durations: `1m30s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoDuration(pub i64);

impl Field for GoDuration {
    type Raw = Option<String>;

    fn check(raw: Self::Raw, checker: &mut Checker<'_>, at: &KeyPath<'_>) -> Self {
        match raw.as_deref().map_or(Ok(0), parse_go_duration) {
            Ok(duration_ns) => Self(duration_ns),
            Err(err) => {
                checker.report(at, err);
                Self(0)
            }
        }
    }

    fn is_zero(&self) -> bool {
        self.0 == 0
    }

    fn show(&self) -> Value {
        format_go_duration(self.0).into()
    }
}

fn check_web(web: &mut WebConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    for (user, hash) in &web.basic_auth_users {
        if let Some(fault) = bcrypt_fault(hash.reveal()) {
            let hint = String::from(
                "passwords are written as bcrypt hashes, as htpasswd -nBC 10 makes them",
            );
            checker.report_with_hint(&at.key("basic_auth_users").key(user), fault, hint);
        }
    }
}

/// Why a text is no bcrypt hash. Compat: Go `bcrypt.Cost`.
fn bcrypt_fault(hash: &str) -> Option<String> {
    let mut chars = hash.chars();
    if hash.len() < BCRYPT_SIZE_MIN {
        return Some(String::from(
            "crypto/bcrypt: hashedSecret too short to be a bcrypted password",
        ));
    }
    match (chars.next(), chars.next()) {
        (Some('$'), Some(version)) if version > '2' => Some(format!(
            "crypto/bcrypt: bcrypt algorithm version '{version}' requested is newer than current version '2'"
        )),
        (Some('$'), _) => {
            let cost = hash.split('$').nth(2).unwrap_or_default();
            match cost.parse::<i64>() {
                Ok(cost) if (4..=31).contains(&cost) => None,
                Ok(cost) => Some(format!(
                    "crypto/bcrypt: cost {cost} is outside allowed inclusive range 4..31"
                )),
                Err(_) => Some(String::from("crypto/bcrypt: hashedSecret has no cost")),
            }
        }
        // The character is not shown: the text is meant to be a secret.
        _ => Some(String::from("crypto/bcrypt: bcrypt hashes must start with '$'")),
    }
}

fn check_web_tls(tls: &mut WebTlsConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let all_known = [
        ("cipher_suites", &tls.cipher_suites, CIPHERS.as_slice(), "cipher"),
        ("curve_preferences", &tls.curve_preferences, CURVES.as_slice(), "curve"),
    ];
    for (key, names, known, what) in all_known {
        for (i, name) in
            names.iter().enumerate().filter(|(_, name)| !known.contains(&name.as_str()))
        {
            checker.report(&at.key(key).index(i), format_args!("unknown {what}: {name}"));
        }
    }
    for (key, version) in [("min_version", &tls.min_version), ("max_version", &tls.max_version)] {
        if !version.is_empty() && !VERSIONS.contains(&version.as_str()) {
            checker.report(&at.key(key), format_args!("unknown TLS version: {version}"));
        }
    }
    let auth = tls.client_auth_type.as_str();
    if !CLIENT_AUTH_TYPES.contains(&auth) {
        checker.report(&at.key("client_auth_type"), format_args!("invalid ClientAuth: {auth}"));
    }
    if !tls.is_enabled() {
        return;
    }
    let is_given = |path: &PathBuf| !path.as_os_str().is_empty();
    if tls.cert.is_empty() && !is_given(&tls.cert_file) {
        checker.report(at, "missing one of cert or cert_file");
    }
    if tls.key.is_empty() && !is_given(&tls.key_file) {
        checker.report(at, "missing one of key or key_file");
    }
    let has_ca = !tls.client_ca.is_empty() || is_given(&tls.client_ca_file);
    if has_ca && matches!(auth, "" | "NoClientCert") {
        let message = "Client CA's have been configured without a Client Auth Policy";
        checker.report(&at.key("client_auth_type"), message);
    }
}

fn check_web_http(http: &mut WebHttpConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let at = at.key("headers");
    for (name, value) in &http.headers {
        match HEADERS.iter().find(|(known, _)| known == name) {
            None => {
                let message = format!("HTTP header {} can not be configured", quote_go(name));
                checker.report(&at.key(name), message);
            }
            Some((_, allowed)) if !allowed.is_empty() && !allowed.contains(&value.as_str()) => {
                let allowed: Vec<String> = allowed.iter().map(|it| quote_go(it)).collect();
                let (allowed, value) = (allowed.join(" "), quote_go(value));
                checker.report(
                    &at.key(name),
                    format_args!(
                        "invalid value for {name}. Expected one of: [{allowed}], but got: {value}"
                    ),
                );
            }
            Some(_) => {}
        }
    }
}
