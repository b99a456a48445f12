//! Targets that a configuration names itself or in files: whether they could be scraped.

use std::{
    fs,
    path::{Path, PathBuf},
};

use prom_config::{
    Config, DiscoveryConfig, HttpClientConfig, ScrapeConfig, Sources, StaticConfig,
    parse_target_file,
};
use prom_model::{Labels, quote_go};
use prom_scrape::explain_target;

use super::go_words;
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
        check_groups(job, &groups)?;
    }
    check_groups(job, &job.static_configs)
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

fn check_groups(job: &ScrapeConfig, groups: &[StaticConfig]) -> Result<(), String> {
    for group in groups {
        let labels = Labels::from_pairs(group.labels.iter().map(|(name, value)| (name, value)));
        for (i, target) in group.targets.iter().enumerate() {
            let target = Labels::from_pairs([("__address__", target)]);
            if let Some(reason) = explain_target(job, &target, &labels).refusal {
                return Err(format!("instance {i} in group : {reason}"));
            }
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

fn read_pattern(pattern: &Path, whose: &str) -> Result<Vec<StaticConfig>, String> {
    let files = Sources::of_disk().glob(pattern).map_err(|error| error.to_string())?;
    let shown = quote_go(&pattern.display().to_string());
    if files.is_empty() {
        out(&format!("  WARNING: file {shown} for file_sd in {whose} does not exist"));
    }
    let mut groups = Vec::new();
    for file in files {
        let read = read_file(&file).map_err(|reason| format!("checking SD file {shown}: {reason}"));
        groups.extend(read?);
    }
    Ok(groups)
}

/// The groups of one file.
pub(crate) fn read_file(file: &Path) -> Result<Vec<StaticConfig>, String> {
    let bytes =
        fs::read(file).map_err(|error| format!("open {}: {}", file.display(), go_words(&error)))?;
    let extension = file.extension().unwrap_or_default().to_string_lossy().into_owned();
    match extension.to_ascii_lowercase().as_str() {
        "json" | "yml" | "yaml" => {
            parse_target_file(file, &bytes).map_err(|errors| errors.first_line())
        }
        _ => {
            let extension = if extension.is_empty() { extension } else { format!(".{extension}") };
            Err(format!("invalid file extension: {}", quote_go(&extension)))
        }
    }
}
