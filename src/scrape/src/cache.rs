//! What a loop remembers of its target's last body: one entry a line, in the order of the body.
//! No text is kept; reading a body against the entries is `pass`'s work.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use prom_storage::{SeriesHandle, SeriesRef};

use crate::synthesis::Synthesis;

/// An entry can stand for a line, or a block of comments, of up to 32 MiB.
const SIZE_BITS: u32 = 25;
const KIND_SHIFT: u32 = SIZE_BITS;
const FLAG_SHIFT: u32 = KIND_SHIFT + 2;

/// What a line was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A sample of a series that is stored.
    Series,
    /// A line of a series that stood further up in the same body.
    Repeat,
    /// A sample that relabelling dropped.
    Dropped,
    /// Lines of comments, `HELP` and `TYPE`, up to the next sample.
    Comments,
}

/// A property of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// The line had a timestamp of its own, and its series ends by that.
    Explicit,
    /// The store refused the last sample, so the series' end is not ours to mark.
    Refused,
    /// Among the comments is a `TYPE`.
    HasType,
    /// The series has come with the body that is being read.
    New,
    /// Among the comments is one that names a family.
    NamesFamily,
}

/// One line: 24 bytes a series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Of the line up to the value; of all bytes for comments.
    hash: u64,
    series_ref: SeriesRef,
    slot: u32,
    /// How many bytes were hashed (25 bits), the kind (2), the flags (5).
    packed: u32,
}

/// The entries of one target, and what belongs to them as a whole.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    pub(crate) key: LineKey,
    /// I3: in the order of the last body that was stored.
    pub(crate) entries: Vec<Entry>,
    /// Series of entries that were given up when the rules changed; their end is still to be marked.
    pub(crate) orphans: Vec<SeriesHandle>,
    /// Some entries are flagged as refused.
    pub(crate) has_refused: bool,
    /// The last scrape was stored: series that it had end when they vanish. After a failed scrape their
    /// end is marked already.
    pub(crate) is_live: bool,
    /// When the scrape was taken that was stored last; all entries were part of it.
    pub(crate) stored_ms: Option<i64>,
    /// Since when series count, where that is made up. A series may stand here before it has an entry.
    pub(crate) synthesis: Option<Box<Synthesis>>,
}

/// Hashes lines with a key of this process, so that no target can prepare a collision.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineKey(RandomState);

impl LineKey {
    #[inline]
    pub(crate) fn hash(&self, text: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(text);
        hasher.finish()
    }

    /// Hashes pieces of text behind `seed`, another hash or a number.
    #[inline]
    pub(crate) fn hash_runs<'a>(&self, seed: u64, runs: impl Iterator<Item = &'a [u8]>) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u64(seed);
        runs.for_each(|run| hasher.write(run));
        hasher.finish()
    }

    /// Hashes what parts one series from the others that share the hash `base`.
    #[inline]
    pub(crate) fn hash_part(&self, base: u64, part: (u64, u64)) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u64(base);
        hasher.write_u64(part.0);
        hasher.write_u64(part.1);
        hasher.finish()
    }
}

impl Entry {
    /// `None` if the text is longer than an entry can tell.
    pub(crate) fn new(
        key: &LineKey,
        text: &[u8],
        kind: Kind,
        series: SeriesHandle,
    ) -> Option<Self> {
        Self::of_key(key.hash(text), text.len(), kind, series)
    }

    /// The same for what was hashed already. `None` if there was more of it than an entry can tell.
    pub(crate) fn of_key(
        hash: u64,
        size_bytes: usize,
        kind: Kind,
        series: SeriesHandle,
    ) -> Option<Self> {
        let size_bytes = u32::try_from(size_bytes).ok().filter(|size| *size >> SIZE_BITS == 0)?;
        let packed = size_bytes | (kind as u32) << KIND_SHIFT;
        let SeriesHandle { series_ref, slot } = series;
        Some(Self { hash, series_ref, slot, packed })
    }

    /// An entry without a series.
    pub(crate) fn without_series(key: &LineKey, text: &[u8], kind: Kind) -> Option<Self> {
        Self::new(key, text, kind, SeriesHandle { series_ref: SeriesRef(0), slot: 0 })
    }

    #[inline]
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    pub(crate) fn size_bytes(&self) -> usize {
        (self.packed & ((1 << SIZE_BITS) - 1)) as usize
    }

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        match self.packed >> KIND_SHIFT & 3 {
            0 => Kind::Series,
            1 => Kind::Repeat,
            2 => Kind::Dropped,
            _ => Kind::Comments,
        }
    }

    #[inline]
    pub(crate) fn series(&self) -> SeriesHandle {
        SeriesHandle { series_ref: self.series_ref, slot: self.slot }
    }

    #[inline]
    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.packed & flag.bit() != 0
    }

    pub(crate) fn set(&mut self, flag: Flag, is_set: bool) {
        self.packed = if is_set { self.packed | flag.bit() } else { self.packed & !flag.bit() };
    }

    pub(crate) fn with(mut self, flag: Flag, is_set: bool) -> Self {
        self.set(flag, is_set);
        self
    }

    pub(crate) fn with_kind(mut self, kind: Kind) -> Self {
        self.packed = self.packed & !(3 << KIND_SHIFT) | (kind as u32) << KIND_SHIFT;
        self
    }

    /// Whether this is the entry of a line that hashes so.
    #[inline]
    pub(crate) fn is(&self, hash: u64, size_bytes: usize) -> bool {
        self.hash == hash && self.size_bytes() == size_bytes
    }

    /// Whether the series ends with a marker when its line vanishes. Samples that bring their own time
    /// end by their own time, unless the configuration says otherwise.
    pub(crate) fn is_tracked(&self, tracks_explicit: bool) -> bool {
        self.kind() == Kind::Series
            && !self.has(Flag::Refused)
            && (tracks_explicit || !self.has(Flag::Explicit))
    }
}

impl Flag {
    fn bit(self) -> u32 {
        1 << (FLAG_SHIFT + self as u32)
    }
}

impl Cache {
    /// Series whose end is to be marked if nothing more comes.
    pub(crate) fn live_series(&self, tracks_explicit: bool) -> Vec<SeriesHandle> {
        if !self.is_live {
            return Vec::new();
        }
        let tracked = self.entries.iter().filter(|entry| entry.is_tracked(tracks_explicit));
        tracked.map(Entry::series).chain(self.orphans.iter().copied()).collect()
    }

    /// Whether the series of an entry has a sample at `start_ms` or later, so that no zero goes there any more.
    pub(crate) fn has_begun_by(&self, entry: &Entry, start_ms: i64) -> bool {
        let is_of_scrape =
            entry.kind() == Kind::Series && !entry.has(Flag::Refused) && !entry.has(Flag::Explicit);
        is_of_scrape && self.stored_ms.is_some_and(|stored_ms| start_ms <= stored_ms)
    }

    /// Forgets all lines because they would be understood otherwise now. Series that are not met again
    /// in the next body get their markers then.
    pub(crate) fn retire(&mut self, tracks_explicit: bool) {
        self.orphans = self.live_series(tracks_explicit);
        self.entries = Vec::new();
        self.synthesis = None;
    }

    /// Forgets lines of series that the store does not know any more.
    pub(crate) fn forget(&mut self, unknown: &[SeriesRef]) {
        self.entries.retain(|entry| {
            matches!(entry.kind(), Kind::Dropped | Kind::Comments)
                || !unknown.contains(&entry.series_ref)
        });
    }
}
