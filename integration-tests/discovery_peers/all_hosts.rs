//! A proxy that takes a service of the test's own for any host: it lets everybody through, ends TLS with a certificate
//! that the test's configuration trusts, and hands all on.

use std::path::PathBuf;

use prom_testkit::tls_of;
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
        let (acceptor, authority) = tls_of(hosts, &[]);
        let all = Self { acceptor, folder };
        std::fs::write(all.authority(), authority).unwrap();
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
