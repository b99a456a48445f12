//! Outside tests of the room: scripts in the reference's test language over a store in memory, and
//! comparison with the installed original.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests end by panics, and say what they skip"
)]

mod limits;
mod needs;
mod original;
mod phases;
mod scripts;
mod turns;
