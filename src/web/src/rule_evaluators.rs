//! Who evaluates rules over this server from outside, as Thanos Ruler and vmalert do: queries from there
//! are those of rules, and wait neither for dashboards nor for a thread that one of them has.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;
use prom_promql::QueryClass;

use crate::{context::WebContext, origin::ClientAddress};

/// Bits of an address; those of IPv4 are at the end of `::ffff:0:0/96`.
const ADDRESS_BITS_COUNT: u32 = 128;
const IPV4_BITS_COUNT: u32 = 32;

/// Addresses whose queries are those of rules; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleEvaluators {
    networks: Vec<Network>,
}

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    first: u128,
    prefix_bits_count: u32,
}

/// The class of a query by who asks for it over the API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApiClass(pub(crate) QueryClass);

impl RuleEvaluators {
    /// Reads addresses, `127.0.0.1` or `::1`, and networks, `10.0.0.0/8` (RFC 4632, RFC 4291).
    ///
    /// # Errors
    /// One of the texts is neither; the error names it.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, String> {
        let networks = texts.into_iter().map(Network::parse).collect::<Result<_, _>>()?;
        Ok(Self { networks })
    }

    fn contain(&self, address: IpAddr) -> bool {
        let address = bits(address);
        self.networks.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("{text:?} is neither an address nor a network such as 10.0.0.0/8");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let own_bits_count = if address.is_ipv4() { IPV4_BITS_COUNT } else { ADDRESS_BITS_COUNT };
        let prefix_bits_count = match prefix {
            None => own_bits_count,
            Some(prefix) => prefix.parse().map_err(|_| invalid())?,
        };
        if prefix_bits_count > own_bits_count {
            return Err(invalid());
        }
        let prefix_bits_count = prefix_bits_count + ADDRESS_BITS_COUNT - own_bits_count;
        let network = Self { first: bits(address), prefix_bits_count };
        if network.first & !network.mask() != 0 {
            return Err(format!("{text:?} has bits behind its prefix"));
        }
        Ok(network)
    }

    fn mask(self) -> u128 {
        u128::MAX.checked_shl(ADDRESS_BITS_COUNT - self.prefix_bits_count).unwrap_or(0)
    }

    fn contains(self, address: u128) -> bool {
        address & self.mask() == self.first
    }
}

/// A listener for both families sees IPv4 clients as mapped addresses.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl FromRequestParts<Arc<WebContext>> for ApiClass {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        ctx: &Arc<WebContext>,
    ) -> Result<Self, Infallible> {
        let evaluators = &ctx.options.rule_evaluators;
        let address = parts.extensions.get::<ClientAddress>();
        let is_rule = address.is_some_and(|address| evaluators.contain(address.0));
        Ok(Self(if is_rule { QueryClass::Rules } else { QueryClass::Api }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses_only() {
        let texts = ["127.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"];
        let evaluators = RuleEvaluators::parse(texts).unwrap();
        for (address, expected) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("127.0.0.2", false),
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("::1", true),
            ("::2", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(evaluators.contain(address.parse().unwrap()), expected, "{address}");
        }
        let everybody = RuleEvaluators::parse(["::/0"]).unwrap();
        assert!(everybody.contain("192.0.2.1".parse().unwrap()));
        let of_one_family = RuleEvaluators::parse(["0.0.0.0/0"]).unwrap();
        assert!(of_one_family.contain("192.0.2.1".parse().unwrap()));
        assert!(!of_one_family.contain("2001:db8::1".parse().unwrap()));
        assert!(!RuleEvaluators::default().contain("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused_by_name() {
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "1/2/3"]
        {
            let refused = RuleEvaluators::parse([text]).unwrap_err();
            assert!(refused.contains(&format!("{text:?} is neither")), "{refused}");
        }
        let refused = RuleEvaluators::parse(["10.0.0.1/8"]).unwrap_err();
        assert_eq!(refused, "\"10.0.0.1/8\" has bits behind its prefix");
    }
}
