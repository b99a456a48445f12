//! `config diff`: what one configuration changes about another, or about the one a server runs: sections,
//! jobs, targets, rules, then the text itself as servers show it. Secrets are masked; two that differ only
//! in one compare equal. Of two files those targets are compared that stand in them; of a server those that
//! it scrapes.

mod effect;

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
use serde_json::Value;

use self::effect::{Effect, Things};
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
    match compare(options) {
        Ok(comparison) => {
            comparison.tell();
            CommandEnd::Finished
        }
        Err(reason) => {
            err(&reason);
            CommandEnd::Faulted
        }
    }
}

/// Two configurations, and what one changes about the other.
struct Comparison {
    old: Config,
    new: Config,
    changes: Changes,
    /// What could not be compared.
    notes: Vec<String>,
}

fn compare(options: &ConfigDiff) -> Result<Comparison, String> {
    let whole = |path: &Path| {
        load_with(path, &mut Sources::of_disk(), &LoadOptions::CHECK)
            .map_err(|errors| errors.to_string())
    };
    let new = whole(&options.new)?;
    match &options.old {
        Old::File(old) => {
            let old = whole(old)?;
            let mut changes = changed_jobs(&old, &new);
            changes.add(between("targets", &targets(&old), &targets(&new)));
            Config::changed_parts(&old, &new).into_iter().for_each(|part| changes.add(part));
            Ok(Comparison { old, new, changes, notes: Vec::new() })
        }
        Old::Server { url, http_config_file } => {
            let client = http_client(http_config_file.as_deref())?;
            let ask = |path: &str| -> Result<Value, String> {
                let answer = fetch(client.clone(), url, path)?;
                serde_json::from_str(&answer)
                    .map_err(|error| format!("the server's answer is no JSON: {error}"))
            };
            compare_with_server(&ask, &options.new, &new)
        }
    }
}

/// A server shows its main file, without secrets and with paths from the root: the new one is looked at in
/// the same way, as if both stood in one folder. What it scrapes and which rules it has loaded it tells
/// elsewhere.
fn compare_with_server(
    ask: &dyn Fn(&str) -> Result<Value, String>,
    path: &Path,
    new: &Config,
) -> Result<Comparison, String> {
    let yaml = running(&ask("/api/v1/status/config")?)?;
    let folders = folders(ask);
    let here = new.file().parent().unwrap_or(Path::new("")).join("").display().to_string();
    let moved = folders.iter().fold(yaml, |yaml, there| yaml.replace(&format!("{there}/"), &here));
    let old = load_shown(path, &moved)?;
    let shown = load_shown(path, &new.redacted_yaml())?;
    let mut notes = Vec::new();
    let mut changes = changed_jobs(&old, &shown);
    match ask("/api/v1/targets?state=active") {
        Ok(answer) => {
            let Effect { old, new } = effect::targets(&answer, new, &mut notes);
            changes.add(between_things("targets", &old, &new));
        }
        Err(reason) => notes.push(format!("targets are not compared: {reason}")),
    }
    let [sections, _, _] = Config::changed_parts(&old, &shown);
    changes.add(sections);
    match ask("/api/v1/rules") {
        Ok(answer) => {
            let Effect { old, new } = effect::rules(&answer, new, &folders);
            changes.add(between_things("rules", &old, &new));
        }
        Err(reason) => notes.push(format!("rules are not compared: {reason}")),
    }
    Ok(Comparison { old, new: shown, changes, notes })
}

/// Where the server's main file may stand, as it names its rule files.
fn folders(ask: &dyn Fn(&str) -> Result<Value, String>) -> Vec<String> {
    let text = |path: &str, pointer: &str| {
        let answer = ask(path).ok()?;
        answer.pointer(pointer).and_then(Value::as_str).map(PathBuf::from)
    };
    let file = text("/api/v1/status/flags", "/data/config.file").unwrap_or_default();
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let from_root = text("/api/v1/status/runtimeinfo", "/data/CWD").map(|cwd| cwd.join(&folder));
    let folders = from_root.into_iter().chain([folder]);
    folders.map(|folder| folder.display().to_string()).filter(|it| !it.is_empty()).collect()
}

/// The configuration in the answer of a server.
fn running(answer: &Value) -> Result<String, String> {
    let yaml = answer.pointer("/data/yaml").and_then(Value::as_str);
    yaml.map(str::to_owned)
        .ok_or_else(|| String::from("the server's answer holds no configuration"))
}

fn load_shown(path: &Path, yaml: &str) -> Result<Config, String> {
    let options = LoadOptions { included: IncludedFiles::None, ..LoadOptions::CHECK };
    let mut sources = Sources::with_text(path, yaml.as_bytes());
    load_with(path, &mut sources, &options).map_err(|errors| errors.to_string())
}

fn changed_jobs(old: &Config, new: &Config) -> Changes {
    let jobs = |config: &Config| -> Vec<(String, String)> {
        // As they are shown: a secret that differs changes nothing that could be told.
        let jobs = config.scrape_configs.iter();
        jobs.map(|job| (job.job_name.clone(), format!("{job:?}"))).collect()
    };
    let mut changes = Changes::default();
    changes.add(between("scrape jobs", &jobs(old), &jobs(new)));
    changes
}

impl Comparison {
    fn tell(&self) {
        out(&self.changes.to_string());
        for note in &self.notes {
            out(&format!("  ? {note}"));
        }
        for room in &self.changes.rooms {
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
        let diff = TextDiff::between(&self.old.redacted_yaml(), &self.new.redacted_yaml());
        if !diff.is_empty() {
            out("");
            out(diff.to_unified().trim_end());
        }
    }
}

fn between_things(subject: &str, old: &Things, new: &Things) -> RoomChange {
    fn named(things: &Things) -> impl Iterator<Item = (&str, &str)> {
        things.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
    RoomChange::between(subject, named(old), named(new))
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
