//! The log's records put back into an empty head: series in order, samples of different groups at the same
//! time. Reading and decoding is the log's matter.

mod filed;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use hashbrown::HashMap;
use rayon::prelude::*;

use crate::{
    lock::{lock, write},
    wal::{
        Decoded, RefExemplar, RefHistogram, RefMetadata, RefSample, RefSeries, RefTombstone,
        SampleBatch,
    },
};

pub(crate) use self::filed::FiledChunks;
use self::filed::FiledTimes;
use super::{
    Head,
    commit::Counts,
    dictionary::{DictionaryFull, PairIds},
    group::GroupData,
    group_of, slot_in_group,
};

const REF_PAGE_SIZE: usize = 1024;
/// Stands for a ref or a slot that is not known.
const NO_SLOT: u32 = u32::MAX;

/// Hands over the series records of the whole log.
pub(crate) type AllSeries<'a> = &'a (dyn Fn(&mut dyn FnMut(Vec<RefSeries>)) + Sync);

/// A replay under way.
pub(crate) struct HeadReplay<'a> {
    head: &'a Head,
    refs: RefTable,
    /// Asked once, when the log behind a sidecar speaks of a ref that nobody knows.
    all_series: Option<AllSeries<'a>>,
    /// Chunks of files by ref, until their series comes.
    filed: FiledChunks,
    unknown_refs: BTreeSet<u64>,
    /// The refs of series that a snapshot has, while records are applied that come before it.
    told_by_snapshot: Option<RefTable>,
    counts: ReplayCounts,
}

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplayCounts {
    pub(crate) samples_count: u64,
    /// Refs that no series record tells about, and their samples.
    pub(crate) unknown_refs_count: u64,
    pub(crate) unknown_samples_count: u64,
    /// Other refs of series, under which the log has samples.
    pub(crate) aliases: Vec<u64>,
    /// Refs of before, under which nothing is left.
    pub(crate) former_refs: Vec<u64>,
    /// Records that are not read yet, by type.
    pub(crate) skipped_records: BTreeMap<&'static str, u64>,
}

impl<'a> HeadReplay<'a> {
    pub(crate) fn new(head: &'a Head, filed: FiledChunks) -> Self {
        // A ref whose series record is lost must not be given to another series.
        let next = filed.last_ref().map_or(0, |last| last.wrapping_add(1));
        head.next_ref.fetch_max(next, Ordering::Relaxed);
        Self {
            head,
            filed,
            refs: RefTable::default(),
            all_series: None,
            unknown_refs: BTreeSet::new(),
            told_by_snapshot: None,
            counts: ReplayCounts::default(),
        }
    }

    /// Begins behind a sidecar: its series are known. Somebody else may have written on with a ref of a
    /// series that had gone; `all_series` tells of it.
    pub(crate) fn know_series(&mut self, all_series: Option<AllSeries<'a>>) {
        let refs = &mut self.refs;
        self.head.for_each_ref(|series_ref, slot| refs.set(series_ref, slot));
        self.all_series = all_series;
    }

    /// Applies records, in order; gives the buffers back.
    ///
    /// # Errors
    /// There are more series than the head can number.
    pub(crate) fn apply(
        &mut self,
        records: Vec<Decoded>,
    ) -> Result<Vec<SampleBatch>, DictionaryFull> {
        let mut pending = Pending::default();
        pending.batches.reserve(records.len());
        for record in records {
            match record {
                Decoded::Samples(batch) => pending.batches.push(batch),
                Decoded::Histograms(histograms) => {
                    pending.histograms.push((pending.batches.len(), histograms));
                }
                Decoded::Series(series) => {
                    for one in series {
                        self.add_series(&one, &mut pending)?;
                    }
                }
                Decoded::Exemplars(exemplars) => {
                    self.know(exemplars.iter().map(|one| one.series_ref))?;
                    self.add_exemplars(exemplars);
                }
                Decoded::Metadata(metadata) => {
                    self.know(metadata.iter().map(|one| one.series_ref))?;
                    self.add_metadata(metadata);
                }
                Decoded::Tombstones(tombstones) => {
                    self.know(tombstones.iter().map(|one| one.series_ref))?;
                    self.add_tombstones(tombstones, &mut pending)?;
                }
                other => {
                    *self.counts.skipped_records.entry(other.type_name()).or_default() += 1;
                }
            }
        }
        self.apply_samples(&mut pending)?;
        Ok(pending.batches)
    }

    /// Applies records of the log that come before what a snapshot has told.
    ///
    /// # Errors
    /// See [`Self::apply`].
    pub(crate) fn apply_behind_snapshot(
        &mut self,
        records: Vec<Decoded>,
    ) -> Result<(), DictionaryFull> {
        self.told_by_snapshot.get_or_insert_with(|| self.refs.clone());
        self.apply(records).map(|_| ())
    }

    /// What comes from now on follows what the snapshot has told.
    pub(crate) fn end_snapshot(&mut self) {
        self.told_by_snapshot = None;
        self.place_all_filed();
    }

    /// Gives the refs of all series, too.
    pub(crate) fn finish(mut self) -> (ReplayCounts, RefTable) {
        self.place_all_filed();
        // A sidecar tells the last values itself.
        if !self.filed.by_slot.is_empty() {
            self.head.recall_last_values();
        }
        self.counts.unknown_refs_count = self.unknown_refs.len() as u64;
        (self.counts, self.refs)
    }

    /// Takes what files have as following all that was applied: the log is not asked for what lies between.
    fn place_all_filed(&self) {
        if !self.filed.by_slot.is_empty() {
            self.head.place_all_filed();
        }
    }

    /// Keeps exemplars under the ref that their series has now.
    fn add_exemplars(&self, exemplars: Vec<RefExemplar>) {
        let min_valid_t = self.head.times.min_valid.load(Ordering::Acquire);
        for exemplar in exemplars.into_iter().filter(|one| one.t >= min_valid_t) {
            let slot = self.refs.get(exemplar.series_ref);
            if slot != NO_SLOT {
                let series_ref = self.head.handle(slot).series_ref.0;
                self.head.add_exemplar(slot, RefExemplar { series_ref, ..exemplar });
            }
        }
    }

    fn add_metadata(&self, metadata: Vec<RefMetadata>) {
        if !self.head.is_metadata_logged {
            return;
        }
        for RefMetadata { series_ref, metadata } in metadata {
            let slot = self.refs.get(series_ref);
            if slot != NO_SLOT {
                let series_ref = self.head.handle(slot).series_ref.0;
                lock(&self.head.metadata).set(series_ref, metadata);
            }
        }
    }

    /// Deletes times of series; a series of which all times are deleted has left the head, and what comes of it
    /// later is not hidden. Compat: Prometheus `tsdb/head_wal.go` (loadWAL), 3.14.
    fn add_tombstones(
        &mut self,
        mut tombstones: Vec<RefTombstone>,
        pending: &mut Pending,
    ) -> Result<(), DictionaryFull> {
        if let Some(told) = &self.told_by_snapshot {
            // Series that were in the head in the end stay, under this ref or another one.
            tombstones.retain(|one| {
                let slot = self.refs.slot(one.series_ref);
                let is_current =
                    slot.is_some_and(|slot| self.head.handle(slot).series_ref.0 == one.series_ref);
                is_current && told.slot(one.series_ref).is_none()
            });
        }
        for one in &mut tombstones {
            // A ref that was given once must not be given to another series.
            self.head.next_ref.fetch_max(one.series_ref.wrapping_add(1), Ordering::Relaxed);
            let slot = self.refs.get(one.series_ref);
            if slot != NO_SLOT {
                one.series_ref = self.head.handle(slot).series_ref.0;
            }
        }
        if tombstones.iter().any(RefTombstone::is_of_all_times) {
            self.apply_samples(pending)?;
            *pending = Pending::default();
            for one in tombstones.iter().filter(|one| one.is_of_all_times()) {
                self.evict(self.refs.get(one.series_ref));
            }
            tombstones.retain(|one| !one.is_of_all_times());
        }
        self.head.deletions.add(&tombstones);
        Ok(())
    }

    fn evict(&mut self, slot: u32) {
        let Some(group) = self.head.groups.get(slot) else { return };
        let evicted = write(&group.data).evict(slot_in_group(slot));
        let (head, is_open) = (self.head, evicted.has_open_chunk);
        head.chunks_count.fetch_sub(u64::from(is_open), Ordering::Relaxed);
        head.stale_count.fetch_sub(i64::from(evicted.is_stale), Ordering::Relaxed);
        if let Some(times) = self.filed.by_slot.get_mut(slot as usize) {
            *times = FiledTimes::default();
        }
    }

    fn add_series(
        &mut self,
        series: &RefSeries,
        pending: &mut Pending,
    ) -> Result<(), DictionaryFull> {
        let head = self.head;
        head.next_ref.fetch_max(series.series_ref.wrapping_add(1), Ordering::Relaxed);
        let slot = {
            let mut index = write(&head.index);
            let ids = index.intern(&series.labels, PairIds::new())?;
            match index.find_ids(&ids) {
                Some(seq) => index.slot(seq),
                None => head.create(&mut index, &ids, series.series_ref, 0)?,
            }
        };
        let mut is_own = true;
        // A label set that went and came back has a second ref (trap 5).
        if head.handle(slot).series_ref.0 != series.series_ref {
            // Of what came before something may be left, and be hidden by deletions that name the ref of old.
            self.apply_samples(pending)?;
            *pending = Pending::default();
            is_own = self.meet_alias(slot, series.series_ref);
        }
        let known = self.refs.get(series.series_ref);
        if known != NO_SLOT && known != slot {
            // A ref that changes its owner: nobody writes that, but what came before is the old one's.
            self.apply_samples(pending)?;
            *pending = Pending::default();
        }
        self.refs.set(series.series_ref, slot);
        let chunks = self.filed.take(series.series_ref);
        if let Some(chunks) = chunks {
            // The log need not have their samples.
            let taken = head.attach(slot, &chunks, !is_own);
            self.filed.add_times(slot, &taken);
        }
        Ok(())
    }

    /// A series that is known is told again under this ref. If nothing is left of what it was before, it is
    /// called by the new one, as the process called it that wrote the log: its head chunks are. Says whether
    /// it is.
    fn meet_alias(&mut self, slot: u32, series_ref: u64) -> bool {
        let before = self.head.handle(slot).series_ref.0;
        let group = self.head.groups.get(slot);
        let is_renamed = group.is_some_and(|group| {
            let mut data = write(&group.data);
            place_filed(&mut data, slot, i64::MAX, &self.filed.by_slot);
            data.rename(slot_in_group(slot), series_ref)
        });
        match is_renamed {
            true => self.counts.former_refs.push(before),
            false => self.counts.aliases.push(series_ref),
        }
        is_renamed
    }

    /// Makes these refs known if anything can tell of them.
    fn know(&mut self, refs: impl IntoIterator<Item = u64>) -> Result<(), DictionaryFull> {
        let Some(all_series) = self.all_series else { return Ok(()) };
        if refs.into_iter().all(|series_ref| self.refs.get(series_ref) != NO_SLOT) {
            return Ok(());
        }
        self.all_series = None;
        let mut told = Vec::new();
        all_series(&mut |series| {
            let is_new = |one: &RefSeries| self.refs.get(one.series_ref) == NO_SLOT;
            told.extend(series.into_iter().filter(is_new));
        });
        let mut pending = Pending::default();
        told.iter().try_for_each(|one| self.add_series(one, &mut pending))
    }

    fn apply_samples(&mut self, pending: &mut Pending) -> Result<(), DictionaryFull> {
        let mut are_known = pending.resolve(&self.refs);
        if !are_known && self.all_series.is_some() {
            let unknown: Vec<u64> = pending.unknown_refs().collect();
            self.know(unknown)?;
            are_known = pending.resolve(&self.refs);
        }
        let filed = self.filed.by_slot.as_slice();
        let Pending { batches, histograms } = pending;
        if !filed.is_empty() {
            // Most samples of a log stand in files; nobody else looks at them.
            let is_new = |slot: u32, t: i64| !self.filed.has(slot, t);
            batches.par_iter_mut().for_each(|batch| {
                batch.samples.retain(|one| is_new(one.slot, one.t));
            });
            for (_, batch) in histograms.iter_mut() {
                batch.retain(|one| is_new(one.slot, one.t));
            }
        }
        let shards = rayon::current_num_threads() as u32;
        let counts = (0..shards)
            .into_par_iter()
            .map(|shard| apply_shard(self.head, (batches, histograms), filed, (shard, shards)))
            .reduce(Counts::default, Counts::merge);
        self.head.add_counts(&counts);
        self.counts.samples_count += counts.stored;
        if are_known {
            return Ok(());
        }
        for series_ref in pending.unknown_refs() {
            self.counts.unknown_samples_count += 1;
            self.unknown_refs.insert(series_ref);
            // Samples of a series whose record is lost must not come under a new one.
            self.head.next_ref.fetch_max(series_ref.wrapping_add(1), Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Samples of some records, in order.
#[derive(Debug, Default)]
struct Pending {
    batches: Vec<SampleBatch>,
    /// Each with the number of batches that come before it.
    histograms: Vec<(usize, Vec<RefHistogram>)>,
}

impl Pending {
    /// Fills in the slots; says whether all refs are known.
    fn resolve(&mut self, refs: &RefTable) -> bool {
        let batches = self.batches.par_iter_mut();
        let are_known = batches.map(|batch| {
            refs.resolve(&mut batch.samples);
            batch.samples.iter().all(|one| one.slot != NO_SLOT)
        });
        let mut are_known = are_known.reduce(|| true, |a, b| a && b);
        for one in self.histograms.iter_mut().flat_map(|(_, batch)| batch) {
            one.slot = refs.get(one.series_ref);
            are_known &= one.slot != NO_SLOT;
        }
        are_known
    }

    fn unknown_refs(&self) -> impl Iterator<Item = u64> {
        let floats = self
            .batches
            .iter()
            .flat_map(|batch| &batch.samples)
            .map(|one| (one.slot, one.series_ref));
        let histograms = self.histograms.iter().flat_map(|(_, batch)| batch);
        let all = floats.chain(histograms.map(|one| (one.slot, one.series_ref)));
        all.filter(|(slot, _)| *slot == NO_SLOT).map(|(_, series_ref)| series_ref)
    }
}

fn apply_shard(
    head: &Head,
    (batches, histograms): (&[SampleBatch], &[(usize, Vec<RefHistogram>)]),
    filed: &[FiledTimes],
    (shard, shards): (u32, u32),
) -> Counts {
    let mut counts = Counts::default();
    let min_valid_t = head.times.min_valid.load(Ordering::Acquire);
    let mut histograms = histograms.iter().peekable();
    let mut apply_histograms = |counts: &mut Counts, batches_before: usize| {
        while let Some((_, batch)) = histograms.next_if(|(before, _)| *before <= batches_before) {
            let of_shard = |one: &&RefHistogram| group_of(one.slot) % shards == shard;
            for one in batch.iter().filter(of_shard).filter(|one| one.t >= min_valid_t) {
                let Some(group) = head.groups.get(one.slot) else { continue };
                let slot = slot_in_group(one.slot);
                let mut data = write(&group.data);
                place_filed(&mut data, one.slot, one.t, filed);
                let appended = data.append_histogram(slot, one.t, &one.value, head.chunk_range_ms);
                data.set_start(slot, appended, head.kept_starts.of_histogram(one.start_ms));
                counts.add(appended, one.t);
            }
        }
    };
    for (index, SampleBatch { samples, starts }) in batches.iter().enumerate() {
        apply_histograms(&mut counts, index);
        for run in samples.chunk_by(|a, b| group_of(a.slot) == group_of(b.slot)) {
            let Some(first) = run.first().filter(|first| group_of(first.slot) % shards == shard)
            else {
                continue;
            };
            let Some(group) = head.groups.get(first.slot) else { continue };
            let mut data = write(&group.data);
            // Compat: Prometheus `tsdb/head_wal.go`: what stands in blocks is not taken from the log.
            let has_starts = head.kept_starts.is_any && !starts.is_empty() || data.has_starts();
            for RefSample { slot, start, t, v, .. } in
                run.iter().filter(|sample| sample.t >= min_valid_t)
            {
                place_filed(&mut data, *slot, *t, filed);
                let (slot, sample) = (slot_in_group(*slot), (*t, *v));
                let appended = match has_starts {
                    true => {
                        let start_ms = head.kept_starts.of_float(starts.get(*start));
                        data.append_with_start(slot, sample, start_ms, head.chunk_range_ms)
                    }
                    false => data.append(slot, sample, head.chunk_range_ms),
                };
                counts.add(appended, *t);
            }
        }
    }
    apply_histograms(&mut counts, batches.len());
    counts
}

/// Gives chunks of files that the log has come to their place; samples in them need not be looked at then.
#[inline]
fn place_filed(data: &mut GroupData, slot: u32, t: i64, filed: &[FiledTimes]) {
    if data.is_filed_due(slot_in_group(slot), t)
        && let Some(times) = filed.get(slot as usize)
    {
        times.set_end(data.place_filed(slot_in_group(slot), t));
    }
}

/// Slots by ref. Refs are dense where they are used at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct RefTable {
    pages: HashMap<u64, Box<[u32; REF_PAGE_SIZE]>, foldhash::fast::RandomState>,
}

impl RefTable {
    /// The slot of a ref.
    pub(super) fn slot(&self, series_ref: u64) -> Option<u32> {
        Some(self.get(series_ref)).filter(|slot| *slot != NO_SLOT)
    }

    fn get(&self, series_ref: u64) -> u32 {
        let (page, at) = place(series_ref);
        self.pages.get(&page).map_or(NO_SLOT, |page| page[at])
    }

    pub(super) fn set(&mut self, series_ref: u64, slot: u32) {
        let (page, at) = place(series_ref);
        self.pages.entry(page).or_insert_with(|| Box::new([NO_SLOT; REF_PAGE_SIZE]))[at] = slot;
    }

    /// Fills in the slots; neighbours mostly are in one page.
    fn resolve(&self, samples: &mut [RefSample]) {
        for run in samples.chunk_by_mut(|a, b| place(a.series_ref).0 == place(b.series_ref).0) {
            let page = run.first().and_then(|first| self.pages.get(&place(first.series_ref).0));
            for sample in run {
                sample.slot = page.map_or(NO_SLOT, |page| page[place(sample.series_ref).1]);
            }
        }
    }
}

fn place(series_ref: u64) -> (u64, usize) {
    (series_ref / REF_PAGE_SIZE as u64, (series_ref % REF_PAGE_SIZE as u64) as usize)
}
