//! HTTP/2: when it is spoken, over which ways, and that it serves as HTTP/1.1 does. Servers that misbehave
//! frame by frame are in `frames`.

mod frames;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};

use super::{
    tls::{
        Authority, Identity, acceptor, parsed, spawn_listener, tls_in_front_of, trusting, tunnels,
    },
    *,
};

const BOTH: &[&str] = &["h2", "http/1.1"];

/// A server that tells what it was asked, and in which version.
struct Echo {
    port: u16,
    connection_count: Arc<AtomicUsize>,
}

impl Echo {
    async fn start(identity: &Identity, protocols: &[&str]) -> Self {
        let acceptor = acceptor(identity, protocols);
        let connection_count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connection_count);
        let port = spawn_listener(move |stream| {
            counted.fetch_add(1, Ordering::Relaxed);
            let acceptor = acceptor.clone();
            async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let mut builder = auto::Builder::new(TokioExecutor::new());
                builder.http2().max_concurrent_streams(1);
                drop(builder.serve_connection(TokioIo::new(stream), service_fn(echo)).await);
            }
        })
        .await;
        Self { port, connection_count }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn connection_count(&self) -> usize {
        self.connection_count.load(Ordering::Relaxed)
    }
}

/// `/big` answers with that many bytes; the rest is told in one line.
async fn echo(
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<String>, hyper::Error> {
    let (head, body) = request.into_parts();
    let size_bytes = body.collect().await?.to_bytes().len();
    let host = head.headers.get("host").map(|host| host.to_str().unwrap().to_owned());
    let agent = head.headers["user-agent"].to_str().unwrap();
    let text = match head.uri.path().strip_prefix("/big/") {
        Some(size) => "x".repeat(size.parse().unwrap()),
        None => {
            format!("{:?} {} host={host:?} {agent} {size_bytes}", head.version, head.uri)
        }
    };
    Ok(http::Response::new(text))
}

fn speaking(authority: &Authority, enable_http2: bool) -> Client {
    client(HttpClientConfig { tls: trusting(authority), enable_http2, ..plain() })
}

async fn read(client: &Client, request: &Request, limit: BodyLimit) -> Result<usize, HttpError> {
    let pool = BufferPool::new(64 << 20);
    let mut body = pool.lend(0);
    client.send(request).await?.read_body(&mut body, limit).await?;
    Ok(body.len())
}

#[tokio::test]
async fn the_version_is_agreed_on_in_the_handshake() {
    let ca = Authority::new();
    let identity = ca.sign(&["localhost"]);
    for (protocols, enable_http2, expected) in [
        (BOTH, true, "HTTP/2.0"),
        (&["h2"], true, "HTTP/2.0"),
        (BOTH, false, "HTTP/1.1"),
        (&["http/1.1"], true, "HTTP/1.1"),
        (&[], true, "HTTP/1.1"),
        (&[], false, "HTTP/1.1"),
    ] {
        let server = Echo::start(&identity, protocols).await;
        let client = speaking(&ca, enable_http2);
        for _ in 0..2 {
            let got = get(&client, &server.url("/metrics?a=b"), PATIENCE).await.unwrap();
            let host = format!("localhost:{}", server.port);
            let expected = match expected {
                "HTTP/2.0" => format!("{expected} https://{host}/metrics?a=b host=None"),
                _ => format!("{expected} /metrics?a=b host=Some({host:?})"),
            };
            assert_eq!(got, format!("200 OK: {expected} Prometheus/3.5.0 0"), "{protocols:?}");
        }
        assert_eq!(server.connection_count(), 1, "{protocols:?} {enable_http2}");
    }
}

#[tokio::test]
async fn it_is_spoken_through_proxies_but_not_with_them() {
    let ca = Authority::new();
    let identity = ca.sign(&["localhost"]);
    let server = Echo::start(&identity, BOTH).await;
    let (proxy, _) = tunnels().await;
    // This proxy would choose HTTP/2, were it offered.
    let secure_proxy = tls_in_front_of(proxy.clone(), acceptor(&identity, BOTH)).await;
    for proxy in [format!("http://{proxy}"), format!("https://localhost:{secure_proxy}")] {
        let cfg = parsed(&format!("{{proxy_url: '{proxy}'}}"));
        let client = client(HttpClientConfig { tls: trusting(&ca), ..cfg });
        let got = get(&client, &server.url("/"), PATIENCE).await.unwrap();
        assert!(got.starts_with("200 OK: HTTP/2.0 https://localhost:"), "{proxy}: {got}");
    }
    // Neither is it with a proxy that is asked for a plain address.
    let target = FakeTarget::start().await;
    let url = "http://far.invalid:9100/metrics";
    target.answer(url, Answer::text("b 2\n"));
    let port = tls_in_front_of(target.address(), acceptor(&identity, BOTH)).await;
    let cfg = parsed(&format!("{{proxy_url: 'https://localhost:{port}'}}"));
    let trusted = client(HttpClientConfig { tls: trusting(&ca), ..cfg });
    assert_eq!(get(&trusted, url, PATIENCE).await.unwrap(), "200 OK: b 2\n");
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let ca = Authority::new();
    let server = Echo::start(&ca.sign(&["localhost"]), BOTH).await;
    let client = speaking(&ca, true);
    for round in 0..300 {
        let got = get(&client, &server.url(&format!("/{round}")), PATIENCE).await.unwrap();
        assert!(got.contains("HTTP/2.0"), "{got}");
    }
    assert_eq!(server.connection_count(), 1);
}

#[tokio::test]
async fn bodies_larger_than_the_windows_pass_in_both_directions() {
    let ca = Authority::new();
    let server = Echo::start(&ca.sign(&["localhost"]), BOTH).await;
    let client = speaking(&ca, true);
    let limit = BodyLimit { size_bytes: 32 << 20 };
    for size_bytes in [0, 1, 16 << 10, 256 << 10, (256 << 10) + 1, 5 << 20] {
        let url = server.url(&format!("/big/{size_bytes}"));
        let request = Request::get(&url, PATIENCE).unwrap();
        assert_eq!(read(&client, &request, limit).await.unwrap(), size_bytes);
        let request = Request::post(&server.url("/"), vec![b'x'; size_bytes], PATIENCE).unwrap();
        let response = client.send(&request).await.unwrap();
        let mut text = BufferPool::new(1 << 20).lend(0);
        response.read_body(&mut text, LIMIT).await.unwrap();
        let text = String::from_utf8_lossy(text.as_slice()).into_owned();
        assert!(text.ends_with(&format!(" {size_bytes}")), "{text}");
    }
    assert_eq!(server.connection_count(), 1);
    // Neither is taken beyond the limit, and the connection is gone with the rest of the body.
    let request = Request::get(&server.url("/big/5000000"), PATIENCE).unwrap();
    assert!(read(&client, &request, LIMIT).await.unwrap_err().is_body_too_large());
    let small = BufferPool::new(100_000);
    let response = client.send(&request).await.unwrap();
    let error = response.read_body(&mut small.lend(0), limit).await.unwrap_err();
    assert_eq!(error.to_string(), "no memory left for bodies in flight (limit: 100000 bytes)");
    get(&client, &server.url("/"), PATIENCE).await.unwrap();
    assert_eq!(server.connection_count(), 3);
}

#[tokio::test]
async fn who_gives_up_leaves_no_connection_behind() {
    let ca = Authority::new();
    let server = Echo::start(&ca.sign(&["localhost"]), BOTH).await;
    let client = speaking(&ca, true);
    for round in 1..=5 {
        // The head is there, and most of the body still to come.
        let request = Request::get(&server.url("/big/3000000"), PATIENCE).unwrap();
        drop(client.send(&request).await.unwrap());
        let got = get(&client, &server.url("/"), PATIENCE).await.unwrap();
        assert!(got.contains("HTTP/2.0"), "{got}");
        // A short body that nobody wants is read, so that the connection stays.
        let request = Request::get(&server.url("/big/1000"), PATIENCE).unwrap();
        client.send(&request).await.unwrap().discard().await;
        assert_eq!(server.connection_count(), 2 * round, "{round}");
        drop(client.send(&Request::get(&server.url("/"), PATIENCE).unwrap()).await.unwrap());
    }
}

#[tokio::test]
async fn requests_at_once_take_a_connection_each() {
    let ca = Authority::new();
    let server = Echo::start(&ca.sign(&["localhost"]), BOTH).await;
    let client = speaking(&ca, true);
    let request = Request::get(&server.url("/big/100"), PATIENCE).unwrap();
    let (one, other) = tokio::join!(client.send(&request), client.send(&request));
    let limit = BodyLimit { size_bytes: 1_000 };
    for response in [one.unwrap(), other.unwrap()] {
        response.read_body(&mut BufferPool::new(1 << 20).lend(0), limit).await.unwrap();
    }
    assert_eq!(server.connection_count(), 2);
    for _ in 0..3 {
        get(&client, &server.url("/"), PATIENCE).await.unwrap();
    }
    assert_eq!(server.connection_count(), 2);
}
