//! A proxy that takes a service of the test's own for any host: it lets everybody through, ends TLS with a certificate
//! that the test's configuration trusts, and hands all on.

use std::{path::PathBuf, sync::Arc};

use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// The certificate of all hosts.
pub(super) struct AllHosts {
    acceptor: TlsAcceptor,
    folder: TempDir,
}

impl AllHosts {
    pub(super) fn new(hosts: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let cert = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let private = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], private)
            .unwrap();
        let all = Self { acceptor: TlsAcceptor::from(Arc::new(config)), folder };
        std::fs::write(all.authority(), cert.pem()).unwrap();
        all
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The keys of a configuration that lead to `service` from wherever it asks. Serves until the runtime ends.
    #[expect(clippy::disallowed_methods, reason = "a server of a test needs no supervisor")]
    pub(super) async fn keys_to(&self, service: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = self.acceptor.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(let_through(stream, acceptor.clone(), service.clone()));
            }
        });
        let authority = self.authority();
        format!("proxy_url: 'http://{address}', tls_config: {{ca_file: '{}'}}", authority.display())
    }
}

/// Whoever does not follow is left alone.
async fn let_through(mut stream: TcpStream, acceptor: TlsAcceptor, service: String) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    assert!(head.starts_with(b"CONNECT "), "{}", String::from_utf8_lossy(&head));
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
    let mut outer = acceptor.accept(stream).await.ok()?;
    let mut inner = TcpStream::connect(service).await.ok()?;
    copy_bidirectional(&mut outer, &mut inner).await.ok()?;
    Some(())
}
