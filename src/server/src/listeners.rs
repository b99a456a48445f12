//! Which sockets the server listens on: those of a socket unit, those that systemd kept over a restart,
//! or fresh ones. What is answered on them is `web`'s.

use std::{
    io,
    net::TcpListener,
    os::fd::{AsFd, OwnedFd},
};

use prom_lifecycle::{Event, Failure, Handle, Inherited, Sockets};
use prom_web::{ListenError, ListenErrorKind, bind};

/// `FileDescriptorName=` of the web port in a socket unit.
const UNIT_SOCKET_NAME: &str = "web";

/// Takes over or binds a listener for each address, and gives those we bound into systemd's keeping.
/// Sockets of a unit replace all addresses.
pub(crate) fn listen(
    addresses: &[String],
    mut sockets: Sockets,
    handle: &Handle,
) -> Result<Vec<TcpListener>, Failure> {
    let from_unit: Vec<Inherited> =
        sockets.take(UNIT_SOCKET_NAME).into_iter().filter(|socket| !socket.is_kept).collect();
    let mut listeners = Vec::new();
    if from_unit.is_empty() {
        for address in addresses {
            listeners.push(listen_on(address, &mut sockets, handle)?);
        }
    } else {
        for socket in from_unit {
            listeners.push(adopt(socket.fd).map_err(|err| {
                let text = format!("the socket unit's {UNIT_SOCKET_NAME:?}: {err}");
                Failure::with_io(Event::BindFailed, &err, text)
            })?);
        }
    }
    for stale in sockets.take_all() {
        tracing::info!(name = stale.name, "Closing a socket that no address asks for");
        if stale.is_kept {
            handle.forget_socket(&stale.name);
        }
    }
    for listener in &listeners {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(component = "web", address = %address, "Listening on");
        }
    }
    Ok(listeners)
}

/// The listener of one address: the kept one if there is one.
fn listen_on(
    address: &str,
    sockets: &mut Sockets,
    handle: &Handle,
) -> Result<TcpListener, Failure> {
    // colons separate names in LISTEN_FDNAMES
    let name = address.replace(':', "_");
    let kept = sockets.take(&name).pop().and_then(|socket| adopt(socket.fd).ok());
    let listener = match kept {
        Some(listener) => listener,
        None => bind(&[address.to_owned()]).map_err(|err| failure(&err))?.remove(0),
    };
    handle.keep_socket(&name, listener.as_fd());
    Ok(listener)
}

/// Makes a listener of a descriptor that came from outside.
fn adopt(fd: OwnedFd) -> io::Result<TcpListener> {
    let listener = TcpListener::from(fd);
    // fails where the descriptor is no TCP socket
    listener.local_addr()?;
    Ok(listener)
}

fn failure(err: &ListenError) -> Failure {
    let event = match err.kind {
        ListenErrorKind::InUse => Event::AddressInUse,
        ListenErrorKind::PermissionDenied => Event::BindDenied,
        ListenErrorKind::Unavailable | ListenErrorKind::Invalid => Event::AddressUnavailable,
        ListenErrorKind::Other => Event::BindFailed,
    };
    Failure { event, errno: err.errno, message: err.to_string() }
}
