//! The command line of `tsdb`. What makes blocks has a file of its own.

mod create;

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command as Parser, value_parser};
use prom_cli::{Refusal, switch};

pub(crate) use create::{CreateBlocks, OpenMetricsSource, RulesSource, Source};

/// What to do with a directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tsdb {
    List(List),
    Dump(Dump),
    Analyze(Analyze),
    Verify(Verify),
    CreateBlocks(CreateBlocks),
    BenchWrite(BenchWrite),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) path: PathBuf,
    pub(crate) is_human_readable: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dump {
    pub(crate) path: PathBuf,
    pub(crate) min_time_ms: i64,
    pub(crate) max_time_ms: i64,
    pub(crate) selectors: Vec<String>,
    pub(crate) format: DumpFormat,
}

/// What is printed of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DumpFormat {
    /// A line for each sample.
    Prom,
    /// A line for each series, without samples.
    SeriesJson,
    OpenMetrics,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Analyze {
    pub(crate) path: PathBuf,
    /// Empty: the last one.
    pub(crate) block: String,
    pub(crate) lines_count_max: usize,
    pub(crate) is_extended: bool,
    /// Empty: all series.
    pub(crate) selector: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verify {
    pub(crate) path: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BenchWrite {
    pub(crate) out: PathBuf,
    pub(crate) samples_file: PathBuf,
    pub(crate) metrics_count: usize,
    pub(crate) scrapes_count: usize,
}

/// The family as clap reads it.
pub(crate) fn command() -> Parser {
    let match_all = "{__name__=~'(?s:.*)'}";
    let dump_args = || {
        [
            text(
                "sandbox-dir-root",
                "",
                "Accepted without effect: nothing is written to read a directory.",
            ),
            text(
                "min-time",
                "-9223372036854775808",
                "Minimum timestamp to dump, in milliseconds since the Unix epoch.",
            ),
            text(
                "max-time",
                "9223372036854775807",
                "Maximum timestamp to dump, in milliseconds since the Unix epoch.",
            ),
            text("match", match_all, "Series selector. Can be specified multiple times.")
                .action(ArgAction::Append),
            path(),
        ]
    };
    let list = Parser::new("list").about("List tsdb blocks.").args(human_readable()).arg(path());
    let dump = Parser::new("dump").about("Dump samples from a TSDB.").args(dump_args()).arg(text(
        "format",
        "prom",
        "Output format of the dump (prom (default) or seriesjson).",
    ));
    let dump_openmetrics = Parser::new("dump-openmetrics")
        .about("[Experimental] Dump samples from a TSDB into OpenMetrics text format, excluding native histograms and staleness markers, which are not representable in OpenMetrics.")
        .args(dump_args());
    let [extended, not_extended] = switch("extended", "Run extended analysis.");
    let analyze = Parser::new("analyze")
        .about("Analyze churn, label pair cardinality and compaction efficiency.")
        .arg(text("limit", "20", "How many items to show in each list."))
        .args([extended, not_extended])
        .arg(text(
            "match",
            "",
            "Series selector to analyze. Only 1 set of matchers is supported now.",
        ))
        .arg(path())
        .arg(Arg::new("block id").help("Block to analyze (default is the last block)."));
    let verify = Parser::new("verify")
        .about("Read everything in a TSDB and tell what is damaged. Changes nothing.")
        .arg(path());
    Parser::new("tsdb").about("Run tsdb commands.").subcommands([
        bench(),
        analyze,
        list,
        dump,
        dump_openmetrics,
        create::command(),
        verify,
    ])
}

fn bench() -> Parser {
    let write = Parser::new("write").about("Run a write performance benchmark.").args([
        text("out", "benchout", "Set the output path. What it holds is removed first."),
        text("metrics", "10000", "Number of metrics to read."),
        text("scrapes", "3000", "Number of scrapes to simulate."),
        Arg::new("file")
            .default_value("../../tsdb/testdata/20kseries.json")
            .value_parser(value_parser!(PathBuf))
            .help("Input file with samples data."),
    ]);
    Parser::new("bench").about("Run benchmarks.").subcommand(write)
}

/// Reads what clap has found below `tsdb`.
///
/// # Errors
/// A value that means nothing.
pub(crate) fn parse(name: &str, matches: &ArgMatches) -> Result<Tsdb, Refusal> {
    if name == "create-blocks-from" {
        return create::parse(matches).map(Tsdb::CreateBlocks);
    }
    if name == "bench" {
        return bench_write(matches).map(Tsdb::BenchWrite);
    }
    let path = matches.get_one::<PathBuf>("db path").cloned().unwrap_or_default();
    let value = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    match name {
        "list" => {
            let is_human_readable = matches.get_flag("human-readable");
            Ok(Tsdb::List(List { path, is_human_readable }))
        }
        "verify" => Ok(Tsdb::Verify(Verify { path })),
        "analyze" => Ok(Tsdb::Analyze(Analyze {
            path,
            block: value("block id"),
            lines_count_max: integer(&value("limit"))?.try_into().unwrap_or(0),
            is_extended: matches.get_flag("extended"),
            selector: value("match"),
        })),
        _ => Ok(Tsdb::Dump(Dump {
            path,
            min_time_ms: integer(&value("min-time"))?,
            max_time_ms: integer(&value("max-time"))?,
            selectors: matches.get_many("match").unwrap_or_default().cloned().collect(),
            format: match (name, &*value_or_default(matches, "format")) {
                ("dump-openmetrics", _) => DumpFormat::OpenMetrics,
                (_, "seriesjson") => DumpFormat::SeriesJson,
                (_, "prom") => DumpFormat::Prom,
                (_, other) => {
                    return Err(Refusal::Usage(format!(
                        "enum value must be one of prom,seriesjson, got '{other}'"
                    )));
                }
            },
        })),
    }
}

fn bench_write(matches: &ArgMatches) -> Result<BenchWrite, Refusal> {
    let Some(("write", matches)) = matches.subcommand() else {
        return Err(Refusal::Usage("must select a subcommand of 'bench'".to_owned()));
    };
    let value = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let count = |name| Ok::<_, Refusal>(integer(&value(name))?.try_into().unwrap_or(0));
    Ok(BenchWrite {
        out: value("out").into(),
        samples_file: matches.get_one("file").cloned().unwrap_or_default(),
        metrics_count: count("metrics")?,
        scrapes_count: count("scrapes")?,
    })
}

fn value_or_default(matches: &ArgMatches, name: &str) -> String {
    matches.try_get_one::<String>(name).ok().flatten().cloned().unwrap_or_default()
}

fn path() -> Arg {
    Arg::new("db path")
        .default_value("data/")
        .value_parser(value_parser!(PathBuf))
        .help("Database path.")
}

fn human_readable() -> [Arg; 2] {
    let [yes, no] = switch("human-readable", "Print human readable values.");
    [yes.short('r'), no]
}

fn text(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    let arg = Arg::new(name).long(name).value_name("VALUE").allow_hyphen_values(true).help(help);
    if default.is_empty() { arg } else { arg.default_value(default) }
}

fn integer(text: &str) -> Result<i64, Refusal> {
    text.parse()
        .map_err(|_| Refusal::Usage(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
}
