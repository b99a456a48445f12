//! `/targets/relabel_steps`: what each rule of a pool makes of a target's labels.
//! Compat: Prometheus `web/api/v1/api.go`, `targetRelabelSteps`, and the JSON of `model/relabel/relabel.go`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, response::Response};
use prom_model::{Labels, RelabelRule, quote_go};
use prom_scrape::relabel_steps as steps_of;

use super::{form::Form, success, targets::push_field};
use crate::{context::WebContext, error::ApiError, json};

/// The expression of a rule that gives none.
const DEFAULT_REGEX: &str = "(.*)";

pub(super) async fn relabel_steps(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    let pool = match form.value("scrapePool") {
        "" => return Err(ApiError::bad_data("no scrapePool parameter provided")),
        pool => pool,
    };
    let labels = match form.value("labels") {
        "" => return Err(ApiError::bad_data("no labels parameter provided")),
        labels => labels,
    };
    let labels: BTreeMap<String, String> = serde_json::from_str(labels)
        .map_err(|error| ApiError::bad_data(format!("error parsing labels: {error}")))?;
    let Some(rules) = ctx.parts.targets.relabel_rules(pool) else {
        let message = format!("scrape pool {} not found", quote_go(pool));
        return Err(ApiError::bad_data(format!("error retrieving scrape config: {message}")));
    };
    let steps = steps_of(&rules, &Labels::from_pairs(labels));
    Ok(success(|out| {
        out.extend_from_slice(b"{\"steps\":");
        json::push_list(out, rules.iter().zip(&steps), |out, (rule, step)| {
            out.extend_from_slice(b"{\"rule\":");
            push_rule(out, rule);
            out.extend_from_slice(b",\"output\":");
            json::push_labels(out, &step.output);
            let keep = format!(",\"keep\":{}}}", step.is_kept);
            out.extend_from_slice(keep.as_bytes());
        });
        out.push(b'}');
    }))
}

fn push_rule(out: &mut Vec<u8>, rule: &RelabelRule) {
    let spec = rule.spec();
    out.push(b'{');
    let sources: &[String] = spec.source_labels.as_deref().unwrap_or_default();
    if !sources.is_empty() {
        out.extend_from_slice(b"\"source_labels\":");
        json::push_list(out, sources, |out, source| json::push_html_string(out, source));
        out.push(b',');
    }
    push_field(out, "separator", &spec.separator);
    out.push(b',');
    push_field(out, "regex", spec.regex.as_deref().unwrap_or(DEFAULT_REGEX));
    if spec.modulus > 0 {
        out.extend_from_slice(format!(",\"modulus\":{}", spec.modulus).as_bytes());
    }
    if !spec.target_label.is_empty() {
        out.push(b',');
        push_field(out, "target_label", &spec.target_label);
    }
    out.push(b',');
    push_field(out, "replacement", &spec.replacement);
    out.push(b',');
    push_field(out, "action", spec.action.name());
    out.push(b'}');
}
