//! Zeros at the times since when series count: they go on their series in order or not at all.
//! Compat: Prometheus `tsdb/head_append.go` (AppendSTZeroSample, AppendHistogramSTZeroSample).

use std::sync::Arc;

use prom_storage::SeriesStart;

use crate::{
    lock::read,
    wal::{RefHistogram, RefSample, StartId},
};

use super::{
    super::{
        slot::{HotSlot, NO_TIME},
        slot_in_group,
    },
    Bounds, HeadAppender,
};

impl HeadAppender {
    /// Adds the zero of a series that has begun to count since its last sample. Most have not, as each sample
    /// tells the start anew, so nothing is counted or told of them.
    pub(super) fn append_start_zero(&mut self, start: &SeriesStart, bounds: Bounds) {
        let SeriesStart { series, start_ms: t, sample_ms, zero } = start;
        if t >= sample_ms || *t < bounds.min_valid_t || *t == NO_TIME {
            return;
        }
        let head = Arc::clone(&self.head);
        let Some(group) = head.groups.get(series.slot) else { return };
        let data = read(&group.data);
        let hot = data.hot(slot_in_group(series.slot), series.series_ref.0);
        let Some(hot) = hot.filter(|hot| !hot.has(HotSlot::DOOMED)) else { return };
        let float_t = self.batch.last_of(series.slot).map(|(t, _)| t);
        let histogram_t = self.batch.last_histogram_of(series.slot).map(|last| last.t);
        let last_t = float_t.max(histogram_t).map_or(hot.last_t, |last_t| last_t.max(hot.last_t));
        if *t <= last_t {
            return;
        }
        if hot.has(HotSlot::UNLOGGED) {
            self.batch.unlogged.push(series.slot);
        }
        let (series_ref, slot, t) = (series.series_ref.0, series.slot, *t);
        match zero {
            Some(value) => {
                self.batch.push_histogram(RefHistogram {
                    series_ref,
                    slot,
                    t,
                    start_ms: 0,
                    value: value.clone(),
                });
            }
            None => {
                self.batch.part_for_float(slot);
                let (start, v) = (StartId::NONE, 0f64.to_bits());
                self.batch.push(RefSample { series_ref, slot, start, t, v });
            }
        }
    }
}
