//! Lines for the user. A reader that went away is no error: what it wanted to see, it saw.

use std::io::Write;

/// A line on standard output.
pub(crate) fn out(line: &str) {
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

/// A line on standard error.
pub(crate) fn err(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
