//! `check`: whether configuration, rules, web configuration and targets are what they should be, and whether
//! a server is well.

mod args;
mod config;
mod discovery;
mod excerpt;
mod rules;
mod server;
mod targets;
mod web_config;

use prom_lifecycle::CommandEnd;

#[cfg(test)]
pub(crate) use args::ConfigOptions;
pub(crate) use args::{Check, command, must_be_file, parse};
pub(crate) use discovery::discover;
pub(crate) use server::{client as http_client, fetch};

/// What a part of a check came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Findings {
    has_errors: bool,
    has_lint: bool,
}

impl Findings {
    const ERROR: Self = Self { has_errors: true, has_lint: false };

    fn add(&mut self, other: Self) {
        self.has_errors |= other.has_errors;
        self.has_lint |= other.has_lint;
    }

    /// Lints only count if they are to be fatal.
    fn end(self, is_lint_fatal: bool) -> CommandEnd {
        match (self.has_errors, self.has_lint && is_lint_fatal) {
            (true, _) => CommandEnd::Faulted,
            (false, true) => CommandEnd::LintFound,
            (false, false) => CommandEnd::Finished,
        }
    }
}

/// Does what the command line asks.
pub(crate) fn run(check: &Check) -> CommandEnd {
    match check {
        Check::Config(options) => config::run(options),
        Check::Rules(options) => rules::run(options),
        Check::WebConfig(files) => web_config::run(files),
        Check::Server(options) => server::run(options),
        Check::Discovery(options) => discovery::run(options),
    }
}

/// An error of the operating system in Go's words.
fn go_words(error: &std::io::Error) -> String {
    let reason = error.to_string().to_lowercase();
    reason.split(" (os error").next().unwrap_or_default().to_owned()
}
