//! `check config`: whether a server would take these files.
//! Compat: `promtool check config` of Prometheus 3.14; the lines after a failure's first are ours.

use std::path::{Path, PathBuf};

use prom_config::{
    Config, HttpAuth, HttpClientConfig, IncludedFiles, LoadOptions, ScrapeConfig, Source, Sources,
    TlsConfig, load_with,
};
use prom_lifecycle::CommandEnd;
use prom_model::{format_duration, quote_go};

use super::{Findings, args::ConfigOptions, excerpt, go_words, rules, rules::RuleLint, targets};
use crate::output::{err, out};

/// Checks each file and tells the verdicts.
pub(crate) fn run(options: &ConfigOptions) -> CommandEnd {
    let lint = Lint::of(options);
    let mut findings = Findings::default();
    for file in &options.files {
        out(&format!("Checking {}", file.display()));
        let checked = check(file, options);
        match &checked {
            Ok((_, rule_files)) => {
                if !rule_files.is_empty() {
                    out(&format!("  SUCCESS: {} rule files found", rule_files.len()));
                }
                let file = file.display();
                out(&format!(" SUCCESS: {file} is valid prometheus config file syntax"));
            }
            Err(reason) => {
                err(&format!("  FAILED: {reason}"));
                findings.add(Findings::ERROR);
            }
        }
        out("");
        if let (Ok((config, rule_files)), false) = (&checked, options.syntax_only) {
            findings.has_lint |= lint.has_long_interval(config);
            let validation = config.global.name_validation();
            findings.add(rules::check_files(rule_files, &lint.rules, validation));
        }
    }
    findings.end(options.lint_fatal)
}

/// The configuration and the files of its rules.
fn check(file: &Path, options: &ConfigOptions) -> Result<(Config, Vec<PathBuf>), String> {
    let included = if options.syntax_only { IncludedFiles::None } else { IncludedFiles::Jobs };
    let load = LoadOptions { included, is_agent: options.is_agent, ..LoadOptions::CHECK };
    let mut sources = Sources::of_disk();
    let config = load_with(file, &mut sources, &load).map_err(|errors| {
        let is_included = errors.errors.first().is_some_and(|error| error.file.is_some());
        let prefix = if is_included { "error loading scrape configs: " } else { "" };
        format!("{prefix}{}", excerpt::with_excerpts(&errors, &sources))
    })?;
    let rule_files = match options.syntax_only {
        true => Vec::new(),
        false => rule_files(&config, &mut sources)?,
    };
    if !options.syntax_only {
        config.scrape_configs.iter().try_for_each(|job| check_job(job))?;
        targets::check_alertmanager_files(&config)?;
    }
    Ok((config, rule_files))
}

/// The files of all patterns; one that is named without an asterisk must be there.
fn rule_files(config: &Config, sources: &mut Sources) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for pattern in config.rule_file_patterns() {
        let found = sources.glob(Path::new(pattern)).map_err(|error| error.to_string())?;
        if !pattern.contains('*') {
            let Some(first) = found.first() else {
                return Err(format!("{} does not point to an existing file", quote_go(pattern)));
            };
            must_exist(first, "error checking rule file")?;
        }
        files.extend(found);
    }
    Ok(files)
}

/// Files that a job names must be there, and its targets must be such.
fn check_job(job: &ScrapeConfig) -> Result<(), String> {
    if let Some(HttpAuth::Authorization { credentials: Source::File(file), .. }) =
        &job.http_client.auth
    {
        must_exist(file, "error checking authorization credentials or bearer token file")?;
    }
    check_tls(&job.http_client.tls)?;
    for client in targets::discovery_clients(job) {
        let HttpClientConfig { tls, .. } = client;
        check_tls(tls)?;
    }
    targets::check_job(job)
}

fn check_tls(tls: &TlsConfig) -> Result<(), String> {
    for (file, what) in [
        (&tls.cert_file, "error checking client cert file"),
        (&tls.key_file, "error checking client key file"),
    ] {
        if !file.as_os_str().is_empty() {
            must_exist(file, what)?;
        }
    }
    Ok(())
}

fn must_exist(file: &Path, what: &str) -> Result<(), String> {
    file.metadata().map(drop).map_err(|error| {
        let name = file.display().to_string();
        format!("{what} {}: stat {name}: {}", quote_go(&name), go_words(&error))
    })
}

/// Which lints are wanted. Unknown names only warn.
struct Lint {
    rules: RuleLint,
    /// Longest scrape interval, in milliseconds and exclusive; 0 if it is not looked at.
    interval_ms_max: u128,
}

impl Lint {
    fn of(options: &ConfigOptions) -> Self {
        let names: Vec<&str> = options.lint.split(',').collect();
        let is_none = names.contains(&"none");
        let is_interval = |name: &&str| matches!(*name, "all" | "too-long-scrape-interval");
        let looks_at_intervals = !is_none && names.iter().any(is_interval);
        let for_rules = names
            .iter()
            .filter(|name| !is_none && !matches!(**name, "too-long-scrape-interval" | "none"));
        let for_rules: Vec<&str> = for_rules.copied().collect();
        Self {
            rules: RuleLint::of(&for_rules.join(","), options.ignores_unknown_fields),
            interval_ms_max: match looks_at_intervals {
                true => options.lookback_delta.as_millis(),
                false => 0,
            },
        }
    }

    /// Whether some job scrapes so seldom that its samples go stale in between.
    fn has_long_interval(&self, config: &Config) -> bool {
        let is_late = |job: &ScrapeConfig| {
            self.interval_ms_max > 0 && job.scrape_interval.as_millis() >= self.interval_ms_max
        };
        let late = config.scrape_configs.iter().find(|job| is_late(job));
        if let Some(job) = late {
            let interval_ms = i64::try_from(job.scrape_interval.as_millis()).unwrap_or(i64::MAX);
            err(&format!(
                "  FAILED: too long scrape interval found, data point will be marked as stale - job: {}, interval: {}",
                job.job_name,
                format_duration(interval_ms)
            ));
        }
        late.is_some()
    }
}
