//! Sums and means of histograms, by aggregations and over time.

use prom_model::{CounterResetHint, FloatHistogram, HistogramSum, IncompatibleSchemas};

/// What is worth telling of the histograms of a fold.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::exec) struct Notes {
    has_reset: bool,
    has_no_reset: bool,
    pub(in crate::exec) has_reconciled_bounds: bool,
}

/// A fold of histograms that is being computed.
pub(in crate::exec) trait HistogramFold: Send {
    fn first(histogram: &FloatHistogram) -> Self;

    /// # Errors
    /// The histogram does not go together with those before it.
    fn next(&mut self, histogram: &FloatHistogram) -> Result<(), IncompatibleSchemas>;

    fn notes(&self) -> Notes;

    fn finish(self) -> FloatHistogram;
}

#[derive(Debug)]
pub(in crate::exec) struct Sum {
    sum: HistogramSum,
    notes: Notes,
}

/// The mean; of the sum while that does not overflow, incremental from then on.
#[derive(Debug)]
pub(in crate::exec) struct Mean {
    sum: HistogramSum,
    count: f64,
    is_incremental: bool,
    notes: Notes,
}

impl Notes {
    /// Whether one histogram began anew and another is known not to have.
    pub(in crate::exec) fn has_reset_collision(self) -> bool {
        self.has_reset && self.has_no_reset
    }

    fn see(&mut self, histogram: &FloatHistogram) {
        self.has_reset |= histogram.counter_reset_hint == CounterResetHint::CounterReset;
        self.has_no_reset |= histogram.counter_reset_hint == CounterResetHint::NotCounterReset;
    }

    fn of(histogram: &FloatHistogram) -> Self {
        let mut notes = Self::default();
        notes.see(histogram);
        notes
    }
}

impl HistogramFold for Sum {
    fn first(histogram: &FloatHistogram) -> Self {
        Self { sum: HistogramSum::new(histogram.clone()), notes: Notes::of(histogram) }
    }

    fn next(&mut self, histogram: &FloatHistogram) -> Result<(), IncompatibleSchemas> {
        self.notes.see(histogram);
        let combined = self.sum.add(histogram)?;
        self.notes.has_reconciled_bounds |= combined.has_reconciled_bounds;
        Ok(())
    }

    fn notes(&self) -> Notes {
        self.notes
    }

    fn finish(self) -> FloatHistogram {
        self.sum.total()
    }
}

impl HistogramFold for Mean {
    fn first(histogram: &FloatHistogram) -> Self {
        let (sum, notes) = (HistogramSum::new(histogram.clone()), Notes::of(histogram));
        Self { sum, count: 1.0, is_incremental: false, notes }
    }

    fn next(&mut self, histogram: &FloatHistogram) -> Result<(), IncompatibleSchemas> {
        self.notes.see(histogram);
        self.count += 1.0;
        if !self.is_incremental {
            let mut next = self.sum.clone();
            let combined = next.add(histogram)?;
            self.notes.has_reconciled_bounds |= combined.has_reconciled_bounds;
            if !next.has_overflow() {
                self.sum = next;
                return Ok(());
            }
            self.is_incremental = true;
            self.sum.div(self.count - 1.0);
        }
        self.sum.mul((self.count - 1.0) / self.count);
        let mut share = histogram.clone();
        share.div(self.count);
        let combined = self.sum.add(&share)?;
        self.notes.has_reconciled_bounds |= combined.has_reconciled_bounds;
        Ok(())
    }

    fn notes(&self) -> Notes {
        self.notes
    }

    fn finish(mut self) -> FloatHistogram {
        if !self.is_incremental {
            self.sum.div(self.count);
        }
        self.sum.total()
    }
}
