//! Real sockets on the loopback: addresses that can be bound and cannot, limits, and the end.

use axum::routing::get;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

use super::*;

/// Long enough for a client that reads, on a busy machine, too.
const STALL: Duration = Duration::from_secs(2);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn kind_of(address: &str) -> Result<(), (ListenErrorKind, String)> {
    bind(&[address.to_owned()]).map(drop).map_err(|error| (error.kind, error.to_string()))
}

#[test]
fn addresses_are_bound_or_refused_with_a_reason() {
    use ListenErrorKind::{InUse, Invalid, Unavailable};
    for address in ["127.0.0.1:0", "[::1]:0", ":0", "0.0.0.0:0", "[::]:0", "localhost:0"] {
        assert_eq!(kind_of(address), Ok(()), "{address}");
    }
    let holder = bind(&["127.0.0.1:0".to_owned()]).unwrap().remove(0);
    let taken = holder.local_addr().unwrap().to_string();
    for (address, kind, text) in [
        (taken.as_str(), InUse, format!("listen tcp {taken}: bind: address already in use")),
        (
            "192.0.2.1:9090",
            Unavailable,
            "listen tcp 192.0.2.1:9090: bind: cannot assign requested address".to_owned(),
        ),
        ("foo", Invalid, "listen tcp foo: missing port in address".to_owned()),
        ("foo:bar", Invalid, "listen tcp foo:bar: invalid port".to_owned()),
        ("127.0.0.1:65536", Invalid, "listen tcp 127.0.0.1:65536: invalid port".to_owned()),
    ] {
        assert_eq!(kind_of(address), Err((kind, text)), "{address}");
    }
}

#[test]
fn a_wildcard_of_either_family_takes_both() {
    for address in ["0.0.0.0:0", ":0", "[::]:0"] {
        let listener = bind(&[address.to_owned()]).unwrap().remove(0);
        let port = listener.local_addr().unwrap().port();
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(), "{address}");
        if listener.local_addr().unwrap().is_ipv6() {
            assert!(std::net::TcpStream::connect(("::1", port)).is_ok(), "{address}");
        }
    }
}

#[test]
fn all_addresses_are_bound_or_none() {
    let good = "127.0.0.1:0".to_owned();
    assert_eq!(bind(&[good.clone(), good.clone()]).unwrap().len(), 2);
    assert_eq!(bind(&[good, "foo".to_owned()]).unwrap_err().address, "foo");
}

/// A server on a port of its own.
struct Serving {
    address: std::net::SocketAddr,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<io::Result<()>>,
}

fn serving(router: Router, connections_max: usize, read_timeout: Duration) -> Serving {
    let listeners = bind(&["127.0.0.1:0".to_owned()]).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let stop = CancellationToken::new();
    let options =
        ServeOptions { connections_max, read_timeout, drain_timeout: Duration::from_secs(60) };
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_with(listeners, router, options, STALL, stop.clone()));
    let ended = tokio::runtime::Handle::current().spawn(async move {
        tasks.join_next().await.expect("one task").expect("serving does not panic")
    });
    Serving { address, stop, ended }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

/// Sends a request and reads up to the end of the known body.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).await.unwrap(), 1, "the answer is whole");
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn connections_are_kept_and_closed_when_the_server_stops() {
    let serving = serving(hello(), 8, Duration::from_secs(60));
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    for _ in 0..3 {
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    serving.stop.cancel();
    serving.ended.await.unwrap().unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "an idle connection is closed");
    assert!(TcpStream::connect(serving.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_request_that_comes_while_the_server_stops_is_answered() {
    let serving = serving(hello(), 8, Duration::from_secs(60));
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    let mut silent = TcpStream::connect(serving.address).await.unwrap();
    // a third one is answered only after both were accepted
    ask(&mut TcpStream::connect(serving.address).await.unwrap()).await;
    serving.stop.cancel();
    tokio::task::yield_now().await;
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    serving.ended.await.unwrap().unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "who asks for nothing is not waited for");
}

#[tokio::test]
async fn requests_under_way_end_before_the_server_does() {
    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (began_here, go_on_here) = (Arc::clone(&began), Arc::clone(&go_on));
    let slow = async move || {
        began_here.notify_one();
        go_on_here.notified().await;
        "hello"
    };
    let serving = serving(Router::new().route("/", get(slow)), 8, Duration::from_secs(60));
    let address = serving.address;
    let client = tokio::runtime::Handle::current().spawn(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask(&mut stream).await
    });
    began.notified().await;
    serving.stop.cancel();
    assert!(!serving.ended.is_finished());
    go_on.notify_one();
    assert!(client.await.unwrap().ends_with("hello"));
    serving.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_over_the_limit_wait() {
    let serving = serving(hello(), 1, Duration::from_secs(60));
    let mut first = TcpStream::connect(serving.address).await.unwrap();
    ask(&mut first).await;
    let mut second = TcpStream::connect(serving.address).await.unwrap();
    second.write_all(REQUEST).await.unwrap();
    // The first one is still served, the second only once the first is gone.
    ask(&mut first).await;
    assert!(second.try_read(&mut [0]).is_err());
    drop(first);
    let mut byte = [0];
    assert_eq!(second.read(&mut byte).await.unwrap(), 1);
    serving.stop.cancel();
    serving.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_arrive_is_given_up() {
    let serving = serving(hello(), 8, Duration::from_millis(50));
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
    serving.stop.cancel();
    serving.ended.await.unwrap().unwrap();
}

/// A body that never ends, and tells when it is dropped.
struct Endless(Arc<Notify>);

impl http_body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        let piece = bytes::Bytes::from_static(&[b'x'; 65_536]);
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(piece))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_left() {
    let dropped = Arc::new(Notify::new());
    let of_body = Arc::clone(&dropped);
    let endless = async move || axum::body::Body::new(Endless(Arc::clone(&of_body)));
    let serving = serving(Router::new().route("/", get(endless)), 8, Duration::from_secs(60));
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    dropped.notified().await;
    // What the kernel had taken can still be read, then the connection ends.
    let mut rest = Vec::new();
    let _ended = stream.read_to_end(&mut rest).await;
    assert!(rest.starts_with(b"HTTP/1.1 200 OK\r\n"));
    serving.stop.cancel();
    serving.ended.await.unwrap().unwrap();
}
