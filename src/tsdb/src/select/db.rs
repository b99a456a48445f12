//! A snapshot of a database: the head as of a commit, and the blocks that overlap the range.

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc};

use prom_model::Matcher;
use prom_storage::{LabelHints, Querier, SelectHints, Selection, StorageError, TimeRange};

use crate::block::Block;

use super::{
    HeadQuerier, block::for_each_matching, limited, merged::MergedSelection, patience::Patience,
};

/// Reads blocks and head as one.
#[derive(Debug)]
pub(crate) struct DbQuerier {
    head: HeadQuerier,
    /// By time.
    blocks: Vec<Arc<Block>>,
    range: TimeRange,
}

impl DbQuerier {
    /// The head must have been entered before the blocks were listed: what leaves the head then is in them.
    pub(crate) fn new(head: HeadQuerier, blocks: &[Arc<Block>], range: TimeRange) -> Self {
        let overlapping =
            blocks.iter().filter(|block| block.overlaps(range.mint_ms, range.maxt_ms));
        let mut blocks: Vec<Arc<Block>> = overlapping.map(Arc::clone).collect();
        blocks.sort_by_key(|block| block.times());
        Self { head, blocks, range }
    }

    /// Texts of the labels of matching series in blocks, added to what is there.
    fn add_texts<'a>(
        &'a self,
        matchers: &[Matcher],
        is_wanted: impl Fn(&str) -> bool,
        text: impl Fn((&'a str, &'a str)) -> &'a str,
        found: &mut BTreeSet<&'a str>,
    ) -> Result<(), StorageError> {
        for block in &self.blocks {
            let index = block.index();
            let mut seen = BTreeSet::new();
            for_each_matching(block, matchers, &Patience::endless(), |_, entry| {
                seen.extend(entry.labels.iter().copied());
                Ok(ControlFlow::Continue(()))
            })?;
            for (name, value) in seen {
                let name = index.symbol(name)?;
                if is_wanted(name) {
                    found.insert(text((name, index.symbol(value)?)));
                }
            }
        }
        Ok(())
    }
}

impl Querier for DbQuerier {
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
        if self.blocks.is_empty() {
            return self.head.select_while(matchers, hints, goes_on);
        }
        let asked = TimeRange {
            mint_ms: self.range.mint_ms.max(hints.range.mint_ms),
            maxt_ms: self.range.maxt_ms.min(hints.range.maxt_ms),
        };
        let is_asked = |block: &&Arc<Block>| block.overlaps(asked.mint_ms, asked.maxt_ms);
        let blocks: Vec<_> = self.blocks.iter().filter(is_asked).map(Arc::clone).collect();
        if blocks.is_empty() || asked.mint_ms > asked.maxt_ms {
            return self.head.select_while(matchers, hints, goes_on);
        }
        let patience = Patience::new(goes_on);
        let head = self.head.selection(matchers, asked, &patience)?;
        let mut selection =
            MergedSelection::new(&blocks, head, matchers, self.range, asked, &patience)?;
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
        if self.blocks.is_empty() {
            return self.head.label_names(matchers, hints);
        }
        let head = self.head.label_names(matchers, &LabelHints::default())?;
        let mut names: BTreeSet<&str> = head.iter().map(String::as_str).collect();
        if matchers.is_empty() {
            names.extend(self.blocks.iter().flat_map(|block| block.index().label_names()));
        } else {
            self.add_texts(matchers, |_| true, |(name, _)| name, &mut names)?;
        }
        Ok(limited(names.into_iter(), hints))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        hints: &LabelHints,
    ) -> Result<Vec<String>, StorageError> {
        if self.blocks.is_empty() {
            return self.head.label_values(name, matchers, hints);
        }
        let head = self.head.label_values(name, matchers, &LabelHints::default())?;
        if !matchers.is_empty() {
            let mut values: BTreeSet<&str> = head.iter().map(String::as_str).collect();
            self.add_texts(matchers, |other| other == name, |(_, value)| value, &mut values)?;
            return Ok(limited(values.into_iter(), hints));
        }
        let mut values: Vec<&str> = head.iter().map(String::as_str).collect();
        for block in &self.blocks {
            block.index().for_each_value(name, "", |value, _| {
                values.push(value);
                ControlFlow::Continue(())
            })?;
        }
        values.sort_unstable();
        values.dedup();
        Ok(limited(values.into_iter(), hints))
    }
}
