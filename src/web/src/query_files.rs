//! What queries leave on disk: `queries.active`, which tells after a crash what was being evaluated, and the
//! query log. When they are opened and swapped is the server's business.

mod active;
mod log;

pub use active::ActiveQueryFile;
pub use log::QueryLogFile;
