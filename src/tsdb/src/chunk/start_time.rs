//! Start times that newer chunk encodings put behind each sample. They are passed over: nothing here asks
//! for them yet. Compat: Prometheus `tsdb/chunkenc/st.go`, 3.14.

use super::xor_reader::{BitReader, ChunkError};

const FIRST_KNOWN: u8 = 0x80;

/// Which samples have a start time behind them.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartTimes {
    is_first_known: bool,
    /// From this sample on each has one; 0 if none but the first has.
    changes_from: u16,
}

impl StartTimes {
    pub(super) fn new(header: u8) -> Self {
        Self {
            is_first_known: header & FIRST_KNOWN != 0,
            changes_from: u16::from(header & !FIRST_KNOWN),
        }
    }

    /// Reads over what stands behind the sample at `index`.
    pub(super) fn skip(self, bits: &mut BitReader<'_>, index: u16) -> Result<(), ChunkError> {
        if index == 0 {
            if self.is_first_known {
                bits.varint()?;
            }
        } else if self.changes_from > 0 && index >= self.changes_from {
            bits.varbit_int()?;
        }
        Ok(())
    }
}
