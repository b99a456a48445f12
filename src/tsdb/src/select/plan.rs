//! Which series match: start from the shortest postings, intersect a few more, then look at the labels of
//! what is left. A regular expression is asked once for each distinct value, at most.

use hashbrown::HashMap;
use prom_model::{MatchOp, Matcher};
use prom_storage::StorageError;

use crate::head::{Head, NameId, PairId, Pairs, SeriesIndex};

use super::patience::Patience;

/// Postings that are intersected; further matchers are checked on the labels of the survivors.
const INTERSECT_COUNT_MAX: usize = 3;
/// Values that are looked at before others may add series.
const VALUES_COUNT_STEP: usize = 4096;

/// Gives `each` the series that match, as ascending numbers, with the tables in which they mean something.
///
/// # Errors
/// [`StorageError::Canceled`] where the patience ends.
pub(super) fn with_matching_series<T>(
    head: &Head,
    matchers: &[Matcher],
    patience: &Patience<'_>,
    each: impl FnOnce(&SeriesIndex, &[u32]) -> T,
) -> Result<T, StorageError> {
    loop {
        let generation = head.index().generation();
        let plan = Plan::new(head, matchers, patience)?;
        let index = head.index();
        // A truncation gives new numbers to pairs and series; they are rare, so there is an end.
        if index.generation() == generation {
            let series = matching_series(&index, plan, patience)?;
            return Ok(each(&index, &series));
        }
    }
}

fn matching_series(
    index: &SeriesIndex,
    plan: Plan<'_>,
    patience: &Patience<'_>,
) -> Result<Vec<u32>, StorageError> {
    let pairs = index.dictionary().read();
    match plan {
        Plan::Nothing => Ok(Vec::new()),
        Plan::Search { lists, filters } => {
            let series = series_of_lists(index, lists);
            let mut filters: Vec<Filter<'_>> =
                filters.into_iter().map(|matcher| Filter::new(matcher, &pairs)).collect();
            if filters.is_empty() {
                return Ok(series);
            }
            let mut matching = Vec::new();
            for seq in series {
                patience.tick()?;
                let ids = index.pair_ids(seq);
                if filters.iter_mut().all(|filter| filter.is_match(ids, &pairs)) {
                    matching.push(seq);
                }
            }
            Ok(matching)
        }
    }
}

/// How to find the series.
enum Plan<'m> {
    /// A matcher excludes everything.
    Nothing,
    /// Series that have a pair of each list, and pass the filters. No list: all series.
    Search { lists: Vec<Vec<PairId>>, filters: Vec<&'m Matcher> },
}

impl<'m> Plan<'m> {
    fn new(
        head: &Head,
        matchers: &'m [Matcher],
        patience: &Patience<'_>,
    ) -> Result<Self, StorageError> {
        let (mut lists, mut filters) = (Vec::new(), Vec::new());
        let mut scans = Vec::new();
        for matcher in matchers {
            match known_pairs(head, matcher) {
                Known::Pairs(pairs) if pairs.is_empty() => return Ok(Self::Nothing),
                Known::Pairs(pairs) => lists.push((matcher, pairs)),
                Known::AnyValue => scans.push(matcher),
                Known::Filter => filters.push(matcher),
            }
        }
        let index = head.index();
        let series_count = |pairs: &[PairId]| -> usize {
            pairs.iter().map(|pair| index.postings(*pair).len()).sum()
        };
        lists.sort_by_cached_key(|(_, pairs)| series_count(pairs));
        drop(index);
        if lists.is_empty() && !scans.is_empty() {
            // Every matcher left needs a look at all values of a label; the first one's gives the series.
            let matcher = scans.remove(0);
            let pairs = pairs_matching(head, matcher, patience)?;
            if pairs.is_empty() {
                return Ok(Self::Nothing);
            }
            lists.push((matcher, pairs));
        }
        filters.extend(scans);
        if lists.len() > INTERSECT_COUNT_MAX {
            filters.extend(lists.drain(INTERSECT_COUNT_MAX..).map(|(matcher, _)| matcher));
        }
        Ok(Self::Search { lists: lists.into_iter().map(|(_, pairs)| pairs).collect(), filters })
    }
}

/// What is known about a matcher without asking it about values.
enum Known {
    /// Only series with one of these pairs match.
    Pairs(Vec<PairId>),
    /// Only series that have the label match, which values is not known.
    AnyValue,
    /// Series without the label match, too.
    Filter,
}

fn known_pairs(head: &Head, matcher: &Matcher) -> Known {
    if matcher.matches_empty() {
        return Known::Filter;
    }
    let index = head.index();
    let pairs = index.dictionary().read();
    let find = |value: &str| pairs.find_pair(matcher.name(), value);
    match matcher.op() {
        MatchOp::Equal => Known::Pairs(find(matcher.value()).into_iter().collect()),
        MatchOp::Regex => match matcher.regex().and_then(|regex| regex.literals()) {
            Some(literals) => {
                let mut found: Vec<PairId> = literals.iter().filter_map(|l| find(l)).collect();
                found.sort_unstable();
                found.dedup();
                Known::Pairs(found)
            }
            None => Known::AnyValue,
        },
        MatchOp::NotEqual | MatchOp::NotRegex => Known::AnyValue,
    }
}

/// Asks the matcher about all values of its label. The tables are let go in between, so that many values
/// and a slow expression keep nobody from adding series.
fn pairs_matching(
    head: &Head,
    matcher: &Matcher,
    patience: &Patience<'_>,
) -> Result<Vec<PairId>, StorageError> {
    let dictionary = std::sync::Arc::clone(head.index().dictionary());
    let prefix = matcher.regex().filter(|_| matcher.op() == MatchOp::Regex);
    let prefix = prefix.and_then(|regex| regex.prefix()).unwrap_or_default();
    let mut found = Vec::new();
    let mut begin = 0;
    loop {
        let pairs = dictionary.read();
        let Some(name) = pairs.find_name(matcher.name()) else { return Ok(found) };
        let values = pairs.pairs_of(name);
        let count = values.len();
        let is_match = |pair: &PairId| {
            let value = pairs.value(*pair);
            value.starts_with(prefix) && matcher.matches(value)
        };
        for pair in values.skip(begin).take(VALUES_COUNT_STEP) {
            patience.tick()?;
            if is_match(&pair) {
                found.push(pair);
            }
        }
        begin += VALUES_COUNT_STEP;
        if begin >= count {
            return Ok(found);
        }
    }
}

/// Series that have a pair of each list, ascending.
fn series_of_lists(index: &SeriesIndex, lists: Vec<Vec<PairId>>) -> Vec<u32> {
    let mut lists = lists.into_iter();
    let Some(first) = lists.next() else { return (0..index.count() as u32).collect() };
    let mut series = union(index, &first);
    for pairs in lists {
        match pairs.as_slice() {
            [one] => intersect(&mut series, index.postings(*one)),
            many => intersect(&mut series, &union(index, many)),
        }
    }
    series
}

/// Series that have any of the pairs. A series has one value of a name, so none comes twice.
fn union(index: &SeriesIndex, pairs: &[PairId]) -> Vec<u32> {
    let lists = || pairs.iter().map(|pair| index.postings(*pair));
    let count = lists().map(<[u32]>::len).sum();
    let mut series = Vec::with_capacity(count);
    let words_count = index.count().div_ceil(u64::BITS as usize);
    if pairs.len() > 1 && count >= words_count {
        // Where many are wanted, marking them takes less than sorting them.
        let mut words = vec![0_u64; words_count];
        for seq in lists().flatten() {
            words[(seq / u64::BITS) as usize] |= 1 << (seq % u64::BITS);
        }
        for (at, word) in words.into_iter().enumerate() {
            let mut rest = word;
            while rest != 0 {
                series.push(at as u32 * u64::BITS + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
        return series;
    }
    lists().for_each(|list| series.extend_from_slice(list));
    if pairs.len() > 1 {
        series.sort_unstable();
    }
    series
}

/// Keeps what is in `other`, too. Both ascend; `other` may be much longer.
fn intersect(series: &mut Vec<u32>, mut other: &[u32]) {
    series.retain(|seq| {
        // Gallop to the first that is not before.
        let mut step = 1;
        while other.get(step).is_some_and(|candidate| candidate < seq) {
            step *= 2;
        }
        let window = other.get(step / 2..).unwrap_or_default();
        let window = &window[..window.len().min(step / 2 + 2)];
        let skip = step / 2 + window.partition_point(|candidate| candidate < seq);
        other = other.get(skip..).unwrap_or_default();
        other.first() == Some(seq)
    });
}

/// A matcher asked about label sets; answers are kept by pair.
struct Filter<'m> {
    matcher: &'m Matcher,
    name: Option<NameId>,
    matches_empty: bool,
    answers: HashMap<u32, bool, foldhash::fast::RandomState>,
}

impl<'m> Filter<'m> {
    fn new(matcher: &'m Matcher, pairs: &Pairs) -> Self {
        Self {
            matcher,
            name: pairs.find_name(matcher.name()),
            matches_empty: matcher.matches_empty(),
            answers: HashMap::default(),
        }
    }

    fn is_match(&mut self, ids: &[u32], pairs: &Pairs) -> bool {
        let Some(name) = self.name else { return self.matches_empty };
        let Some(id) = ids.iter().find(|id| pairs.name_of(PairId(**id)) == name) else {
            return self.matches_empty;
        };
        let matcher = self.matcher;
        let ask = || matcher.matches(pairs.value(PairId(*id)));
        *self.answers.entry(*id).or_insert_with(ask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intersections_are_those_of_sets() {
        let check = |a: &[u32], b: &[u32]| {
            let mut found = a.to_vec();
            intersect(&mut found, b);
            let expected: Vec<u32> = a.iter().copied().filter(|x| b.contains(x)).collect();
            assert_eq!(found, expected, "{a:?} {b:?}");
        };
        let every = |step: usize, end: u32| -> Vec<u32> { (0..end).step_by(step).collect() };
        check(&[], &[]);
        check(&[1], &[]);
        check(&[], &[1]);
        check(&[0, 1, 2], &[0, 1, 2]);
        check(&[5], &every(1, 100));
        check(&every(7, 1000), &every(1, 1000));
        check(&every(1, 1000), &every(7, 1000));
        check(&every(3, 500), &every(5, 2000));
        check(&[999, 1000], &every(2, 1001));
        check(&[1, 2, 3], &[4]);
        for step in 1..40 {
            check(&every(step, 300), &every(41 - step, 300));
        }
    }
}
