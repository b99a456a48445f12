//! From a sidecar to an empty head, item by item.

use std::sync::atomic::Ordering;

use crate::{
    head::{GROUP_SLOTS, Head, index::SeriesIndex, slot_in_group},
    lock::{lock, read, write},
};

use super::{GroupImage, SidecarError, SidecarHeader, codec::Bytes};

/// A sidecar that is being taken into a head, or only looked at.
#[derive(Debug)]
pub(crate) struct SidecarLoad<'a> {
    /// `None`: only looked at.
    head: Option<&'a Head>,
    header: SidecarHeader,
    /// Pair ids of the sidecar are those of the new index.
    index: SeriesIndex,
    series: Vec<u8>,
    /// By series number: whether a group has it.
    is_there: Vec<bool>,
    items_count: u64,
    chunks_count: u64,
    stale_count: i64,
}

impl<'a> SidecarLoad<'a> {
    pub(crate) fn new(header: SidecarHeader, head: Option<&'a Head>) -> Self {
        Self {
            head,
            is_there: vec![false; header.series_count as usize],
            header,
            index: SeriesIndex::default(),
            series: Vec::new(),
            items_count: 0,
            chunks_count: 0,
            stale_count: 0,
        }
    }

    /// How many items come behind the header.
    pub(crate) fn items_count(&self) -> u64 {
        2 + u64::from(self.header.groups_count)
    }

    /// Takes the next item; `each_ref` is told of refs and their slots.
    ///
    /// # Errors
    /// It is not what was written.
    pub(crate) fn item(
        &mut self,
        item: Vec<u8>,
        each_ref: impl FnMut(u64, u32),
    ) -> Result<(), SidecarError> {
        self.items_count += 1;
        match self.items_count {
            1 => self.texts(&item),
            2 => {
                self.series = item;
                Ok(())
            }
            _ => self.group(GroupImage::decode(&item)?, each_ref),
        }
    }

    fn texts(&mut self, item: &[u8]) -> Result<(), SidecarError> {
        let mut bytes = Bytes(item);
        let mut names: Vec<&str> = Vec::new();
        while !bytes.is_empty() {
            let number = bytes.u32()? as usize;
            if number == names.len() {
                names.push(bytes.text()?);
            }
            let name = names.get(number).ok_or(SidecarError)?;
            let value = bytes.text()?;
            if self.head.is_some() {
                self.index.add_pair(name, value).map_err(|_| SidecarError)?;
            }
        }
        Ok(())
    }

    fn group(
        &mut self,
        group: GroupImage,
        mut each_ref: impl FnMut(u64, u32),
    ) -> Result<(), SidecarError> {
        let base = group.number.checked_mul(GROUP_SLOTS as u32).ok_or(SidecarError)?;
        for (at, slot) in group.slots.iter().enumerate() {
            let Some(slot) = slot else { continue };
            each_ref(slot.series_ref, base + at as u32);
            *self.is_there.get_mut(slot.seq as usize).ok_or(SidecarError)? = true;
            self.chunks_count += slot.closed.len() as u64 + u64::from(slot.open.is_some());
        }
        let Some(head) = self.head else { return Ok(()) };
        for slot in group.slots.iter().flatten() {
            let first = slot.closed.first().map(|chunk| chunk.min_t);
            let first = first.or(slot.open.as_ref().map(|open| open.min_t));
            head.times.include(first.unwrap_or(i64::MAX), slot.last.0);
        }
        let place = head.groups.get_or_make(base).ok_or(SidecarError)?;
        let mut data = write(&place.data);
        data.restore(group.slots);
        self.stale_count += data.stale_count() as i64;
        Ok(())
    }

    /// Ends it: the head has the series and their samples, as of the position in the log.
    ///
    /// # Errors
    /// It is not what was written.
    pub(crate) fn finish(mut self) -> Result<(), SidecarError> {
        let Some(head) = self.head else { return Ok(()) };
        let mut bytes = Bytes(&self.series);
        let mut ids = Vec::new();
        let mut is_used = vec![false; self.header.slots_count as usize];
        for is_there in &self.is_there {
            let slot = bytes.u32()?;
            ids.clear();
            for _ in 0..bytes.u16()? {
                ids.push(bytes.u32()?);
            }
            if *is_there {
                self.index.insert(&ids, slot).map_err(|_| SidecarError)?;
                *is_used.get_mut(slot as usize).ok_or(SidecarError)? = true;
            }
        }
        self.index.set_slots(&is_used);
        head.renumber(&self.index);
        let mut index = write(&head.index);
        *index = self.index;
        drop(index);
        head.next_ref.fetch_max(self.header.next_ref, Ordering::Relaxed);
        head.chunks_count.store(self.chunks_count, Ordering::Relaxed);
        head.stale_count.store(self.stale_count, Ordering::Relaxed);
        lock(&head.commit).deleted = self.header.deleted.into_iter().collect();
        Ok(())
    }
}

impl Head {
    /// The refs of all series, with their slots.
    pub(in crate::head) fn for_each_ref(&self, mut each: impl FnMut(u64, u32)) {
        let index = self.index();
        for seq in 0..index.count() as u32 {
            let slot = index.slot(seq);
            let group = self.groups.get(slot);
            let series_ref = group.and_then(|g| read(&g.data).series_ref(slot_in_group(slot)));
            if let Some(series_ref) = series_ref {
                each(series_ref, slot);
            }
        }
    }
}
