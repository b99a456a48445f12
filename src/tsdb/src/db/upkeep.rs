//! What a database does by itself: the head becomes blocks, blocks become larger ones, old ones go. One
//! thread does it, and whoever asks for something of the kind waits for its turn.

mod metrics;

use std::{
    path::Path,
    sync::{
        Arc, Condvar, Mutex, RwLock, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use prom_storage::{StorageError, TimeRange};
use prom_telemetry::{Registry, clock};

use crate::{
    FloatEncoding, Options, RetentionOptions,
    block::{BlockId, BlockMeta, BlockSource, HINT_OUT_OF_ORDER, SourceSeries},
    compact::{BlockMerge, Shape, WriteOptions, block_ranges, merged_meta, plan, write_block_with},
    lock::{lock, read, write},
    select::HeadExport,
};

pub(super) use self::metrics::UpkeepMetrics;
use super::{Db, blocks::is_damage, retention::Beyond, room::Room};

/// How often is looked whether something is due.
const INTERVAL: Duration = Duration::from_secs(60);
/// How often is looked whether the head is: samples of old times may come fast, and memory is dear.
const HEAD_INTERVAL: Duration = Duration::from_secs(1);

/// State of the work on blocks.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// Held by whoever makes or removes blocks.
    pub(super) turn: Mutex<()>,
    is_stopped: AtomicBool,
    /// Ranges of blocks, the head's first.
    ranges: Vec<i64>,
    /// Samples of the head before it stand in blocks that were made since the start.
    written_until: AtomicI64,
    /// Samples before it have left the head, and the log has them still.
    truncated_until: AtomicI64,
    retention: RwLock<RetentionOptions>,
    float_encoding: RwLock<FloatEncoding>,
    /// Bits of the part of all series that is to have ended when such series leave the head early; 0: never.
    pub(super) stale_threshold: AtomicU64,
    /// When a block of the head was written last.
    pub(super) head_written_at: Mutex<Option<Instant>>,
    pub(super) metrics: UpkeepMetrics,
    pub(super) room: Room,
    is_log_shortened_early: bool,
}

/// The thread that calls [`Db::do_upkeep`] now and then.
#[derive(Debug)]
pub(super) struct UpkeepThread {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Upkeep {
    pub(super) fn new(options: &Options, registry: &Registry) -> Self {
        let upkeep = Self {
            turn: Mutex::default(),
            is_stopped: AtomicBool::new(false),
            ranges: block_ranges(options.min_block_duration_ms, options.max_block_duration_ms),
            written_until: AtomicI64::new(i64::MIN),
            truncated_until: AtomicI64::new(i64::MIN),
            retention: RwLock::new(options.retention),
            float_encoding: RwLock::new(options.float_encoding),
            stale_threshold: AtomicU64::new(options.stale_series_threshold.to_bits()),
            head_written_at: Mutex::default(),
            metrics: UpkeepMetrics::register(registry),
            room: Room::new(registry),
            is_log_shortened_early: options.is_log_shortened_early,
        };
        upkeep.metrics.show_limits(options.retention);
        upkeep
    }

    /// Ends what is going on as soon as that can be.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
    }

    pub(super) fn retention(&self) -> RetentionOptions {
        *read(&self.retention)
    }

    /// Range of the smallest block.
    pub(super) fn head_range_ms(&self) -> i64 {
        self.ranges.first().copied().unwrap_or(1).max(1)
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }
}

impl UpkeepThread {
    /// Begins; the thread ends when it is stopped, or when nobody holds the database any more.
    pub(super) fn spawn(db: &Arc<Db>) -> std::io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let (of_thread, db) = (Arc::clone(&stop), Arc::downgrade(db));
        let thread = thread::Builder::new()
            .name("tsdb-upkeep".to_owned())
            .spawn(move || run(&of_thread, &db))?;
        Ok(Self { stop, thread })
    }

    /// Waits for the end of what the thread does.
    pub(super) fn stop(self) {
        *lock(&self.stop.0) = true;
        self.stop.1.notify_all();
        // The last one to hold the database may be the thread itself.
        if self.thread.thread().id() != thread::current().id() && self.thread.join().is_err() {
            tracing::error!("The thread that looks after blocks has panicked");
        }
    }
}

fn run((is_stopped, wake): &(Mutex<bool>, Condvar), db: &Weak<Db>) {
    let mut last = clock::monotonic();
    // What did not work is tried again at its time.
    let mut is_urgent_allowed = true;
    loop {
        let stopped = lock(is_stopped);
        let waited = wake.wait_timeout_while(stopped, HEAD_INTERVAL, |is_stopped| !*is_stopped);
        let (stopped, _) = waited.expect("no thread panics while it holds this lock");
        if *stopped {
            return;
        }
        drop(stopped);
        let Some(db) = db.upgrade() else { return };
        let is_hurt = || db.blocks.list().iter().any(|block| block.is_suspect());
        let is_urgent = is_urgent_allowed
            && (db.head.compactable_range().is_some() || is_hurt() || db.is_log_long());
        if !is_urgent && last.elapsed() < INTERVAL {
            continue;
        }
        let done = db.do_upkeep();
        if let Err(err) = &done {
            tracing::error!(err = %err, "Compaction failed");
        }
        is_urgent_allowed = done.is_ok() && db.disk_shortage().is_none();
        last = clock::monotonic();
    }
}

impl Db {
    /// Does what is due: looks for blocks that came, writes blocks of the head, compacts blocks, removes what
    /// is beyond retention, reads a part of the blocks to find damage. It is called by a thread of the database's own
    /// every minute, and when the head has enough for a block or a query met damage.
    ///
    /// # Errors
    /// The disk refuses, or a block is damaged; the data stays where it was.
    pub fn do_upkeep(&self) -> Result<(), StorageError> {
        let _turn = lock(&self.upkeep.turn);
        let done = self.try_upkeep();
        match done {
            Err(StorageError::Canceled) => Ok(()),
            Err(err) => {
                self.upkeep.metrics.failed.inc();
                Err(err)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Puts other limits of age and size in force; what is beyond them goes at once.
    ///
    /// # Errors
    /// The data directory cannot be listed.
    pub fn apply_retention(&self, retention: RetentionOptions) -> Result<(), StorageError> {
        *write(&self.upkeep.retention) = retention;
        self.upkeep.metrics.show_limits(retention);
        let _turn = lock(&self.upkeep.turn);
        self.reload_blocks()
    }

    /// Blocks that are written from now on hold floats like this; those that are there stay as they are
    /// until they are compacted.
    pub fn set_float_encoding(&self, encoding: FloatEncoding) {
        *write(&self.upkeep.float_encoding) = encoding;
    }

    fn try_upkeep(&self) -> Result<(), StorageError> {
        if let Some(record) = &*lock(&self.run_record) {
            record.refresh();
        }
        self.reload_blocks()?;
        for block in self.blocks.list().iter().filter(|block| block.take_suspicion()) {
            self.mend_if_damaged(block)?;
        }
        self.upkeep.room.begin();
        self.compact_head()?;
        self.compact_stale_if_due();
        if self.is_log_long() {
            self.head.shorten_log()?;
        }
        self.compact_blocks()?;
        self.upkeep.room.end();
        self.scrub_step()
    }

    /// Whether the log is to be shortened early, and it is time for that.
    fn is_log_long(&self) -> bool {
        self.upkeep.is_log_shortened_early && self.head.is_log_long()
    }

    /// Lists the blocks anew, and removes what others stand in for and what is beyond retention.
    pub(super) fn reload_blocks(&self) -> Result<(), StorageError> {
        let now_ms = clock::now_ms();
        let mut beyond = Beyond::new(self);
        let last = self.blocks.reload(now_ms, &mut |block| beyond.is_beyond(block))?;
        if let Some(last) = last {
            // The mark is of the block, which goes with the next look at the directory, whoever takes it.
            let mark = merged_meta(BlockId::new(now_ms), &[last.meta()]);
            match self.leave_mark(mark) {
                Ok(()) => drop(self.blocks.reload(now_ms, &mut |_| false)?),
                Err(err) => {
                    tracing::error!(block = %last.id(), err = %err, "A block beyond retention stays for now");
                }
            }
        }
        Ok(())
    }

    /// Makes blocks of the head's oldest ranges as long as it holds more than one and a half of them.
    fn compact_head(&self) -> Result<(), StorageError> {
        while let Some((min_t, max_t)) = self.head.compactable_range() {
            self.stop_if_told()?;
            self.head.seal_before(max_t)?;
            // Where only the truncation failed last time, the block is there.
            if self.upkeep.written_until.load(Ordering::Acquire) < max_t {
                if !self.has_room_for_head_block() {
                    break;
                }
                *lock(&self.upkeep.head_written_at) = Some(clock::monotonic());
                self.write_sealed_block(min_t, max_t)?;
                self.reload_blocks()?;
                self.upkeep.written_until.store(max_t, Ordering::Release);
            }
            self.head.truncate(max_t)?;
            self.upkeep.truncated_until.store(max_t, Ordering::Release);
        }
        let end = self.upkeep.truncated_until.load(Ordering::Acquire);
        if end == i64::MIN {
            return Ok(());
        }
        // Deletions stand on the log, and hold for what came out of order, too.
        if self.compact_out_of_order()? {
            // Series and files that only such samples needed.
            self.head.truncate(end)?;
        }
        self.head.forget_deletions_before(end);
        self.head.truncate_log(end)?;
        self.upkeep.truncated_until.store(i64::MIN, Ordering::Release);
        Ok(())
    }

    /// Writes blocks of the head; chunks that are found damaged are mended, and it is begun anew. Blocks that were
    /// written by then have the same samples.
    pub(super) fn with_mended_head<T>(
        &self,
        write: impl Fn() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let written = write();
        let is_damaged = written.as_ref().is_err_and(StorageError::is_corruption);
        if is_damaged && self.head.mend()?.lost_count > 0 { write() } else { written }
    }

    /// [`Db::write_head_block`] beside the others.
    fn write_sealed_block(&self, min_t: i64, max_t: i64) -> Result<(), StorageError> {
        let written = self.with_mended_head(|| self.write_head_block(&self.dir, min_t, max_t))?;
        if written.is_none() && self.head.has_deletions_before(max_t) {
            self.leave_mark(head_block_meta(min_t, max_t))?;
        }
        Ok(())
    }

    /// Writes the head's samples from `min_t` on, before `max_t`, as a block into `dir`.
    pub(super) fn write_head_block(
        &self,
        dir: &Path,
        min_t: i64,
        max_t: i64,
    ) -> Result<Option<BlockMeta>, StorageError> {
        let range = TimeRange { mint_ms: min_t, maxt_ms: max_t.saturating_sub(1) };
        let mut export = HeadExport::new(&self.head, min_t, max_t);
        let meta = head_block_meta(min_t, max_t);
        self.write(dir, meta, &mut export, Shape { range, is_dense: true })
    }

    fn compact_blocks(&self) -> Result<(), StorageError> {
        loop {
            self.stop_if_told()?;
            // Samples in memory are more urgent.
            if self.head.compactable_range().is_some() {
                return Ok(());
            }
            let mut metas: Vec<BlockMeta> = self.blocks.list().iter().map(|b| b.meta()).collect();
            // Joined with others, late samples of times that the head still holds would pass for all that
            // there is of these times, and the next start would leave out the log's.
            let sealed = self.blocks.in_order_max_time(clock::now_ms()).unwrap_or(i64::MIN);
            metas.retain(|meta| !meta.has_hint(HINT_OUT_OF_ORDER) || meta.max_time <= sealed);
            let planned = plan(&metas, &self.upkeep.ranges);
            if planned.is_empty() {
                return Ok(());
            }
            self.upkeep.metrics.triggered.inc();
            if !self.merge_blocks(&planned)? {
                return Ok(());
            }
        }
    }

    /// Makes one block of several, which go then; does nothing if there is no room for it. Says whether
    /// there was.
    fn merge_blocks(&self, ids: &[BlockId]) -> Result<bool, StorageError> {
        let list = self.blocks.list();
        let blocks: Vec<_> = ids
            .iter()
            .filter_map(|id| list.iter().find(|block| block.id() == *id))
            .map(Arc::clone)
            .collect();
        let metas: Vec<BlockMeta> = blocks.iter().map(|block| block.meta()).collect();
        if !self.has_room_for_merged(&blocks) {
            return Ok(false);
        }
        let meta = merged_meta(BlockId::new(clock::now_ms()), &metas);
        if metas.windows(2).any(|pair| pair[0].max_time > pair[1].min_time) {
            self.upkeep.metrics.vertical.inc();
        }
        let written = BlockMerge::new(&blocks)
            .and_then(|mut merge| self.write(&self.dir, meta.clone(), &mut merge, whole(true)));
        match written {
            Ok(Some(meta)) => tracing::info!(
                ulid = %meta.ulid, mint = meta.min_time, maxt = meta.max_time,
                count = blocks.len(), sources = ?ids, "compact blocks"
            ),
            Ok(None) => {
                tracing::info!(sources = ?ids, "compact blocks resulted in empty block");
                self.leave_mark(meta)?;
                for block in &blocks {
                    block.update_meta(&*self.disk, |meta| meta.compaction.deletable = true)?;
                }
            }
            Err(err) => {
                if !is_damage(&err) {
                    return Err(err);
                }
                let mut is_mended = false;
                for block in &blocks {
                    is_mended |= self.mend_if_damaged(block)?;
                }
                if !is_mended {
                    // Blocks that cannot be compacted are not tried again and again.
                    for block in &blocks {
                        block.update_meta(&*self.disk, |meta| meta.compaction.failed = true)?;
                    }
                    return Err(err);
                }
            }
        }
        self.reload_blocks()?;
        Ok(true)
    }

    /// Writes a block, unless the database is being closed.
    pub(super) fn write(
        &self,
        dir: &Path,
        meta: BlockMeta,
        source: &mut dyn BlockSource,
        shape: Shape,
    ) -> Result<Option<BlockMeta>, StorageError> {
        let metrics = &self.upkeep.metrics;
        let begin = clock::monotonic();
        metrics.populating.set(1.0);
        let mut source = Stoppable { source, upkeep: &self.upkeep };
        let options = WriteOptions {
            floats: *read(&self.upkeep.float_encoding),
            metrics: Some(&metrics.chunks),
            is_empty_kept: false,
        };
        let written = write_block_with(options, &*self.disk, dir, meta, &mut source, shape);
        metrics.populating.set(0.0);
        metrics.compactions.inc();
        metrics.duration.observe(begin.elapsed().as_secs_f64());
        written
    }

    pub(super) fn stop_if_told(&self) -> Result<(), StorageError> {
        if self.upkeep.is_stopped() { Err(StorageError::Canceled) } else { Ok(()) }
    }
}

/// What a block of the head's samples between both times is told to be.
pub(super) fn head_block_meta(min_t: i64, max_t: i64) -> BlockMeta {
    let id = BlockId::new(clock::now_ms());
    let mut meta = BlockMeta::new(id, (min_t, max_t));
    meta.compaction.level = 1;
    meta.compaction.sources = vec![id];
    meta
}

/// The shape of a block that keeps all samples of its sources.
pub(super) fn whole(is_dense: bool) -> Shape {
    Shape { range: TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX }, is_dense }
}

/// A source that ends with an error once the database is being closed.
struct Stoppable<'a> {
    source: &'a mut dyn BlockSource,
    upkeep: &'a Upkeep,
}

impl BlockSource for Stoppable<'_> {
    fn symbols(
        &mut self,
        each: &mut dyn FnMut(&str) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        self.source.symbols(each)
    }

    fn next_series(&mut self, series: &mut SourceSeries) -> Result<bool, StorageError> {
        if self.upkeep.is_stopped() {
            return Err(StorageError::Canceled);
        }
        self.source.next_series(series)
    }
}
