//! Outside tests of the room: scripts in the reference's test language over memory and over databases, and
//! comparison with the installed original.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests end by panics, and say what they compared"
)]

mod bad_input;
mod beside;
mod limits;
mod original;
mod phases;
mod scripts;
mod turns;
