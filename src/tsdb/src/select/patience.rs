//! How long a search goes on: whoever asked is asked now and then whether he still waits.
//! What is searched is not known here.

use std::cell::Cell;

use prom_storage::StorageError;

/// Values or series that are looked at between two questions.
const TICKS_PER_QUESTION: u32 = 256;

/// Counts the steps of one search.
pub(crate) struct Patience<'a> {
    goes_on: &'a dyn Fn() -> bool,
    ticks_left: Cell<u32>,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(goes_on: &'a dyn Fn() -> bool) -> Self {
        Self { goes_on, ticks_left: Cell::new(0) }
    }

    /// Counts a step.
    ///
    /// # Errors
    /// Nobody waits any more.
    pub(super) fn tick(&self) -> Result<(), StorageError> {
        match self.ticks_left.get() {
            0 if !(self.goes_on)() => return Err(StorageError::Canceled),
            0 => self.ticks_left.set(TICKS_PER_QUESTION - 1),
            left => self.ticks_left.set(left - 1),
        }
        Ok(())
    }
}

impl Patience<'static> {
    /// For searches that end by themselves.
    pub(crate) fn endless() -> Self {
        Self::new(&|| true)
    }
}
