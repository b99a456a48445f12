//! TLS before a server of a test's own. Chains, clients that show who they are, and all that goes wrong with
//! certificates are the matter of `http-client`'s tests.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

/// Takes connections for these hosts, in the first of these protocols that a client offers (`h2`, `http/1.1`);
/// with the certificate, as PEM, that clients have to trust.
///
/// # Panics
/// One of the names is no host's.
pub fn tls_of(hosts: &[&str], protocols: &[&str]) -> (TlsAcceptor, String) {
    let key = KeyPair::generate().expect("a key can be made");
    let names: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    let params = CertificateParams::new(names).expect("hosts have sound names");
    let cert = params.self_signed(&key).expect("the key is sound");
    let private = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes());
    let private = private.expect("it was written just now");
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for all versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], private)
        .expect("key and certificate belong together");
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), cert.pem())
}
