//! `config diff`: what one configuration changes about another, or about the one a server runs: sections,
//! jobs, targets written in the file, groups of rules, then the text itself as servers show it. Secrets are
//! masked; two that differ only in one compare equal.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, ArgMatches, Command as Parser, value_parser};
use prom_cli::Refusal;
use prom_config::{
    Changes, Config, IncludedFiles, LoadOptions, RoomChange, Sources, TextDiff, load_with,
};
use prom_lifecycle::CommandEnd;

use crate::{
    check::{fetch, http_client, must_be_file},
    output::{err, out},
};

/// Most names of one kind that are listed.
const NAME_COUNT_MAX: usize = 20;

/// What is compared with what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ConfigDiff {
    old: Old,
    new: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
enum Old {
    File(PathBuf),
    Server { url: String, http_config_file: Option<PathBuf> },
}

/// The parser of the family `config`.
pub(crate) fn command() -> Parser {
    let diff = Parser::new("diff")
        .about(
            "What changes from one configuration to another, or from the one that a server runs.",
        )
        .arg(
            Arg::new("server").long("server").value_name("URL").help(
                "Compare with the configuration that this server runs; one file is given then.",
            ),
        )
        .arg(
            Arg::new("http.config.file")
                .long("http.config.file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("HTTP client configuration file to connect to the server."),
        )
        .arg(
            Arg::new("config-files")
                .value_name("config-files")
                .action(ArgAction::Append)
                .num_args(0..)
                .value_parser(value_parser!(PathBuf))
                .help("The old and the new file, or the new one alone."),
        );
    Parser::new("config").about("Look at configurations.").subcommand(diff)
}

/// Understands `config diff`.
///
/// # Errors
/// See [`Refusal`].
pub(crate) fn parse(matches: &ArgMatches) -> Result<ConfigDiff, Refusal> {
    let files: Vec<&PathBuf> = matches.get_many("config-files").unwrap_or_default().collect();
    files.iter().try_for_each(|file| must_be_file(file))?;
    let server = matches.get_one::<String>("server").cloned();
    match (server, files.as_slice()) {
        (Some(url), [new]) => {
            let http_config_file = matches.get_one::<PathBuf>("http.config.file").cloned();
            let old = Old::Server { url, http_config_file };
            Ok(ConfigDiff { old, new: (*new).clone() })
        }
        (None, [old, new]) => {
            Ok(ConfigDiff { old: Old::File((*old).clone()), new: (*new).clone() })
        }
        (Some(_), _) => Err(Refusal::Usage("one file is compared with a server".to_owned())),
        (None, _) => Err(Refusal::Usage("two files are compared, or --server and one".to_owned())),
    }
}

/// Compares and tells the differences.
pub(crate) fn run(options: &ConfigDiff) -> CommandEnd {
    match load(options) {
        Ok((old, new)) => {
            tell(&old, &new);
            CommandEnd::Finished
        }
        Err(reason) => {
            err(&reason);
            CommandEnd::Faulted
        }
    }
}

fn load(options: &ConfigDiff) -> Result<(Config, Config), String> {
    let whole = |path: &Path| {
        load_with(path, &mut Sources::of_disk(), &LoadOptions::CHECK)
            .map_err(|errors| errors.to_string())
    };
    let new = whole(&options.new)?;
    match &options.old {
        Old::File(old) => Ok((whole(old)?, new)),
        Old::Server { url, http_config_file } => {
            let client = http_client(http_config_file.as_deref())?;
            let answer = fetch(client, url, "/api/v1/status/config")?;
            // A server shows its main file, without secrets: the new one is looked at in the same way.
            let old = load_shown(&options.new, &running(&answer)?)?;
            Ok((old, load_shown(&options.new, &new.redacted_yaml())?))
        }
    }
}

/// The configuration in the answer of a server.
fn running(answer: &str) -> Result<String, String> {
    let answer: serde_json::Value = serde_json::from_str(answer)
        .map_err(|error| format!("the server's answer is no JSON: {error}"))?;
    let yaml = answer.pointer("/data/yaml").and_then(serde_json::Value::as_str);
    yaml.map(str::to_owned)
        .ok_or_else(|| String::from("the server's answer holds no configuration"))
}

fn load_shown(path: &Path, yaml: &str) -> Result<Config, String> {
    let options = LoadOptions { included: IncludedFiles::None, ..LoadOptions::CHECK };
    let mut sources = Sources::with_text(path, yaml.as_bytes());
    load_with(path, &mut sources, &options).map_err(|errors| errors.to_string())
}

fn tell(old: &Config, new: &Config) {
    let mut changes = Changes::default();
    let jobs = |config: &Config| -> Vec<(String, String)> {
        // As they are shown: a secret that differs changes nothing that could be told.
        let jobs = config.scrape_configs.iter();
        jobs.map(|job| (job.job_name.clone(), format!("{job:?}"))).collect()
    };
    let (old_jobs, new_jobs) = (jobs(old), jobs(new));
    changes.add(between("scrape jobs", &old_jobs, &new_jobs));
    let (old_targets, new_targets) = (targets(old), targets(new));
    changes.add(between("targets", &old_targets, &new_targets));
    for part in Config::changed_parts(old, new) {
        changes.add(part);
    }
    out(&changes.to_string());
    for room in &changes.rooms {
        for (mark, names) in [('+', &room.added), ('-', &room.removed), ('~', &room.changed)] {
            for name in names.names.iter().take(NAME_COUNT_MAX) {
                out(&format!("  {mark} {}: {name}", room.subject));
            }
            let shown = names.names.len().min(NAME_COUNT_MAX) as u64;
            if names.count > shown {
                out(&format!("  {mark} {}: {} more", room.subject, names.count - shown));
            }
        }
    }
    let diff = TextDiff::between(&old.redacted_yaml(), &new.redacted_yaml());
    if !diff.is_empty() {
        out("");
        out(diff.to_unified().trim_end());
    }
}

fn between(subject: &str, old: &[(String, String)], new: &[(String, String)]) -> RoomChange {
    fn named(pairs: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
        pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
    RoomChange::between(subject, named(old), named(new))
}

/// Targets that stand in the file, by job and address, with their labels.
fn targets(config: &Config) -> Vec<(String, String)> {
    let mut targets: BTreeMap<String, String> = BTreeMap::new();
    for job in &config.scrape_configs {
        for group in &job.static_configs {
            for target in &group.targets {
                targets.insert(format!("{}/{target}", job.job_name), format!("{:?}", group.labels));
            }
        }
    }
    targets.into_iter().collect()
}
