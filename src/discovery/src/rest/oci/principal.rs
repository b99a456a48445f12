//! Instance principals: a machine of Oracle's cloud shows its certificate, and gets a token that names a key of the
//! moment, by which requests are signed. Compat: `common/auth` of the OCI SDK for Go;
//! <https://docs.oracle.com/en-us/iaas/Content/Identity/Tasks/callingservicesfrominstances.htm>.

use std::sync::Arc;

use prom_http_client::{Certificate, RsaKey, base64, sha256};
use prom_telemetry::clock;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{
    super::{
        AskError, Call, Refusal, RestClient,
        json::read_value,
        rules::{int, text},
    },
    realm,
    signature::{Signer, sign_upload},
};
use crate::polled::Means;

const METADATA_URL: &str = "http://169.254.169.254/opc/v2";
/// The service answers nobody who does not send this.
const METADATA_AUTHORIZATION: &str = "Bearer Oracle";
/// Where a certificate's subject names the tenancy.
const TENANCY_PREFIX: &str = "opc-tenant:";
/// A token is fetched anew this long before its end.
const EXPIRY_MARGIN_SECONDS: i64 = 300;

const NO_METADATA: Refusal = Refusal {
    text: "failed to create an instance principal: the metadata service answers with status {status}",
    reason_at: "",
    is_strict: true,
};
const NO_TOKEN: Refusal = Refusal {
    text: "failed to get security token: Http Status Code: {code}",
    reason_at: "/message",
    is_strict: true,
};

/// Where tokens come from, and the last one.
#[derive(Debug)]
pub(super) struct InstancePrincipal {
    client: RestClient,
    metadata_url: String,
    means: Means,
    session: Option<Session>,
}

/// Whoever has this may ask in the name of the machine.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) signer: Arc<Signer>,
    pub(super) tenancy: String,
    good_until_s: i64,
}

/// What the machine is given to show.
struct Identity {
    region: String,
    tenancy: String,
    leaf: Certificate,
    key: RsaKey,
    intermediates: Vec<Certificate>,
}

impl InstancePrincipal {
    /// `client` asks the machine's service, too, as the configuration says.
    pub(super) fn new(client: &RestClient, means: &Means) -> Self {
        let metadata_url = means.env.get("OCI_METADATA_BASE_URL");
        Self {
            client: client.clone(),
            metadata_url: metadata_url.unwrap_or_else(|| METADATA_URL.to_owned()),
            means: means.clone(),
            session: None,
        }
    }

    /// The one that is good at this moment.
    ///
    /// # Errors
    /// This is no machine of Oracle's cloud, or nobody gives it a token.
    pub(super) async fn session(&mut self) -> Result<Session, AskError> {
        let now_s = clock::now_ms() / 1000;
        if let Some(session) = self.session.as_ref().filter(|it| now_s < it.good_until_s) {
            return Ok(session.clone());
        }
        let identity = self.identity().await?;
        let session = self.begin(identity).await?;
        Ok(self.session.insert(session).clone())
    }

    /// Begins anew next time.
    pub(super) fn forget(&mut self) {
        self.session = None;
    }

    async fn identity(&self) -> Result<Identity, AskError> {
        let failed = |reason: &str| {
            AskError::new(format!("failed to create an instance principal: {reason}"))
        };
        let region = self.read("/instance/region").await?;
        let region = String::from_utf8_lossy(&region).trim().to_lowercase();
        let certificates = |pem: Vec<u8>| Certificate::all_of_pem(&pem).map_err(|it| failed(&it));
        let leaf = certificates(self.read("/identity/cert.pem").await?)?.swap_remove(0);
        let key = RsaKey::from_pem(&self.read("/identity/key.pem").await?);
        let key = key.map_err(|reason| failed(&reason))?;
        let intermediates = certificates(self.read("/identity/intermediate.pem").await?)?;
        let tenancy = leaf.subject().iter().find_map(|it| it.strip_prefix(TENANCY_PREFIX));
        let Some(tenancy) = tenancy.map(str::to_owned) else {
            return Err(failed("the certificate names no tenancy"));
        };
        Ok(Identity { region: full_name(&region).to_owned(), tenancy, leaf, key, intermediates })
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>, AskError> {
        let call = Call::get(&self.metadata_url, path);
        let call = call.with_header("authorization", METADATA_AUTHORIZATION);
        let answer = self.client.fetch(&call, &NO_METADATA, None).await?;
        Ok(answer.body.as_slice().to_vec())
    }

    /// Shows the certificate; the token that comes back is good for the key that is made here.
    async fn begin(&self, identity: Identity) -> Result<Session, AskError> {
        // It takes a while.
        let made = spawn_blocking(RsaKey::generate).await.map_err(|error| error.to_string());
        let (session_key, public_key) = made.flatten()?;
        let Identity { region, tenancy, leaf, key, intermediates } = identity;
        let intermediates: Vec<String> = intermediates.iter().map(|it| base64(it.der())).collect();
        let request = json!({
            "certificate": base64(leaf.der()),
            "publicKey": base64(&public_key),
            "intermediateCertificates": intermediates,
            "fingerprintAlgorithm": "SHA256",
        });
        let endpoint = format!("https://auth.{region}.{}", realm(&region));
        let endpoint = self.means.endpoint(&endpoint);
        let mut call = Call::post_json(endpoint, "/v1/x509", &request);
        let key_id = format!("{tenancy}/fed-x509-sha256/{}", fingerprint(&leaf));
        sign_upload(&mut call, &Signer { key, key_id })?;
        let answer = self.client.value(&call, &NO_TOKEN).await?;
        let token = text(&answer, "/token");
        let Some(expires_s) = end_of(&token) else {
            return Err(AskError::new("failed to get security token: the answer holds none"));
        };
        let signer = Arc::new(Signer { key: session_key, key_id: format!("ST${token}") });
        Ok(Session { signer, tenancy, good_until_s: expires_s - EXPIRY_MARGIN_SECONDS })
    }
}

/// The oldest regions have short names on their machines.
fn full_name(region: &str) -> &str {
    match region {
        "phx" => "us-phoenix-1",
        "iad" => "us-ashburn-1",
        "fra" => "eu-frankfurt-1",
        "lhr" => "uk-london-1",
        other => other,
    }
}

fn fingerprint(certificate: &Certificate) -> String {
    let bytes = sha256(certificate.der());
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

/// When a JSON Web Token (RFC 7519) ends; it is not checked, as it is for somebody else.
fn end_of(token: &str) -> Option<i64> {
    let claims = token.split('.').nth(1)?.replace('-', "+").replace('_', "/");
    let padding = "=".repeat((4 - claims.len() % 4) % 4);
    let claims: Value = read_value(&prom_config::decode_base64(&(claims + &padding))?).ok()?;
    Some(int(&claims, "/exp")).filter(|end| *end > 0)
}
