//! Which blocks become one next. Pure: metas in, ids out.
//! Compat: Prometheus `tsdb/compact.go` (plan, selectDirs, splitByRange), 3.14.

use crate::block::{BlockId, BlockMeta, HINT_SELECTED_SERIES, HINT_STALE_SERIES};

/// Each range is so many times the one before it.
const RANGE_STEP: i64 = 3;
const RANGES_COUNT_MAX: usize = 10;
/// A large block with more tombstones than this part of its series is written anew.
const TOMBSTONES_RATIO_MAX: f64 = 0.05;

/// Ranges of blocks, from the head's to the largest.
pub(crate) fn block_ranges(min_ms: i64, max_ms: i64) -> Vec<i64> {
    let min_ms = min_ms.max(1);
    let next = |range: &i64| range.checked_mul(RANGE_STEP);
    let ranges = std::iter::successors(Some(min_ms), next).take(RANGES_COUNT_MAX);
    let mut ranges: Vec<i64> = ranges.take_while(|range| *range <= max_ms).collect();
    if ranges.is_empty() {
        ranges.push(min_ms);
    }
    ranges
}

/// The blocks that are to be compacted into one, by time; none if there is nothing to do.
pub(crate) fn plan(metas: &[BlockMeta], ranges: &[i64]) -> Vec<BlockId> {
    // Blocks that hold a part of the head's series only must not pass for whole ones.
    let class = |meta: &BlockMeta| match () {
        () if meta.has_hint(HINT_STALE_SERIES) => 1,
        () if meta.has_hint(HINT_SELECTED_SERIES) => 2,
        () => 0,
    };
    for wanted in 0..3 {
        let mut metas: Vec<&BlockMeta> = metas.iter().filter(|m| class(m) == wanted).collect();
        metas.sort_by_key(|meta| (meta.min_time, meta.ulid));
        let found = plan_class(&metas, ranges);
        if !found.is_empty() {
            return found.iter().map(|meta| meta.ulid).collect();
        }
    }
    Vec::new()
}

fn plan_class<'a>(metas: &[&'a BlockMeta], ranges: &[i64]) -> Vec<&'a BlockMeta> {
    let overlapping = overlapping(metas);
    if !overlapping.is_empty() {
        return overlapping;
    }
    // The newest block is left alone, so that a backup finds it as it was made.
    let Some((_, metas)) = metas.split_last() else { return Vec::new() };
    let within_range = within_range(metas, ranges);
    if !within_range.is_empty() {
        return within_range;
    }
    riddled(metas, ranges).into_iter().collect()
}

/// The first run of blocks whose times overlap.
fn overlapping<'a>(metas: &[&'a BlockMeta]) -> Vec<&'a BlockMeta> {
    let mut found: Vec<&BlockMeta> = Vec::new();
    let mut end = i64::MIN;
    for (at, meta) in metas.iter().enumerate() {
        if at > 0 && meta.min_time < end {
            if found.is_empty() {
                found.push(metas[at - 1]);
            }
            found.push(meta);
        } else if !found.is_empty() {
            break;
        }
        end = end.max(meta.max_time);
    }
    // A block that could not be compacted would not be able to next time.
    if found.iter().any(|meta| meta.compaction.failed) { Vec::new() } else { found }
}

/// The blocks of the smallest range that is full, or past.
fn within_range<'a>(metas: &[&'a BlockMeta], ranges: &[i64]) -> Vec<&'a BlockMeta> {
    let Some(newest) = metas.last() else { return Vec::new() };
    for range in ranges.iter().skip(1) {
        for part in split_by_range(metas, *range) {
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            let is_full = last.max_time - first.min_time == *range;
            let is_due = is_full || last.max_time <= newest.min_time;
            if is_due && part.len() > 1 && !part.iter().any(|meta| meta.compaction.failed) {
                return part;
            }
        }
    }
    Vec::new()
}

/// Blocks by the multiple of the range that they fall into; those that fit none are left out.
fn split_by_range<'a>(metas: &[&'a BlockMeta], range: i64) -> Vec<Vec<&'a BlockMeta>> {
    let mut parts: Vec<(i64, Vec<&BlockMeta>)> = Vec::new();
    for meta in metas {
        let begin = meta.min_time.div_euclid(range).saturating_mul(range);
        if meta.max_time > begin.saturating_add(range) {
            continue;
        }
        match parts.last_mut() {
            Some((known, part)) if *known == begin => part.push(meta),
            _ => parts.push((begin, vec![meta])),
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}

/// The newest large block with many tombstones, or a small one with nothing left.
fn riddled<'a>(metas: &[&'a BlockMeta], ranges: &[i64]) -> Option<&'a BlockMeta> {
    let large = ranges.get(ranges.len() / 2).copied().unwrap_or(i64::MAX);
    for meta in metas.iter().rev() {
        let stats = &meta.stats;
        if meta.max_time - meta.min_time < large {
            let is_empty = stats.num_tombstones > 0 && stats.num_tombstones >= stats.num_series;
            return is_empty.then_some(meta);
        }
        let ratio = stats.num_tombstones as f64 / (stats.num_series + 1) as f64;
        if ratio > TOMBSTONES_RATIO_MAX && !meta.compaction.failed {
            return Some(meta);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks named by their place; the plan is told by places.
    fn check(blocks: &[(i64, i64)], change: impl Fn(usize, &mut BlockMeta), expected: &[usize]) {
        let metas: Vec<BlockMeta> = blocks
            .iter()
            .enumerate()
            .map(|(at, times)| {
                let mut meta = BlockMeta::new(BlockId::new(at as i64), *times);
                meta.stats.num_series = 10;
                change(at, &mut meta);
                meta
            })
            .collect();
        let place = |id: &BlockId| metas.iter().position(|meta| meta.ulid == *id).unwrap();
        let found: Vec<usize> = plan(&metas, &[20, 60, 180, 540]).iter().map(place).collect();
        assert_eq!(found, expected, "{blocks:?}");
    }

    #[test]
    fn ranges_grow_by_three_up_to_the_largest() {
        assert_eq!(block_ranges(2, 100), [2, 6, 18, 54]);
        assert_eq!(block_ranges(2, 1), [2]);
        assert_eq!(block_ranges(2, i64::MAX).len(), 10);
    }

    // Compat: after the cases of upstream's TestLeveledCompactor_plan.
    #[test]
    fn blocks_are_picked_as_prometheus_picks_them() {
        let plain = |_: usize, _: &mut BlockMeta| {};
        check(&[], plain, &[]);
        check(&[(0, 20)], plain, &[]);
        check(&[(0, 20), (20, 40)], plain, &[]);
        check(&[(0, 20), (20, 40), (40, 60)], plain, &[]);
        check(&[(0, 20), (20, 40), (40, 60), (60, 80)], plain, &[0, 1, 2]);
        // Gaps: the range is past.
        check(&[(0, 20), (20, 40), (60, 80), (80, 100)], plain, &[0, 1]);
        check(&[(0, 20), (60, 80), (80, 100), (100, 120), (120, 140)], plain, &[1, 2, 3]);
        check(&[(0, 60), (60, 120), (120, 180), (180, 200)], plain, &[0, 1, 2]);
        check(&[(0, 60), (120, 180), (180, 200), (200, 220)], plain, &[0, 1]);
        check(&[(0, 60), (60, 80), (80, 100), (120, 140), (140, 160)], plain, &[1, 2]);
        check(&[(0, 20), (10, 30)], plain, &[0, 1]);
        check(&[(0, 20), (20, 40), (30, 50), (45, 60), (70, 90)], plain, &[1, 2, 3]);
        check(&[(-60, -40), (-40, -20), (-20, 0), (0, 20), (20, 40)], plain, &[0, 1, 2]);
        // Larger than any range, or across two.
        check(&[(0, 600), (600, 620), (620, 640)], plain, &[]);
        check(&[(10, 30), (30, 50), (50, 70), (70, 90)], plain, &[0, 1]);
    }

    #[test]
    fn failed_blocks_are_left_out_and_riddled_ones_written_anew() {
        let failed = |at: usize, meta: &mut BlockMeta| meta.compaction.failed = at == 1;
        check(&[(0, 20), (20, 40), (40, 60), (60, 80)], failed, &[]);
        check(&[(0, 20), (10, 30)], failed, &[]);
        let stones = |count: u64| {
            move |at: usize, meta: &mut BlockMeta| {
                meta.stats.num_tombstones = if at == 0 { count } else { 0 };
            }
        };
        check(&[(0, 540), (540, 560)], stones(3), &[0]);
        check(&[(0, 540), (540, 560)], stones(0), &[]);
        check(&[(0, 60), (540, 560)], stones(3), &[]);
        check(&[(0, 60), (540, 560)], stones(10), &[0]);
        let stale = |at: usize, meta: &mut BlockMeta| {
            if at < 2 {
                meta.add_hint(HINT_STALE_SERIES);
            }
        };
        check(&[(0, 20), (10, 20), (15, 40)], stale, &[0, 1]);
    }
}
