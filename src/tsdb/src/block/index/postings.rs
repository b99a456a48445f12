//! Postings: for each label pair the series that have it, and the table that tells where their lists are.

use std::ops::ControlFlow;

use super::{Decoder, Flaw, SAMPLE_STRIDE, Version, place, text};

/// Numbers of series, ascending, as they stand in the file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Postings<'a> {
    entries: &'a [[u8; 4]],
}

/// What is kept in memory of the table of postings.
#[derive(Debug)]
pub(super) struct PostingsTable {
    /// Sorted by name; the empty one, with an empty value, has all series.
    names: Vec<Name>,
    /// Where entries stand in the file, from `begin`; those of one name ascend by value.
    samples: Vec<u32>,
    /// Entries from one sample to the next one of the name.
    stride: usize,
    begin: usize,
    end: usize,
}

#[derive(Debug)]
struct Name {
    text: Box<str>,
    samples_begin: u32,
    values_count: u32,
}

/// One entry of the table.
struct Entry<'a> {
    name: &'a [u8],
    value: &'a [u8],
    /// Where the list stands.
    offset: u64,
}

impl<'a> Postings<'a> {
    /// Reads the list at `offset`.
    pub(super) fn open(file: &'a [u8], offset: u64) -> Result<Self, Flaw> {
        let mut list = Decoder::section(file, place(offset)?)?;
        let count = list.be32()? as usize;
        let flaw = list.flaw("the list is shorter than it says");
        let size = count.checked_mul(4).ok_or(flaw)?;
        let (entries, _) = list.take(size)?.as_chunks();
        Ok(Self { entries })
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.entries.iter().map(|entry| u32::from_be_bytes(*entry))
    }

    /// Keeps of `series`, which ascend, those that are here, too.
    pub(crate) fn intersect(&self, series: &mut Vec<u32>) {
        let mut rest = self.entries;
        series.retain(|wanted| {
            // Gallop to the first that is not before. Big-endian bytes order as their numbers do.
            let wanted = wanted.to_be_bytes();
            let mut step = 1;
            while rest.get(step).is_some_and(|entry| *entry < wanted) {
                step *= 2;
            }
            let window = rest.get(step / 2..).unwrap_or_default();
            let window = &window[..window.len().min(step / 2 + 2)];
            let skip = step / 2 + window.partition_point(|entry| *entry < wanted);
            rest = rest.get(skip..).unwrap_or_default();
            rest.first() == Some(&wanted)
        });
    }
}

impl PostingsTable {
    /// Checks the table and takes its samples.
    pub(super) fn open(file: &[u8], version: Version, offset: u64) -> Result<Self, Flaw> {
        let mut table = Decoder::section(file, place(offset)?)?;
        let count = table.be32()?;
        let begin = table.position();
        let mut built = Self {
            names: Vec::new(),
            samples: Vec::new(),
            stride: if version == Version::V1 { 1 } else { SAMPLE_STRIDE },
            begin,
            end: 0,
        };
        match version {
            Version::V1 => built.take_unsorted(&mut table, count)?,
            Version::V2 => built.take_sorted(&mut table, count)?,
        }
        built.end = table.position();
        Ok(built)
    }

    fn take_sorted(&mut self, table: &mut Decoder<'_>, count: u32) -> Result<(), Flaw> {
        let mut last: Option<(&[u8], &[u8])> = None;
        for _ in 0..count {
            let offset = table.position();
            let entry = Entry::read(table)?;
            if last.is_some_and(|last| last >= (entry.name, entry.value)) {
                return Err(Flaw { offset, reason: "the table of postings does not ascend" });
            }
            last = Some((entry.name, entry.value));
            self.push(&entry, offset)?;
        }
        Ok(())
    }

    /// Version 1 does not promise an order.
    fn take_unsorted(&mut self, table: &mut Decoder<'_>, count: u32) -> Result<(), Flaw> {
        let mut entries = Vec::new();
        for _ in 0..count {
            let offset = table.position();
            entries.push((Entry::read(table)?, offset));
        }
        entries.sort_by_key(|(entry, _)| (entry.name, entry.value));
        for (entry, offset) in &entries {
            self.push(entry, *offset)?;
        }
        Ok(())
    }

    fn push(&mut self, entry: &Entry<'_>, offset: usize) -> Result<(), Flaw> {
        if self.names.last().is_none_or(|name| name.text.as_bytes() != entry.name) {
            let samples_begin = self.samples.len() as u32;
            let text = text(entry.name, offset)?.into();
            self.names.push(Name { text, samples_begin, values_count: 0 });
        }
        let Some(name) = self.names.last_mut() else { return Ok(()) };
        if (name.values_count as usize).is_multiple_of(self.stride) {
            self.samples.push((offset - self.begin) as u32);
        }
        name.values_count += 1;
        Ok(())
    }

    /// Memory that names and samples take.
    pub(super) fn memory_size_bytes(&self) -> usize {
        let names: usize = self.names.iter().map(|name| name.text.len() + size_of::<Name>()).sum();
        names + self.samples.len() * size_of::<u32>()
    }

    /// Label names, ascending.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &*name.text).filter(|name| !name.is_empty())
    }

    /// How many values a name has.
    pub(super) fn values_count(&self, name: &str) -> usize {
        self.name(name).map_or(0, |name| name.values_count as usize)
    }

    /// Calls `each` with the values of a name from `from` on, ascending, and where their lists stand.
    pub(super) fn for_each_value<'a>(
        &self,
        file: &'a [u8],
        name: &str,
        from: &str,
        mut each: impl FnMut(&'a str, u64) -> ControlFlow<()>,
    ) -> Result<(), Flaw> {
        let Some(name) = self.name(name) else { return Ok(()) };
        let samples = self.samples_of(name);
        let mut flaw = None;
        let after = samples.partition_point(|sample| match self.entry(file, *sample) {
            Ok((entry, _)) => entry.value <= from.as_bytes(),
            Err(err) => {
                flaw = Some(err);
                false
            }
        });
        if let Some(flaw) = flaw {
            return Err(flaw);
        }
        let first = after.saturating_sub(1);
        let mut left = (name.values_count as usize).saturating_sub(first * self.stride);
        for sample in &samples[first..] {
            let mut decoder = self.decoder(file, *sample)?;
            for _ in 0..left.min(self.stride) {
                let offset = decoder.position();
                let entry = Entry::read(&mut decoder)?;
                if entry.value >= from.as_bytes()
                    && each(text(entry.value, offset)?, entry.offset).is_break()
                {
                    return Ok(());
                }
            }
            left = left.saturating_sub(self.stride);
        }
        Ok(())
    }

    /// Where the list of a pair stands.
    pub(super) fn find(&self, file: &[u8], name: &str, value: &str) -> Result<Option<u64>, Flaw> {
        let mut found = None;
        self.for_each_value(file, name, value, |candidate, offset| {
            found = (candidate == value).then_some(offset);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn name(&self, name: &str) -> Option<&Name> {
        let at = self.names.binary_search_by(|known| (*known.text).cmp(name)).ok()?;
        self.names.get(at)
    }

    fn samples_of(&self, name: &Name) -> &[u32] {
        let begin = name.samples_begin as usize;
        let count = (name.values_count as usize).div_ceil(self.stride);
        self.samples.get(begin..begin + count).unwrap_or_default()
    }

    fn decoder<'a>(&self, file: &'a [u8], sample: u32) -> Result<Decoder<'a>, Flaw> {
        Decoder::new(file.get(..self.end).unwrap_or_default(), self.begin + sample as usize)
    }

    fn entry<'a>(&self, file: &'a [u8], sample: u32) -> Result<(Entry<'a>, usize), Flaw> {
        let mut decoder = self.decoder(file, sample)?;
        let entry = Entry::read(&mut decoder)?;
        Ok((entry, decoder.position()))
    }
}

impl<'a> Entry<'a> {
    fn read(table: &mut Decoder<'a>) -> Result<Self, Flaw> {
        if table.uvarint()? != 2 {
            return Err(table.flaw("an entry of postings without name and value"));
        }
        Ok(Self { name: table.text()?, value: table.text()?, offset: table.uvarint()? })
    }
}
