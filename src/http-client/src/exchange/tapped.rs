//! The socket under an HTTP/1.1 exchange, with a copy of the first bytes that it brought.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::{End, Stream};

/// How much of the start of an answer is kept for an error text.
const START_SIZE_BYTES: usize = 96;

/// A socket that is listened in on.
#[derive(Debug)]
pub(super) struct Tapped {
    pub(super) stream: Stream,
    /// A socket that was reset does not tell any more.
    pub(super) peer: End,
    start: [u8; START_SIZE_BYTES],
    start_size: usize,
}

impl Tapped {
    pub(super) fn new(stream: Stream) -> Self {
        let peer = stream.peer();
        Self { stream, peer, start: [0; START_SIZE_BYTES], start_size: 0 }
    }

    pub(super) fn start(&self) -> &[u8] {
        &self.start[..self.start_size]
    }

    fn note(&mut self, came: &[u8]) {
        let kept = came.len().min(START_SIZE_BYTES - self.start_size);
        self.start[self.start_size..][..kept].copy_from_slice(&came[..kept]);
        self.start_size += kept;
    }
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.note(&buf.filled()[before..]);
        polled
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}
