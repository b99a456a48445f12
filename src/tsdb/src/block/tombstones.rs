//! The `tombstones` file: which samples of a block count as deleted. Format: docs/format/tombstones.md.
//! Samples are left out by those who read them; what is deleted is decided by the owner of the block.

use std::{collections::BTreeMap, path::Path};

use prom_storage::{StorageError, TimeRange};

use crate::disk::Disk;

use super::{
    file::{BlockFile, CRC_SIZE_BYTES, Decoder, Flaw, put_uvarint, put_varint},
    meta::replace_file,
};

pub(crate) const TOMBSTONES_FILE_NAME: &str = "tombstones";
const MAGIC: u32 = 0x0130_ba30;
const VERSION: u8 = 1;
const HEADER_SIZE_BYTES: usize = 5;

/// Deleted times of a block's series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tombstones {
    by_series: BTreeMap<u64, Vec<TimeRange>>,
}

impl Tombstones {
    /// Reads the file in a block's directory. A block without one has no tombstones.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<(Self, u64), StorageError> {
        let path = dir.join(TOMBSTONES_FILE_NAME);
        let file = match BlockFile::open(disk, &path) {
            Ok(file) => file,
            Err(StorageError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok((Self::default(), 0));
            }
            Err(err) => return Err(err),
        };
        let tombstones = Self::decode(file.bytes()).map_err(|flaw| file.corruption(flaw))?;
        Ok((tombstones, file.size_bytes()))
    }

    /// Writes the file into a block's directory in one step. The caller syncs the directory.
    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
        replace_file(disk, &dir.join(TOMBSTONES_FILE_NAME), &self.encode())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_series.is_empty()
    }

    /// How many intervals there are in all.
    pub(crate) fn count(&self) -> u64 {
        self.by_series.values().map(|ranges| ranges.len() as u64).sum()
    }

    /// Deleted times of a series, ascending, apart from each other.
    pub(crate) fn of(&self, series: u64) -> &[TimeRange] {
        self.by_series.get(&series).map_or(&[], |ranges| ranges)
    }

    /// Deletes a time range of a series.
    pub(crate) fn add(&mut self, series: u64, range: TimeRange) {
        add_range(self.by_series.entry(series).or_default(), range);
    }

    pub(crate) fn encoded_size_bytes(&self) -> u64 {
        self.encode().len() as u64
    }

    pub(super) fn decode(file: &[u8]) -> Result<Self, Flaw> {
        let mut decoder = Decoder::new(file, 0)?;
        if decoder.be32()? != MAGIC {
            return Err(Flaw { offset: 0, reason: "no tombstones file" });
        }
        if decoder.byte()? != VERSION {
            return Err(Flaw { offset: 4, reason: "unknown version of tombstones" });
        }
        let size = file.len().checked_sub(HEADER_SIZE_BYTES + CRC_SIZE_BYTES);
        let entries_size = size.ok_or(decoder.flaw("bytes are missing"))?;
        let entries = decoder.take(entries_size)?;
        if decoder.be32()? != crc32c::crc32c(entries) {
            return Err(Flaw { offset: HEADER_SIZE_BYTES, reason: "checksum does not match" });
        }
        let mut entries =
            Decoder::new(&file[..HEADER_SIZE_BYTES + entries_size], HEADER_SIZE_BYTES)?;
        let mut tombstones = Self::default();
        while !entries.is_at_end() {
            let series = entries.uvarint()?;
            let (mint_ms, maxt_ms) = (entries.varint()?, entries.varint()?);
            if mint_ms <= maxt_ms {
                tombstones.add(series, TimeRange { mint_ms, maxt_ms });
            }
        }
        Ok(tombstones)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_be_bytes().to_vec();
        out.push(VERSION);
        for (series, ranges) in &self.by_series {
            for range in ranges {
                put_uvarint(&mut out, *series);
                put_varint(&mut out, range.mint_ms);
                put_varint(&mut out, range.maxt_ms);
            }
        }
        let crc = crc32c::crc32c(&out[HEADER_SIZE_BYTES..]);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }
}

/// Adds a range to ranges that ascend and do not touch; joins those that it touches.
pub(crate) fn add_range(ranges: &mut Vec<TimeRange>, range: TimeRange) {
    let before = ranges.partition_point(|r| r.maxt_ms.saturating_add(1) < range.mint_ms);
    let touched = ranges.get(before..).unwrap_or_default();
    let count = touched.partition_point(|r| r.mint_ms <= range.maxt_ms.saturating_add(1));
    let joined = touched[..count].iter().fold(range, |a, b| TimeRange {
        mint_ms: a.mint_ms.min(b.mint_ms),
        maxt_ms: a.maxt_ms.max(b.maxt_ms),
    });
    ranges.splice(before..before + count, [joined]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const fn range(mint_ms: i64, maxt_ms: i64) -> TimeRange {
        TimeRange { mint_ms, maxt_ms }
    }

    #[test]
    fn no_tombstones_are_nine_bytes() {
        let bytes = Tombstones::default().encode();
        assert_eq!(bytes, [1, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0]);
        assert_eq!(Tombstones::decode(&bytes), Ok(Tombstones::default()));
    }

    #[test]
    fn every_damage_is_noticed() {
        let mut tombstones = Tombstones::default();
        tombstones.add(5, range(-100, 1 << 40));
        tombstones.add(7, range(i64::MIN, i64::MAX));
        tombstones.add(5, range(-300, -200));
        let bytes = tombstones.encode();
        assert_eq!(Tombstones::decode(&bytes), Ok(tombstones.clone()));
        assert_eq!((tombstones.count(), tombstones.of(5).len()), (3, 2));
        for size in 0..bytes.len() {
            assert!(Tombstones::decode(&bytes[..size]).is_err(), "{size}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Tombstones::decode(&damaged).is_err(), "{bit}");
        }
    }

    proptest! {
        #[test]
        fn ranges_are_those_of_sets(adds in prop::collection::vec((0i64..60, 0i64..8), 0..20)) {
            let mut ranges = Vec::new();
            let mut times = BTreeSet::new();
            for (begin, size) in adds {
                add_range(&mut ranges, range(begin, begin + size));
                times.extend(begin..=begin + size);
            }
            let found: Vec<i64> = ranges.iter().flat_map(|r| r.mint_ms..=r.maxt_ms).collect();
            prop_assert_eq!(found, times.into_iter().collect::<Vec<_>>());
            prop_assert!(ranges.windows(2).all(|w| w[0].maxt_ms + 1 < w[1].mint_ms));
        }
    }
}
