//! Which proxy a request leaves through, and the way through it. Compat: `ProxyConfig` of prometheus/common
//! and Go's `httpproxy`. Proxies are asked over plain HTTP; the configuration refuses others.

use std::net::IpAddr;

use http::HeaderValue;
use prom_config::ProxyConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

use crate::{
    connect::{Origin, connect},
    error::{Cause, errno_text, shown},
    headers::{basic, to_secret_value},
};

/// The head of a proxy's answer must fit.
const HEAD_SIZE_BYTES_MAX: usize = 64 << 10;
const DEFAULT_PORT: u16 = 80;

/// The choice of proxies that a section gives.
#[derive(Debug)]
pub(crate) struct Proxies {
    http: Option<Result<Proxy, String>>,
    https: Option<Result<Proxy, String>>,
    /// `None` sends all through the proxy, what is on this machine included.
    exceptions: Option<Vec<Exception>>,
    connect_headers: Vec<(String, HeaderValue)>,
}

/// One proxy.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) origin: Origin,
    pub(crate) authorization: Option<HeaderValue>,
}

/// An entry of `no_proxy`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    All,
    Network {
        address: IpAddr,
        prefix_bits: u8,
    },
    Address {
        address: IpAddr,
        port: Option<u16>,
    },
    /// With a dot in front; `is_exact` also stands for the name without it.
    Domain {
        suffix: String,
        is_exact: bool,
        port: Option<u16>,
    },
}

impl Proxies {
    /// `env` answers with an environment variable.
    pub(crate) fn new(cfg: &ProxyConfig, env: impl Fn(&str) -> Option<String>) -> Self {
        let headers = cfg.proxy_connect_header.iter().flat_map(|(name, values)| {
            let value = |secret: &prom_config::Secret| to_secret_value(secret.reveal()).ok();
            values.iter().filter_map(value).map(|value| (name.clone(), value))
        });
        let connect_headers = headers.collect();
        if cfg.proxy_from_environment {
            let either = |upper: &str| {
                let found = env(upper).filter(|value| !value.is_empty());
                found.or_else(|| env(&upper.to_ascii_lowercase())).filter(|value| !value.is_empty())
            };
            let proxy = |name| either(name).map(|url| Proxy::parse(&url));
            let exceptions = exceptions(&either("NO_PROXY").unwrap_or_default());
            let (http, https) = (proxy("HTTP_PROXY"), proxy("HTTPS_PROXY"));
            return Self { http, https, exceptions: Some(exceptions), connect_headers };
        }
        let url = cfg.proxy_url.as_ref().filter(|url| !url.is_empty());
        let proxy = url.map(|url| Proxy::parse(url.reveal()));
        let exceptions = (!cfg.no_proxy.is_empty()).then(|| exceptions(&cfg.no_proxy));
        Self { http: proxy.clone(), https: proxy, exceptions, connect_headers }
    }

    /// The proxy for a request to `origin`, if it needs one.
    ///
    /// # Errors
    /// What the environment names is no address.
    pub(crate) fn of(&self, origin: &Origin) -> Result<Option<&Proxy>, Cause> {
        let proxy = if origin.is_https { &self.https } else { &self.http };
        let Some(proxy) = proxy else { return Ok(None) };
        if self.exceptions.as_ref().is_some_and(|all| is_excepted(all, origin)) {
            return Ok(None);
        }
        proxy.as_ref().map(Some).map_err(|reason| Cause::Request(reason.clone()))
    }

    /// Asks `proxy` for a connection to `origin`.
    pub(crate) async fn tunnel(
        &self,
        proxy: &Proxy,
        origin: &Origin,
        user_agent: &HeaderValue,
    ) -> Result<TcpStream, Cause> {
        let mut stream = proxy.connect().await?;
        let host = match origin.host.contains(':') {
            true => format!("[{}]:{}", origin.host, origin.port),
            false => format!("{}:{}", origin.host, origin.port),
        };
        let mut head = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
        let mut add = |name: &str, value: &HeaderValue| {
            for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(part);
            }
        };
        add("User-Agent", user_agent);
        if let Some(authorization) = &proxy.authorization {
            add("Proxy-Authorization", authorization);
        }
        self.connect_headers.iter().for_each(|(name, value)| add(name, value));
        head.extend_from_slice(b"\r\n");
        let failed = |error: std::io::Error, stream: &TcpStream| Cause::Read {
            local: shown(stream.local_addr().ok()),
            peer: shown(stream.peer_addr().ok()),
            reason: errno_text(&error),
        };
        if let Err(error) = stream.write_all(&head).await {
            return Err(failed(error, &stream));
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            // Byte by byte, so that nothing is taken that belongs to the tunnel.
            match stream.read_u8().await {
                Ok(byte) => answer.push(byte),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Err(Cause::Eof);
                }
                Err(error) => return Err(failed(error, &stream)),
            }
            if answer.len() > HEAD_SIZE_BYTES_MAX {
                let reason = "net/http: server response headers exceeded the limit; aborted";
                return Err(Cause::ProxyRefused(reason.to_owned()));
            }
        }
        check_answer(&answer).map(|()| stream)
    }
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, String> {
        // The address may hold a password, so the error shows nothing of it.
        let invalid = || "invalid proxy address".to_owned();
        let parsed = Url::parse(text).ok().filter(Url::has_host);
        let url = match parsed {
            Some(url) => url,
            None => Url::parse(&format!("http://{text}")).map_err(|_| invalid())?,
        };
        if url.scheme() != "http" {
            return Err(format!("proxies of scheme {:?} are not supported", url.scheme()));
        }
        let host = url.host_str().ok_or_else(invalid)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
        };
        let has_user = !url.username().is_empty() || url.password().is_some();
        let authorization = has_user
            .then(|| basic(&decode(url.username()), &decode(url.password().unwrap_or_default())));
        let authorization = authorization.as_deref().map(to_secret_value).transpose();
        Ok(Self {
            origin: Origin {
                is_https: false,
                host: host.into(),
                port: url.port().unwrap_or(DEFAULT_PORT),
            },
            authorization: authorization.map_err(|_| invalid())?,
        })
    }

    pub(crate) async fn connect(&self) -> Result<TcpStream, Cause> {
        connect(&self.origin).await.map_err(|cause| Cause::Proxy(Box::new(cause)))
    }
}

/// Whether the tunnel stands. Go tells what stands behind the code, otherwise.
fn check_answer(answer: &[u8]) -> Result<(), Cause> {
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line.trim_ascii_end());
    let mut words = line.splitn(3, ' ');
    let (_version, code, phrase) = (words.next(), words.next(), words.next());
    match (code, phrase) {
        (Some("200"), _) => Ok(()),
        (Some(_), Some(phrase)) => Err(Cause::ProxyRefused(phrase.to_owned())),
        _ => Err(Cause::ProxyRefused("unknown status code".to_owned())),
    }
}

/// Compat: `config.init` of Go's `httpproxy`.
fn exceptions(text: &str) -> Vec<Exception> {
    let entries = text.split(',').map(|entry| entry.trim().to_ascii_lowercase());
    entries.filter(|entry| !entry.is_empty()).filter_map(|entry| exception(&entry)).collect()
}

fn exception(entry: &str) -> Option<Exception> {
    if entry == "*" {
        return Some(Exception::All);
    }
    if let Some((address, bits)) = entry.split_once('/')
        && let (Ok(address), Ok(prefix_bits)) = (address.parse::<IpAddr>(), bits.parse())
    {
        return Some(Exception::Network { address, prefix_bits });
    }
    let is_plain_v6 = entry.parse::<IpAddr>().is_ok();
    let (host, port) = match entry.rsplit_once(':').filter(|_| !is_plain_v6) {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (entry, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return None;
    }
    if let Ok(address) = host.parse() {
        return Some(Exception::Address { address, port });
    }
    let host = if host.starts_with("*.") { &host[1..] } else { host };
    Some(match host.starts_with('.') {
        true => Exception::Domain { suffix: host.to_owned(), is_exact: false, port },
        false => Exception::Domain { suffix: format!(".{host}"), is_exact: true, port },
    })
}

/// Compat: `config.useProxy` of Go's `httpproxy`.
fn is_excepted(exceptions: &[Exception], origin: &Origin) -> bool {
    let host = origin.host.trim_end_matches('.').to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    let is_port = |port: &Option<u16>| port.is_none_or(|port| port == origin.port);
    exceptions.iter().any(|exception| match exception {
        Exception::All => true,
        Exception::Network { address: network, prefix_bits } => {
            address.is_some_and(|address| is_in_network(address, *network, *prefix_bits))
        }
        Exception::Address { address: excepted, port } => {
            address == Some(*excepted) && is_port(port)
        }
        Exception::Domain { suffix, is_exact, port } => {
            let is_itself = *is_exact && suffix.strip_prefix('.') == Some(&*host);
            (host.ends_with(suffix.as_str()) || is_itself) && is_port(port)
        }
    })
}

fn is_in_network(address: IpAddr, network: IpAddr, prefix_bits: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let ((address, size), (network, of)) = (bits(address), bits(network));
    let shift = 128 - u32::from(prefix_bits.min(128));
    size == of && address.checked_shr(shift) == network.checked_shr(shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        let url = Url::parse(url).unwrap();
        let host = url.host_str().unwrap().trim_matches(['[', ']']).into();
        let port = url.port_or_known_default().unwrap();
        Origin { is_https: url.scheme() == "https", host, port }
    }

    #[test]
    fn some_hosts_need_no_proxy() {
        for (text, url, is_direct) in [
            ("", "http://a.b", false),
            ("", "http://localhost:1", true),
            ("", "http://127.1.2.3", true),
            ("", "http://[::1]:80", true),
            ("*", "http://a.b", true),
            ("a.b", "http://a.b", true),
            ("a.b", "http://x.a.b:9100", true),
            ("a.b", "http://xa.b", false),
            (".a.b", "http://a.b", false),
            (".a.b", "http://x.a.b", true),
            ("*.a.b", "http://x.A.b", true),
            ("a.b:80", "http://a.b", true),
            ("a.b:81", "http://a.b", false),
            ("x, 10.1.2.3 ,y", "http://10.1.2.3:9100", true),
            ("10.1.2.3:9100", "http://10.1.2.3:9101", false),
            ("10.1.0.0/16", "http://10.1.200.3", true),
            ("10.1.0.0/16", "http://10.2.0.1", false),
            ("fd00::/8", "http://[fd12::1]:80", true),
            ("0.0.0.0/0", "http://[fd12::1]:80", false),
        ] {
            assert_eq!(is_excepted(&exceptions(text), &origin(url)), is_direct, "{text} {url}");
        }
    }

    #[test]
    fn the_environment_names_proxies_by_scheme() {
        let env = |name: &str| match name {
            "HTTPS_PROXY" => Some("user:p%40ss@secure:3128".to_owned()),
            "http_proxy" => Some("http://plain".to_owned()),
            "NO_PROXY" => Some("direct".to_owned()),
            _ => None,
        };
        let cfg = ProxyConfig { proxy_from_environment: true, ..ProxyConfig::default() };
        let proxies = Proxies::new(&cfg, env);
        let found = |url: &str| {
            let proxy = proxies.of(&origin(url)).unwrap();
            proxy.map(|proxy| format!("{}:{}", proxy.origin.host, proxy.origin.port))
        };
        assert_eq!(found("https://a.b"), Some("secure:3128".to_owned()));
        assert_eq!(found("http://a.b"), Some("plain:80".to_owned()));
        assert_eq!(found("http://direct"), None);
        let secure = proxies.of(&origin("https://a.b")).unwrap().unwrap();
        let authorization = secure.authorization.as_ref().unwrap();
        assert_eq!(authorization, "Basic dXNlcjpwQHNz");
        assert!(!format!("{proxies:?}").contains("dXNlcjpwQHNz"));
    }

    #[test]
    fn only_200_opens_a_tunnel() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", None),
            ("HTTP/1.0 200\r\n\r\n", None),
            ("HTTP/1.1 403 Nope, never\r\n\r\n", Some("Nope, never")),
            ("\r\n\r\n", Some("unknown status code")),
        ] {
            let got = check_answer(answer.as_bytes()).err().map(|cause| cause.to_string());
            assert_eq!(got.as_deref(), expected, "{answer}");
        }
    }
}
