//! From the head to a sidecar.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use prom_storage::StorageError;

use crate::{
    head::{Head, dictionary::PairId, index::SeriesIndex},
    lock::{lock, read},
};

use super::{GroupImage, SidecarHeader, codec::push_text};

impl Head {
    /// From now on the head holds, or the log has, what a sidecar does not know.
    pub(crate) fn spoil_sidecar(&self) {
        self.is_sidecar_spoiled.store(true, Ordering::Release);
    }

    /// Writes the head as it is. Says whether it did: a head with more than floats has no sidecar, and one
    /// without a log has no place for it.
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
        let mut header = {
            let log = lock(&self.commit);
            let position = log.wal.as_ref().map_or(log.end, |wal| wal.position());
            let Some((segment, offset)) = position else { return Ok(false) };
            SidecarHeader {
                segment,
                offset,
                next_ref: self.next_ref.load(Ordering::Relaxed),
                deleted: log.deleted.iter().map(|(r, s)| (*r, *s)).collect(),
                chunk_range_ms: self.chunk_range_ms,
                ..SidecarHeader::default()
            }
        };
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
        // What came out of order is not in it; a head that has such samples replays both logs.
        if self.is_sidecar_spoiled.load(Ordering::Acquire) || !self.ooo.is_empty() {
            return Ok(false);
        }
        sink(&header.encode())?;
        sink(&texts)?;
        sink(&series)?;
        drop((texts, series));
        for (number, group) in self.groups.iter().take(header.groups_count as usize).enumerate() {
            let data = read(&group.data);
            if !data.is_plain() {
                return Ok(false);
            }
            let slots = data.image(header.series_count);
            drop(data);
            let image = GroupImage { number: number as u32, slots };
            sink(&image.encode())?;
        }
        Ok(!self.is_sidecar_spoiled.load(Ordering::Acquire))
    }
}

/// All pairs in the order of their ids: the name's text the first time, then its number; and the value.
fn texts_item(index: &SeriesIndex) -> Vec<u8> {
    let pairs = index.dictionary().read();
    let mut out = Vec::new();
    let mut names = BTreeMap::new();
    for id in 0..pairs.count() as u32 {
        let (name, value) = pairs.texts(PairId(id));
        let next = names.len() as u32;
        let number = *names.entry(name).or_insert(next);
        out.extend_from_slice(&number.to_le_bytes());
        if number == next {
            push_text(&mut out, name);
        }
        push_text(&mut out, value);
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
