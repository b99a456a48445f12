//! The histograms of a row. Rows without any do not come here.

use std::sync::Arc;

use prom_model::FloatHistogram;

use super::{Bitmap, Row};

/// A histogram that rows hand on without copying it.
pub(crate) type SharedHistogram = Arc<FloatHistogram>;

/// Optional histograms by step.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    histograms: Vec<Option<SharedHistogram>>,
    steps: Bitmap,
}

impl Lane {
    fn new(count: usize) -> Self {
        Self { histograms: vec![None; count], steps: Bitmap::empty(count) }
    }

    fn set(&mut self, step: usize, histogram: SharedHistogram) {
        self.histograms[step] = Some(histogram);
        self.steps.set(step);
    }

    /// Forgets the histograms of steps that are no longer in the set.
    fn trim(&mut self) {
        for (step, histogram) in self.histograms.iter_mut().enumerate() {
            if histogram.is_some() && !self.steps.has(step) {
                *histogram = None;
            }
        }
    }
}

impl Row {
    /// Whether there are histograms. All else but this need not be asked of a row of floats.
    pub(crate) fn has_histograms(&self) -> bool {
        self.lane.as_ref().is_some_and(|lane| lane.steps.any())
    }

    pub(crate) fn histogram(&self, step: usize) -> Option<&SharedHistogram> {
        self.lane.as_ref()?.histograms[step].as_ref()
    }

    /// Sets a step that has no float.
    pub(crate) fn set_histogram(&mut self, step: usize, histogram: SharedHistogram) {
        let count = self.present.count;
        self.lane.get_or_insert_with(|| Box::new(Lane::new(count))).set(step, histogram);
    }

    pub(crate) fn drop_histograms(&mut self) {
        self.lane = None;
    }

    /// Takes all histograms out.
    pub(crate) fn take_histograms(&mut self) -> Vec<(usize, SharedHistogram)> {
        let Some(lane) = self.lane.take() else { return Vec::new() };
        let with_steps = lane.histograms.into_iter().enumerate();
        with_steps.filter_map(|(step, histogram)| Some((step, histogram?))).collect()
    }

    /// Calls `f` with each step that has a histogram.
    pub(crate) fn for_each_histogram(&self, mut f: impl FnMut(usize, &SharedHistogram)) {
        let Some(lane) = &self.lane else { return };
        for (step, histogram) in lane.histograms.iter().enumerate() {
            if let Some(histogram) = histogram {
                f(step, histogram);
            }
        }
    }

    /// Whether any step has a sample.
    pub(crate) fn any(&self) -> bool {
        self.present.any() || self.lane.as_ref().is_some_and(|lane| lane.steps.any())
    }

    /// Adds the steps that have a sample to `steps`.
    pub(crate) fn mark(&self, steps: &mut Bitmap) {
        steps.unite(&self.present);
        if let Some(lane) = &self.lane {
            steps.unite(&lane.steps);
        }
    }

    /// Keeps the steps that `steps` has.
    pub(crate) fn keep_steps(&mut self, steps: &Bitmap) {
        self.present.intersect(steps);
        if let Some(lane) = &mut self.lane {
            lane.steps.intersect(steps);
            lane.trim();
        }
    }

    /// Removes the steps that `steps` has.
    pub(crate) fn remove_steps(&mut self, steps: &Bitmap) {
        self.present.subtract(steps);
        if let Some(lane) = &mut self.lane {
            lane.steps.subtract(steps);
            lane.trim();
        }
    }

    /// Keeps the histograms for whose step `keep` holds.
    pub(crate) fn retain_histograms(&mut self, keep: impl FnMut(usize) -> bool) {
        let Some(lane) = &mut self.lane else { return };
        let mut kept = Bitmap::empty(lane.steps.count);
        let mut keep = keep;
        lane.steps.for_each(|step| {
            if keep(step) {
                kept.set(step);
            }
        });
        lane.steps = kept;
        lane.trim();
    }

    /// Takes over all samples of `other`.
    pub(crate) fn overlay(&mut self, other: &Self) {
        other.for_each(|step, value| self.set(step, value));
        other.for_each_histogram(|step, histogram| self.set_histogram(step, Arc::clone(histogram)));
    }

    /// The first step at which both have a sample.
    pub(crate) fn first_common(&self, other: &Self) -> Option<usize> {
        if self.lane.is_none() && other.lane.is_none() {
            return self.present.first_common(&other.present);
        }
        let (mut own, mut others) =
            (Bitmap::empty(self.present.count), Bitmap::empty(self.present.count));
        self.mark(&mut own);
        other.mark(&mut others);
        own.first_common(&others)
    }

    /// How many samples these are where samples are limited; a histogram is several.
    pub(crate) fn counted_samples(&self) -> u64 {
        let mut samples = self.present.ones() as u64;
        self.for_each_histogram(|_, histogram| samples += histogram.counted_samples());
        samples
    }

    /// Bytes of the histograms.
    pub(crate) fn histograms_size_bytes(&self) -> usize {
        let mut bytes = 0;
        self.for_each_histogram(|_, histogram| bytes += histogram.size_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lanes_count_as_present() {
        let mut row = Row::absent(70);
        row.set(1, 1.0);
        assert!(!row.has_histograms());
        row.set_histogram(69, SharedHistogram::default());
        row.set_histogram(3, SharedHistogram::default());
        let mut steps = Bitmap::empty(70);
        row.mark(&mut steps);
        assert_eq!(steps.ones(), 3);
        let mut other = Row::absent(70);
        other.set(69, 1.0);
        assert_eq!(row.first_common(&other), Some(69));
        row.remove_steps(other.present());
        assert!(row.histogram(3).is_some() && row.histogram(69).is_none());
        other.overlay(&row);
        assert!(other.get(1).is_some() && other.histogram(3).is_some() && other.get(69).is_some());
        other.retain_histograms(|_| false);
        assert!(!other.has_histograms());
        assert_eq!(other.take_histograms(), []);
        assert_eq!(other.counted_samples(), 2);
        row.reset(70);
        assert!(!row.any() && !row.has_histograms());
    }
}
