//! The house's only HTTP client: asks targets and services, within limits, and names what goes wrong in
//! the words that users know from Prometheus.
//!
//! Neighbours: built from one section of the checked configuration (`prom-config`); used by scraping and
//! discovery, later by remote write and alerting. It speaks HTTP/1.1, over TCP or a unix socket, over TLS or
//! not, through a proxy (HTTP, HTTPS, SOCKS5) or not; and HTTP/2 with a server behind TLS that chooses it in
//! the handshake, unless the configuration forbids it. A connection of HTTP/2 carries one request at a time,
//! as a target is asked one thing at a time; while nobody waits, the server's pings and settings wait, too,
//! and are answered before the next request. Behind TLS an idle connection takes 7 KiB, with HTTP/2 43 KiB (of
//! which the `h2` crate takes 16 KiB to write and 8 KiB to read into): 500 targets that choose HTTP/2 add 52 KiB
//! each to what is resident, 54 KiB to the original. `enable_http2: false` is worth having where targets are many
//! and near. Both versions are driven here, heads and frames taken apart by `httparse` and `h2`.
//!
//! Invariants:
//! I1. A request, its redirects and its body end by one deadline. A body taken in pieces ends by silence.
//! I2. No body takes more memory than its limit, and all bodies together no more than the pool's budget;
//!     both are checked before the memory is taken. A gzip bomb ends at the limit.
//! I3. Credentials do not follow a redirect to another host.
//! I4. No task is spawned: whoever waits for an answer drives its connection, and dropping the future
//!     closes it. A program that is asked for credentials ends with the future, too.
//! I5. Secrets and certificates in files are those of the moment: a rotated one counts from the next request
//!     on, and a connection made with an older certificate is not used again. A file that hangs costs a
//!     request no more than its deadline, and all requests together one thread.
//! I6. No error, log or `Debug` shows a secret.
//!
//! Concurrency: a `Client` is shared by any number of tasks; an idle connection belongs to nobody.
//! `inflate_gzip` is plain CPU work for whichever thread suits.
//!
//! Limits: idle connections per client and per server, redirects, the size of a response's head, windows and
//! tables of HTTP/2 (see the constants of `idle`, `client`, `exchange::http1`, `exchange::http2`).

mod aws;
mod base64;
mod buffer;
mod certificate;
mod client;
mod connect;
mod connection;
mod crypto;
mod der;
mod error;
mod exchange;
mod files;
mod gzip;
mod headers;
mod idle;
mod oauth2;
mod pieces;
mod program;
mod proxy;
mod sealed_key;
mod small_files;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

pub use aws::{AwsAccount, AwsConfig, AwsProof, aws_domain};
pub use base64::encode as base64;
pub use buffer::{BodyLimit, Buffer, BufferPool};
pub use certificate::Certificate;
pub use client::{Client, Request, Response};
pub use crypto::{RsaHash, RsaKey, random_uuid, sha256};
pub use error::{Cause, HttpError};
pub use gzip::inflate_gzip;
pub use pieces::Pieces;
pub use program::{Program, ProgramError};
pub use small_files::{FileError, SmallFiles};
