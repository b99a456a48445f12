//! The server as a service: which rooms are opened, in what order, and what a reload changes.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::TcpListener,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use prom_cli::build_info;
use prom_config::{Config, ConfigErrors, Generations, Sources, load_with};
use prom_lifecycle::{
    Answers, Event, Failure, Handle, Places, Preparation, ReloadStep, Service, Sockets, Step,
    serve_control,
};
use prom_model::GoRegex;
use prom_promql::{Engine, EngineOptions, ParseOptions};
use prom_remote::Receiver;
use prom_scrape::{ScrapeManager, ScrapeOptions};
use prom_telemetry::Registry;
use prom_tsdb::{Db, OpenError, PreviousStop, ReplayProgress, WalCompression};
use prom_web::{WalReplay, WebOptions, WebParts, external_url};

use crate::{
    exemplars::{exemplars_count_max, exemplars_notice},
    flags::{Feature, Flags, Options},
    float_encoding::{checked_float_encoding, float_encoding},
    listeners::listen,
    out_of_order::out_of_order_window_ms,
    queries::{self, PreparedQueryLog},
    reload::{Prepared, accept_at_start, generation_facts, generations_text},
    retention::{block_duration_max_ms, retention, retention_text},
    rules::rule_facts,
    stale_series::stale_series_threshold,
    trial::Trials,
    watch::ConfigWatch,
};

/// Sent with each scrape.
const USER_AGENT: &str = concat!("Prometheus/3.14.0+rs.", env!("CARGO_PKG_VERSION"));
/// How long requests under way may go on once the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the storage is asked whether it still takes samples.
const DISK_GLANCE: Duration = Duration::from_millis(500);
/// Where the unit's commands find the control socket, below `$RUNTIME_DIRECTORY`.
const CONTROL_SOCKET_NAME: &str = "control.sock";

/// Where the generations of the configuration are kept, below the folder of the storage.
const GENERATIONS_FOLDER: &str = "generations";

/// `prometheus` in server mode.
pub(crate) struct Prometheus {
    flags: Flags,
    pub(crate) options: Options,
    registry: Registry,
    replay: Arc<Replay>,
    pub(crate) watch: ConfigWatch,
    pub(crate) trials: Arc<Trials>,
    /// What the first configuration was read from, until it is in force.
    loaded: Mutex<Sources>,
}

/// All components, running.
pub(crate) struct Running {
    pub(crate) config: Arc<ArcSwap<Config>>,
    pub(crate) scrape: ScrapeManager,
    pub(crate) generations: Arc<Generations>,
    /// Texts that the main file brings in, by name, with their hashes.
    pub(crate) included: ArcSwap<BTreeMap<String, u64>>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) db: Arc<Db>,
    pub(crate) handle: Handle,
}

/// How far the log has been replayed, for `/api/v1/status/walreplay`.
#[derive(Debug, Default)]
struct Replay {
    min: AtomicU64,
    max: AtomicU64,
    current: AtomicU64,
}

impl Prometheus {
    pub(crate) fn new(flags: Flags, options: Options, registry: &Registry) -> Self {
        Self {
            flags,
            registry: registry.clone(),
            replay: Arc::default(),
            watch: ConfigWatch::new(),
            trials: Arc::new(Trials::new(options.trial, registry)),
            options,
            loaded: Mutex::default(),
        }
    }

    fn engine(&self, config: &Arc<ArcSwap<Config>>) -> Engine {
        let mut options = EngineOptions::default();
        options.lookback_delta_ms = self.options.lookback_delta_ms;
        options.timeout = milliseconds(self.options.query_timeout_ms);
        options.parse = self.parse_options();
        let features = &self.options.features;
        options.is_name_removal_delayed = features.has(Feature::DelayedNameRemoval);
        options.has_per_step_stats = features.has(Feature::PerStepStats);
        options.has_type_and_unit_labels = features.has(Feature::TypeAndUnitLabels);
        options.uses_start_timestamps = features.has(Feature::UseStartTimestamps);
        options.concurrency_max = self.options.query_concurrency_max;
        options.samples_count_max = self.options.query_sample_count_max as u64;
        let (of_one, of_all) =
            (self.options.query_size_bytes_max, self.options.query_total_size_bytes_max);
        (options.bytes_max, options.total_bytes_max) = queries::memory_limits(of_one, of_all);
        let slot_count = self.options.query_concurrency_max;
        options.journal = queries::journal(&self.options.storage_path, slot_count);
        let config = Arc::clone(config);
        options.subquery_step =
            Arc::new(move |_range_ms| to_ms(config.load().global.evaluation_interval));
        Engine::new(options, &self.registry)
    }

    fn receiver(&self, db: &Arc<Db>) -> Option<Arc<Receiver>> {
        let store = Arc::clone(db) as _;
        let make = || Arc::new(Receiver::new(store, &self.registry));
        self.options.is_remote_write_received.then(make)
    }

    pub(crate) fn parse_options(&self) -> ParseOptions {
        let features = &self.options.features;
        ParseOptions {
            experimental_functions: features.has(Feature::ExperimentalFunctions),
            extended_range_selectors: features.has(Feature::ExtendedRangeSelectors),
            binop_fill_modifiers: features.has(Feature::BinopFillModifiers),
        }
    }

    fn web_options(&self, listeners: &[TcpListener]) -> Result<WebOptions, Failure> {
        let invalid = |message: String| Failure::new(Event::StartFailed, message);
        let mut web = WebOptions {
            listen_addresses: self.options.listen_addresses.clone(),
            page_title: self.options.page_title.clone(),
            rule_evaluators: self.options.rule_evaluators.clone(),
            connections_max: self.options.connection_count_max,
            read_timeout: milliseconds(self.options.read_timeout_ms),
            drain_timeout: DRAIN_TIMEOUT,
            cors_origin: GoRegex::anchored(&self.options.cors_origin)
                .map_err(|err| invalid(format!("flag '--web.cors.origin': {err}")))?,
            ..WebOptions::default()
        };
        if !self.options.route_prefix.is_empty() {
            web.route_prefix = Some(self.options.route_prefix.clone());
        }
        web.external_url = external_url(&self.options.external_url, &own_url(listeners))
            .map_err(|err| invalid(format!("flag '--web.external-url': {err}")))?;
        Ok(web)
    }

    fn web_parts(
        &self,
        engine: &Arc<Engine>,
        config: &Arc<ArcSwap<Config>>,
        db: &Arc<Db>,
        scrape: &ScrapeManager,
        generations: &Arc<Generations>,
        handle: &Handle,
    ) -> WebParts {
        let (stats_of, replay) = (Arc::clone(db), Arc::clone(&self.replay));
        let (options, running) = (self.options.clone(), Arc::clone(config));
        WebParts {
            engine: Arc::clone(engine),
            parse_options: self.parse_options(),
            storage: Arc::clone(db) as _,
            exemplars: Arc::clone(db) as _,
            tsdb_stats: Arc::new(move |top_count_max| stats_of.stats(top_count_max)),
            wal_replay: Arc::new(move || replay.view()),
            remote_write: self.receiver(db),
            tsdb_admin: self.options.is_admin_enabled.then(|| Arc::clone(db) as _),
            targets: Arc::new(scrape.clone()),
            config: Arc::clone(config),
            generations: Arc::clone(generations),
            flags: self.flags.to_map(),
            build: build_info(),
            previous_stop: previous_stop_text(db.previous_stop()),
            storage_retention: Arc::new(move || {
                retention_text(retention(&options, &running.load()))
            }),
            registry: self.registry.clone(),
            lifecycle: handle.clone(),
        }
    }

    /// Tells the lifecycle when the log cannot be written or a compaction would not fit, and when that is over.
    fn guard_disk(handle: &Handle, db: &Arc<Db>) {
        let (handle, db, end) = (handle.clone(), Arc::clone(db), handle.cancellation());
        handle.clone().spawn_vital("disk guard", async move {
            let mut is_low = false;
            loop {
                tokio::select! {
                    () = end.cancelled() => return,
                    () = tokio::time::sleep(DISK_GLANCE) => {}
                }
                match (db.write_fault().or_else(|| db.disk_shortage()), is_low) {
                    (Some(reason), false) => handle.raise(Event::DiskLow, reason),
                    (None, true) => handle.raise(Event::DiskRecovered, "there is room again"),
                    (Some(_), true) | (None, false) => continue,
                }
                is_low = !is_low;
            }
        });
    }

    /// Reads and checks the files.
    pub(crate) fn load(
        &self,
        sources: &mut Sources,
        previous: Option<&Config>,
    ) -> Result<Config, Failure> {
        let check = self.expression_check();
        let options = self.load_options(&check, previous);
        let loaded = load_with(&self.options.config_file, sources, &options);
        for notice in loaded.iter().flat_map(Config::notices) {
            tracing::warn!(file = %self.options.config_file.display(), "{notice}");
        }
        if let Some(notice) =
            loaded.as_ref().ok().and_then(|config| exemplars_notice(&self.options, config))
        {
            tracing::warn!(file = %self.options.config_file.display(), "{notice}");
        }
        loaded.map_err(|errors| {
            tracing::error!(
                file = %self.options.config_file.display(),
                err = %errors,
                "Error loading config"
            );
            config_failure(&errors)
        })
    }
}

impl Service for Prometheus {
    type Config = Config;
    type Storage = Arc<Db>;
    type Listeners = Vec<TcpListener>;
    type Running = Running;
    type Prepared = Prepared;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("Prometheus Server")
    }

    fn places(&self) -> Places {
        Places {
            config: self.options.config_file.display().to_string(),
            storage: self.options.storage_path.display().to_string(),
            listen: self.options.listen_addresses.join(", "),
        }
    }

    fn load_config(&self, _step: &Step) -> Result<Config, Failure> {
        self.watch.begin(&self.options.config_file);
        let mut sources = Sources::of_disk();
        let config = self.load(&mut sources, None)?;
        checked_float_encoding(&self.options, &config)
            .map_err(|reason| Failure::new(Event::ConfigInvalid, reason))?;
        self.watch.follow(&sources, &config);
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = sources;
        Ok(config)
    }

    fn open_storage(&self, config: &Config, step: &Step) -> Result<Arc<Db>, Failure> {
        let compression =
            match (self.options.is_wal_compressed, &*self.options.wal_compression_type) {
                (false, _) => WalCompression::None,
                (true, "zstd") => WalCompression::Zstd,
                (true, _) => WalCompression::Snappy,
            };
        let retention = retention(&self.options, config);
        let options = prom_tsdb::Options {
            wal_compression: compression,
            wal_segment_size_bytes: self.options.wal_segment_size_bytes,
            min_block_duration_ms: self.options.min_block_duration_ms,
            max_block_duration_ms: block_duration_max_ms(&self.options, retention),
            retention,
            float_encoding: float_encoding(&self.options, config),
            stale_series_threshold: stale_series_threshold(config),
            is_log_shortened_early: self.options.is_log_shortened_early,
            series_limits: self.options.series_limits,
            is_lockfile_used: self.options.is_lockfile_used,
            is_chunk_snapshot_used: self.options.features.has(Feature::ChunkSnapshots),
            are_starts_kept: self.options.features.has(Feature::StartStorage),
            are_histogram_starts_encoded: self.options.features.has(Feature::HistogramStarts),
            is_metadata_logged: self.options.features.has(Feature::MetadataRecords),
            exemplars_count_max: exemplars_count_max(&self.options, config),
            out_of_order_window_ms: out_of_order_window_ms(config),
            ..prom_tsdb::Options::default()
        };
        let progress = |progress: ReplayProgress| {
            self.replay.note(&progress);
            step.report("replaying the log", progress.read_size_bytes, progress.total_size_bytes);
            match step.is_cancelled() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let path = &self.options.storage_path;
        Db::open(path, options, &self.registry, &progress).map_err(|err| storage_failure(&err))
    }

    fn describe_storage(&self, db: &Arc<Db>) -> String {
        let head = db.head_stats();
        match head.max_time_ms.checked_sub(head.min_time_ms) {
            Some(range_ms) if range_ms >= 0 => {
                let range = prom_model::format_duration(range_ms / 1000 * 1000);
                format!("{} series, {range} of samples", head.series_count)
            }
            _ => "empty".to_owned(),
        }
    }

    fn bind(
        &self,
        _config: &Config,
        sockets: Sockets,
        step: &Step,
    ) -> Result<Vec<TcpListener>, Failure> {
        listen(&self.options.listen_addresses, sockets, step.handle())
    }

    fn start(
        &self,
        config: Arc<Config>,
        db: &Arc<Db>,
        listeners: Vec<TcpListener>,
        step: &Step,
    ) -> Result<Running, Failure> {
        let handle = step.handle();
        let failed =
            |err: &dyn std::fmt::Display| Failure::new(Event::StartFailed, err.to_string());
        let scrape = ScrapeManager::new(
            Arc::clone(db) as _,
            handle.clone(),
            &self.registry,
            self.scrape_options(),
        );
        let prepared = scrape.prepare(&config).map_err(|err| failed(&err))?;
        let query_log = PreparedQueryLog::of(&config).map_err(|err| failed(&err))?;
        let generations = Arc::new(Generations::open(&self.generations_path()));
        let sources =
            std::mem::take(&mut *self.loaded.lock().unwrap_or_else(PoisonError::into_inner));
        accept_at_start(&generations, &prepared, &sources);
        let included = ArcSwap::from_pointee(sources.included());
        let config = Arc::new(ArcSwap::new(config));
        let engine = Arc::new(self.engine(&config));
        query_log.take_over(&engine);

        let web_options = self.web_options(&listeners)?;
        let serve_options = web_options.serve_options();
        let parts = self.web_parts(&engine, &config, db, &scrape, &generations, handle);
        let router = prom_web::router(web_options, parts);
        let stop = handle.cancellation();
        handle.spawn_vital("web", async move {
            if let Err(err) = prom_web::serve(listeners, router, serve_options, stop).await {
                tracing::error!(component = "web", err = %err, "Serving ended");
            }
        });
        if let Some(folder) = std::env::var_os("RUNTIME_DIRECTORY") {
            let path = Path::new(&folder).join(CONTROL_SOCKET_NAME);
            let shown = Arc::clone(&generations);
            let answers: Answers = Arc::new(move || generations_text(&shown.view()));
            serve_control(handle, &path, answers).map_err(|err| failed(&err))?;
        }
        scrape.commit(prepared);
        self.watch.spawn(handle);
        self.trials.spawn(handle, &scrape);
        Self::guard_disk(handle, db);
        let (db, handle) = (Arc::clone(db), handle.clone());
        Ok(Running { config, scrape, generations, included, engine, db, handle })
    }

    fn facts(&self, running: &Running) -> String {
        let (up, active) =
            running.scrape.pools().iter().fold((0, 0), |(up, active), pool| {
                (up + pool.up_count, active + pool.active_count)
            });
        let series_count = running.db.head_stats().series_count;
        let rules = rule_facts(&running.config.load());
        let generation = generation_facts(&running.generations.view());
        let trial = self.trials.facts();
        format!("{up}/{active} targets up, {series_count} series{rules}{generation}{trial}")
    }

    fn prepare_reload(
        &self,
        running: &Running,
        step: &ReloadStep,
    ) -> Result<Preparation<Prepared>, Failure> {
        self.prepare(running, step)
    }

    fn commit_reload(&self, running: &Running, prepared: Prepared) -> String {
        self.commit(running, prepared)
    }

    fn stop(&self, _running: Running, _step: &Step) -> Result<(), Failure> {
        Ok(())
    }

    fn close_storage(&self, db: Arc<Db>, _step: &Step) -> Result<(), Failure> {
        db.close().map_err(|err| Failure::new(Event::StorageFailed, err.to_string()))
    }
}

impl Prometheus {
    /// Generations of the configuration live with the data: both belong to this one server.
    fn generations_path(&self) -> PathBuf {
        self.options.storage_path.join(GENERATIONS_FOLDER)
    }

    fn scrape_options(&self) -> ScrapeOptions {
        let mut options = ScrapeOptions::new(USER_AGENT, host_name());
        options.timestamp_tolerance = match self.options.is_scrape_time_adjusted {
            true => milliseconds(self.options.scrape_time_tolerance_ms),
            false => Duration::ZERO,
        };
        let features = &self.options.features;
        options.extra_scrape_metrics = features.has(Feature::ExtraScrapeMetrics);
        options.is_metadata_logged = features.has(Feature::MetadataRecords);
        options.has_type_and_unit_labels = features.has(Feature::TypeAndUnitLabels);
        options.has_start_zeros = features.has(Feature::StartZeros);
        options.has_start_times = features.has(Feature::StartStorage);
        options.has_synthetic_starts = features.has(Feature::StartSynthesis);
        options
    }
}

impl Replay {
    fn note(&self, progress: &ReplayProgress) {
        self.min.store(progress.segment_first, Ordering::Relaxed);
        self.max.store(progress.segment_last, Ordering::Relaxed);
        self.current.store(progress.segment_current, Ordering::Relaxed);
    }

    fn view(&self) -> WalReplay {
        WalReplay {
            min: self.min.load(Ordering::Relaxed),
            max: self.max.load(Ordering::Relaxed),
            current: self.current.load(Ordering::Relaxed),
        }
    }
}

fn config_failure(errors: &ConfigErrors) -> Failure {
    let event = if errors.is_missing() {
        Event::ConfigMissing
    } else if errors.is_unreadable() {
        Event::ConfigUnreadable
    } else {
        Event::ConfigInvalid
    };
    // the first line is the status; the others tell all mistakes
    let message = format!("{}\n{errors}", errors.summary());
    Failure { event, errno: Some(errors.errno()), message }
}

fn storage_failure(err: &OpenError) -> Failure {
    let event = if err.is_locked() {
        Event::StorageLocked
    } else if err.is_permission_denied() {
        Event::StorageDenied
    } else if err.is_disk_full() {
        Event::StorageFull
    } else {
        Event::StorageFailed
    };
    Failure { event, errno: err.errno(), message: err.to_string() }
}

/// Where this server is reachable if nobody says otherwise: this machine's name and the first port.
/// Compat: `computeExternalURL` of `cmd/prometheus/main.go`.
fn own_url(listeners: &[TcpListener]) -> String {
    let port = listeners.first().and_then(|listener| Some(listener.local_addr().ok()?.port()));
    let host = Some(host_name()).filter(|name| !name.is_empty() && name != "(none)");
    let host = host.unwrap_or_else(|| "localhost".to_owned());
    format!("http://{host}:{}/", port.unwrap_or(9090))
}

/// As the status page tells it.
fn previous_stop_text(stop: PreviousStop) -> &'static str {
    match stop {
        PreviousStop::Clean => "clean",
        PreviousStop::Killed => "killed, or crashed",
        PreviousStop::OutOfMemory => "killed for lack of memory",
        PreviousStop::Reboot => "the machine stopped or lost power",
        PreviousStop::Unknown => "not clean; nothing tells why",
    }
}

fn to_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn milliseconds(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
