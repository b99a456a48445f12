//! The configuration page and the pages around it: what runs, what ran before, what was refused, and the
//! way back. How configurations are compared is not known here.

use std::{collections::BTreeSet, sync::Arc};

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use prom_config::{DiffLine, Generation, GenerationsView, Rejection, SourceText};
use prom_telemetry::clock;

use super::{
    layout::{Page, html, html_with_status},
    lifecycle::{MessagePage, ReloadFacts, reload_from},
    times::moment_text,
};
use crate::{
    api::form::Form,
    context::WebContext,
    error::ApiError,
    generations::{GenerationDiff, chosen, diff, roll_back},
};

/// Lines of a refused file that are shown around each that is wrong.
const CONTEXT_LINE_COUNT: usize = 8;
/// Most lines of a refused file that are shown.
const LINE_COUNT_MAX: usize = 1_000;

#[derive(Template)]
#[template(path = "config.html")]
struct ConfigPage {
    page: Page,
    file: String,
    is_rejected: bool,
    is_undone: bool,
    ended: String,
    outcome: String,
    accepted: String,
    can_reload: bool,
    is_file_other: bool,
    fault: String,
    current: String,
    rows: Vec<GenerationRow>,
    rejections: Vec<RejectionRow>,
    rejected_lines: Vec<RejectedLine>,
    yaml: String,
}

struct GenerationRow {
    number: u64,
    is_current: bool,
    accepted: String,
    cause: String,
    changes: String,
    /// The generation before it, if that is kept.
    before: Option<u64>,
}

struct RejectionRow {
    rejected: String,
    cause: String,
    errors: String,
}

/// A line of the refused file.
struct RejectedLine {
    number: usize,
    text: String,
    is_wrong: bool,
    /// Lines before it are left out.
    is_after_gap: bool,
}

#[derive(Template)]
#[template(path = "config_diff.html")]
struct DiffPage {
    page: Page,
    from: u64,
    to: u64,
    added_count: usize,
    removed_count: usize,
    lines: Vec<DiffRow>,
    is_cut: bool,
    /// Kind and name.
    files: Vec<(&'static str, String)>,
    can_reload: bool,
    is_current: bool,
}

struct DiffRow {
    class: &'static str,
    mark: &'static str,
    text: String,
}

pub(super) async fn page(State(ctx): State<Arc<WebContext>>) -> Response {
    let config = ctx.parts.config.load_full();
    let now_ms = clock::now_ms();
    let reload = ReloadFacts::new(&ctx.parts.lifecycle.view().reload, now_ms);
    let view = ctx.parts.generations.view();
    let rejected = ctx.parts.generations.rejected_text().filter(|_| reload.is_rejected);
    html(&ConfigPage {
        page: Page::new(&ctx, "Configuration", "/config"),
        file: config.file().display().to_string(),
        rejected_lines: rejected_lines(rejected.as_ref(), view.rejections.first()),
        is_rejected: reload.is_rejected,
        is_undone: reload.is_undone,
        ended: reload.ended,
        outcome: reload.outcome,
        accepted: reload.accepted,
        can_reload: ctx.can_reload(),
        is_file_other: view.is_file_other,
        fault: view.fault.clone().unwrap_or_default(),
        current: view.current.as_ref().map(|it| it.number.to_string()).unwrap_or_default(),
        rows: rows(&view, now_ms),
        rejections: view.rejections.iter().map(|it| RejectionRow::new(it, now_ms)).collect(),
        yaml: config.redacted_yaml(),
    })
}

pub(super) async fn difference(State(ctx): State<Arc<WebContext>>, form: Form) -> Response {
    let chosen = chosen(&ctx.parts.generations, form.value("from"), form.value("to"));
    let (from, to) = match chosen {
        Ok(chosen) => chosen,
        Err(error) => return refused(&ctx, "No such generation", &error),
    };
    match diff(&ctx, from, to).await {
        Ok(diff) => {
            let view = ctx.parts.generations.view();
            let is_current = view.current.is_some_and(|current| current.number == from);
            let page = Page::new(&ctx, "Configuration", "/config");
            html(&DiffPage::new(page, diff, ctx.can_reload(), is_current))
        }
        Err(error) => refused(&ctx, "These generations cannot be compared", &error),
    }
}

pub(super) async fn reload(State(ctx): State<Arc<WebContext>>) -> Response {
    reload_from(&ctx, "/config").await
}

/// Goes back to a generation and shows the configuration page. I4: the router refuses other sites.
pub(super) async fn rollback(State(ctx): State<Arc<WebContext>>, form: Form) -> Response {
    if !ctx.can_reload() {
        let text = "Start the server with --web.enable-lifecycle to go back from this page, or use promtool service rollback.";
        let page = Page::new(&ctx, "Configuration", "/config");
        let heading = "Going back from pages is switched off".to_owned();
        let text = text.to_owned();
        return html_with_status(StatusCode::FORBIDDEN, &MessagePage { page, heading, text });
    }
    let Ok(number) = form.value("generation").parse() else {
        let error = ApiError::parameter("generation", "a generation has a number");
        return refused(&ctx, "No such generation", &error);
    };
    match roll_back(&ctx, number, !form.value("write").is_empty()).await {
        Ok(_) => Redirect::to(&format!("{}/config", ctx.link_prefix)).into_response(),
        Err(error) => refused(&ctx, "There is no way back to this generation", &error),
    }
}

fn refused(ctx: &WebContext, heading: &str, error: &ApiError) -> Response {
    let page = Page::new(ctx, "Configuration", "/config");
    let (heading, text) = (heading.to_owned(), error.message.clone());
    html_with_status(error.kind.status(), &MessagePage { page, heading, text })
}

fn rows(view: &GenerationsView, now_ms: i64) -> Vec<GenerationRow> {
    let row = |(index, generation): (usize, &Arc<Generation>)| GenerationRow {
        number: generation.number,
        is_current: view.current.as_ref().is_some_and(|it| it.number == generation.number),
        accepted: moment_text(generation.accepted_ms, now_ms),
        cause: generation.cause.clone(),
        changes: generation.changes.to_string(),
        before: view.kept.get(index + 1).map(|before| before.number),
    };
    view.kept.iter().enumerate().map(row).collect()
}

/// The refused file as far as it is worth showing: around what is wrong.
fn rejected_lines(
    text: Option<&SourceText>,
    rejection: Option<&Arc<Rejection>>,
) -> Vec<RejectedLine> {
    let (Some(text), Some(rejection)) = (text, rejection) else { return Vec::new() };
    let wrong = wrong_lines(&rejection.errors, &text.path.display().to_string());
    let is_near = |number: usize| {
        let from = number.saturating_sub(CONTEXT_LINE_COUNT);
        wrong.range(from..=number + CONTEXT_LINE_COUNT).next().is_some()
    };
    let mut shown: Vec<RejectedLine> = Vec::new();
    for (index, text) in text.masked_lines().into_iter().enumerate() {
        let number = index + 1;
        if shown.len() >= LINE_COUNT_MAX {
            break;
        }
        if is_near(number) {
            let is_after_gap = shown.last().map_or(number > 1, |last| last.number + 1 < number);
            let is_wrong = wrong.contains(&number);
            shown.push(RejectedLine { number, text, is_wrong, is_after_gap });
        }
    }
    shown
}

/// Numbers of lines that errors name: `<file>:12:3: ...`.
fn wrong_lines(errors: &str, file: &str) -> BTreeSet<usize> {
    let number = |line: &str| {
        let (number, _) = line.strip_prefix(file)?.strip_prefix(':')?.split_once(':')?;
        number.parse().ok()
    };
    errors.lines().filter_map(number).collect()
}

impl RejectionRow {
    fn new(rejection: &Rejection, now_ms: i64) -> Self {
        Self {
            rejected: moment_text(rejection.rejected_ms, now_ms),
            cause: rejection.cause.clone(),
            errors: rejection.errors.clone(),
        }
    }
}

impl DiffPage {
    fn new(page: Page, diff: GenerationDiff, can_reload: bool, is_current: bool) -> Self {
        let [added, removed, changed] = diff.files;
        let kinds = [("added", added), ("removed", removed), ("changed", changed)];
        let files =
            kinds.into_iter().flat_map(|(kind, names)| names.into_iter().map(move |n| (kind, n)));
        Self {
            page,
            from: diff.from,
            to: diff.to,
            added_count: diff.yaml.added_count,
            removed_count: diff.yaml.removed_count,
            lines: diff.yaml.lines.iter().map(DiffRow::new).collect(),
            is_cut: diff.yaml.is_cut,
            files: files.collect(),
            can_reload,
            is_current,
        }
    }
}

impl DiffRow {
    fn new(line: &DiffLine) -> Self {
        let (class, mark, text) = match line {
            DiffLine::Skipped { old_line, new_line } => {
                ("soft", "", format!("line {old_line} before, line {new_line} after"))
            }
            DiffLine::Same(text) => ("", " ", text.clone()),
            DiffLine::Removed(text) => ("bad", "-", text.clone()),
            DiffLine::Added(text) => ("good", "+", text.clone()),
        };
        Self { class, mark, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refused_file_is_shown_around_what_is_wrong() {
        let text: String = (1..=100).map(|line| format!("line {line}\n")).collect();
        let text = SourceText { path: "/p.yml".into(), bytes: text.into_bytes().into() };
        let errors = "parsing YAML file\n/p.yml:30:1: a\n/p.yml:80:1: b\n/other:5:1: c".to_owned();
        let rejection = Rejection { rejected_ms: 0, cause: String::new(), errors };
        let lines = rejected_lines(Some(&text), Some(&Arc::new(rejection)));
        let wrong: Vec<_> =
            lines.iter().filter(|line| line.is_wrong).map(|line| line.number).collect();
        assert_eq!(wrong, [30, 80]);
        let gaps: Vec<_> =
            lines.iter().filter(|line| line.is_after_gap).map(|line| line.number).collect();
        assert_eq!(gaps, [22, 72]);
        assert_eq!(lines.len(), 34);
    }
}
