//! The lifecycle page: where the server is, how it came there, and where it may go.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State as Shared,
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use prom_lifecycle::{HeartView, LifecycleView, ReloadCause, ReloadView, reload};
use prom_telemetry::clock;

use super::{
    layout::{Page, html, html_with_status},
    machine::{Progress, draw},
    scale::utc_text,
    times::{lasted_text, limit_text, moment_text},
};
use crate::context::WebContext;

#[derive(Template)]
#[template(path = "lifecycle.html")]
struct LifecyclePage {
    page: Page,
    since: String,
    reason: String,
    machine: String,
    /// Event and reason.
    conditions: Vec<(String, String)>,
    /// Event, state, meaning.
    ways: Vec<(String, String, &'static str)>,
    reload: ReloadFacts,
    hearts: Vec<HeartRow>,
    history: Vec<PassageRow>,
    can_reload: bool,
}

/// The latest reload in words, for this page and the one of the configuration.
pub(super) struct ReloadFacts {
    pub(super) is_rejected: bool,
    /// The server itself has gone back to the configuration before.
    pub(super) is_undone: bool,
    pub(super) class: &'static str,
    pub(super) state: String,
    pub(super) cause: String,
    pub(super) ended: String,
    pub(super) lasted: String,
    pub(super) accepted: String,
    pub(super) outcome: String,
}

struct HeartRow {
    name: String,
    state: &'static str,
    class: &'static str,
    silence: String,
    deadline: String,
}

struct PassageRow {
    time: String,
    from: String,
    event: String,
    to: String,
    lasted: String,
    reason: String,
}

#[derive(Template)]
#[template(path = "message.html")]
pub(super) struct MessagePage {
    pub(super) page: Page,
    pub(super) heading: String,
    pub(super) text: String,
}

pub(super) async fn page(Shared(ctx): Shared<Arc<WebContext>>) -> Response {
    let view = ctx.parts.lifecycle.view();
    let page = Page::new(&ctx, "Lifecycle", "/lifecycle");
    html(&lifecycle_page(page, &view, ctx.can_reload(), clock::now_ms()))
}

/// Asks for a reload and shows the page it was asked from. I4: the router refuses other sites.
pub(super) async fn reload_from(ctx: &WebContext, path: &'static str) -> Response {
    if !ctx.can_reload() {
        let page = Page::new(ctx, "Reload", path);
        let text = "Start the server with --web.enable-lifecycle to reload from this page, or use systemctl reload.";
        let heading = "Reloading from pages is switched off".to_owned();
        return html_with_status(
            StatusCode::FORBIDDEN,
            &MessagePage { page, heading, text: text.to_owned() },
        );
    }
    // The page shows the outcome, good or bad.
    drop(ctx.parts.lifecycle.request_reload(ReloadCause::Request).await);
    Redirect::to(&format!("{}{path}", ctx.link_prefix)).into_response()
}

pub(super) async fn reload(Shared(ctx): Shared<Arc<WebContext>>) -> Response {
    reload_from(&ctx, "/lifecycle").await
}

impl WebContext {
    /// Whether a page may ask for a reload.
    pub(super) fn can_reload(&self) -> bool {
        self.parts.lifecycle.is_lifecycle_enabled()
    }
}

fn lifecycle_page(
    page: Page,
    view: &LifecycleView,
    can_reload: bool,
    now_ms: i64,
) -> LifecyclePage {
    let current = view.current.to_string();
    let taken: Vec<(String, String)> = view
        .history
        .iter()
        .map(|passage| (passage.from.to_string(), passage.to.to_string()))
        .collect();
    let class = super::layout::state_class(view.current);
    let ways = view.machine.transitions.iter().filter(|transition| transition.from == current);
    LifecyclePage {
        since: lasted_text(now_ms.saturating_sub(view.since_ms).unsigned_abs()),
        reason: view.reason.clone(),
        machine: draw(&view.machine, &Progress { current: &current, class, taken: &taken }),
        conditions: view
            .conditions
            .iter()
            .map(|condition| (condition.event.to_string(), condition.reason.clone()))
            .collect(),
        ways: ways.map(|way| (way.event.clone(), way.to.clone(), way.doc)).collect(),
        reload: ReloadFacts::new(&view.reload, now_ms),
        hearts: view.hearts.iter().map(HeartRow::new).collect(),
        history: view
            .history
            .iter()
            .rev()
            .map(|passage| PassageRow {
                time: utc_text(passage.at_ms, "%Y-%m-%d %H:%M:%S%.3f"),
                from: passage.from.to_string(),
                event: passage.event.to_string(),
                to: passage.to.to_string(),
                lasted: lasted_text(passage.lasted_ms),
                reason: passage.reason.clone(),
            })
            .collect(),
        can_reload,
        page,
    }
}

impl ReloadFacts {
    pub(super) fn new(view: &ReloadView, now_ms: i64) -> Self {
        let moment = |at_ms: Option<i64>| at_ms.map(|at_ms| moment_text(at_ms, now_ms));
        let class = match view.current {
            reload::State::Rejected => "bad",
            reload::State::Idle | reload::State::Committed => "good",
            _ => "warn",
        };
        Self {
            is_rejected: view.current == reload::State::Rejected,
            is_undone: view.current == reload::State::Reverted && !view.is_successful,
            class,
            state: view.current.to_string(),
            cause: view.cause.clone(),
            ended: moment(view.ended_ms).unwrap_or_else(|| "not yet".to_owned()),
            lasted: lasted_text(view.lasted_ms),
            accepted: moment(view.accepted_ms).unwrap_or_else(|| "the start".to_owned()),
            outcome: view.outcome.clone(),
        }
    }
}

impl HeartRow {
    fn new(heart: &HeartView) -> Self {
        let (state, class) = match (heart.is_silent, heart.is_suspended) {
            (true, _) => ("silent", "bad"),
            (false, true) => ("waiting", "soft"),
            (false, false) => ("beating", "good"),
        };
        Self {
            name: heart.name.clone(),
            state,
            class,
            silence: lasted_text(heart.silence_ms),
            deadline: limit_text(heart.deadline_ms),
        }
    }
}
