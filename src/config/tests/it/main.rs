//! The room from outside: files on a disk, and the reference's own test data.
// All of it is tests; clippy sees that only of the functions that are marked.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod files;
mod hostile;
mod large;
mod reference;
mod status;
mod verdicts;
