//! From a path to a checked configuration. It keeps nothing and watches nothing.

use std::path::Path;

use crate::{
    Config, ConfigErrors, Sources,
    check::{Checker, Surroundings},
    error::{Cause, ConfigError, ErrorKind},
    go_path::directory_of,
    raw::{RawConfig, SCHEMA},
    yaml::{Decoded, Document, Fault, decode, to_text},
};

/// Reads and checks a configuration file.
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
    let bytes = sources.read(path)?;
    let fail = |errors| ConfigErrors { file: path.to_owned(), errors, cause: Cause::Invalid };
    let syntax = |fault: Fault| fail(vec![syntax_error(fault)]);
    let text = to_text(&bytes).map_err(syntax)?;
    let document = Document::parse(&text).map_err(syntax)?;
    let Decoded { value: raw, errors, is_partial } = decode::<RawConfig>(&document, &SCHEMA);
    if is_partial {
        return Err(fail(errors));
    }
    let env = |name: &str| std::env::var(name).unwrap_or_default();
    let surroundings = Surroundings { directory: directory_of(path), env: &env };
    let mut checker = Checker::new(&document, surroundings, errors);
    let sections = checker.check(raw);
    let errors = checker.into_errors();
    if !errors.is_empty() {
        return Err(fail(errors));
    }
    Ok(Config {
        global: sections.global,
        runtime: sections.runtime,
        alerting: sections.alerting,
        scrape_configs: sections.scrape_configs,
        file: path.to_owned(),
        content_hash: sources.content_hash(),
    })
}

fn syntax_error(fault: Fault) -> ConfigError {
    let Fault { line, column, shown_line, message, hint } = fault;
    ConfigError {
        line,
        column,
        key_path: String::new(),
        message: message.into_owned(),
        hint,
        kind: ErrorKind::Syntax { shown_line },
    }
}
