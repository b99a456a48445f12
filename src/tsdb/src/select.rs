//! Reading: matchers to series, series to columns, as of the moment the querier was made. It plans over
//! the postings of the head and of blocks, and merges what they hold; where samples are kept is their matter.

mod block;
pub(crate) mod columns;
mod db;
mod export;
mod grouping;
mod merged;
mod patience;
mod plan;
mod selection;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use prom_model::Matcher;
use prom_storage::{
    LabelHints, Querier, SelectHints, Selection, SeriesHandle, StorageError, TimeRange,
};

use crate::head::{Head, PairId, ReaderTicket, SeriesIndex};

pub(crate) use self::{
    block::for_each_matching, db::DbQuerier, export::HeadExport, patience::Patience,
};
use self::{plan::with_matching_series, selection::HeadSelection};

/// A snapshot of the head. A reader that looks at blocks, too, makes this one first.
#[derive(Debug)]
pub(crate) struct HeadQuerier {
    head: Arc<Head>,
    ticket: Arc<ReaderTicket>,
    range: TimeRange,
}

impl HeadQuerier {
    pub(crate) fn new(head: &Arc<Head>, range: TimeRange) -> Self {
        let ticket = head.enter();
        Self { head: Arc::clone(head), ticket: Arc::new(ticket), range }
    }

    /// Whether the head has anything in the querier's range.
    fn is_empty(&self) -> bool {
        let (min_t, max_t) = self.head.time_bounds();
        // Older samples stand in blocks, unless they came out of order.
        let mint_ms = self.range.mint_ms.max(self.ticket.floor_ms);
        (min_t > self.range.maxt_ms || max_t < mint_ms || mint_ms > self.range.maxt_ms)
            && !self.head.has_out_of_order_in(self.range)
    }

    /// The series that match and have a chunk in the range, in no order.
    ///
    /// # Errors
    /// [`StorageError::Canceled`] where the patience ends.
    fn selection(
        &self,
        matchers: &[Matcher],
        asked: TimeRange,
        patience: &Patience<'_>,
    ) -> Result<HeadSelection, StorageError> {
        let range = TimeRange {
            mint_ms: self.range.mint_ms.max(asked.mint_ms),
            maxt_ms: self.range.maxt_ms.min(asked.maxt_ms),
        };
        let new = |index: &SeriesIndex, series: &[u32]| {
            let ticket = Arc::clone(&self.ticket);
            HeadSelection::new(&self.head, index, ticket, self.range, series, range)
        };
        match self.is_empty() || range.mint_ms > range.maxt_ms {
            true => Ok(new(&self.head.index(), &[])),
            false => with_matching_series(&self.head, matchers, patience, new),
        }
    }

    /// The series that match and have a chunk in the range, as the head knows them.
    ///
    /// # Errors
    /// The head cannot be searched.
    pub(crate) fn handles(
        &self,
        matchers: &[Matcher],
        asked: TimeRange,
    ) -> Result<Vec<SeriesHandle>, StorageError> {
        Ok(self.selection(matchers, asked, &Patience::endless())?.handles().collect())
    }

    /// Texts of the label pairs that matching series have, sorted, without repetition.
    fn texts(
        &self,
        matchers: &[Matcher],
        hints: &LabelHints,
        is_wanted: impl Fn(&str) -> bool,
        text: for<'a> fn((&'a str, &'a str)) -> &'a str,
    ) -> Result<Vec<String>, StorageError> {
        with_matching_series(&self.head, matchers, &Patience::endless(), |index, series| {
            let pairs = index.dictionary().read();
            let mut seen = vec![false; pairs.count()];
            let mut found = BTreeSet::new();
            for seq in series {
                for id in index.pair_ids(*seq) {
                    let is_new = !std::mem::replace(&mut seen[*id as usize], true);
                    if is_new && is_wanted(pairs.name_text(pairs.name_of(PairId(*id)))) {
                        found.insert(text(pairs.texts(PairId(*id))));
                    }
                }
            }
            limited(found.into_iter(), hints)
        })
    }
}

impl Querier for HeadQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn Selection>, StorageError> {
        self.select_while(matchers, hints, &|| true)
    }

    fn select_while(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Box<dyn Selection>, StorageError> {
        let mut selection = self.selection(matchers, hints.range, &Patience::new(goes_on))?;
        if hints.is_sorted {
            selection.sort();
        }
        if hints.series_count_max > 0 {
            selection.truncate(hints.series_count_max);
        }
        Ok(Box::new(selection))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        hints: &LabelHints,
    ) -> Result<Vec<String>, StorageError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        if !matchers.is_empty() {
            return self.texts(matchers, hints, |_| true, |(name, _)| name);
        }
        let index = self.head.index();
        let pairs = index.dictionary().read();
        let names: BTreeSet<&str> = pairs.names().map(|(_, name)| name).collect();
        Ok(limited(names.into_iter(), hints))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        hints: &LabelHints,
    ) -> Result<Vec<String>, StorageError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        if !matchers.is_empty() {
            return self.texts(matchers, hints, |other| other == name, |(_, value)| value);
        }
        let index = self.head.index();
        let pairs = index.dictionary().read();
        let Some(name) = pairs.find_name(name) else { return Ok(Vec::new()) };
        let mut values: Vec<&str> = pairs.pairs_of(name).map(|pair| pairs.value(pair)).collect();
        values.sort_unstable();
        Ok(limited(values.into_iter(), hints))
    }
}

fn limited<'a>(texts: impl ExactSizeIterator<Item = &'a str>, hints: &LabelHints) -> Vec<String> {
    let count = match hints.count_max {
        0 => texts.len(),
        count_max => count_max,
    };
    texts.take(count).map(str::to_owned).collect()
}
