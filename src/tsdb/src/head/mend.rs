//! Closed chunks that their file does not give back any more are made anew of the log, and all files are
//! written anew then, so that the damaged one is out of the way. A start that trusts a sidecar does not read the
//! files; this does, soon after, and whenever a query meets a damaged chunk.
//!
//! The old files go when all chunks stand in new ones, the highest first: whatever a crash leaves, a start
//! finds for each series either all of its chunks from the first one on, or a damaged file and the log.

use std::{io, path::Path, sync::TryLockError};

use hashbrown::HashMap;
use prom_model::HistogramValue;
use prom_storage::StorageError;

use crate::{
    chunk::{Encoding, Extent, encode_floats, encode_histograms, encode_xor2},
    disk::Disk,
    lock::{lock, read, write},
    wal::{Decoded, LogReader, list_log, quarantine},
};

use super::{
    Head,
    flush::HeadFiles,
    group::{Lost, Remade},
    group_of,
    histograms::{is_marker, stale_like},
    slot_in_group,
};

/// What was done about damaged chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mended {
    /// Chunks that could not be read, and those of them that the log had.
    pub(crate) lost_count: usize,
    pub(crate) mended_count: usize,
}

/// A damaged chunk, and what the log has of it.
#[derive(Debug)]
struct Found {
    lost: Lost,
    floats: Vec<(i64, u64)>,
    histograms: Vec<(i64, HistogramValue)>,
    /// Of either.
    starts_ms: Vec<i64>,
}

impl Head {
    /// Reads all closed chunks; those that are damaged are taken from the log.
    ///
    /// # Errors
    /// The disk refused; it is tried again when a chunk is found damaged the next time.
    pub(crate) fn mend(&self) -> Result<Mended, StorageError> {
        let _no_truncation = lock(&self.truncation);
        self.mend_files()
    }

    /// Likewise, unless a truncation is under way, which may wait for the caller. Says whether anything was
    /// mended.
    pub(super) fn try_mend(&self) -> bool {
        let _no_truncation = match self.truncation.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        match self.mend_files() {
            Ok(mended) => mended.lost_count > 0,
            Err(err) => {
                tracing::error!(err = %err, "Mending head chunks failed");
                false
            }
        }
    }

    fn mend_files(&self) -> Result<Mended, StorageError> {
        let mut guard = lock(&self.head_files);
        let Some(files) = &mut *guard else { return Ok(Mended::default()) };
        let mut found = self.find_lost();
        let mut late = self.find_lost_late();
        if found.is_empty() && late.is_empty() {
            return Ok(Mended::default());
        }
        let lost_count = found.len() + late.len();
        self.chunk_metrics.corruptions.inc_by(lost_count as u64);
        let dir = files.files.dir().to_owned();
        let io_error =
            |source| StorageError::Io { path: dir.clone(), action: "mend head chunks", source };
        if !self
            .recover(&mut found)
            .and_then(|is_log| Ok(is_log && self.recover_late(&mut late)?))
            .map_err(io_error)?
        {
            return Ok(Mended::default());
        }
        let mut remade: HashMap<u32, Vec<Remade>> = HashMap::new();
        let mut mended_count = late.iter().filter(|one| one.is_found()).count();
        let mut damaged: Vec<u32> = late.iter().map(|one| one.place.file).collect();
        for one in found {
            let group = group_of(one.lost.slot);
            let made = one.remade();
            damaged.push(made.file);
            mended_count += usize::from(made.data.is_some());
            remade.entry(group).or_default().push(made);
        }
        // What came out of order stands in the same files.
        self.load_late(&late);
        self.refile(files, &remade, damaged).map_err(io_error)?;
        tracing::error!(
            chunks = lost_count,
            mended = mended_count,
            "Head chunks were damaged; their samples were taken from the WAL, the files are kept in quarantine"
        );
        Ok(Mended { lost_count, mended_count })
    }

    fn find_lost(&self) -> Vec<Found> {
        let mut found = Vec::new();
        self.with_chunk_maps(|maps| {
            for (number, group) in self.groups.iter().enumerate() {
                read(&group.data).for_each_lost(number as u32, maps, |lost| {
                    found.push(Found::new(lost));
                });
            }
        });
        found
    }

    /// Reads the log for the samples of damaged chunks. Says whether there is a log.
    fn recover(&self, found: &mut [Found]) -> io::Result<bool> {
        if found.is_empty() {
            return Ok(true);
        }
        let place = lock(&self.commit).wal.as_ref().map(crate::wal::Wal::place);
        let Some((disk, wal_dir)) = place else { return Ok(false) };
        let mut by_slot: HashMap<u32, Vec<usize>> = HashMap::new();
        let mut slots: HashMap<u64, u32> = HashMap::new();
        for (at, one) in found.iter().enumerate() {
            by_slot.entry(one.lost.slot).or_default().push(at);
            slots.insert(one.lost.series_ref, one.lost.slot);
        }
        let log = list_log(&*disk, &wal_dir)?;
        let disk: &dyn Disk = &*disk;
        let mut reader = LogReader::new(disk, &log);
        while let Some((_, records)) = reader.next_decoded()? {
            let mut batches = Vec::new();
            for record in records {
                match record {
                    Decoded::Series(series) => {
                        let index = self.index();
                        for one in series {
                            // A label set that went and came back has several refs.
                            let slot = index.find(&one.labels).map(|seq| index.slot(seq));
                            if let Some(slot) = slot.filter(|slot| by_slot.contains_key(slot)) {
                                slots.insert(one.series_ref, slot);
                            }
                        }
                    }
                    Decoded::Samples(batch) => {
                        for sample in &batch.samples {
                            let Some(slot) = slots.get(&sample.series_ref) else { continue };
                            let start_ms = batch.starts.get(sample.start);
                            for at in &by_slot[slot] {
                                found[*at].add_float((sample.t, sample.v), start_ms);
                            }
                        }
                        batches.push(batch);
                    }
                    Decoded::Histograms(histograms) => {
                        for one in &histograms {
                            let Some(slot) = slots.get(&one.series_ref) else { continue };
                            for at in &by_slot[slot] {
                                found[*at].add_histogram((one.t, &one.value), one.start_ms);
                            }
                        }
                    }
                    _ => {}
                }
            }
            reader.recycle(batches);
        }
        Ok(true)
    }

    /// Writes all closed chunks to new files and removes the old ones; those that are damaged are kept aside.
    fn refile(
        &self,
        files: &mut HeadFiles,
        remade: &HashMap<u32, Vec<Remade>>,
        mut damaged: Vec<u32>,
    ) -> io::Result<()> {
        files.writer.finish_file()?;
        let first_new = files.writer.next_number();
        for (number, group) in self.groups.iter().enumerate() {
            let of_group = remade.get(&(number as u32)).map_or(&[][..], Vec::as_slice);
            let gone = self.with_chunk_maps(|maps| {
                let mut data = write(&group.data);
                data.load_closed(maps, of_group)
            });
            self.chunks_count.fetch_sub(gone, std::sync::atomic::Ordering::Relaxed);
            self.flush_group(group, &mut files.writer)?;
        }
        files.writer.finish_file()?;
        let (disk, data_dir) = (files.files.disk(), files.files.dir().parent());
        damaged.sort_unstable();
        damaged.dedup();
        for number in damaged {
            let path = files.files.path(number);
            let kept = quarantine(&**disk, data_dir.unwrap_or(Path::new(".")), &path);
            match kept {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                _ => {}
            }
        }
        files.files.remove_below(first_new)
    }
}

impl Found {
    fn new(lost: Lost) -> Self {
        Self { lost, floats: Vec::new(), histograms: Vec::new(), starts_ms: Vec::new() }
    }

    fn is_within(&self, t: i64, last: Option<i64>) -> bool {
        (self.lost.min_t..=self.lost.max_t).contains(&t) && last.is_none_or(|last| last < t)
    }

    fn add_float(&mut self, (t, v): (i64, u64), start_ms: i64) {
        if self.lost.encoding.is_float() {
            if self.is_within(t, self.floats.last().map(|last| last.0)) {
                self.floats.push((t, v));
                self.starts_ms.push(start_ms);
            }
        } else if is_marker(v)
            && let Some((last_t, last)) = self.histograms.last()
            && self.is_within(t, Some(*last_t))
        {
            let stale = stale_like(last);
            self.histograms.push((t, stale));
            self.starts_ms.push(0);
        }
    }

    fn add_histogram(&mut self, (t, value): (i64, &HistogramValue), start_ms: i64) {
        let last = self.histograms.last().map(|last| last.0);
        if !self.lost.encoding.is_float() && self.is_within(t, last) {
            self.histograms.push((t, value.clone()));
            self.starts_ms.push(start_ms);
        }
    }

    /// The chunk anew, if the log has all of it.
    fn remade(self) -> Remade {
        let Lost { slot, id, file, encoding, min_t, max_t, samples_count, .. } = self.lost;
        let times = match encoding.is_float() {
            true => self.floats.iter().map(|one| one.0).collect::<Vec<_>>(),
            false => self.histograms.iter().map(|one| one.0).collect(),
        };
        let is_whole = times.len() == usize::from(samples_count)
            && (times.first(), times.last()) == (Some(&min_t), Some(&max_t));
        let data = match encoding {
            _ if !is_whole => None,
            Encoding::Xor => {
                let mut data = Vec::new();
                encode_floats(&self.floats, &mut data);
                Some((Encoding::Xor, data))
            }
            Encoding::Xor2 => {
                let mut data = Vec::new();
                encode_xor2(&self.floats, (&self.starts_ms, Extent::Whole), &mut data);
                Some((Encoding::Xor2, data))
            }
            _ => {
                let samples = self.histograms.iter().map(|(t, value)| (*t, value));
                let starts_ms = if encoding.holds_starts() { &self.starts_ms[..] } else { &[] };
                let mut chunks = encode_histograms(samples, starts_ms, u16::MAX);
                let chunk = chunks.pop().filter(|_| chunks.is_empty());
                chunk.map(|chunk| (chunk.encoding, chunk.data))
            }
        };
        Remade { slot: slot_in_group(slot), id, file, data }
    }
}
