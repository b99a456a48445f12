//! `tsdb`: questions to a data directory, which change nothing in it, and blocks that are made of other things.
//! Compat: `promtool tsdb` of Prometheus 3.14: flags, output, exit codes; `verify` is ours.

mod analyze;
mod args;
mod bench;
mod create;
mod dump;
mod list;
mod verify;

use std::{path::Path, sync::Arc};

use anyhow::{Result, bail};
use prom_lifecycle::CommandEnd;
use prom_model::{Matcher, format_go_duration};
use prom_promql::parse_metric_selector;
use prom_tsdb::Db;

use crate::output::err;

pub(crate) use args::{Tsdb, command, parse};

/// Does what the command line asks.
pub(crate) fn run(tsdb: &Tsdb) -> CommandEnd {
    let done = match tsdb {
        Tsdb::List(options) => list::run(options),
        Tsdb::Dump(options) => dump::run(options),
        Tsdb::Analyze(options) => analyze::run(options),
        Tsdb::Verify(options) => verify::run(options),
        Tsdb::CreateBlocks(options) => create::run(options),
        Tsdb::BenchWrite(options) => bench::run(options),
    };
    match done {
        Ok(()) => CommandEnd::Finished,
        Err(reason) => {
            err(&format!("{reason:#}"));
            CommandEnd::Faulted
        }
    }
}

fn open(path: &Path) -> Result<Arc<Db>> {
    if let Err(reason) = path.metadata() {
        match reason.kind() {
            std::io::ErrorKind::NotFound => {
                bail!("opening the db dir: stat {}: no such file or directory", path.display())
            }
            _ => bail!("opening the db dir: stat {}: {reason}", path.display()),
        }
    }
    Ok(Db::open_read_only(path)?)
}

/// The matchers of one selector.
fn selector(text: &str) -> Result<Vec<Matcher>> {
    parse_metric_selector(text).map_err(|errors| anyhow::anyhow!("{errors}"))
}

/// Milliseconds as Go prints a duration: `2h0m0s`.
fn duration(duration_ms: i64) -> String {
    format_go_duration(duration_ms.saturating_mul(1_000_000))
}
