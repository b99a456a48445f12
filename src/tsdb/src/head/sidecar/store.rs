//! From the head to a sidecar.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use prom_storage::StorageError;

use crate::{
    head::{Head, dictionary::PairId, index::SeriesIndex},
    lock::{lock, read},
    wal::{
        RefExemplar, RefMetadata, RefTombstone, encode_exemplars, encode_metadata,
        encode_tombstones, fingerprint,
    },
};

use super::{SidecarHeader, codec::push_bytes, image::begin_group};

/// Entries in one item of log records.
const RECORD_ENTRIES_COUNT_MAX: usize = 10_000;

impl Head {
    /// Writes the head as it is. Says whether it did: one without a log has no place for it.
    ///
    /// # Errors
    /// What `sink` fails with; the disk refuses head chunks.
    pub(crate) fn write_sidecar(
        &self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), StorageError>,
    ) -> Result<bool, StorageError> {
        // Numbers of series and places of chunks stay what they are until the end.
        let _no_truncation = lock(&self.truncation);
        self.flush_chunks()?;
        let files = lock(&self.head_files);
        let Some(files) = &*files else { return Ok(false) };
        let (mut header, place) = {
            let log = lock(&self.commit);
            let position = log.wal.as_ref().map_or(log.end, |wal| wal.position());
            let (Some((segment, offset)), Some(place)) = (position, log.place.clone()) else {
                return Ok(false);
            };
            let header = SidecarHeader {
                segment,
                offset,
                next_ref: self.next_ref.load(Ordering::Relaxed),
                deleted: log.deleted.iter().map(|(r, s)| (*r, *s)).collect(),
                chunk_range_ms: self.chunk_range_ms,
                ..SidecarHeader::default()
            };
            (header, place)
        };
        let (disk, dir) = place;
        header.fingerprint = fingerprint(&*disk, &dir, (header.segment, header.offset))
            .map_err(|source| StorageError::Io { path: dir, action: "read WAL", source })?;
        if let Some((number, size_bytes)) = files.files.maps().last() {
            (header.file_last, header.file_last_size_bytes) = (number, size_bytes);
            header.file_first = files.files.maps().first().unwrap_or(number);
        }
        let (texts, series) = {
            let index = self.index();
            header.slots_count = index.slots_count();
            header.series_count = index.count() as u32;
            (texts_item(&index), series_item(&index))
        };
        header.groups_count = self.groups.iter().count() as u32;
        // What came out of order is not in it: its own log is read at each start.
        header.set_kept(self.exemplars.is_enabled(), self.is_metadata_logged);
        let records = self.records();
        header.records_count = records.len() as u32;
        sink(&header.encode())?;
        sink(&texts)?;
        sink(&series)?;
        drop((texts, series));
        let mut item = Vec::new();
        for (number, group) in self.groups.iter().take(header.groups_count as usize).enumerate() {
            begin_group(&mut item, number as u32);
            read(&group.data).put_image(header.series_count, &mut item);
            sink(&item)?;
        }
        records.iter().try_for_each(|record| sink(record))?;
        Ok(true)
    }

    /// What does not belong to slots, as log records.
    fn records(&self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        let mut exemplars = Vec::new();
        self.exemplars.for_each(|series_ref, exemplar| {
            let (t, v) = (exemplar.timestamp_ms, exemplar.value);
            exemplars.push(RefExemplar { series_ref, t, v, labels: exemplar.labels.clone() });
        });
        push_records(&mut records, &exemplars, encode_exemplars);
        let metadata: Vec<RefMetadata> = lock(&self.metadata)
            .iter()
            .map(|(series_ref, metadata)| RefMetadata {
                series_ref,
                metadata: Arc::clone(metadata),
            })
            .collect();
        push_records(&mut records, &metadata, encode_metadata);
        let mut tombstones = Vec::new();
        self.deletions.for_each(|series_ref, range| {
            let (min_t, max_t) = (range.mint_ms, range.maxt_ms);
            tombstones.push(RefTombstone { series_ref, min_t, max_t });
        });
        push_records(&mut records, &tombstones, encode_tombstones);
        records
    }
}

fn push_records<T>(records: &mut Vec<Vec<u8>>, all: &[T], encode: fn(&mut Vec<u8>, &[T])) {
    records.extend(all.chunks(RECORD_ENTRIES_COUNT_MAX).map(|part| {
        let mut record = Vec::new();
        encode(&mut record, part);
        record
    }));
}

/// All pairs in the order of their ids: the name's text the first time, then its number; and the value.
fn texts_item(index: &SeriesIndex) -> Vec<u8> {
    let pairs = index.dictionary().read();
    let mut out = Vec::new();
    out.extend_from_slice(&(pairs.count() as u32).to_le_bytes());
    let mut names = BTreeMap::new();
    for id in 0..pairs.count() as u32 {
        let (name, value) = pairs.texts(PairId(id));
        let next = names.len() as u32;
        let number = *names.entry(name).or_insert(next);
        out.extend_from_slice(&number.to_le_bytes());
        if number == next {
            push_bytes(&mut out, name.as_bytes());
        }
        push_bytes(&mut out, value.as_bytes());
    }
    out
}

/// All series in the order of their numbers: slot, number of labels, pair ids.
fn series_item(index: &SeriesIndex) -> Vec<u8> {
    let mut out = Vec::new();
    for seq in 0..index.count() as u32 {
        let ids = index.pair_ids(seq);
        out.extend_from_slice(&index.slot(seq).to_le_bytes());
        out.extend_from_slice(&(ids.len() as u16).to_le_bytes());
        for id in ids {
            out.extend_from_slice(&id.to_le_bytes());
        }
    }
    out
}
