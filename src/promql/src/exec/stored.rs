//! Rows that were computed and are read more than once.
//! A row is kept from its first value to its last: series that live for a part of the range cost only that.

use super::{
    Rows, Scratch,
    memory::{Held, Memory},
    row::{Bitmap, Row, SharedHistogram},
};
use crate::QueryError;
use std::sync::Arc;

/// Rows of one grid in a fixed order.
#[derive(Debug)]
pub(crate) struct Stored {
    arenas: Vec<Arena>,
    places: Vec<Place>,
    count: usize,
}

/// Rows that one worker wrote one after the other.
#[derive(Debug)]
pub(crate) struct Arena {
    values: Vec<f64>,
    words: Vec<u64>,
    places: Vec<Place>,
    /// Histograms of the rows that have any: step and histogram, in order of the steps.
    lanes: Vec<Box<[(u32, SharedHistogram)]>>,
    held: Held,
}

/// Where a row stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    arena: u32,
    /// First step of the row that is kept.
    first: u32,
    /// How many steps are kept.
    len: u32,
    /// Index of its first value.
    value: usize,
    /// Index of its first bitmap word; none where every kept step has a value.
    word: Option<usize>,
    lane: Option<u32>,
}

impl Arena {
    pub(crate) fn new(memory: &Arc<Memory>) -> Result<Self, QueryError> {
        let held = memory.hold(0)?;
        let (values, words, places, lanes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self { values, words, places, lanes, held })
    }

    /// Appends a row.
    pub(crate) fn push(&mut self, row: &Row) -> Result<(), QueryError> {
        let (start, end) = row.present().bounds().unwrap_or((0, 0));
        let len = end - start;
        let has_gaps = row.present().ones() < len;
        let place = Place {
            arena: 0,
            first: start as u32,
            len: len as u32,
            value: self.values.len(),
            word: has_gaps.then_some(self.words.len()),
            lane: self.push_lane(row)?,
        };
        let words = if has_gaps { row.present().words() } else { &[] };
        let bytes = len * 8 + words.len() * 8 + size_of::<Place>();
        self.held.grow(bytes as u64)?;
        self.values.extend_from_slice(&row.values()[start..end]);
        self.words.extend_from_slice(words);
        self.places.push(place);
        Ok(())
    }

    fn push_lane(&mut self, row: &Row) -> Result<Option<u32>, QueryError> {
        if !row.has_histograms() {
            return Ok(None);
        }
        self.held.grow(row.histograms_size_bytes() as u64)?;
        let mut lane = Vec::new();
        row.for_each_histogram(|step, histogram| lane.push((step as u32, Arc::clone(histogram))));
        self.lanes.push(lane.into());
        Ok(Some(self.lanes.len() as u32 - 1))
    }
}

impl Stored {
    /// Rows of all arenas, one arena after the other.
    pub(crate) fn from_arenas(arenas: Vec<Arena>, count: usize) -> Self {
        let places = arenas.iter().enumerate().flat_map(|(arena, rows)| {
            rows.places.iter().map(move |place| Place { arena: arena as u32, ..*place })
        });
        let places = places.collect();
        Self { arenas, places, count }
    }

    /// Rows of arenas, each with the indices that its rows have; rows that none has are absent.
    pub(crate) fn from_parts(
        parts: Vec<(Vec<u32>, Arena)>,
        row_count: usize,
        count: usize,
    ) -> Self {
        let absent = Place { arena: 0, first: 0, len: 0, value: 0, word: None, lane: None };
        let mut places = vec![absent; row_count];
        let mut arenas = Vec::with_capacity(parts.len());
        for (number, (indices, arena)) in parts.into_iter().enumerate() {
            for (index, place) in indices.iter().zip(&arena.places) {
                places[*index as usize] = Place { arena: number as u32, ..*place };
            }
            arenas.push(arena);
        }
        Self { arenas, places, count }
    }

    /// Copies a row.
    pub(crate) fn load(&self, index: usize, row: &mut Row) {
        row.reset(self.count);
        let place = &self.places[index];
        let arena = &self.arenas[place.arena as usize];
        let (first, len) = (place.first as usize, place.len as usize);
        let values = &arena.values[place.value..place.value + len];
        match place.word {
            None if len == self.count => row.copy_full(values),
            None => row.copy_part(first, values),
            Some(word) => {
                let words = &arena.words[word..word + self.count.div_ceil(64)];
                row.copy_sparse(first, values, words);
            }
        }
        for (step, histogram) in self.lane(place) {
            row.set_histogram(*step as usize, Arc::clone(histogram));
        }
    }

    /// The float of a row at a step.
    pub(crate) fn get(&self, index: usize, step: usize) -> Option<f64> {
        let place = &self.places[index];
        let at = step.checked_sub(place.first as usize)?;
        if at >= place.len as usize {
            return None;
        }
        let arena = &self.arenas[place.arena as usize];
        if let Some(word) = place.word
            && arena.words[word + step / 64] >> (step % 64) & 1 == 0
        {
            return None;
        }
        Some(arena.values[place.value + at])
    }

    /// The histogram of a row at a step.
    pub(crate) fn histogram(&self, index: usize, step: usize) -> Option<&SharedHistogram> {
        let lane = self.lane(&self.places[index]);
        let at = lane.binary_search_by_key(&(step as u32), |(step, _)| *step).ok()?;
        Some(&lane[at].1)
    }

    /// Whether any row has histograms.
    pub(crate) fn has_histograms(&self) -> bool {
        self.arenas.iter().any(|arena| arena.lanes.iter().any(|lane| !lane.is_empty()))
    }

    /// Whether a row has a sample at a step.
    pub(crate) fn has(&self, index: usize, step: usize) -> bool {
        self.get(index, step).is_some() || self.histogram(index, step).is_some()
    }

    fn lane(&self, place: &Place) -> &[(u32, SharedHistogram)] {
        match place.lane {
            Some(lane) => &self.arenas[place.arena as usize].lanes[lane as usize],
            None => &[],
        }
    }

    /// Adds the steps at which a row has a sample to `steps`.
    pub(crate) fn mark(&self, index: usize, steps: &mut Bitmap) {
        let place = &self.places[index];
        self.lane(place).iter().for_each(|(step, _)| steps.set(*step as usize));
        match place.word {
            Some(word) => {
                let arena = &self.arenas[place.arena as usize];
                steps.unite_words(&arena.words[word..word + self.count.div_ceil(64)]);
            }
            None => {
                let first = place.first as usize;
                (first..first + place.len as usize).for_each(|step| steps.set(step));
            }
        }
    }
}

impl Rows for Stored {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        self.load(index, row);
        scratch.tick(self.count / 8)
    }
}
