//! Headers that the configuration adds to each request: who asks, and whatever else it names.
//! Secrets kept in files are read for each request, so that rotating one needs no reload.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use prom_config::{HttpAuth, HttpClientConfig, HttpHeader, Secret, Source};
use tokio::io::AsyncReadExt;

use crate::{
    base64,
    error::{Cause, errno_text},
};

/// Largest file that is read for one header value.
const SECRET_SIZE_BYTES_MAX: u64 = 64 << 10;
/// Never sent to another host than the one the request was made for. Compat: Go `net/http`.
const SENSITIVE: [&str; 6] = [
    "authorization",
    "www-authenticate",
    "cookie",
    "cookie2",
    "proxy-authorization",
    "proxy-authenticate",
];

/// Adds what `cfg` names to `headers`; `is_foreign` is true once a redirect has left the first host.
///
/// # Errors
/// A file cannot be read, or its text cannot be a header.
pub(crate) async fn add_configured(
    headers: &mut HeaderMap,
    cfg: &HttpClientConfig,
    is_foreign: bool,
) -> Result<(), Cause> {
    for header in &cfg.http_headers {
        if !(is_foreign && is_sensitive(&header.name)) {
            add_header(headers, header).await?;
        }
    }
    if let Some(auth) = cfg.auth.as_ref().filter(|_| !is_foreign) {
        let mut value = to_value(&authorization(auth).await?)?;
        value.set_sensitive(true);
        headers.entry(AUTHORIZATION).or_insert(value);
    }
    Ok(())
}

/// Removes what must not follow a redirect to another host.
pub(crate) fn remove_sensitive(headers: &mut HeaderMap) {
    for name in SENSITIVE {
        headers.remove(name);
    }
}

async fn add_header(headers: &mut HeaderMap, header: &HttpHeader) -> Result<(), Cause> {
    let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| {
        Cause::Request(format!("net/http: invalid header field name {:?}", header.name))
    })?;
    for value in &header.values {
        headers.append(&name, to_value(value)?);
    }
    for secret in &header.secrets {
        headers.append(&name, to_value(secret.reveal())?);
    }
    for file in &header.files {
        headers.append(&name, to_value(&read(file, "headers file").await?)?);
    }
    Ok(())
}

async fn authorization(auth: &HttpAuth) -> Result<String, Cause> {
    match auth {
        HttpAuth::Basic { username, password } => {
            let username = match username {
                Source::Inline(name) => name.clone(),
                Source::File(file) => read(file, "basic auth username").await?,
                Source::Reference(name) => return Err(no_manager(name)),
            };
            let password = reveal(password, "basic auth password").await?;
            Ok(format!("Basic {}", base64::encode(format!("{username}:{password}").as_bytes())))
        }
        HttpAuth::Authorization { scheme, credentials } => {
            let credentials = reveal(credentials, "authorization credentials").await?;
            Ok(format!("{scheme} {credentials}"))
        }
    }
}

async fn reveal(secret: &Source<Secret>, what: &'static str) -> Result<String, Cause> {
    match secret {
        Source::Inline(secret) => Ok(secret.reveal().to_owned()),
        Source::File(file) => read(file, what).await,
        Source::Reference(name) => Err(no_manager(name)),
    }
}

fn no_manager(name: &str) -> Cause {
    Cause::Request(format!("secret {name:?} is kept in a secret manager, and there is none"))
}

async fn read(file: &Path, what: &'static str) -> Result<String, Cause> {
    let path = || file.display().to_string();
    let failed = |reason: String| Cause::Secret { what, path: path(), reason };
    let opened = tokio::fs::File::open(file)
        .await
        .map_err(|error| failed(format!("open {}: {}", path(), errno_text(&error))))?;
    let mut text = String::new();
    let size_bytes = opened.take(SECRET_SIZE_BYTES_MAX + 1).read_to_string(&mut text).await;
    match size_bytes {
        Ok(size_bytes) if size_bytes as u64 > SECRET_SIZE_BYTES_MAX => {
            Err(failed(format!("larger than {SECRET_SIZE_BYTES_MAX} bytes")))
        }
        Ok(_) => Ok(text.trim().to_owned()),
        Err(error) => Err(failed(format!("read {}: {}", path(), errno_text(&error)))),
    }
}

/// The text itself is not told in the error: it may be a secret.
fn to_value(text: &str) -> Result<HeaderValue, Cause> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| Cause::Request("net/http: invalid header field value".to_owned()))
}

fn is_sensitive(name: &str) -> bool {
    SENSITIVE.iter().any(|sensitive| sensitive.eq_ignore_ascii_case(name))
}
