//! Arithmetic on the buckets of one classic histogram at one step.

/// Relative difference below which neighbouring counts are taken as equal.
const SMALL_DELTA_TOLERANCE: f64 = 1e-12;

/// A bucket: how many observations are at most `upper_bound`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    pub(super) upper_bound: f64,
    pub(super) count: f64,
}

/// How far counts were bent to grow from bucket to bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bent {
    pub(super) min_bucket: f64,
    pub(super) max_bucket: f64,
    pub(super) max_diff: f64,
}

/// The quantile of sorted buckets, linear within a bucket; and how they were bent.
pub(super) fn bucket_quantile(quantile: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Bent>) {
    if quantile.is_nan() {
        return (f64::NAN, None);
    }
    if quantile < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if quantile > 1.0 {
        return (f64::INFINITY, None);
    }
    if !has_infinite_bucket(buckets) {
        return (f64::NAN, None);
    }
    coalesce(buckets);
    let bent = make_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return (f64::NAN, bent);
    }
    let mut rank = quantile * observations;
    let at = buckets[..last].partition_point(|bucket| !is_reached(bucket, rank));
    if at == last {
        return (buckets[last - 1].upper_bound, bent);
    }
    if at == 0 && buckets[0].upper_bound <= 0.0 {
        return (buckets[0].upper_bound, bent);
    }
    let (mut start, end, mut count) = (0.0, buckets[at].upper_bound, buckets[at].count);
    if at > 0 {
        start = buckets[at - 1].upper_bound;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    (start + (end - start) * (rank / count), bent)
}

/// The share of observations between two bounds, linear within a bucket.
pub(super) fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !has_infinite_bucket(buckets) {
        return f64::NAN;
    }
    coalesce(buckets);
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank_of = |value: f64| {
        let mut rank = 0.0;
        // Histograms of positive values begin at zero.
        let mut bucket_start = if buckets[0].upper_bound <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
        for bucket in buckets.iter() {
            if bucket_start >= value {
                return rank;
            }
            if bucket.upper_bound > value {
                if bucket_start == f64::NEG_INFINITY {
                    return bucket.count;
                }
                let width = bucket.upper_bound - bucket_start;
                return rank + (bucket.count - rank) * (value - bucket_start) / width;
            }
            (rank, bucket_start) = (bucket.count, bucket.upper_bound);
        }
        count
    };
    let limit = |rank: f64| if rank > count { count } else { rank };
    (limit(rank_of(upper)) - limit(rank_of(lower))) / count
}

/// NaN is never reached.
fn is_reached(bucket: &Bucket, rank: f64) -> bool {
    bucket.count >= rank
}

fn has_infinite_bucket(buckets: &[Bucket]) -> bool {
    buckets.last().is_some_and(|last| last.upper_bound == f64::INFINITY)
}

/// Adds up buckets of equal bounds, which differ in the text of their label only.
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let is_same = next.upper_bound == kept.upper_bound;
        if is_same {
            kept.count += next.count;
        }
        is_same
    });
}

/// Makes counts grow from bucket to bucket. Differences that rounding explains are mended silently.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Bent> {
    let mut bent: Option<Bent> = None;
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        if bucket.count == previous {
            continue;
        }
        if almost_equal(previous, bucket.count, SMALL_DELTA_TOLERANCE) {
            bucket.count = previous;
            continue;
        }
        if bucket.count < previous {
            let diff = previous - bucket.count;
            let bent = bent.get_or_insert(Bent {
                min_bucket: bucket.upper_bound,
                max_bucket: bucket.upper_bound,
                max_diff: diff,
            });
            bent.min_bucket = bent.min_bucket.min(bucket.upper_bound);
            bent.max_bucket = bent.max_bucket.max(bucket.upper_bound);
            bent.max_diff = bent.max_diff.max(diff);
            bucket.count = previous;
            continue;
        }
        previous = bucket.count;
    }
    bent
}

/// Compat: Prometheus `util/almost/almost.go`, `Equal`.
fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, diff) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < epsilon * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < epsilon
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(list: &[(f64, f64)]) -> Vec<Bucket> {
        list.iter()
            .map(|(upper_bound, count)| Bucket { upper_bound: *upper_bound, count: *count })
            .collect()
    }

    #[test]
    fn quantiles_are_linear_within_a_bucket() {
        let check = |quantile: f64, list: &[(f64, f64)], expected: f64| {
            let (found, _) = bucket_quantile(quantile, &mut buckets(list));
            assert!(
                found == expected || found.is_nan() && expected.is_nan(),
                "{quantile} {list:?}"
            );
        };
        let inf = f64::INFINITY;
        check(0.5, &[(1.0, 2.0), (2.0, 4.0), (inf, 4.0)], 1.0);
        check(0.75, &[(1.0, 2.0), (2.0, 4.0), (inf, 4.0)], 1.5);
        check(1.0, &[(1.0, 2.0), (inf, 4.0)], 1.0);
        check(0.5, &[(-1.0, 2.0), (inf, 2.0)], -1.0);
        check(0.5, &[(1.0, 2.0)], f64::NAN);
        check(0.5, &[(1.0, 0.0), (inf, 0.0)], f64::NAN);
        check(0.5, &[(1.0, 1.0), (1.0, 1.0), (inf, 4.0)], 1.0);
        check(2.0, &[(inf, 4.0)], inf);
    }

    #[test]
    fn falling_counts_are_bent_and_told() {
        let (_, bent) =
            bucket_quantile(0.5, &mut buckets(&[(1.0, 5.0), (2.0, 3.0), (f64::INFINITY, 6.0)]));
        assert_eq!(bent, Some(Bent { min_bucket: 2.0, max_bucket: 2.0, max_diff: 2.0 }));
        let (_, bent) = bucket_quantile(
            0.5,
            &mut buckets(&[(1.0, 5.0), (2.0, 5.0 - 1e-12), (f64::INFINITY, 6.0)]),
        );
        assert_eq!(bent, None);
    }

    #[test]
    fn fractions_are_linear_within_a_bucket() {
        let list = [(1.0, 2.0), (2.0, 4.0), (f64::INFINITY, 5.0)];
        let check = |lower, upper, expected| {
            assert_eq!(bucket_fraction(lower, upper, &mut buckets(&list)), expected);
        };
        check(0.0, 1.0, 0.4);
        check(0.5, 1.5, 0.4);
        check(-1.0, f64::INFINITY, 1.0);
        check(2.0, 1.0, 0.0);
    }
}
