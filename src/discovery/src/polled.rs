//! Mechanisms that ask again and again: the rhythm, and what counts as an answer. How each asks stands in
//! its own module; one that is new is one more variant of `Asker`.
//! Compat: Prometheus `discovery/refresh`.

use std::{fmt, sync::Arc, time::Duration};

use prom_config::DiscoveryConfig;
use prom_http_client::{BufferPool, SmallFiles};
use prom_telemetry::{Counter, Histogram, Registry, Summary, clock};
use tokio::{
    select,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    DiscoveryError, TargetGroup,
    consul::{self, ConsulMetrics},
    delivery::Delivery,
    dns::{DnsAsker, DnsMetrics},
    group::sharing,
    http::HttpAsker,
    kubernetes,
    rest::{self, AskError, AzureMetrics, KumaMetrics, RestAsker},
    zookeeper,
};

/// No entry asks more often, however short its interval is.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_millis(50);
/// All answers that are read at this moment take no more than this.
const ANSWERS_SIZE_BYTES_MAX: usize = 512 << 20;
/// An attempt that takes longer than this, and than its interval, has failed.
const ASK_DURATION_MAX: Duration = Duration::from_secs(600);
/// However long a service wants to be left alone, it is asked after this, or after the interval.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);
/// A service that is asked too often and does not say when to come back is asked half as often each time,
/// down to one in so many turns.
const THROTTLED_TURNS_MAX: u32 = 8;

/// One entry that is asked.
#[derive(Debug)]
pub(crate) enum Asker {
    Http(Box<HttpAsker>),
    Dns(Box<DnsAsker>),
    Rest(Box<dyn RestAsker>),
}

/// When to ask next. Pure: time is a parameter.
#[derive(Debug)]
struct Turns {
    every: Duration,
    /// How many turns pass before the next attempt.
    count: u32,
}

/// What all mechanisms of this kind share.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    pub(crate) user_agent: &'static str,
    pub(crate) answers: BufferPool,
    pub(crate) http_failures: Counter,
    pub(crate) linode_failures: Counter,
    pub(crate) nomad_failures: Counter,
    pub(crate) consul: ConsulMetrics,
    pub(crate) dns: DnsMetrics,
    pub(crate) kuma: KumaMetrics,
    pub(crate) azure: AzureMetrics,
    pub(crate) env: Env,
    pub(crate) files: Arc<SmallFiles>,
    registry: Registry,
    /// Stands in for all public endpoints.
    #[cfg(test)]
    pub(crate) endpoint: Option<String>,
}

/// Environment variables, which tests replace.
#[derive(Clone)]
pub(crate) struct Env(Arc<Variables>);

type Variables = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Env {
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Self(Arc::new(move |name| {
            variables.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
        }))
    }

    /// The value of a variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }
}

impl Default for Env {
    fn default() -> Self {
        Self(Arc::new(|name| std::env::var(name).ok()))
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
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
            linode_failures: registry.counter(
                "prometheus_sd_linode_failures_total",
                "Number of Linode service discovery refresh failures.",
            ),
            nomad_failures: registry.counter(
                "prometheus_sd_nomad_failures_total",
                "Number of nomad service discovery refresh failures.",
            ),
            consul: ConsulMetrics::new(registry),
            dns: DnsMetrics::new(registry),
            kuma: KumaMetrics::new(registry),
            azure: AzureMetrics::new(registry),
            env: Env::default(),
            files: Arc::default(),
            registry: registry.clone(),
            #[cfg(test)]
            endpoint: None,
        }
    }

    /// Where a provider's API is: at `fixed`, except in tests.
    pub(crate) fn endpoint<'m>(&'m self, fixed: &'m str) -> &'m str {
        #[cfg(test)]
        if let Some(endpoint) = &self.endpoint {
            return endpoint;
        }
        fixed
    }
}

impl Asker {
    /// What asks for an entry, and how often; `None` if its mechanism works in another way.
    pub(crate) fn new(cfg: &DiscoveryConfig, means: &Means) -> Option<(Self, Duration)> {
        let (asker, refresh_interval) = match cfg {
            DiscoveryConfig::Http(cfg) => {
                (Self::Http(Box::new(HttpAsker::new(cfg, means))), cfg.refresh_interval)
            }
            DiscoveryConfig::Dns(cfg) => {
                (Self::Dns(Box::new(DnsAsker::new(cfg, means))), cfg.refresh_interval)
            }
            other => {
                let (asker, refresh_interval) = rest::asker(other, means)?;
                (Self::Rest(asker), refresh_interval)
            }
        };
        Some((asker, refresh_interval.max(REFRESH_INTERVAL_MIN)))
    }

    /// Asks once: all groups there are now.
    ///
    /// # Errors
    /// There is no answer, or none that can be used; what was found before stays.
    pub(crate) async fn ask(&mut self) -> Result<Vec<TargetGroup>, AskError> {
        Ok(match self {
            Self::Http(asker) => asker.ask().await?,
            Self::Dns(asker) => asker.ask().await?,
            Self::Rest(asker) => asker.ask().await?,
        })
    }

    fn has_refresh_metrics(&self) -> bool {
        match self {
            Self::Http(_) | Self::Dns(_) => true,
            Self::Rest(asker) => asker.has_refresh_metrics(),
        }
    }
}

impl Turns {
    fn new(every: Duration) -> Self {
        Self { every, count: 1 }
    }

    /// How long after the beginning of an attempt that ended so the next one begins.
    fn next<T>(&mut self, asked: &Result<T, AskError>) -> Duration {
        self.count = match asked {
            Err(AskError { is_throttled: true, retry_after: None, .. }) => {
                (self.count * 2).min(THROTTLED_TURNS_MAX)
            }
            _ => 1,
        };
        let retry_after = asked.as_ref().err().and_then(|error| error.retry_after);
        let wanted = retry_after.unwrap_or(self.every * self.count);
        wanted.min(RETRY_AFTER_MAX).max(self.every)
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
    let has_metrics = asker.has_refresh_metrics();
    let metrics = has_metrics.then(|| RefreshMetrics::new(&means.registry, discovery, config));
    let stop = delivery.provider.stop.clone();
    let mut turns = Turns::new(every);
    loop {
        let begun_at = Instant::now();
        let began = clock::monotonic();
        let asked = select! {
            biased;
            () = stop.cancelled() => return,
            asked = timeout(ASK_DURATION_MAX.max(every), asker.ask()) => asked.unwrap_or_else(|_| {
                Err(AskError::new("context deadline exceeded"))
            }),
        };
        let next_at = (begun_at + turns.next(&asked)).max(Instant::now());
        let seconds = (clock::monotonic() - began).as_secs_f64();
        if let Some(metrics) = &metrics {
            metrics.duration.observe(seconds);
            metrics.histogram.observe(seconds);
        }
        match asked {
            Ok(groups) => {
                let groups = groups.into_iter().filter(|group| !group.targets.is_empty());
                delivery.deliver(sharing(groups, &delivery.provider.latest().groups));
            }
            Err(err) => {
                if let Some(metrics) = &metrics {
                    metrics.failures.inc();
                }
                tracing::error!(discovery, config, %err, "Unable to refresh target groups");
                delivery.fail();
            }
        }
        select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep_until(next_at) => {}
        }
    }
}

/// What an entry finds at this moment, for tools; nothing goes on afterwards.
///
/// # Errors
/// Why it finds nothing; or nobody is asked, as files are read.
pub async fn discover_once(
    cfg: &DiscoveryConfig,
    user_agent: &'static str,
) -> Result<Vec<TargetGroup>, DiscoveryError> {
    let means = Means::new(user_agent, &Registry::default());
    let asked = match (cfg, Asker::new(cfg, &means)) {
        (DiscoveryConfig::Consul(cfg), _) => consul::discover(cfg, &means).await,
        (DiscoveryConfig::Kubernetes(cfg), _) => {
            kubernetes::discover(cfg, &means).await.map_err(AskError::new)
        }
        (DiscoveryConfig::Serverset(_) | DiscoveryConfig::Nerve(_), _) => {
            zookeeper::discover(cfg).await.map_err(AskError::new)
        }
        (_, Some((mut asker, _))) => asker.ask().await,
        (_, None) => Err(AskError::new(format!("{} ask nobody", cfg.key()))),
    };
    asked.map_err(|error| DiscoveryError::NoAnswer { reason: error.message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_is_asked_too_often_is_left_alone_for_a_while() {
        let minute = Duration::from_secs(60);
        let throttled = |retry_after: Option<u64>| {
            let mut error = AskError::new("429");
            error.is_throttled = true;
            error.retry_after = retry_after.map(Duration::from_secs);
            Err::<(), _>(error)
        };
        let mut turns = Turns::new(minute);
        for (asked, seconds) in [
            (Ok(()), 60),
            (Err(AskError::new("x")), 60),
            (throttled(Some(90)), 90),
            (throttled(Some(1)), 60),
            (throttled(Some(u64::MAX)), 600),
            (throttled(None), 120),
            (throttled(None), 240),
            (throttled(None), 480),
            (throttled(None), 480),
            (Ok(()), 60),
            (throttled(None), 120),
        ] {
            assert_eq!(turns.next(&asked).as_secs(), seconds, "{asked:?}");
        }
        let hour = Duration::from_secs(3600);
        assert_eq!(Turns::new(hour).next(&throttled(Some(1))), hour);
    }
}
