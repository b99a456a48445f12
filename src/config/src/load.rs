//! From a path to a checked configuration. It keeps nothing and watches nothing.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::{Config, ConfigErrors, error::Cause};

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
pub fn load_text(path: &Path, _text: &[u8]) -> Result<Config, ConfigErrors> {
    Err(ConfigErrors { file: path.to_owned(), errors: Vec::new(), cause: Cause::Invalid })
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
