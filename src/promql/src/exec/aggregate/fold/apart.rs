//! Folding group by group: each thread takes whole groups, the largest first, and folds a row as soon as
//! it is computed. No row is kept, and no thread waits for another one.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rayon::prelude::*;

use super::{Folded, Opening, group::GroupStates, state::Aggregation};
use crate::{
    QueryError,
    exec::{Scratch, aggregate::Grouped, row::Row},
};

/// Series that one turn takes at least, where groups are small.
const TURN_SERIES_MIN: usize = 64;
/// How much longer than with an even share the busiest thread may be busy, in percent.
const UNEVEN_PERCENT_MAX: usize = 15;

/// Series by group, and the order in which groups are folded.
pub(super) struct Turns {
    /// Series of all groups, group after group.
    series: Vec<u32>,
    /// Where each group ends.
    ends: Vec<u32>,
    /// Groups, the largest first.
    order: Vec<u32>,
    /// Parts of the order that are taken at once.
    turns: Vec<std::ops::Range<usize>>,
}

impl Turns {
    /// Nothing where so many threads could not share the groups evenly.
    pub(super) fn new(groups: &Grouped, threads_count: usize) -> Option<Self> {
        let mut sizes = vec![0u32; groups.count()];
        groups.of_series.iter().for_each(|group| sizes[*group as usize] += 1);
        let mut order: Vec<u32> = (0..groups.count() as u32).collect();
        order.sort_by_key(|group| std::cmp::Reverse(sizes[*group as usize]));
        let sorted_sizes = order.iter().map(|group| sizes[*group as usize] as usize);
        if !is_even(sorted_sizes, groups.of_series.len(), threads_count) {
            return None;
        }
        let mut ends: Vec<u32> = Vec::with_capacity(sizes.len());
        let mut end = 0;
        for size in &sizes {
            // As long as series are put in their places, it is where the next one of the group goes.
            ends.push(end);
            end += size;
        }
        let mut series = vec![0; groups.of_series.len()];
        for (index, group) in groups.of_series.iter().enumerate() {
            let next = &mut ends[*group as usize];
            series[*next as usize] = index as u32;
            *next += 1;
        }
        let mut turns = Vec::new();
        let (mut begin, mut count) = (0, 0);
        for (at, group) in order.iter().enumerate() {
            count += sizes[*group as usize] as usize;
            if count >= TURN_SERIES_MIN || at + 1 == order.len() {
                turns.push(begin..at + 1);
                (begin, count) = (at + 1, 0);
            }
        }
        Some(Self { series, ends, order, turns })
    }

    fn series(&self, group: u32) -> &[u32] {
        let group = group as usize;
        let begin = group.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.series[begin as usize..self.ends[group] as usize]
    }
}

/// Whether groups of these sizes, the largest first, keep the threads equally busy.
fn is_even(sizes: impl Iterator<Item = usize>, total: usize, threads_count: usize) -> bool {
    let mut loads = vec![0; threads_count];
    for size in sizes {
        if let Some(least) = loads.iter_mut().min() {
            *least += size;
        }
    }
    let busiest = loads.into_iter().max().unwrap_or_default();
    busiest * threads_count * 100 <= total * (100 + UNEVEN_PERCENT_MAX)
}

/// Folds all groups.
pub(super) fn fold<A: Aggregation>(
    opening: &Opening<'_>,
    threads: &rayon::ThreadPool,
    turns: &Turns,
) -> Result<Vec<Folded>, QueryError> {
    let next = AtomicUsize::new(0);
    threads.install(|| {
        let workers = (0..threads.current_num_threads()).into_par_iter().with_max_len(1);
        workers.map(|_| work::<A>(opening, turns, &next)).collect()
    })
}

/// Takes turns until there are none left.
fn work<A: Aggregation>(
    opening: &Opening<'_>,
    turns: &Turns,
    next: &AtomicUsize,
) -> Result<Folded, QueryError> {
    let ctx = opening.ctx;
    let mut scratch = Scratch::new(ctx);
    let mut state = GroupStates::<A>::new(opening.step_count(), &ctx.memory)?;
    let (mut row, mut result) = (Row::default(), Row::default());
    let mut folded = Folded::new(ctx)?;
    while let Some(turn) = turns.turns.get(next.fetch_add(1, Relaxed)) {
        for group in &turns.order[turn.clone()] {
            for index in turns.series(*group) {
                let index = *index as usize;
                opening.operand.rows.read(index, &mut row, &mut scratch)?;
                opening.add(&mut state, index, &row)?;
            }
            opening.finish(&mut state, *group, &mut result, &mut folded)?;
        }
        scratch.flush()?;
    }
    Ok(folded)
}

#[cfg(test)]
mod tests {
    use prom_model::Labels;

    use super::*;

    fn turns(of_series: &[u32], threads_count: usize) -> Option<Turns> {
        let count = of_series.iter().max().map_or(0, |last| *last as usize + 1);
        let labels = vec![Labels::empty(); count];
        Turns::new(&Grouped { of_series: of_series.to_vec(), labels }, threads_count)
    }

    #[test]
    fn every_series_has_one_turn_in_its_group() {
        let of_series: Vec<u32> = (0..1000u32).map(|index| index * index % 37 % 11).collect();
        let turns = turns(&of_series, 2).expect("even");
        let mut seen = Vec::new();
        let mut size = usize::MAX;
        for turn in &turns.turns {
            for group in &turns.order[turn.clone()] {
                let series = turns.series(*group);
                assert!(series.is_sorted() && series.len() <= size, "{group}");
                assert!(series.iter().all(|index| of_series[*index as usize] == *group));
                size = series.len();
                seen.extend_from_slice(series);
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).collect::<Vec<u32>>());
    }

    #[test]
    fn threads_share_only_what_can_be_shared_evenly() {
        let check = |sizes: &[u32], threads_count, expected| {
            let groups = sizes.iter().enumerate();
            let of_series: Vec<u32> = groups
                .flat_map(|(group, size)| std::iter::repeat_n(group as u32, *size as usize))
                .collect();
            assert_eq!(turns(&of_series, threads_count).is_some(), expected, "{sizes:?}");
        };
        check(&[100], 2, false);
        check(&[100, 100], 2, true);
        check(&[100, 100, 100], 2, false);
        check(&[100, 100, 100, 90], 2, true);
        check(&[1000, 10, 10], 2, false);
        check(&[10; 40], 2, true);
        check(&[10; 40], 64, false);
    }
}
