//! What the commands of `check` are given.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Arg, ArgAction, ArgMatches, Command as Parser, value_parser};
use prom_cli::{Refusal, switch};
use prom_model::parse_go_duration;

/// One command of the family.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Config(ConfigOptions),
    Rules(RulesOptions),
    WebConfig(Vec<PathBuf>),
    Server(ServerOptions),
    Discovery(DiscoveryOptions),
}

/// `check config`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ConfigOptions {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) syntax_only: bool,
    /// Comma separated names of lints.
    pub(crate) lint: String,
    pub(crate) lint_fatal: bool,
    pub(crate) ignores_unknown_fields: bool,
    pub(crate) is_agent: bool,
    pub(crate) lookback_delta: Duration,
}

/// `check rules`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RulesOptions {
    /// Standard input if there are none.
    pub(crate) files: Vec<PathBuf>,
    /// Comma separated names of lints.
    pub(crate) lint: String,
    pub(crate) lint_fatal: bool,
    pub(crate) ignores_unknown_fields: bool,
}

/// `check healthy` and `check ready`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerOptions {
    /// `/-/healthy` or `/-/ready`.
    pub(crate) endpoint: &'static str,
    pub(crate) url: String,
    pub(crate) http_config_file: Option<PathBuf>,
}

/// `check service-discovery`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DiscoveryOptions {
    pub(crate) config_file: PathBuf,
    pub(crate) job: String,
    /// For all answers together.
    pub(crate) timeout: Duration,
}

/// The parser of the family.
pub(crate) fn command() -> Parser {
    let lookback_delta = Arg::new("query.lookback-delta")
        .long("query.lookback-delta")
        .value_name("DURATION")
        .default_value("5m")
        .global(true)
        .help("The server's maximum query lookback duration.");
    Parser::new("check").about("Check the resources for validity.").arg(lookback_delta).subcommands(
        [
            config(),
            rules(),
            Parser::new("web-config")
                .about("Check if the web config files are valid or not.")
                .arg(files("web-config-files", "The config files to check.")),
            server("healthy", "Check if the Prometheus server is healthy."),
            server("ready", "Check if the Prometheus server is ready."),
            discovery(),
        ],
    )
}

fn config() -> Parser {
    Parser::new("config")
        .about("Check if the config files are valid or not.")
        .args(switch("syntax-only", "Only check the config file syntax, ignoring file and content validation referenced in the config"))
        .arg(lint("Linting checks to apply, comma separated: all, duplicate-rules, none, too-long-scrape-interval"))
        .args(switch("lint-fatal", "Make lint errors exit with exit code 3."))
        .args(switch("ignore-unknown-fields", "Ignore unknown fields in the rule groups read by the config files."))
        .args(switch("agent", "Check config file for Prometheus in Agent mode."))
        .arg(files("config-files", "The config files to check."))
}

fn rules() -> Parser {
    Parser::new("rules")
        .about("Check if the rule files are valid or not.")
        .arg(lint("Linting checks to apply, comma separated: all, duplicate-rules, none"))
        .args(switch("lint-fatal", "Make lint errors exit with exit code 3."))
        .args(switch("ignore-unknown-fields", "Ignore unknown fields in the rule files."))
        .arg(files("rule-files", "The rule files to check, default is read from standard input."))
}

fn server(name: &'static str, about: &'static str) -> Parser {
    Parser::new(name)
        .about(about)
        .arg(
            Arg::new("http.config.file")
                .long("http.config.file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("HTTP client configuration file to connect to the server."),
        )
        .arg(
            Arg::new("url")
                .long("url")
                .value_name("URL")
                .default_value("http://localhost:9090")
                .help("The URL for the Prometheus server."),
        )
}

fn discovery() -> Parser {
    Parser::new("service-discovery")
        .about("Perform service discovery for the given job name and report the results, including relabeling.")
        .arg(
            Arg::new("timeout")
                .long("timeout")
                .value_name("DURATION")
                .default_value("30s")
                .help("The time to wait for discovery results."),
        )
        .arg(Arg::new("config-file").value_parser(value_parser!(PathBuf)))
        .arg(Arg::new("job"))
}

fn lint(help: &'static str) -> Arg {
    Arg::new("lint").long("lint").value_name("LINTS").default_value("duplicate-rules").help(help)
}

fn files(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .value_name(name)
        .action(ArgAction::Append)
        .num_args(0..)
        .value_parser(value_parser!(PathBuf))
        .help(help)
}

/// Understands one command of the family.
///
/// # Errors
/// See [`Refusal`].
pub(crate) fn parse(name: &str, matches: &ArgMatches) -> Result<Check, Refusal> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    match name {
        "config" => Ok(Check::Config(ConfigOptions {
            files: required_files(matches, "config-files")?,
            syntax_only: matches.get_flag("syntax-only"),
            lint: text("lint"),
            lint_fatal: matches.get_flag("lint-fatal"),
            ignores_unknown_fields: matches.get_flag("ignore-unknown-fields"),
            is_agent: matches.get_flag("agent"),
            lookback_delta: go_duration(&text("query.lookback-delta"))?,
        })),
        "rules" => {
            let files = given_files(matches, "rule-files");
            files.iter().try_for_each(|file| must_be_file(file))?;
            Ok(Check::Rules(RulesOptions {
                files,
                lint: text("lint"),
                lint_fatal: matches.get_flag("lint-fatal"),
                ignores_unknown_fields: matches.get_flag("ignore-unknown-fields"),
            }))
        }
        "web-config" => required_files(matches, "web-config-files").map(Check::WebConfig),
        "healthy" | "ready" => {
            let endpoint = if name == "ready" { "/-/ready" } else { "/-/healthy" };
            let http_config_file = matches.get_one::<PathBuf>("http.config.file").cloned();
            Ok(Check::Server(ServerOptions { endpoint, url: text("url"), http_config_file }))
        }
        _ => {
            let missing = |what: &str| format!("required argument '{what}' not provided");
            let file = matches.get_one::<PathBuf>("config-file").cloned();
            let config_file = file.ok_or_else(|| Refusal::Usage(missing("config-file")))?;
            let job = matches.get_one::<String>("job").cloned();
            let job = job.ok_or_else(|| Refusal::Usage(missing("job")))?;
            must_be_file(&config_file)?;
            let timeout = go_duration(&text("timeout"))?;
            Ok(Check::Discovery(DiscoveryOptions { config_file, job, timeout }))
        }
    }
}

fn given_files(matches: &ArgMatches, name: &str) -> Vec<PathBuf> {
    matches.get_many::<PathBuf>(name).unwrap_or_default().cloned().collect()
}

fn required_files(matches: &ArgMatches, name: &str) -> Result<Vec<PathBuf>, Refusal> {
    let files = given_files(matches, name);
    if files.is_empty() {
        return Err(Refusal::Usage(format!("required argument '{name}' not provided")));
    }
    files.iter().try_for_each(|file| must_be_file(file))?;
    Ok(files)
}

fn go_duration(text: &str) -> Result<Duration, Refusal> {
    let duration_ns = parse_go_duration(text).map_err(|err| Refusal::Usage(err.to_string()))?;
    Ok(Duration::from_nanos(duration_ns.try_into().unwrap_or(0)))
}

/// Compat: kingpin's `ExistingFiles`.
pub(crate) fn must_be_file(path: &Path) -> Result<(), Refusal> {
    let name = path.file_name().unwrap_or(path.as_os_str());
    match path.metadata() {
        Ok(data) if data.is_dir() => Err(format!("'{}' is a directory", name.display())),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("path '{}' does not exist", path.display()))
        }
        _ => Ok(()),
    }
    .map_err(Refusal::Usage)
}
