//! From the items of a sidecar to a head: read on all cores, put together, then taken whole or not at all.

use std::sync::{Mutex, atomic::Ordering};

use crate::{
    head::{
        FiledChunks, GROUP_SLOTS, Head, HeadReplay, group::RestoredGroup, index::SeriesIndex,
        slot_in_group,
    },
    lock::{lock, read, write},
    wal::{Decoded, decode},
};

use super::{SidecarError, SidecarHeader, codec::Bytes};

/// Items that wait for a core at a time.
const WAITING_ITEMS_COUNT_MAX: usize = 64;

/// A sidecar that was read whole. Nothing of it is in a head yet.
#[derive(Debug)]
pub(crate) struct LoadedSidecar {
    pub(crate) header: SidecarHeader,
    index: SeriesIndex,
    groups: Vec<RestoredGroup>,
    records: Vec<Decoded>,
    /// Series numbers are no longer those of the groups.
    is_renumbered: bool,
}

/// What comes out of the items.
#[derive(Debug, Default)]
struct Parts {
    texts: Option<SeriesIndex>,
    groups: Vec<RestoredGroup>,
    records: Vec<(usize, Decoded)>,
    is_damaged: bool,
}

impl LoadedSidecar {
    /// Reads the items behind the header, one call of `next_item` each. What they say counts only if the
    /// caller finds afterwards that all bytes are those that were written.
    ///
    /// # Errors
    /// What `next_item` fails with, or the items are not what was written.
    pub(crate) fn read<E: From<SidecarError>>(
        header: SidecarHeader,
        mut next_item: impl FnMut() -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let parts = Mutex::<Parts>::default();
        let mut series = Vec::new();
        let groups_end = 2 + header.groups_count as usize;
        let items_end = groups_end + header.records_count as usize;
        let mut at = 0;
        while at < items_end {
            rayon::in_place_scope(|scope| -> Result<(), E> {
                let end = items_end.min(at + WAITING_ITEMS_COUNT_MAX);
                for number in at..end {
                    let item = next_item()?;
                    if number == 1 {
                        series = item;
                        continue;
                    }
                    let parts = &parts;
                    scope.spawn(move |_| read_item(&item, number, groups_end, parts));
                }
                at = end;
                Ok(())
            })?;
        }
        let mut parts = parts.into_inner().map_err(|_| SidecarError)?;
        parts.groups.sort_unstable_by_key(|group| group.number);
        let mut numbers = (0..header.groups_count).zip(&parts.groups);
        let are_numbered = numbers.all(|(number, group)| group.number == number);
        if parts.is_damaged || !are_numbered {
            return Err(SidecarError.into());
        }
        parts.records.sort_unstable_by_key(|(number, _)| *number);
        let index = parts.texts.ok_or(SidecarError)?;
        let (index, is_renumbered) = index_of(index, &header, &series, &parts.groups)?;
        let records = parts.records.into_iter().map(|(_, record)| record).collect();
        Ok(Self { header, index, groups: parts.groups, records, is_renumbered })
    }

    /// Puts it into an empty head, which then has the series and their samples as of the position in the
    /// log.
    pub(crate) fn take(self, head: &Head) {
        let (mut chunks_count, mut stale_count) = (0, 0);
        let kept = head.kept_starts;
        for mut group in self.groups {
            // As a replay would do it with these settings.
            if group.data.has_starts() {
                group.data.forget_starts(kept.is_any, kept.is_of_histograms);
            }
            // A head has no more groups than it can number, and these were numbered by one.
            let base = group.number.saturating_mul(GROUP_SLOTS as u32);
            let Some(place) = head.groups.get_or_make(base) else { continue };
            if let Some((min_t, max_t)) = group.times {
                head.times.include(min_t, max_t);
            }
            chunks_count += group.chunks_count;
            stale_count += group.data.stale_count() as i64;
            *write(&place.data) = group.data;
        }
        if self.is_renumbered {
            head.renumber(&self.index);
        }
        *write(&head.index) = self.index;
        head.next_ref.fetch_max(self.header.next_ref, Ordering::Relaxed);
        head.chunks_count.store(chunks_count, Ordering::Relaxed);
        head.stale_count.store(stale_count, Ordering::Relaxed);
        lock(&head.commit).deleted = self.header.deleted.into_iter().collect();
        if !self.records.is_empty() {
            let mut replay = HeadReplay::new(head, FiledChunks::default());
            replay.know_series(None);
            let applied = replay.apply(self.records);
            applied.expect("records of these types make no series");
        }
    }
}

fn read_item(item: &[u8], number: usize, groups_end: usize, parts: &Mutex<Parts>) {
    let is_good = if number == 0 {
        texts(item).map(|index| lock(parts).texts = Some(index))
    } else if number < groups_end {
        RestoredGroup::decode(item).map(|group| lock(parts).groups.push(group))
    } else {
        record(item).map(|record| lock(parts).records.push((number, record)))
    };
    if is_good.is_err() {
        lock(parts).is_damaged = true;
    }
}

fn record(item: &[u8]) -> Result<Decoded, SidecarError> {
    match decode(item, Vec::new) {
        Ok(record @ (Decoded::Exemplars(_) | Decoded::Metadata(_) | Decoded::Tombstones(_))) => {
            Ok(record)
        }
        _ => Err(SidecarError),
    }
}

/// An index without series; its pair ids are those of the sidecar.
fn texts(item: &[u8]) -> Result<SeriesIndex, SidecarError> {
    let mut bytes = Bytes(item);
    let count = bytes.u32()? as usize;
    // A pair takes eight bytes at least.
    if count > item.len() / 8 {
        return Err(SidecarError);
    }
    let mut names: Vec<&str> = Vec::new();
    let mut pairs = Vec::with_capacity(count);
    while !bytes.is_empty() {
        let number = bytes.u32()? as usize;
        if number == names.len() {
            names.push(bytes.text()?);
        }
        let name = names.get(number).ok_or(SidecarError)?;
        pairs.push((*name, bytes.text()?));
    }
    if pairs.len() != count {
        return Err(SidecarError);
    }
    SeriesIndex::with_pairs(&pairs).map_err(|_| SidecarError)
}

/// The index with those series that a group has. Says whether their numbers are others now.
fn index_of(
    index: SeriesIndex,
    header: &SidecarHeader,
    series: &[u8],
    groups: &[RestoredGroup],
) -> Result<(SeriesIndex, bool), SidecarError> {
    let series_count = header.series_count as usize;
    let is_numbered = header.slots_count as usize <= groups.len() * GROUP_SLOTS;
    // A series takes six bytes at least.
    if !is_numbered || series_count > series.len() / 6 {
        return Err(SidecarError);
    }
    let mut is_there = vec![false; series_count];
    for seq in groups.iter().flat_map(|group| &group.seqs).filter(|seq| **seq != u32::MAX) {
        *is_there.get_mut(*seq as usize).ok_or(SidecarError)? = true;
    }
    let pairs_count = index.dictionary().read().count() as u32;
    let slot_of = |seq: u32, slot: u32| {
        let group = groups.get(slot as usize / GROUP_SLOTS)?;
        (*group.seqs.get(slot_in_group(slot))? == seq).then_some(slot)
    };
    let mut bytes = Bytes(series);
    let (mut slots, mut sets, mut ends) =
        (Vec::with_capacity(series_count), Vec::new(), Vec::with_capacity(series_count));
    for (seq, is_there) in is_there.iter().enumerate() {
        let slot = bytes.u32()?;
        for _ in 0..bytes.u16()? {
            let id = bytes.u32()?;
            if *is_there {
                sets.push(id);
            }
        }
        if *is_there {
            slots.push(slot_of(seq as u32, slot).ok_or(SidecarError)?);
            ends.push(sets.len());
        }
    }
    if sets.iter().any(|id| *id >= pairs_count) {
        return Err(SidecarError);
    }
    let is_renumbered = slots.len() != series_count;
    let index = index.with_series(&slots, (&sets, &ends), header.slots_count);
    Ok((index.map_err(|_| SidecarError)?, is_renumbered))
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
