//! The connection under an exchange: a socket, or TLS around one, or around TLS to a proxy. Nothing here
//! speaks HTTP.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::client::TlsStream;

/// Names of protocols in the handshake of TLS (RFC 7301).
pub(crate) const HTTP2_PROTOCOL: &[u8] = b"h2";
pub(crate) const HTTP1_PROTOCOL: &[u8] = b"http/1.1";

/// A connection to a server or a proxy.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<Stream>>),
}

/// One end of a connection, as Go shows it.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Ip(SocketAddr),
    /// A path; `@` if the socket has none.
    Unix(String),
    Unknown,
}

impl Stream {
    pub(crate) fn local(&self) -> End {
        match self {
            Self::Tcp(stream) => stream.local_addr().map_or(End::Unknown, End::Ip),
            Self::Unix(stream) => stream.local_addr().map_or(End::Unknown, |it| End::of_unix(&it)),
            Self::Tls(stream) => stream.get_ref().0.local(),
        }
    }

    /// A socket that was reset does not tell any more.
    pub(crate) fn peer(&self) -> End {
        match self {
            Self::Tcp(stream) => stream.peer_addr().map_or(End::Unknown, End::Ip),
            Self::Unix(stream) => stream.peer_addr().map_or(End::Unknown, |it| End::of_unix(&it)),
            Self::Tls(stream) => stream.get_ref().0.peer(),
        }
    }

    /// The server has chosen HTTP/2 while TLS was agreed on.
    pub(crate) fn is_http2(&self) -> bool {
        let Self::Tls(stream) = self else { return false };
        stream.get_ref().1.alpn_protocol() == Some(HTTP2_PROTOCOL)
    }

    /// An idle peer has nothing to say: bytes or an end of stream mean that it is done with us.
    pub(crate) fn is_silent(&self) -> bool {
        let mut byte = [0];
        let read = match self {
            Self::Tcp(stream) => stream.try_read(&mut byte),
            Self::Unix(stream) => stream.try_read(&mut byte),
            Self::Tls(stream) => return stream.get_ref().0.is_silent(),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl End {
    fn of_unix(address: &tokio::net::unix::SocketAddr) -> Self {
        let path = address.as_pathname().map(|path| path.display().to_string());
        Self::Unix(path.unwrap_or_else(|| "@".to_owned()))
    }

    /// The name of the network in Go's errors.
    pub(crate) fn network(&self) -> &'static str {
        if matches!(self, Self::Unix(_)) { "unix" } else { "tcp" }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => f.write_str(path),
            Self::Unknown => f.write_str("?"),
        }
    }
}

/// Calls a method of whichever stream it is.
macro_rules! of_inner {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self {
            Self::Tcp($stream) => $call,
            Self::Unix($stream) => $call,
            Self::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        of_inner!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        of_inner!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_inner!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_inner!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        of_inner!(self, stream => stream.is_write_vectored())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        of_inner!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }
}
