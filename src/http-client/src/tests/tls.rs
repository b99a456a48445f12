//! TLS, proxies and tokens against servers of the test's own, with certificates made for it. The expected
//! texts were shown by Prometheus 3.5.3 in the same situations.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use prom_config::{OAuth2Config, TlsConfig, parse_http_client};
use prom_testkit::{Answer, FakeTarget};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// An authority, and certificates signed by it.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Chain and key as PEM.
#[derive(Clone)]
pub(super) struct Identity {
    cert: String,
    key: String,
}

/// A target behind TLS.
pub(super) struct TlsTarget {
    pub(super) target: FakeTarget,
    pub(super) port: u16,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn sign(&self, names: &[&str]) -> Identity {
        self.sign_until(names, 2100)
    }

    fn sign_until(&self, names: &[&str], year: i32) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Identity { cert: cert.pem(), key: key.serialize_pem() }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }
}

impl TlsTarget {
    /// With `clients` only those are served whom this authority has signed.
    async fn start(
        identity: &Identity,
        versions: &[&'static SupportedProtocolVersion],
        clients: Option<&Authority>,
    ) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(clients) => config.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(clients.roots(), provider)
                    .build()
                    .unwrap(),
            ),
        };
        let cert = CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let acceptor =
            TlsAcceptor::from(Arc::new(config.with_single_cert(vec![cert], key).unwrap()));
        let target = FakeTarget::start().await;
        target.answer("/metrics", Answer::text("a 1\n"));
        let port = tls_in_front_of(target.address(), acceptor).await;
        Self { target, port }
    }

    pub(super) async fn plain(identity: &Identity) -> Self {
        Self::start(identity, &[&TLS12, &TLS13], None).await
    }

    pub(super) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/metrics", self.port)
    }

    /// Asks and compares; `URL` stands for the address.
    async fn check(&self, host: &str, tls: TlsConfig, expected: &str) {
        let client = client(HttpClientConfig { tls, ..plain() });
        let got = get(&client, &self.url(host), PATIENCE).await.unwrap_or_else(|error| error);
        let expected = match expected {
            "" => "200 OK: a 1\n".to_owned(),
            reason => format!("Get \"{}\": {reason}", self.url(host)),
        };
        assert_eq!(got, expected);
    }
}

/// Serves each connection of a port.
pub(super) async fn spawn_listener<F>(mut serve: impl FnMut(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn(serve(stream));
        }
    });
    port
}

/// Takes TLS off what is meant for `inner`; the port to connect to.
pub(super) async fn tls_in_front_of(inner: String, acceptor: TlsAcceptor) -> u16 {
    spawn_listener(move |outer| {
        let (acceptor, inner) = (acceptor.clone(), inner.clone());
        async move {
            let Ok(mut outer) = acceptor.accept(outer).await else { return };
            let mut inner = TcpStream::connect(inner).await.unwrap();
            drop(copy_bidirectional(&mut outer, &mut inner).await);
        }
    })
    .await
}

/// Of a server that chooses the first of these protocols that it is offered.
pub(super) fn acceptor(identity: &Identity, protocols: &[&str]) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    let cert = CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let mut config = config.with_single_cert(vec![cert], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

#[expect(clippy::disallowed_methods, reason = "a server of a test needs no supervisor")]
pub(super) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(future);
}

pub(super) fn trusting(authority: &Authority) -> TlsConfig {
    TlsConfig { ca: authority.pem(), ..TlsConfig::default() }
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn servers_are_trusted_or_refused_in_the_words_of_go() {
    const UNKNOWN: &str =
        "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    let (ca, other) = (Authority::new(), Authority::new());
    let good = TlsTarget::plain(&ca.sign(&["localhost", "127.0.0.1"])).await;
    good.check("localhost", trusting(&ca), "").await;
    good.check("127.0.0.1", trusting(&ca), "").await;
    good.check("localhost", trusting(&other), UNKNOWN).await;
    good.check("localhost", TlsConfig::default(), UNKNOWN).await;
    let careless = TlsConfig { insecure_skip_verify: true, ..trusting(&other) };
    good.check("localhost", careless, "").await;
    let old = TlsConfig { max_version: "TLS11".to_owned(), ..trusting(&ca) };
    let no_version = "tls: no supported versions satisfy MinVersion and MaxVersion";
    good.check("localhost", old, no_version).await;

    let named = TlsTarget::plain(&ca.sign(&["other.example"])).await;
    let wrong = "tls: failed to verify certificate: x509: ";
    let expected = format!("{wrong}certificate is valid for other.example, not localhost");
    named.check("localhost", trusting(&ca), &expected).await;
    let expected = format!(
        "{wrong}cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs"
    );
    named.check("127.0.0.1", trusting(&ca), &expected).await;
    let told = TlsConfig { server_name: "other.example".to_owned(), ..trusting(&ca) };
    named.check("localhost", told, "").await;

    let tls12 = TlsTarget::start(&ca.sign(&["localhost"]), &[&TLS12], None).await;
    let new = TlsConfig { min_version: "TLS13".to_owned(), ..trusting(&ca) };
    tls12.check("localhost", new, "remote error: tls: protocol version not supported").await;
    tls12.check("localhost", trusting(&ca), "").await;

    let expired = TlsTarget::plain(&ca.sign_until(&["localhost"], 2021)).await;
    let client = client(HttpClientConfig { tls: trusting(&ca), ..plain() });
    let error = get(&client, &expired.url("localhost"), PATIENCE).await.unwrap_err();
    let time = "certificate has expired or is not yet valid: current time ";
    assert!(error.contains(&format!("{wrong}{time}")), "{error}");
    assert!(error.ends_with("Z is after 2021-01-01T00:00:00Z"), "{error}");
}

#[tokio::test]
async fn a_certificate_may_be_its_own_authority() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap().pem();
        let target =
            TlsTarget::plain(&Identity { cert: cert.clone(), key: key.serialize_pem() }).await;
        let tls = TlsConfig { ca: cert, ..TlsConfig::default() };
        target.check("localhost", tls.clone(), "").await;
        let wrong = "tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs";
        target.check("127.0.0.1", tls, wrong).await;
    }
}

#[tokio::test]
async fn clients_show_their_certificate_and_files_are_followed() {
    let (ca, other) = (Authority::new(), Authority::new());
    let target = TlsTarget::start(&ca.sign(&["localhost"]), &[&TLS12, &TLS13], Some(&ca)).await;
    target.check("localhost", trusting(&ca), "remote error: tls: certificate required").await;
    let folder = tempfile::tempdir().unwrap();
    let (mine, foreign) = (ca.sign(&["me"]), other.sign(&["me"]));
    let ca_file = write(folder.path(), "ca.pem", &ca.pem());
    let cert_file = write(folder.path(), "cert.pem", &mine.cert);
    let key_file = write(folder.path(), "key.pem", &foreign.key);
    let tls = TlsConfig {
        ca_file: ca_file.clone(),
        cert_file: cert_file.clone(),
        key_file: key_file.clone(),
        ..TlsConfig::default()
    };
    let client = client(HttpClientConfig { tls, ..plain() });
    let url = target.url("localhost");
    let ask = || get(&client, &url, PATIENCE);
    let refused = |reason: &str| Err(format!("Get \"{url}\": {reason}"));
    let (cert, key) = (cert_file.display(), key_file.display());
    let mismatch = format!(
        "unable to use specified client cert (file {cert}) & key (file {key}): tls: private key does not match public key"
    );
    assert_eq!(ask().await, refused(&mismatch));
    fs::write(&key_file, &mine.key).unwrap();
    assert_eq!(ask().await.unwrap(), "200 OK: a 1\n");
    assert_eq!(ask().await.unwrap(), "200 OK: a 1\n");
    assert_eq!(target.target.connection_count(), 1);
    // A connection made with the old certificate is not used again.
    let next = ca.sign(&["me"]);
    fs::write(&key_file, &next.key).unwrap();
    fs::write(&cert_file, &next.cert).unwrap();
    assert_eq!(ask().await.unwrap(), "200 OK: a 1\n");
    assert_eq!(target.target.connection_count(), 2);
    fs::write(&ca_file, other.pem()).unwrap();
    let unknown =
        "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    assert_eq!(ask().await, refused(unknown));
    fs::write(&ca_file, "no certificate").unwrap();
    let ca_name = ca_file.display();
    let useless = format!("unable to use specified CA cert file {ca_name}");
    assert_eq!(ask().await, refused(&useless));
    fs::remove_file(&ca_file).unwrap();
    let missing = format!(
        "unable to read CA cert: unable to read file {ca_name}: open {ca_name}: no such file or directory"
    );
    assert_eq!(ask().await, refused(&missing));
    fs::write(&ca_file, ca.pem()).unwrap();
    assert_eq!(ask().await.unwrap(), "200 OK: a 1\n");
}

#[tokio::test]
async fn what_is_no_tls_is_named() {
    let target = FakeTarget::start().await;
    let client = client(plain());
    for (answer, expected) in [
        (Answer::BytesThenClose(Vec::new()), "EOF"),
        (
            Answer::BytesThenClose(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            "tls: first record does not look like a TLS handshake",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let bytes = match answer {
            Answer::BytesThenClose(bytes) => bytes,
            other => panic!("{other:?}"),
        };
        let asked = get(&client, &url, PATIENCE);
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 5];
            stream.read_exact(&mut hello).await.unwrap();
            let rest = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
            stream.read_exact(&mut vec![0; rest]).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        };
        let (got, ()) = tokio::join!(asked, served);
        assert_eq!(got, Err(format!("Get \"{url}\": {expected}")));
    }
    drop(target);
}

/// A proxy that opens tunnels and remembers who asked.
pub(super) async fn tunnels() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heads);
    spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let to = head.split(' ').nth(1).unwrap().to_owned();
            noted.lock().unwrap().push(head);
            let mut inner = TcpStream::connect(to).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            spawn(async move {
                drop(copy_bidirectional(&mut stream, &mut inner).await);
            });
        }
    });
    (address, heads)
}

pub(super) fn parsed(text: &str) -> HttpClientConfig {
    parse_http_client(Path::new("/p/http.yml"), text.as_bytes()).unwrap()
}

#[tokio::test]
async fn proxies_are_asked_in_their_two_ways() {
    let ca = Authority::new();
    let target = TlsTarget::plain(&ca.sign(&["localhost"])).await;
    let (proxy, heads) = tunnels().await;
    let text = format!(
        "{{proxy_url: 'http://me:p%20w@{proxy}', proxy_connect_header: {{X-Tunnel: [one]}}, basic_auth: {{username: u}}}}"
    );
    let secure = client(HttpClientConfig { tls: trusting(&ca), ..parsed(&text) });
    for _ in 0..2 {
        let got = get(&secure, &target.url("localhost"), PATIENCE).await;
        assert_eq!(got.unwrap(), "200 OK: a 1\n");
    }
    let heads = heads.lock().unwrap().clone();
    assert_eq!(heads.len(), 1, "the tunnel is kept");
    let host = format!("localhost:{}", target.port);
    assert_eq!(
        heads[0],
        format!(
            "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Prometheus/3.5.0\r\nProxy-Authorization: Basic bWU6cCB3\r\nX-Tunnel: one\r\n\r\n"
        )
    );
    let head = target.target.requests()[0].to_lowercase();
    assert!(head.contains("authorization: basic") && !head.contains("proxy-"), "{head}");

    let proxy = FakeTarget::start().await;
    let url = "http://far.invalid:9100/metrics";
    proxy.answer(url, Answer::text("b 2\n"));
    let through = format!("{{proxy_url: 'http://me@{}'}}", proxy.address());
    let plain_client = client(parsed(&through));
    assert_eq!(get(&plain_client, url, PATIENCE).await.unwrap(), "200 OK: b 2\n");
    let head = proxy.requests()[0].to_lowercase();
    assert!(head.starts_with(&format!("get {url} http/1.1")), "{head}");
    assert!(head.contains("host: far.invalid:9100"), "{head}");
    assert!(head.contains("proxy-authorization: basic bwu6"), "{head}");
    // A proxy that answers a tunnel with something else.
    let got = get(&plain_client, "https://far.invalid/metrics", PATIENCE).await;
    let expected = "Get \"https://far.invalid/metrics\": Not Found";
    assert_eq!(got, Err(expected.to_owned()));
    let excepted = format!("{{proxy_url: 'http://{}', no_proxy: '.invalid'}}", proxy.address());
    let direct = get(&client(parsed(&excepted)), url, PATIENCE).await.unwrap_err();
    assert!(direct.contains("dial tcp: lookup far.invalid"), "{direct}");
    let address = proxy.address();
    proxy.stop().await;
    let gone = get(&client(parsed(&through)), url, PATIENCE).await;
    let expected =
        format!("Get \"{url}\": proxyconnect tcp: dial tcp {address}: connect: connection refused");
    assert_eq!(gone, Err(expected));
}

#[tokio::test]
async fn tokens_are_fetched_kept_and_fetched_anew() {
    let target = FakeTarget::start().await;
    target.answer("/metrics", Answer::text("a 1\n"));
    let endpoint = |body: &str, status: &str| {
        let size = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n{body}"
        );
        Answer::BytesThenClose(answer.into_bytes())
    };
    let folder = tempfile::tempdir().unwrap();
    let secret_file = write(folder.path(), "secret", "top secret\n");
    let tokens = FakeTarget::start().await;
    let oauth2 = OAuth2Config {
        client_id: "me".to_owned(),
        client_secret_file: secret_file.clone(),
        scopes: vec!["a".to_owned(), "b".to_owned()],
        token_url: tokens.url("/token"),
        ..*parsed("{oauth2: {client_id: x, client_secret: y, token_url: z}}").oauth2.unwrap()
    };
    let oauth2 = OAuth2Config { client_secret: Secret::default(), ..oauth2 };
    let client = client(HttpClientConfig { oauth2: Some(Box::new(oauth2)), ..plain() });
    let url = target.url("/metrics");
    let ask = || get(&client, &url, PATIENCE);

    tokens.answer("/token", endpoint(r#"{"error": "invalid_client"}"#, "401 Unauthorized"));
    let refused = format!("Get \"{url}\": oauth2: \"invalid_client\"");
    assert_eq!(ask().await, Err(refused));
    let asked = tokens.requests();
    assert_eq!(asked.len(), 2, "both ways to tell who asks are tried");
    assert!(asked[0].to_lowercase().contains("authorization: basic"), "{asked:?}");
    assert!(!asked[1].to_lowercase().contains("authorization: basic"), "{asked:?}");

    let good = r#"{"access_token": "first", "token_type": "bearer", "expires_in": 3600}"#;
    tokens.answer("/token", endpoint(good, "200 OK"));
    for _ in 0..3 {
        ask().await.unwrap();
    }
    assert_eq!(tokens.requests().len(), 3, "the token is kept");
    let last = target.requests().pop().unwrap();
    assert!(last.contains("Bearer first"), "{last}");
    assert!(!format!("{client:?}").contains("first"));

    // A short life, and a secret that was changed.
    fs::write(&secret_file, "another").unwrap();
    let short = r#"{"access_token": "second", "expires_in": 5}"#;
    tokens.answer("/token", endpoint(short, "200 OK"));
    ask().await.unwrap();
    ask().await.unwrap();
    assert_eq!(tokens.requests().len(), 5);
    assert!(target.requests().pop().unwrap().contains("Bearer second"));
    fs::remove_file(&secret_file).unwrap();
    let file = secret_file.display();
    let missing = format!(
        "Get \"{url}\": unable to read oauth2 client secret: unable to read file {file}: open {file}: no such file or directory"
    );
    assert_eq!(ask().await, Err(missing));
}

#[tokio::test]
async fn a_pipe_in_place_of_a_secret_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody ever writes into the pipe: reading it would wait for ever.
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let target = FakeTarget::start().await;
    let client = client(HttpClientConfig {
        auth: Some(HttpAuth::Authorization {
            scheme: "Bearer".to_owned(),
            credentials: Source::File(pipe.clone()),
        }),
        ..plain()
    });
    let url = target.url("/metrics");
    let got = get(&client, &url, PATIENCE).await;
    let file = pipe.display();
    let expected = format!(
        "Get \"{url}\": unable to read authorization credentials: unable to read file {file}: open {file}: not a regular file"
    );
    assert_eq!(got, Err(expected));
}
