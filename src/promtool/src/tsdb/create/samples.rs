//! Samples of some blocks on their way from a text, in any order, to the order in which a block takes them.

use std::collections::HashMap;

use prom_model::Labels;

/// One sample: its series by number, when, and what.
#[derive(Clone, Copy, Debug)]
struct Sample {
    timestamp_ms: i64,
    value: f64,
    series: u32,
}

/// Samples in memory, each in the block that its time asks for.
#[derive(Debug, Default)]
pub(super) struct Samples {
    numbers: HashMap<Labels, u32>,
    samples: Vec<Sample>,
}

/// What a block is made of.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// The samples of each series, by time.
    pub(super) series: Vec<(Labels, Vec<(i64, f64)>)>,
    /// Samples with another value than the first one of their series and time; they are left out.
    pub(super) contradictions_count: usize,
}

impl Samples {
    pub(super) fn push(&mut self, labels: &Labels, timestamp_ms: i64, value: f64) {
        let next = self.numbers.len() as u32;
        let series = match self.numbers.get(labels) {
            Some(number) => *number,
            None => *self.numbers.entry(labels.clone()).or_insert(next),
        };
        self.samples.push(Sample { timestamp_ms, value, series });
    }

    /// The blocks by time, given how long they are. Where a series has a time twice, the first one stays.
    pub(super) fn into_blocks(self, duration_ms: i64) -> Vec<Content> {
        let Self { numbers, mut samples } = self;
        let mut labels = vec![Labels::default(); numbers.len()];
        for (of_series, number) in numbers {
            labels[number as usize] = of_series;
        }
        let block = |sample: &Sample| sample.timestamp_ms.div_euclid(duration_ms);
        samples.sort_by_key(|sample| (block(sample), sample.series, sample.timestamp_ms));
        let content = |samples: &[Sample]| {
            let mut content = Content::default();
            for of_series in samples.chunk_by(|a, b| a.series == b.series) {
                let mut kept = Vec::with_capacity(of_series.len());
                for of_time in of_series.chunk_by(|a, b| a.timestamp_ms == b.timestamp_ms) {
                    let (first, others) = of_time.split_first().expect("no chunk is empty");
                    let is_other = |other: &&Sample| other.value.to_bits() != first.value.to_bits();
                    content.contradictions_count += others.iter().filter(is_other).count();
                    kept.push((first.timestamp_ms, first.value));
                }
                content.series.push((labels[of_series[0].series as usize].clone(), kept));
            }
            content
        };
        samples.chunk_by(|a, b| block(a) == block(b)).map(content).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_put_in_order_and_none_is_twice() {
        let labels = |name: &str| Labels::from_pairs([("__name__", name)]);
        let mut samples = Samples::default();
        let input = [
            ("b", 25, 1.0),
            ("a", 5, 2.0),
            ("b", 20, 3.0),
            ("a", -1, 4.0),
            ("b", 20, 3.0),
            ("b", 20, 6.0),
        ];
        for (name, time, value) in input {
            samples.push(&labels(name), time, value);
        }
        let blocks = samples.into_blocks(10);
        let found: Vec<_> = blocks.iter().map(|block| block.series.clone()).collect();
        let expected = [
            vec![(labels("a"), vec![(-1, 4.0)])],
            vec![(labels("a"), vec![(5, 2.0)])],
            vec![(labels("b"), vec![(20, 3.0), (25, 1.0)])],
        ];
        assert_eq!(found, expected);
        assert_eq!(blocks.iter().map(|block| block.contradictions_count).sum::<usize>(), 1);
    }
}
