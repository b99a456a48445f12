//! Whether a server's certificate is to be trusted. Unlike the library, and like Go, it takes a certificate
//! that is itself among the configured authorities: most self-signed ones are used like that.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    },
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{algorithms, root_store, validity::validity};

/// Checks chains and names; signatures of the handshake always.
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Trust {
    /// `insecure_skip_verify`.
    All,
    Authorities {
        /// `None` if none of them can be an authority.
        chains: Option<Arc<WebPkiServerVerifier>>,
        certs: Vec<CertificateDer<'static>>,
    },
}

impl Verifier {
    /// `None` trusts everybody.
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        certs: Option<Vec<CertificateDer<'static>>>,
    ) -> Result<Self, String> {
        let algorithms = algorithms(provider);
        let Some(certs) = certs else { return Ok(Self { trust: Trust::All, algorithms }) };
        let store = root_store(&certs);
        let chains = match store.is_empty() {
            true => None,
            false => {
                let (store, provider) = (Arc::new(store), Arc::clone(provider));
                let built = WebPkiServerVerifier::builder_with_provider(store, provider).build();
                Some(built.map_err(|error| error.to_string())?)
            }
        };
        Ok(Self { trust: Trust::Authorities { chains, certs }, algorithms })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Trust::Authorities { chains, certs } = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        if certs.iter().any(|cert| cert.as_ref() == end_entity.as_ref()) {
            return verify_itself(end_entity, server_name, now);
        }
        match chains {
            Some(chains) => chains.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The certificate is trusted as it stands: what is left is its time and its name.
fn verify_itself(
    cert: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let validity = validity(cert).ok_or(CertificateError::BadEncoding)?;
    let at = |seconds: i64| {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds.max(0).unsigned_abs()))
    };
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if seconds < validity.not_before {
        let not_before = at(validity.not_before);
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if seconds > validity.not_after {
        let not_after = at(validity.not_after);
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    verify_server_name(&ParsedCertificate::try_from(cert)?, name)?;
    Ok(ServerCertVerified::assertion())
}
