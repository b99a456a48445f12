//! Signatures of requests to Oracle's cloud, after a draft of "Signing HTTP Messages".
//! Compat: <https://docs.oracle.com/en-us/iaas/Content/API/Concepts/signingrequests.htm>.

use jiff::Timestamp;
use prom_http_client::{RsaHash, RsaKey, base64, sha256};
use prom_telemetry::clock;
use url::{Position, Url};

use super::super::{AskError, Call};

/// A key, and the name by which the service knows it.
pub(super) struct Signer {
    pub(super) key: RsaKey,
    /// Of a machine it is secret.
    pub(super) key_id: String,
}

/// Signs a GET.
pub(super) fn sign(call: &mut Call, signer: &Signer) -> Result<(), AskError> {
    let (url, date) = (parse(call)?, date());
    let host = &url[Position::BeforeHost..Position::AfterPort];
    let text = format!("date: {date}\n(request-target): get {}\nhost: {host}", target(&url));
    finish(call, signer, date, "date (request-target) host", &text)
}

/// Signs a POST of JSON to the service that gives tokens, which does not look at the host.
pub(super) fn sign_upload(call: &mut Call, signer: &Signer) -> Result<(), AskError> {
    let (url, date) = (parse(call)?, date());
    let body = call.body.as_deref().unwrap_or_default();
    let (size, digest) = (body.len(), base64(&sha256(body)));
    let text = format!(
        "date: {date}\n(request-target): post {}\ncontent-length: {size}\ncontent-type: application/json\nx-content-sha256: {digest}",
        target(&url)
    );
    *call = call.clone().with_header("x-content-sha256", digest);
    let names = "date (request-target) content-length content-type x-content-sha256";
    finish(call, signer, date, names, &text)
}

fn finish(
    call: &mut Call,
    signer: &Signer,
    date: String,
    names: &str,
    text: &str,
) -> Result<(), AskError> {
    let signature = base64(&signer.key.sign(RsaHash::Sha256, text.as_bytes())?);
    let key_id = &signer.key_id;
    let authorization = format!(
        "Signature version=\"1\",keyId=\"{key_id}\",algorithm=\"rsa-sha256\",headers=\"{names}\",signature=\"{signature}\""
    );
    *call = call.clone().with_header("date", date).with_header("authorization", authorization);
    Ok(())
}

fn date() -> String {
    let now = Timestamp::from_millisecond(clock::now_ms()).unwrap_or_default();
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn parse(call: &Call) -> Result<Url, AskError> {
    Url::parse(&call.url).map_err(|error| AskError::new(error.to_string()))
}

fn target(url: &Url) -> &str {
    &url[Position::BeforePath..Position::AfterQuery]
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}
