//! The command line: which commands there are, and what each is given.

use std::{ffi::OsString, path::PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command as Parser, value_parser};
use prom_cli::{Refusal, explain, switch};

use crate::{
    check::{self, Check},
    config_diff::{self, ConfigDiff},
    tsdb::{self, Tsdb},
};

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Version,
    Check(Check),
    ConfigDiff(ConfigDiff),
    Service(Service),
    Tsdb(Tsdb),
}

/// `service ...`: questions to a running server's control socket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) question: Question,
    pub(crate) socket: PathBuf,
}

/// What a running service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Reload,
    Status,
    Generations,
    Rollback {
        generation: u64,
        /// Write its texts to their files, too.
        is_written: bool,
    },
}

/// Reads a command line, the program's name first.
///
/// # Errors
/// See [`Refusal`].
pub(crate) fn parse<I: IntoIterator<Item = OsString>>(args: I) -> Result<Command, Refusal> {
    let mut parser = parser();
    let help = |parser: &mut Parser| Refusal::Help(parser.render_long_help().to_string());
    let matches = parser.try_get_matches_from_mut(args).map_err(|err| explain(&err))?;
    if matches.get_flag("version") {
        return Ok(Command::Version);
    }
    let Some((family, matches)) = matches.subcommand() else { return Err(help(&mut parser)) };
    if let ("tsdb", Some((name, matches))) = (family, matches.subcommand()) {
        return tsdb::parse(name, matches).map(Command::Tsdb);
    }
    if let ("check", Some((name, matches))) = (family, matches.subcommand()) {
        return check::parse(name, matches).map(Command::Check);
    }
    match matches.subcommand() {
        Some(("diff", matches)) => config_diff::parse(matches).map(Command::ConfigDiff),
        Some(("reload", matches)) => Ok(Command::Service(service(Question::Reload, matches))),
        Some(("status", matches)) => Ok(Command::Service(service(Question::Status, matches))),
        Some(("generations", matches)) => {
            Ok(Command::Service(service(Question::Generations, matches)))
        }
        Some(("rollback", matches)) => rollback(matches).map(Command::Service),
        _ => Err(Refusal::Usage(format!("must select a subcommand of '{family}'"))),
    }
}

fn parser() -> Parser {
    let socket = Arg::new("socket")
        .long("socket")
        .value_name("PATH")
        .default_value("/run/prometheus/control.sock")
        .value_parser(value_parser!(PathBuf))
        .help("The control socket of the running server.");
    let reload = Parser::new("reload")
        .about("Reload the configuration and wait: fails, with the reason, when it is refused.")
        .arg(socket.clone());
    let status = Parser::new("status").about("State and status line.").arg(socket.clone());
    let generations = Parser::new("generations")
        .about("Configurations that were in force, the latest first; * marks the one that is.")
        .arg(socket.clone());
    let rollback = Parser::new("rollback")
        .about("Bring an earlier configuration into force again, and wait. The files keep what they hold, unless --write is given: their next edit counts.")
        .arg(socket)
        .args(switch("write", "Write the texts of the generation to their files, too."))
        .arg(Arg::new("generation").value_name("generation").help("Its number."));
    let service = Parser::new("service")
        .about("Ask the server that runs on this machine.")
        .subcommands([reload, status, generations, rollback]);
    Parser::new("promtool")
        .about("Tooling for the Prometheus monitoring system.")
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(
            Arg::new("version")
                .long("version")
                .action(ArgAction::SetTrue)
                .global(true)
                .help("Show application version."),
        )
        .subcommands([check::command(), config_diff::command(), service, tsdb::command()])
}

fn service(question: Question, matches: &ArgMatches) -> Service {
    let socket = matches.get_one::<PathBuf>("socket").cloned().unwrap_or_default();
    Service { question, socket }
}

fn rollback(matches: &ArgMatches) -> Result<Service, Refusal> {
    let usage = |reason: String| Refusal::Usage(reason);
    let number = matches.get_one::<String>("generation");
    let number =
        number.ok_or_else(|| usage("required argument 'generation' not provided".to_owned()))?;
    let generation = number.parse();
    let generation =
        generation.map_err(|_| usage(format!("a generation has a number, got '{number}'")))?;
    let is_written = matches.get_flag("write");
    Ok(service(Question::Rollback { generation, is_written }, matches))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::ConfigOptions;

    fn check(args: &str, expected: Result<&Command, &str>) {
        let args = std::iter::once("promtool").chain(args.split_whitespace()).map(OsString::from);
        match (parse(args), expected) {
            (Ok(command), Ok(expected)) => assert_eq!(&command, expected),
            (Err(Refusal::Usage(reason)), Err(expected)) => assert_eq!(reason, expected),
            (answer, expected) => panic!("{answer:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn wrong_command_lines_are_refused_in_the_words_of_kingpin() {
        let cases = [
            ("bogus", "expected command but got \"bogus\""),
            ("check", "must select a subcommand of 'check'"),
            ("check bogus", "expected command but got \"bogus\""),
            ("--bogus", "unknown long flag '--bogus'"),
            ("service rollback", "required argument 'generation' not provided"),
            ("service rollback first", "a generation has a number, got 'first'"),
            ("check config", "required argument 'config-files' not provided"),
            ("check config --bogus x", "unknown long flag '--bogus'"),
            ("check config -x", "unknown short flag '-x'"),
            ("check config /no/such/file", "path '/no/such/file' does not exist"),
            ("check config /proc/self", "'self' is a directory"),
            ("check config /dev/null --lint", "expected argument for flag '--lint'"),
            ("check config /dev/null --query.lookback-delta=x", "time: invalid duration \"x\""),
        ];
        for (args, reason) in cases {
            check(args, Err(reason));
        }
    }

    #[test]
    fn command_lines_are_understood() {
        let options = |syntax_only, lint: &str, lint_fatal, minutes: u64| {
            Command::Check(Check::Config(ConfigOptions {
                files: vec![PathBuf::from("/dev/null")],
                syntax_only,
                lint: lint.to_owned(),
                lint_fatal,
                ignores_unknown_fields: false,
                is_agent: false,
                lookback_delta: Duration::from_secs(minutes * 60),
            }))
        };
        check("--version", Ok(&Command::Version));
        let service = |question, socket: &str| {
            Command::Service(Service { question, socket: PathBuf::from(socket) })
        };
        let reload = service(Question::Reload, "/run/prometheus/control.sock");
        check("service reload", Ok(&reload));
        let rollback = Question::Rollback { generation: 7, is_written: true };
        check("service rollback 7 --write --socket=/s", Ok(&service(rollback, "/s")));
        check("service generations --socket=/s", Ok(&service(Question::Generations, "/s")));
        check("service status --socket=/s", Ok(&service(Question::Status, "/s")));
        check("check config /dev/null", Ok(&options(false, "duplicate-rules", false, 5)));
        check(
            "check config --syntax-only --lint=all --lint-fatal --query.lookback-delta 1h /dev/null",
            Ok(&options(true, "all", true, 60)),
        );
        check(
            "check config --syntax-only --no-syntax-only /dev/null",
            Ok(&options(false, "duplicate-rules", false, 5)),
        );
    }

    #[test]
    fn help_is_shown_when_asked_and_when_nothing_was_asked() {
        for args in [vec!["promtool"], vec!["promtool", "check", "config", "--help"]] {
            let answer = parse(args.into_iter().map(OsString::from));
            assert!(matches!(answer, Err(Refusal::Help(text)) if text.contains("Usage: promtool")));
        }
    }
}
