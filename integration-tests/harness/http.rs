//! One request over a connection of its own; enough of HTTP/1.1 to test a server, no more.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// An answer, its body whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    /// The body as it came; it may be no text.
    pub(crate) bytes: Vec<u8>,
}

impl Response {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|err| panic!("{err}: {}", self.body))
    }

    /// The value of a header, named in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut values = headers.filter(|(other, _)| other.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    }
}

pub(crate) fn get(address: &str, path: &str) -> io::Result<Response> {
    get_as(address, path, "*/*")
}

/// Asks for one content type.
pub(crate) fn get_as(address: &str, path: &str, accept: &str) -> io::Result<Response> {
    send(
        address,
        &format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAccept: {accept}\r\n\r\n"
        ),
    )
}

/// Asks from one of this machine's other addresses, so that the server sees another client.
pub(crate) fn get_from(client: Ipv4Addr, address: &str, path: &str) -> io::Result<Response> {
    let server: SocketAddr = address.parse().map_err(io::Error::other)?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((client, 0)).into())?;
    socket.connect(&server.into())?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange(socket.into(), request.as_bytes())
}

pub(crate) fn post(address: &str, path: &str, form: &str) -> io::Result<Response> {
    let size = form.len();
    send(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {size}\r\n\r\n{form}"
        ),
    )
}

/// Posts a body that is no form: a remote write request.
pub(crate) fn post_bytes(address: &str, path: &str, body: &[u8]) -> io::Result<Response> {
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    post_with_headers(address, path, &headers, body)
}

pub(crate) fn post_with_headers(
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    let size = body.len();
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         {headers}Content-Length: {size}\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    send_bytes(address, &request)
}

fn send(address: &str, request: &str) -> io::Result<Response> {
    send_bytes(address, request.as_bytes())
}

fn send_bytes(address: &str, request: &[u8]) -> io::Result<Response> {
    exchange(TcpStream::connect(address)?, request)
}

fn exchange(mut stream: TcpStream, request: &[u8]) -> io::Result<Response> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| {
        let text = String::from_utf8_lossy(&answer).into_owned();
        io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP answer: {text:?}"))
    })
}

fn parse(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let rest = &answer[end + 4..];
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { join_chunks(rest)? } else { rest.to_vec() };
    let text = String::from_utf8_lossy(&body).into_owned();
    Some(Response { status, head, body: text, bytes: body })
}

fn join_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = rest.windows(2).position(|window| window == b"\r\n")?;
        let line = std::str::from_utf8(&rest[..line_end]).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let data = rest.get(line_end + 2..)?;
        body.extend_from_slice(data.get(..size)?);
        rest = data.get(size + 2..)?;
    }
}
