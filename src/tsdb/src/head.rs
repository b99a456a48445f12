//! The recent samples of all series, in memory: found by labels, appended to through the log, read as of
//! a commit. It knows no files but the log it is given.
//!
//! Locks are taken in this order: commit, series index, dictionary or group. A commit holds the first one
//! while it writes the log and applies the batch, so samples are applied in the order of the log, and a
//! replay gives the same head (I1).

mod appender;
mod blocks;
mod budgets;
mod chunk_snapshot;
mod closed;
mod commit;
mod deletion;
mod dictionary;
mod exemplars;
mod flush;
mod group;
mod histograms;
mod index;
mod log;
mod mend;
mod metadata;
mod metrics;
mod newest;
mod open;
mod out_of_order;
mod replay;
mod sidecar;
mod slot;
mod stale;
mod starts;
mod stats;
mod truncate;
mod visibility;
mod writers;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::{
    Arc, Mutex, RwLock,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use prom_model::{Labels, Matcher};
use prom_storage::{Columns, ExemplarSeries, SeriesHandle, SeriesRef, StorageError, TimeRange};
use prom_telemetry::Registry;

use crate::{
    Options, WalCompression,
    chunk::ChunkError,
    head_chunks::{ChunkFiles, ChunkMaps, ChunkMetrics},
    lock::{lock, read, write},
    select::columns,
    wal::{Wal, WalMetrics},
};

use self::{
    budgets::Budgets,
    commit::{ALIAS_SEGMENT, Batch, CommitLog},
    deletion::Deletions,
    exemplars::Exemplars,
    flush::HeadFiles,
    group::{GROUP_SLOTS, Groups},
    index::LABELS_COUNT_MAX,
    metadata::SeriesMetadata,
    metrics::HeadMetrics,
    out_of_order::OutOfOrder,
    slot::{HotSlot, NO_TIME},
    visibility::Readers,
    writers::Writers,
};
pub(crate) use self::{
    chunk_snapshot::SnapshotPart,
    dictionary::{Dictionary, DictionaryFull, NameId, PairId, Pairs},
    group::ChunkView,
    index::SeriesIndex,
    out_of_order::{WblCounts, WblReplay},
    replay::{AllSeries, FiledChunks, HeadReplay, RefTable, ReplayCounts},
    sidecar::{LoadedSidecar, SidecarError, SidecarHeader},
    visibility::ReaderTicket,
};

/// The head.
#[derive(Debug)]
pub(crate) struct Head {
    chunk_range_ms: i64,
    compression: WalCompression,
    index: RwLock<SeriesIndex>,
    budgets: Budgets,
    groups: Groups,
    readers: Arc<Readers>,
    writers: Arc<Writers>,
    /// One truncation at a time.
    truncation: Mutex<()>,
    /// Taken by whoever gives closed chunks another place.
    head_files: Mutex<Option<HeadFiles>>,
    /// For readers.
    chunk_files: RwLock<Option<Arc<ChunkFiles>>>,
    exemplars: Exemplars,
    /// Only where it is logged.
    metadata: Mutex<SeriesMetadata>,
    is_metadata_logged: bool,
    kept_starts: KeptStarts,
    /// A chunk snapshot is made when the head is closed, which needs whole pages.
    is_log_padded: bool,
    commit: Mutex<CommitLog>,
    deletions: Deletions,
    ooo: OutOfOrder,
    /// Batches that are not in use, with their buffers.
    batches: Mutex<Vec<Batch>>,
    times: Times,
    /// The next ref to give; refs are never given twice (trap 5).
    next_ref: AtomicU64,
    chunks_count: AtomicU64,
    stale_count: AtomicI64,
    is_open: AtomicBool,
    /// The files of head chunks were taken without a look into them.
    are_files_unread: AtomicBool,
    metrics: HeadMetrics,
    wal_metrics: WalMetrics,
    chunk_metrics: ChunkMetrics,
}

/// Of which samples it is kept since when they count.
#[derive(Clone, Copy, Debug)]
struct KeptStarts {
    /// Of all, on the log; of floats, in the head and in blocks, too.
    is_any: bool,
    /// Of histograms likewise: not every reader of chunks knows the encodings that have them.
    is_of_histograms: bool,
}

impl KeptStarts {
    /// What the head keeps of the start of a float.
    fn of_float(self, start_ms: i64) -> i64 {
        if self.is_any { start_ms } else { 0 }
    }

    /// What the head keeps of the start of a histogram.
    fn of_histogram(self, start_ms: i64) -> i64 {
        if self.is_of_histograms { start_ms } else { 0 }
    }
}

/// Which samples of a series are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Any,
    InOrder,
    OutOfOrder,
}

/// First and last sample of the head, and the bound below which it takes none.
#[derive(Debug)]
struct Times {
    min: AtomicI64,
    /// First of the samples that have come since a truncation began.
    min_since: AtomicI64,
    max: AtomicI64,
    min_valid: AtomicI64,
}

impl Head {
    pub(crate) fn new(options: &Options, registry: &Registry) -> Arc<Self> {
        let wal_metrics = WalMetrics::register(registry);
        let head = Arc::new(Self {
            chunk_range_ms: options.min_block_duration_ms.max(1),
            compression: options.wal_compression,
            index: RwLock::default(),
            budgets: Budgets::new(options.series_limits, registry),
            groups: Groups::new(),
            readers: Arc::default(),
            writers: Arc::default(),
            truncation: Mutex::default(),
            head_files: Mutex::default(),
            chunk_files: RwLock::default(),
            exemplars: Exemplars::new(options.exemplars_count_max, registry),
            metadata: Mutex::default(),
            is_metadata_logged: options.is_metadata_logged,
            kept_starts: KeptStarts {
                is_any: options.are_starts_kept,
                is_of_histograms: options.are_starts_kept && options.are_histogram_starts_encoded,
            },
            is_log_padded: options.is_chunk_snapshot_used,
            commit: Mutex::default(),
            deletions: Deletions::default(),
            ooo: OutOfOrder::new(options, registry, &wal_metrics),
            batches: Mutex::default(),
            times: Times {
                min: AtomicI64::new(i64::MAX),
                min_since: AtomicI64::new(i64::MAX),
                max: AtomicI64::new(NO_TIME),
                min_valid: AtomicI64::new(i64::MIN),
            },
            next_ref: AtomicU64::new(1),
            chunks_count: AtomicU64::new(0),
            stale_count: AtomicI64::new(0),
            is_open: AtomicBool::new(true),
            are_files_unread: AtomicBool::new(false),
            metrics: HeadMetrics::register(registry),
            wal_metrics,
            chunk_metrics: ChunkMetrics::register(registry),
        });
        metrics::register_views(registry, &head);
        head
    }

    pub(crate) fn wal_metrics(&self) -> &WalMetrics {
        &self.wal_metrics
    }

    /// From now on commits go to this log.
    pub(crate) fn set_wal(&self, wal: Wal) {
        let mut log = lock(&self.commit);
        log.place = Some(wal.place());
        log.wal = Some(wal);
    }

    /// The log, which ends in this segment, mentions refs that no series has: their records stay as long as it
    /// does, or as it may have samples under them (trap 5). To be told at the end of a replay.
    pub(crate) fn keep_refs(&self, counts: &ReplayCounts, segment: u64) {
        let mut log = lock(&self.commit);
        log.aliases_until = self.times.max.load(Ordering::Acquire);
        let with = |segment: u64| move |series_ref: &u64| (*series_ref, segment);
        log.deleted.extend(counts.former_refs.iter().map(with(segment)));
        log.deleted.extend(counts.aliases.iter().map(with(ALIAS_SEGMENT)));
    }

    /// Where the log is written to.
    #[cfg(test)]
    pub(crate) fn position(&self) -> Option<(u64, u64)> {
        lock(&self.commit).wal.as_ref().and_then(Wal::position)
    }

    /// [`Self::min_valid_time`], for tests of others.
    #[cfg(test)]
    pub(crate) fn bound(&self, first_t: i64) -> i64 {
        self.min_valid_time(first_t)
    }

    /// Whether samples have their starts.
    #[cfg(test)]
    pub(crate) fn keeps_starts(&self) -> bool {
        self.kept_starts.is_of_histograms
    }

    /// Metadata by ref.
    #[cfg(test)]
    pub(crate) fn metadata(&self) -> Vec<(u64, Arc<prom_model::Metadata>)> {
        let metadata = lock(&self.metadata);
        let mut all: Vec<_> = metadata.iter().map(|(r, m)| (r, Arc::clone(m))).collect();
        all.sort_by_key(|(series_ref, _)| *series_ref);
        all
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Takes no more samples; the log is made durable.
    pub(crate) fn close(&self) -> Result<(), StorageError> {
        self.is_open.store(false, Ordering::Release);
        let (wal, wbl) = {
            let mut log = lock(&self.commit);
            let mut wal = log.wal.take();
            log.end = log.end.or(wal.as_ref().and_then(Wal::position));
            if let Some(wal) = wal.as_mut().filter(|_| self.is_log_padded) {
                wal.end_page();
            }
            (wal, log.wbl.take())
        };
        let closed = wal.map_or(Ok(()), |mut wal| wal.close());
        let closed = closed.and(wbl.map_or(Ok(()), |mut wbl| wbl.close()));
        closed.and(self.close_chunk_files())
    }

    /// Why the latest commit could not be logged; nothing while commits succeed.
    pub(crate) fn write_fault(&self) -> Option<String> {
        self.wal_metrics.fault().reason()
    }

    /// Keeps at most so many exemplars from now on.
    pub(crate) fn set_exemplars_count_max(&self, count_max: usize) {
        self.exemplars.resize(count_max);
    }

    /// The exemplars within the range of the series that match one of the sets.
    pub(crate) fn exemplars(&self, range: TimeRange, sets: &[Vec<Matcher>]) -> Vec<ExemplarSeries> {
        self.exemplars.select(range, sets)
    }

    /// The series table, held still.
    pub(crate) fn index(&self) -> std::sync::RwLockReadGuard<'_, SeriesIndex> {
        read(&self.index)
    }

    /// A snapshot: what has been committed by now.
    pub(crate) fn enter(&self) -> ReaderTicket {
        Readers::enter(&self.readers)
    }

    /// First and last sample time; `(i64::MAX, i64::MIN)` if there is none.
    pub(crate) fn time_bounds(&self) -> (i64, i64) {
        (self.times.min.load(Ordering::Acquire), self.times.max.load(Ordering::Acquire))
    }

    pub(crate) fn chunks_count(&self) -> u64 {
        self.chunks_count.load(Ordering::Relaxed)
    }

    /// The series in these slots that have a chunk in the range. Each call of `keep` is told the position
    /// in `slots` and the series' ref; slots in order are fastest.
    pub(crate) fn filter_by_range(
        &self,
        slots: &[u32],
        ticket: &ReaderTicket,
        range: TimeRange,
        mut keep: impl FnMut(usize, u64, bool),
    ) {
        let mut at = 0;
        let in_order = TimeRange { mint_ms: range.mint_ms.max(ticket.floor_ms), ..range };
        let is_late_possible = self.has_out_of_order_in(range);
        for run in slots.chunk_by(|a, b| group_of(*a) == group_of(*b)) {
            if let Some(group) = run.first().and_then(|slot| self.groups.get(*slot)) {
                let data = read(&group.data);
                for (position, slot) in run.iter().enumerate() {
                    let slot = slot_in_group(*slot);
                    if let Some(series_ref) = data.series_ref(slot)
                        && (data.has_chunk_in(slot, in_order)
                            || is_late_possible
                                && self.overlaps_out_of_order(series_ref, ticket, range))
                    {
                        let has_histograms = data.may_have_histograms(slot) || is_late_possible;
                        keep(at + position, series_ref, has_histograms);
                    }
                }
            }
            at += run.len();
        }
    }

    /// All samples of a series, see [`Self::read_arrived`].
    #[cfg(test)]
    pub(crate) fn read(
        &self,
        ticket: &ReaderTicket,
        handle: SeriesHandle,
        range: TimeRange,
        out: &mut Columns,
    ) -> Result<(), ChunkError> {
        self.read_arrived(ticket, handle, (range, Arrival::Any), out)
    }

    /// Appends the samples of a series that came so, as of the ticket. A series that is gone has none. A chunk
    /// that is damaged in its file is mended first.
    pub(crate) fn read_arrived(
        &self,
        ticket: &ReaderTicket,
        handle: SeriesHandle,
        (range, arrival): (TimeRange, Arrival),
        out: &mut Columns,
    ) -> Result<(), ChunkError> {
        let begin = (out.len(), out.histograms.len());
        let result = self.try_read(ticket, handle, (range, arrival), out);
        if result != Err(ChunkError::Filed) || !self.try_mend() {
            return result;
        }
        columns::truncate(out, begin);
        self.try_read(ticket, handle, (range, arrival), out)
    }

    fn try_read(
        &self,
        ticket: &ReaderTicket,
        handle: SeriesHandle,
        (range, arrival): (TimeRange, Arrival),
        out: &mut Columns,
    ) -> Result<(), ChunkError> {
        let Some(group) = self.groups.get(handle.slot) else { return Ok(()) };
        let data = read(&group.data);
        let slot = slot_in_group(handle.slot);
        if data.hot(slot, handle.series_ref.0).is_none() {
            return Ok(());
        }
        let hidden_count = data.tails.hidden_count(slot, ticket.snapshot);
        let mint_ms = range.mint_ms.max(ticket.floor_ms);
        let read_in_order = |maps: &ChunkMaps, out: &mut Columns| {
            data.read(slot, TimeRange { mint_ms, ..range }, hidden_count, maps, out)
        };
        let late = (ticket, handle.series_ref.0, range);
        self.without_deleted(handle, out, |out| match arrival {
            Arrival::Any => self.with_out_of_order(late, out, read_in_order),
            Arrival::InOrder => self.with_chunk_maps(|maps| read_in_order(maps, out)),
            Arrival::OutOfOrder => self.with_out_of_order(late, out, |_, _| Ok(())),
        })
    }

    /// Shows the chunks of a series that reach into the range, oldest first. A series that is gone has none.
    pub(crate) fn for_each_chunk(
        &self,
        handle: SeriesHandle,
        range: TimeRange,
        each: impl FnMut(ChunkView<'_>),
    ) -> Result<(), ChunkError> {
        let Some(group) = self.groups.get(handle.slot) else { return Ok(()) };
        let mut data = write(&group.data);
        let slot = slot_in_group(handle.slot);
        match data.hot(slot, handle.series_ref.0) {
            Some(_) => self.with_chunk_maps(|maps| data.for_each_chunk(slot, range, maps, each)),
            None => Ok(()),
        }
    }

    /// Finds or creates a series.
    fn series(&self, labels: &Labels) -> Result<SeriesHandle, StorageError> {
        if labels.is_empty() {
            return Err(StorageError::InvalidSeries("empty labelset".to_owned()));
        }
        if labels.count() > LABELS_COUNT_MAX {
            let reason = format!("more than {LABELS_COUNT_MAX} labels");
            return Err(StorageError::InvalidSeries(reason));
        }
        let (first_ids, generation) = {
            let index = read(&self.index);
            let ids = index.find_first_ids(labels);
            let is_known = ids.len() == labels.count();
            if let Some(seq) = is_known.then(|| index.find_ids(&ids)).flatten() {
                return Ok(self.handle(index.slot(seq)));
            }
            (ids, index.generation())
        };
        let mut index = write(&self.index);
        let full = |_| StorageError::Suspended("no room for more series".to_owned());
        // Refused before its labels are taken: they would stay.
        if self.budgets.are_set() && index.find(labels).is_none() {
            self.budgets.admit(&index, labels)?;
        }
        let is_same = index.generation() == generation;
        let first_ids = if is_same { first_ids } else { dictionary::PairIds::new() };
        let ids = index.intern(labels, first_ids).map_err(full)?;
        // Somebody else may have come first.
        if let Some(seq) = index.find_ids(&ids) {
            return Ok(self.handle(index.slot(seq)));
        }
        let series_ref = self.next_ref.fetch_add(1, Ordering::Relaxed);
        let slot = self.create(&mut index, &ids, series_ref, HotSlot::UNLOGGED).map_err(full)?;
        Ok(SeriesHandle { series_ref: SeriesRef(series_ref), slot })
    }

    /// Adds a series that is not in the index.
    fn create(
        &self,
        index: &mut SeriesIndex,
        ids: &[u32],
        series_ref: u64,
        flags: u8,
    ) -> Result<u32, dictionary::DictionaryFull> {
        let slot = index.take_slot()?;
        let group = self.groups.get_or_make(slot).ok_or(dictionary::DictionaryFull)?;
        let seq = index.insert(ids, slot)?;
        write(&group.data).create(slot_in_group(slot), series_ref, seq, flags);
        self.metrics.series_created.inc();
        Ok(slot)
    }

    /// The handle of a series that is in the index, which the caller holds still; it stays there for now.
    fn handle(&self, slot: u32) -> SeriesHandle {
        let group = self.groups.get(slot);
        let series_ref = group.and_then(|group| {
            let data = read(&group.data);
            let is_doomed = data.is_doomed(slot_in_group(slot));
            let series_ref = data.series_ref(slot_in_group(slot));
            drop(data);
            if is_doomed {
                write(&group.data).spare(slot_in_group(slot));
            }
            series_ref
        });
        SeriesHandle { series_ref: SeriesRef(series_ref.unwrap_or(0)), slot }
    }

    /// The bound below which samples are refused, seen from the first sample of a batch.
    /// Compat: Prometheus `tsdb/head_append.go` (appendableMinValidTime); an empty head begins with the
    /// batch's first sample.
    fn min_valid_time(&self, first_t: i64) -> i64 {
        let max_t = match self.times.max.load(Ordering::Acquire) {
            NO_TIME => first_t,
            max_t => max_t,
        };
        let window_begin = max_t.saturating_sub(self.chunk_range_ms / 2);
        window_begin.max(self.times.min_valid.load(Ordering::Acquire))
    }
}

impl Times {
    fn include(&self, min_t: i64, max_t: i64) {
        if min_t <= max_t {
            self.max.fetch_max(max_t, Ordering::AcqRel);
            self.min.fetch_min(min_t, Ordering::AcqRel);
            self.min_since.fetch_min(min_t, Ordering::AcqRel);
        }
    }
}

fn group_of(slot: u32) -> u32 {
    slot / GROUP_SLOTS as u32
}

fn slot_in_group(slot: u32) -> usize {
    slot as usize % GROUP_SLOTS
}
