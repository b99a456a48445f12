//! Histograms of a finer resolution than is kept: they are taken, with wider buckets.
//! Compat: Prometheus `model/histogram/generic.go` (reduceResolution), 3.8.

use std::sync::Arc;

use super::{FloatHistogram, Histogram, HistogramValue, Span, bounds};

/// The finest resolution that is kept.
pub(super) const SCHEMA_KEPT_MAX: i32 = 8;
/// The finest one that has a meaning.
const SCHEMA_MAX: i32 = 52;

impl HistogramValue {
    /// The same observations in the finest resolution that is kept. A histogram whose buckets are not those of
    /// its spans has them as it came, for the check to name.
    pub fn into_kept_resolution(self) -> Self {
        match self {
            Self::Integer(histogram) if is_finer(histogram.schema) => {
                let mut histogram = Arc::unwrap_or_clone(histogram);
                histogram.keep_resolution();
                Self::Integer(Arc::new(histogram))
            }
            Self::Float(histogram) if is_finer(histogram.schema) => {
                let mut histogram = Arc::unwrap_or_clone(histogram);
                histogram.keep_resolution();
                Self::Float(Arc::new(histogram))
            }
            kept => kept,
        }
    }
}

impl Histogram {
    fn keep_resolution(&mut self) {
        let sides = [
            (&mut self.positive_spans, &mut self.positive_buckets),
            (&mut self.negative_spans, &mut self.negative_buckets),
        ];
        for (spans, buckets) in sides {
            let mut count = 0i64;
            let add = |delta: &i64| {
                count = count.wrapping_add(*delta);
                count
            };
            let counts: Vec<i64> = buckets.iter().map(add).collect();
            let Some((wider, counts)) = widen(spans, &counts, self.schema, i64::wrapping_add)
            else {
                continue;
            };
            let mut before = 0;
            let delta = |count: i64| count.wrapping_sub(std::mem::replace(&mut before, count));
            (*spans, *buckets) = (wider.into(), counts.into_iter().map(delta).collect());
        }
        self.schema = SCHEMA_KEPT_MAX;
    }
}

impl FloatHistogram {
    fn keep_resolution(&mut self) {
        let sides = [
            (&mut self.positive_spans, &mut self.positive_buckets),
            (&mut self.negative_spans, &mut self.negative_buckets),
        ];
        for (spans, buckets) in sides {
            if let Some((wider, counts)) = widen(spans, buckets, self.schema, |a, b| a + b) {
                (*spans, *buckets) = (wider.into(), counts);
            }
        }
        self.schema = SCHEMA_KEPT_MAX;
    }
}

fn is_finer(schema: i32) -> bool {
    (SCHEMA_KEPT_MAX + 1..=SCHEMA_MAX).contains(&schema)
}

/// Spans and counts of the buckets that are kept; nothing if the spans are not those of the counts.
fn widen<T: Copy>(
    spans: &[Span],
    counts: &[T],
    schema: i32,
    add: fn(T, T) -> T,
) -> Option<(Vec<Span>, Vec<T>)> {
    let spanned: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    let is_ascending = spans.iter().skip(1).all(|span| span.offset >= 0);
    if spanned != counts.len() as u64 || !is_ascending {
        return None;
    }
    let (mut wider, mut sums) = (Vec::<Span>::new(), Vec::<T>::new());
    let mut counts = counts.iter();
    let (mut index, mut last) = (0i64, None::<i64>);
    for span in spans {
        index += i64::from(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            let target = bounds::coarser_index(index, schema, SCHEMA_KEPT_MAX);
            index += 1;
            match (last, sums.last_mut(), wider.last_mut()) {
                (Some(last), Some(sum), _) if last == target => {
                    *sum = add(*sum, *count);
                    continue;
                }
                (Some(last), _, Some(span)) if last + 1 == target => span.length += 1,
                _ => {
                    let offset = last.map_or(target, |last| target - last - 1);
                    wider.push(Span { offset: i32::try_from(offset).ok()?, length: 1 });
                }
            }
            sums.push(*count);
            last = Some(target);
        }
    }
    Some((wider, sums))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    #[test]
    fn buckets_are_joined_and_all_observations_stay() {
        let check = |schema, spans: &[Span], deltas: &[i64], expected: (i32, &[Span], &[i64])| {
            let histogram = Histogram {
                schema,
                positive_spans: spans.into(),
                negative_spans: spans.into(),
                positive_buckets: deltas.to_vec(),
                negative_buckets: deltas.to_vec(),
                ..Histogram::default()
            };
            let float = HistogramValue::Float(Arc::new(histogram.to_float()));
            let integer = HistogramValue::Integer(Arc::new(histogram)).into_kept_resolution();
            let HistogramValue::Integer(found) = &integer else { panic!("{integer:?}") };
            assert_eq!((found.schema, &found.positive_buckets[..]), (expected.0, expected.2));
            assert_eq!(found.positive_spans[..], *expected.1);
            assert_eq!(found.negative_spans[..], *expected.1);
            assert_eq!(float.into_kept_resolution().to_float(), integer.to_float());
        };
        // Buckets 1 to 4 of schema 9 are 1 and 2 of schema 8; 7 is 4.
        let spans = [span(1, 4), span(2, 1)];
        check(9, &spans, &[1, 1, 1, 1, 1], (8, &[span(1, 2), span(1, 1)], &[3, 4, -2]));
        check(52, &spans, &[1, 1, 1, 1, 1], (8, &[span(1, 1)], &[15]));
        check(8, &spans, &[1, 1, 1, 1, 1], (8, &spans, &[1, 1, 1, 1, 1]));
        check(53, &spans, &[1, 1, 1, 1, 1], (53, &spans, &[1, 1, 1, 1, 1]));
        check(10, &[span(-7, 8)], &[1, 0, 0, 0, 0, 0, 0, 0], (8, &[span(-1, 2)], &[4, 0]));
        // What does not agree is left to the check.
        check(9, &[span(1, 2)], &[1], (8, &[span(1, 2)], &[1]));
        check(9, &[span(1, 1), span(-1, 1)], &[1, 0], (8, &[span(1, 1), span(-1, 1)], &[1, 0]));
        check(9, &[span(i32::MAX, 1)], &[1], (8, &[span(1 << 30, 1)], &[1]));
        check(20, &[], &[], (8, &[], &[]));
    }
}
