//! `check rules`: whether rule files hold rules, and no rule twice.
//! Compat: `promtool check rules` of Prometheus 3.14.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use prom_config::{ConfigError, RuleFile, RuleOptions, parse_rules};
use prom_lifecycle::CommandEnd;
use prom_model::{NameValidation, quote_go};
use prom_promql::{ParseOptions, parse};

use super::{Findings, args::RulesOptions, go_words};
use crate::output::{err, out};

/// Largest rule file, as the server's limit.
const FILE_SIZE_BYTES_MAX: u64 = prom_config::FILE_SIZE_BYTES_MAX;

/// Checks files, or what is written to standard input.
pub(crate) fn run(options: &RulesOptions) -> CommandEnd {
    let lint = RuleLint::of(&options.lint, options.ignores_unknown_fields);
    if !options.files.is_empty() {
        let findings = check_files(&options.files, &lint, NameValidation::Utf8);
        return findings.end(options.lint_fatal);
    }
    out("Checking standard input");
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(FILE_SIZE_BYTES_MAX).read_to_end(&mut bytes);
    if let Err(error) = read {
        err(&format!("  FAILED: {}", go_words(&error)));
        return CommandEnd::Faulted;
    }
    check_text(None, &bytes, &lint, NameValidation::Utf8).end(options.lint_fatal)
}

/// Which lints are wanted, and how strict parsing is.
pub(crate) struct RuleLint {
    finds_duplicates: bool,
    ignores_unknown_fields: bool,
}

impl RuleLint {
    /// Comma separated names; unknown ones only warn.
    pub(crate) fn of(names: &str, ignores_unknown_fields: bool) -> Self {
        let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
        for name in &names {
            if !["all", "none", "duplicate-rules"].contains(name) {
                out(&format!("WARNING: unknown lint option: {}", quote_go(name)));
            }
        }
        let finds_duplicates = names.iter().any(|name| matches!(*name, "all" | "duplicate-rules"));
        Self { finds_duplicates, ignores_unknown_fields }
    }
}

/// Checks each file and tells the verdicts.
pub(crate) fn check_files(
    files: &[PathBuf],
    lint: &RuleLint,
    name_validation: NameValidation,
) -> Findings {
    let mut findings = Findings::default();
    for file in files {
        out(&format!("Checking {}", file.display()));
        match read(file) {
            Ok(bytes) => findings.add(check_text(Some(file), &bytes, lint, name_validation)),
            Err(reason) => {
                err(&format!("  FAILED:\n{}: {reason}", file.display()));
                findings.add(Findings::ERROR);
            }
        }
    }
    findings
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let failed = |error| format!("open {}: {}", file.display(), go_words(&error));
    let size_bytes = file.metadata().map_err(failed)?.len();
    if size_bytes > FILE_SIZE_BYTES_MAX {
        return Err(format!(
            "file has {size_bytes} bytes, more than the limit of {FILE_SIZE_BYTES_MAX}"
        ));
    }
    fs::read(file).map_err(failed)
}

fn check_text(
    file: Option<&Path>,
    bytes: &[u8],
    lint: &RuleLint,
    name_validation: NameValidation,
) -> Findings {
    let check = |expression: &str| {
        let parsed = parse(expression, &ParseOptions::default());
        parsed.map(drop).map_err(|errors| errors.to_string())
    };
    let options = RuleOptions {
        check_expression: Some(&check),
        name_validation,
        ignores_unknown_fields: lint.ignores_unknown_fields,
    };
    match parse_rules(file.unwrap_or(Path::new("-")), bytes, &options) {
        Ok(rules) => told(&rules, lint),
        Err(errors) => {
            err("  FAILED:");
            let prefix = file.map(|file| format!("{}: ", file.display())).unwrap_or_default();
            for line in prom_config::rule_error_lines(&errors) {
                err(&format!("{prefix}{line}"));
            }
            for hint in errors.iter().filter_map(hint) {
                err(&format!("{prefix}{hint}"));
            }
            Findings::ERROR
        }
    }
}

fn hint(error: &ConfigError) -> Option<String> {
    let hint = error.hint.as_ref()?;
    Some(format!("{}:{}: {}: {hint}", error.line, error.column, error.key_path))
}

fn told(rules: &RuleFile, lint: &RuleLint) -> Findings {
    let duplicates = if lint.finds_duplicates { duplicates(rules) } else { Vec::new() };
    if duplicates.is_empty() {
        let count: usize = rules.groups.iter().map(|group| group.rules.len()).sum();
        out(&format!("  SUCCESS: {count} rules found\n"));
        return Findings::default();
    }
    let mut text = format!("lint error {} duplicate rule(s) found.\n", duplicates.len());
    for (name, labels) in duplicates {
        text.push_str(&format!("Metric: {name}\nLabel(s):\n"));
        for (label, value) in labels {
            text.push_str(&format!("\t{label}: {value}\n"));
        }
    }
    text.push_str("Might cause inconsistency while recording expressions");
    err(&format!("  FAILED:\n{text}"));
    out("");
    Findings { has_errors: false, has_lint: true }
}

/// Names and labels that more than one rule has, each once and in order.
fn duplicates(rules: &RuleFile) -> Vec<(&str, BTreeMap<&str, &str>)> {
    let mut all = Vec::new();
    for group in &rules.groups {
        for rule in &group.rules {
            // A rule's own label wins.
            let labels = group.labels.iter().chain(rule.labels());
            let labels: BTreeMap<&str, &str> =
                labels.map(|(name, value)| (name.as_str(), value.as_str())).collect();
            all.push((rule.name(), labels));
        }
    }
    all.sort();
    let repeated = all.chunk_by(|one, other| one == other).filter(|same| same.len() > 1);
    repeated.filter_map(|same| same.first().cloned()).collect()
}
