//! What a new configuration would change about a running server: the targets it scrapes now and the rules it
//! has loaded, as its API tells them, against those of the files. Nothing on the server is changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use prom_config::{Config, Rule, RuleGroup};
use prom_model::Labels;
use prom_promql::{ParseOptions, parse};
use serde_json::Value;

use crate::check::discover;

/// Names and what tells two things of one name apart.
pub(super) type Things = BTreeMap<String, String>;

/// Two states of targets or rules.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) old: Things,
    pub(super) new: Things,
}

/// Compares what is scraped. Jobs whose targets only the server can find are left out, and named in `notes`.
pub(super) fn targets(answer: &Value, new: &Config, notes: &mut Vec<String>) -> Effect {
    let mut effect = Effect::default();
    let mut unknown = BTreeSet::new();
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for job in &new.scrape_configs {
        match discover(job) {
            Ok(found) => {
                for target in found.iter().filter(|target| !target.url.is_empty()) {
                    let name = format!("{}/{}", job.job_name, target.url);
                    labels.entry(name).or_default().insert(target.labels.to_string());
                }
            }
            Err(reason) => {
                notes.push(format!("targets of job {:?} are not compared: {reason}", job.job_name));
                unknown.insert(job.job_name.as_str());
            }
        }
    }
    effect.new = joined(labels);
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for target in array(answer, "/data/activeTargets") {
        let job = text(target, "scrapePool");
        if unknown.contains(job) {
            continue;
        }
        let pairs = pairs(&target["labels"]);
        let name = format!("{job}/{}", text(target, "scrapeUrl"));
        labels.entry(name).or_default().insert(Labels::from_pairs(pairs).to_string());
    }
    effect.old = joined(labels);
    effect
}

/// Compares rules by file, group and name; files are named from the folder of the configuration, which may
/// be another one here than there.
pub(super) fn rules(answer: &Value, new: &Config, folders: &[String]) -> Effect {
    let mut effect = Effect::default();
    let folder = new.file().parent().unwrap_or(Path::new(""));
    for file in &new.rule_files {
        let name = file.path.strip_prefix(folder).unwrap_or(&file.path).display().to_string();
        for group in &file.groups {
            for rule in &group.rules {
                add(&mut effect.new, rule.name(), &group.name, &name, &of_config(rule, group));
            }
        }
    }
    for group in array(answer, "/data/groups") {
        let file = text(group, "file");
        let below = folders.iter().find_map(|folder| file.strip_prefix(folder.as_str()));
        let file = below.unwrap_or(file).trim_start_matches('/');
        for rule in array(group, "/rules") {
            let name = text(rule, "name");
            add(&mut effect.old, name, text(group, "name"), file, &of_server(rule));
        }
    }
    effect
}

/// Of several rules with one name in a group the second is `name (2)`.
fn add(things: &mut Things, rule: &str, group: &str, file: &str, value: &str) {
    let name = |count: usize| match count {
        1 => format!("{rule} in {group} in {file}"),
        count => format!("{rule} ({count}) in {group} in {file}"),
    };
    let free = (1..).find(|count| !things.contains_key(&name(*count)));
    if let Some(count) = free {
        things.insert(name(count), value.to_owned());
    }
}

fn of_config(rule: &Rule, group: &RuleGroup) -> String {
    let mut labels = group.labels.clone();
    labels.extend(rule.labels().iter().map(|(name, value)| (name.clone(), value.clone())));
    let query = printed(rule.expression());
    match rule {
        Rule::Recording(_) => format!("record {query} {labels:?}"),
        Rule::Alerting(alert) => format!(
            "alert {query} {labels:?} {} {} {:?}",
            alert.hold_for.as_secs_f64(),
            alert.keep_firing_for.as_secs_f64(),
            alert.annotations,
        ),
    }
}

fn of_server(rule: &Value) -> String {
    let map = |name: &str| -> BTreeMap<String, String> {
        pairs(&rule[name]).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let (query, labels) = (printed(text(rule, "query")), map("labels"));
    let seconds = |name: &str| rule[name].as_f64().unwrap_or_default();
    match text(rule, "type") {
        "alerting" => format!(
            "alert {query} {labels:?} {} {} {:?}",
            seconds("duration"),
            seconds("keepFiringFor"),
            map("annotations"),
        ),
        _ => format!("record {query} {labels:?}"),
    }
}

/// Spaces and parentheses as the printer sets them.
fn printed(expression: &str) -> String {
    let options = ParseOptions {
        experimental_functions: true,
        extended_range_selectors: true,
        binop_fill_modifiers: true,
    };
    parse(expression, &options).map_or_else(|_| expression.to_owned(), |expr| expr.to_string())
}

fn joined(labels: BTreeMap<String, BTreeSet<String>>) -> Things {
    let join = |of_one: BTreeSet<String>| of_one.into_iter().collect::<Vec<_>>().join(" ");
    labels.into_iter().map(|(name, of_one)| (name, join(of_one))).collect()
}

fn array<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn pairs(value: &Value) -> impl Iterator<Item = (&str, &str)> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

#[cfg(test)]
mod tests {
    use prom_config::{LoadOptions, SourceText, Sources, load_with};
    use serde_json::json;

    use super::*;

    fn config(main: &str, rules: &str) -> Config {
        let text = |path: &str, text: &str| SourceText {
            path: Path::new(path).to_owned(),
            bytes: text.as_bytes().into(),
        };
        let mut sources = Sources::of_kept([text("/new/p.yml", main), text("/new/r/a.yml", rules)]);
        load_with(Path::new("/new/p.yml"), &mut sources, &LoadOptions::CHECK).unwrap()
    }

    #[test]
    fn targets_are_told_apart_by_job_and_url() {
        let main = "scrape_configs:
- {job_name: a, metrics_path: /m, static_configs: [{targets: ['x:1', 'x:2'], labels: {l: v}}]}
- {job_name: b, dns_sd_configs: [{names: [x]}]}
";
        let answer = json!({"data": {"activeTargets": [
            {"scrapePool": "a", "scrapeUrl": "http://x:1/m", "labels": {"job": "a", "instance": "x:1"}},
            {"scrapePool": "b", "scrapeUrl": "http://y:1/metrics", "labels": {"job": "b"}},
            {"scrapePool": "c", "scrapeUrl": "http://z:1/metrics", "labels": {"job": "c"}},
        ]}});
        let mut notes = Vec::new();
        let effect = targets(&answer, &config(main, ""), &mut notes);
        let names = |things: &Things| things.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&effect.new), ["a/http://x:1/m", "a/http://x:2/m"]);
        assert_eq!(names(&effect.old), ["a/http://x:1/m", "c/http://z:1/metrics"]);
        assert_ne!(effect.old["a/http://x:1/m"], effect.new["a/http://x:1/m"]);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].starts_with("targets of job \"b\" are not compared: "), "{notes:?}");
    }

    #[test]
    fn rules_are_told_apart_by_name_group_and_file() {
        let rules_text = "groups:
- name: g
  labels: {team: a}
  rules:
  - {record: r, expr: 'sum  by(x) (y)'}
  - {alert: A, expr: up == 0, for: 5m, annotations: {s: t}}
  - {alert: A, expr: up == 1}
";
        let rule = |expr: &str, duration: u64, annotations: Value| {
            json!({"type": "alerting", "name": "A", "query": expr, "duration": duration,
                "keepFiringFor": 0, "labels": {"team": "a"}, "annotations": annotations})
        };
        let answer = json!({"data": {"groups": [{"name": "g", "file": "/etc/p/r/a.yml", "rules": [
            {"type": "recording", "name": "r", "query": "sum by (x) (y)", "labels": {"team": "a"}},
            rule("up == 0", 300, json!({"s": "t"})),
            rule("up == 1", 60, json!({})),
        ]}]}});
        let config = config("rule_files: ['r/*.yml']", rules_text);
        let effect = rules(&answer, &config, &["/etc/p".to_owned()]);
        let names: Vec<_> = effect.new.keys().collect();
        assert_eq!(names, ["A (2) in g in r/a.yml", "A in g in r/a.yml", "r in g in r/a.yml"]);
        assert!(effect.new.keys().eq(effect.old.keys()), "{:?}", effect.old);
        let differ: Vec<_> =
            names.into_iter().filter(|it| effect.old[*it] != effect.new[*it]).collect();
        assert_eq!(differ, ["A (2) in g in r/a.yml"]);
    }
}
