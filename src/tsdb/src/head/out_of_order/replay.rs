//! The log of out-of-order samples put back into the head, behind the log of all samples: that one tells the
//! series. Samples whose series nobody tells are counted, and their refs are never given to another one.
//!
//! A marker counts only if its chunk can be read in its file; the samples that are in it need no place in
//! memory then. So files of head chunks may be lost or be others than the log believes: no sample is.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use hashbrown::HashMap;
use prom_storage::{Columns, TimeRange};

use crate::{
    chunk::{Encoding, read_chunk},
    head_chunks::{ChunkMaps, ChunkPlace},
    lock::{lock, write},
    wal::{Decoded, RefMarker, SampleBatch},
};

use super::{
    super::{
        Head,
        replay::{AllSeries, RefTable},
    },
    series::{OooSample, OooSeries, OooValue},
};

/// Samples of an open chunk while its marker may still come.
const OPEN_COUNT_MAX: usize = 255;
const EVER: TimeRange = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };

/// A replay under way.
pub(crate) struct WblReplay<'a> {
    head: &'a Head,
    refs: RefTable,
    /// Asked once, when the log speaks of a ref that is not among them.
    all_series: Option<AllSeries<'a>>,
    series: HashMap<u64, OooSeries, foldhash::fast::RandomState>,
    /// Refs on the log, and those that the series have now; `None` where there is no series.
    known: HashMap<u64, Option<u64>, foldhash::fast::RandomState>,
    unknown_refs: BTreeSet<u64>,
    counts: WblCounts,
}

/// What a replay found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WblCounts {
    pub(crate) samples_count: u64,
    pub(crate) unknown_refs_count: u64,
    pub(crate) unknown_samples_count: u64,
    pub(crate) unknown_markers_count: u64,
    /// Chunks that were found in files.
    pub(crate) chunks_count: u64,
}

impl<'a> WblReplay<'a> {
    /// `told` are the refs that are known, and where to ask for others.
    pub(crate) fn new(head: &'a Head, told: (RefTable, Option<AllSeries<'a>>)) -> Self {
        let (refs, all_series) = told;
        Self {
            head,
            refs,
            all_series,
            series: HashMap::default(),
            known: HashMap::default(),
            unknown_refs: BTreeSet::new(),
            counts: WblCounts::default(),
        }
    }

    /// Applies records, in order; gives the buffers back.
    pub(crate) fn apply(&mut self, records: Vec<Decoded>) -> Vec<SampleBatch> {
        let mut batches = Vec::new();
        for record in records {
            match record {
                Decoded::Samples(batch) => {
                    for one in &batch.samples {
                        let start_ms = self.head.kept_starts.of_float(batch.starts.get(one.start));
                        let value = OooValue::Float(one.v);
                        self.add(one.series_ref, OooSample { t: one.t, start_ms, value });
                    }
                    batches.push(batch);
                }
                Decoded::Histograms(histograms) => {
                    for one in histograms {
                        let start_ms = self.head.kept_starts.of_histogram(one.start_ms);
                        let value = OooValue::Histogram(one.value);
                        self.add(one.series_ref, OooSample { t: one.t, start_ms, value });
                    }
                }
                Decoded::Markers(markers) => {
                    let head = self.head;
                    head.with_chunk_maps(|maps| {
                        markers.iter().for_each(|marker| self.mark(marker, maps));
                    });
                }
                // Nobody writes others here.
                _ => {}
            }
        }
        batches
    }

    /// Hands what was found to the head.
    pub(crate) fn finish(mut self) -> WblCounts {
        let ooo = &self.head.ooo;
        let mut pinned = lock(&ooo.pinned_refs);
        let others = self.known.iter().filter(|(known, now)| now.is_some_and(|now| now != **known));
        pinned.extend(others.map(|(known, _)| *known));
        for (series_ref, mut series) in self.series.drain() {
            if series.open_count() >= ooo.open_count_max {
                series.close();
            }
            if !series.is_empty() {
                ooo.include(series.bounds());
                let mut shard = write(ooo.shard(series_ref));
                shard.entry(series_ref).or_default().0.push((0, Arc::new(series)));
                ooo.series_count.fetch_add(1, Ordering::AcqRel);
            }
        }
        self.counts.unknown_refs_count = self.unknown_refs.len() as u64;
        self.counts
    }

    /// The ref that the series has now.
    fn now(&mut self, series_ref: u64) -> Option<u64> {
        if self.refs.slot(series_ref).is_none() && !self.known.contains_key(&series_ref) {
            self.learn();
        }
        let (head, refs) = (self.head, &self.refs);
        let now = *self.known.entry(series_ref).or_insert_with(|| {
            // Samples of a series whose record is lost must not come under a new one.
            head.next_ref.fetch_max(series_ref.wrapping_add(1), Ordering::Relaxed);
            refs.slot(series_ref).map(|slot| head.handle(slot).series_ref.0)
        });
        if now.is_none() {
            self.unknown_refs.insert(series_ref);
        }
        now
    }

    /// Takes the refs that series had earlier.
    fn learn(&mut self) {
        let Some(all_series) = self.all_series.take() else { return };
        let (head, refs) = (self.head, &mut self.refs);
        all_series(&mut |series| {
            let index = head.index();
            for one in series {
                let seq = index.find(&one.labels);
                if let (Some(seq), None) = (seq, refs.slot(one.series_ref)) {
                    refs.set(one.series_ref, index.slot(seq));
                }
            }
        });
    }

    fn add(&mut self, series_ref: u64, sample: OooSample) {
        let Some(now) = self.now(series_ref) else {
            self.counts.unknown_samples_count += 1;
            return;
        };
        let series = self.series.entry(now).or_default();
        if series.open_count() >= OPEN_COUNT_MAX {
            series.close();
        }
        let era = self.head.ooo.era.load(Ordering::Acquire);
        self.counts.samples_count += u64::from(series.insert(sample, era));
    }

    fn mark(&mut self, marker: &RefMarker, maps: &ChunkMaps) {
        // Prometheus marks the beginning of a series' first chunk so.
        if marker.chunk_ref == 0 {
            return;
        }
        let Some(now) = self.now(marker.series_ref) else {
            self.counts.unknown_markers_count += 1;
            return;
        };
        let place = ChunkPlace::of_chunk_ref(marker.chunk_ref);
        let Some((encoding, samples)) = read_marked(place, marker.series_ref, maps) else {
            // It is made anew here: of samples at one time the first to come stays, in the order of chunks.
            self.series.entry(now).or_default().close();
            return;
        };
        self.counts.chunks_count += 1;
        let era = self.head.ooo.era.load(Ordering::Acquire);
        let series = self.series.entry(now).or_default();
        series.adopt((place, marker.series_ref), (encoding, era), &samples);
    }
}

/// The samples of an out-of-order chunk, if its file gives it back.
fn read_marked(
    place: ChunkPlace,
    series_ref: u64,
    maps: &ChunkMaps,
) -> Option<(Encoding, Columns)> {
    let chunk = maps.chunk(place, Some(series_ref)).ok().filter(|chunk| chunk.is_out_of_order)?;
    let encoding = Encoding::of_byte(chunk.encoding).ok()?;
    let mut samples = Columns::default();
    read_chunk(encoding, chunk.data, usize::MAX, EVER, &mut samples).ok()?;
    Some((encoding, samples))
}
