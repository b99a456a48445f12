//! Notifications to the service manager over its datagram socket. Without one, nothing is sent.
//!
//! The words are those of `sd_notify`; the socket is ours, because the crate looks it up in the
//! environment at each call and a test has a socket of its own.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsStr;
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use sd_notify::NotifyState;

/// How many datagrams wait for a service manager that does not read; the oldest make room.
const OUTBOX_COUNT_MAX: usize = 64;

/// How long the last words wait for a service manager that does not read.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(2);

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
    /// Never waits, except for the last words.
    datagrams: UnixDatagram,
    outbox: Mutex<VecDeque<String>>,
    has_failed: AtomicBool,
}

impl Notifier {
    /// The socket that `$NOTIFY_SOCKET` names.
    pub(crate) fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        match connect(&name).and_then(Self::over) {
            Ok(notifier) => notifier,
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
        Self::over(connect(path.as_os_str())?)
    }

    /// Sends some news in one datagram, at once or as soon as the service manager reads again. A
    /// failure is logged once and otherwise ignored: the service is worth more than the news about it.
    pub(crate) fn send(&self, news: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let mut outbox = socket.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        if outbox.len() >= OUTBOX_COUNT_MAX {
            outbox.pop_front();
        }
        outbox.push_back(text(news));
        socket.empty(&mut outbox);
    }

    /// Sends what could not be sent before.
    pub(crate) fn flush(&self) {
        let Some(socket) = &self.socket else { return };
        socket.empty(&mut socket.outbox.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Sends what could not be sent before, and waits for the service manager to read it.
    pub(crate) fn send_last_words(&self) {
        let Some(socket) = &self.socket else { return };
        let mut outbox = socket.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        if !outbox.is_empty() && socket.may_wait().is_ok() {
            socket.empty(&mut outbox);
        }
    }

    /// Hands a socket over for safekeeping until the next start.
    pub(crate) fn store_socket(&self, name: &str, socket: BorrowedFd<'_>) {
        let name = format!("FDNAME={}", fd_name(name));
        let news = text(&[NotifyState::Custom("FDSTORE=1"), NotifyState::Custom(&name)]);
        if let Some(way) = &self.socket
            && let Err(error) = way.send(news.as_bytes(), &[socket])
        {
            tracing::warn!(err = %error, "The service manager does not keep the listener");
        }
    }

    /// Lets go of the sockets that were handed over under this name.
    pub(crate) fn forget_socket(&self, name: &str) {
        let name = format!("FDNAME={}", fd_name(name));
        self.send(&[NotifyState::Custom("FDSTOREREMOVE=1"), NotifyState::Custom(&name)]);
    }

    fn over(datagrams: UnixDatagram) -> io::Result<Self> {
        datagrams.set_nonblocking(true)?;
        let (outbox, has_failed) = (Mutex::default(), AtomicBool::new(false));
        Ok(Self { socket: Some(Arc::new(Socket { datagrams, outbox, has_failed })) })
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

    /// Sends until the other side is full.
    fn empty(&self, outbox: &mut VecDeque<String>) {
        while let Some(text) = outbox.front() {
            match self.send(text.as_bytes(), &[]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    if !self.has_failed.swap(true, Ordering::Relaxed) {
                        tracing::warn!(err = %error, "Cannot tell the service manager what goes on");
                    }
                }
            }
            outbox.pop_front();
        }
    }

    fn may_wait(&self) -> io::Result<()> {
        self.datagrams.set_nonblocking(false)?;
        self.datagrams.set_write_timeout(Some(LAST_WORDS_TIMEOUT))
    }
}

/// The lines of a datagram.
fn text(news: &[NotifyState<'_>]) -> String {
    let lines: Vec<String> = news.iter().map(ToString::to_string).collect();
    lines.join("\n")
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

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 256];
        socket.set_nonblocking(true).unwrap();
        let next = || socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec());
        std::iter::from_fn(next).map(|text| String::from_utf8(text).unwrap()).collect()
    }

    #[test]
    fn news_wait_for_a_service_manager_that_does_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to_path(&path).unwrap();
        let mut sent_count = 0;
        let outbox_count = || notifier.socket.as_ref().unwrap().outbox.lock().unwrap().len();
        while outbox_count() < OUTBOX_COUNT_MAX {
            sent_count += 1;
            notifier.send(&[NotifyState::Status(&sent_count.to_string())]);
        }
        // The oldest of those that wait makes room.
        notifier.send(&[NotifyState::Status("last")]);
        let in_time_count = sent_count - OUTBOX_COUNT_MAX;
        let mut read = heard(&manager);
        while outbox_count() > 0 {
            notifier.flush();
            read.extend(heard(&manager));
        }
        let numbers = (1..=sent_count).filter(|number| *number != in_time_count + 1);
        let expected = numbers.map(|number| format!("STATUS={number}"));
        let expected: Vec<String> = expected.chain(["STATUS=last".to_owned()]).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn the_last_words_wait_for_the_service_manager() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to_path(&path).unwrap();
        for number in 0..OUTBOX_COUNT_MAX / 2 {
            notifier.send(&[NotifyState::Status(&number.to_string())]);
        }
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 256];
            let mut read = || manager.recv(&mut buffer).map(|length| buffer[..length].to_vec());
            let words: Vec<_> = (0..OUTBOX_COUNT_MAX / 2).map(|_| read().unwrap()).collect();
            words.last().cloned()
        });
        notifier.send_last_words();
        let last = format!("STATUS={}", OUTBOX_COUNT_MAX / 2 - 1);
        assert_eq!(reader.join().unwrap(), Some(last.into_bytes()));
    }

    #[test]
    fn the_socket_may_have_an_abstract_name() {
        let name = format!("prom-lifecycle-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let notifier = Notifier::to_path(Path::new(&format!("@{name}"))).unwrap();
        notifier.send(&[NotifyState::Ready, NotifyState::Status("good")]);
        assert_eq!(heard(&manager), ["READY=1\nSTATUS=good"]);
    }

    #[test]
    fn a_service_manager_that_has_gone_harms_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to_path(&path).unwrap();
        drop(manager);
        notifier.send(&[NotifyState::Ready]);
        notifier.send_last_words();
        Notifier::default().send(&[NotifyState::Ready]);
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
