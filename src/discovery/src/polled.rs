//! Mechanisms that ask again and again: the rhythm, and what counts as an answer. How each asks stands in
//! its own module; one that is new is one more variant of `Asker`.
//! Compat: Prometheus `discovery/refresh`.

use std::time::Duration;

use prom_config::DiscoveryConfig;
use prom_http_client::BufferPool;
use prom_telemetry::{Counter, Histogram, Registry, Summary, clock};
use tokio::{
    select,
    time::{MissedTickBehavior, interval},
};

use crate::{
    DiscoveryError, TargetGroup,
    delivery::Delivery,
    dns::{DnsAsker, DnsMetrics},
    group::sharing,
    http::HttpAsker,
};

/// No entry asks more often, however short its interval is.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_millis(50);
/// All answers that are read at this moment take no more than this.
const ANSWERS_SIZE_BYTES_MAX: usize = 512 << 20;

/// One entry that is asked.
#[derive(Debug)]
pub(crate) enum Asker {
    Http(Box<HttpAsker>),
    Dns(Box<DnsAsker>),
}

/// What all mechanisms of this kind share.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    pub(crate) user_agent: &'static str,
    pub(crate) answers: BufferPool,
    pub(crate) http_failures: Counter,
    pub(crate) dns: DnsMetrics,
    registry: Registry,
}

/// Compat: Prometheus `discovery/metrics_refresh.go`.
#[derive(Debug)]
struct RefreshMetrics {
    failures: Counter,
    duration: Summary,
    histogram: Histogram,
}

impl Means {
    pub(crate) fn new(user_agent: &'static str, registry: &Registry) -> Self {
        Self {
            user_agent,
            answers: BufferPool::new(ANSWERS_SIZE_BYTES_MAX),
            http_failures: registry.counter(
                "prometheus_sd_http_failures_total",
                "Number of HTTP service discovery refresh failures.",
            ),
            dns: DnsMetrics::new(registry),
            registry: registry.clone(),
        }
    }
}

impl Asker {
    /// What asks for an entry, and how often; `None` if its mechanism works in another way or not at all.
    pub(crate) fn new(cfg: &DiscoveryConfig, means: &Means) -> Option<(Self, Duration)> {
        let (asker, refresh_interval) = match cfg {
            DiscoveryConfig::Http(cfg) => {
                (Self::Http(Box::new(HttpAsker::new(cfg, means))), cfg.refresh_interval)
            }
            DiscoveryConfig::Dns(cfg) => {
                (Self::Dns(Box::new(DnsAsker::new(cfg, means))), cfg.refresh_interval)
            }
            _ => return None,
        };
        Some((asker, refresh_interval.max(REFRESH_INTERVAL_MIN)))
    }

    /// Asks once: all groups there are now.
    ///
    /// # Errors
    /// There is no answer, or none that can be used; what was found before stays.
    pub(crate) async fn ask(&mut self) -> Result<Vec<TargetGroup>, String> {
        match self {
            Self::Http(asker) => asker.ask().await,
            Self::Dns(asker) => asker.ask().await,
        }
    }
}

impl RefreshMetrics {
    fn new(registry: &Registry, mechanism: &str, config: &str) -> Self {
        let names = ["mechanism", "config"];
        Self {
            failures: registry
                .counter_vec(
                    "prometheus_sd_refresh_failures_total",
                    "Number of refresh failures for the given SD mechanism.",
                    &names,
                )
                .with(&[mechanism, config]),
            duration: registry
                .summary_vec(
                    "prometheus_sd_refresh_duration_seconds",
                    "The duration of a refresh in seconds for the given SD mechanism.",
                    &[0.5, 0.9, 0.99],
                    &names,
                )
                .with(&[mechanism, config]),
            histogram: registry
                .histogram_vec(
                    "prometheus_sd_refresh_duration_histogram_seconds",
                    "The duration of a refresh for the given SD mechanism.",
                    &[0.01, 0.1, 1.0, 10.0],
                    &names[..1],
                )
                .with(&[mechanism]),
        }
    }
}

/// Asks until nobody wants the answers any more.
pub(crate) async fn run(delivery: Delivery, mut asker: Asker, every: Duration, means: Means) {
    let (discovery, config) = (delivery.provider.cfg.name(), &*delivery.provider.set);
    let metrics = RefreshMetrics::new(&means.registry, discovery, config);
    let stop = delivery.provider.stop.clone();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let began = clock::monotonic();
        let asked = select! {
            biased;
            () = stop.cancelled() => return,
            asked = asker.ask() => asked,
        };
        let seconds = (clock::monotonic() - began).as_secs_f64();
        metrics.duration.observe(seconds);
        metrics.histogram.observe(seconds);
        match asked {
            Ok(groups) => {
                let groups = groups.into_iter().filter(|group| !group.targets.is_empty());
                delivery.deliver(sharing(groups, &delivery.provider.latest().groups));
            }
            Err(err) => {
                metrics.failures.inc();
                tracing::error!(discovery, config, err, "Unable to refresh target groups");
                delivery.fail();
            }
        }
    }
}

/// What an entry finds at this moment, for tools; nothing goes on afterwards.
///
/// # Errors
/// Nobody runs the mechanism, or why it finds nothing.
pub async fn discover_once(
    cfg: &DiscoveryConfig,
    user_agent: &'static str,
) -> Result<Vec<TargetGroup>, String> {
    match Asker::new(cfg, &Means::new(user_agent, &Registry::default())) {
        Some((mut asker, _)) => asker.ask().await,
        None => {
            let (set, key) = (String::new(), cfg.key());
            Err(DiscoveryError::Unsupported { set, key }.to_string())
        }
    }
}
