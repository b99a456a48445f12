//! The house's only HTTP client: asks targets and services, within limits, and names what goes wrong in
//! the words that users know from Prometheus.
//!
//! Neighbours: built from one section of the checked configuration (`prom-config`); used by scraping and
//! discovery, later by remote write and alerting. It speaks plain HTTP/1.1 here; TLS, HTTP/2, proxies and
//! unix sockets are refused by the configuration until they are built.
//!
//! Invariants:
//! I1. A request, its redirects and its body end by one deadline.
//! I2. No body takes more memory than its limit, and all bodies together no more than the pool's budget;
//!     both are checked before the memory is taken. A gzip bomb ends at the limit.
//! I3. Credentials do not follow a redirect to another host.
//! I4. No task is spawned: whoever waits for an answer drives its connection, and dropping the future
//!     closes it.
//!
//! Concurrency: a `Client` is shared by any number of tasks; an idle connection belongs to nobody and holds
//! no buffer. `inflate_gzip` is plain CPU work for whichever thread suits.
//!
//! Limits: idle connections per client and per server, redirects, the size of a response's head (see the
//! constants of `idle`, `client`, `exchange`).

mod base64;
mod buffer;
mod client;
mod connect;
mod error;
mod exchange;
mod gzip;
mod headers;
mod idle;
#[cfg(test)]
mod tests;

pub use buffer::{BodyLimit, Buffer, BufferPool};
pub use client::{Client, Request, Response};
pub use error::{Cause, HttpError};
pub use gzip::inflate_gzip;
