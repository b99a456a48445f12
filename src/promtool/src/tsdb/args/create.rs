//! The command line of `tsdb create-blocks-from`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, Command as Parser, value_parser};
use prom_cli::{Refusal, switch};
use prom_model::{parse_duration, parse_go_duration};

use super::text;
use crate::check::must_be_file;

/// Blocks to be made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CreateBlocks {
    pub(crate) is_human_readable: bool,
    pub(crate) is_quiet: bool,
    pub(crate) max_block_duration_ms: i64,
    pub(crate) source: Source,
}

/// What they are made of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    OpenMetrics(OpenMetricsSource),
    Rules(RulesSource),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OpenMetricsSource {
    pub(crate) input: PathBuf,
    pub(crate) output_dir: PathBuf,
    /// Set on every series.
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RulesSource {
    pub(crate) http_config_file: Option<PathBuf>,
    pub(crate) url: String,
    pub(crate) start: String,
    /// Empty: three hours ago.
    pub(crate) end: String,
    pub(crate) output_dir: PathBuf,
    /// Of groups that have none.
    pub(crate) eval_interval: Duration,
    pub(crate) files: Vec<PathBuf>,
}

pub(super) fn command() -> Parser {
    let openmetrics = Parser::new("openmetrics")
        .about("Import samples from OpenMetrics input and produce TSDB blocks.")
        .arg(
            text(
                "label",
                "",
                "Label to attach to metrics. Can be specified multiple times. Example --label=label_name=label_value",
            )
            .action(ArgAction::Append),
        )
        .arg(Arg::new("input file").help("OpenMetrics file to read samples from."))
        .arg(
            Arg::new("output directory")
                .default_value("data/")
                .help("Output directory for generated blocks."),
        );
    let rules = Parser::new("rules").about("Create blocks of data for new recording rules.").args([
        text("http.config.file", "", "HTTP client configuration file for promtool to connect to Prometheus."),
        text("url", "http://localhost:9090", "The URL for the Prometheus API with the data where the rule will be backfilled from."),
        text("start", "", "The time to start backfilling the new rule from. Must be a RFC3339 formatted date or Unix timestamp. Required."),
        text("end", "", "If an end time is provided, all recording rules in the rule files provided will be backfilled to the end time. Default will backfill up to 3 hours ago. Must be a RFC3339 formatted date or Unix timestamp."),
        text("output-dir", "data/", "Output directory for generated blocks."),
        text("eval-interval", "60s", "How frequently to evaluate rules when backfilling if a value is not set in the recording rule files."),
        Arg::new("rule-files")
            .action(ArgAction::Append)
            .num_args(0..)
            .value_parser(value_parser!(PathBuf))
            .help("A list of one or more files containing recording rules to be backfilled. Alerting rules are not evaluated."),
    ]);
    let [readable, not_readable] = switch("human-readable", "Print human readable values.");
    let [quiet, not_quiet] = switch("quiet", "Do not print created blocks.");
    let shared = [readable.short('r'), not_readable, quiet.short('q'), not_quiet];
    let max_duration = text(
        "max-block-duration",
        "",
        "Maximum duration created blocks may span. Anything less than 2h is ignored.",
    );
    Parser::new("create-blocks-from")
        .about("[Experimental] Import samples from input and produce TSDB blocks. Please refer to the storage docs for more details.")
        .args(shared.map(|arg| arg.global(true)))
        .arg(max_duration.hide(true).global(true))
        .subcommands([openmetrics, rules])
}

pub(super) fn parse(matches: &ArgMatches) -> Result<CreateBlocks, Refusal> {
    let Some((name, matches)) = matches.subcommand() else {
        return Err(Refusal::Usage("must select a subcommand of 'create-blocks-from'".to_owned()));
    };
    let source = match name {
        "rules" => rules(matches).map(Source::Rules),
        _ => openmetrics(matches).map(Source::OpenMetrics),
    };
    let max_block_duration_ms = match value(matches, "max-block-duration").as_str() {
        "" => 0,
        text => go_duration(text)?.as_millis().try_into().unwrap_or(i64::MAX),
    };
    Ok(CreateBlocks {
        is_human_readable: matches.get_flag("human-readable"),
        is_quiet: matches.get_flag("quiet"),
        max_block_duration_ms,
        source: source?,
    })
}

fn openmetrics(matches: &ArgMatches) -> Result<OpenMetricsSource, Refusal> {
    let mut labels = BTreeMap::new();
    for text in matches.get_many::<String>("label").unwrap_or_default() {
        // Compat: kingpin's StringMap.
        let (name, value) = text
            .split_once(['=', ':'])
            .ok_or_else(|| Refusal::Usage(format!("expected KEY=VALUE got '{text}'")))?;
        labels.insert(name.to_owned(), value.to_owned());
    }
    Ok(OpenMetricsSource {
        input: required(matches, "input file", "argument 'input file'")?.into(),
        output_dir: value(matches, "output directory").into(),
        labels,
    })
}

fn rules(matches: &ArgMatches) -> Result<RulesSource, Refusal> {
    let files: Vec<PathBuf> = matches.get_many("rule-files").unwrap_or_default().cloned().collect();
    let start = value(matches, "start");
    if start.is_empty() {
        return Err(Refusal::Usage("required flag(s) '--start' not provided".to_owned()));
    }
    if files.is_empty() {
        return Err(Refusal::Usage("required argument 'rule-files' not provided".to_owned()));
    }
    files.iter().try_for_each(|file| must_be_file(file))?;
    let http_config_file = Some(value(matches, "http.config.file")).filter(|path| !path.is_empty());
    Ok(RulesSource {
        http_config_file: http_config_file.map(PathBuf::from),
        url: value(matches, "url"),
        start,
        end: value(matches, "end"),
        output_dir: value(matches, "output-dir").into(),
        eval_interval: go_duration(&value(matches, "eval-interval"))?,
        files,
    })
}

fn value(matches: &ArgMatches, name: &str) -> String {
    matches.get_one::<String>(name).cloned().unwrap_or_default()
}

fn required(matches: &ArgMatches, name: &str, what: &str) -> Result<String, Refusal> {
    let value = matches.get_one::<String>(name).cloned();
    value.ok_or_else(|| Refusal::Usage(format!("required {what} not provided")))
}

/// Compat: kingpin's durations know days and weeks, too.
fn go_duration(text: &str) -> Result<Duration, Refusal> {
    if let Ok(duration_ms) = parse_duration(text) {
        return Ok(Duration::from_millis(duration_ms.try_into().unwrap_or(0)));
    }
    let duration_ns = parse_go_duration(text).map_err(|err| Refusal::Usage(err.to_string()))?;
    Ok(Duration::from_nanos(duration_ns.try_into().unwrap_or(0)))
}
