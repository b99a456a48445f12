//! `/admin/tsdb/*`: deleting, giving back space, snapshots; behind `--web.enable-admin-api`.
//! Compat: Prometheus `web/api/v1/api.go`.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use prom_promql::{CancelToken, parse_metric_selector};
use prom_storage::{StorageError, TimeRange};

use super::{
    form::Form,
    params::{TIME_MAX_MS, TIME_MIN_MS},
    request::time_or,
    success,
};
use crate::{
    context::WebContext,
    error::{ApiError, ErrorKind},
    json,
    tsdb_admin::TsdbAdmin,
};

/// Selectors in one request; each is a pass over the store.
const SELECTORS_MAX: usize = 1000;

pub(super) async fn delete_series(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    let admin = admin(&ctx)?;
    if let Some(error) = form.error() {
        return Err(ApiError::bad_data(format!("error parsing form values: {error}")));
    }
    let texts: Vec<&str> = form.values("match[]").collect();
    if texts.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    if texts.len() > SELECTORS_MAX {
        let reason = format!("more than {SELECTORS_MAX} selectors");
        return Err(ApiError::parameter("match[]", reason));
    }
    let range = TimeRange {
        mint_ms: time_or(&form, "start", TIME_MIN_MS)?,
        maxt_ms: time_or(&form, "end", TIME_MAX_MS)?,
    };
    // All are read before the first deletes anything.
    let mut selectors = Vec::with_capacity(texts.len());
    for text in texts {
        let matchers = parse_metric_selector(text);
        selectors.push(matchers.map_err(|errors| ApiError::parameter("match[]", errors))?);
    }
    run(&ctx, admin, "Deleting series failed", move |admin| admin.delete(range, &selectors))
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn clean_tombstones(
    State(ctx): State<Arc<WebContext>>,
) -> Result<Response, ApiError> {
    let admin = admin(&ctx)?;
    run(&ctx, admin, "Cleaning tombstones failed", |admin| admin.clean_tombstones()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn snapshot(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    let admin = admin(&ctx)?;
    let skips_head = match form.value("skip_head") {
        "" => false,
        text => parse_bool(text).ok_or_else(|| {
            let reason = format!(
                "unable to parse boolean: strconv.ParseBool: parsing {text:?}: invalid syntax"
            );
            ApiError::parameter("skip_head", reason)
        })?,
    };
    let name =
        run(&ctx, admin, "Taking a snapshot failed", move |admin| admin.snapshot(!skips_head))
            .await
            .map_err(|err| ApiError {
                message: format!("create snapshot: {}", err.message),
                ..err
            })?;
    Ok(success(|out| {
        out.extend_from_slice(b"{\"name\":");
        json::push_html_string(out, &name);
        out.push(b'}');
    }))
}

fn admin(ctx: &WebContext) -> Result<Arc<dyn TsdbAdmin>, ApiError> {
    let disabled = || ApiError::new(ErrorKind::Unavailable, "admin APIs disabled");
    ctx.parts.tsdb_admin.clone().ok_or_else(disabled)
}

/// Does it on the pool; what goes wrong is logged and told.
async fn run<T: Send + 'static>(
    ctx: &WebContext,
    admin: Arc<dyn TsdbAdmin>,
    what: &'static str,
    work: impl FnOnce(&dyn TsdbAdmin) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, ApiError> {
    // A client that leaves does not stop what it has begun.
    let done = ctx.pool.run(CancelToken::default(), move || work(&*admin)).await?;
    done.map_err(|err| {
        tracing::error!(err = %err, "{what}");
        ApiError::new(ErrorKind::Internal, err.to_string())
    })
}

/// Compat: Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}
