//! The blocks of a data directory: opened one by one, listed for readers, removed when others stand in for
//! them. A block that cannot be read is kept under `quarantine/`, the others are served (I7).

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

use prom_storage::StorageError;
use prom_telemetry::{Counter, Gauge, Registry};

use crate::{
    block::{
        Block, BlockId, BlockMeta, HINT_OUT_OF_ORDER, HINT_SELECTED_SERIES, HINT_STALE_SERIES,
    },
    compact::CREATION_SUFFIX,
    disk::Disk,
    head::Head,
    lock::{read, write},
};

const QUARANTINE_DIR: &str = "quarantine";
/// Tries to find a free name in the quarantine.
const NAMES_COUNT_MAX: usize = 10_000;
/// Stands for the time of a block that is not there.
const NO_BLOCK: i64 = i64::MAX;
/// Names, helps and units of metrics.
const LOWEST_TIMES: [(&str, &str, i64); 2] = [
    (
        "prometheus_tsdb_lowest_timestamp",
        "Lowest timestamp value stored in the database. The unit is decided by the library consumer.",
        1,
    ),
    (
        "prometheus_tsdb_lowest_timestamp_seconds",
        "Lowest timestamp value stored in the database.",
        1000,
    ),
];
/// Behind the name of a block that is being removed.
const DELETION_SUFFIX: &str = ".tmp-for-deletion";

/// All blocks that are open.
#[derive(Debug)]
pub(super) struct BlockSet {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// By time.
    list: RwLock<Arc<Vec<Arc<Block>>>>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Metrics {
    loaded: Gauge,
    size_bytes: Gauge,
    symbols_size_bytes: Gauge,
    reloads: Counter,
    reload_failures: Counter,
    quarantined: Counter,
    /// Begin of the oldest block; [`NO_BLOCK`] if there is none.
    begin: Arc<AtomicI64>,
}

impl BlockSet {
    /// A set without blocks; see [`Self::reload`].
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, registry: &Registry) -> Self {
        let metrics = Metrics::register(registry);
        Self { disk, dir: dir.to_owned(), list: RwLock::default(), metrics }
    }

    /// Registers when the oldest block begins, or the head if there is none.
    pub(super) fn register_lowest_times(&self, registry: &Registry, head: &Arc<Head>) {
        for (name, help, unit_ms) in LOWEST_TIMES {
            let (begin, head) = (Arc::clone(&self.metrics.begin), Arc::downgrade(head));
            registry.gauge_fn(name, help, move || {
                let t = match begin.load(Ordering::Acquire) {
                    NO_BLOCK => head.upgrade().map_or(0, |head| head.time_bounds().0),
                    begin => begin,
                };
                (t / unit_ms) as f64
            });
        }
    }

    /// The blocks there are now, by time.
    pub(super) fn list(&self) -> Arc<Vec<Arc<Block>>> {
        Arc::clone(&read(&self.list))
    }

    /// Samples before it stand in blocks. A block that begins after `now_ms` tells of a clock that went
    /// wrong, and keeps nobody from adding samples of today.
    pub(super) fn in_order_max_time(&self, now_ms: i64) -> Option<i64> {
        self.in_order_max_time_of(now_ms, |_| true)
    }

    /// The same, as far as the blocks tell that `is_counted` picks.
    pub(super) fn in_order_max_time_of(
        &self,
        now_ms: i64,
        is_counted: impl Fn(&BlockMeta) -> bool,
    ) -> Option<i64> {
        let list = self.list();
        let metas = list.iter().map(|block| block.meta());
        metas.filter(is_counted).filter_map(|meta| in_order_end(&meta, now_ms)).max()
    }

    /// Looks for blocks that came, drops those that went, and removes those that others stand in for and
    /// those that `is_beyond` picks. Those it is asked about come newest first. The last one in order is not
    /// removed if it is picked: no other one tells what the log has too much. It is given back if it has samples.
    ///
    /// # Errors
    /// The directory cannot be listed; the blocks stay as they were.
    pub(super) fn reload(
        &self,
        now_ms: i64,
        is_beyond: &mut dyn FnMut(&Block) -> bool,
    ) -> Result<Option<Arc<Block>>, StorageError> {
        self.metrics.reloads.inc();
        let ids = self.ids().inspect_err(|_| self.metrics.reload_failures.inc())?;
        let known = self.list();
        let mut blocks: Vec<Arc<Block>> = Vec::with_capacity(ids.len());
        for id in ids {
            match known.iter().find(|block| block.id() == id) {
                Some(block) => blocks.push(Arc::clone(block)),
                None => blocks.extend(self.open(id, now_ms).map(Arc::new)),
            }
        }
        let mut gone: BTreeSet<BlockId> = BTreeSet::new();
        blocks.sort_by_key(|block| std::cmp::Reverse(block.times().1));
        for block in &blocks {
            let meta = block.meta();
            let parents = meta.compaction.parents.iter().map(|parent| parent.ulid);
            gone.extend(parents.filter(|parent| *parent != block.id()));
            if meta.compaction.deletable {
                gone.insert(block.id());
            }
        }
        let replaced = |block: &Block| gone.contains(&block.id());
        let in_force = || blocks.iter().filter(|block| !replaced(block));
        let mut beyond: BTreeSet<BlockId> =
            in_force().filter(|block| is_beyond(block)).map(|block| block.id()).collect();
        let end = |block: &Block| in_order_end(&block.meta(), now_ms);
        let last_end = in_force().filter_map(|block| end(block)).max();
        let lasts = || in_force().filter(|block| last_end.is_some() && end(block) == last_end);
        let last = lasts().min_by_key(|block| block.meta().stats.num_samples).cloned();
        let are_beyond = lasts().all(|block| beyond.contains(&block.id()));
        let last = last.filter(|last| are_beyond && beyond.remove(&last.id()));
        gone.extend(beyond);
        let (removed, mut kept): (Vec<_>, Vec<_>) =
            blocks.into_iter().partition(|block| gone.contains(&block.id()));
        kept.sort_by_key(|block| (block.times(), block.id()));
        self.metrics.show(&kept);
        *write(&self.list) = Arc::new(kept);
        // The oldest first: what a crash leaves has no hole.
        for block in removed.into_iter().rev() {
            self.remove(block.id());
        }
        Ok(last.filter(|block| block.meta().stats.num_samples > 0))
    }

    /// Removes what earlier processes left half made or half removed.
    pub(super) fn remove_leftovers(&self) -> Result<(), StorageError> {
        for name in self.names()? {
            let stem = [CREATION_SUFFIX, DELETION_SUFFIX, ".tmp"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix));
            if stem.is_some_and(|stem| stem.parse::<BlockId>().is_ok()) {
                let path = self.dir.join(&name);
                match self.disk.remove_dir_all(&path) {
                    Ok(()) => {
                        tracing::info!(dir = %path.display(), "Found and deleted tmp block dir");
                    }
                    Err(err) => {
                        tracing::error!(dir = %path.display(), err = %err, "Deleting a tmp block dir failed");
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens a block; one that is damaged goes to the quarantine, one that cannot be read now stays where
    /// it is until the next time.
    fn open(&self, id: BlockId, now_ms: i64) -> Option<Block> {
        let dir = self.dir.join(id.to_string());
        let opened = Block::open(&*self.disk, &dir).and_then(|block| {
            // Who trusts a time that has not come yet refuses all samples until then.
            if block.times().1 > now_ms
                && let Some(times) = block.sample_times()?
            {
                block.distrust_times(times);
            }
            Ok(block)
        });
        match opened {
            Ok(block) => Some(block),
            Err(err) if is_damage(&err) => {
                self.quarantine(&dir, &err);
                None
            }
            Err(err) => {
                self.metrics.reload_failures.inc();
                tracing::error!(block = %id, err = %err, "A block cannot be opened now; it is left out");
                None
            }
        }
    }

    /// Takes a damaged block out of the way.
    pub(super) fn quarantine(&self, dir: &Path, reason: &StorageError) {
        self.metrics.quarantined.inc();
        match self.move_to_quarantine(dir) {
            Ok(kept) => tracing::error!(
                block = %dir.display(), kept = %kept.display(), reason = %reason,
                "A block is damaged; it is kept aside, the other blocks are served"
            ),
            Err(err) => tracing::error!(
                block = %dir.display(), reason = %reason, err = %err,
                "A block is damaged and could not be moved; it is left out, the other blocks are served"
            ),
        }
    }

    fn move_to_quarantine(&self, dir: &Path) -> io::Result<PathBuf> {
        let quarantine = self.dir.join(QUARANTINE_DIR);
        self.disk.create_dir_all(&quarantine)?;
        let names = self.disk.list(&quarantine)?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let free = (0..NAMES_COUNT_MAX)
            .map(|number| format!("{name}.{number}"))
            .find(|name| !names.contains(name))
            .ok_or(io::ErrorKind::AlreadyExists)?;
        let kept = quarantine.join(free);
        self.disk.rename(dir, &kept)?;
        self.disk.sync_dir(&quarantine)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(kept)
    }

    /// Removes a block's directory. Readers that hold the block go on.
    fn remove(&self, id: BlockId) {
        let dir = self.dir.join(id.to_string());
        let doomed = self.dir.join(format!("{id}{DELETION_SUFFIX}"));
        let removed = self
            .disk
            .rename(&dir, &doomed)
            .and_then(|()| self.disk.sync_dir(&self.dir))
            .and_then(|()| self.disk.remove_dir_all(&doomed));
        match removed {
            Ok(()) => tracing::info!(block = %id, "Deleting obsolete block"),
            Err(err) => {
                tracing::error!(block = %id, err = %err, "Deleting an obsolete block failed");
            }
        }
    }

    fn ids(&self) -> Result<Vec<BlockId>, StorageError> {
        Ok(self.names()?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        self.disk.list(&self.dir).map_err(|source| StorageError::Io {
            path: self.dir.clone(),
            action: "list data directory",
            source,
        })
    }
}

/// Where the samples end that came in order and stand in a block. One that begins after `now_ms` tells of a clock
/// that went wrong.
fn in_order_end(meta: &BlockMeta, now_ms: i64) -> Option<i64> {
    (meta.min_time <= now_ms && !is_of_part(meta)).then_some(meta.max_time)
}

/// Whether it has a part only of what the head held of its times.
fn is_of_part(meta: &BlockMeta) -> bool {
    let hints = [HINT_OUT_OF_ORDER, HINT_STALE_SERIES, HINT_SELECTED_SERIES];
    hints.iter().any(|hint| meta.has_hint(hint))
}

/// Whether the block itself is at fault, and not the moment.
pub(super) fn is_damage(err: &StorageError) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    match err {
        StorageError::Io { source, .. } => {
            matches!(source.kind(), NotFound | NotADirectory | IsADirectory)
        }
        err => err.is_corruption(),
    }
}

impl Metrics {
    fn register(registry: &Registry) -> Self {
        let name = |suffix: &str| format!("prometheus_tsdb_{suffix}");
        let gauge = |suffix, help| registry.gauge(&name(suffix), help);
        let counter = |suffix, help| registry.counter(&name(suffix), help);
        Self {
            loaded: gauge("blocks_loaded", "Number of currently loaded data blocks"),
            size_bytes: gauge(
                "storage_blocks_bytes",
                "The number of bytes that are currently used for local storage by all blocks.",
            ),
            symbols_size_bytes: gauge(
                "symbol_table_size_bytes",
                "Size of symbol table in memory for loaded blocks",
            ),
            reloads: counter(
                "reloads_total",
                "Number of times the database reloaded block data from disk.",
            ),
            reload_failures: counter(
                "reloads_failures_total",
                "Number of times the database failed to reloadBlocks block data from disk.",
            ),
            quarantined: counter(
                "blocks_quarantined_total",
                "Number of damaged blocks that were kept aside.",
            ),
            begin: Arc::new(AtomicI64::new(NO_BLOCK)),
        }
    }

    fn show(&self, blocks: &[Arc<Block>]) {
        self.loaded.set(blocks.len() as f64);
        let begin = blocks.first().map_or(NO_BLOCK, |block| block.times().0);
        self.begin.store(begin, Ordering::Release);
        let size: u64 = blocks.iter().map(|block| block.size_bytes()).sum();
        self.size_bytes.set(size as f64);
        let memory: usize = blocks.iter().map(|block| block.index().memory_size_bytes()).sum();
        self.symbols_size_bytes.set(memory as f64);
    }
}
