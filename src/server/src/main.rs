//! The `prometheus` binary: flags, wiring, nothing else.

mod allocator;
mod build_info;
mod exemplars;
mod flags;
mod float_encoding;
mod listeners;
mod out_of_order;
mod prometheus;
mod queries;
mod reload;
mod retention;
mod rules;
mod stale_series;
mod trial;
mod watch;

use std::{io::Write, process::ExitCode};

use flags::{FlagError, Flags, Options};
use prom_cli::{build_info, version_text};
use prom_lifecycle::{Event, Failure};
use prom_telemetry::{Registry, log, register_process_metrics};
use prometheus::Prometheus;

fn main() -> ExitCode {
    let parsed = Flags::parse(std::env::args_os())
        .and_then(|flags| Options::new(&flags).map(|options| (flags, options)));
    let (flags, options) = match parsed {
        Ok(parsed) => parsed,
        Err(FlagError::Help(text)) => return print(&text),
        Err(FlagError::Version) => return print(&version_text("prometheus")),
        Err(FlagError::Usage(reason)) => {
            return refuse(
                Event::FlagsInvalid,
                &format!("Error parsing command line arguments: {reason}"),
            );
        }
        Err(FlagError::WrongMode(reason)) => return refuse(Event::FlagsMisplaced, &reason),
    };
    let level = options.log_level.parse().expect("flags checked the level");
    let format = options.log_format.parse().expect("flags checked the format");
    let _log = log::init(level, format);
    tell_operator(&flags, &options);

    let registry = Registry::default();
    register_process_metrics(&registry);
    build_info::register(&registry);
    let mut run = prom_lifecycle::Options::new(registry.clone());
    run.enable_lifecycle = options.is_lifecycle_enabled;
    prom_lifecycle::run(Prometheus::new(flags, options, &registry), &run)
}

/// What a start says before anything is opened.
fn tell_operator(flags: &Flags, options: &Options) {
    let build = build_info();
    tracing::info!(
        mode = "server",
        version = format!(
            "(version={}, branch={}, revision={})",
            build.version, build.branch, build.revision
        ),
        "Starting Prometheus Server"
    );
    for (name, reason) in &options.features.without_effect {
        tracing::warn!(option = name, reason, "This feature changes nothing here");
    }
    for name in &options.features.unknown {
        tracing::warn!(option = name, "Unknown option for --enable-feature");
    }
    for name in &flags.without_effect {
        tracing::info!(flag = format!("--{name}"), "This flag has no effect here");
    }
}

/// Ends in the state that a wrong command line leads to, said on standard error as kingpin does.
fn refuse(event: Event, reason: &str) -> ExitCode {
    let text = format!("{reason}\nprometheus: see `prometheus --help`\n");
    drop(std::io::stderr().write_all(text.as_bytes()));
    prom_lifecycle::fail_at_start(&Failure::new(event, reason))
}

/// The whole answer to `--help` and `--version`.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
