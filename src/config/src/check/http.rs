//! The keys of the HTTP client, which stand in every section that speaks HTTP.

use std::collections::BTreeMap;

use prom_model::quote_go;

use super::Checker;
use crate::{
    HttpAuth, HttpClientConfig, HttpHeader, OAuth2Config, Source,
    key_path::KeyPath,
    raw::{RawAuthorization, RawBasicAuth, RawHeader, RawHttpClient},
    section::Field,
};

/// Headers that the client sets itself. Compat: prometheus/common `config.ReservedHeaders`.
const RESERVED_HEADERS: [&str; 18] = [
    "Accept-Encoding",
    "Authorization",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "Host",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "User-Agent",
    "Www-Authenticate",
    "X-Amz-Content-Sha256",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
];

impl Checker<'_> {
    pub(crate) fn http_client(
        &mut self,
        mut raw: RawHttpClient,
        at: &KeyPath<'_>,
    ) -> HttpClientConfig {
        let headers = raw.http_headers.take().unwrap_or_default();
        HttpClientConfig {
            follow_redirects: raw.follow_redirects,
            enable_http2: raw.enable_http2,
            http_headers: self.http_headers(headers, &at.key("http_headers")),
            tls: Field::check(std::mem::take(&mut raw.tls_config), self, &at.key("tls_config")),
            proxy: Field::check(raw.take_proxy(), self, at),
            oauth2: self.oauth2(&mut raw, at),
            auth: self.http_auth(raw, at),
        }
    }

    fn oauth2(&mut self, raw: &mut RawHttpClient, at: &KeyPath<'_>) -> Option<Box<OAuth2Config>> {
        let oauth2 = raw.oauth2.take()?;
        if !raw.bearer_token.is_empty() || !raw.bearer_token_file.is_empty() {
            self.report(
                &at.key("oauth2"),
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
            );
        }
        if raw.basic_auth.is_some() || raw.authorization.is_some() {
            let message = "at most one of basic_auth, oauth2 & authorization must be configured";
            self.report(&at.key("oauth2"), message);
        }
        Some(Field::check(oauth2, self, &at.key("oauth2")))
    }

    /// At most one way to authenticate; the old bearer keys mean `authorization`.
    fn http_auth(&mut self, raw: RawHttpClient, at: &KeyPath<'_>) -> Option<HttpAuth> {
        let (has_token, has_token_file) =
            (!raw.bearer_token.is_empty(), !raw.bearer_token_file.is_empty());
        let has_bearer = has_token || has_token_file;
        let bearer_at = at.key(if has_token { "bearer_token" } else { "bearer_token_file" });
        if has_token && has_token_file {
            let message = "at most one of bearer_token & bearer_token_file must be configured";
            self.report(&bearer_at, message);
        }
        if raw.basic_auth.is_some() && has_bearer {
            self.report(
                &bearer_at,
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
            );
        }
        if raw.authorization.is_some() && has_bearer {
            let message = "authorization is not compatible with bearer_token & bearer_token_file";
            self.report(&bearer_at, message);
        }
        if raw.authorization.is_some() && raw.basic_auth.is_some() {
            let message = "at most one of basic_auth, oauth2 & authorization must be configured";
            self.report(&at.key("authorization"), message);
        }
        if let Some(basic) = raw.basic_auth {
            return Some(self.basic_auth(basic, &at.key("basic_auth")));
        }
        let authorization = raw.authorization.or_else(|| {
            has_bearer.then(|| RawAuthorization {
                kind: String::new(),
                credentials_ref: String::new(),
                // Both would be noted a second time.
                credentials_file: if has_token { String::new() } else { raw.bearer_token_file },
                credentials: raw.bearer_token,
            })
        })?;
        Some(self.authorization(authorization, &at.key("authorization")))
    }

    fn basic_auth(&mut self, raw: RawBasicAuth, at: &KeyPath<'_>) -> HttpAuth {
        HttpAuth::Basic {
            username: self.source(
                Some(raw.username).filter(|name| !name.is_empty()),
                (&raw.username_file, &raw.username_ref),
                "at most one of basic_auth username, username_file & username_ref must be configured",
                &at.key("username_file"),
            ),
            password: self.source(
                Some(raw.password).filter(|password| !password.is_empty()),
                (&raw.password_file, &raw.password_ref),
                "at most one of basic_auth password, password_file & password_ref must be configured",
                &at.key("password_file"),
            ),
        }
    }

    fn authorization(&mut self, raw: RawAuthorization, at: &KeyPath<'_>) -> HttpAuth {
        let scheme = match raw.kind.trim() {
            "" => "Bearer",
            scheme => scheme,
        };
        if scheme.eq_ignore_ascii_case("basic") {
            self.report(
                &at.key("type"),
                r#"authorization type cannot be set to "basic", use "basic_auth" instead"#,
            );
        }
        HttpAuth::Authorization {
            scheme: scheme.to_owned(),
            credentials: self.source(
                Some(raw.credentials).filter(|credentials| !credentials.is_empty()),
                (&raw.credentials_file, &raw.credentials_ref),
                "at most one of authorization credentials & credentials_file must be configured",
                &at.key("credentials_file"),
            ),
        }
    }

    /// A value, its file, or its name in a secret manager: at most one of them.
    fn source<T: Default>(
        &mut self,
        inline: Option<T>,
        (file, reference): (&str, &str),
        too_many: &str,
        at: &KeyPath<'_>,
    ) -> Source<T> {
        match (inline, file, reference) {
            (Some(value), "", "") => Source::Inline(value),
            (None, "", "") => Source::Inline(T::default()),
            (None, file, "") => Source::File(self.path(file)),
            (None, "", reference) => Source::Reference(reference.to_owned()),
            (inline, ..) => {
                self.report(at, too_many);
                Source::Inline(inline.unwrap_or_default())
            }
        }
    }

    fn http_headers(
        &mut self,
        raw: BTreeMap<String, RawHeader>,
        at: &KeyPath<'_>,
    ) -> Vec<HttpHeader> {
        let mut headers = Vec::with_capacity(raw.len());
        for (name, raw) in raw {
            let canonical = canonical(&name);
            if RESERVED_HEADERS.contains(&canonical.as_str()) {
                let message = format!("setting header {} is not allowed", quote_go(&canonical));
                self.report(&at.key(&name), message);
            }
            let files = raw.files.iter().map(|file| self.path(file)).collect();
            headers.push(HttpHeader { name, values: raw.values, secrets: raw.secrets, files });
        }
        headers
    }
}

/// Whether the client sets a header itself; scrapes' own header is not among those of remote writing.
pub(crate) fn is_reserved_header(name: &str) -> bool {
    const OF_SCRAPES: &str = "X-Prometheus-Scrape-Timeout-Seconds";
    let name = canonical(name);
    name != OF_SCRAPES && RESERVED_HEADERS.contains(&name.as_str())
}

/// `x-foo` as `X-Foo`. Compat: Go `http.CanonicalHeaderKey`.
fn canonical(name: &str) -> String {
    let mut is_first = true;
    name.chars()
        .map(|c| {
            let c = if is_first { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            is_first = c == '-';
            c
        })
        .collect()
}
