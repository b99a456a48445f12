//! The command line: which benchmarks, and how large.

use anyhow::{Context, Result, bail};

pub(crate) const NAMES: [&str; 10] =
    ["start", "scrape", "page", "reload", "write", "restart", "disk", "churn", "query", "memory"];

/// How much the storage benchmarks store. The defaults take a minute or two each on two busy cores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) series_count: usize,
    pub(crate) hours: f64,
    /// Of the scraping, only what is done with so many targets.
    pub(crate) target_count: Option<usize>,
}

impl Sizes {
    /// Names and sizes; without names all benchmarks.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<(Vec<String>, Self)> {
        let mut sizes = Self { series_count: 10_000, hours: 2.0, target_count: None };
        let mut names = Vec::new();
        for arg in args {
            match arg.split_once('=') {
                None if !arg.starts_with('-') => names.push(arg),
                Some(("--series", value)) => sizes.series_count = value.parse().context(arg)?,
                Some(("--hours", value)) => sizes.hours = value.parse().context(arg)?,
                Some(("--targets", value)) => {
                    sizes.target_count = Some(value.parse().context(arg)?)
                }
                _ => {
                    bail!("unknown argument {arg:?}; there are --series=N, --hours=H, --targets=N")
                }
            }
        }
        if names.is_empty() {
            names = NAMES.map(str::to_owned).to_vec();
        }
        Ok((names, sizes))
    }
}
