//! Cardinality of the head. Compat: Prometheus `tsdb/index/postings.go` (Stats), 3.14; equal values come in
//! the order of their names, where Prometheus has none.

use std::{cmp::Reverse, collections::BinaryHeap};

use prom_model::METRIC_NAME;

use crate::{HeadStats, StatEntry, TsdbStats};

use super::Head;

impl Head {
    /// Figures without the lists.
    pub(crate) fn head_stats(&self) -> HeadStats {
        let index = self.index();
        self.figures(index.count(), index.dictionary().read().count() as u64)
    }

    /// Figures; top lists have at most `top_count_max` entries.
    pub(crate) fn stats(&self, top_count_max: usize) -> TsdbStats {
        let index = self.index();
        let pairs = index.dictionary().read();
        let mut metrics = Top::new(top_count_max);
        let mut value_counts = Top::new(top_count_max);
        let mut memory = Top::new(top_count_max);
        let mut by_pair = Top::new(top_count_max);
        let mut label_pairs_count = 0;
        for (name_id, name) in pairs.names() {
            let (mut values_count, mut size_bytes) = (0, 0);
            for pair in pairs.pairs_of(name_id) {
                let series_count = index.postings(pair).len() as u64;
                if series_count == 0 {
                    continue;
                }
                let value = pairs.value(pair);
                values_count += 1;
                size_bytes += (text_size_bytes(name) + text_size_bytes(value)) * series_count;
                by_pair.push(series_count, || format!("{name}={value}"));
                if name == METRIC_NAME {
                    metrics.push(series_count, || value.to_owned());
                }
            }
            label_pairs_count += values_count;
            value_counts.push(values_count, || name.to_owned());
            memory.push(size_bytes, || name.to_owned());
        }
        TsdbStats {
            head: self.figures(index.count(), label_pairs_count),
            series_count_by_metric_name: metrics.into_entries(),
            label_value_count_by_label_name: value_counts.into_entries(),
            memory_in_bytes_by_label_name: memory.into_entries(),
            series_count_by_label_value_pair: by_pair.into_entries(),
            series_refused_by_limit: self.budgets.refused(),
        }
    }

    fn figures(&self, series_count: usize, label_pairs_count: u64) -> HeadStats {
        let (min_time_ms, max_time_ms) = self.time_bounds();
        HeadStats {
            series_count: series_count as u64,
            label_pairs_count,
            chunks_count: self.chunks_count(),
            min_time_ms,
            max_time_ms,
        }
    }
}

/// Size of a text in a label set of Prometheus: its length takes one byte, or four.
fn text_size_bytes(text: &str) -> u64 {
    let length_size = if text.len() < 255 { 1 } else { 4 };
    text.len() as u64 + length_size
}

/// The largest entries so far.
struct Top {
    count_max: usize,
    /// The smallest one, and among equals the last by name, comes out first.
    entries: BinaryHeap<(Reverse<u64>, String)>,
}

impl Top {
    fn new(count_max: usize) -> Self {
        Self { count_max, entries: BinaryHeap::new() }
    }

    fn push(&mut self, value: u64, name: impl FnOnce() -> String) {
        let is_full = self.entries.len() >= self.count_max;
        if is_full && self.entries.peek().is_none_or(|(Reverse(least), _)| value < *least) {
            return;
        }
        self.entries.push((Reverse(value), name()));
        if is_full {
            self.entries.pop();
        }
    }

    fn into_entries(self) -> Vec<StatEntry> {
        let sorted = self.entries.into_sorted_vec().into_iter();
        sorted.map(|(Reverse(value), name)| StatEntry { name, value }).collect()
    }
}
