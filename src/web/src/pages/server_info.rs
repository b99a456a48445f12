//! Pages that show what the server is and how it was set up: flags, status, TSDB.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use prom_promql::CancelToken;
use prom_telemetry::clock;
use prom_tsdb::{HeadStats, StatEntry};

use super::{
    layout::{Page, html},
    scale::utc_text,
    times::moment_text,
};
use crate::{
    api::{form::Form, status::RuntimeInfo},
    context::WebContext,
};

/// Entries of each list of the TSDB page.
const TSDB_LIST_COUNT: usize = 10;

#[derive(Template)]
#[template(path = "flags.html")]
struct FlagsPage<'a> {
    page: Page,
    search: String,
    rows: Vec<(&'a str, &'a str)>,
}

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    page: Page,
    tables: Vec<FactTable>,
}

struct FactTable {
    heading: &'static str,
    rows: Vec<(&'static str, String)>,
}

#[derive(Template)]
#[template(path = "tsdb.html")]
struct TsdbPage {
    page: Page,
    head: Vec<(&'static str, String)>,
    tables: Vec<RankTable>,
}

struct RankTable {
    heading: &'static str,
    subject: &'static str,
    measure: &'static str,
    rows: Vec<(String, u64)>,
}

pub(super) async fn flags(State(ctx): State<Arc<WebContext>>, form: Form) -> Response {
    let search = form.value("search").trim().to_owned();
    let needle = search.to_lowercase();
    let is_found = |text: &str| text.to_lowercase().contains(&needle);
    let flags = ctx.parts.flags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let rows = flags.filter(|(name, value)| is_found(name) || is_found(value)).collect();
    html(&FlagsPage { page: Page::new(&ctx, "Flags", "/flags"), search, rows })
}

pub(super) async fn status(State(ctx): State<Arc<WebContext>>) -> Response {
    let (info, build, now_ms) = (RuntimeInfo::now(&ctx), &ctx.parts.build, clock::now_ms());
    let reload = match info.reload_config_success {
        true => "successful",
        false => "rejected or undone; the configuration page says why",
    };
    let runtime = FactTable {
        heading: "Runtime",
        rows: vec![
            ("Started", moment_text(ctx.started_ms, now_ms)),
            ("Server time", info.server_time),
            ("Host", info.host_name),
            ("Working directory", info.working_dir),
            ("Previous stop", ctx.parts.previous_stop.to_owned()),
            ("Latest reload", reload.to_owned()),
            ("Configuration accepted", info.last_config_time),
            ("WAL corruptions", info.corruption_count.to_string()),
            ("Tasks", info.goroutine_count.to_string()),
            ("Processor threads", info.threads_count.to_string()),
            ("Storage retention", info.storage_retention),
            ("Rules", rule_facts(&ctx)),
        ],
    };
    let build = FactTable {
        heading: "Build",
        rows: vec![
            ("Version", build.version.clone()),
            ("Revision", build.revision.clone()),
            ("Branch", build.branch.clone()),
            ("Built by", build.build_user.clone()),
            ("Built on", build.build_date.clone()),
            ("Compiler", build.go_version.clone()),
        ],
    };
    html(&StatusPage { page: Page::new(&ctx, "Status", "/status"), tables: vec![runtime, build] })
}

pub(super) async fn tsdb(State(ctx): State<Arc<WebContext>>) -> Response {
    let count = Arc::clone(&ctx.parts.tsdb_stats);
    let stats = match ctx.pool.run(CancelToken::default(), move || count(TSDB_LIST_COUNT)).await {
        Ok(stats) => stats,
        Err(error) => return error.into_response(),
    };
    let table = |heading, subject, measure, entries: Vec<StatEntry>| RankTable {
        heading,
        subject,
        measure,
        rows: entries.into_iter().map(|entry| (entry.name, entry.value)).collect(),
    };
    let mut tables = vec![
        table(
            "Metrics with the most series",
            "Metric",
            "Series",
            stats.series_count_by_metric_name,
        ),
        table(
            "Labels with the most values",
            "Label",
            "Values",
            stats.label_value_count_by_label_name,
        ),
        table(
            "Labels that take the most memory",
            "Label",
            "Bytes",
            stats.memory_in_bytes_by_label_name,
        ),
        table(
            "Label pairs with the most series",
            "Pair",
            "Series",
            stats.series_count_by_label_value_pair,
        ),
    ];
    if !stats.series_refused_by_limit.is_empty() {
        let refused = stats.series_refused_by_limit;
        tables.push(table("New series refused", "Limit", "Refused", refused));
    }
    let head = head_facts(&stats.head);
    html(&TsdbPage { page: Page::new(&ctx, "TSDB", "/tsdb-status"), head, tables })
}

/// A server without evaluation of rules says so.
fn rule_facts(ctx: &WebContext) -> String {
    let count = ctx.parts.config.load().rule_count();
    let is_off = ctx.parts.flags.get("rules.evaluation").is_some_and(|value| value == "off");
    match (count, is_off) {
        (0, _) => "none".to_owned(),
        (count, false) => count.to_string(),
        (count, true) => format!("{count} loaded, none evaluated (--rules.evaluation=off)"),
    }
}

fn head_facts(head: &HeadStats) -> Vec<(&'static str, String)> {
    let is_empty = head.min_time_ms > head.max_time_ms;
    let time = |ms: i64| match is_empty {
        true => "no samples yet".to_owned(),
        false => format!("{} ({ms})", utc_text(ms, "%Y-%m-%d %H:%M:%S UTC")),
    };
    vec![
        ("Series", head.series_count.to_string()),
        ("Chunks", head.chunks_count.to_string()),
        ("Label pairs", head.label_pairs_count.to_string()),
        ("Oldest sample", time(head.min_time_ms)),
        ("Newest sample", time(head.max_time_ms)),
    ]
}
