//! A connection through a SOCKS5 proxy (RFC 1928, RFC 1929). Compat: Go `x/net/internal/socks`.

use std::net::IpAddr;

use prom_config::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Proxy;
use crate::{
    connect::Origin,
    error::{Cause, errno_text},
    stream::Stream,
};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USERNAME_PASSWORD: u8 = 2;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;
/// Of the dialog about a name and a password.
const USERNAME_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const OF_IPV4: u8 = 1;
const OF_NAME: u8 = 3;
const OF_IPV6: u8 = 4;

/// Asks the proxy at the other end of `stream` for a connection to `origin`.
pub(super) async fn open(
    mut stream: Stream,
    proxy: &Proxy,
    origin: &Origin,
) -> Result<Stream, Cause> {
    let asked = ask(&mut stream, proxy.credentials.as_ref(), origin).await;
    asked.map(|()| stream).map_err(|reason| Cause::Socks {
        proxy: proxy.origin.authority(),
        target: origin.authority(),
        reason,
    })
}

async fn ask(
    stream: &mut Stream,
    credentials: Option<&(String, Secret)>,
    origin: &Origin,
) -> Result<(), String> {
    let methods: &[u8] = match credentials {
        None => &[VERSION, 1, NO_AUTHENTICATION],
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, USERNAME_PASSWORD],
    };
    let [version, method] = exchange(stream, methods).await?;
    check_version(version)?;
    match (method, credentials) {
        (NO_AUTHENTICATION, _) => {}
        (USERNAME_PASSWORD, Some((name, password))) => {
            authenticate(stream, name, password.reveal()).await?;
        }
        (NO_ACCEPTABLE_METHOD, _) => return Err("no acceptable authentication methods".to_owned()),
        (other, _) => return Err(format!("unsupported authentication method {other}")),
    }
    let [version, code, _reserved, kind] = exchange(stream, &request(origin)?).await?;
    check_version(version)?;
    if code != 0 {
        return Err(format!("unknown error {}", refusal(code)));
    }
    // Where the proxy is bound is of no interest, but stands before what belongs to the server.
    let size_bytes = match kind {
        OF_IPV4 => 4,
        OF_IPV6 => 16,
        OF_NAME => usize::from(stream.read_u8().await.map_err(|error| io_text(&error))?),
        other => return Err(format!("unknown address type {other}")),
    };
    let mut bound = vec![0; size_bytes + size_of::<u16>()];
    stream.read_exact(&mut bound).await.map_err(|error| io_text(&error))?;
    Ok(())
}

async fn authenticate(stream: &mut Stream, name: &str, password: &str) -> Result<(), String> {
    let (Ok(name_size), Ok(password_size)) =
        (u8::try_from(name.len()), u8::try_from(password.len()))
    else {
        return Err("invalid username/password".to_owned());
    };
    if name.is_empty() {
        return Err("invalid username/password".to_owned());
    }
    let mut asked = vec![USERNAME_VERSION, name_size];
    asked.extend_from_slice(name.as_bytes());
    asked.push(password_size);
    asked.extend_from_slice(password.as_bytes());
    match exchange(stream, &asked).await? {
        [USERNAME_VERSION, 0] => Ok(()),
        [USERNAME_VERSION, _] => Err("username/password authentication failed".to_owned()),
        _ => Err("invalid username/password version".to_owned()),
    }
}

fn request(origin: &Origin) -> Result<Vec<u8>, String> {
    let mut request = vec![VERSION, CONNECT, 0];
    match origin.host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(OF_IPV4);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(OF_IPV6);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            let size = u8::try_from(origin.host.len()).map_err(|_| "FQDN too long".to_owned())?;
            request.extend_from_slice(&[OF_NAME, size]);
            request.extend_from_slice(origin.host.as_bytes());
        }
    }
    request.extend_from_slice(&origin.port.to_be_bytes());
    Ok(request)
}

async fn exchange<const N: usize>(stream: &mut Stream, asked: &[u8]) -> Result<[u8; N], String> {
    let mut answer = [0; N];
    let exchanged = async {
        stream.write_all(asked).await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await
    };
    exchanged.await.map_err(|error| io_text(&error))?;
    Ok(answer)
}

fn check_version(version: u8) -> Result<(), String> {
    match version {
        VERSION => Ok(()),
        other => Err(format!("unexpected protocol version {other}")),
    }
}

fn io_text(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        _ => errno_text(error),
    }
}

fn refusal(code: u8) -> String {
    let text = match code {
        1 => "general SOCKS server failure",
        2 => "connection not allowed by ruleset",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        other => return format!("unknown code: {other}"),
    };
    text.to_owned()
}
