//! Headers that the configuration adds to each request: who asks, and whatever else it names.
//! Secrets kept in files are those of this very moment, so that rotating one needs no reload.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use prom_config::{HttpAuth, HttpClientConfig, HttpHeader, Secret, Source};

use crate::{base64, error::Cause, files::Contents};

/// Largest file that is taken for one header value.
const SECRET_SIZE_BYTES_MAX: usize = 64 << 10;
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
/// A file could not be read, or its text cannot be a header.
pub(crate) fn add_configured(
    headers: &mut HeaderMap,
    cfg: &HttpClientConfig,
    files: &Contents,
    is_foreign: bool,
) -> Result<(), Cause> {
    for header in &cfg.http_headers {
        if !(is_foreign && is_sensitive(&header.name)) {
            add_header(headers, header, files)?;
        }
    }
    if let Some(auth) = cfg.auth.as_ref().filter(|_| !is_foreign) {
        let value = to_secret_value(&authorization(auth, files)?)?;
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

/// `Basic ...` for a name and a password.
pub(crate) fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", base64::encode(format!("{username}:{password}").as_bytes()))
}

/// A header's value that nothing shows.
pub(crate) fn to_secret_value(text: &str) -> Result<HeaderValue, Cause> {
    let mut value = to_value(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The text of a file with a secret, without white space around it.
pub(crate) fn read(files: &Contents, file: &Path, what: &'static str) -> Result<String, Cause> {
    let failed = |reason| Cause::Secret { what, path: file.display().to_string(), reason };
    let bytes = files.bytes(file).map_err(failed)?;
    if bytes.len() > SECRET_SIZE_BYTES_MAX {
        return Err(failed(format!("larger than {SECRET_SIZE_BYTES_MAX} bytes")));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(_) => Err(failed("not UTF-8".to_owned())),
    }
}

fn add_header(headers: &mut HeaderMap, header: &HttpHeader, files: &Contents) -> Result<(), Cause> {
    let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| {
        Cause::Request(format!("net/http: invalid header field name {:?}", header.name))
    })?;
    for value in &header.values {
        headers.append(&name, to_value(value)?);
    }
    for secret in &header.secrets {
        headers.append(&name, to_secret_value(secret.reveal())?);
    }
    for file in &header.files {
        headers.append(&name, to_secret_value(&read(files, file, "headers file")?)?);
    }
    Ok(())
}

fn authorization(auth: &HttpAuth, files: &Contents) -> Result<String, Cause> {
    match auth {
        HttpAuth::Basic { username, password } => {
            let username = match username {
                Source::Inline(name) => name.clone(),
                Source::File(file) => read(files, file, "basic auth username")?,
                Source::Reference(name) => return Err(no_manager(name)),
            };
            Ok(basic(&username, &reveal(password, files, "basic auth password")?))
        }
        HttpAuth::Authorization { scheme, credentials } => {
            let credentials = reveal(credentials, files, "authorization credentials")?;
            Ok(format!("{scheme} {credentials}"))
        }
    }
}

fn reveal(secret: &Source<Secret>, files: &Contents, what: &'static str) -> Result<String, Cause> {
    match secret {
        Source::Inline(secret) => Ok(secret.reveal().to_owned()),
        Source::File(file) => read(files, file, what),
        Source::Reference(name) => Err(no_manager(name)),
    }
}

fn no_manager(name: &str) -> Cause {
    Cause::Request(format!("secret {name:?} is kept in a secret manager, and there is none"))
}

/// The text itself is not told in the error: it may be a secret.
fn to_value(text: &str) -> Result<HeaderValue, Cause> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| Cause::Request("net/http: invalid header field value".to_owned()))
}

fn is_sensitive(name: &str) -> bool {
    SENSITIVE.iter().any(|sensitive| sensitive.eq_ignore_ascii_case(name))
}
