//! Notifications to the service manager over its datagram socket. Without one, nothing is sent.
//!
//! The words are those of `sd_notify`; the socket is ours, because the crate looks it up in the
//! environment at each call and a test has a socket of its own.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use sd_notify::NotifyState;

/// A service manager that does not read cannot hold us up for longer.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// The service manager takes datagrams of up to 4096 bytes; a status line of this size fits beside
/// everything else.
const STATUS_SIZE_BYTES_MAX: usize = 1_024;

/// The service manager takes names of up to 255 bytes.
const FD_NAME_SIZE_BYTES_MAX: usize = 255;

/// The way to the service manager, if there is one. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notifier {
    socket: Option<Arc<Socket>>,
}

#[derive(Debug)]
struct Socket {
    datagrams: UnixDatagram,
    has_failed: AtomicBool,
}

impl Notifier {
    /// The socket that `$NOTIFY_SOCKET` names.
    pub(crate) fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        match connect(&name) {
            Ok(datagrams) => Self::over(datagrams),
            Err(error) => {
                let socket = name.to_string_lossy();
                tracing::warn!(socket = %socket, err = %error, "Cannot reach the service manager");
                Self::default()
            }
        }
    }

    /// A socket given by path.
    #[cfg(test)]
    pub(crate) fn to_path(path: &Path) -> io::Result<Self> {
        Ok(Self::over(connect(path.as_os_str())?))
    }

    /// Sends some news in one datagram. A failure is logged once and otherwise ignored: the service
    /// is worth more than the news about it.
    pub(crate) fn send(&self, news: &[NotifyState<'_>]) {
        self.send_with_fds(news, &[]);
    }

    /// Hands a socket over for safekeeping until the next start.
    pub(crate) fn store_socket(&self, name: &str, socket: BorrowedFd<'_>) {
        let name = format!("FDNAME={}", fd_name(name));
        let news = [NotifyState::Custom("FDSTORE=1"), NotifyState::Custom(&name)];
        self.send_with_fds(&news, &[socket]);
    }

    /// Lets go of the sockets that were handed over under this name.
    pub(crate) fn forget_socket(&self, name: &str) {
        let name = format!("FDNAME={}", fd_name(name));
        self.send(&[NotifyState::Custom("FDSTOREREMOVE=1"), NotifyState::Custom(&name)]);
    }

    fn over(datagrams: UnixDatagram) -> Self {
        // A zero timeout is the only one that is refused.
        datagrams.set_write_timeout(Some(SEND_TIMEOUT)).ok();
        Self { socket: Some(Arc::new(Socket { datagrams, has_failed: AtomicBool::new(false) })) }
    }

    fn send_with_fds(&self, news: &[NotifyState<'_>], fds: &[BorrowedFd<'_>]) {
        let Some(socket) = &self.socket else { return };
        let lines: Vec<String> = news.iter().map(ToString::to_string).collect();
        let text = lines.join("\n");
        if let Err(error) = socket.send(text.as_bytes(), fds)
            && !socket.has_failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(err = %error, "Cannot tell the service manager what goes on");
        }
    }
}

impl Socket {
    fn send(&self, text: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::other("one socket at a time can be handed over"));
        }
        sendmsg(&self.datagrams, &[IoSlice::new(text)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// A path, or with `@` in front a name in the abstract namespace.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let datagrams = UnixDatagram::unbound()?;
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => datagrams.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => datagrams.connect(Path::new(name))?,
    }
    Ok(datagrams)
}

/// A text that fits into one line of the service manager.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut line = words.join(" ");
    line.retain(|c| !c.is_control());
    if line.len() > STATUS_SIZE_BYTES_MAX {
        let end = (0..=STATUS_SIZE_BYTES_MAX - 3).rev().find(|end| line.is_char_boundary(*end));
        line.truncate(end.unwrap_or(0));
        line.push_str("...");
    }
    line
}

/// A name that the service manager takes: printable ASCII without a colon.
fn fd_name(name: &str) -> String {
    let plain = |c: char| if c == ':' || !(' '..='~').contains(&c) { '_' } else { c };
    name.chars().take(FD_NAME_SIZE_BYTES_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line_that_fits() {
        let check = |text: &str, expected: &str| assert_eq!(one_line(text), expected);
        check("ready", "ready");
        check("line 1\n\tline 2\r\n", "line 1 line 2");
        check("bell \u{7} rings", "bell  rings");
        let long = "\u{e9}".repeat(STATUS_SIZE_BYTES_MAX);
        let cut = one_line(&long);
        assert!(cut.ends_with("...") && cut.len() <= STATUS_SIZE_BYTES_MAX, "{}", cut.len());
    }

    #[test]
    fn names_of_sockets_are_what_the_service_manager_takes() {
        let check = |name: &str, expected: &str| assert_eq!(fd_name(name), expected);
        check("web", "web");
        check("kept [::1]:9090", "kept [__1]_9090");
        check("caf\u{e9}\n", "caf__");
        assert_eq!(fd_name(&"x".repeat(1_000)).len(), FD_NAME_SIZE_BYTES_MAX);
    }
}
