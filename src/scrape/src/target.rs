//! From a discovered address to a target: labels, relabelling, URL, identity.
//! Compat: Prometheus `scrape/target.go`. What becomes of the target later is not here.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use prom_config::ScrapeConfig;
use prom_model::{Labels, LabelsBuilder, format_duration, parse_duration, quote_go, relabel};

use crate::{rules::HistogramRules, url::format_url};

const ADDRESS: &str = "__address__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const METRICS_PATH: &str = "__metrics_path__";
const SCHEME: &str = "__scheme__";
const UNIX_SOCKET: &str = "__unix_socket__";
const SCRAPE_NATIVE: &str = "__scrape_native_histograms__";
const KEEP_CLASSIC: &str = "__always_scrape_classic_histograms__";
const CONVERT_CLASSIC: &str = "__convert_classic_histograms_to_nhcb__";
const PARAM_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";
const RESERVED_PREFIX: &str = "__";
const INSTANCE: &str = "instance";
const JOB: &str = "job";

/// Offsets are multiples of this, or of a smaller part of a short interval. Of a thousand targets every five
/// seconds five meet, of twenty thousand every fifteen seconds 33.
const GRID: Duration = Duration::from_millis(25);
const GRID_PER_INTERVAL_MIN: u32 = 100;

/// A target as configuration and discovery describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetSpec {
    /// Identity within a pool: equal labels and URL, whatever the rhythm is.
    pub(crate) key: u64,
    /// Where in its interval it is scraped. Compat: `Target.hash`.
    pub(crate) hash: u64,
    /// Before relabelling.
    pub(crate) discovered: Labels,
    /// What its series get.
    pub(crate) labels: Labels,
    pub(crate) url: String,
    /// A unix socket that is dialed in place of the URL's host.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) histograms: HistogramRules,
}

/// What relabelling makes of a discovered target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relabelled {
    Kept(TargetSpec),
    /// With its labels before relabelling.
    Dropped(Labels),
}

/// A target that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetRefused {
    #[error("no address")]
    NoAddress,
    #[error("{} is not a valid hostname", quote_go(.0))]
    InvalidAddress(String),
    #[error("error parsing scrape {what}: {reason}")]
    InvalidDuration { what: &'static str, reason: String },
    #[error("error parsing {what}: strconv.ParseBool: parsing {}: invalid syntax", quote_go(.text))]
    InvalidBool { what: &'static str, text: String },
    #[error("scrape {0} cannot be 0")]
    ZeroDuration(&'static str),
    #[error(
        "scrape timeout cannot be greater than scrape interval ({} > {})",
        quote_go(.timeout),
        quote_go(.interval)
    )]
    LongTimeout { timeout: String, interval: String },
}

/// Applies the rules of `cfg` to one target of a group with the labels `group`.
///
/// # Errors
/// What is left cannot be scraped.
pub(crate) fn relabel_target(
    cfg: &ScrapeConfig,
    target: &Labels,
    group: &Labels,
) -> Result<Relabelled, TargetRefused> {
    let mut labels = LabelsBuilder::from_labels(&discovered_labels(cfg, target, group));
    let discovered = labels.labels();
    if !relabel(&cfg.relabel_configs, &mut labels) {
        return Ok(Relabelled::Dropped(discovered));
    }
    let address = labels.get(ADDRESS).to_owned();
    if address.is_empty() {
        return Err(TargetRefused::NoAddress);
    }
    if address.contains('/') {
        return Err(TargetRefused::InvalidAddress(address));
    }
    let interval = duration(labels.get(INTERVAL), "interval")?;
    let timeout = duration(labels.get(TIMEOUT), "timeout")?;
    if timeout > interval {
        let (timeout, interval) = (labels.get(TIMEOUT).to_owned(), labels.get(INTERVAL).to_owned());
        return Err(TargetRefused::LongTimeout { timeout, interval });
    }
    let histograms = histogram_rules(cfg, &labels)?;
    if labels.get(INSTANCE).is_empty() {
        labels.set(INSTANCE, &address);
    }
    let all = labels.labels();
    let without = |prefix: &str| {
        let kept = all.iter().filter(|(name, _)| !name.starts_with(prefix));
        Labels::from_sorted(kept)
    };
    let public = without(RESERVED_PREFIX);
    if public.is_empty() {
        return Ok(Relabelled::Dropped(discovered));
    }
    let url = target_url(cfg, &all);
    let socket = all.get(UNIX_SOCKET).filter(|path| !path.is_empty()).map(PathBuf::from);
    let hashed = without(META_PREFIX);
    let hash = identity(&hashed, &url);
    let key = identity(&hashed.without(&[INTERVAL, TIMEOUT]), &url);
    let labels = public;
    Ok(Relabelled::Kept(TargetSpec {
        key,
        hash,
        discovered,
        labels,
        url,
        socket,
        interval,
        timeout,
        histograms,
    }))
}

/// How far into its interval a target is scraped: spread by identity, and by `seed` between servers; as in
/// `Target.offset` of the original, but on a grid. Of many targets some are due at one moment then, so that
/// one wake of the process asks them all and a second one finds their answers there.
pub(crate) fn offset(hash: u64, seed: u64, interval: Duration) -> Duration {
    let grid_ns = nanos(GRID.min(interval / GRID_PER_INTERVAL_MIN)).max(1);
    let offset_ns = (hash ^ seed) % nanos(interval);
    Duration::from_nanos(offset_ns - offset_ns % grid_ns)
}

/// How long it is from `now` (since the epoch) to the first moment that is `offset` into an interval.
pub(crate) fn delay_to_offset(now: Duration, offset: Duration, interval: Duration) -> Duration {
    let interval_ns = nanos(interval);
    let since_start_ns = (now.as_nanos() % u128::from(interval_ns)) as u64;
    Duration::from_nanos((interval_ns - since_start_ns + nanos(offset)) % interval_ns)
}

/// What sets this server apart from others with the same targets. Compat: `Manager.setOffsetSeed`.
pub(crate) fn offset_seed(host_name: &str, external_labels: &Labels) -> u64 {
    fnv1a(&format!("{host_name}{external_labels}"))
}

pub(crate) fn discovered_labels(cfg: &ScrapeConfig, target: &Labels, group: &Labels) -> Labels {
    let mut labels = LabelsBuilder::from_labels(target);
    let mut set_absent = |name: &str, value: &str| {
        if labels.get(name).is_empty() {
            labels.set(name, value);
        }
    };
    for (name, value) in group {
        set_absent(name, value);
    }
    set_absent(JOB, &cfg.job_name);
    set_absent(INTERVAL, &format_duration(cfg.scrape_interval.as_millis() as i64));
    set_absent(TIMEOUT, &format_duration(cfg.scrape_timeout.as_millis() as i64));
    set_absent(METRICS_PATH, &cfg.metrics_path);
    set_absent(SCHEME, &cfg.scheme);
    set_absent(CONVERT_CLASSIC, bool_text(cfg.convert_classic_histograms_to_nhcb));
    set_absent(KEEP_CLASSIC, bool_text(cfg.always_scrape_classic_histograms));
    set_absent(SCRAPE_NATIVE, bool_text(cfg.scrape_native_histograms));
    for (name, values) in &cfg.params {
        if let Some(first) = values.first() {
            set_absent(&format!("{PARAM_PREFIX}{name}"), first);
        }
    }
    labels.build()
}

fn duration(text: &str, what: &'static str) -> Result<Duration, TargetRefused> {
    let ms = parse_duration(text)
        .map_err(|error| TargetRefused::InvalidDuration { what, reason: error.to_string() })?;
    match u64::try_from(ms) {
        Ok(ms) if ms > 0 => Ok(Duration::from_millis(ms)),
        _ => Err(TargetRefused::ZeroDuration(what)),
    }
}

/// What the job says of histograms, or else the labels of this one target.
fn histogram_rules(
    cfg: &ScrapeConfig,
    labels: &LabelsBuilder,
) -> Result<HistogramRules, TargetRefused> {
    Ok(HistogramRules {
        converts_classic: switch(
            labels.get(CONVERT_CLASSIC),
            cfg.convert_classic_histograms_to_nhcb,
            "convert classic histograms to nhcb",
        )?,
        keeps_classic: switch(
            labels.get(KEEP_CLASSIC),
            cfg.always_scrape_classic_histograms,
            "always scrape classic histograms",
        )?,
        scrapes_native: switch(
            labels.get(SCRAPE_NATIVE),
            cfg.scrape_native_histograms,
            "scrape native histograms",
        )?,
        ..HistogramRules::new(cfg)
    })
}

/// What a label decides, or the configuration where relabelling took the label away.
/// Compat: Go `strconv.ParseBool`.
fn switch(text: &str, default: bool, what: &'static str) -> Result<bool, TargetRefused> {
    match text {
        "" => Ok(default),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(TargetRefused::InvalidBool { what, text: text.to_owned() }),
    }
}

fn bool_text(is_set: bool) -> &'static str {
    if is_set { "true" } else { "false" }
}

/// Compat: `Target.URL`.
fn target_url(cfg: &ScrapeConfig, labels: &Labels) -> String {
    let mut params: BTreeMap<String, Vec<String>> = cfg.params.iter().cloned().collect();
    for (name, value) in labels {
        let Some(name) = name.strip_prefix(PARAM_PREFIX) else { continue };
        let values = params.entry(name.to_owned()).or_default();
        match values.first_mut() {
            Some(first) => value.clone_into(first),
            None => values.push(value.to_owned()),
        }
    }
    let get = |name| labels.get(name).unwrap_or_default();
    format_url(get(SCHEME), get(ADDRESS), get(METRICS_PATH), &params)
}

fn identity(labels: &Labels, url: &str) -> u64 {
    fnv1a(&format!("{:016}{url}", labels.hash64()))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// The 64-bit hash that Prometheus spreads targets by.
fn fnv1a(text: &str) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    text.bytes().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests;
