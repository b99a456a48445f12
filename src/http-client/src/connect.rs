//! Connections to a host: name lookup, then the first address that answers; or to a unix socket.
//! What is spoken on them is not known here: neither TLS nor HTTP.

use std::{
    ffi::OsStr,
    io,
    net::SocketAddr,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream, lookup_host};

use crate::{
    error::{Cause, errno_text},
    stream::Stream,
};

/// How long the first address family may take before the other one is tried beside it.
/// Compat: Go `net.Dialer`, RFC 6555.
const FALLBACK_DELAY_MS: u64 = 300;
/// More addresses of one name are not tried.
const ADDRESS_COUNT_MAX: usize = 16;
/// A peer that is gone without a word is noticed after a few probes. Compat: Go `net.KeepAliveConfig`.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// A server: what connections are shared by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) is_https: bool,
    /// Without brackets.
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    /// A unix socket that is dialed in place of the host.
    pub(crate) socket: Option<Arc<Path>>,
}

/// Which of a name's addresses is tried first: each in its turn.
#[derive(Debug, Default)]
pub(crate) struct Turns(AtomicUsize);

impl Origin {
    /// Host and port as one text, with brackets where they are needed.
    pub(crate) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Connects to `origin`. The caller's deadline is the only time limit.
///
/// # Errors
/// The name does not resolve, or no address answers (the first one's reason is told).
pub(crate) async fn connect(origin: &Origin, turns: Option<&Turns>) -> Result<Stream, Cause> {
    if let Some(path) = &origin.socket {
        return connect_unix(path).await;
    }
    let mut addresses = lookup(origin).await?;
    if let Some(turns) = turns {
        turns.turn(&mut addresses);
    }
    let is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == is_ipv6);
    let stream = if second.is_empty() {
        connect_in_turn(&first).await?
    } else {
        race(&first, &second).await?
    };
    // Requests are one small write; waiting for more would only delay them.
    stream.set_nodelay(true).map_err(|error| Cause::Request(error.to_string()))?;
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_INTERVAL).with_interval(KEEPALIVE_INTERVAL);
    // Without it a watch of a dead peer goes on until its silence is too long.
    drop(SockRef::from(&stream).set_tcp_keepalive(&keepalive));
    Ok(Stream::Tcp(stream))
}

impl Turns {
    fn turn(&self, addresses: &mut [SocketAddr]) {
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        addresses.rotate_left(turn % addresses.len().max(1));
    }
}

async fn connect_unix(path: &Path) -> Result<Stream, Cause> {
    // Compat: Go's `net` takes a name that begins with `@` for one without a file.
    let connected = match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => {
            let name = [b"\0", name].concat();
            UnixStream::connect(OsStr::from_bytes(&name)).await
        }
        None => UnixStream::connect(path).await,
    };
    connected.map(Stream::Unix).map_err(|error| Cause::Connect {
        address: format!("unix {}", path.display()),
        reason: errno_text(&error),
    })
}

async fn lookup(origin: &Origin) -> Result<Vec<SocketAddr>, Cause> {
    let failed = |reason: String| Cause::Lookup { host: origin.host.to_string(), reason };
    let found = lookup_host((&*origin.host, origin.port)).await;
    let addresses: Vec<_> =
        found.map_err(|error| failed(lookup_text(&error)))?.take(ADDRESS_COUNT_MAX).collect();
    if addresses.is_empty() { Err(failed("no such host".to_owned())) } else { Ok(addresses) }
}

/// The second family starts when the first has failed or is slow; the first success wins.
async fn race(first: &[SocketAddr], second: &[SocketAddr]) -> Result<TcpStream, Cause> {
    let first = connect_in_turn(first);
    tokio::pin!(first);
    let delay = Duration::from_millis(FALLBACK_DELAY_MS);
    let reason = match tokio::time::timeout(delay, &mut first).await {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(reason)) => return connect_in_turn(second).await.map_err(|_| reason),
        Err(_) => tokio::select! {
            done = &mut first => match done {
                Ok(stream) => return Ok(stream),
                Err(reason) => reason,
            },
            Ok(stream) = connect_in_turn(second) => return Ok(stream),
        },
    };
    connect_in_turn(second).await.map_err(|_| reason)
}

async fn connect_in_turn(addresses: &[SocketAddr]) -> Result<TcpStream, Cause> {
    let mut reason = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                reason.get_or_insert_with(|| Cause::Connect {
                    address: format!("tcp {address}"),
                    reason: errno_text(&error),
                });
            }
        }
    }
    Err(reason.expect("a lookup that finds no address is an error"))
}

/// Go tells the kinds of a failed lookup apart by fewer words than the C library.
fn lookup_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.strip_prefix("failed to lookup address information: ").unwrap_or(&text) {
        "Name or service not known" | "No address associated with hostname" => {
            "no such host".to_owned()
        }
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_of_a_name_is_the_first_in_its_turn() {
        let turns = Turns::default();
        let found: Vec<SocketAddr> = ["192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"]
            .map(|it| it.parse().unwrap())
            .into();
        for round in 0..7 {
            let mut addresses = found.clone();
            turns.turn(&mut addresses);
            let expected: Vec<_> = (0..3).map(|at| found[(round + at) % 3]).collect();
            assert_eq!(addresses, expected, "{round}");
        }
        turns.turn(&mut []);
    }
}
