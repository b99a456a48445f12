//! What targets said last of the metrics of series. A family says the same of all its series: it is kept once.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use prom_model::Metadata;

/// Metadata by the refs of series.
#[derive(Debug, Default)]
pub(super) struct SeriesMetadata {
    by_ref: HashMap<u64, Arc<Metadata>, RandomState>,
    /// All that is said of any series.
    shared: HashSet<Arc<Metadata>, RandomState>,
}

impl SeriesMetadata {
    /// Whether just this was said last of a series.
    pub(super) fn has(&self, series_ref: u64, metadata: &Metadata) -> bool {
        self.by_ref.get(&series_ref).is_some_and(|known| **known == *metadata)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Arc<Metadata>)> {
        self.by_ref.iter().map(|(series_ref, metadata)| (*series_ref, metadata))
    }

    /// The same, as it is said of other series already.
    pub(super) fn share(&self, metadata: &Metadata) -> Arc<Metadata> {
        let known = self.shared.get(metadata);
        known.map_or_else(|| Arc::new(metadata.clone()), Arc::clone)
    }

    pub(super) fn set(&mut self, series_ref: u64, metadata: Arc<Metadata>) {
        let metadata = Arc::clone(self.shared.get_or_insert(metadata));
        if let Some(before) = self.by_ref.insert(series_ref, metadata) {
            self.forget(before);
        }
    }

    pub(super) fn remove(&mut self, series_ref: u64) {
        if let Some(before) = self.by_ref.remove(&series_ref) {
            self.forget(before);
        }
    }

    /// No series has it any more through which it came here.
    fn forget(&mut self, before: Arc<Metadata>) {
        // One is ours, one is the set's.
        if Arc::strong_count(&before) == 2 {
            self.shared.remove(&before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(help: &str) -> Metadata {
        Metadata { help: help.to_owned(), ..Metadata::default() }
    }

    #[test]
    fn a_family_says_it_once_for_all_its_series() {
        let mut all = SeriesMetadata::default();
        for series_ref in 0..10_000 {
            let metadata =
                if series_ref % 2 == 0 { all.share(&said("a")) } else { said("a").into() };
            all.set(series_ref, metadata);
        }
        let first = all.share(&said("a"));
        assert!(all.iter().all(|(_, metadata)| Arc::ptr_eq(metadata, &first)));
        assert_eq!((all.by_ref.len(), all.shared.len()), (10_000, 1));
        drop(first);
        // Another one for some, and what nobody says is gone.
        (0..5_000).for_each(|series_ref| all.set(series_ref, said("b").into()));
        assert!(all.has(4_999, &said("b")) && all.has(5_000, &said("a")));
        assert!(!all.has(4_999, &said("a")) && !all.has(10_000, &said("a")));
        assert_eq!(all.shared.len(), 2);
        (5_000..10_000).for_each(|series_ref| all.remove(series_ref));
        assert_eq!((all.by_ref.len(), all.shared.len()), (5_000, 1));
        (0..10_000).for_each(|series_ref| all.remove(series_ref));
        assert!(all.by_ref.is_empty() && all.shared.is_empty());
    }
}
