//! Scraping: asks each target in its own rhythm, understands the answer, and appends it as one batch.
//!
//! Neighbours: the checked configuration comes from `prom-config`, groups of targets from
//! `prom-discovery`, bodies from `prom-http-client`, lines from `prom-exposition`; samples go to a
//! [`prom_storage::Appendable`]. `web` reads [`TargetView`]s; the server prepares and commits reloads.
//!
//! Invariants:
//! I1. A scrape is one batch: its samples, its reports and its staleness markers are stored together, or
//!     the target shows why not.
//! I2. A line that the last body had, or a float of a family, costs no string, no allocation and no lookup, as long as the lines
//!     come in their order and nobody wants to know since when they count.
//! I3. A reload leaves alone what it does not change: the loop of such a target misses no beat and keeps
//!     its cache and its connection.
//! I4. Readers take a snapshot; none waits for a reload or a scrape, and no scrape waits for a reader.
//! I5. Each loop promises when it makes its next step. While all keep their promises the heart beats; one
//!     that is wedged stops it, so that systemd restarts the service.
//! I6. What a target may take is bounded before it is taken, also where the configuration sets no limit.
//! I7. States of a target follow `states/target.yaml`; there is no second copy of its rules.
//!
//! Concurrency: one task per target, through the supervisor; it owns its cache. Small bodies are digested
//! where they arrive, large and unknown ones on a bounded pool of threads. `ScrapeManager` may be used
//! from any thread; reloads come one at a time.
//!
//! Limits: bodies (`fetch`, `manager`), lines, comments and series that count (`pass`), exemplars of a converted histogram
//! (`pass::converted`), metadata (`metadata`), waiting work
//! (`manager`), labels of one series (`prom_exposition`), targets of one job (`prom_discovery`).

mod batch;
mod cache;
mod digest;
mod error;
mod explain;
mod failure_log;
mod fault;
mod fetch;
mod live;
mod manager;
mod metadata;
mod metrics;
mod pass;
mod pool;
mod pulse;
mod relabelled;
mod report;
mod rules;
mod schedule;
mod scrape_loop;
mod store;
mod synthesis;
mod target;
#[cfg(test)]
mod tests;
mod told;
mod url;
mod view;

pub use error::ScrapeError;
pub use explain::{ExplainedTarget, RelabelStep, explain_target, relabel_steps};
pub use manager::{Prepared, ScrapeManager, ScrapeOptions};
pub use view::{DroppedTargetView, MetricMetadata, PoolTally, PoolView, TargetHealth, TargetView};
