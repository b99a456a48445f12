//! The targets page: pools, filters, and the targets that pass them, a page at a time.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use prom_model::format_duration;
use prom_promql::CancelToken;
use prom_scrape::{PoolView, TargetHealth, TargetView};
use prom_telemetry::clock;

use super::{
    layout::{Page, html},
    series_text::labels_html,
    times::{ago_text, span_text},
};
use crate::{
    api::{form::Form, targets::global_url},
    context::WebContext,
};

/// Targets on one page.
const ROWS_PER_PAGE: usize = 250;
/// The summary of pools is left out above this: the list to choose from has them all.
const POOLS_SHOWN_MAX: usize = 40;

#[derive(Template)]
#[template(path = "targets.html")]
struct TargetsPage {
    page: Page,
    filter: Filter,
    healths: [(&'static str, &'static str); 4],
    pools: Vec<PoolView>,
    show_pools: bool,
    up_count: usize,
    active_count: usize,
    matched_count: usize,
    page_number: usize,
    page_count: usize,
    previous_link: Option<String>,
    next_link: Option<String>,
    rows: Vec<Group>,
}

/// Targets of one pool.
struct Group {
    pool: Arc<str>,
    targets: Vec<Row>,
}

struct Row {
    url: String,
    link: String,
    class: &'static str,
    health: &'static str,
    labels: String,
    error: String,
    last_scrape: String,
    duration: String,
    interval: String,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
struct Filter {
    pool: String,
    /// `up`, `down`, `unknown`, or empty.
    health: String,
    search: String,
}

pub(super) async fn page(State(ctx): State<Arc<WebContext>>, form: Form) -> Response {
    let filter = Filter {
        pool: form.value("pool").to_owned(),
        health: form.value("health").to_owned(),
        search: form.value("search").trim().to_owned(),
    };
    let number = form.value("page").parse().unwrap_or(1);
    let shared = Arc::clone(&ctx);
    let make = move || html(&targets_page(&shared, filter, number));
    ctx.pool.run(CancelToken::default(), make).await.unwrap_or_else(IntoResponse::into_response)
}

fn targets_page(ctx: &WebContext, filter: Filter, number: usize) -> TargetsPage {
    let pools = ctx.parts.targets.pools();
    let mut targets = ctx.parts.targets.active();
    let active_count = targets.len();
    let up_count = targets.iter().filter(|target| target.health == TargetHealth::Up).count();
    let needle = filter.search.to_lowercase();
    targets.retain(|target| filter.passes(target, &needle));

    let page_count = targets.len().div_ceil(ROWS_PER_PAGE).max(1);
    let page_number = number.clamp(1, page_count);
    let link = |number: usize| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in
            [("pool", &filter.pool), ("health", &filter.health), ("search", &filter.search)]
        {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("page", &number.to_string());
        format!("{}/targets?{}", ctx.link_prefix, query.finish())
    };
    let now_ms = clock::now_ms();
    let mut rows: Vec<Group> = Vec::new();
    for target in targets.iter().skip((page_number - 1) * ROWS_PER_PAGE).take(ROWS_PER_PAGE) {
        if rows.last().is_none_or(|group| group.pool != target.scrape_pool) {
            rows.push(Group { pool: Arc::clone(&target.scrape_pool), targets: Vec::new() });
        }
        if let Some(group) = rows.last_mut() {
            group.targets.push(row(ctx, target, now_ms));
        }
    }
    TargetsPage {
        page: Page::new(ctx, "Targets", "/targets"),
        healths: [("", "Any state"), ("up", "Up"), ("down", "Down"), ("unknown", "Unknown")],
        show_pools: filter.pool.is_empty() && (2..=POOLS_SHOWN_MAX).contains(&pools.len()),
        pools,
        up_count,
        active_count,
        matched_count: targets.len(),
        page_number,
        page_count,
        previous_link: (page_number > 1).then(|| link(page_number - 1)),
        next_link: (page_number < page_count).then(|| link(page_number + 1)),
        rows,
        filter,
    }
}

fn row(ctx: &WebContext, target: &TargetView, now_ms: i64) -> Row {
    let never = || "never".to_owned();
    Row {
        url: target.scrape_url.clone(),
        link: global_url(&target.scrape_url, ctx),
        class: match target.health {
            TargetHealth::Up => "good",
            TargetHealth::Down => "bad",
            TargetHealth::Unknown => "warn",
        },
        health: target.health.as_str(),
        labels: labels_html(&target.labels),
        error: target.last_error.clone(),
        last_scrape: target.last_scrape_ms.map_or_else(never, |at_ms| ago_text(at_ms, now_ms)),
        duration: span_text(target.last_scrape_duration),
        interval: format_duration(target.scrape_interval.as_millis() as i64),
    }
}

impl Filter {
    fn passes(&self, target: &TargetView, needle: &str) -> bool {
        let is_of_pool = self.pool.is_empty() || *self.pool == *target.scrape_pool;
        let is_of_health = self.health.is_empty() || self.health == target.health.as_str();
        let has_text = |text: &str| text.to_lowercase().contains(needle);
        let is_found = || {
            needle.is_empty()
                || has_text(&target.scrape_url)
                || has_text(&target.last_error)
                || target.labels.iter().any(|(name, value)| has_text(&format!("{name}={value}")))
        };
        is_of_pool && is_of_health && is_found()
    }
}
