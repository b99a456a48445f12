//! Raw values into checked ones, with Prometheus's rules and words; all that is wrong is noted. It reads no
//! text and no file: the document only tells where things stand.

mod alerting;
mod global;
mod http;
mod relabel;
mod runnable;
mod scrape;
mod targets;
mod values;

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
};

use prom_model::NameValidation;

use crate::{
    AlertingConfig, GlobalConfig, OtlpConfig, RemoteReadConfig, RemoteWriteConfig, RuntimeConfig,
    ScrapeConfig, StorageConfig, TracingConfig,
    error::{ConfigError, ErrorKind, Origin},
    go_path,
    key_path::{KeyPath, Step},
    raw::{Nullable, RawConfig, RawRuntime, RawScrape},
    section::Field,
    sections::{RawOtlp, check_names},
    yaml::{Document, Rank},
};

pub(crate) use http::is_reserved_header;

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
    pub(crate) rule_file_patterns: Vec<String>,
    pub(crate) scrape_file_patterns: Vec<String>,
    pub(crate) scrape_configs: Vec<Arc<ScrapeConfig>>,
    pub(crate) storage: StorageConfig,
    pub(crate) tracing: Option<TracingConfig>,
    pub(crate) remote_write: Vec<RemoteWriteConfig>,
    pub(crate) remote_read: Vec<RemoteReadConfig>,
    pub(crate) otlp: OtlpConfig,
}

/// A mistake and where it counts among others.
type Ranked = (Rank, ConfigError);

/// Notes mistakes on the way from raw to checked.
pub(crate) struct Checker<'c> {
    document: &'c Document<'c>,
    surroundings: Surroundings<'c>,
    /// With their ranks in the file.
    errors: Vec<Ranked>,
    /// What is valid and cannot be run by this build.
    unrunnable: Vec<Ranked>,
    /// How names are validated where no job says it.
    validation: NameValidation,
    /// See [`crate::LoadOptions::prefers_protobuf`].
    pub(crate) prefers_protobuf: bool,
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
        let ranked = |error: ConfigError| ((error.line, error.column, false, 0), error);
        let errors = errors.into_iter().map(ranked).collect();
        Self {
            document,
            surroundings,
            errors,
            unrunnable: Vec::new(),
            validation: NameValidation::Utf8,
            prefers_protobuf: false,
            bad_paths,
        }
    }

    /// Checks the whole file.
    pub(crate) fn check(&mut self, raw: RawConfig) -> Sections {
        let top = KeyPath::TOP;
        let global = self.global(raw.global, &top.key("global"));
        self.validation = global.name_validation();
        let rule_file_patterns = self.patterns(&raw.rule_files, "rule", &top.key("rule_files"));
        let scrape_file_patterns = self.patterns(
            &raw.scrape_config_files,
            "scrape config",
            &top.key("scrape_config_files"),
        );
        let scrape_configs =
            self.scrape_configs(raw.scrape_configs, &global, &top.key("scrape_configs"));
        let alerting =
            self.alerting(raw.alerting.unwrap_or_default(), self.validation, &top.key("alerting"));
        let storage = raw.storage.unwrap_or_default();
        let otlp = match raw.otlp {
            None => RawOtlp::default(),
            Some(otlp) => otlp.unwrap_or_else(RawOtlp::all_off),
        };
        let sections = Sections {
            runtime: runtime(raw.runtime),
            alerting,
            rule_file_patterns,
            scrape_file_patterns,
            scrape_configs,
            storage: Field::check(storage, self, &top.key("storage")),
            tracing: Field::check(raw.tracing, self, &top.key("tracing")),
            remote_write: self.entries(raw.remote_write, "remote write", &top.key("remote_write")),
            remote_read: self.entries(raw.remote_read, "remote read", &top.key("remote_read")),
            otlp: Field::check(otlp, self, &top.key("otlp")),
            global,
        };
        let names = sections.remote_write.iter().map(|it| it.name.as_str());
        check_names(names, "remote write", self, &top.key("remote_write"));
        let names = sections.remote_read.iter().map(|it| it.name.as_str());
        check_names(names, "remote read", self, &top.key("remote_read"));
        self.note_unrunnable(&sections);
        sections
    }

    /// Notes sections that an agent has no use for.
    pub(crate) fn refuse_server_sections(&mut self, raw: &RawConfig) {
        let alerting = raw.alerting.as_ref();
        let has_alerting = alerting.is_some_and(|alerting| {
            !alerting.alertmanagers.is_empty() || !alerting.alert_relabel_configs.is_empty()
        });
        for (key, is_used) in [
            ("alerting", has_alerting),
            ("rule_files", !raw.rule_files.is_empty()),
            ("remote_read", !raw.remote_read.is_empty()),
        ] {
            if is_used {
                let message = format!("field {key} is not allowed in agent mode");
                self.push(ErrorKind::Agent, &KeyPath::TOP.key(key), message, None);
            }
        }
    }

    /// Checks a file that `scrape_config_files` names.
    pub(crate) fn check_scrape_file(
        &mut self,
        raw: Nullable<RawScrape>,
        global: &GlobalConfig,
    ) -> Vec<Arc<ScrapeConfig>> {
        self.validation = global.name_validation();
        self.scrape_configs(raw, global, &KeyPath::TOP.key("scrape_configs"))
    }

    /// A list whose entries may not be null.
    fn entries<T: Field>(&mut self, raw: Nullable<T::Raw>, what: &str, at: &KeyPath<'_>) -> Vec<T> {
        let mut entries = Vec::with_capacity(raw.len());
        for (i, raw) in raw.into_iter().enumerate() {
            let at = at.index(i);
            match raw {
                None => self.report(&at, format_args!("empty or null {what} config section")),
                Some(raw) => entries.push(T::check(raw, self, &at)),
            }
        }
        entries
    }

    /// Patterns of files, from the directory of the file; only the last element may hold an asterisk.
    fn patterns(&mut self, raw: &[String], what: &str, at: &KeyPath<'_>) -> Vec<String> {
        let mut patterns = Vec::with_capacity(raw.len());
        for (i, pattern) in raw.iter().enumerate() {
            let after_star = pattern.split_once('*').map_or("", |(_, after)| after);
            if after_star.contains('/') {
                let message = format!("invalid {what} file path {}", prom_model::quote_go(pattern));
                let hint = String::from("only the last element may hold an asterisk");
                self.report_with_hint(&at.index(i), message, hint);
            }
            patterns.push(go_path::join(self.directory(), pattern).display().to_string());
        }
        patterns
    }

    /// How names are validated where no job says it.
    pub(crate) fn validation(&self) -> NameValidation {
        self.validation
    }

    /// A variable of the environment; empty if it is not set.
    pub(crate) fn env(&self, name: &str) -> String {
        (self.surroundings.env)(name)
    }

    /// Whether a key is written in the file.
    pub(crate) fn is_written(&self, at: &KeyPath<'_>) -> bool {
        self.document.find(at).is_some()
    }

    /// The text that is written at a place.
    pub(crate) fn text_at(&self, at: &KeyPath<'_>) -> Option<String> {
        self.document.text_at(at).map(str::to_owned)
    }

    /// Notes an entry of a list that says nothing.
    pub(crate) fn null_entry(&mut self, at: &KeyPath<'_>) {
        let keys = at.steps().into_iter().rev();
        let key = keys.filter_map(|step| match step {
            Step::Key(key) => Some(key.to_owned()),
            Step::Index(_) | Step::Top => None,
        });
        let key = key.take(1).collect::<String>();
        self.report(at, format_args!("empty or null section in {key}"));
    }

    /// All mistakes, and what cannot be run, in the order of the file.
    pub(crate) fn into_findings(mut self) -> (Vec<ConfigError>, Vec<ConfigError>) {
        let sorted = |list: &mut Vec<Ranked>| {
            list.sort_by_key(|(rank, _)| *rank);
            list.drain(..).map(|(_, error)| error).collect()
        };
        (sorted(&mut self.errors), sorted(&mut self.unrunnable))
    }

    pub(crate) fn report(&mut self, at: &KeyPath<'_>, message: impl Display) {
        self.push(ErrorKind::Check, at, message.to_string(), None);
    }

    pub(crate) fn report_with_hint(
        &mut self,
        at: &KeyPath<'_>,
        message: impl Display,
        hint: String,
    ) {
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
        let list = match kind {
            ErrorKind::Unsupported => &mut self.unrunnable,
            _ => &mut self.errors,
        };
        if is_echo || list.len() >= crate::yaml::ERROR_COUNT_MAX {
            return;
        }
        let (line, column) = self.document.locate(at);
        let (file, origin) = (None, Origin::Main);
        let error = ConfigError { file, line, column, key_path, message, hint, kind, origin };
        list.push((self.document.rank(at), error));
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
