//! A data directory that is open: the lock, the log, the head, the blocks, and what leads to them.

mod block_writer;
mod blocks;
mod chunk_snapshot;
mod deletion;
mod directory;
mod flusher;
mod inspect;
mod lock;
mod mark;
mod open;
mod options;
mod out_of_order;
mod previous;
mod retention;
mod room;
mod scrub;
mod sidecar;
mod snapshot;
mod stale;
mod stats;
mod upkeep;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

use prom_model::Matcher;
use prom_storage::{
    Appendable, Appender, ExemplarQueryable, ExemplarSeries, Querier, Queryable, StorageError,
    TimeRange,
};
use prom_telemetry::{Registry, clock};

use crate::{
    OpenError,
    disk::{Disk, RealDisk},
    head::Head,
    select::{DbQuerier, HeadQuerier},
};

pub use self::{
    block_writer::BlockWriter,
    inspect::{BlockAnalysis, BlockInfo, ChunkFigures, NameFigures, PairFigures},
    options::{FloatEncoding, Options, RetentionOptions, SeriesLimits, WalCompression},
    previous::PreviousStop,
    stats::{HeadStats, ReplayProgress, StatEntry, TsdbStats},
};
use self::{
    blocks::BlockSet,
    directory::prepare,
    flusher::Flusher,
    lock::DirLock,
    open::open_log,
    previous::RunRecord,
    scrub::Scrubber,
    upkeep::{Upkeep, UpkeepThread},
};

const CLEAN_START_METRIC: &str = "prometheus_tsdb_clean_start";
const CLEAN_START_HELP: &str = "-1: lockfile is disabled. 0: a lockfile from a previous execution was replaced. 1: lockfile creation was clean";

const PREVIOUS_STOP_METRIC: &str = "prometheus_tsdb_previous_stop";
const PREVIOUS_STOP_HELP: &str = "1 for the reason why the server ended that had the data before: clean, killed, out_of_memory, reboot or unknown.";

/// An open data directory.
pub struct Db {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    head: Arc<Head>,
    blocks: BlockSet,
    upkeep: Upkeep,
    scrubber: Scrubber,
    upkeep_thread: Mutex<Option<UpkeepThread>>,
    lock: Mutex<Option<DirLock>>,
    flusher: Mutex<Option<Flusher>>,
    sidecar_path: Option<PathBuf>,
    /// How the chunk snapshot of a stop is compressed; absent if none is made.
    snapshot_compression: Option<WalCompression>,
    run_record: Mutex<Option<RunRecord>>,
    previous_stop: OnceLock<PreviousStop>,
}

impl Db {
    /// Opens the directory, creating it if need be, and replays its log. `progress` is told how far that
    /// is, and may end it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        dir: &Path,
        options: Options,
        registry: &Registry,
        progress: &(dyn Fn(ReplayProgress) -> ControlFlow<()> + Sync),
    ) -> Result<Arc<Self>, OpenError> {
        let clean_start = registry.gauge(CLEAN_START_METRIC, CLEAN_START_HELP);
        clean_start.set(-1.0);
        prepare(dir)?;
        let lock = options.is_lockfile_used.then(|| DirLock::acquire(dir)).transpose()?;
        if let Some(lock) = &lock {
            clean_start.set(f64::from(u8::from(lock.is_clean_start)));
        }
        let is_lock_clean = lock.as_ref().map(|lock| lock.is_clean_start);
        let (stop, record) = RunRecord::begin(dir, is_lock_clean);
        tell_previous_stop(stop, registry);
        directory::clean(dir)?;
        directory::register_sizes(dir, registry);
        out_of_order::register_size(dir, registry);
        let db = Self::open_on(Arc::new(RealDisk), dir, &options, registry, progress, lock)?;
        let _first = db.previous_stop.set(stop);
        *crate::lock::lock(&db.run_record) = Some(record);
        *crate::lock::lock(&db.flusher) = Flusher::start(&db.head, db.sidecar_path.clone());
        let thread =
            UpkeepThread::spawn(&db).map_err(|err| OpenError::io(dir, "start thread", err))?;
        *crate::lock::lock(&db.upkeep_thread) = Some(thread);
        Ok(db)
    }

    /// Figures for the status API; top lists have at most `top_count_max` entries.
    pub fn stats(&self, top_count_max: usize) -> TsdbStats {
        self.head.stats(top_count_max)
    }

    /// Keeps at most so many exemplars from now on; the newest ones stay.
    pub fn set_exemplars_count_max(&self, count_max: usize) {
        self.head.set_exemplars_count_max(count_max);
    }

    /// Figures of the head alone, cheap enough for a status line.
    pub fn head_stats(&self) -> HeadStats {
        self.head.head_stats()
    }

    /// Why the latest commit could not be logged; nothing while commits succeed.
    pub fn write_fault(&self) -> Option<String> {
        self.head.write_fault()
    }

    /// How the server ended that had the directory before.
    pub fn previous_stop(&self) -> PreviousStop {
        self.previous_stop.get().copied().unwrap_or(PreviousStop::Clean)
    }

    /// Writes everything out and gives the directory back. Appends fail from here on; reads go on.
    ///
    /// # Errors
    /// The log could not be made durable.
    pub fn close(&self) -> Result<(), StorageError> {
        self.upkeep.stop();
        let thread = crate::lock::lock(&self.upkeep_thread).take();
        if let Some(thread) = thread {
            thread.stop();
        }
        drop(crate::lock::lock(&self.flusher).take());
        let is_first = self.head.is_open();
        let closed = self.head.close();
        if let Some(path) = self.sidecar_path.as_ref().filter(|_| is_first && closed.is_ok())
            && let Err(err) = sidecar::write(&self.head, path)
        {
            tracing::warn!(err = %err, "Writing the head's sidecar failed; the next start replays the WAL");
        }
        if let Some(compression) = self.snapshot_compression.filter(|_| is_first && closed.is_ok())
            && let Err(err) = chunk_snapshot::write(&*self.disk, &self.dir, &self.head, compression)
        {
            tracing::error!(err = %err, "Writing a chunk snapshot failed");
        }
        if let Some(record) = crate::lock::lock(&self.run_record).take() {
            record.end();
        }
        drop(crate::lock::lock(&self.lock).take());
        closed
    }

    /// Opens a directory that is prepared, on any disk.
    fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: &Options,
        registry: &Registry,
        progress: &(dyn Fn(ReplayProgress) -> ControlFlow<()> + Sync),
        lock: Option<DirLock>,
    ) -> Result<Arc<Self>, OpenError> {
        let head = Head::new(options, registry);
        let sidecar_path = sidecar::path_in(&*disk, dir);
        let blocks = BlockSet::new(Arc::clone(&disk), dir, registry);
        blocks.register_lowest_times(registry, &head);
        let now_ms = clock::now_ms();
        blocks.remove_leftovers().and_then(|()| blocks.reload(now_ms, &mut |_| false))?;
        if let Some(max_time_ms) = blocks.in_order_max_time(now_ms) {
            head.set_min_valid_time(max_time_ms);
        }
        open_log(Arc::clone(&disk), dir, options, registry, progress, &head)?;
        Ok(Arc::new(Self {
            disk,
            dir: dir.to_owned(),
            head,
            blocks,
            upkeep: Upkeep::new(options, registry),
            scrubber: Scrubber::new(registry),
            upkeep_thread: Mutex::new(None),
            lock: Mutex::new(lock),
            flusher: Mutex::default(),
            sidecar_path,
            snapshot_compression: options.is_chunk_snapshot_used.then_some(options.wal_compression),
            run_record: Mutex::default(),
            previous_stop: OnceLock::new(),
        }))
    }
}

fn tell_previous_stop(stop: PreviousStop, registry: &Registry) {
    let reason = stop.reason();
    registry
        .gauge_vec(PREVIOUS_STOP_METRIC, PREVIOUS_STOP_HELP, &["reason"])
        .with(&[reason])
        .set(1.0);
    if stop != PreviousStop::Clean {
        tracing::warn!(reason, "The server that had the data before did not stop cleanly");
    }
}

impl Appendable for Db {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(self.head.appender())
    }
}

impl Queryable for Db {
    fn querier(&self, range: TimeRange) -> Result<Arc<dyn Querier>, StorageError> {
        // The head first: what leaves it from then on is in the blocks.
        let head = HeadQuerier::new(&self.head, range);
        Ok(Arc::new(DbQuerier::new(head, &self.blocks.list(), range)))
    }
}

impl ExemplarQueryable for Db {
    fn exemplars(
        &self,
        range: TimeRange,
        sets: &[Vec<Matcher>],
    ) -> Result<Vec<ExemplarSeries>, StorageError> {
        Ok(self.head.exemplars(range, sets))
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        if let Err(err) = self.close() {
            tracing::error!(err = %err, "Closing the database failed");
        }
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("head", &self.head.head_stats()).finish_non_exhaustive()
    }
}
