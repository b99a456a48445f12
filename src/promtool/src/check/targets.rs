//! Targets that a configuration names itself or in files: whether they could be scraped.

use std::path::{Path, PathBuf};

use prom_config::{Config, DiscoveryConfig, HttpClientConfig, ScrapeConfig, Sources, StaticConfig};
use prom_discovery::{TargetGroup, read_target_file};
use prom_model::{Labels, quote_go};
use prom_scrape::explain_target;

use crate::output::out;

/// Clients of mechanisms whose certificates are looked at.
pub(crate) fn discovery_clients(job: &ScrapeConfig) -> impl Iterator<Item = &HttpClientConfig> {
    job.discovery_configs.iter().filter_map(|config| match config {
        DiscoveryConfig::Kubernetes(sd) => Some(&sd.http_client),
        _ => None,
    })
}

/// Checks the targets of a job, those in files included.
pub(crate) fn check_job(job: &ScrapeConfig) -> Result<(), String> {
    for pattern in file_patterns(&job.discovery_configs) {
        let groups = read_pattern(pattern, &format!("scrape job {}", quote_go(&job.job_name)))?;
        for group in groups {
            check_group(job, &group.targets, &group.labels)?;
        }
    }
    for group in &job.static_configs {
        let (targets, labels) = static_targets(group);
        check_group(job, &targets, &labels)?;
    }
    Ok(())
}

/// Targets of a group that is written in the configuration, and the labels of all of them.
pub(crate) fn static_targets(group: &StaticConfig) -> (Vec<Labels>, Labels) {
    let target = |target: &String| Labels::from_pairs([("__address__", target)]);
    let labels = Labels::from_pairs(group.labels.iter().map(|(name, value)| (name, value)));
    (group.targets.iter().map(target).collect(), labels)
}

/// Checks the files of targets that the Alertmanagers' sections name.
pub(crate) fn check_alertmanager_files(config: &Config) -> Result<(), String> {
    for alertmanager in &config.alerting.alertmanagers {
        for pattern in file_patterns(&alertmanager.discovery_configs) {
            read_pattern(pattern, "alertmanager config")?;
        }
    }
    Ok(())
}

fn check_group(job: &ScrapeConfig, targets: &[Labels], labels: &Labels) -> Result<(), String> {
    for (i, target) in targets.iter().enumerate() {
        if let Some(reason) = explain_target(job, target, labels).refusal {
            return Err(format!("instance {i} in group : {reason}"));
        }
    }
    Ok(())
}

/// Patterns of `file_sd_configs`.
pub(crate) fn file_patterns(configs: &[DiscoveryConfig]) -> impl Iterator<Item = &Path> {
    configs
        .iter()
        .filter_map(|config| match config {
            DiscoveryConfig::File(sd) => Some(sd.files.iter().map(PathBuf::as_path)),
            _ => None,
        })
        .flatten()
}

fn read_pattern(pattern: &Path, whose: &str) -> Result<Vec<TargetGroup>, String> {
    let files = Sources::of_disk().glob(pattern).map_err(|error| error.to_string())?;
    let shown = quote_go(&pattern.display().to_string());
    if files.is_empty() {
        out(&format!("  WARNING: file {shown} for file_sd in {whose} does not exist"));
    }
    let mut groups = Vec::new();
    for file in files {
        let read =
            read_target_file(&file).map_err(|reason| format!("checking SD file {shown}: {reason}"));
        groups.extend(read?);
    }
    Ok(groups)
}
