//! Raw values into checked ones, with Prometheus's rules and words; all that is wrong is noted. It reads no
//! text and no file: the document only tells where things stand.

mod alerting;
mod global;
mod http;
mod relabel;
mod scrape;
mod targets;
mod values;

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    AlertingConfig, GlobalConfig, RuntimeConfig, ScrapeConfig,
    error::{ConfigError, ErrorKind},
    key_path::KeyPath,
    raw::{RawConfig, RawRuntime},
    yaml::Document,
};

/// What Prometheus collects garbage by if it is not told otherwise.
const DEFAULT_GOGC: i64 = 75;

/// What lies outside of the file.
pub(crate) struct Surroundings<'c> {
    /// Where relative paths start.
    pub(crate) directory: PathBuf,
    /// Environment variables; unset ones are empty.
    pub(crate) env: &'c dyn Fn(&str) -> String,
}

/// The sections, valid if no mistake was noted.
pub(crate) struct Sections {
    pub(crate) global: GlobalConfig,
    pub(crate) runtime: RuntimeConfig,
    pub(crate) alerting: AlertingConfig,
    pub(crate) scrape_configs: Vec<Arc<ScrapeConfig>>,
}

/// Notes mistakes on the way from raw to checked.
pub(crate) struct Checker<'c> {
    document: &'c Document<'c>,
    surroundings: Surroundings<'c>,
    errors: Vec<ConfigError>,
    /// Values of the wrong type: what they were replaced by is not worth a second complaint.
    bad_paths: Vec<String>,
}

impl<'c> Checker<'c> {
    /// Begins with what decoding has found.
    pub(crate) fn new(
        document: &'c Document<'c>,
        surroundings: Surroundings<'c>,
        errors: Vec<ConfigError>,
    ) -> Self {
        let bad_paths = errors.iter().map(|error| error.key_path.clone()).collect();
        Self { document, surroundings, errors, bad_paths }
    }

    /// Checks the whole file.
    pub(crate) fn check(&mut self, raw: RawConfig) -> Sections {
        let top = KeyPath::TOP;
        let global = self.global(raw.global, &top.key("global"));
        let scrape_configs =
            self.scrape_configs(raw.scrape_configs, &global, &top.key("scrape_configs"));
        let alerting = self.alerting(
            raw.alerting.unwrap_or_default(),
            global.name_validation(),
            &top.key("alerting"),
        );
        Sections { runtime: runtime(raw.runtime), global, alerting, scrape_configs }
    }

    /// All mistakes in the order of the file.
    pub(crate) fn into_errors(mut self) -> Vec<ConfigError> {
        self.errors.sort_by_key(|error| (error.line, error.column));
        self.errors
    }

    fn report(&mut self, at: &KeyPath<'_>, message: impl Display) {
        self.push(ErrorKind::Check, at, message.to_string(), None);
    }

    fn report_with_hint(&mut self, at: &KeyPath<'_>, message: impl Display, hint: String) {
        self.push(ErrorKind::Check, at, message.to_string(), Some(hint));
    }

    fn report_unsupported(&mut self, at: &KeyPath<'_>, what: impl Display) {
        let message = format!("{what} is not supported by this build yet");
        self.push(ErrorKind::Unsupported, at, message, None);
    }

    fn push(&mut self, kind: ErrorKind, at: &KeyPath<'_>, message: String, hint: Option<String>) {
        let key_path = at.to_string();
        let is_echo = self.bad_paths.iter().any(|bad| {
            let rest = key_path.strip_prefix(bad.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        });
        if is_echo || self.errors.len() >= crate::yaml::ERROR_COUNT_MAX {
            return;
        }
        let (line, column) = self.document.locate(at);
        self.errors.push(ConfigError { line, column, key_path, message, hint, kind });
    }

    fn directory(&self) -> &Path {
        &self.surroundings.directory
    }
}

fn runtime(raw: Option<RawRuntime>) -> RuntimeConfig {
    let gogc = raw.map_or(0, |raw| raw.gogc);
    RuntimeConfig { gogc: if gogc == 0 { DEFAULT_GOGC } else { gogc } }
}

#[cfg(test)]
mod tests;
