//! Chores of this repository: `cargo xtask tidy`. It depends on no room and builds nothing.

mod layers;
mod tidy;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            report(&format!("xtask: {err:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Vec<String>) -> Result<()> {
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => {
            let mut complaints = layers::check(&root())?;
            complaints.extend(tidy::check(&root())?);
            if complaints.is_empty() {
                return Ok(());
            }
            bail!("{} complaint(s)\n{}", complaints.len(), complaints.join("\n"))
        }
        _ => bail!("usage: cargo xtask tidy"),
    }
}

/// The repository's top folder.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[expect(clippy::print_stderr, reason = "a command line tool speaks to its user")]
fn report(text: &str) {
    eprintln!("{text}");
}
