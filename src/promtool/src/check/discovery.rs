//! `check service-discovery`: the targets of a job before and after relabelling, as JSON.
//! Compat: `promtool check service-discovery` of Prometheus 3.14; an error is its text. As there, a mechanism
//! that fails says so and finds nothing. Other than there, the answer is told as soon as all mechanisms have
//! answered.

use std::time::Duration;

use prom_config::{
    Config, DiscoveryConfig, IncludedFiles, LoadOptions, ScrapeConfig, Sources, load_with,
};
use prom_discovery::{TargetGroup, discover_once, read_target_file};
use prom_lifecycle::CommandEnd;
use prom_model::Labels;
use prom_scrape::{ExplainedTarget, explain_target};
use serde_json::{Map, Value, json};

use super::{args::DiscoveryOptions, targets};
use crate::output::{err, out};

/// Within the time that the command line gives.
const NO_ANSWER: &str = "context deadline exceeded";
const USER_AGENT: &str = concat!("promtool/", env!("CARGO_PKG_VERSION"));

/// Finds the targets of the job and prints them.
pub(crate) fn run(options: &DiscoveryOptions) -> CommandEnd {
    let load = LoadOptions { included: IncludedFiles::Jobs, ..LoadOptions::CHECK };
    let config = match load_with(&options.config_file, &mut Sources::of_disk(), &load) {
        Ok(config) => config,
        Err(errors) => return failed(&format!("Cannot load config {}", errors.first_line())),
    };
    let Some(job) = config.scrape_config(&options.job) else { return not_found(&config, options) };
    match discover_all(job, options.timeout) {
        Ok(targets) => {
            let targets: Vec<Value> = targets.iter().map(to_json).collect();
            let text = serde_json::to_string_pretty(&targets).unwrap_or_default();
            out(&text);
            CommandEnd::Finished
        }
        Err(reason) => failed(&reason),
    }
}

fn failed(reason: &str) -> CommandEnd {
    err(reason);
    CommandEnd::Faulted
}

fn not_found(config: &Config, options: &DiscoveryOptions) -> CommandEnd {
    err(&format!("Job {} not found. Select one of:", options.job));
    for job in &config.scrape_configs {
        err(&format!("\t{}", job.job_name));
    }
    CommandEnd::Faulted
}

/// The targets of a job that are found without asking anybody, each once.
///
/// # Errors
/// Others would have to be asked, or a file cannot be read.
pub(crate) fn discover(job: &ScrapeConfig) -> Result<Vec<ExplainedTarget>, String> {
    match job.discovery_configs.iter().find(|config| !matches!(config, DiscoveryConfig::File(_))) {
        Some(config) => Err(format!("what {} find is known to the server alone", config.key())),
        None => found(job, &[]),
    }
}

/// All targets of a job, each once.
fn discover_all(job: &ScrapeConfig, timeout: Duration) -> Result<Vec<ExplainedTarget>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let configs = job.discovery_configs.iter();
    let configs = configs.filter(|config| !matches!(config, DiscoveryConfig::File(_)));
    let asked = runtime.block_on(async {
        let mut asked = Vec::new();
        let deadline = tokio::time::Instant::now() + timeout;
        for config in configs {
            let asking = tokio::time::timeout_at(deadline, discover_once(config, USER_AGENT));
            let reason = match asking.await {
                Ok(Ok(groups)) => {
                    asked.extend(groups);
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => NO_ANSWER.to_owned(),
            };
            err(&format!("Unable to refresh target groups: {}: {reason}", config.name()));
        }
        asked
    });
    // What hangs in a system call has been given up, and must not be waited for now.
    runtime.shutdown_background();
    found(job, &asked)
}

/// Targets that were asked for, then those of files, then those of the job itself.
fn found(job: &ScrapeConfig, asked: &[TargetGroup]) -> Result<Vec<ExplainedTarget>, String> {
    let mut found: Vec<ExplainedTarget> = Vec::new();
    for group in asked {
        add(job, &group.targets, &group.labels, &mut found);
    }
    for pattern in targets::file_patterns(&job.discovery_configs) {
        let files = Sources::of_disk().glob(pattern).map_err(|error| error.to_string())?;
        for file in files {
            for group in read_target_file(&file)? {
                add(job, &group.targets, &group.labels, &mut found);
            }
        }
    }
    for group in &job.static_configs {
        let (targets, labels) = targets::static_targets(group);
        add(job, &targets, &labels, &mut found);
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|target| seen.insert((target.discovered.clone(), target.labels.clone())));
    Ok(found)
}

fn add(job: &ScrapeConfig, targets: &[Labels], labels: &Labels, found: &mut Vec<ExplainedTarget>) {
    found.extend(targets.iter().map(|target| explain_target(job, target, labels)));
}

fn to_json(target: &ExplainedTarget) -> Value {
    let labels = |labels: &Labels| {
        let pairs = labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
        Value::Object(pairs.collect::<Map<String, Value>>())
    };
    let mut value = json!({
        "discoveredLabels": labels(&target.discovered),
        "labels": labels(&target.labels),
    });
    if let (Some(reason), Some(map)) = (&target.refusal, value.as_object_mut()) {
        map.insert(String::from("error"), Value::from(reason.as_str()));
    }
    value
}
