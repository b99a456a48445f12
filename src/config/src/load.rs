//! From a path to a checked configuration, the files it includes read and merged. It keeps nothing and
//! watches nothing.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use prom_model::quote_go;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Config, ConfigErrors, RuleFile, RuleOptions, ScrapeConfig, Sources,
    check::{Checker, Sections, Surroundings},
    error::{ConfigError, ErrorKind, Origin},
    go_path::directory_of,
    key_path::KeyPath,
    parse_rules,
    raw::{RawConfig, RawScrapeFile, SCHEMA},
    yaml::{Decoded, Document, ERROR_COUNT_MAX, Fault, decode, to_text},
};

/// What somebody may do whose configuration has rules.
const RULES_HINT: &str =
    "--rules.evaluation=off loads, checks and watches rule files and evaluates none";

/// Tells what is wrong with an expression of a rule: this room knows no PromQL.
pub type ExprCheck<'c> = dyn Fn(&str) -> Result<(), String> + 'c;

/// Which of the files that the main one names are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncludedFiles {
    All,
    /// Those of `scrape_config_files`: rule files are looked at by themselves.
    Jobs,
    None,
}

/// How a configuration is loaded.
#[derive(Clone, Copy)]
pub struct LoadOptions<'o> {
    /// Expressions of rules are taken as they are without it.
    pub check_expression: Option<&'o ExprCheck<'o>>,
    /// An agent has no rules, alerts and remote reading.
    pub is_agent: bool,
    /// Takes what is valid though this build cannot run it; else it is refused by name.
    pub accepts_unrunnable: bool,
    /// Takes rules though this build evaluates none: they are checked, shown and watched like the rest.
    pub leaves_rules_unevaluated: bool,
    /// Targets are asked for protobuf first wherever the file does not say what to ask for.
    pub prefers_protobuf: bool,
    pub included: IncludedFiles,
    /// The configuration in force, loaded with the same check of expressions: its equal parts are shared
    /// instead of being held twice, and its rule files are not checked again.
    pub previous: Option<&'o Config>,
}

impl LoadOptions<'_> {
    /// As a server loads it.
    pub const SERVER: Self = Self {
        check_expression: None,
        is_agent: false,
        accepts_unrunnable: false,
        leaves_rules_unevaluated: false,
        prefers_protobuf: false,
        included: IncludedFiles::All,
        previous: None,
    };

    /// As a tool checks it.
    pub const CHECK: Self = Self { accepts_unrunnable: true, ..Self::SERVER };
}

impl std::fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadOptions")
            .field("checks_expressions", &self.check_expression.is_some())
            .field("is_agent", &self.is_agent)
            .field("accepts_unrunnable", &self.accepts_unrunnable)
            .field("leaves_rules_unevaluated", &self.leaves_rules_unevaluated)
            .field("prefers_protobuf", &self.prefers_protobuf)
            .field("included", &self.included)
            .field("has_previous", &self.previous.is_some())
            .finish()
    }
}

/// Reads and checks a configuration file that a server is to run.
///
/// # Errors
/// The file cannot be read, is too large, or is wrong: [`ConfigErrors`] has all that is wrong with it.
pub fn load_file(path: &Path) -> Result<Config, ConfigErrors> {
    load(path, &mut Sources::of_disk())
}

/// Checks the text of a configuration file; `path` is what errors name and relative paths start from.
///
/// # Errors
/// The text is wrong: [`ConfigErrors`] has all that is wrong with it.
pub fn load_text(path: &Path, bytes: &[u8]) -> Result<Config, ConfigErrors> {
    load(path, &mut Sources::with_text(path, bytes))
}

/// Checks a configuration whose texts come from `sources`, which then knows what was asked of it.
///
/// # Errors
/// A text is missing or wrong: [`ConfigErrors`] has all that is wrong with it.
pub fn load(path: &Path, sources: &mut Sources) -> Result<Config, ConfigErrors> {
    load_with(path, sources, &LoadOptions::SERVER)
}

/// Checks a configuration as `options` say.
///
/// # Errors
/// A text is missing or wrong, or asks for what this build cannot run: [`ConfigErrors`] has all of it.
pub fn load_with(
    path: &Path,
    sources: &mut Sources,
    options: &LoadOptions<'_>,
) -> Result<Config, ConfigErrors> {
    let bytes = sources.read(path)?;
    let fail = |errors| ConfigErrors::invalid(path, errors);
    let syntax = |fault: Fault| fail(vec![syntax_error(fault)]);
    let text = to_text(&bytes).map_err(syntax)?;
    let document = Document::parse(&text).map_err(syntax)?;
    let Decoded { value: raw, errors, is_partial } = decode::<RawConfig>(&document, &SCHEMA);
    if is_partial {
        return Err(fail(errors));
    }
    let mut checker = Checker::new(&document, surroundings(path), errors);
    checker.prefers_protobuf = options.prefers_protobuf;
    if options.is_agent {
        checker.refuse_server_sections(&raw);
    }
    let mut sections = checker.check(raw);
    let main_job_count = sections.scrape_configs.len();
    let rule_file_at = document.locate(&KeyPath::TOP.key("rule_files"));
    let (errors, unrunnable) = checker.into_findings();
    let mut included = Included { sources, options, errors, unrunnable, files: Vec::new() };
    let mut rule_files = Vec::new();
    if options.included != IncludedFiles::None {
        included.add_jobs(&mut sections);
    }
    if options.included == IncludedFiles::All {
        rule_files = included.rule_files(&sections);
    }
    let Included { errors, mut unrunnable, files, .. } = included;
    if !errors.is_empty() {
        return Err(fail(errors));
    }
    let has_rules = rule_files.iter().any(|file| file.rule_count() > 0);
    if has_rules && !options.leaves_rules_unevaluated {
        unrunnable.push(rules_unrunnable(rule_file_at));
        unrunnable.sort_by_key(|error| (error.file.is_some(), error.line, error.column));
    }
    let mut config = Config {
        global: sections.global,
        runtime: sections.runtime,
        alerting: sections.alerting,
        rule_files,
        scrape_configs: sections.scrape_configs,
        storage: sections.storage,
        tracing: sections.tracing,
        remote_write: sections.remote_write,
        remote_read: sections.remote_read,
        otlp: sections.otlp,
        rule_file_patterns: sections.rule_file_patterns,
        scrape_file_patterns: sections.scrape_file_patterns,
        main_job_count,
        unrunnable,
        included_files: files,
        file: path.to_owned(),
        content_hash: sources.content_hash(),
    };
    if !options.accepts_unrunnable {
        config.check_runnable()?;
    }
    if let Some(previous) = options.previous {
        config.share_with(previous);
    }
    Ok(config)
}

pub(crate) fn surroundings(path: &Path) -> Surroundings<'static> {
    Surroundings {
        directory: directory_of(path),
        env: &|name| std::env::var(name).unwrap_or_default(),
    }
}

fn rules_unrunnable((line, column): (usize, usize)) -> ConfigError {
    ConfigError {
        file: None,
        line,
        column,
        key_path: String::from("rule_files"),
        message: String::from("evaluating rules is not supported by this build yet"),
        hint: Some(String::from(RULES_HINT)),
        kind: ErrorKind::Unsupported,
        origin: Origin::Main,
    }
}

pub(crate) fn syntax_error(fault: Fault) -> ConfigError {
    let Fault { line, column, shown_line, message, hint } = fault;
    ConfigError {
        file: None,
        line,
        column,
        key_path: String::new(),
        message: message.into_owned(),
        hint,
        kind: ErrorKind::Syntax { shown_line },
        origin: Origin::Main,
    }
}

/// Reads what the main file includes; mistakes are noted with the file that holds them.
struct Included<'i> {
    sources: &'i mut Sources,
    options: &'i LoadOptions<'i>,
    errors: Vec<ConfigError>,
    unrunnable: Vec<ConfigError>,
    files: Vec<PathBuf>,
}

impl Included<'_> {
    /// Adds the jobs of `scrape_config_files` to those of the main file.
    fn add_jobs(&mut self, sections: &mut Sections) {
        let mut jobs: HashMap<String, String> = HashMap::new();
        for job in &sections.scrape_configs {
            jobs.insert(job.job_name.clone(), String::from("main config file"));
        }
        let patterns = std::mem::take(&mut sections.scrape_file_patterns);
        for path in self.glob(&patterns, "scrape config", Origin::ScrapeFile) {
            for job in self.scrape_file(&path, sections) {
                let here = quote_go(&absolute(&path).display().to_string());
                if let Some(first) = jobs.insert(job.job_name.clone(), here) {
                    let name = quote_go(&job.job_name);
                    self.report(&path, Origin::ScrapeFile, format!("found multiple scrape configs with job name {name}, first found in {first}"));
                }
                sections.scrape_configs.push(job);
            }
        }
        sections.scrape_file_patterns = patterns;
    }

    fn scrape_file(&mut self, path: &Path, sections: &Sections) -> Vec<Arc<ScrapeConfig>> {
        let Some(bytes) = self.read(path, Origin::ScrapeFile) else { return Vec::new() };
        let parsed = to_text(&bytes).and_then(|text| {
            let document = Document::parse(&text)?;
            let Decoded { value: raw, errors, is_partial } =
                decode::<RawScrapeFile>(&document, &SCHEMA);
            let mut checker = Checker::new(&document, surroundings(path), errors);
            let jobs = match is_partial {
                true => Vec::new(),
                false => checker.check_scrape_file(raw.scrape_configs, &sections.global),
            };
            Ok((jobs, checker.into_findings()))
        });
        match parsed {
            Ok((jobs, (errors, unrunnable))) => {
                let name = |mut error: ConfigError| {
                    error.file = Some(path.to_owned());
                    error.origin = Origin::ScrapeFile;
                    error
                };
                self.add_errors(errors.into_iter().map(name));
                self.unrunnable.extend(unrunnable.into_iter().map(name));
                jobs
            }
            Err(fault) => {
                let mut error = syntax_error(fault);
                error.file = Some(path.to_owned());
                error.origin = Origin::ScrapeFile;
                self.add_errors([error]);
                Vec::new()
            }
        }
    }

    fn rule_files(&mut self, sections: &Sections) -> Vec<Arc<RuleFile>> {
        let options = RuleOptions {
            check_expression: self.options.check_expression,
            name_validation: sections.global.name_validation(),
            ignores_unknown_fields: false,
        };
        let mut files = Vec::new();
        let mut seen = HashSet::new();
        let mut paths = self.glob(&sections.rule_file_patterns, "rule", Origin::RuleFile);
        paths.retain(|path| seen.insert(path.clone()));
        // What was checked once by the same rules is not checked again.
        let checked = self.options.previous.filter(|previous| {
            previous.global.name_validation() == sections.global.name_validation()
        });
        let checked: HashMap<&Path, &Arc<RuleFile>> = checked
            .map(|previous| previous.rule_files.iter().map(|file| (file.path.as_path(), file)))
            .into_iter()
            .flatten()
            .collect();
        for path in paths {
            let Some(bytes) = self.read(&path, Origin::RuleFile) else { continue };
            if let Some(file) = checked.get(path.as_path())
                && file.content_hash == xxh3_64(&bytes)
            {
                files.push(Arc::clone(file));
                continue;
            }
            match parse_rules(&path, &bytes, &options) {
                Ok(file) => files.push(Arc::new(file)),
                Err(errors) => self.add_errors(errors),
            }
        }
        files
    }

    /// The files of all patterns.
    fn glob(&mut self, patterns: &[String], what: &str, origin: Origin) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        for pattern in patterns {
            match self.sources.glob(Path::new(pattern)) {
                Ok(paths) => found.extend(paths),
                Err(err) => {
                    let pattern_text = quote_go(pattern);
                    let message =
                        format!("error retrieving {what} files for {pattern_text}: {err}");
                    self.report(Path::new(pattern), origin, message);
                }
            }
        }
        found
    }

    fn read(&mut self, path: &Path, origin: Origin) -> Option<Arc<[u8]>> {
        self.files.push(path.to_owned());
        match self.sources.read(path) {
            Ok(bytes) => Some(bytes),
            Err(errors) => {
                self.report(path, origin, errors.headline());
                None
            }
        }
    }

    /// Notes what is wrong with a whole file.
    fn report(&mut self, path: &Path, origin: Origin, message: String) {
        self.add_errors([ConfigError {
            file: Some(path.to_owned()),
            line: 0,
            column: 0,
            key_path: String::new(),
            message,
            hint: None,
            kind: ErrorKind::Check,
            origin,
        }]);
    }

    fn add_errors(&mut self, errors: impl IntoIterator<Item = ConfigError>) {
        let left = ERROR_COUNT_MAX.saturating_sub(self.errors.len());
        self.errors.extend(errors.into_iter().take(left));
    }
}

impl Config {
    /// Whether `sources` hold, with `main` as the main file, the very texts that this configuration was loaded
    /// from, told without parsing any. What is read here is what a load from the same `sources` goes on with.
    pub fn is_unchanged_in(&self, main: &Path, sources: &mut Sources) -> bool {
        // Patterns start from its folder.
        if main != self.file {
            return false;
        }
        let mut read_all = || {
            sources.read(main).ok()?;
            // In the order of the loader, which the hash depends on.
            for patterns in [&self.scrape_file_patterns, &self.rule_file_patterns] {
                let mut paths = Vec::new();
                for pattern in patterns {
                    paths.extend(sources.glob(Path::new(pattern)).ok()?);
                }
                for path in paths {
                    sources.read(&path).ok()?;
                }
            }
            Some(sources.content_hash())
        };
        read_all() == Some(self.content_hash)
    }

    /// Replaces parts by equal ones of another configuration, so that both hold them once.
    fn share_with(&mut self, previous: &Self) {
        let old: HashMap<&str, &Arc<ScrapeConfig>> =
            previous.scrape_configs.iter().map(|job| (job.job_name.as_str(), job)).collect();
        for job in &mut self.scrape_configs {
            if let Some(old) = old.get(job.job_name.as_str())
                && *old == job
            {
                *job = Arc::clone(old);
            }
        }
        let old: HashMap<&Path, &Arc<RuleFile>> =
            previous.rule_files.iter().map(|file| (file.path.as_path(), file)).collect();
        for file in &mut self.rule_files {
            if let Some(old) = old.get(file.path.as_path())
                && *old == file
            {
                *file = Arc::clone(old);
            }
        }
    }
}

/// A path as messages of the reference show it.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
