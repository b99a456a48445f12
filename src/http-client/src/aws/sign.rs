//! Signatures by AWS Signature Version 4. Pure: keys and time are parameters.
//! Compat: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded;

use super::Keys;
use crate::crypto::{hex, hmac_sha256, sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// The parts of a request that a signature covers.
#[derive(Debug)]
pub(crate) struct Signing<'r> {
    pub(crate) method: &'r str,
    /// As in the header of that name.
    pub(crate) host: &'r str,
    /// As sent, percent-encoded.
    pub(crate) path: &'r str,
    pub(crate) query: &'r str,
    /// Others that the signature covers, by names in lower case.
    pub(crate) headers: &'r [(&'r str, &'r str)],
    pub(crate) body: &'r [u8],
}

/// What a signature is good for.
#[derive(Debug)]
pub(crate) struct Scope<'r> {
    pub(crate) region: &'r str,
    pub(crate) service: &'r str,
    pub(crate) at: Timestamp,
}

/// The headers that a signed request has on top of its own.
pub(crate) fn sign(
    signing: &Signing<'_>,
    keys: &Keys,
    scope: &Scope<'_>,
) -> Vec<(&'static str, String)> {
    let time = scope.at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let date = scope.at.strftime("%Y%m%d").to_string();
    let mut added = vec![("x-amz-date", time.clone())];
    if !keys.session_token.is_empty() {
        added.push(("x-amz-security-token", keys.session_token.reveal().to_owned()));
    }
    let mut signed = vec![("host", signing.host)];
    signed.extend(signing.headers);
    signed.extend(added.iter().map(|(name, value)| (*name, value.as_str())));
    signed.sort_unstable();
    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String =
        signed.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let canonical = [
        signing.method,
        &canonical_path(signing.path),
        &canonical_query(signing.query),
        &lines,
        &names,
        &hex(&sha256(signing.body)),
    ]
    .join("\n");
    let Scope { region, service, .. } = scope;
    let credential = format!("{date}/{region}/{service}/aws4_request");
    let text = format!("{ALGORITHM}\n{time}\n{credential}\n{}", hex(&sha256(canonical.as_bytes())));
    let mut key = format!("AWS4{}", keys.secret_key.reveal()).into_bytes();
    for part in [date.as_str(), region, service, "aws4_request", &text] {
        key = hmac_sha256(&key, part.as_bytes());
    }
    let (access_key, signature) = (&keys.access_key, hex(&key));
    let authorization = format!(
        "{ALGORITHM} Credential={access_key}/{credential}, SignedHeaders={names}, Signature={signature}"
    );
    added.push(("authorization", authorization));
    added
}

/// Encoded once more than it is sent, as every service but S3 wants it.
fn canonical_path(path: &str) -> String {
    let path = if path.is_empty() { "/" } else { path };
    utf8_percent_encode(path, RESERVED_IN_PATH).to_string()
}

fn canonical_query(query: &str) -> String {
    let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let pairs = form_urlencoded::parse(query.as_bytes());
    let mut pairs: Vec<_> = pairs.map(|(name, value)| (encode(&name), encode(&value))).collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}
