//! `/series`, `/labels`, `/label/<name>/values`: what is stored, without its samples.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use prom_model::{Labels, Matcher};
use prom_promql::{CancelToken, has_nonempty_matcher, parse_metric_selector};
use prom_storage::{LabelHints, Querier, SelectHints, TimeRange};

use super::{
    TRUNCATED,
    form::Form,
    params::{TIME_MAX_MS, TIME_MIN_MS},
    request::{limit, time_or},
    success_with_warnings,
};
use crate::{
    context::WebContext,
    error::{ApiError, ErrorKind},
    json,
};

/// Selectors in one request; each is a search of its own.
const SELECTORS_MAX: usize = 1000;

/// What of the store a request is about.
struct Scope {
    range: TimeRange,
    /// Empty: everything.
    selectors: Vec<Vec<Matcher>>,
    /// Most results, 0 for all.
    limit: usize,
}

pub(super) async fn series(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    check_form(&form)?;
    if form.values("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let scope = scope(&form, |text| ApiError::parameter("match[]", text))?;
    let limit = scope.limit;
    let found = run(&ctx, scope, |querier, scope| {
        let hints =
            SelectHints { range: scope.range, is_sorted: true, series_count_max: scope.more() };
        let mut found = BTreeSet::new();
        for matchers in &scope.selectors {
            let selection = querier.select(matchers, &hints)?;
            found.extend((0..selection.len()).map(|index| selection.labels(index)));
        }
        Ok(found.into_iter().collect::<Vec<Labels>>())
    })
    .await?;
    Ok(list(found, limit, json::push_labels))
}

pub(super) async fn labels(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    check_form(&form)?;
    let scope = scope(&form, ApiError::bad_data)?;
    let limit = scope.limit;
    let found = run(&ctx, scope, |querier, scope| {
        scope.union(|matchers, hints| querier.label_names(matchers, hints))
    })
    .await?;
    Ok(list(found, limit, |out, name| json::push_html_string(out, name)))
}

pub(super) async fn label_values(
    State(ctx): State<Arc<WebContext>>,
    name: Result<Path<String>, PathRejection>,
    form: Form,
) -> Result<Response, ApiError> {
    let Path(name) =
        name.map_err(|_| ApiError::bad_data("invalid label name: it is not valid UTF-8"))?;
    let name = unescape_name(&name).unwrap_or(name);
    check_form(&form)?;
    let scope = scope(&form, ApiError::bad_data)?;
    let limit = scope.limit;
    let found = run(&ctx, scope, move |querier, scope| {
        scope.union(|matchers, hints| querier.label_values(&name, matchers, hints))
    })
    .await?;
    Ok(list(found, limit, |out, value| json::push_html_string(out, value)))
}

/// Compat: the reference registers the method and always refuses.
pub(super) async fn delete_series() -> ApiError {
    ApiError::new(ErrorKind::Internal, "not implemented")
}

/// Pairs that could not be decoded would silently widen the search.
fn check_form(form: &Form) -> Result<(), ApiError> {
    match form.error() {
        None => Ok(()),
        Some(error) => Err(ApiError::bad_data(format!("error parsing form values: {error}"))),
    }
}

/// Limit, times and selectors; what is wrong with a selector is worded by the caller.
fn scope(form: &Form, refused: impl Fn(String) -> ApiError) -> Result<Scope, ApiError> {
    let limit = limit(form)?;
    let mint_ms = time_or(form, "start", TIME_MIN_MS)?;
    let maxt_ms = time_or(form, "end", TIME_MAX_MS)?;
    let mut selectors = Vec::new();
    for text in form.values("match[]") {
        if selectors.len() == SELECTORS_MAX {
            return Err(refused(format!("more than {SELECTORS_MAX} selectors")));
        }
        let matchers = parse_metric_selector(text).map_err(|errors| refused(errors.to_string()))?;
        if !has_nonempty_matcher(&matchers) {
            let message = "match[] must contain at least one non-empty matcher";
            return Err(refused(message.to_owned()));
        }
        selectors.push(matchers);
    }
    Ok(Scope { range: TimeRange { mint_ms, maxt_ms }, selectors, limit })
}

impl Scope {
    /// One more than the limit, so that it is seen whether something is left out.
    fn more(&self) -> usize {
        if self.limit == 0 { 0 } else { self.limit + 1 }
    }

    /// What any of the selectors finds, sorted.
    fn union(
        &self,
        find: impl Fn(&[Matcher], &LabelHints) -> Result<Vec<String>, prom_storage::StorageError>,
    ) -> Result<Vec<String>, prom_storage::StorageError> {
        let hints = LabelHints { count_max: self.more() };
        match self.selectors.as_slice() {
            [] => find(&[], &hints),
            [matchers] => find(matchers, &hints),
            selectors => {
                let mut found = BTreeSet::new();
                for matchers in selectors {
                    found.extend(find(matchers, &hints)?);
                }
                Ok(found.into_iter().collect())
            }
        }
    }
}

/// Searches on the pool. A range that ends before it starts holds nothing.
async fn run<T: Send + Default + 'static>(
    ctx: &Arc<WebContext>,
    scope: Scope,
    search: impl FnOnce(&dyn Querier, &Scope) -> Result<T, prom_storage::StorageError> + Send + 'static,
) -> Result<T, ApiError> {
    if scope.range.mint_ms > scope.range.maxt_ms {
        return Ok(T::default());
    }
    let storage = Arc::clone(&ctx.parts.storage);
    let work = move || storage.querier(scope.range).and_then(|querier| search(&*querier, &scope));
    Ok(ctx.pool.run(CancelToken::default(), work).await??)
}

fn list<T>(mut found: Vec<T>, limit: usize, push: impl Fn(&mut Vec<u8>, &T)) -> Response {
    let is_truncated = limit > 0 && found.len() > limit;
    if is_truncated {
        found.truncate(limit);
    }
    let warnings = if is_truncated { vec![TRUNCATED.to_owned()] } else { Vec::new() };
    success_with_warnings(|out| json::push_list(out, &found, push), &warnings)
}

/// A label name in Prometheus's escaping for URLs, `U__http_2e_status`; none if it is not one.
/// Compat: prometheus/common `model/metric.go`, `UnescapeName`.
fn unescape_name(escaped: &str) -> Option<String> {
    const HEX_DIGITS_MAX: usize = 6;
    let mut rest = escaped.strip_prefix("U__")?;
    let mut name = String::with_capacity(rest.len());
    while let Some((plain, after)) = rest.split_once('_') {
        name.push_str(plain);
        let (code, after) = after.split_once('_')?;
        match code {
            "" => name.push('_'),
            _ if code.len() > HEX_DIGITS_MAX || code.starts_with('+') => return None,
            _ => name.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?),
        }
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_read() {
        for (escaped, expected) in [
            ("U__job", Some("job")),
            ("U__a_2e_b", Some("a.b")),
            ("U__a__b", Some("a_b")),
            ("U___1F600_", Some("\u{1f600}")),
            ("U__a_zz_b", None),
            ("U__a_", None),
            ("U__a_2e", None),
            ("U__a_d800_", None),
            ("U__a_0000000_", None),
            ("U__a_+2e_", None),
            ("job", None),
        ] {
            assert_eq!(unescape_name(escaped).as_deref(), expected, "{escaped}");
        }
    }
}
