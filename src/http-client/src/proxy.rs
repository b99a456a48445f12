//! Which proxy a request leaves through, and the way through it: HTTP, HTTP over TLS, or SOCKS5.
//! Compat: `ProxyConfig` of prometheus/common, Go's `httpproxy` and `net/http` `Transport.dialConn`.

mod exceptions;
mod socks;
mod tunnel;

use http::HeaderValue;
use prom_config::{ProxyConfig, Secret};
use url::Url;

use crate::{
    connect::Origin,
    error::Cause,
    headers::{basic, to_secret_value},
    stream::Stream,
};
use exceptions::{Exception, exceptions, is_excepted};

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
    /// With TLS if the proxy itself is spoken to so.
    pub(crate) origin: Origin,
    pub(crate) language: Language,
    /// For an HTTP proxy.
    pub(crate) authorization: Option<HeaderValue>,
    /// Name and password.
    credentials: Option<(String, Secret)>,
}

/// How a proxy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Http,
    /// SOCKS5; names are resolved by the proxy, with `socks5` as with `socks5h`.
    Socks,
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
        let Some(proxy) = proxy.as_ref().filter(|_| origin.socket.is_none()) else {
            return Ok(None);
        };
        if self.exceptions.as_ref().is_some_and(|all| is_excepted(all, origin)) {
            return Ok(None);
        }
        proxy.as_ref().map(Some).map_err(|reason| Cause::Request(reason.clone()))
    }

    /// A connection to `proxy` that leads to `origin`: what is written on it next is for that one, except
    /// that requests without TLS to an HTTP proxy name the whole address.
    ///
    /// # Errors
    /// The proxy cannot be reached, or does not let us through.
    pub(crate) async fn open(
        &self,
        proxy: &Proxy,
        stream: Stream,
        origin: &Origin,
        user_agent: &HeaderValue,
    ) -> Result<Stream, Cause> {
        match proxy.language {
            Language::Socks => socks::open(stream, proxy, origin).await,
            Language::Http if origin.is_https => {
                tunnel::open(stream, proxy, origin, user_agent, &self.connect_headers).await
            }
            Language::Http => Ok(stream),
        }
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
        let (language, is_https, default_port) = match url.scheme() {
            "http" => (Language::Http, false, 80),
            "https" => (Language::Http, true, 443),
            "socks5" | "socks5h" => (Language::Socks, false, 1080),
            other => return Err(format!("proxies of scheme {other:?} are not supported")),
        };
        let host = url.host_str().ok_or_else(invalid)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
        };
        let has_user = !url.username().is_empty() || url.password().is_some();
        let credentials =
            has_user.then(|| (decode(url.username()), decode(url.password().unwrap_or_default())));
        let authorization = credentials.as_ref().filter(|_| language == Language::Http);
        let authorization = authorization
            .map(|(name, password)| to_secret_value(&basic(name, password)))
            .transpose()
            .map_err(|_| invalid())?;
        let port = url.port().unwrap_or(default_port);
        Ok(Self {
            origin: Origin { is_https, host: host.into(), port, socket: None },
            language,
            authorization,
            credentials: credentials.map(|(name, password)| (name, Secret::new(password))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn origin(url: &str) -> Origin {
        let url = Url::parse(url).unwrap();
        let host = url.host_str().unwrap().trim_matches(['[', ']']).into();
        let port = url.port_or_known_default().unwrap();
        Origin { is_https: url.scheme() == "https", host, port, socket: None }
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
}
