//! From a path to a checked configuration. It keeps nothing and watches nothing.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Config, ConfigErrors,
    check::{Checker, Surroundings},
    error::{Cause, ConfigError, ErrorKind},
    go_path::directory_of,
    raw::{RawConfig, SCHEMA},
    yaml::{Decoded, Document, Fault, decode, to_text},
};

/// Largest configuration file, in bytes. The largest ones known hold some 20 000 targets in 4 MB.
pub const FILE_SIZE_BYTES_MAX: u64 = 32 << 20;

/// Reads and checks a configuration file.
///
/// # Errors
/// The file cannot be read, is too large, or is wrong: [`ConfigErrors`] has all that is wrong with it.
pub fn load_file(path: &Path) -> Result<Config, ConfigErrors> {
    let bytes = read_bounded(path)?;
    load_text(path, &bytes)
}

/// Checks the text of a configuration file; `path` is what errors name and relative paths start from.
///
/// # Errors
/// The text is wrong: [`ConfigErrors`] has all that is wrong with it.
pub fn load_text(path: &Path, bytes: &[u8]) -> Result<Config, ConfigErrors> {
    let fail = |errors| ConfigErrors { file: path.to_owned(), errors, cause: Cause::Invalid };
    let syntax = |fault: Fault| fail(vec![syntax_error(fault)]);
    let text = to_text(bytes).map_err(syntax)?;
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
        content_hash: xxh3_64(bytes),
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

/// Reads a file without ever holding more than the limit.
fn read_bounded(path: &Path) -> Result<Vec<u8>, ConfigErrors> {
    let fail = |cause| ConfigErrors { file: path.to_owned(), errors: Vec::new(), cause };
    let io_error = |err: io::Error| fail(Cause::io(&err));
    let file = File::open(path).map_err(io_error)?;
    let size_bytes = file.metadata().map_err(io_error)?.len();
    let too_large =
        |size_bytes| fail(Cause::TooLarge { size_bytes, size_bytes_max: FILE_SIZE_BYTES_MAX });
    if size_bytes > FILE_SIZE_BYTES_MAX {
        return Err(too_large(size_bytes));
    }
    // A pipe or a device has no size, and a file may grow while it is read.
    let mut bytes = Vec::new();
    file.take(FILE_SIZE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io_error)?;
    match bytes.len() as u64 {
        read_bytes if read_bytes > FILE_SIZE_BYTES_MAX => Err(too_large(read_bytes)),
        _ => Ok(bytes),
    }
}
