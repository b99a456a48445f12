//! Samples that come out of order, within a window behind the newest sample: beside the series, by ref, so
//! that series without such samples pay nothing. Their log is `commit`'s and `replay`'s matter, the blocks
//! that they become are `compaction`'s.
//!
//! A commit makes a new version of each series it touches. Readers see the newest version that their
//! snapshot knows (I3); versions that no reader can ask for are dropped.

mod commit;
mod compaction;
mod mend;
mod metrics;
mod replay;
mod series;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering},
    },
};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use prom_storage::{Columns, SeriesHandle, TimeRange};
use prom_telemetry::Registry;
use smallvec::SmallVec;

use crate::{
    Options,
    chunk::{ChunkError, Encoding},
    head_chunks::ChunkMaps,
    lock::{lock, read, write},
    select::columns,
    wal::{RefHistogram, RefSample, WalMetrics},
};

use self::{metrics::OooMetrics, series::OooSeries};
use super::{Head, ReaderTicket};

pub(super) use self::commit::StagedOoo;
pub(crate) use self::replay::{WblCounts, WblReplay};

/// Series are spread over so many locks.
const SHARDS: usize = 64;

type Shard = HashMap<u64, Versions, RandomState>;

/// What the head holds out of order.
#[derive(Debug)]
pub(super) struct OutOfOrder {
    /// How much older than the newest sample one may be; zero: none are taken.
    window_ms: AtomicI64,
    /// Samples of an open chunk.
    open_count_max: usize,
    /// Entries in all shards. Mostly there are none, and nobody has to look.
    series_count: AtomicUsize,
    shards: Box<[RwLock<Shard>]>,
    /// First and last sample of all, or further apart.
    min_t: AtomicI64,
    max_t: AtomicI64,
    /// The era of chunks that are closed now.
    era: AtomicU32,
    /// Refs that the log of out-of-order samples mentions though their series have others now.
    pinned_refs: Mutex<HashSet<u64>>,
    pub(super) metrics: OooMetrics,
    wal_metrics: WalMetrics,
}

/// The versions of one series, by the commit that made them.
#[derive(Debug, Default)]
struct Versions(SmallVec<[(u64, Arc<OooSeries>); 1]>);

/// Out-of-order samples of one batch.
#[derive(Debug, Default)]
pub(super) struct OooBatch {
    pub(super) floats: Vec<RefSample>,
    pub(super) histograms: Vec<RefHistogram>,
}

impl OooBatch {
    pub(super) fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    pub(super) fn clear(&mut self) {
        (self.floats, self.histograms) = (Vec::new(), Vec::new());
    }
}

impl Versions {
    fn newest(&self) -> Option<&Arc<OooSeries>> {
        self.0.last().map(|(_, series)| series)
    }

    /// What a reader with this snapshot sees.
    fn seen_at(&self, snapshot: u64) -> Option<&Arc<OooSeries>> {
        let seen = self.0.iter().rev().find(|(id, _)| *id <= snapshot);
        seen.map(|(_, series)| series)
    }

    /// Drops what no reader can ask for. `snapshots` are held, ascending; later ones are not behind the
    /// newest version.
    fn prune(&mut self, snapshots: &[u64]) {
        let ends: SmallVec<[u64; 4]> =
            self.0.iter().skip(1).map(|(id, _)| *id).chain([u64::MAX]).collect();
        let mut ends = ends.into_iter();
        self.0.retain(|(id, _)| {
            let end = ends.next().unwrap_or(u64::MAX);
            end == u64::MAX || snapshots.iter().any(|snapshot| (*id..end).contains(snapshot))
        });
    }
}

impl OutOfOrder {
    pub(super) fn new(options: &Options, registry: &Registry, wal_metrics: &WalMetrics) -> Self {
        Self {
            window_ms: AtomicI64::new(options.out_of_order_window_ms.max(0)),
            open_count_max: usize::from(options.out_of_order_count_max.max(1)),
            series_count: AtomicUsize::new(0),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            min_t: AtomicI64::new(i64::MAX),
            max_t: AtomicI64::new(i64::MIN),
            era: AtomicU32::new(1),
            pinned_refs: Mutex::default(),
            metrics: OooMetrics::register(registry),
            wal_metrics: wal_metrics.of_out_of_order(registry),
        }
    }

    pub(super) fn window_ms(&self) -> i64 {
        self.window_ms.load(Ordering::Acquire)
    }

    /// Whether no series has anything.
    pub(super) fn is_empty(&self) -> bool {
        self.series_count.load(Ordering::Acquire) == 0
    }

    /// Whether the series has anything that some reader may want: it stays.
    pub(super) fn has(&self, series_ref: u64) -> bool {
        !self.is_empty() && read(self.shard(series_ref)).contains_key(&series_ref)
    }

    /// Refs that no checkpoint may leave out.
    pub(super) fn pinned_refs(&self) -> Vec<u64> {
        lock(&self.pinned_refs).iter().copied().collect()
    }

    /// The oldest file with a chunk that some reader may want; `u32::MAX` if there is none.
    pub(super) fn first_file(&self) -> u32 {
        let mut first = u32::MAX;
        self.for_each_version(|series| {
            let files = series.closed().iter().filter_map(series::OooChunk::file);
            first = first.min(files.min().unwrap_or(u32::MAX));
        });
        first
    }

    /// No sample is older; `i64::MAX` if there is none.
    pub(super) fn first_time(&self) -> i64 {
        if self.is_empty() { i64::MAX } else { self.min_t.load(Ordering::Acquire) }
    }

    fn shard(&self, series_ref: u64) -> &RwLock<Shard> {
        &self.shards[series_ref as usize % SHARDS]
    }

    fn include(&self, (min_t, max_t): (i64, i64)) {
        self.min_t.fetch_min(min_t, Ordering::AcqRel);
        self.max_t.fetch_max(max_t, Ordering::AcqRel);
    }

    fn for_each_version(&self, mut each: impl FnMut(&OooSeries)) {
        for shard in &self.shards {
            let shard = read(shard);
            shard.values().flat_map(|one| &one.0).for_each(|(_, series)| each(series));
        }
    }

    /// Calls `each` with what a reader sees of a series.
    fn with_seen<T>(
        &self,
        series_ref: u64,
        snapshot: u64,
        each: impl FnOnce(&OooSeries) -> T,
    ) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let shard = read(self.shard(series_ref));
        shard.get(&series_ref)?.seen_at(snapshot).map(|series| each(series))
    }

    /// Drops versions that no reader can ask for, and entries that have nothing left.
    fn prune(&self, snapshots: &[u64]) {
        for shard in &self.shards {
            let mut shard = write(shard);
            let before = shard.len();
            shard.retain(|_, versions| {
                versions.prune(snapshots);
                versions.0.iter().any(|(_, series)| !series.is_empty())
            });
            self.series_count.fetch_sub(before - shard.len(), Ordering::AcqRel);
            if shard.is_empty() {
                *shard = Shard::default();
            }
        }
    }
}

impl Head {
    /// From now on samples are taken that are so much older than the newest one; zero ends that.
    pub(crate) fn set_out_of_order_window(&self, window_ms: i64) {
        self.ooo.window_ms.store(window_ms.max(0), Ordering::Release);
    }

    pub(crate) fn out_of_order_window_ms(&self) -> i64 {
        self.ooo.window_ms()
    }

    pub(crate) fn wbl_metrics(&self) -> &WalMetrics {
        &self.ooo.wal_metrics
    }

    /// Whether the head holds nothing out of order that reaches into the range.
    pub(crate) fn has_out_of_order_in(&self, range: TimeRange) -> bool {
        !self.ooo.is_empty()
            && self.ooo.min_t.load(Ordering::Acquire) <= range.maxt_ms
            && self.ooo.max_t.load(Ordering::Acquire) >= range.mint_ms
    }

    /// Whether a reader sees anything out of order of the series in the range.
    pub(crate) fn overlaps_out_of_order(
        &self,
        series_ref: u64,
        ticket: &ReaderTicket,
        range: TimeRange,
    ) -> bool {
        let seen = self.ooo.with_seen(series_ref, ticket.snapshot, |one| one.overlaps(range));
        seen.unwrap_or(false)
    }

    /// First and last out-of-order sample of a series.
    pub(super) fn out_of_order_bounds(&self, series_ref: u64) -> Option<(i64, i64)> {
        let bounds = self.ooo.with_seen(series_ref, u64::MAX, OooSeries::bounds)?;
        (bounds.0 <= bounds.1).then_some(bounds)
    }

    /// Appends what `in_order` reads, with the out-of-order samples among it. Of two samples at one time the
    /// one that came in order stays.
    pub(super) fn with_out_of_order(
        &self,
        (ticket, series_ref, range): (&ReaderTicket, u64, TimeRange),
        out: &mut Columns,
        in_order: impl FnOnce(&ChunkMaps, &mut Columns) -> Result<(), ChunkError>,
    ) -> Result<(), ChunkError> {
        self.with_chunk_maps(|maps| {
            let late = self.ooo.with_seen(series_ref, ticket.snapshot, |series| {
                if series.overlaps(range) { series.read(range, maps).map(Some) } else { Ok(None) }
            });
            let Some(late) = late.transpose()?.flatten().filter(|late| !late.is_empty()) else {
                return in_order(maps, out);
            };
            let mut recent = Columns::default();
            in_order(maps, &mut recent)?;
            match recent.is_empty() {
                true => columns::append(out, &late),
                false => columns::append(out, &columns::merge(&recent, &late)),
            }
            Ok(())
        })
    }

    /// Shows the out-of-order chunks of a series that a reader sees, as files hold them; with an era, those up
    /// to it only.
    pub(crate) fn for_each_out_of_order_chunk(
        &self,
        handle: SeriesHandle,
        ticket: &ReaderTicket,
        (range, era_max): (TimeRange, Option<u32>),
        mut each: impl FnMut((i64, i64), Encoding, &[u8]),
    ) -> Result<(), ChunkError> {
        let shown = self.with_chunk_maps(|maps| {
            self.ooo.with_seen(handle.series_ref.0, ticket.snapshot, |series| {
                series.for_each_chunk(range, era_max, maps, |chunk, data| {
                    each((chunk.min_t, chunk.max_t), chunk.encoding, data);
                })
            })
        });
        shown.unwrap_or(Ok(()))
    }
}
