//! Sockets that the service manager passes to us: those of a socket unit, and those that we gave into
//! its keeping before a restart. It does not look at what the sockets are bound to; `web` does.
//!
//! This module contains `unsafe`: it is where numbers from the environment become owned descriptors.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The environment is believed once; a second taker would close what the first one uses.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// In front of the name of each socket that we gave into keeping ourselves.
pub(crate) const KEPT_PREFIX: &str = "kept ";

/// One socket that was passed to us.
#[derive(Debug)]
pub struct Inherited {
    /// Its name: `FileDescriptorName=` of the socket unit, or the one it was kept under.
    pub name: String,
    /// We had given it into keeping ourselves, by [`Handle::keep_socket`](crate::Handle::keep_socket).
    pub is_kept: bool,
    /// The socket. Dropping it closes it.
    pub fd: OwnedFd,
}

/// All sockets that were passed to us.
#[derive(Debug, Default)]
pub struct Sockets {
    sockets: Vec<Inherited>,
}

impl Sockets {
    /// From a list, for tests and for programs that find their sockets elsewhere.
    pub fn new(sockets: Vec<Inherited>) -> Self {
        Self { sockets }
    }

    /// Takes the sockets that `$LISTEN_FDS` and `$LISTEN_FDNAMES` tell of. Has to be called before
    /// anything else opens descriptors by number; a second call finds none.
    pub(crate) fn from_environment() -> Self {
        if IS_TAKEN.swap(true, Ordering::SeqCst) {
            return Self::default();
        }
        match sd_notify::listen_fds_with_names() {
            Ok(listed) => Self { sockets: listed.map(|(fd, name)| inherit(fd, &name)).collect() },
            Err(error) => {
                tracing::warn!(err = %error, "Cannot take over the sockets of the service manager");
                Self::default()
            }
        }
    }

    /// Takes the sockets of this name out.
    pub fn take(&mut self, name: &str) -> Vec<Inherited> {
        let (wanted, rest) = self.sockets.drain(..).partition(|socket| socket.name == name);
        self.sockets = rest;
        wanted
    }

    /// Takes all that are left.
    pub fn take_all(&mut self) -> Vec<Inherited> {
        std::mem::take(&mut self.sockets)
    }

    /// The names, in the order of the service manager.
    pub fn names(&self) -> Vec<&str> {
        self.sockets.iter().map(|socket| socket.name.as_str()).collect()
    }

    /// None were passed, or all were taken.
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }
}

fn inherit(fd: RawFd, name: &str) -> Inherited {
    let kept = name.strip_prefix(KEPT_PREFIX);
    #[expect(unsafe_code, reason = "the only way to own a descriptor that is known by number")]
    // SAFETY: the service manager passed this descriptor to our process id and nobody else knows of
    // it; `IS_TAKEN` lets it be taken once in the life of the process.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Inherited { name: kept.unwrap_or(name).to_owned(), is_kept: kept.is_some(), fd }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn sockets_are_taken_by_name() {
        let socket = |name: &str| Inherited {
            name: name.to_owned(),
            is_kept: false,
            fd: OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap()),
        };
        let mut sockets = Sockets::new(vec![socket("web"), socket("admin"), socket("web")]);
        assert_eq!(sockets.names(), ["web", "admin", "web"]);
        assert_eq!(sockets.take("web").len(), 2);
        assert_eq!(sockets.take("web").len(), 0);
        assert_eq!((sockets.take_all().len(), sockets.is_empty()), (1, true));
    }
}
