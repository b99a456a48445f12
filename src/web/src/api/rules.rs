//! `/rules`: the rules of the configuration, as the reference shows rules that were never evaluated. This
//! build evaluates none and says so in a warning.
//! Compat: `rules` of Prometheus `web/api/v1/api.go`, 3.14.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use prom_config::{Config, Rule, RuleGroup};
use prom_promql::{CancelToken, ParseOptions, parse};
use serde::Serialize;

use super::{form::Form, success_with_warnings};
use crate::{context::WebContext, error::ApiError};

/// Go's moment zero.
const NEVER: &str = "0001-01-01T00:00:00Z";
const UNKNOWN: &str = "unknown";
const NOT_EVALUATED: &str = "rules are loaded and checked, but this build evaluates none";

#[derive(Serialize)]
struct Listed<'a> {
    groups: Vec<ListedGroup<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedGroup<'a> {
    name: &'a str,
    file: String,
    rules: Vec<ListedRule<'a>>,
    interval: Seconds,
    limit: i64,
    evaluation_time: u8,
    last_evaluation: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedRule<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    name: &'a str,
    query: String,
    #[serde(flatten)]
    alert: Option<ListedAlert>,
    #[serde(skip_serializing_if = "is_left_out")]
    labels: Labels<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts: Option<[(); 0]>,
    health: &'static str,
    evaluation_time: u8,
    last_evaluation: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedAlert {
    duration: Seconds,
    keep_firing_for: Seconds,
}

/// Those of the group among them; a recording rule without any does not name them.
#[derive(Serialize)]
#[serde(transparent)]
struct Labels<'a> {
    pairs: BTreeMap<&'a str, &'a str>,
    #[serde(skip)]
    is_of_alert: bool,
}

/// A number without a fraction where it has none, as Go prints it.
#[derive(Serialize)]
#[serde(untagged)]
enum Seconds {
    Whole(u64),
    Broken(f64),
}

/// What of all rules is asked for.
struct Filter {
    kind: String,
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
}

pub(super) async fn rules(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    let filter = Filter::new(&form)?;
    let config = ctx.parts.config.load_full();
    let options = ctx.parts.parse_options;
    let has_rules = config.rule_count() > 0;
    let write = move || {
        let listed = Listed { groups: groups(&config, &filter, &options) };
        serde_json::to_vec(&listed).expect("plain data becomes JSON")
    };
    let data = ctx.pool.run(CancelToken::default(), write).await?;
    let warnings: &[String] = if has_rules { &[NOT_EVALUATED.to_owned()] } else { &[] };
    Ok(success_with_warnings(|out| out.extend_from_slice(&data), warnings))
}

impl Filter {
    fn new(form: &Form) -> Result<Self, ApiError> {
        for name in ["match[]", "group_limit", "group_next_token"] {
            if !form.value(name).is_empty() {
                return Err(ApiError::not_built("this choice of rules"));
            }
        }
        let kind = form.value("type").to_lowercase();
        if !matches!(&*kind, "" | "alert" | "record") {
            return Err(ApiError::parameter("type", format!("not supported value {kind:?}")));
        }
        let all = |name: &str| form.values(name).map(str::to_owned).collect();
        Ok(Self {
            kind,
            names: all("rule_name[]"),
            groups: all("rule_group[]"),
            files: all("file[]"),
        })
    }

    fn takes(&self, rule: &Rule) -> bool {
        let kind = match rule {
            Rule::Recording(_) => "record",
            Rule::Alerting(_) => "alert",
        };
        (self.kind.is_empty() || self.kind == kind) && is_among(rule.name(), &self.names)
    }
}

/// No names mean all.
fn is_among(name: &str, names: &[String]) -> bool {
    names.is_empty() || names.iter().any(|it| it == name)
}

/// By file and name; groups of which nothing is left are left out.
fn groups<'a>(config: &'a Config, filter: &Filter, options: &ParseOptions) -> Vec<ListedGroup<'a>> {
    let mut groups = Vec::new();
    for file in &config.rule_files {
        let path = file.path.display().to_string();
        if !is_among(&path, &filter.files) {
            continue;
        }
        for group in file.groups.iter().filter(|group| is_among(&group.name, &filter.groups)) {
            let taken = group.rules.iter().filter(|rule| filter.takes(rule));
            let rules: Vec<_> = taken.map(|rule| listed(rule, group, options)).collect();
            if rules.is_empty() {
                continue;
            }
            groups.push(ListedGroup {
                name: &group.name,
                file: path.clone(),
                rules,
                interval: Seconds::of(group.interval.unwrap_or(config.global.evaluation_interval)),
                limit: group.limit,
                evaluation_time: 0,
                last_evaluation: NEVER,
            });
        }
    }
    groups.sort_by(|one, other| (&one.file, one.name).cmp(&(&other.file, other.name)));
    groups
}

fn listed<'a>(rule: &'a Rule, group: &'a RuleGroup, options: &ParseOptions) -> ListedRule<'a> {
    let pairs = group.labels.iter().chain(rule.labels());
    let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let printed = parse(rule.expression(), options).map(|expr| expr.to_string());
    let query = printed.unwrap_or_else(|_| rule.expression().to_owned());
    let mut listed = ListedRule {
        state: None,
        name: rule.name(),
        query,
        alert: None,
        labels: Labels { pairs, is_of_alert: false },
        annotations: None,
        alerts: None,
        health: UNKNOWN,
        evaluation_time: 0,
        last_evaluation: NEVER,
        kind: "recording",
    };
    if let Rule::Alerting(alert) = rule {
        listed.state = Some(UNKNOWN);
        listed.alert = Some(ListedAlert {
            duration: Seconds::of(alert.hold_for),
            keep_firing_for: Seconds::of(alert.keep_firing_for),
        });
        listed.labels.is_of_alert = true;
        listed.annotations = Some(&alert.annotations);
        listed.alerts = Some([]);
        listed.kind = "alerting";
    }
    listed
}

fn is_left_out(labels: &Labels<'_>) -> bool {
    labels.pairs.is_empty() && !labels.is_of_alert
}

impl Seconds {
    fn of(duration: Duration) -> Self {
        match duration.subsec_nanos() {
            0 => Self::Whole(duration.as_secs()),
            _ => Self::Broken(duration.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prom_config::{LoadOptions, SourceText, Sources, load_with};

    use super::*;

    const RULES: &str = "groups:
- name: h
  rules: [{record: 'z', expr: '2'}]
- name: g
  interval: 500ms
  limit: 3
  labels: {team: a, l: g}
  rules:
  - {record: 'a:b', expr: 'sum   by (x)(rate(y[5m]))', labels: {l: v}}
  - {alert: A, expr: up == 0, for: 5m, keep_firing_for: 1d, annotations: {summary: '<b>'}}
- {name: empty, rules: []}
";

    fn shown(query: &str) -> String {
        let text = |path: &str, text: &str| SourceText {
            path: Path::new(path).to_owned(),
            bytes: text.as_bytes().into(),
        };
        let texts = [text("/p.yml", "rule_files: [/r.yml]"), text("/r.yml", RULES)];
        let mut sources = Sources::of_kept(texts);
        let config = load_with(Path::new("/p.yml"), &mut sources, &LoadOptions::CHECK).unwrap();
        match Filter::new(&Form::parse(b"", Some(query))) {
            Ok(filter) => {
                let groups = groups(&config, &filter, &ParseOptions::default());
                serde_json::to_string(&Listed { groups }).unwrap()
            }
            Err(error) => error.message,
        }
    }

    #[test]
    fn rules_are_shown_as_the_reference_shows_those_never_evaluated() {
        // Asked of the original, but for the state: it says "inactive" before 3.8.
        const G: &str = r#"{"name":"g","file":"/r.yml","rules":[{"name":"a:b","query":"sum by (x) (rate(y[5m]))","labels":{"l":"v","team":"a"},"health":"unknown","evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z","type":"recording"},{"state":"unknown","name":"A","query":"up == 0","duration":300,"keepFiringFor":86400,"labels":{"l":"g","team":"a"},"annotations":{"summary":"<b>"},"alerts":[],"health":"unknown","evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z","type":"alerting"}],"interval":0.5,"limit":3,"evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z"}"#;
        const H: &str = r#"{"name":"h","file":"/r.yml","rules":[{"name":"z","query":"2","health":"unknown","evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z","type":"recording"}],"interval":60,"limit":0,"evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z"}"#;
        assert_eq!(shown(""), format!("{{\"groups\":[{G},{H}]}}"));
        assert_eq!(shown("rule_group[]=h"), format!("{{\"groups\":[{H}]}}"));
        assert_eq!(shown("rule_name[]=z&rule_name[]=y"), format!("{{\"groups\":[{H}]}}"));
        assert_eq!(shown("file[]=/other"), "{\"groups\":[]}");
        assert_eq!(shown("file[]=/r.yml&rule_group[]=g"), format!("{{\"groups\":[{G}]}}"));
        let alerts = shown("type=alert");
        assert!(alerts.contains("\"A\"") && !alerts.contains("a:b"), "{alerts}");
        assert!(!shown("type=record").contains("\"A\""));
        assert!(shown("type=x").contains("not supported value \"x\""));
        assert!(shown("group_limit=1").contains("not supported by this server"));
    }
}
