//! Ways to a server other than TCP and plain proxies, and tokens for a signed assertion.

use std::path::{Path, PathBuf};

use prom_testkit::unix_socket_to;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::{
    tls::{Authority, TlsTarget, acceptor, parsed, spawn, tls_in_front_of, trusting, tunnels},
    *,
};

async fn get_over(client: &Client, url: &str, socket: &Path) -> Result<String, String> {
    let get = async {
        let request = Request::get(url, PATIENCE)?.over_socket(socket);
        let response = client.send(&request).await?;
        let pool = BufferPool::new(1 << 20);
        let mut body = pool.lend(0);
        response.read_body(&mut body, LIMIT).await?;
        Ok::<_, HttpError>(String::from_utf8_lossy(body.as_slice()).into_owned())
    };
    get.await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn unix_sockets_are_dialed_in_place_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (one, other) = (FakeTarget::start().await, FakeTarget::start().await);
    one.answer("/metrics", Answer::text("one 1\n"));
    one.answer("/away", Answer::redirect("302 Found", "http://elsewhere.invalid/metrics"));
    other.answer("/metrics", Answer::text("other 1\n"));
    unix_socket_to(one.address(), &path("one"));
    unix_socket_to(other.address(), &path("other"));
    // Neither a proxy nor a name server is asked.
    let client = client(parsed("{proxy_url: 'http://far.invalid:1'}"));
    let url = "http://host.invalid:9100/metrics";
    for _ in 0..2 {
        assert_eq!(get_over(&client, url, &path("one")).await.unwrap(), "one 1\n");
        assert_eq!(get_over(&client, url, &path("other")).await.unwrap(), "other 1\n");
    }
    assert_eq!((one.connection_count(), other.connection_count()), (1, 1), "kept, and not shared");
    assert!(one.requests()[0].to_lowercase().contains("host: host.invalid:9100\r\n"));
    let away = get_over(&client, "http://host.invalid/away", &path("one")).await;
    assert_eq!(away.unwrap(), "one 1\n");
    let nowhere = path("nowhere");
    let expected = format!(
        "Get \"{url}\": dial unix {}: connect: no such file or directory",
        nowhere.display()
    );
    assert_eq!(get_over(&client, url, &nowhere).await, Err(expected));
}

#[tokio::test]
async fn unix_sockets_may_have_a_name_without_a_file() {
    let target = FakeTarget::start().await;
    target.answer("/metrics", Answer::text("a 1\n"));
    let name = format!("prometheus-test-{}", std::process::id());
    unix_socket_to(target.address(), Path::new(&format!("\0{name}")));
    let client = client(plain());
    let url = "http://localhost/metrics";
    assert_eq!(get_over(&client, url, Path::new(&format!("@{name}"))).await.unwrap(), "a 1\n");
    let nobody = Path::new("@prometheus-test-nobody");
    let expected = "dial unix @prometheus-test-nobody: connect: connection refused";
    assert!(get_over(&client, url, nobody).await.unwrap_err().ends_with(expected));
}

#[tokio::test]
async fn unix_sockets_may_speak_tls() {
    let ca = Authority::new();
    let target = TlsTarget::plain(&ca.sign(&["localhost"])).await;
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("socket");
    unix_socket_to(format!("127.0.0.1:{}", target.port), &path);
    let client = client(HttpClientConfig { tls: trusting(&ca), ..plain() });
    let got = get_over(&client, "https://localhost/metrics", &path).await;
    assert_eq!(got.unwrap(), "a 1\n");
}

#[tokio::test]
async fn proxies_may_speak_tls_themselves() {
    let ca = Authority::new();
    let identity = ca.sign(&["localhost"]);
    let target = TlsTarget::plain(&identity).await;
    let (tunnels, heads) = tunnels().await;
    let port = tls_in_front_of(tunnels, acceptor(&identity, &[])).await;
    let text = format!("{{proxy_url: 'https://me:pw@localhost:{port}'}}");
    let secure = client(HttpClientConfig { tls: trusting(&ca), ..parsed(&text) });
    for _ in 0..2 {
        let got = get(&secure, &target.url("localhost"), PATIENCE).await;
        assert_eq!(got.unwrap(), "200 OK: a 1\n");
    }
    let heads = heads.lock().unwrap().clone();
    assert_eq!(heads.len(), 1, "the tunnel is kept");
    assert!(heads[0].contains("Proxy-Authorization: Basic bWU6cHc=\r\n"), "{heads:?}");

    // Without TLS to the target the proxy gets the whole address.
    let proxy = FakeTarget::start().await;
    let url = "http://far.invalid:9100/metrics";
    proxy.answer(url, Answer::text("b 2\n"));
    let port = tls_in_front_of(proxy.address(), acceptor(&identity, &[])).await;
    let text = format!("{{proxy_url: 'https://localhost:{port}'}}");
    let trusted = client(HttpClientConfig { tls: trusting(&ca), ..parsed(&text) });
    assert_eq!(get(&trusted, url, PATIENCE).await.unwrap(), "200 OK: b 2\n");
    let strange = client(HttpClientConfig { tls: trusting(&Authority::new()), ..parsed(&text) });
    let expected = format!(
        "Get \"{url}\": proxyconnect tcp: tls: failed to verify certificate: x509: certificate signed by unknown authority"
    );
    assert_eq!(get(&strange, url, PATIENCE).await, Err(expected));
}

/// What a SOCKS5 proxy says in its three turns.
#[derive(Clone, Copy)]
struct Socks {
    method: u8,
    verdict: u8,
    reply: u8,
}

/// A SOCKS5 proxy that leads everything to `inner`; its address.
async fn socks(inner: String, says: Socks, expected: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    spawn(async move {
        while let Ok((mut outer, _)) = listener.accept().await {
            let inner = inner.clone();
            spawn(async move {
                let mut count = [0; 2];
                outer.read_exact(&mut count).await.unwrap();
                outer.read_exact(&mut vec![0; usize::from(count[1])]).await.unwrap();
                outer.write_all(&[5, says.method]).await.unwrap();
                if says.method == 2 {
                    let mut said = [0; b"\x01\x02me\x02pw".len()];
                    outer.read_exact(&mut said).await.unwrap();
                    assert_eq!(&said, b"\x01\x02me\x02pw");
                    outer.write_all(&[1, says.verdict]).await.unwrap();
                }
                let mut asked = vec![0; expected.len()];
                if outer.read_exact(&mut asked).await.is_err() {
                    return;
                }
                assert_eq!(asked[..expected.len() - 2], expected[..expected.len() - 2]);
                outer.write_all(&[5, says.reply, 0, 3, 1, b'x', 0, 7]).await.unwrap();
                if says.reply == 0 {
                    let mut inner = TcpStream::connect(inner).await.unwrap();
                    drop(copy_bidirectional(&mut outer, &mut inner).await);
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn socks_proxies_resolve_names_and_name_their_reasons() {
    const NAME: &[u8] = b"\x05\x01\x00\x03\x0bfar.invalid\0\0";
    let target = FakeTarget::start().await;
    target.answer("/metrics", Answer::text("a 1\n"));
    let good = Socks { method: 0, verdict: 0, reply: 0 };
    for (user, says, expected) in [
        ("", good, None),
        ("me:pw@", Socks { method: 2, ..good }, None),
        (
            "me:pw@",
            Socks { method: 2, verdict: 1, ..good },
            Some("username/password authentication failed"),
        ),
        ("", Socks { method: 0xff, ..good }, Some("no acceptable authentication methods")),
        ("", Socks { method: 2, ..good }, Some("unsupported authentication method 2")),
        ("", Socks { reply: 4, ..good }, Some("unknown error host unreachable")),
        ("", Socks { reply: 5, ..good }, Some("unknown error connection refused")),
        ("", Socks { reply: 99, ..good }, Some("unknown error unknown code: 99")),
    ] {
        let proxy = socks(target.address(), says, NAME).await;
        for scheme in ["socks5", "socks5h"] {
            let client = client(parsed(&format!("{{proxy_url: '{scheme}://{user}{proxy}'}}")));
            let url = "http://far.invalid:9100/metrics";
            let got = get(&client, url, PATIENCE).await;
            let expected = match expected {
                None => Ok("200 OK: a 1\n".to_owned()),
                Some(reason) => Err(format!(
                    "Get \"{url}\": socks connect tcp {proxy}->far.invalid:9100: {reason}"
                )),
            };
            assert_eq!(got, expected, "{user} {}", says.reply);
        }
    }
    assert!(target.requests()[0].starts_with("GET /metrics HTTP/1.1\r\n"));

    let ca = Authority::new();
    let secure = TlsTarget::plain(&ca.sign(&["secure.invalid"])).await;
    const SECURE: &[u8] = b"\x05\x01\x00\x03\x0esecure.invalid\0\0";
    let proxy = socks(format!("127.0.0.1:{}", secure.port), good, SECURE).await;
    let cfg = parsed(&format!("{{proxy_url: 'socks5://{proxy}'}}"));
    let client = client(HttpClientConfig { tls: trusting(&ca), ..cfg });
    let got = get(&client, "https://secure.invalid/metrics", PATIENCE).await;
    assert_eq!(got.unwrap(), "200 OK: a 1\n");
}

#[tokio::test]
async fn tokens_are_given_for_a_signed_assertion() {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA384, UnparsedPublicKey};

    let (target, tokens) = (FakeTarget::start().await, FakeTarget::start().await);
    target.answer("/metrics", Answer::text("a 1\n"));
    let body = br#"{"access_token": "t", "expires_in": 3600}"#;
    tokens.answer("/token", Answer::body("application/json", &[], body));
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key.pem");
    let cfg = parsed(&format!(
        "{{oauth2: {{client_id: me, token_url: '{}', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', \
         client_certificate_key_file: '{}', client_certificate_key_id: k1, signature_algorithm: RS384, \
         scopes: [a, b], claims: {{deep: {{n: [1, x]}}}}, endpoint_params: {{resource: r}}}}}}",
        tokens.url("/token"),
        key_file.display()
    ));
    let client = client(cfg);
    let url = target.url("/metrics");
    fs::write(&key_file, "no key").unwrap();
    let expected = "invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key";
    let got = get(&client, &url, PATIENCE).await;
    assert_eq!(got, Err(format!("Get \"{url}\": {expected}")));

    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    fs::write(&key_file, pair.serialize_pem()).unwrap();
    for _ in 0..2 {
        assert_eq!(get(&client, &url, PATIENCE).await.unwrap(), "200 OK: a 1\n");
    }
    assert!(target.requests()[0].to_lowercase().contains("authorization: bearer t\r\n"));
    let asked = tokens.requests();
    assert_eq!(asked.len(), 1, "the token is kept");
    let form = asked[0].split("\r\n\r\n").nth(1).unwrap();
    let pairs: Vec<_> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["grant_type", "assertion", "scope", "resource"]);
    assert_eq!((pairs[2].1.as_str(), pairs[3].1.as_str()), ("a b", "r"));
    let parts: Vec<&str> = pairs[1].1.split('.').collect();
    assert_eq!(decoded(parts[0]), br#"{"alg":"RS384","kid":"k1","typ":"JWT"}"#);
    let claims: serde_json::Value = serde_json::from_slice(&decoded(parts[1])).unwrap();
    assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some("me"), Some("me")));
    assert_eq!(claims["aud"], tokens.url("/token"));
    assert_eq!(claims["scope"], "a b");
    assert_eq!(claims["deep"].to_string(), r#"{"n":[1,"x"]}"#);
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(lifetime, 600);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 36);
    let signed = format!("{}.{}", parts[0], parts[1]);
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA384, pair.public_key_raw())
        .verify(signed.as_bytes(), &decoded(parts[2]))
        .unwrap();
}

/// Base64 for addresses, undone bit by bit.
fn decoded(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digit = |c: u8| ALPHABET.iter().position(|other| *other == c).unwrap();
    let bits = text.bytes().flat_map(|c| (0..6).rev().map(move |bit| digit(c) >> bit & 1));
    let bits: Vec<usize> = bits.collect();
    let byte = |bits: &[usize]| bits.iter().fold(0, |byte, bit| byte << 1 | *bit) as u8;
    bits.chunks_exact(8).map(byte).collect()
}
