//! The rules of rules. Messages are those of the reference, with the place of the key at fault.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Display,
    sync::Arc,
    time::Duration,
};

use prom_model::{METRIC_NAME, parse_duration, quote_go};

use super::{
    AlertingRule, RecordingRule, Rule, RuleGroup, RuleOptions,
    schema::{RawGroup, RawRule},
};
use crate::{
    error::{ConfigError, ErrorKind, Origin},
    key_path::KeyPath,
    yaml::{Document, ERROR_COUNT_MAX},
};

/// Notes mistakes on the way from raw groups to checked ones.
pub(super) struct GroupChecker<'c> {
    pub(super) document: &'c Document<'c>,
    pub(super) options: &'c RuleOptions<'c>,
    pub(super) errors: Vec<ConfigError>,
}

/// Where a rule stands and what its messages begin with.
struct Place<'p> {
    at: &'p KeyPath<'p>,
    whose: String,
}

impl GroupChecker<'_> {
    pub(super) fn groups(&mut self, raw: Vec<RawGroup>) -> Vec<Arc<RuleGroup>> {
        let top = KeyPath::TOP;
        let list_at = top.key("groups");
        let mut names = HashSet::new();
        let mut groups = Vec::with_capacity(raw.len());
        for (i, raw) in raw.into_iter().enumerate() {
            let at = list_at.index(i);
            if raw.name.is_empty() {
                self.report(&at, "Groupname must not be empty");
            }
            if !names.insert(raw.name.clone()) {
                let message = format!("groupname: \"{}\" is repeated in the same file", raw.name);
                self.report(&at, message);
            }
            groups.push(Arc::new(self.group(raw, &at)));
        }
        groups
    }

    fn group(&mut self, raw: RawGroup, at: &KeyPath<'_>) -> RuleGroup {
        self.label_names(&raw.labels, "", &at.key("labels"));
        let rules_at = at.key("rules");
        let mut rules = Vec::with_capacity(raw.rules.len());
        for (i, rule) in raw.rules.into_iter().enumerate() {
            let name = if rule.alert.is_empty() { &rule.record } else { &rule.alert };
            let whose =
                format!("group {}, rule {}, {}: ", quote_go(&raw.name), i + 1, quote_go(name));
            rules.push(self.rule(rule, &Place { at: &rules_at.index(i), whose }));
        }
        RuleGroup {
            interval: self.duration(raw.interval, &at.key("interval")).filter(|it| !it.is_zero()),
            query_offset: self.duration(raw.query_offset, &at.key("query_offset")),
            limit: raw.limit,
            labels: raw.labels,
            rules,
            name: raw.name,
        }
    }

    fn rule(&mut self, raw: RawRule, place: &Place<'_>) -> Rule {
        let (at, whose) = (place.at, &place.whose);
        match (raw.record.is_empty(), raw.alert.is_empty()) {
            (false, false) => self.report(
                &at.key("record"),
                format_args!("{whose}only one of 'record' and 'alert' must be set"),
            ),
            (true, true) => {
                self.report(at, format_args!("{whose}one of 'record' or 'alert' must be set"));
            }
            _ => {}
        }
        self.expression(&raw.expr, place);
        let hold_for = self.duration(raw.hold_for, &at.key("for")).unwrap_or_default();
        let keep_at = at.key("keep_firing_for");
        let keep_firing_for = self.duration(raw.keep_firing_for, &keep_at).unwrap_or_default();
        if !raw.record.is_empty() {
            self.recording(
                &raw.record,
                [
                    ("annotations", !raw.annotations.is_empty()),
                    ("for", !hold_for.is_zero()),
                    ("keep_firing_for", !keep_firing_for.is_zero()),
                ],
                place,
            );
        }
        self.label_names(&raw.labels, whose, &at.key("labels"));
        for name in raw.annotations.keys() {
            if !self.options.name_validation.is_valid_label_name(name) {
                let message = format!("{whose}invalid annotation name: {name}");
                self.report(&at.key("annotations").key(name), message);
            }
        }
        if raw.alert.is_empty() {
            let RawRule { record, expr: expression, labels, .. } = raw;
            return Rule::Recording(RecordingRule { record, expression, labels });
        }
        Rule::Alerting(AlertingRule {
            alert: raw.alert,
            expression: raw.expr,
            hold_for,
            keep_firing_for,
            labels: raw.labels,
            annotations: raw.annotations,
        })
    }

    fn expression(&mut self, expression: &str, place: &Place<'_>) {
        let (at, whose) = (place.at.key("expr"), &place.whose);
        if expression.is_empty() {
            self.report(&at, format_args!("{whose}field 'expr' must be set in rule"));
        } else if let Some(check) = self.options.check_expression
            && let Err(reason) = check(expression)
        {
            self.report(&at, format_args!("{whose}could not parse expression: {reason}"));
        }
    }

    /// A recording rule has no keys of an alert, and a name that can be one.
    fn recording(&mut self, name: &str, alert_keys: [(&str, bool); 3], place: &Place<'_>) {
        let (at, whose) = (place.at.key("record"), &place.whose);
        for (key, _) in alert_keys.into_iter().filter(|(_, is_given)| *is_given) {
            let message = format!("{whose}invalid field '{key}' in recording rule");
            self.report(&place.at.key(key), message);
        }
        if !self.options.name_validation.is_valid_metric_name(name) {
            self.report(&at, format_args!("{whose}invalid recording rule name: {name}"));
        }
        if name.contains(['{', '}']) {
            self.report(&at, format_args!("{whose}braces present in the recording rule name; should it be in expr?: {name}"));
        }
    }

    fn label_names(&mut self, labels: &BTreeMap<String, String>, whose: &str, at: &KeyPath<'_>) {
        for name in labels.keys() {
            let is_valid = self.options.name_validation.is_valid_label_name(name);
            if !is_valid || name == METRIC_NAME {
                self.report(&at.key(name), format_args!("{whose}invalid label name: {name}"));
            }
        }
    }

    fn duration(&mut self, text: Option<String>, at: &KeyPath<'_>) -> Option<Duration> {
        match parse_duration(&text?) {
            Ok(ms) => Some(Duration::from_millis(ms.unsigned_abs())),
            Err(err) => {
                self.report(at, err);
                None
            }
        }
    }

    fn report(&mut self, at: &KeyPath<'_>, message: impl Display) {
        if self.errors.len() >= ERROR_COUNT_MAX {
            return;
        }
        let (line, column) = self.document.locate(at);
        self.errors.push(ConfigError {
            file: None,
            line,
            column,
            key_path: at.to_string(),
            message: message.to_string(),
            hint: None,
            kind: ErrorKind::Check,
            origin: Origin::RuleFile,
        });
    }
}
