//! `/status/config/generations`, `/status/config/diff` and `/config/rollback`: endpoints of our own.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use prom_config::{ChangedNames, Generation};
use serde::Serialize;

use super::{form::Form, status::rfc3339, success};
use crate::{
    context::WebContext,
    error::ApiError,
    generations::{chosen, diff, roll_back},
};

/// Compat: `/-/reload` without `--web.enable-lifecycle`.
const NOT_ENABLED: &str = "Lifecycle API is not enabled.";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    /// The number of the one in force.
    current: Option<u64>,
    /// The files on disk hold something else than what runs.
    is_file_other: bool,
    /// Why the latest one is not on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    /// The latest first.
    generations: Vec<ListedGeneration>,
    /// The latest first.
    rejections: Vec<ListedRejection>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedGeneration {
    number: u64,
    accepted_at: String,
    hash: String,
    cause: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    restores: Option<u64>,
    summary: String,
    changes: Vec<ListedChange>,
    files: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedChange {
    subject: String,
    added: ChangedNames,
    removed: ChangedNames,
    changed: ChangedNames,
    unchanged: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedRejection {
    rejected_at: String,
    cause: String,
    errors: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedDiff {
    from: u64,
    to: u64,
    added_lines: usize,
    removed_lines: usize,
    /// As `diff -u` shows it; secrets are hidden on both sides.
    diff: String,
    added_files: Vec<String>,
    removed_files: Vec<String>,
    changed_files: Vec<String>,
}

pub(super) async fn list(State(ctx): State<Arc<WebContext>>) -> Response {
    let view = ctx.parts.generations.view();
    let rejection = |it: &Arc<prom_config::Rejection>| ListedRejection {
        rejected_at: rfc3339(it.rejected_ms),
        cause: it.cause.clone(),
        errors: it.errors.clone(),
    };
    answer(&Listed {
        current: view.current.as_ref().map(|it| it.number),
        is_file_other: view.is_file_other,
        fault: view.fault,
        generations: view.kept.iter().map(|it| ListedGeneration::new(it)).collect(),
        rejections: view.rejections.iter().map(rejection).collect(),
    })
}

pub(super) async fn difference(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    let (from, to) = chosen(&ctx.parts.generations, form.value("from"), form.value("to"))?;
    let diff = diff(&ctx, from, to).await?;
    let [added_files, removed_files, changed_files] = diff.files;
    Ok(answer(&ListedDiff {
        from,
        to,
        added_lines: diff.yaml.added_count,
        removed_lines: diff.yaml.removed_count,
        diff: diff.yaml.to_unified(),
        added_files,
        removed_files,
        changed_files,
    }))
}

pub(super) async fn rollback(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    if !ctx.parts.lifecycle.is_lifecycle_enabled() {
        return Ok((StatusCode::FORBIDDEN, NOT_ENABLED).into_response());
    }
    let number = form.value("generation").parse();
    let number =
        number.map_err(|_| ApiError::parameter("generation", "a generation has a number"))?;
    let is_written = matches!(form.value("write"), "true" | "1" | "on");
    let summary = roll_back(&ctx, number, is_written).await?;
    Ok(success(|out| {
        out.extend_from_slice(b"{\"summary\":");
        crate::json::push_html_string(out, &summary);
        out.push(b'}');
    }))
}

impl ListedGeneration {
    fn new(generation: &Generation) -> Self {
        let change = |room: &prom_config::RoomChange| ListedChange {
            subject: room.subject.clone(),
            added: room.added.clone(),
            removed: room.removed.clone(),
            changed: room.changed.clone(),
            unchanged: room.unchanged_count,
        };
        Self {
            number: generation.number,
            accepted_at: rfc3339(generation.accepted_ms),
            hash: format!("{:016x}", generation.content_hash),
            cause: generation.cause.clone(),
            restores: generation.restores,
            summary: generation.changes.to_string(),
            changes: generation.changes.rooms.iter().map(change).collect(),
            files: generation.files.iter().map(|file| file.path.display().to_string()).collect(),
        }
    }
}

fn answer(data: &impl Serialize) -> Response {
    let text = serde_json::to_vec(data).expect("plain data becomes JSON");
    success(|out| out.extend_from_slice(&text))
}
