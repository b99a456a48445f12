//! Out-of-order chunks that their file does not give back any more are made anew of their log, and the others
//! are taken into memory, so that all files can be written anew or go. They stay in memory until they leave the
//! head; a start finds their samples on the log. Files of chunks in order are not known here.

use std::{collections::BTreeMap, io, sync::Arc};

use hashbrown::{HashMap, HashSet};

use crate::{
    disk::Disk,
    head_chunks::{ChunkMaps, ChunkPlace},
    lock::{lock, read, write},
    wal::{Decoded, LogReader, Wal, list_log},
};

use super::{
    super::Head,
    series::{OooChunk, OooSample, OooSeries, OooValue, encode},
};

/// A chunk that cannot be read, and what the log has of its times.
#[derive(Debug)]
pub(in crate::head) struct LostLate {
    series_ref: u64,
    chunk: OooChunk,
    pub(in crate::head) place: ChunkPlace,
    /// The first to come at each time.
    samples: BTreeMap<i64, OooSample>,
}

impl LostLate {
    fn take(&mut self, t: i64, start_ms: i64, value: impl FnOnce() -> OooValue) {
        if (self.chunk.min_t..=self.chunk.max_t).contains(&t) {
            let start_ms = if self.chunk.encoding.holds_starts() { start_ms } else { 0 };
            let sample = || OooSample { t, start_ms, value: value() };
            self.samples.entry(t).or_insert_with(sample);
        }
    }

    pub(in crate::head) fn is_found(&self) -> bool {
        !self.samples.is_empty()
    }

    /// The chunk anew; it may have samples of other chunks, too, which were on the log before it or come
    /// after it in the order of chunks.
    fn remade(&self) -> Vec<OooChunk> {
        let samples: Vec<OooSample> = self.samples.values().cloned().collect();
        let era = self.chunk.era;
        encode(&samples).into_iter().map(|chunk| chunk.of_era(era)).collect()
    }
}

impl Head {
    /// Reads all out-of-order chunks that are in files; gives those that are damaged.
    pub(in crate::head) fn find_lost_late(&self) -> Vec<LostLate> {
        let mut lost: Vec<LostLate> = Vec::new();
        let mut known = HashSet::new();
        self.with_chunk_maps(|maps| {
            for shard in &self.ooo.shards {
                for (series_ref, versions) in read(shard).iter() {
                    for chunk in versions.0.iter().flat_map(|(_, series)| series.lost(maps)) {
                        let Some(place) = chunk.place().filter(|place| known.insert(*place)) else {
                            continue;
                        };
                        let (series_ref, chunk) = (*series_ref, chunk.clone());
                        let samples = BTreeMap::new();
                        lost.push(LostLate { series_ref, chunk, place, samples });
                    }
                }
            }
        });
        lost
    }

    /// Reads the logs for the samples of damaged chunks: that of all samples tells the refs that series had.
    /// Says whether there are logs.
    pub(in crate::head) fn recover_late(&self, lost: &mut [LostLate]) -> io::Result<bool> {
        if lost.is_empty() {
            return Ok(true);
        }
        let places = {
            let log = lock(&self.commit);
            log.wal.as_ref().map(Wal::place).zip(log.wbl.as_ref().map(Wal::place))
        };
        let Some(((disk, wal_dir), (_, wbl_dir))) = places else { return Ok(false) };
        let mut by_ref: HashMap<u64, Vec<usize>> = HashMap::new();
        for (at, one) in lost.iter().enumerate() {
            by_ref.entry(one.series_ref).or_default().push(at);
        }
        let disk: &dyn Disk = &*disk;
        for_each_record(disk, &wal_dir, |record| {
            let Decoded::Series(series) = record else { return };
            for one in series {
                let slot = {
                    let index = self.index();
                    index.find(&one.labels).map(|seq| index.slot(seq))
                };
                let now = slot.map(|slot| self.handle(slot).series_ref.0);
                if let Some(of_series) = now.and_then(|now| by_ref.get(&now)).cloned() {
                    by_ref.insert(one.series_ref, of_series);
                }
            }
        })?;
        for_each_record(disk, &wbl_dir, |record| match record {
            Decoded::Samples(batch) => {
                for one in &batch.samples {
                    let start_ms = batch.starts.get(one.start);
                    for at in by_ref.get(&one.series_ref).into_iter().flatten() {
                        lost[*at].take(one.t, start_ms, || OooValue::Float(one.v));
                    }
                }
            }
            Decoded::Histograms(histograms) => {
                for one in histograms {
                    for at in by_ref.get(&one.series_ref).into_iter().flatten() {
                        let value = || OooValue::Histogram(one.value.clone());
                        lost[*at].take(one.t, one.start_ms, value);
                    }
                }
            }
            _ => {}
        })?;
        Ok(true)
    }

    /// Takes all chunks into memory, those that are lost as they were made anew. No file of head chunks is
    /// needed for them any more.
    pub(in crate::head) fn load_late(&self, lost: &[LostLate]) {
        let remade: HashMap<ChunkPlace, Vec<OooChunk>> =
            lost.iter().map(|one| (one.place, one.remade())).collect();
        // The next version of a series is made from the newest.
        let _no_commit = lock(&self.commit);
        self.with_chunk_maps(|maps| {
            for shard in &self.ooo.shards {
                for (_, series) in write(shard).values_mut().flat_map(|versions| &mut versions.0) {
                    Arc::make_mut(series).load(maps, &remade);
                }
            }
        });
    }
}

fn for_each_record(
    disk: &dyn Disk,
    dir: &std::path::Path,
    mut each: impl FnMut(Decoded),
) -> io::Result<()> {
    let log = list_log(disk, dir)?;
    let mut reader = LogReader::new(disk, &log);
    while let Some((_, records)) = reader.next_decoded()? {
        records.into_iter().for_each(&mut each);
    }
    Ok(())
}

impl OooSeries {
    /// Chunks that cannot be read in their files.
    fn lost<'a>(&'a self, maps: &'a ChunkMaps) -> impl Iterator<Item = &'a OooChunk> {
        self.closed().iter().filter(|chunk| chunk.place().is_some() && !chunk.is_readable(maps))
    }
}
