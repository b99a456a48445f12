//! `dns_sd_configs`: targets that are records of names. A name that cannot be looked up keeps its last
//! records. Compat: Prometheus `discovery/dns/dns.go`.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use hickory_resolver::{
    TokioResolver,
    config::{ResolveHosts, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
    system_conf::read_system_conf,
};
use prom_config::DnsSdConfig;
use prom_model::{Labels, quote_go};
use prom_telemetry::{Counter, Registry};
use tokio::task::spawn_blocking;

use crate::{TargetGroup, group::ADDRESS, polled::Means};

const NAME_LABEL: &str = "__meta_dns_name";
const SRV_TARGET_LABEL: &str = "__meta_dns_srv_record_target";
const SRV_PORT_LABEL: &str = "__meta_dns_srv_record_port";
const MX_TARGET_LABEL: &str = "__meta_dns_mx_record_target";
const NS_TARGET_LABEL: &str = "__meta_dns_ns_record_target";
/// Lookups of one entry that are under way at the same time.
const LOOKUP_COUNT_MAX: usize = 16;

/// Compat: Prometheus `discovery/dns/metrics.go`.
#[derive(Clone, Debug)]
pub(crate) struct DnsMetrics {
    lookups: Counter,
    failures: Counter,
}

/// One entry.
#[derive(Debug)]
pub(crate) struct DnsAsker {
    names: Vec<String>,
    record_type: RecordType,
    port: i64,
    servers: Servers,
    /// The last good groups by name.
    found: BTreeMap<String, TargetGroup>,
    metrics: DnsMetrics,
}

/// Who is asked.
#[derive(Clone, Debug)]
enum Servers {
    /// The system says it anew each time.
    System,
    #[cfg(test)]
    These(Box<(ResolverConfig, ResolverOpts)>),
}

/// Looks names up, one server after the other and with the search list of the system.
struct Lookups {
    resolver: TokioResolver,
    search: Vec<Name>,
    ndots: usize,
}

impl DnsMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            lookups: registry
                .counter("prometheus_sd_dns_lookups_total", "The number of DNS-SD lookups."),
            failures: registry.counter(
                "prometheus_sd_dns_lookup_failures_total",
                "The number of DNS-SD lookup failures.",
            ),
        }
    }
}

impl DnsAsker {
    pub(crate) fn new(cfg: &DnsSdConfig, means: &Means) -> Self {
        let record_type = match cfg.record_type.to_ascii_uppercase().as_str() {
            "A" => RecordType::A,
            "AAAA" => RecordType::AAAA,
            "MX" => RecordType::MX,
            "NS" => RecordType::NS,
            _ => RecordType::SRV,
        };
        Self {
            names: cfg.names.clone(),
            record_type,
            port: cfg.port,
            servers: Servers::System,
            found: BTreeMap::new(),
            metrics: means.dns.clone(),
        }
    }

    /// A lookup that fails is logged and counted; it is no failure of the whole, as in the original.
    pub(crate) async fn ask(&mut self) -> Result<Vec<TargetGroup>, String> {
        let (servers, record_type) = (self.servers.clone(), self.record_type);
        let lookups = spawn_blocking(move || servers.read()).await;
        let lookups = lookups.map_err(|error| error.to_string()).flatten();
        let lookups = lookups.and_then(|(config, options)| Lookups::new(config, options));
        let lookup = |name: String| {
            let lookups = lookups.as_ref();
            async move {
                let found = match lookups {
                    Ok(lookups) => lookups.records(&name, record_type).await,
                    Err(reason) => Err(reason.clone()),
                };
                (name, found)
            }
        };
        let lookups = stream::iter(self.names.clone()).map(lookup);
        let looked_up: Vec<_> = lookups.buffer_unordered(LOOKUP_COUNT_MAX).collect().await;
        for (name, found) in looked_up {
            self.metrics.lookups.inc();
            match found {
                Ok(records) => {
                    let targets = records.iter().filter_map(|it| self.target(&name, it)).collect();
                    let source = name.as_str().into();
                    let group = TargetGroup { source, targets, labels: Labels::empty() };
                    self.found.insert(name, group);
                }
                Err(err) => {
                    self.metrics.failures.inc();
                    tracing::error!(discovery = "dns", err, "Error refreshing DNS targets");
                }
            }
        }
        Ok(self.found.values().cloned().collect())
    }

    fn target(&self, name: &str, record: &RData) -> Option<Labels> {
        let rooted = |target: &Name| target.to_ascii();
        let (host, port, more) = match record {
            RData::A(address) => (address.0.to_string(), self.port, Vec::new()),
            RData::AAAA(address) => (address.0.to_string(), self.port, Vec::new()),
            RData::SRV(srv) => {
                let (target, port) = (rooted(&srv.target), i64::from(srv.port));
                let more =
                    vec![(SRV_TARGET_LABEL, target.clone()), (SRV_PORT_LABEL, port.to_string())];
                (target, port, more)
            }
            RData::MX(mx) => {
                let target = rooted(&mx.exchange);
                (target.clone(), self.port, vec![(MX_TARGET_LABEL, target)])
            }
            RData::NS(ns) => {
                let target = rooted(&ns.0);
                (target.clone(), self.port, vec![(NS_TARGET_LABEL, target)])
            }
            // On the way to an address there may be other names.
            _ => return None,
        };
        // Names look more usual without the final dot.
        let host = host.trim_end_matches('.');
        let address = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let labels = [(ADDRESS, address), (NAME_LABEL, name.to_owned())];
        Some(Labels::from_pairs(labels.into_iter().chain(more)))
    }
}

impl Servers {
    fn read(&self) -> Result<(ResolverConfig, ResolverOpts), String> {
        match self {
            Self::System => {
                read_system_conf().map_err(|error| format!("could not load resolv.conf: {error}"))
            }
            #[cfg(test)]
            Self::These(these) => Ok((**these).clone()),
        }
    }
}

impl Lookups {
    fn new(config: ResolverConfig, mut options: ResolverOpts) -> Result<Self, String> {
        let mut search = config.search.clone();
        if search.is_empty() {
            search.extend(config.domain.clone());
        }
        let ndots = options.ndots;
        // Each refresh asks the servers, and them alone.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { resolver, search, ndots })
    }

    /// The records of the first name of the search list that exists; none, if it is certain that none does.
    /// Compat: `lookupWithSearchPath`.
    async fn records(&self, name: &str, record_type: RecordType) -> Result<Vec<RData>, String> {
        let mut is_certain = true;
        for candidate in self.candidates(name)? {
            match self.resolver.lookup(candidate, record_type).await {
                Ok(lookup) => {
                    return Ok(lookup.answers().iter().map(|it| it.data.clone()).collect());
                }
                Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                    if none.response_code == ResponseCode::NoError =>
                {
                    return Ok(Vec::new());
                }
                Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                    if none.response_code == ResponseCode::NXDomain => {}
                Err(error) => {
                    tracing::warn!(discovery = "dns", name, err = %error, "DNS resolution failed");
                    is_certain = false;
                }
            }
        }
        match is_certain {
            true => Ok(Vec::new()),
            false => Err(format!(
                "could not resolve {}: all servers responded with errors to at least one search domain",
                quote_go(name)
            )),
        }
    }

    /// Compat: `ClientConfig.NameList` of the original's library.
    fn candidates(&self, name: &str) -> Result<Vec<Name>, String> {
        let invalid = |error| format!("could not resolve {}: {error}", quote_go(name));
        let mut rooted = Name::from_ascii(name).map_err(invalid)?;
        if rooted.is_fqdn() {
            return Ok(vec![rooted]);
        }
        let relative = rooted.clone();
        let has_dots = usize::from(relative.num_labels()) > self.ndots;
        rooted.set_fqdn(true);
        let found = self.search.iter().filter_map(|domain| {
            let mut name = relative.clone().append_domain(domain).ok()?;
            name.set_fqdn(true);
            Some(name)
        });
        let mut names: Vec<Name> = found.collect();
        names.insert(if has_dots { 0 } else { names.len() }, rooted);
        Ok(names)
    }
}

#[cfg(test)]
mod tests;
