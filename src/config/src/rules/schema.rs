//! A rule file as it is written: nothing is checked but the kind of each value.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::yaml::Schema;

/// The schema of rule files.
pub(super) static SCHEMA: Schema = Schema { type_name, inline_fields, is_secret: |_| false };

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "rulefmt.RuleGroups", default)]
pub(super) struct RawRuleFile {
    pub(super) groups: Vec<RawGroup>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "rulefmt.RuleGroup", default)]
pub(super) struct RawGroup {
    pub(super) name: String,
    pub(super) interval: Option<String>,
    pub(super) query_offset: Option<String>,
    pub(super) limit: i64,
    pub(super) rules: Vec<RawRule>,
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "rulefmt.Rule", default)]
pub(super) struct RawRule {
    pub(super) record: String,
    pub(super) alert: String,
    pub(super) expr: String,
    #[serde(rename = "for")]
    pub(super) hold_for: Option<String>,
    pub(super) keep_firing_for: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

fn type_name(_: &str, key: &str) -> Option<&'static str> {
    match key {
        "groups" => Some("[]rulefmt.RuleGroup"),
        "rules" => Some("[]rulefmt.Rule"),
        "labels" | "annotations" => Some("map[string]string"),
        _ => None,
    }
}

fn inline_fields(_: &str) -> &'static [&'static str] {
    &[]
}
