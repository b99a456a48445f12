//! A way to a server over a unix socket. It injects no faults.

use std::path::Path;

use tokio::{
    io::copy_bidirectional,
    net::{TcpStream, UnixListener},
};

use crate::fake_target::spawn;

/// Listens on `path` for as long as the runtime lives; each connection goes on to the server at `address`.
///
/// # Panics
/// The path cannot be bound.
pub fn unix_socket_to(address: String, path: &Path) {
    let listener = UnixListener::bind(path).expect("a path in a fresh folder");
    drop(spawn(async move {
        while let Ok((mut outer, _)) = listener.accept().await {
            let address = address.clone();
            drop(spawn(async move {
                // A server that is gone closes the connection.
                if let Ok(mut inner) = TcpStream::connect(address).await {
                    drop(copy_bidirectional(&mut outer, &mut inner).await);
                }
            }));
        }
    }));
}
