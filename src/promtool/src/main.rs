//! The `promtool` binary: one file per family of commands, driven through `states/command.yaml`.
//! Commands that this build cannot do are not listed.

mod check;
mod cli;
mod config_diff;
mod output;
mod service;
mod tsdb;

use std::process::ExitCode;

use cli::Command;
use prom_cli::{Refusal, version_text};
use prom_lifecycle::{CommandEnd, run_command};

fn main() -> ExitCode {
    run_command(understand, perform)
}

fn understand() -> Result<Command, CommandEnd> {
    cli::parse(std::env::args_os()).map_err(|refusal| match refusal {
        Refusal::Help(text) => {
            output::out(&text);
            CommandEnd::Finished
        }
        Refusal::Usage(reason) => {
            output::err(&format!("promtool: error: {reason}, try --help"));
            CommandEnd::Misused
        }
    })
}

fn perform(command: Command) -> CommandEnd {
    match command {
        Command::Version => {
            output::out(version_text("promtool").trim_end());
            CommandEnd::Finished
        }
        Command::Check(options) => check::run(&options),
        Command::ConfigDiff(options) => config_diff::run(&options),
        Command::Service(options) => service::run(&options),
        Command::Tsdb(options) => tsdb::run(&options),
    }
}
