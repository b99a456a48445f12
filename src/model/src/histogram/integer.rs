//! Buckets of integer histograms laid out anew: without the empty ones, or wider.
//! Counts stay integers all the way, so that none above 2^53 is rounded.

use std::sync::Arc;

use super::{Histogram, Span, bounds, side::indices};

/// Spans and deltas in the making.
#[derive(Debug, Default)]
struct Builder {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    /// Behind the last bucket.
    end: i64,
    count: i64,
}

impl Histogram {
    /// Leaves out empty buckets, except for gaps of up to `gap_max` buckets between others.
    pub fn compact_to_gaps(&mut self, gap_max: u32) {
        compact(&mut self.positive_spans, &mut self.positive_buckets, gap_max);
        compact(&mut self.negative_spans, &mut self.negative_buckets, gap_max);
    }

    /// The same observations with fewer, wider buckets; unchanged where `schema` is not coarser.
    pub fn reduce_to(&mut self, schema: i32) {
        if self.has_custom_buckets() || schema >= self.schema {
            return;
        }
        let from = self.schema;
        reduce(&mut self.positive_spans, &mut self.positive_buckets, from, schema);
        reduce(&mut self.negative_spans, &mut self.negative_buckets, from, schema);
        self.schema = schema;
    }
}

fn compact(spans: &mut Arc<[Span]>, deltas: &mut Vec<i64>, gap_max: u32) {
    let is_dense = counts(deltas).all(|count| count != 0);
    let is_lean = |span: &Span| i64::from(span.offset) > i64::from(gap_max) && span.length > 0;
    if is_dense
        && spans.first().is_none_or(|span| span.length > 0)
        && spans.iter().skip(1).all(is_lean)
    {
        return;
    }
    let mut builder = Builder::default();
    for (index, count) in indices(spans).zip(counts(deltas)) {
        if count == 0 {
            continue;
        }
        let gap = index - builder.end;
        if !builder.deltas.is_empty() && gap <= i64::from(gap_max) {
            (builder.end..index).for_each(|index| builder.push(index, 0));
        }
        builder.push(index, count);
    }
    builder.finish(spans, deltas);
}

fn reduce(spans: &mut Arc<[Span]>, deltas: &mut Vec<i64>, from: i32, to: i32) {
    let mut builder = Builder::default();
    let mut open: Option<(i64, i64)> = None;
    for (index, count) in indices(spans).zip(counts(deltas)) {
        let index = bounds::coarser_index(index, from, to);
        open = Some(match open {
            Some((known, sum)) if known == index => (index, sum.wrapping_add(count)),
            Some((known, sum)) => {
                builder.push(known, sum);
                (index, count)
            }
            None => (index, count),
        });
    }
    if let Some((index, count)) = open {
        builder.push(index, count);
    }
    builder.finish(spans, deltas);
}

/// Counts from differences; sums that leave the range wrap, as in the reference.
fn counts(deltas: &[i64]) -> impl Iterator<Item = i64> + '_ {
    deltas.iter().scan(0_i64, |count, delta| {
        *count = count.wrapping_add(*delta);
        Some(*count)
    })
}

impl Builder {
    /// Adds a bucket behind all others.
    fn push(&mut self, index: i64, count: i64) {
        match self.spans.last_mut() {
            Some(span) if index == self.end => span.length += 1,
            _ => {
                let offset = (index - self.end).clamp(i64::from(i32::MIN), i64::from(i32::MAX));
                self.spans.push(Span { offset: offset as i32, length: 1 });
            }
        }
        self.end = index + 1;
        self.deltas.push(count.wrapping_sub(self.count));
        self.count = count;
    }

    /// Spans equal to those of before stay shared.
    fn finish(self, spans: &mut Arc<[Span]>, deltas: &mut Vec<i64>) {
        if *self.spans != **spans {
            *spans = self.spans.into();
        }
        *deltas = self.deltas;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn histogram(spans: &[(i32, u32)], counts: &[i64]) -> Histogram {
        let mut before = 0;
        let deltas = counts.iter().map(|count| count - std::mem::replace(&mut before, *count));
        let spans = spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length });
        Histogram {
            positive_spans: spans.collect(),
            positive_buckets: deltas.collect(),
            count: counts.iter().sum::<i64>() as u64,
            schema: 3,
            ..Histogram::default()
        }
    }

    #[test]
    fn empty_buckets_go() {
        // Spans and counts before; gaps that stay; after.
        let check = |spans: &[(i32, u32)], counts: &[i64], gap_max, expected: Histogram| {
            let mut compacted = histogram(spans, counts);
            compacted.compact_to_gaps(gap_max);
            assert_eq!(compacted, expected, "{spans:?} {counts:?} {gap_max}");
        };
        check(&[(0, 3)], &[1, 0, 2], 0, histogram(&[(0, 1), (1, 1)], &[1, 2]));
        check(&[(0, 3)], &[1, 0, 2], 1, histogram(&[(0, 3)], &[1, 0, 2]));
        check(&[(0, 4)], &[0, 1, 2, 0], 2, histogram(&[(1, 2)], &[1, 2]));
        check(&[(-2, 1), (0, 1)], &[5, 6], 0, histogram(&[(-2, 2)], &[5, 6]));
        check(&[(0, 0)], &[], 0, histogram(&[], &[]));
        check(&[(3, 2), (9, 0)], &[0, 0], 0, histogram(&[], &[]));
    }

    proptest! {
        /// Both kinds of histograms come to the same layout.
        #[test]
        fn integers_do_as_floats_do(
            spans in prop::collection::vec((0..5_i32, 0..4_u32), 0..6),
            seed in prop::collection::vec(0..3_i64, 24),
            gap_max in 0..3_u32,
            schema in -4..3_i32,
        ) {
            let count = spans.iter().map(|(_, length)| *length as usize).sum::<usize>();
            let mut integers = histogram(&spans, &seed[..count]);
            let mut floats = integers.to_float();
            integers.compact_to_gaps(gap_max);
            floats.compact_to_gaps(gap_max);
            prop_assert_eq!(&integers.to_float().positive_buckets, &floats.positive_buckets);
            prop_assert!(indices(&integers.positive_spans).eq(indices(&floats.positive_spans)));
            integers.reduce_to(schema);
            floats.reduce_to(schema);
            prop_assert_eq!(integers.to_float().positive_buckets, floats.positive_buckets);
        }
    }
}
