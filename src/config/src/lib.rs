//! `prometheus.yml`: text in, checked plain data out, or every mistake with its place; and word when the
//! file changes.
//!
//! The format is that of 3.14, whole: what is valid loads, included files are read and merged. What is valid
//! and needs a component that this build has not stands in one list (`check::runnable`): a server loads with
//! [`LoadOptions::SERVER`], which refuses it by name, a tool with [`LoadOptions::CHECK`], which takes it and
//! may ask [`Config::check_runnable`]. Rules among it are taken, checked and left alone where
//! [`LoadOptions::leaves_rules_unevaluated`] says so. What has no effect without being wrong is a
//! [`Config::notices`].
//!
//! Bytes become a document by go-yaml's rules (`yaml`), the document a raw value that mirrors the text
//! (`raw`), the raw value a checked one (`checked`). Sections that are no more than keys with defaults are
//! tables (`sections`), which yield both. Expressions of rules are checked by a function that the caller
//! lends, since this room knows no PromQL; the main file, files of jobs and rule files are read through
//! [`Sources`]. Each room that is configured takes its own section of
//! the checked data; this room knows none of them. Relabelling rules come from `prom-model`.
//!
//! Invariants:
//! I1. A [`Config`] is valid: only the checker builds one, and nobody can change it.
//! I2. All mistakes of a file are reported at once, each with line, column and key path.
//! I3. A secret leaves this room only through [`Secret::reveal`]; no output, error or `Debug` shows it.
//! I4. No input makes it panic, recurse without bound or take memory out of proportion: size, depth and
//!     alias expansion have limits.
//! I5. Whole texts hold secrets: [`Sources`] hand them to the loader and to [`Generations`] only, which keep
//!     them where nobody but the owner of the process reads them.
//!
//! Concurrency: a `Config` is shared by `Arc` and never changes. A [`Watcher`] starts no task of its own:
//! whoever calls it drives it.
//!
//! Limits: a file has at most 32 MiB, two million nodes, values of 1 MiB, 10 000 levels of blocks and 255 of
//! brackets; 500 mistakes are listed.

mod changes;
mod check;
mod checked;
mod error;
mod expand;
mod generations;
mod go_path;
mod go_url;
mod key_path;
mod load;
mod near_miss;
mod open_value;
mod other_files;
mod print;
mod raw;
mod referenced;
mod rules;
mod secret;
mod section;
mod sections;
mod sources;
mod text_diff;
mod units;
mod watch;
mod yaml;

pub use changes::{ChangedNames, Changes, RoomChange};
pub use checked::{
    AlertingConfig, AlertmanagerConfig, Config, GlobalConfig, HttpAuth, HttpClientConfig,
    HttpHeader, RuntimeConfig, ScrapeConfig, ScrapeLimits, ScrapeProtocol, StaticConfig,
};
pub use error::{ConfigError, ConfigErrors, rule_error_lines};
pub use generations::{
    Accepted, GENERATION_COUNT_MAX, Generation, GenerationError, GenerationFile, Generations,
    GenerationsView, REJECTION_COUNT_MAX, Rejection, RestoreError, write_files,
};
pub use go_url::Url;
pub use load::{ExprCheck, IncludedFiles, LoadOptions, load, load_file, load_text, load_with};
pub use open_value::OpenValue;
pub use other_files::{parse_http_client, parse_target_file, parse_web_config, web_config_files};
pub use rules::{AlertingRule, RecordingRule, Rule, RuleFile, RuleGroup, RuleOptions, parse_rules};
pub use secret::{Secret, Source};
pub use section::RelabelRules;
pub use sections::*;
pub use sources::{FILE_SIZE_BYTES_MAX, PatternError, SourceText, Sources};
pub use text_diff::{DiffLine, TextDiff};
pub use watch::{Changed, WatchOptions, WatchSet, Watcher};
pub use yaml::decode_base64;
