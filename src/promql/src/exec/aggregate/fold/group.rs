//! One group of an aggregation while its rows come in.

use std::sync::Arc;

use super::state::{Aggregation, Column, Treatment};
use crate::{
    QueryError,
    exec::{
        aggregate::histograms::{HistogramStates, Remarks},
        memory::{Held, Memory},
        row::{Bitmap, Row, for_each_run},
    },
};

/// States of one group.
pub(super) struct GroupStates<A: Aggregation> {
    column: A::Column,
    seen: Bitmap,
    /// There since the first histogram.
    histograms: Option<HistogramStates<A::Histogram>>,
    held: Held,
}

impl<A: Aggregation> GroupStates<A> {
    pub(super) fn new(count: usize, memory: &Arc<Memory>) -> Result<Self, QueryError> {
        let bytes = count * A::Column::STEP_SIZE_BYTES + count / 8;
        let held = memory.hold(bytes as u64)?;
        let (column, seen) = (A::Column::new(count), Bitmap::empty(count));
        Ok(Self { column, seen, histograms: None, held })
    }

    /// Adds a row; `name` tells the metric that it is of.
    pub(super) fn add(
        &mut self,
        row: &Row,
        remarks: &Remarks<'_>,
        name: impl FnOnce() -> String,
    ) -> Result<(), QueryError> {
        if row.has_histograms() || self.histograms.is_some() {
            return self.add_mixed(row, remarks, name);
        }
        self.add_floats(row);
        Ok(())
    }

    /// Adds a row of a group that has histograms, here or before.
    fn add_mixed(
        &mut self,
        row: &Row,
        remarks: &Remarks<'_>,
        name: impl FnOnce() -> String,
    ) -> Result<(), QueryError> {
        let mut floats = row.clone();
        floats.drop_histograms();
        match A::HISTOGRAMS {
            Treatment::Counted => {
                row.for_each_histogram(|step, _| floats.set(step, 0.0));
            }
            Treatment::Ignored => remarks.ignored(row),
            Treatment::Folded => {
                let count = self.seen.count();
                let histograms = self.histograms.get_or_insert_with(|| HistogramStates::new(count));
                histograms.add(row, &self.seen, remarks, &mut self.held, name)?;
                histograms.spare_refused(&mut floats);
            }
        }
        self.add_floats(&floats);
        Ok(())
    }

    fn add_floats(&mut self, row: &Row) {
        let values = row.values();
        for (index, present) in row.present().words().iter().enumerate() {
            let seen = self.seen.words()[index];
            let base = index * 64;
            for_each_run(present & seen, |run| {
                let begin = base + run.start;
                self.column.next(begin, &values[begin..base + run.end]);
            });
            for_each_run(present & !seen, |run| {
                let begin = base + run.start;
                self.column.first(begin, &values[begin..base + run.end]);
            });
        }
        self.seen.unite(row.present());
    }

    /// Writes the results and begins anew.
    pub(super) fn finish(&mut self, row: &mut Row, remarks: &Remarks<'_>) {
        let count = self.seen.count();
        row.reset(count);
        self.seen.for_each(|step| row.set(step, self.column.finish(step)));
        self.seen.reset(count);
        if let Some(histograms) = self.histograms.take() {
            histograms.finish(row, remarks);
        }
    }
}
