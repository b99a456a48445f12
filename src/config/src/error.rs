//! Everything that is wrong with a configuration file, at once, each with its place and a hint.
//! How a file is read and checked is decided elsewhere.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use prom_model::quote_go;

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The included file that holds it; `None` for the file that was loaded.
    pub file: Option<PathBuf>,
    /// From 1; 0 if the mistake has no place.
    pub line: usize,
    /// In characters, from 1; 0 if the mistake has no place.
    pub column: usize,
    /// `scrape_configs[0].scrape_interval`; empty if the text could not be read as YAML.
    pub key_path: String,
    /// Prometheus's own words where it has some.
    pub message: String,
    /// What to do about it, if we know.
    pub hint: Option<String>,
    pub(crate) kind: ErrorKind,
    pub(crate) origin: Origin,
}

/// Which kind of file a mistake stands in, for the wording of the first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Main,
    ScrapeFile,
    RuleFile,
    Web,
    Targets,
}

/// What sort of mistake it is, for the wording of the first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// Not YAML: nothing could be read. Go-yaml names this line in its message, 0 for none.
    Syntax { shown_line: usize },
    /// A key that Prometheus does not know, a key twice, or a value of the wrong type: Prometheus lists
    /// all of these by line.
    Unmarshal,
    /// A value that means nothing.
    Check,
    /// A section that an agent has no use for, which is noticed after all others.
    Agent,
    /// Valid for Prometheus; this build does not do it.
    Unsupported,
}

impl ConfigError {
    /// Whether it is about a key that the format does not have.
    pub(crate) fn is_unknown_field(&self) -> bool {
        self.kind == ErrorKind::Unmarshal && self.message.contains(" not found in type ")
    }

    /// Whether Prometheus would take it and only this build does not support it.
    pub fn is_unsupported(&self) -> bool {
        self.kind == ErrorKind::Unsupported
    }
}

impl fmt::Display for ConfigError {
    /// `12:5: scrape_configs[0].scrape_intervall: field ... (did you mean ...?)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}: ", self.line, self.column)?;
        }
        if !self.key_path.is_empty() {
            write!(f, "{}: ", self.key_path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Why a file was refused. `Display` begins with Prometheus's own wording, then lists every mistake with
/// file, line, column, key path and hint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigErrors {
    pub file: PathBuf,
    /// In the order of the file; empty if it could not be read at all.
    pub errors: Vec<ConfigError>,
    pub(crate) cause: Cause,
}

/// Why nothing could be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The operating system's answer.
    Io {
        kind: io::ErrorKind,
        errno: Option<i32>,
        text: String,
    },
    TooLarge {
        size_bytes: u64,
        size_bytes_max: u64,
    },
    Invalid,
}

impl ConfigErrors {
    pub(crate) fn invalid(file: &Path, errors: Vec<ConfigError>) -> Self {
        Self { file: file.to_owned(), errors, cause: Cause::Invalid }
    }

    pub fn is_missing(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::NotFound)
    }

    /// The file is there but cannot be read: no permission, a directory, a failing disk.
    pub fn is_unreadable(&self) -> bool {
        self.io_kind().is_some_and(|kind| kind != io::ErrorKind::NotFound)
    }

    pub fn is_too_large(&self) -> bool {
        matches!(self.cause, Cause::TooLarge { .. })
    }

    /// The text was read and says something wrong.
    pub fn is_invalid(&self) -> bool {
        self.cause == Cause::Invalid
    }

    /// Whether all mistakes are things this build does not support yet.
    pub fn is_unsupported(&self) -> bool {
        self.is_invalid() && self.errors.iter().all(ConfigError::is_unsupported)
    }

    /// The operating system's error number, or the one that fits best.
    pub fn errno(&self) -> i32 {
        const EIO: i32 = 5;
        const EINVAL: i32 = 22;
        const EFBIG: i32 = 27;
        match &self.cause {
            Cause::Io { errno, .. } => errno.unwrap_or(EIO),
            Cause::TooLarge { .. } => EFBIG,
            Cause::Invalid => EINVAL,
        }
    }

    /// One line for a status: `/etc/prometheus/prometheus.yml line 12: field scrape_intervall not found in
    /// scrape_configs[0]`, with the number of further mistakes.
    pub fn summary(&self) -> String {
        let file = self.file.display();
        let Some(first) = self.errors.first() else {
            return match &self.cause {
                Cause::Io { text, .. } => format!("{file}: {text}"),
                Cause::TooLarge { .. } | Cause::Invalid => format!("{file}: {}", self.headline()),
            };
        };
        let file = first.file.as_deref().unwrap_or(&self.file).display();
        let place = if first.line > 0 { format!(" line {}", first.line) } else { String::new() };
        let message = first.message.lines().next().unwrap_or_default();
        let parent = first.key_path.rsplit_once('.').map_or("", |(parent, _)| parent);
        let message = match message.split_once(" in type ") {
            Some((message, _)) if !parent.is_empty() => format!("{message} in {parent}"),
            Some((message, _)) => format!("{message} at the top level"),
            None => message.to_owned(),
        };
        let hint = first.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let more = match self.errors.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        format!("{file}{place}: {message}{hint}{more}")
    }

    /// What the reference says of the same text; further lines, if there are any, belong to it.
    pub fn first_line(&self) -> String {
        self.headline()
    }

    fn io_kind(&self) -> Option<io::ErrorKind> {
        match &self.cause {
            Cause::Io { kind, .. } => Some(*kind),
            Cause::TooLarge { .. } | Cause::Invalid => None,
        }
    }

    /// What Prometheus says about the same file.
    pub(crate) fn headline(&self) -> String {
        let file = self.file.display();
        match &self.cause {
            Cause::Io { text, .. } => format!("open {file}: {text}"),
            Cause::TooLarge { size_bytes, size_bytes_max } => format!(
                "parsing YAML file {file}: file has {size_bytes} bytes, more than the limit of {size_bytes_max}"
            ),
            Cause::Invalid => {
                let first = self.errors.first();
                let (origin, path) = first
                    .map_or((Origin::Main, None), |error| (error.origin, error.file.as_deref()));
                let of_file: Vec<&ConfigError> =
                    self.errors.iter().filter(|error| error.file.as_deref() == path).collect();
                let path = path.unwrap_or(&self.file);
                let is_agent = |error: &&ConfigError| error.kind == ErrorKind::Agent;
                match origin {
                    Origin::Main if of_file.iter().copied().all(|error| is_agent(&error)) => {
                        go_text(&of_file)
                    }
                    Origin::Main => format!("parsing YAML file {file}: {}", go_text(&of_file)),
                    Origin::Web | Origin::Targets => go_text(&of_file),
                    Origin::ScrapeFile => {
                        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                        let path = quote_go(&path.display().to_string());
                        format!("{path}: {}", go_text(&of_file))
                    }
                    Origin::RuleFile => {
                        let path = path.display();
                        match of_file.first().filter(|error| error.kind == ErrorKind::Check) {
                            Some(first) if first.line > 0 => {
                                let (line, column) = (first.line, first.column);
                                format!("{path}: {line}:{column}: {}", first.message)
                            }
                            _ => format!("{path}: {}", go_text(&of_file)),
                        }
                    }
                }
            }
        }
    }
}

/// What the reference says of the mistakes of a rule file, one text for each that it tells apart.
pub fn rule_error_lines(errors: &[ConfigError]) -> Vec<String> {
    let all: Vec<&ConfigError> = errors.iter().collect();
    if errors.iter().any(|error| error.kind != ErrorKind::Check) {
        return vec![go_text(&all)];
    }
    let line = |error: &ConfigError| format!("{}:{}: {}", error.line, error.column, error.message);
    errors.iter().map(line).collect()
}

/// What the reference says of the mistakes of one file: it lists those of one kind, or knows only the first.
pub(crate) fn go_text(errors: &[&ConfigError]) -> String {
    let of_kind = |kind| errors.iter().filter(move |error| error.kind == kind);
    let mut unmarshal = of_kind(ErrorKind::Unmarshal).peekable();
    let is_syntax = |error: &&&ConfigError| matches!(error.kind, ErrorKind::Syntax { .. });
    if unmarshal.peek().is_some() && !errors.iter().any(|error| is_syntax(&error)) {
        let mut text = String::from("yaml: unmarshal errors:");
        for error in unmarshal {
            text.push_str(&format!("\n  line {}: {}", error.line, error.message));
        }
        return text;
    }
    let first = errors.iter().find(is_syntax);
    let first = first.or_else(|| of_kind(ErrorKind::Check).next()).or(errors.first());
    match first.map(|error| (error.kind, &error.message)) {
        Some((ErrorKind::Syntax { shown_line: 0 }, message)) => format!("yaml: {message}"),
        Some((ErrorKind::Syntax { shown_line }, message)) => {
            format!("yaml: line {shown_line}: {message}")
        }
        Some((_, message)) => message.clone(),
        None => String::from("invalid configuration"),
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        for error in &self.errors {
            let file = error.file.as_deref().unwrap_or(&self.file);
            write!(f, "\n{}:{error}", file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl Cause {
    /// The operating system's error in Go's words: `no such file or directory`.
    pub(crate) fn io(err: &io::Error) -> Self {
        let text = err.to_string();
        let text = text.split(" (os error").next().unwrap_or_default().to_lowercase();
        Self::Io { kind: err.kind(), errno: err.raw_os_error(), text }
    }
}
