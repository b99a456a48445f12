//! Custom buckets of different bounds: what both have in common is kept.
//! Compat: Prometheus `model/histogram/float_histogram.go`, `addCustomBucketsWithMismatches`.

use super::{
    FloatHistogram, HistogramBucket,
    side::{Side, Term, collect, terms},
};
use crate::KahanSum;

/// Adds the buckets of `other` times `sign`, both brought to the bounds that both have.
pub(super) fn combine_mismatched(
    own: &mut FloatHistogram,
    other: &FloatHistogram,
    sign: f64,
    mut compensation: Option<&mut FloatHistogram>,
) {
    let bounds = common_bounds(&own.custom_values, &other.custom_values);
    let mut sums = vec![KahanSum::default(); bounds.len() + 1];
    let side = own.take_side(true, compensation.as_deref_mut());
    let has_compensation = compensation.is_some();
    gather(&mut sums, &bounds, side.terms(), &own.custom_values, |sum, term| {
        sum.add(term.count);
        if has_compensation {
            sum.add(term.compensation);
        }
    });
    let others = terms(&other.positive_spans, &other.positive_buckets, &[]);
    gather(&mut sums, &bounds, others, &other.custom_values, |sum, term| {
        sum.add(term.count * sign);
    });
    let filled =
        sums.iter().enumerate().filter(|(_, sum)| sum.sum != 0.0 || sum.compensation != 0.0);
    let filled = filled.map(|(index, sum)| Term {
        index: index as i64,
        count: sum.sum,
        compensation: sum.compensation,
    });
    let side: Side = collect(filled, &side.spans, has_compensation);
    own.put_side(true, side, compensation);
    own.custom_values = bounds.into();
}

/// Adds each bucket to the one that holds it within `bounds`.
fn gather(
    sums: &mut [KahanSum],
    bounds: &[f64],
    terms: impl Iterator<Item = Term>,
    own_bounds: &[f64],
    add: impl Fn(&mut KahanSum, &Term),
) {
    for term in terms {
        let own_bound = usize::try_from(term.index).ok().and_then(|index| own_bounds.get(index));
        let target = match own_bound {
            Some(own_bound) => bounds.partition_point(|bound| bound < own_bound),
            None => bounds.len(),
        };
        add(&mut sums[target], &term);
    }
}

/// Bounds that both lists have; both are in ascending order.
fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut common = Vec::new();
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(left), Some(right)) = (a.peek(), b.peek()) {
        if left == right {
            common.push(**left);
            a.next();
            b.next();
        } else if left < right {
            a.next();
        } else {
            b.next();
        }
    }
    common
}

/// Whether any bucket has less than before, once both are brought to the bounds that both have.
pub(super) fn has_fallen(now: &FloatHistogram, before: &FloatHistogram) -> bool {
    let mut bounds = common_bounds(&now.custom_values, &before.custom_values);
    bounds.push(f64::INFINITY);
    let (mut now, mut before) = (now.positive_iter().peekable(), before.positive_iter().peekable());
    bounds.into_iter().any(|bound| {
        let up_to = |bucket: &HistogramBucket| bucket.upper <= bound;
        total(|| now.next_if(up_to)) < total(|| before.next_if(up_to))
    })
}

fn total(next: impl FnMut() -> Option<HistogramBucket>) -> f64 {
    std::iter::from_fn(next).fold(0.0, |sum, bucket| sum + bucket.count)
}
