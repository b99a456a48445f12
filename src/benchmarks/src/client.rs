//! A client that keeps its connection, as dashboards do, and reads one answer after the other from it.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use anyhow::{Context, Result, bail, ensure};

use crate::contender::Contender;

/// One kept connection to a server.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    host: String,
}

/// How the end of a body is told.
enum Framing {
    Size(usize),
    Chunks,
}

impl Client {
    pub(crate) fn connect(contender: &Contender) -> Result<Self> {
        Self::connect_to(&contender.address)
    }

    fn connect_to(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host: address.to_owned() })
    }

    /// The body of an answer of status 200. A server may close a kept connection any time: it is asked once
    /// more then, on a new one.
    pub(crate) fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        match self.ask(path) {
            Err(error) if is_end(&error) => {
                *self = Self::connect_to(&self.host)?;
                self.ask(path)
            }
            answer => answer,
        }
    }

    fn ask(&mut self, path: &str) -> Result<Vec<u8>> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (status, framing) = self.head()?;
        let body = self.body(&framing)?;
        ensure!(status == "200", "{path}: {status}: {:.300}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    fn head(&mut self) -> Result<(String, Framing)> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).context("no status")?.to_owned();
        let mut framing = Framing::Size(0);
        loop {
            let line = self.line()?.to_lowercase();
            match line.split_once(':') {
                Some(("content-length", size)) => framing = Framing::Size(size.trim().parse()?),
                Some(("transfer-encoding", _)) => framing = Framing::Chunks,
                Some(_) => {}
                None => return Ok((status, framing)),
            }
        }
    }

    fn body(&mut self, framing: &Framing) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        if let Framing::Size(size) = framing {
            self.read(*size, &mut body)?;
            return Ok(body);
        }
        loop {
            let size = usize::from_str_radix(self.line()?.trim(), 16)?;
            self.read(size, &mut body)?;
            let end = self.line()?;
            ensure!(end.is_empty(), "a chunk that goes on behind its end");
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn read(&mut self, size: usize, body: &mut Vec<u8>) -> Result<()> {
        let begin = body.len();
        body.resize(begin + size, 0);
        Ok(self.stream.read_exact(&mut body[begin..])?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed"));
        }
        Ok(line.trim_end().to_owned())
    }
}

/// Whether the other side is gone.
fn is_end(error: &anyhow::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(BrokenPipe | ConnectionReset | UnexpectedEof))
}
