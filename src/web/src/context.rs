//! What the web room is given: switches of the command line, and the doors of the rooms below.
//! It makes none of them.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use prom_cli::BuildInfo;
use prom_config::{Config, Generations};
use prom_lifecycle::Handle;
use prom_model::GoRegex;
use prom_promql::{Engine, ParseOptions, QueryClass};
use prom_remote::Receiver;
use prom_storage::{ExemplarQueryable, Queryable};
use prom_telemetry::{Registry, clock};
use prom_tsdb::TsdbStats;
use url::Url;

use crate::{
    api::RemoteWriteDoor, external_url::host_name, listen::ServeOptions, metrics::HandlerMetrics,
    pool::WorkPool, rule_evaluators::RuleEvaluators, targets::Targets, tsdb_admin::TsdbAdmin,
};

/// Settings from the command line. Defaults are Prometheus's.
#[derive(Clone, Debug)]
pub struct WebOptions {
    /// `--web.listen-address`, in order.
    pub listen_addresses: Vec<String>,
    /// How others reach us, see [`crate::external_url`]; its path is the prefix of all links.
    pub external_url: Url,
    /// `--web.route-prefix`: where routes begin; the path of the external URL if there is none.
    pub route_prefix: Option<String>,
    /// `--web.page-title`.
    pub page_title: String,
    /// `--web.cors.origin`: origins that may read the API, matched from end to end.
    pub cors_origin: GoRegex,
    /// `--query.rule-evaluators`: whose queries are those of rules.
    pub rule_evaluators: RuleEvaluators,
    /// `--web.max-connections`, over all listeners.
    pub connections_max: usize,
    /// `--web.read-timeout`: for a request to arrive, and for an idle connection.
    pub read_timeout: Duration,
    /// How long requests under way may go on once the server stops.
    pub drain_timeout: Duration,
}

/// How far the log was replayed: segments, as `/api/v1/status/walreplay` says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalReplay {
    pub min: u64,
    pub max: u64,
    pub current: u64,
}

/// The doors of the rooms below, and facts that do not change.
#[derive(Clone)]
pub struct WebParts {
    pub engine: Arc<Engine>,
    pub parse_options: ParseOptions,
    pub storage: Arc<dyn Queryable>,
    pub exemplars: Arc<dyn ExemplarQueryable>,
    /// Figures of the head; the argument limits each list. None where there is no TSDB.
    pub tsdb_stats: Arc<dyn Fn(usize) -> TsdbStats + Send + Sync>,
    pub wal_replay: Arc<dyn Fn() -> WalReplay + Send + Sync>,
    /// Takes what others send; nothing where `--web.enable-remote-write-receiver` was not given.
    pub remote_write: Option<Arc<Receiver>>,
    /// Changes what is stored; nothing where `--web.enable-admin-api` was not given.
    pub tsdb_admin: Option<Arc<dyn TsdbAdmin>>,
    pub targets: Arc<dyn Targets>,
    pub config: Arc<ArcSwap<Config>>,
    pub generations: Arc<Generations>,
    /// Every flag with the value in force, without dashes.
    pub flags: BTreeMap<String, String>,
    pub build: BuildInfo,
    /// How the server ended that had the data before.
    pub previous_stop: &'static str,
    /// How long and how much is kept, as the status page shows it: `15d`.
    pub storage_retention: Arc<dyn Fn() -> String + Send + Sync>,
    pub registry: Registry,
    pub lifecycle: Handle,
}

/// What handlers share.
pub(crate) struct WebContext {
    pub(crate) options: WebOptions,
    pub(crate) parts: WebParts,
    pub(crate) pool: WorkPool,
    /// For queries of rules: they wait for no thread that others have.
    rules_pool: WorkPool,
    pub(crate) remote_write: RemoteWriteDoor,
    pub(crate) handler_metrics: HandlerMetrics,
    /// Where links begin: empty, or a path with a leading and without a trailing slash.
    pub(crate) link_prefix: String,
    pub(crate) started_ms: i64,
    pub(crate) host_name: String,
    pub(crate) working_dir: String,
}

impl Default for WebOptions {
    fn default() -> Self {
        Self {
            listen_addresses: vec!["0.0.0.0:9090".to_owned()],
            external_url: Url::parse("http://localhost:9090/").expect("a constant URL is valid"),
            route_prefix: None,
            page_title: "Prometheus Time Series Collection and Processing Server".to_owned(),
            cors_origin: GoRegex::anchored(".*").expect("a constant expression is valid"),
            rule_evaluators: RuleEvaluators::default(),
            connections_max: 512,
            read_timeout: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl WebOptions {
    /// The limits for [`crate::serve`].
    pub fn serve_options(&self) -> ServeOptions {
        ServeOptions {
            connections_max: self.connections_max,
            read_timeout: self.read_timeout,
            drain_timeout: self.drain_timeout,
        }
    }

    /// Where routes begin: empty, or a path with a leading and without a trailing slash.
    pub(crate) fn routes_at(&self) -> String {
        clean_prefix(self.route_prefix.as_deref().unwrap_or(self.external_url.path()))
    }
}

impl WebContext {
    pub(crate) fn new(options: WebOptions, parts: WebParts) -> Self {
        let concurrency_max = parts.engine.options().concurrency_max;
        let pool = WorkPool::new(&parts.lifecycle, concurrency_max);
        let rules_pool = pool.beside(&parts.lifecycle, "queries of rules", concurrency_max);
        let remote_write = RemoteWriteDoor::new(parts.remote_write.clone(), &parts.lifecycle);
        let handler_metrics = HandlerMetrics::new(&parts.registry);
        let link_prefix = clean_prefix(options.external_url.path());
        Self {
            options,
            parts,
            pool,
            rules_pool,
            remote_write,
            handler_metrics,
            link_prefix,
            started_ms: clock::now_ms(),
            host_name: host_name(),
            working_dir: std::env::current_dir().unwrap_or_default().display().to_string(),
        }
    }
}

impl WebContext {
    /// Where queries of a class find threads.
    pub(crate) fn pool_of(&self, class: QueryClass) -> &WorkPool {
        if class == QueryClass::Rules { &self.rules_pool } else { &self.pool }
    }

    /// Whether clients may change or delete what the server holds: `--web.enable-admin-api`.
    pub(crate) fn is_admin_enabled(&self) -> bool {
        self.parts.flags.get("web.enable-admin-api").is_some_and(|value| value == "true")
    }
}

impl fmt::Debug for WebParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebParts").field("build", &self.build).finish_non_exhaustive()
    }
}

fn clean_prefix(path: &str) -> String {
    match path.trim_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    }
}
