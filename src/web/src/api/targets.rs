//! `/targets`, `/scrape_pools` and the metadata that targets tell about their metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::Arc,
};

use axum::{extract::State, response::Response};
use prom_model::{Labels, Matcher, format_duration, push_float};
use prom_promql::{CancelToken, parse_metric_selector};
use prom_scrape::{DroppedTargetView, PoolView, TargetView};
use url::Url;

use super::{form::Form, params::parse_integer, status::rfc3339, success};
use crate::{context::WebContext, error::ApiError, json};

/// Hosts that mean this machine. Compat: Prometheus `web/api/v1/api.go`, `LocalhostRepresentations`.
const LOCAL_HOSTS: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

pub(super) async fn targets(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    let state = form.value("state").to_lowercase();
    let wants = |which: &str| matches!(state.as_str(), "" | "any") || state == which;
    let (wants_active, wants_dropped) = (wants("active"), wants("dropped"));
    let pool = form.value("scrapePool").to_owned();
    let shared = Arc::clone(&ctx);
    let write = move || {
        let source = &shared.parts.targets;
        let is_of_pool = |name: &str| pool.is_empty() || pool == name;
        let active: Vec<TargetView> = match wants_active {
            true => source.active().into_iter().filter(|t| is_of_pool(&t.scrape_pool)).collect(),
            false => Vec::new(),
        };
        let (dropped, counts) = match wants_dropped {
            true => (source.dropped(), Some(source.pools())),
            false => (Vec::new(), None),
        };
        let mut body = Vec::new();
        body.extend_from_slice(b"{\"activeTargets\":");
        json::push_list(&mut body, &active, |out, target| push_target(out, target, &shared));
        body.extend_from_slice(b",\"droppedTargets\":");
        let dropped = dropped.iter().filter(|target| is_of_pool(&target.scrape_pool));
        json::push_list(&mut body, dropped, push_dropped);
        body.extend_from_slice(b",\"droppedTargetCounts\":");
        push_dropped_counts(&mut body, counts.as_deref(), is_of_pool);
        body.push(b'}');
        body
    };
    let data = ctx.pool.run(CancelToken::default(), write).await?;
    Ok(success(|out| out.extend_from_slice(&data)))
}

pub(super) async fn scrape_pools(State(ctx): State<Arc<WebContext>>) -> Response {
    let pools = ctx.parts.targets.pools();
    success(|out| {
        out.extend_from_slice(b"{\"scrapePools\":");
        json::push_list(out, &pools, |out, pool| json::push_html_string(out, &pool.name));
        out.push(b'}');
    })
}

/// Kind, unit and help of a metric family; sorted as they are written.
type Description = (&'static str, Box<str>, Box<str>);

pub(super) async fn metadata(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    let families_max = count_or_all(&form, "limit")?;
    // Compat: here 0 means all, there it means none.
    let per_family_max = Some(count_or_all(&form, "limit_per_metric")?).filter(|max| *max > 0);
    let per_family_max = per_family_max.unwrap_or(usize::MAX);
    let metric = form.value("metric").to_owned();
    let shared = Arc::clone(&ctx);
    let collect = move || {
        let mut families: BTreeMap<Box<str>, BTreeSet<Description>> = BTreeMap::new();
        shared.parts.targets.visit_metadata(&mut |_, found| {
            if metric.is_empty() || *found.family == *metric {
                let known = families.entry(found.family.clone()).or_default();
                if known.len() < per_family_max {
                    known.insert((found.kind, found.unit.clone(), found.help.clone()));
                }
            }
            ControlFlow::Continue(())
        });
        families
    };
    let families = ctx.pool.run(CancelToken::default(), collect).await?;
    Ok(success(|out| {
        out.push(b'{');
        for (index, (family, descriptions)) in families.iter().take(families_max).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            json::push_html_string(out, family);
            out.push(b':');
            json::push_list(out, descriptions, |out, (kind, unit, help)| {
                out.push(b'{');
                push_field(out, "type", kind);
                out.push(b',');
                push_field(out, "unit", unit);
                out.push(b',');
                push_field(out, "help", help);
                out.push(b'}');
            });
        }
        out.push(b'}');
    }))
}

pub(super) async fn metadata_of_targets(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    let entries_max = count_or_all(&form, "limit")?;
    let matchers = match form.value("match_target") {
        "" => Vec::new(),
        text => parse_metric_selector(text)
            .map_err(|errors| ApiError::parameter("match_target", errors))?,
    };
    let metric = form.value("metric").to_owned();
    let shared = Arc::clone(&ctx);
    let write = move || {
        let mut body = vec![b'['];
        let (mut count, mut current) = (0, None);
        shared.parts.targets.visit_metadata(&mut |labels, found| {
            // Compat: the limit is looked at between targets only.
            if current.as_ref() != Some(labels) {
                if count >= entries_max {
                    return ControlFlow::Break(());
                }
                current = Some(labels.clone());
            }
            let is_wanted = metric.is_empty() || *found.family == *metric;
            if is_wanted && satisfies(labels, &matchers) {
                if count > 0 {
                    body.push(b',');
                }
                count += 1;
                body.extend_from_slice(b"{\"target\":");
                json::push_labels(&mut body, labels);
                body.push(b',');
                if metric.is_empty() {
                    push_field(&mut body, "metric", &found.family);
                    body.push(b',');
                }
                push_field(&mut body, "type", found.kind);
                body.push(b',');
                push_field(&mut body, "help", &found.help);
                body.push(b',');
                push_field(&mut body, "unit", &found.unit);
                body.push(b'}');
            }
            ControlFlow::Continue(())
        });
        body.push(b']');
        body
    };
    let data = ctx.pool.run(CancelToken::default(), write).await?;
    Ok(success(|out| out.extend_from_slice(&data)))
}

/// A limit that is a number; all if there is none or it is negative.
fn count_or_all(form: &Form, name: &str) -> Result<usize, ApiError> {
    match form.value(name) {
        "" => Ok(usize::MAX),
        text => match parse_integer(text) {
            Ok(count) => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
            Err(_) => Err(ApiError::bad_data(format!("{name} must be a number"))),
        },
    }
}

fn satisfies(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or_default()))
}

fn push_target(out: &mut Vec<u8>, target: &TargetView, ctx: &WebContext) {
    let milliseconds = |duration: std::time::Duration| duration.as_millis() as i64;
    out.extend_from_slice(b"{\"discoveredLabels\":");
    json::push_labels(out, &target.discovered_labels);
    out.extend_from_slice(b",\"labels\":");
    json::push_labels(out, &target.labels);
    let global_url = global_url(&target.scrape_url, ctx);
    for (name, value) in [
        ("scrapePool", &*target.scrape_pool),
        ("scrapeUrl", &target.scrape_url),
        ("globalUrl", &global_url),
        ("lastError", &target.last_error),
        ("lastScrape", &target.last_scrape_ms.map_or_else(|| rfc3339(i64::MIN), rfc3339)),
    ] {
        out.push(b',');
        push_field(out, name, value);
    }
    out.extend_from_slice(b",\"lastScrapeDuration\":");
    push_float(out, target.last_scrape_duration.as_secs_f64());
    for (name, value) in [
        ("health", target.health.as_str()),
        ("scrapeInterval", &format_duration(milliseconds(target.scrape_interval))),
        ("scrapeTimeout", &format_duration(milliseconds(target.scrape_timeout))),
    ] {
        out.push(b',');
        push_field(out, name, value);
    }
    out.push(b'}');
}

fn push_dropped(out: &mut Vec<u8>, target: &DroppedTargetView) {
    out.extend_from_slice(b"{\"discoveredLabels\":");
    json::push_labels(out, &target.discovered_labels);
    out.push(b',');
    push_field(out, "scrapePool", &target.scrape_pool);
    out.push(b'}');
}

fn push_dropped_counts(
    out: &mut Vec<u8>,
    pools: Option<&[PoolView]>,
    is_wanted: impl Fn(&str) -> bool,
) {
    let Some(pools) = pools else {
        out.extend_from_slice(b"null");
        return;
    };
    out.push(b'{');
    for (index, pool) in pools.iter().filter(|pool| is_wanted(&pool.name)).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::push_html_string(out, &pool.name);
        out.push(b':');
        json::push_integer(out, pool.dropped_count as u64);
    }
    out.push(b'}');
}

pub(super) fn push_field(out: &mut Vec<u8>, name: &str, value: &str) {
    json::push_string(out, name);
    out.push(b':');
    json::push_html_string(out, value);
}

/// The address of a target as others reach it: one on this machine gets our external name.
/// Compat: Prometheus `web/api/v1/api.go`, `getGlobalURL`.
pub(crate) fn global_url(scrape_url: &str, ctx: &WebContext) -> String {
    let external = &ctx.options.external_url;
    let Ok(mut url) = Url::parse(scrape_url) else { return scrape_url.to_owned() };
    let is_local = url.host_str().is_some_and(|host| LOCAL_HOSTS.contains(&host));
    if !is_local {
        return scrape_url.to_owned();
    }
    let own_port =
        ctx.options.listen_addresses.first().and_then(|a| a.rsplit_once(':')?.1.parse().ok());
    let is_own = own_port.is_some() && url.port_or_known_default() == own_port;
    let set = url.set_host(external.host_str()).and_then(|()| {
        let port = if is_own { external.port_or_known_default() } else { url.port() };
        // A scheme that cannot be set leaves the address as it is.
        let scheme = if is_own { external.scheme().to_owned() } else { url.scheme().to_owned() };
        let is_set = url.set_scheme(&scheme).and_then(|()| url.set_port(port));
        is_set.map_err(|()| url::ParseError::EmptyHost)
    });
    set.map_or_else(|_| scrape_url.to_owned(), |()| url.to_string())
}
