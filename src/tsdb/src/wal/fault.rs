//! Why the log cannot be written, for those who tell the operator.

use std::sync::{Arc, Mutex};

use prom_storage::StorageError;

use crate::lock::lock;

/// Why the latest write of the log failed; nothing while writes succeed. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteFault(Arc<Mutex<Option<String>>>);

impl WriteFault {
    /// The reason, while it holds.
    pub(crate) fn reason(&self) -> Option<String> {
        lock(&self.0).clone()
    }

    pub(super) fn note(&self, err: Option<&StorageError>) {
        let mut fault = lock(&self.0);
        if err.is_some() || fault.is_some() {
            *fault = err.map(ToString::to_string);
        }
    }
}
