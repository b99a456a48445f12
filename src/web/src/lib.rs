//! The server as seen from the network: the HTTP API, the pages, our own metrics, and the sockets below.
//!
//! Neighbours: `promql` answers queries, `storage` and `tsdb` hold series, `scrape` knows targets,
//! `remote` takes what others send, `config` the configuration in force, `lifecycle` the state and the probes, `exposition` prints metrics.
//! `server` fills [`WebOptions`] and [`WebParts`], builds the router and serves it.
//!
//! Invariants:
//! I1. No page holds a script, an event handler or a style attribute; the content security policy
//!     forbids them, and a test reads every page.
//! I2. Text of others (labels, errors, expressions) reaches a page only escaped.
//! I3. Nothing blocks an async thread: stores and engine are called on a bounded pool. Light queries are
//!     the exception: they may hold up all threads but one, for some two milliseconds each.
//! I4. A request that changes something is refused when a browser sends it from another site.
//! I5. A client that leaves cancels its query.
//!
//! Concurrency: the router is cloned for each connection; all state behind it is shared and read-only.
//!
//! Limits: connections, body sizes, times to read a request, points of a range query, rows and lines of a
//! page, each a named constant where it is used.

mod api;
mod context;
mod error;
mod evaluate;
mod external_url;
mod generations;
mod json;
mod listen;
mod markup;
mod metrics;
mod middleware;
mod origin;
mod pages;
mod pool;
mod query_files;
mod router;
mod rule_evaluators;
mod targets;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tsdb_admin;

pub use context::{WalReplay, WebOptions, WebParts};
pub use external_url::external_url;
pub use listen::{ListenError, ListenErrorKind, ServeOptions, bind, serve};
pub use query_files::{ActiveQueryFile, QueryLogFile};
pub use router::router;
pub use rule_evaluators::RuleEvaluators;
pub use targets::{MetadataVisitor, Targets};
pub use tsdb_admin::TsdbAdmin;
