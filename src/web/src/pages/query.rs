//! The query page, sent piece by piece: the form at once, then each panel's answer as it comes.

use std::{sync::Arc, time::Instant};

use askama::Template;
use axum::{extract::State, response::Response};
use futures_util::{StreamExt, stream};
use http::HeaderMap;
use prom_promql::{CancelToken, QueryClass, QueryOrigin, QueryParams};
use prom_storage::{LabelHints, StorageError, TimeRange};
use prom_telemetry::clock;

use super::{
    answer::{Question, answer},
    layout::Page,
    panel::{PANELS_MAX, PanelState, RANGES, read_panels, write_panels},
    stream::{Piece, respond},
};
use crate::{api::form::Form, context::WebContext, origin::Origin};

/// Parts made at the same time: three or four answers.
const PARTS_AT_ONCE: usize = 8;
/// Metric names offered for completion: enough for a server of one team, small enough for any page.
const COMPLETIONS_MAX: usize = 2_000;
/// Completion offers metrics of the last hour.
const COMPLETIONS_RANGE_MS: i64 = 3_600_000;

#[derive(Template)]
#[template(path = "query/top.html")]
struct Top {
    page: Page,
}

#[derive(Template)]
#[template(path = "query/panel.html")]
struct Panel<'a> {
    name: String,
    number: usize,
    state: &'a PanelState,
    is_graph: bool,
    is_multiline: bool,
    rows: usize,
    has_focus: bool,
    links: Links,
}

/// Addresses of the page with this panel changed.
struct Links {
    shorter: String,
    longer: String,
    earlier: String,
    later: String,
    now: String,
    remove: Option<String>,
}

#[derive(Template)]
#[template(path = "query/panel_end.html")]
struct PanelEnd;

#[derive(Template)]
#[template(path = "query/bottom.html")]
struct Bottom {
    page: Page,
    add_link: String,
    ranges: Vec<&'static str>,
    metrics: Vec<String>,
}

/// A part of the page, in order.
#[derive(Clone, Copy, Debug)]
enum Part {
    Top,
    Answer(usize),
    Panel(usize),
    Bottom,
}

/// What all parts of one page know.
struct Visit {
    ctx: Arc<WebContext>,
    panels: Vec<PanelState>,
    now_ms: i64,
    asked: Instant,
    origin: QueryOrigin,
}

pub(super) async fn page(
    State(ctx): State<Arc<WebContext>>,
    Origin(origin): Origin,
    headers: HeaderMap,
    form: Form,
) -> Response {
    let panels = read_panels(&form);
    let mut parts = vec![Part::Top];
    for index in 0..panels.len() {
        parts.extend([Part::Panel(index), Part::Answer(index)]);
    }
    parts.push(Part::Bottom);
    let (now_ms, asked) = (clock::now_ms(), clock::monotonic());
    let visit = Arc::new(Visit { ctx, panels, now_ms, asked, origin });
    let make = move |part| {
        let visit = Arc::clone(&visit);
        async move { Piece { text: visit.part(part).await, is_last: matches!(part, Part::Bottom) } }
    };
    respond(&headers, stream::iter(parts).map(make).buffered(PARTS_AT_ONCE))
}

impl Visit {
    async fn part(self: Arc<Self>, part: Part) -> String {
        let rendered = match part {
            Part::Top => Top { page: self.page() }.render(),
            Part::Panel(index) => self.panel(index).render(),
            Part::Answer(index) => {
                let html = self.answer(index).await;
                PanelEnd.render().map(|end| html + &end)
            }
            Part::Bottom => self.bottom().await.render(),
        };
        rendered.expect("templates of this room have no filters that fail")
    }

    fn page(&self) -> Page {
        Page::new(&self.ctx, "Query", "/query")
    }

    fn panel(&self, index: usize) -> Panel<'_> {
        let state = &self.panels[index];
        let lines = state.expr.lines().count();
        let with = |changed: PanelState| {
            let mut panels = self.panels.clone();
            panels[index] = changed;
            self.link(&panels)
        };
        let remove = (self.panels.len() > 1).then(|| {
            let mut panels = self.panels.clone();
            panels.remove(index);
            self.link(&panels)
        });
        let links = Links {
            shorter: with(state.zoomed(next_range(state.range_ms, false), self.now_ms)),
            longer: with(state.zoomed(next_range(state.range_ms, true), self.now_ms)),
            earlier: with(state.moved(-1, self.now_ms)),
            later: with(state.moved(1, self.now_ms)),
            now: with(state.at_now()),
            remove,
        };
        Panel {
            name: format!("g{index}"),
            number: index + 1,
            state,
            is_graph: state.is_graph,
            is_multiline: lines > 1,
            rows: lines.clamp(2, 20),
            has_focus: self.panels.len() == 1 && state.expr.is_empty(),
            links,
        }
    }

    async fn answer(self: Arc<Self>, index: usize) -> String {
        let question = Question {
            panels: self.panels.clone(),
            index,
            now_ms: self.now_ms,
            asked: self.asked,
            prefix: self.ctx.link_prefix.clone(),
        };
        let origin = self.origin.clone();
        let params = QueryParams { class: QueryClass::Pages, origin, ..QueryParams::default() };
        answer(&self.ctx, question, params).await
    }

    async fn bottom(&self) -> Bottom {
        let mut panels = self.panels.clone();
        if panels.len() < PANELS_MAX {
            panels.push(PanelState::default());
        }
        Bottom {
            page: self.page(),
            add_link: self.link(&panels),
            ranges: RANGES.iter().map(|(text, _)| *text).collect(),
            metrics: self.metric_names().await,
        }
    }

    /// Names for completion; a store that cannot tell them costs the page nothing but them.
    async fn metric_names(&self) -> Vec<String> {
        let range = TimeRange {
            mint_ms: self.now_ms.saturating_sub(COMPLETIONS_RANGE_MS),
            maxt_ms: self.now_ms,
        };
        let storage = Arc::clone(&self.ctx.parts.storage);
        let hints = LabelHints { count_max: COMPLETIONS_MAX };
        let find = move || -> Result<Vec<String>, StorageError> {
            storage.querier(range)?.label_values(prom_model::METRIC_NAME, &[], &hints)
        };
        match self.ctx.pool.run(CancelToken::default(), find).await {
            Ok(Ok(names)) => names,
            _ => Vec::new(),
        }
    }

    fn link(&self, panels: &[PanelState]) -> String {
        format!("{}/query{}", self.ctx.link_prefix, write_panels(panels))
    }
}

/// The next of the ranges that the page offers; beyond them, half or double.
fn next_range(range_ms: i64, is_longer: bool) -> i64 {
    let mut offered = RANGES.iter().map(|(_, ms)| *ms);
    match is_longer {
        true => offered.find(|ms| *ms > range_ms).unwrap_or(range_ms.saturating_mul(2)),
        false => offered.rev().find(|ms| *ms < range_ms).unwrap_or(range_ms / 2),
    }
}
