//! Command lines as Prometheus's programs read them: clap does the work, this layer gives it kingpin's
//! syntax (`--[no-]flag`) and error texts, and every program the same `--version`.
//! It knows no flag and no command; `server` and `promtool` have theirs.

mod kingpin;
mod version;

pub use kingpin::{Refusal, explain, negated, switch};
pub use version::{BuildInfo, build_info, go_arch, version_text};
