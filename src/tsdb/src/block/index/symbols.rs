//! The symbol table: all names and values, each once. Series tell them by number, or in version 1 by where
//! they stand.

use std::cmp::Ordering;

use super::{Decoder, Flaw, SAMPLE_STRIDE, Version, place, text};

/// What is kept in memory of the table.
#[derive(Debug)]
pub(super) struct Symbols {
    version: Version,
    /// Where the first symbol stands, and where the last one ends.
    begin: usize,
    end: usize,
    count: u32,
    /// Offset from `begin` of every [`SAMPLE_STRIDE`]th symbol.
    samples: Vec<u32>,
}

impl Symbols {
    /// Checks the table and takes its samples.
    pub(super) fn open(file: &[u8], version: Version, offset: u64) -> Result<Self, Flaw> {
        let mut table = Decoder::section(file, place(offset)?)?;
        let count = table.be32()?;
        let begin = table.position();
        let mut samples = Vec::new();
        let mut last: Option<&[u8]> = None;
        for number in 0..count {
            if (number as usize).is_multiple_of(SAMPLE_STRIDE) {
                samples.push((table.position() - begin) as u32);
            }
            let symbol = table.text()?;
            // Version 1 was written from a map.
            if version == Version::V2 && last.is_some_and(|last| last >= symbol) {
                return Err(table.flaw("symbols do not ascend"));
            }
            last = Some(symbol);
        }
        Ok(Self { version, begin, end: table.position(), count, samples })
    }

    /// Memory that the samples take.
    pub(super) fn memory_size_bytes(&self) -> usize {
        self.samples.len() * size_of::<u32>()
    }

    /// The symbol that a series means.
    pub(super) fn get<'a>(&self, file: &'a [u8], symbol: u32) -> Result<&'a str, Flaw> {
        let flaw = |offset| Flaw { offset, reason: "there is no such symbol" };
        let table = file.get(..self.end).unwrap_or_default();
        if self.version == Version::V1 {
            let offset = symbol as usize;
            if offset < self.begin || offset >= self.end {
                return Err(flaw(offset));
            }
            return text(Decoder::new(table, offset)?.text()?, offset);
        }
        if symbol >= self.count {
            return Err(flaw(self.end));
        }
        let sample = self.samples.get(symbol as usize / SAMPLE_STRIDE);
        let offset = self.begin + *sample.ok_or(flaw(self.end))? as usize;
        let mut decoder = Decoder::new(table, offset)?;
        for _ in 0..symbol as usize % SAMPLE_STRIDE {
            decoder.text()?;
        }
        let offset = decoder.position();
        text(decoder.text()?, offset)
    }

    /// The number of a text, if it is in a table of version 2.
    pub(super) fn find(&self, file: &[u8], wanted: &str) -> Result<Option<u32>, Flaw> {
        debug_assert_eq!(self.version, Version::V2);
        let table = file.get(..self.end).unwrap_or_default();
        let at = |sample: &u32| Decoder::new(table, self.begin + *sample as usize);
        let mut flaw = None;
        let after = self.samples.partition_point(|sample| {
            match at(sample).and_then(|mut decoder| decoder.text()) {
                Ok(symbol) => symbol <= wanted.as_bytes(),
                Err(err) => {
                    flaw = Some(err);
                    false
                }
            }
        });
        if let Some(flaw) = flaw {
            return Err(flaw);
        }
        let Some(sample) = after.checked_sub(1) else { return Ok(None) };
        let mut decoder = at(&self.samples[sample])?;
        let first = (sample * SAMPLE_STRIDE) as u32;
        for number in first..self.count.min(first + SAMPLE_STRIDE as u32) {
            match decoder.text()?.cmp(wanted.as_bytes()) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(Some(number)),
                Ordering::Greater => break,
            }
        }
        Ok(None)
    }

    /// All symbols in the order of the table, each with what series call it.
    pub(super) fn iter<'a>(
        &self,
        file: &'a [u8],
    ) -> impl Iterator<Item = Result<(u32, &'a str), Flaw>> {
        let is_v1 = self.version == Version::V1;
        let mut decoder = Decoder::new(file.get(..self.end).unwrap_or_default(), self.begin);
        (0..self.count).map(move |number| {
            let decoder = decoder.as_mut().map_err(|flaw| *flaw)?;
            let offset = decoder.position();
            let symbol = if is_v1 { offset as u32 } else { number };
            Ok((symbol, text(decoder.text()?, offset)?))
        })
    }
}
