//! The out-of-order samples of one series: an open chunk that takes them anywhere, and chunks that were full.
//! Chunks may overlap each other and those of the series that came in order. Which version of a series a
//! reader sees, and where logs and files are, is not known here.

use std::sync::Arc;

use hashbrown::HashMap;
use prom_model::HistogramValue;
use prom_storage::{Columns, TimeRange};

use crate::{
    block::SourceSeries,
    chunk::{ChunkError, Encoding, read_chunk},
    compact::push_samples,
    head_chunks::{ChunkMaps, ChunkPlace},
    select::columns,
};

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OooSample {
    pub(super) t: i64,
    /// Since when it counts; 0 if nobody knows.
    pub(super) start_ms: i64,
    pub(super) value: OooValue,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum OooValue {
    /// The bits of a float.
    Float(u64),
    Histogram(HistogramValue),
}

/// A chunk that takes no more samples.
#[derive(Clone, Debug)]
pub(super) struct OooChunk {
    pub(super) min_t: i64,
    pub(super) max_t: i64,
    pub(super) encoding: Encoding,
    /// Counts compactions: chunks of an era leave the head together.
    pub(super) era: u32,
    data: OooChunkData,
}

#[derive(Clone, Debug)]
enum OooChunkData {
    InMemory(Arc<[u8]>),
    /// The file names the ref that the series had when the chunk was written.
    Filed {
        place: ChunkPlace,
        series_ref: u64,
    },
}

/// What came out of order for one series. A version never changes once readers see it; a commit makes the
/// next one from it.
#[derive(Clone, Debug)]
pub(super) struct OooSeries {
    /// Ascending.
    open: Vec<OooSample>,
    /// That of the first sample to come into the open chunk.
    open_era: u32,
    /// In the order in which they were closed.
    closed: Arc<Vec<OooChunk>>,
    /// First and last sample of all.
    min_t: i64,
    max_t: i64,
}

impl Default for OooSeries {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            open_era: 0,
            closed: Arc::default(),
            min_t: i64::MAX,
            max_t: i64::MIN,
        }
    }
}

impl OooChunk {
    /// The bytes, if they are in no file yet.
    pub(super) fn waiting(&self) -> Option<&[u8]> {
        match &self.data {
            OooChunkData::InMemory(data) => Some(data),
            OooChunkData::Filed { .. } => None,
        }
    }

    pub(super) fn of_era(self, era: u32) -> Self {
        Self { era, ..self }
    }

    pub(super) fn file(&self) -> Option<u32> {
        self.place().map(|place| place.file)
    }

    pub(super) fn place(&self) -> Option<ChunkPlace> {
        match &self.data {
            OooChunkData::InMemory(_) => None,
            OooChunkData::Filed { place, .. } => Some(*place),
        }
    }

    pub(super) fn is_readable(&self, maps: &ChunkMaps) -> bool {
        let ever = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };
        self.read(ever, maps, &mut Columns::default()).is_ok()
    }

    fn overlaps(&self, range: TimeRange) -> bool {
        self.min_t <= range.maxt_ms && self.max_t >= range.mint_ms
    }

    /// Shows the bytes.
    pub(super) fn with_data<T>(
        &self,
        maps: &ChunkMaps,
        each: impl FnOnce(&[u8]) -> Result<T, ChunkError>,
    ) -> Result<T, ChunkError> {
        match &self.data {
            OooChunkData::InMemory(data) => each(data),
            OooChunkData::Filed { place, series_ref } => {
                let filed = maps.chunk(*place, Some(*series_ref));
                each(filed.map_err(|_| ChunkError::Filed)?.data)
            }
        }
    }

    fn read(
        &self,
        range: TimeRange,
        maps: &ChunkMaps,
        out: &mut Columns,
    ) -> Result<(), ChunkError> {
        self.with_data(maps, |data| read_chunk(self.encoding, data, usize::MAX, range, out))
    }
}

impl OooSeries {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.closed.is_empty()
    }

    /// Whether the open chunk has samples of the era, or of an earlier one.
    pub(super) fn is_open_since(&self, era: u32) -> bool {
        !self.open.is_empty() && self.open_era <= era
    }

    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    pub(super) fn closed(&self) -> &[OooChunk] {
        &self.closed
    }

    /// First and last time; the first is behind the last if there is nothing.
    pub(super) fn bounds(&self) -> (i64, i64) {
        (self.min_t, self.max_t)
    }

    pub(super) fn overlaps(&self, range: TimeRange) -> bool {
        let is_within = |min_t: i64, max_t: i64| min_t <= range.maxt_ms && max_t >= range.mint_ms;
        let open = self.open.first().zip(self.open.last());
        is_within(self.min_t, self.max_t)
            && (open.is_some_and(|(first, last)| is_within(first.t, last.t))
                || self.closed.iter().any(|chunk| chunk.overlaps(range)))
    }

    /// Adds a sample, unless the open chunk has one at its time: the first to come stays.
    /// Compat: Prometheus `tsdb/ooo_head.go` (Insert).
    pub(super) fn insert(&mut self, sample: OooSample, era: u32) -> bool {
        let Err(at) = self.open.binary_search_by_key(&sample.t, |known| known.t) else {
            return false;
        };
        (self.min_t, self.max_t) = (self.min_t.min(sample.t), self.max_t.max(sample.t));
        if self.open.is_empty() {
            self.open_era = era;
        }
        self.open.insert(at, sample);
        true
    }

    /// Ends the open chunk; says how many chunks were made of it: each has samples of one kind.
    pub(super) fn close(&mut self) -> usize {
        let (before, era) = (self.closed.len(), self.open_era);
        let open = std::mem::take(&mut self.open);
        if !open.is_empty() {
            let made = encode(&open).into_iter().map(|chunk| chunk.of_era(era));
            Arc::make_mut(&mut self.closed).extend(made);
        }
        self.closed.len() - before
    }

    /// The first chunks that wait for a file stand in one now, in the order of `places`.
    pub(super) fn set_filed(&mut self, series_ref: u64, places: &[ChunkPlace]) {
        let waiting = Arc::make_mut(&mut self.closed).iter_mut();
        let waiting = waiting.filter(|chunk| chunk.waiting().is_some());
        for (chunk, place) in waiting.zip(places) {
            chunk.data = OooChunkData::Filed { place: *place, series_ref };
        }
    }

    /// Takes the bytes of chunks from their files; those that cannot be read are replaced by what `remade` has
    /// for their places.
    pub(super) fn load(&mut self, maps: &ChunkMaps, remade: &HashMap<ChunkPlace, Vec<OooChunk>>) {
        let mut loaded = Vec::with_capacity(self.closed.len());
        for chunk in self.closed.iter() {
            if let Some(made) = chunk.place().and_then(|place| remade.get(&place)) {
                loaded.extend(made.iter().cloned());
                continue;
            }
            let data = chunk.with_data(maps, |data| Ok(OooChunkData::InMemory(data.into())));
            loaded.extend(data.map(|data| OooChunk { data, ..chunk.clone() }));
        }
        self.closed = Arc::new(loaded);
    }

    /// Takes a chunk that is in a file; its samples need no place in memory any more. One whose samples have not
    /// all come just now is another than was written there: it comes behind what has come.
    pub(super) fn adopt(
        &mut self,
        (place, series_ref): (ChunkPlace, u64),
        (encoding, era): (Encoding, u32),
        samples: &Columns,
    ) {
        let Some((min_t, max_t)) = columns::bounds(samples) else { return };
        let known = self.open.iter().filter(|sample| is_in(samples, sample)).count();
        match known == samples.len() + samples.histograms.len() {
            true => self.open.retain(|sample| !is_in(samples, sample)),
            false => {
                self.close();
            }
        }
        let is_it = |chunk: &OooChunk| matches!(&chunk.data, OooChunkData::Filed { place: known, .. } if *known == place);
        if self.closed.iter().any(is_it) {
            return;
        }
        (self.min_t, self.max_t) = (self.min_t.min(min_t), self.max_t.max(max_t));
        let data = OooChunkData::Filed { place, series_ref };
        Arc::make_mut(&mut self.closed).push(OooChunk { min_t, max_t, encoding, era, data });
    }

    /// Without the chunks up to an era.
    pub(super) fn without(&self, era: u32) -> Self {
        let left: Vec<OooChunk> =
            self.closed.iter().filter(|chunk| chunk.era > era).cloned().collect();
        let closed = left.iter().map(|chunk| (chunk.min_t, chunk.max_t));
        let times = closed.chain(self.open.iter().map(|sample| (sample.t, sample.t)));
        let (min_t, max_t) =
            times.fold((i64::MAX, i64::MIN), |all, one| (all.0.min(one.0), all.1.max(one.1)));
        let (open, open_era) = (self.open.clone(), self.open_era);
        Self { open, open_era, closed: Arc::new(left), min_t, max_t }
    }

    /// The samples within the range, in order. Of several at one time the first that came stays.
    pub(super) fn read(&self, range: TimeRange, maps: &ChunkMaps) -> Result<Columns, ChunkError> {
        let mut parts = Vec::new();
        for chunk in self.closed.iter().filter(|chunk| chunk.overlaps(range)) {
            let mut part = Columns::default();
            chunk.read(range, maps, &mut part)?;
            parts.push(part);
        }
        let is_within = |sample: &&OooSample| (range.mint_ms..=range.maxt_ms).contains(&sample.t);
        parts.push(to_columns(self.open.iter().filter(is_within)));
        Ok(merge_all(parts))
    }

    /// Shows the chunks that reach into the range, the open one at the end, as files hold them; those behind
    /// an era are left out, and with them the open one.
    pub(super) fn for_each_chunk(
        &self,
        range: TimeRange,
        era_max: Option<u32>,
        maps: &ChunkMaps,
        mut each: impl FnMut(&OooChunk, &[u8]),
    ) -> Result<(), ChunkError> {
        let is_wanted = |chunk: &&OooChunk| {
            era_max.is_none_or(|era_max| chunk.era <= era_max) && chunk.overlaps(range)
        };
        for chunk in self.closed.iter().filter(is_wanted) {
            chunk.with_data(maps, |data| {
                each(chunk, data);
                Ok(())
            })?;
        }
        if era_max.is_some() {
            return Ok(());
        }
        for chunk in encode(&self.open).iter().filter(|chunk| chunk.overlaps(range)) {
            each(chunk, chunk.waiting().unwrap_or_default());
        }
        Ok(())
    }

    /// Shows the times of samples, those of a chunk that is all in one part at once; with an era, those in
    /// chunks up to it.
    pub(super) fn for_each_time(
        &self,
        era_max: Option<u32>,
        maps: &ChunkMaps,
        mut each: impl FnMut(i64),
        is_one_part: impl Fn(i64, i64) -> bool,
    ) -> Result<(), ChunkError> {
        if era_max.is_none() {
            self.open.iter().for_each(|sample| each(sample.t));
        }
        let is_wanted = |chunk: &&OooChunk| era_max.is_none_or(|era_max| chunk.era <= era_max);
        for chunk in self.closed.iter().filter(is_wanted) {
            if is_one_part(chunk.min_t, chunk.max_t) {
                each(chunk.min_t);
                continue;
            }
            let mut samples = Columns::default();
            chunk.read(TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX }, maps, &mut samples)?;
            samples.timestamps_ms.iter().for_each(|t| each(*t));
            samples.histograms.iter().for_each(|point| each(point.timestamp_ms));
        }
        Ok(())
    }
}

fn is_in(samples: &Columns, sample: &OooSample) -> bool {
    match &sample.value {
        OooValue::Float(bits) => {
            let at = samples.timestamps_ms.binary_search(&sample.t);
            at.is_ok_and(|at| samples.values.get(at).is_some_and(|v| v.to_bits() == *bits))
        }
        OooValue::Histogram(_) => {
            samples.histograms.binary_search_by_key(&sample.t, |point| point.timestamp_ms).is_ok()
        }
    }
}

fn to_columns<'a>(samples: impl Iterator<Item = &'a OooSample>) -> Columns {
    let mut columns = Columns::default();
    for OooSample { t, start_ms, value } in samples {
        match value {
            OooValue::Float(bits) => columns.push_with_start(*t, f64::from_bits(*bits), *start_ms),
            OooValue::Histogram(histogram) => {
                columns.push_histogram_with_start(*t, histogram.clone(), *start_ms);
            }
        }
    }
    columns
}

/// Samples as chunks: floats and histograms in turn, as they come.
pub(super) fn encode(samples: &[OooSample]) -> Vec<OooChunk> {
    let mut series = SourceSeries::default();
    push_samples(&to_columns(samples.iter()), &mut series);
    let chunk = |chunk: &crate::block::SourceChunk| OooChunk {
        min_t: chunk.min_t,
        max_t: chunk.max_t,
        encoding: Encoding::of_byte(chunk.encoding).expect("it was encoded just now"),
        era: 0,
        data: OooChunkData::InMemory(series.bytes_of(chunk).into()),
    };
    series.chunks.iter().map(chunk).collect()
}

/// Merges neighbors until one is left: each sample is looked at as often as the parts can be halved.
fn merge_all(mut parts: Vec<Columns>) -> Columns {
    while parts.len() > 1 {
        let merge = |two: &[Columns]| match two {
            [first, second] if first.is_empty() => second.clone(),
            [first, second] if second.is_empty() => first.clone(),
            [first, second] => columns::merge(first, second),
            rest => rest.first().cloned().unwrap_or_default(),
        };
        parts = parts.chunks(2).map(merge).collect();
    }
    parts.pop().unwrap_or_default()
}
