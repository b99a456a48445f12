//! Listening sockets: addresses to bind, the loops that accept, and the end of both.
//! What is answered on a connection is the router's business; inherited sockets come from `lifecycle`.

mod stall;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::TcpStream, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

use self::stall::StallGuard;
use crate::origin::ClientAddress;

/// Connections the kernel keeps while we are busy.
const BACKLOG: i32 = 4096;
/// Pause after an error of `accept` that would repeat at once: no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests of one HTTP/2 connection at a time. Compat: Go `net/http2`.
const H2_STREAMS_MAX: u32 = 250;
/// Idle time after which the kernel asks whether the peer still lives.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Time after which a peer that takes nothing of an answer is left: what it was to get is memory.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection that has asked for nothing yet is kept once stopping began: its request is
/// perhaps on the way, and who made it during a restart is to get an answer.
const FIRST_REQUEST_PATIENCE: Duration = Duration::from_millis(500);

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen tcp {address}: {reason}")]
pub struct ListenError {
    pub address: String,
    pub kind: ListenErrorKind,
    /// The operating system's number, if it was asked.
    pub errno: Option<i32>,
    reason: String,
}

/// What an operator does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenErrorKind {
    /// Another process listens there.
    InUse,
    /// The port is privileged, or a policy forbids it.
    PermissionDenied,
    /// No interface has this address, or the name does not resolve.
    Unavailable,
    /// Not an address: `host:port` is one.
    Invalid,
    /// Anything else the operating system says.
    Other,
}

/// Limits of serving.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// Connections over all listeners at once; further ones wait in the kernel.
    pub connections_max: usize,
    /// Time for the head of a request to arrive, and idle time of a connection.
    pub read_timeout: Duration,
    /// Time for requests under way to end once stopping began.
    pub drain_timeout: Duration,
}

/// Binds every address: all of them, or none and the reason.
///
/// # Errors
/// The first address that cannot be bound.
pub fn bind(addresses: &[String]) -> Result<Vec<TcpListener>, ListenError> {
    addresses.iter().map(|address| bind_one(address)).collect()
}

/// Serves `router` on the listeners until `stop` is cancelled, then drains.
///
/// # Errors
/// A listener cannot be used by the runtime.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    options: ServeOptions,
    stop: CancellationToken,
) -> io::Result<()> {
    serve_with(listeners, router, options, STALL_TIMEOUT, stop).await
}

async fn serve_with(
    listeners: Vec<TcpListener>,
    router: Router,
    options: ServeOptions,
    stall_timeout: Duration,
    stop: CancellationToken,
) -> io::Result<()> {
    let server = Arc::new(Server {
        router,
        options,
        stall_timeout,
        slots: Arc::new(Semaphore::new(options.connections_max.clamp(1, Semaphore::MAX_PERMITS))),
        stop,
    });
    let mut loops = JoinSet::new();
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loops.spawn(accept_loop(Arc::clone(&server), listener));
    }
    let mut connections = Vec::new();
    while let Some(ended) = loops.join_next().await {
        match ended.map_err(|failure| failure.try_into_panic()) {
            Ok(of_one_listener) => connections.push(of_one_listener),
            // A panic of ours is passed on to whoever supervises us.
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(_cancelled)) => {}
        }
    }
    let drained = async {
        for of_one_listener in &mut connections {
            while of_one_listener.join_next().await.is_some() {}
        }
    };
    if tokio::time::timeout(server.options.drain_timeout, drained).await.is_err() {
        tracing::warn!("Some connections did not end in time and were closed");
    }
    Ok(())
}

struct Server {
    router: Router,
    options: ServeOptions,
    stall_timeout: Duration,
    slots: Arc<Semaphore>,
    stop: CancellationToken,
}

/// Accepts until told to stop; gives back the connections that are still open, which end with their set.
async fn accept_loop(server: Arc<Server>, listener: tokio::net::TcpListener) -> JoinSet<()> {
    let mut connections = JoinSet::new();
    loop {
        let slot = tokio::select! {
            () = server.stop.cancelled() => break,
            slot = Arc::clone(&server.slots).acquire_owned() => slot.expect("slots are never closed"),
        };
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = server.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let connection = server.connection(stream, address);
                connections.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) if is_peers_fault(&error) => {}
            Err(error) => {
                tracing::warn!(err = %error, "Accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections
}

impl Server {
    fn connection(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> impl Future<Output = ()> + Send + use<> {
        set_socket_options(&stream);
        let stream = StallGuard::new(stream, self.stall_timeout);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.read_timeout)
            .half_close(false);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE)
            .max_concurrent_streams(H2_STREAMS_MAX);
        let asked = CancellationToken::new();
        let asks = asked.clone();
        // Compat: Go shows an IPv4 client of a socket for both families as what it is.
        let client = ClientAddress(address.ip().to_canonical());
        let service = ServiceBuilder::new()
            .map_request(move |mut request: axum::http::Request<hyper::body::Incoming>| {
                asks.cancel();
                request.extensions_mut().insert(client);
                request
            })
            .service(self.router.clone());
        let connection = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service))
            .into_owned();
        let stop = self.stop.clone();
        async move {
            let mut connection = pin!(connection);
            let stops = async {
                stop.cancelled().await;
                let _in_time =
                    tokio::time::timeout(FIRST_REQUEST_PATIENCE, asked.cancelled()).await;
            };
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stops => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(err = %error, "Connection ended with an error");
            }
        }
    }
}

fn bind_one(address: &str) -> Result<TcpListener, ListenError> {
    let invalid = |reason: &str| ListenError {
        address: address.to_owned(),
        kind: ListenErrorKind::Invalid,
        errno: None,
        reason: reason.to_owned(),
    };
    let (host, port) =
        address.rsplit_once(':').ok_or_else(|| invalid("missing port in address"))?;
    let port: u16 = port.parse().map_err(|_| invalid("invalid port"))?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let is_any = matches!(host, "" | "0.0.0.0" | "::");
    if is_any {
        // Compat: Go listens on both families when the address is a wildcard of either.
        match bind_socket(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)) {
            Err(error) if is_family_missing(&error) => {}
            bound => return bound.map_err(|error| refused(address, &error)),
        }
    }
    let host = if is_any { "0.0.0.0" } else { host };
    let resolved = (host, port).to_socket_addrs().map_err(|error| ListenError {
        address: address.to_owned(),
        kind: ListenErrorKind::Unavailable,
        errno: error.raw_os_error(),
        reason: format!("lookup {host}: {error}"),
    })?;
    let mut resolved: Vec<_> = resolved.collect();
    resolved.sort_by_key(SocketAddr::is_ipv6);
    let first = resolved.first().ok_or_else(|| invalid("the name has no address"))?;
    bind_socket(*first).map_err(|error| refused(address, &error))
}

fn bind_socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn refused(address: &str, error: &io::Error) -> ListenError {
    let kind = match error.kind() {
        io::ErrorKind::AddrInUse => ListenErrorKind::InUse,
        io::ErrorKind::PermissionDenied => ListenErrorKind::PermissionDenied,
        io::ErrorKind::AddrNotAvailable => ListenErrorKind::Unavailable,
        _ => ListenErrorKind::Other,
    };
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default().to_lowercase();
    ListenError {
        address: address.to_owned(),
        kind,
        errno: error.raw_os_error(),
        reason: format!("bind: {text}"),
    }
}

/// The kernel knows no IPv6, or it is switched off for all interfaces.
fn is_family_missing(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// The client was gone before we looked; the next one is not affected.
fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn set_socket_options(stream: &TcpStream) {
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
    let set = stream
        .set_nodelay(true)
        .and_then(|()| socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive));
    if let Err(error) = set {
        tracing::debug!(err = %error, "Setting options of a connection failed");
    }
}
