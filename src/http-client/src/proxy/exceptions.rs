//! Servers that are reached without a proxy, as `no_proxy` names them. Compat: Go's `httpproxy`.

use std::net::IpAddr;

use crate::connect::Origin;

/// An entry of `no_proxy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Exception {
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

/// Compat: `config.init` of Go's `httpproxy`.
pub(super) fn exceptions(text: &str) -> Vec<Exception> {
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
pub(super) fn is_excepted(exceptions: &[Exception], origin: &Origin) -> bool {
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
    use super::{super::tests::origin, *};

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
}
