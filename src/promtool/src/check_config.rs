//! `check config`: whether a server would start with these files.
//! Compat: `promtool check config` of Prometheus 3.5; the lines after a failure's first are ours.

use std::{path::Path, time::Duration};

use prom_config::{Config, HttpAuth, Source, load_file};
use prom_lifecycle::CommandEnd;
use prom_model::{format_duration, quote_go};

use crate::{
    cli::CheckConfig,
    output::{err, out},
};

/// Checks each file and tells the verdicts.
pub(crate) fn run(options: &CheckConfig) -> CommandEnd {
    let lookback_delta = lint_lookback_delta(options);
    let (mut has_errors, mut has_lint) = (false, false);
    for file in &options.files {
        out(&format!("Checking {}", file.display()));
        let config = check(file, options.syntax_only);
        match &config {
            Ok(_) => {
                let file = file.display();
                out(&format!(" SUCCESS: {file} is valid prometheus config file syntax"));
            }
            Err(reason) => {
                err(&format!("  FAILED: {reason}"));
                has_errors = true;
            }
        }
        out("");
        if let (Ok(config), Some(lookback_delta), false) =
            (&config, lookback_delta, options.syntax_only)
        {
            has_lint |= lint(config, lookback_delta);
        }
    }
    match (has_errors, has_lint && options.lint_fatal) {
        (true, _) => CommandEnd::Faulted,
        (false, true) => CommandEnd::LintFound,
        (false, false) => CommandEnd::Finished,
    }
}

fn check(file: &Path, syntax_only: bool) -> Result<Config, String> {
    let config = load_file(file).map_err(|errors| errors.to_string())?;
    if !syntax_only {
        check_files(&config)?;
    }
    Ok(config)
}

/// Files that the configuration names must be there.
fn check_files(config: &Config) -> Result<(), String> {
    for job in &config.scrape_configs {
        let Some(HttpAuth::Authorization { credentials: Source::File(file), .. }) =
            &job.http_client.auth
        else {
            continue;
        };
        file.metadata().map_err(|error| {
            let name = file.display().to_string();
            let reason = error.to_string().to_lowercase();
            let reason = reason.split(" (os error").next().unwrap_or_default();
            format!(
                "error checking authorization credentials or bearer token file {}: stat {name}: {reason}",
                quote_go(&name)
            )
        })?;
    }
    Ok(())
}

/// What scrape intervals are compared with, if they are linted at all. Unknown names only warn.
fn lint_lookback_delta(options: &CheckConfig) -> Option<Duration> {
    let names: Vec<&str> = options.lint.split(',').collect();
    for name in &names {
        if !["all", "none", "duplicate-rules", "too-long-scrape-interval"].contains(name) {
            out(&format!("WARNING: unknown lint option: {}", quote_go(name)));
        }
    }
    let is_wanted = names.contains(&"all") || names.contains(&"too-long-scrape-interval");
    let is_wanted = is_wanted && !names.contains(&"none") && !options.lookback_delta.is_zero();
    is_wanted.then_some(options.lookback_delta)
}

/// Whether some job scrapes so seldom that its samples go stale in between.
fn lint(config: &Config, lookback_delta: Duration) -> bool {
    let late = config.scrape_configs.iter().find(|job| job.scrape_interval >= lookback_delta);
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
