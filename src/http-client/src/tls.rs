//! TLS as a section of the configuration wants it: whom to trust, who to be, which versions. Built anew when
//! a certificate in a file has changed. Compat: `NewTLSConfig` of prometheus/common `config`.

mod errors;
mod validity;
mod verify;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use prom_config::TlsConfig;
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio_rustls::TlsConnector;

use crate::{
    error::Cause,
    files::Contents,
    stream::{HTTP1_PROTOCOL, HTTP2_PROTOCOL, Stream},
};
pub(crate) use errors::go_text;
use verify::Verifier;

/// Names of versions in the configuration, oldest first; the first two are never spoken here.
const VERSIONS: [&str; 4] = ["TLS10", "TLS11", "TLS12", "TLS13"];

/// Wraps connections as one `tls_config` says.
#[derive(Debug)]
pub(crate) struct Tls {
    cfg: TlsConfig,
    /// What servers are offered to be spoken to in, best first; none is HTTP/1.1.
    protocols: Vec<Vec<u8>>,
    built: Mutex<Option<Built>>,
}

/// Ready to wrap connections.
#[derive(Clone)]
pub(crate) struct Connector {
    connector: TlsConnector,
    /// Connections of another generation were made with other certificates.
    pub(crate) generation: u64,
}

#[derive(Debug)]
struct Built {
    from: Material,
    connector: Connector,
}

/// What files held when the connector was built; equal bytes are the same object.
#[derive(Clone, Debug, Default)]
struct Material {
    ca: Option<Arc<[u8]>>,
    cert: Option<Arc<[u8]>>,
    key: Option<Arc<[u8]>>,
}

impl Tls {
    pub(crate) fn new(cfg: TlsConfig, enable_http2: bool) -> Self {
        let protocols = match enable_http2 {
            true => vec![HTTP2_PROTOCOL.to_vec(), HTTP1_PROTOCOL.to_vec()],
            false => Vec::new(),
        };
        Self { cfg, protocols, built: Mutex::default() }
    }

    /// How to connect at this moment.
    ///
    /// # Errors
    /// A file is missing, or what it holds is of no use.
    pub(crate) fn connector(&self, files: &Contents) -> Result<Connector, Cause> {
        let from = self.material(files)?;
        // Replaced as a whole, so a panic elsewhere leaves nothing half-changed.
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = built.as_ref().filter(|built| built.from.is_same(&from)) {
            return Ok(built.connector.clone());
        }
        let generation = built.as_ref().map_or(1, |built| built.connector.generation + 1);
        let config = Arc::new(build(&self.cfg, &from).map_err(Cause::Tls)?);
        let connector = Connector { connector: TlsConnector::from(config), generation };
        *built = Some(Built { from, connector: connector.clone() });
        Ok(connector)
    }

    /// Shakes hands with the server that `host` names.
    pub(crate) async fn wrap(
        &self,
        connector: &Connector,
        host: &str,
        stream: Stream,
    ) -> Result<Stream, Cause> {
        self.shake_hands(connector, host, stream, self.protocols.clone()).await
    }

    /// Shakes hands with a proxy, which is asked in HTTP/1.1.
    pub(crate) async fn wrap_proxy(
        &self,
        connector: &Connector,
        host: &str,
        stream: Stream,
    ) -> Result<Stream, Cause> {
        self.shake_hands(connector, host, stream, Vec::new()).await
    }

    async fn shake_hands(
        &self,
        connector: &Connector,
        host: &str,
        stream: Stream,
        protocols: Vec<Vec<u8>>,
    ) -> Result<Stream, Cause> {
        let name = if self.cfg.server_name.is_empty() { host } else { &self.cfg.server_name };
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| Cause::Tls(format!("tls: invalid server name {name:?}")))?;
        let ends = (stream.local(), stream.peer());
        match connector.connector.with_alpn(protocols).connect(name, stream).await {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err(error) => Err(errors::handshake_failure(&error, ends)),
        }
    }

    fn material(&self, files: &Contents) -> Result<Material, Cause> {
        let of = |inline: &str, file: &Path, what| match (inline, file.as_os_str().is_empty()) {
            ("", true) => Ok(None),
            ("", false) => files.bytes(file).map(Some).map_err(|reason| {
                let path = file.display().to_string();
                Cause::Secret { what, path, reason }
            }),
            // Only files change.
            _ => Ok(None),
        };
        let cfg = &self.cfg;
        Ok(Material {
            ca: of(&cfg.ca, &cfg.ca_file, "CA cert")?,
            cert: of(&cfg.cert, &cfg.cert_file, "specified client cert")?,
            key: of(cfg.key.reveal(), &cfg.key_file, "specified client key")?,
        })
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Material {
    fn is_same(&self, other: &Self) -> bool {
        let is_same = |a: &Option<Arc<[u8]>>, b: &Option<Arc<[u8]>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        is_same(&self.ca, &other.ca)
            && is_same(&self.cert, &other.cert)
            && is_same(&self.key, &other.key)
    }
}

fn build(cfg: &TlsConfig, from: &Material) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = versions(cfg)?;
    let verifier = Verifier::new(
        &provider,
        match (cfg.insecure_skip_verify, authorities(cfg, from)?) {
            (true, _) => None,
            (false, Some(own)) => Some(own),
            (false, None) => Some(native_roots().clone()),
        },
    )?;
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some((chain, key)) = identity(cfg, from)? else { return Ok(config.with_no_client_auth()) };
    let refused = |reason: &str| {
        let (cert, key) =
            (described(&cfg.cert, &cfg.cert_file), described(cfg.key.reveal(), &cfg.key_file));
        format!("unable to use specified client cert ({cert}) & key ({key}): {reason}")
    };
    config.with_client_auth_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => refused("tls: private key does not match public key"),
        other => refused(&other.to_string()),
    })
}

/// The authorities that the configuration names; `None` leaves it to the system.
fn authorities(
    cfg: &TlsConfig,
    from: &Material,
) -> Result<Option<Vec<CertificateDer<'static>>>, String> {
    let pem = match &from.ca {
        Some(bytes) => bytes,
        None if cfg.ca.is_empty() => return Ok(None),
        None => cfg.ca.as_bytes(),
    };
    let certs = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match certs {
        Ok(certs) if !certs.is_empty() => Ok(Some(certs)),
        _ => Err(format!("unable to use specified CA cert {}", described(&cfg.ca, &cfg.ca_file))),
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(cfg: &TlsConfig, from: &Material) -> Result<Option<Identity>, String> {
    let cert = from.cert.as_deref().unwrap_or(cfg.cert.as_bytes());
    let key = from.key.as_deref().unwrap_or(cfg.key.reveal().as_bytes());
    if cert.is_empty() && key.is_empty() {
        return Ok(None);
    }
    let refused = |reason: &str| {
        let (cert, key) =
            (described(&cfg.cert, &cfg.cert_file), described(cfg.key.reveal(), &cfg.key_file));
        format!("unable to use specified client cert ({cert}) & key ({key}): {reason}")
    };
    let chain = CertificateDer::pem_slice_iter(cert).collect::<Result<Vec<_>, _>>();
    let chain = chain.unwrap_or_default();
    if chain.is_empty() {
        return Err(refused("tls: failed to find any PEM data in certificate input"));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| refused("tls: failed to find any PEM data in key input"))?;
    Ok(Some((chain, key)))
}

fn described(inline: &str, file: &Path) -> String {
    if inline.is_empty() { format!("file {}", file.display()) } else { "inline".to_owned() }
}

fn versions(cfg: &TlsConfig) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let place = |name: &str| VERSIONS.iter().position(|version| *version == name);
    let lowest = place(&cfg.min_version).unwrap_or(0);
    let highest = place(&cfg.max_version).unwrap_or(VERSIONS.len() - 1);
    let spoken = [(2, &TLS12), (3, &TLS13)].into_iter();
    let versions: Vec<_> = spoken
        .filter(|(place, _)| (lowest..=highest).contains(place))
        .map(|(_, version)| version)
        .collect();
    match versions.is_empty() {
        true => Err("tls: no supported versions satisfy MinVersion and MaxVersion".to_owned()),
        false => Ok(versions),
    }
}

/// The system's authorities, as they were when somebody first asked.
fn native_roots() -> &'static Vec<CertificateDer<'static>> {
    static ROOTS: std::sync::OnceLock<Vec<CertificateDer<'static>>> = std::sync::OnceLock::new();
    ROOTS.get_or_init(|| rustls_native_certs::load_native_certs().certs)
}

/// Those that can be used among some authorities.
fn root_store(certs: &[CertificateDer<'static>]) -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certs.iter().cloned());
    store
}

/// What signatures are checked with.
fn algorithms(provider: &CryptoProvider) -> rustls::crypto::WebPkiSupportedAlgorithms {
    provider.signature_verification_algorithms
}
