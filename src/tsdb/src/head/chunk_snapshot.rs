//! The head as the records of a chunk snapshot, and such records as what the log would have said: the samples
//! of an open chunk are appended again, so whatever holds for a replay holds for them, too.

use std::io;

use hashbrown::HashSet;
use prom_storage::{Columns, TimeRange};

use crate::{
    chunk::read_chunk,
    head_chunks::{ChunkMaps, FileEnd},
    lock::{lock, read},
    wal::{
        DecodeError, Decoded, RefExemplar, RefHistogram, RefSample, RefSeries, RefTombstone,
        SampleBatch, SnapshotChunk, SnapshotRecord, SnapshotSeries, StartId, decode_snapshot,
        encode_snapshot_exemplars, encode_snapshot_tombstones,
    },
};

use super::{Head, slot_in_group};

/// Exemplars of one record; more make more records.
const RECORD_EXEMPLARS_COUNT_MAX: usize = 10_000;
const ALL_TIMES: TimeRange = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };

/// What one record of a snapshot says.
#[derive(Debug, Default)]
pub(crate) struct SnapshotPart {
    series: Option<RefSeries>,
    floats: SampleBatch,
    histograms: Vec<RefHistogram>,
    other: Option<Decoded>,
}

impl SnapshotPart {
    /// Reads a record.
    pub(crate) fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let other = match decode_snapshot(record)? {
            SnapshotRecord::Series(series) => return Self::of_series(series),
            SnapshotRecord::Tombstones(tombstones) => Decoded::Tombstones(tombstones),
            SnapshotRecord::Exemplars(exemplars) => Decoded::Exemplars(exemplars),
        };
        Ok(Self { other: Some(other), ..Self::default() })
    }

    fn of_series(series: SnapshotSeries<'_>) -> Result<Self, DecodeError> {
        let SnapshotSeries { series_ref, labels, open } = series;
        let mut part = Self { series: Some(RefSeries { series_ref, labels }), ..Self::default() };
        if let Some(open) = open {
            part.read_chunk(series_ref, &open)?;
        }
        Ok(part)
    }

    fn read_chunk(&mut self, series_ref: u64, open: &SnapshotChunk<'_>) -> Result<(), DecodeError> {
        let mut columns = Columns::default();
        read_chunk(open.encoding, open.data, usize::MAX, ALL_TIMES, &mut columns)
            .map_err(|_| DecodeError::InvalidChunk)?;
        let start_of = |starts_ms: &[i64], at: usize| starts_ms.get(at).copied().unwrap_or(0);
        let floats = columns.timestamps_ms.iter().zip(&columns.values).enumerate();
        for (at, (t, v)) in floats {
            let (slot, start) = (0, StartId::NONE);
            let sample = RefSample { series_ref, slot, start, t: *t, v: v.to_bits() };
            self.floats.push(sample, start_of(&columns.start_timestamps_ms, at));
        }
        let histograms = columns.histograms.into_iter().enumerate();
        self.histograms = histograms
            .map(|(at, one)| RefHistogram {
                series_ref,
                slot: 0,
                t: one.timestamp_ms,
                start_ms: start_of(&columns.histogram_start_timestamps_ms, at),
                value: one.histogram,
            })
            .collect();
        let times: Vec<i64> = match self.histograms.is_empty() {
            true => self.floats.samples.iter().map(|one| one.t).collect(),
            false => self.histograms.iter().map(|one| one.t).collect(),
        };
        let is_ascending = times.windows(2).all(|two| two[0] < two[1]);
        let bounds = (times.first().copied(), times.last().copied());
        let is_whole = bounds == (Some(open.min_t), Some(open.max_t));
        if is_ascending && is_whole { Ok(()) } else { Err(DecodeError::InvalidChunk) }
    }

    /// Whether it is the record with which the series end; there is one in each whole snapshot.
    pub(crate) fn is_end_of_series(&self) -> bool {
        matches!(self.other, Some(Decoded::Tombstones(_)))
    }

    /// Many of them as records of the log, in order: series come before what is said of them.
    pub(crate) fn into_log(parts: Vec<Self>) -> Vec<Decoded> {
        let (mut series, mut histograms) = (Vec::new(), Vec::new());
        let mut floats = SampleBatch::default();
        let mut others = Vec::new();
        for part in parts {
            series.extend(part.series);
            let SampleBatch { samples, starts } = part.floats;
            samples.into_iter().for_each(|one| floats.push(one, starts.get(one.start)));
            histograms.extend(part.histograms);
            others.extend(part.other);
        }
        let mut log = vec![
            Decoded::Series(series),
            Decoded::Samples(floats),
            Decoded::Histograms(histograms),
        ];
        log.extend(others);
        log
    }
}

impl Head {
    /// Where a head that is closed left its log, in whole pages.
    pub(crate) fn log_end(&self) -> Option<(u64, u64)> {
        let (segment, offset) = lock(&self.commit).end?;
        Some((segment, offset.next_multiple_of(crate::wal::PAGE_SIZE_BYTES as u64)))
    }

    /// The files with its closed chunks, and their sizes.
    pub(crate) fn chunk_file_ends(&self) -> Vec<FileEnd> {
        self.with_chunk_maps(ChunkMaps::ends)
    }

    /// Gives `each` the records of a chunk snapshot; the head takes no samples any more, and its closed chunks
    /// stand in files. Says how many series there are.
    ///
    /// # Errors
    /// Those of `each`.
    pub(crate) fn snapshot(
        &self,
        each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<usize> {
        let mut record = Vec::new();
        let refs = self.snapshot_series(&mut record, each)?;
        let mut tombstones = Vec::new();
        self.deletions.for_each(|series_ref, range| {
            let (min_t, max_t) = (range.mint_ms, range.maxt_ms);
            tombstones.push(RefTombstone { series_ref, min_t, max_t });
        });
        record.clear();
        encode_snapshot_tombstones(&mut record, &tombstones);
        each(&record)?;
        let mut exemplars = Vec::new();
        self.exemplars.for_each(|series_ref, exemplar| {
            // One may be of a series that has gone.
            if refs.contains(&series_ref) {
                let (t, v) = (exemplar.timestamp_ms, exemplar.value);
                exemplars.push(RefExemplar { series_ref, t, v, labels: exemplar.labels.clone() });
            }
        });
        for part in exemplars.chunks(RECORD_EXEMPLARS_COUNT_MAX) {
            record.clear();
            encode_snapshot_exemplars(&mut record, part);
            each(&record)?;
        }
        Ok(refs.len())
    }

    /// The records of all series that are on the log; gives their refs.
    fn snapshot_series(
        &self,
        record: &mut Vec<u8>,
        each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<HashSet<u64, foldhash::fast::RandomState>> {
        let mut refs = HashSet::default();
        let mut chunk = Vec::new();
        let index = self.index();
        let pairs = index.dictionary().read();
        for seq in 0..index.count() as u32 {
            let slot = index.slot(seq);
            let Some(group) = self.groups.get(slot) else { continue };
            let data = read(&group.data);
            let slot = slot_in_group(slot);
            let Some(series_ref) = data.series_ref(slot).filter(|_| !data.is_unlogged(slot)) else {
                continue;
            };
            refs.insert(series_ref);
            let labels = pairs.labels(index.pair_ids(seq));
            let open = data.open_chunk(slot, &mut chunk);
            record.clear();
            SnapshotSeries { series_ref, labels, open }.encode(record);
            each(record)?;
        }
        Ok(refs)
    }
}
