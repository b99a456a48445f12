//! Rule files: groups of recording and alerting rules, parsed and checked. What an expression is, only the
//! caller knows: it lends a check. Nothing is evaluated here, and templates are not looked into.
//! Compat: prometheus `model/rulefmt/rulefmt.go`.

mod check;
mod schema;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use prom_model::NameValidation;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    ConfigError, ExprCheck,
    error::Origin,
    yaml::{Decoded, Document, decode, to_text},
};
use check::GroupChecker;
use schema::{RawRuleFile, SCHEMA};

/// One rule file.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleFile {
    pub path: PathBuf,
    /// In the order of the file; names are unique in it.
    pub groups: Vec<Arc<RuleGroup>>,
    pub(crate) content_hash: u64,
}

/// Rules that are evaluated one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleGroup {
    /// Never empty.
    pub name: String,
    /// `None` for `global.evaluation_interval`.
    pub interval: Option<Duration>,
    /// `None` for `global.rule_query_offset`.
    pub query_offset: Option<Duration>,
    /// Most alerts or series of a rule; 0 for no limit.
    pub limit: i64,
    /// Added to every rule; a rule's own label wins.
    pub labels: BTreeMap<String, String>,
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    Recording(RecordingRule),
    Alerting(AlertingRule),
}

/// `record`: the value of an expression becomes a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingRule {
    /// The metric's name.
    pub record: String,
    pub expression: String,
    pub labels: BTreeMap<String, String>,
}

/// `alert`: every series of an expression's value is an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertingRule {
    pub alert: String,
    pub expression: String,
    /// How long it must hold before it fires.
    pub hold_for: Duration,
    /// How long it still fires when it no longer holds.
    pub keep_firing_for: Duration,
    /// Templates.
    pub labels: BTreeMap<String, String>,
    /// Templates.
    pub annotations: BTreeMap<String, String>,
}

impl RuleFile {
    /// Of all its groups.
    pub fn rule_count(&self) -> usize {
        self.groups.iter().map(|group| group.rules.len()).sum()
    }
}

impl Rule {
    /// The alert's or the metric's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Recording(rule) => &rule.record,
            Self::Alerting(rule) => &rule.alert,
        }
    }

    pub fn expression(&self) -> &str {
        match self {
            Self::Recording(rule) => &rule.expression,
            Self::Alerting(rule) => &rule.expression,
        }
    }

    pub fn labels(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Recording(rule) => &rule.labels,
            Self::Alerting(rule) => &rule.labels,
        }
    }
}

/// How rules are checked.
#[derive(Clone, Copy)]
pub struct RuleOptions<'o> {
    /// Expressions are taken as they are without it.
    pub check_expression: Option<&'o ExprCheck<'o>>,
    pub name_validation: NameValidation,
    pub ignores_unknown_fields: bool,
}

impl std::fmt::Debug for RuleOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuleOptions")
            .field("checks_expressions", &self.check_expression.is_some())
            .field("name_validation", &self.name_validation)
            .field("ignores_unknown_fields", &self.ignores_unknown_fields)
            .finish()
    }
}

/// Parses and checks the text of a rule file.
///
/// # Errors
/// All that is wrong with it, in the order of the file.
pub fn parse_rules(
    path: &Path,
    bytes: &[u8],
    options: &RuleOptions<'_>,
) -> Result<RuleFile, Vec<ConfigError>> {
    let named = |mut errors: Vec<ConfigError>| {
        errors.iter_mut().for_each(|error| {
            error.file = Some(path.to_owned());
            error.origin = Origin::RuleFile;
        });
        errors
    };
    let syntax = |fault| named(vec![crate::load::syntax_error(fault)]);
    let text = to_text(bytes).map_err(syntax)?;
    let document = Document::parse(&text).map_err(syntax)?;
    let Decoded { value: raw, mut errors, is_partial } = decode::<RawRuleFile>(&document, &SCHEMA);
    if options.ignores_unknown_fields {
        errors.retain(|error| !error.is_unknown_field());
    }
    if is_partial || !errors.is_empty() {
        return Err(named(errors));
    }
    let mut checker = GroupChecker { document: &document, options, errors };
    let groups = checker.groups(raw.groups);
    if !checker.errors.is_empty() {
        return Err(named(checker.errors));
    }
    Ok(RuleFile { path: path.to_owned(), groups, content_hash: xxh3_64(bytes) })
}

#[cfg(test)]
mod tests;
