//! Which series of a block match: the shortest postings are intersected, the labels of what is left are
//! looked at while the series are read anyway. A regular expression is asked once for each distinct value,
//! at most.

use std::ops::ControlFlow;

use hashbrown::HashMap;
use prom_model::{MatchOp, Matcher};
use prom_storage::{StorageError, TimeRange};

use crate::block::{Block, IndexReader, Postings, SeriesEntry, Tombstones};

use super::patience::Patience;

/// Postings that are intersected; further matchers are checked on the labels of the survivors.
const INTERSECT_COUNT_MAX: usize = 3;

/// Calls `each` with the series that match, in the order of their labels.
///
/// # Errors
/// The index is damaged, `each` fails, or the patience ends.
pub(crate) fn for_each_matching(
    block: &Block,
    matchers: &[Matcher],
    patience: &Patience<'_>,
    each: impl FnMut(u32, &SeriesEntry) -> Result<ControlFlow<()>, StorageError>,
) -> Result<(), StorageError> {
    try_each_matching(block, matchers, patience, each).inspect_err(|err| block.suspect(err))
}

fn try_each_matching(
    block: &Block,
    matchers: &[Matcher],
    patience: &Patience<'_>,
    mut each: impl FnMut(u32, &SeriesEntry) -> Result<ControlFlow<()>, StorageError>,
) -> Result<(), StorageError> {
    let index = block.index();
    let Some(plan) = Plan::new(index, matchers, patience)? else { return Ok(()) };
    let mut filters: Vec<Filter<'_>> =
        plan.filters.iter().map(|matcher| Filter::new(matcher, index)).collect::<Result<_, _>>()?;
    let mut entry = SeriesEntry::default();
    for number in plan.candidates(index)? {
        patience.tick()?;
        index.series(number, &mut entry)?;
        let mut is_match = true;
        for filter in &mut filters {
            is_match = is_match && filter.is_match(index, &entry)?;
        }
        if is_match && each(number, &entry)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Whether a series has a chunk in the range that is not deleted as a whole.
pub(super) fn has_chunk_in(
    number: u32,
    entry: &SeriesEntry,
    tombstones: &Tombstones,
    range: TimeRange,
) -> bool {
    let deleted = tombstones.of(u64::from(number));
    entry.chunks.iter().any(|chunk| {
        chunk.min_t <= range.maxt_ms
            && chunk.max_t >= range.mint_ms
            && !deleted.iter().any(|d| d.mint_ms <= chunk.min_t && chunk.max_t <= d.maxt_ms)
    })
}

/// How to find the series.
struct Plan<'i, 'm> {
    /// Series are in each of these; of the lists within one they are in any. None: all series.
    lists: Vec<Vec<Postings<'i>>>,
    filters: Vec<&'m Matcher>,
}

impl<'i, 'm> Plan<'i, 'm> {
    /// `None` if a matcher excludes everything.
    fn new(
        index: &'i IndexReader,
        matchers: &'m [Matcher],
        patience: &Patience<'_>,
    ) -> Result<Option<Self>, StorageError> {
        let (mut lists, mut filters, mut scans) = (Vec::new(), Vec::new(), Vec::new());
        for matcher in matchers {
            if matcher.matches_empty() {
                filters.push(matcher);
                continue;
            }
            match known_postings(index, matcher)? {
                Some(known) if known.iter().all(|list| list.len() == 0) => return Ok(None),
                Some(known) => lists.push((matcher, known)),
                None => scans.push(matcher),
            }
        }
        lists.sort_by_key(|(_, lists)| lists.iter().map(Postings::len).sum::<usize>());
        if lists.is_empty() && !scans.is_empty() {
            // Every matcher left needs a look at all values of a label; the fewest give the series.
            scans.sort_by_key(|matcher| index.values_count(matcher.name()));
            let matcher = scans.remove(0);
            let found = scanned_postings(index, matcher, patience)?;
            if found.is_empty() {
                return Ok(None);
            }
            lists.push((matcher, found));
        }
        filters.extend(scans);
        if lists.len() > INTERSECT_COUNT_MAX {
            filters.extend(lists.drain(INTERSECT_COUNT_MAX..).map(|(matcher, _)| matcher));
        }
        let lists = lists.into_iter().map(|(_, lists)| lists).collect();
        Ok(Some(Self { lists, filters }))
    }

    fn candidates(&self, index: &IndexReader) -> Result<Vec<u32>, StorageError> {
        let Some((first, others)) = self.lists.split_first() else {
            return Ok(index.all_postings()?.iter().collect());
        };
        let mut series = union(first);
        for lists in others {
            match lists.as_slice() {
                [one] => one.intersect(&mut series),
                many => {
                    let other = union(many);
                    series.retain(|number| other.binary_search(number).is_ok());
                }
            }
        }
        Ok(series)
    }
}

/// Series in any of the lists. A series has one value of a name, so none comes twice.
fn union(lists: &[Postings<'_>]) -> Vec<u32> {
    let mut series = Vec::with_capacity(lists.iter().map(Postings::len).sum());
    for list in lists {
        series.extend(list.iter());
    }
    if lists.len() > 1 {
        series.sort_unstable();
    }
    series
}

/// The postings of the values that a matcher names, if it does.
fn known_postings<'i>(
    index: &'i IndexReader,
    matcher: &Matcher,
) -> Result<Option<Vec<Postings<'i>>>, StorageError> {
    let find = |value: &str| index.postings(matcher.name(), value);
    match matcher.op() {
        MatchOp::Equal => Ok(Some(vec![find(matcher.value())?])),
        MatchOp::Regex => match matcher.regex().and_then(|regex| regex.literals()) {
            Some(literals) => {
                let mut literals: Vec<&String> = literals.iter().collect();
                literals.sort_unstable();
                literals.dedup();
                literals
                    .into_iter()
                    .map(|literal| find(literal))
                    .collect::<Result<_, _>>()
                    .map(Some)
            }
            None => Ok(None),
        },
        MatchOp::NotEqual | MatchOp::NotRegex => Ok(None),
    }
}

/// The postings of all values of the label that match.
fn scanned_postings<'i>(
    index: &'i IndexReader,
    matcher: &Matcher,
    patience: &Patience<'_>,
) -> Result<Vec<Postings<'i>>, StorageError> {
    let regex = matcher.regex().filter(|_| matcher.op() == MatchOp::Regex);
    let prefix = regex.and_then(|regex| regex.prefix()).unwrap_or_default();
    let mut places = Vec::new();
    let mut waited = Ok(());
    index.for_each_value(matcher.name(), prefix, |value, place| {
        waited = patience.tick();
        if waited.is_err() || !value.starts_with(prefix) {
            return ControlFlow::Break(());
        }
        if matcher.matches(value) {
            places.push(place);
        }
        ControlFlow::Continue(())
    })?;
    waited?;
    places.into_iter().map(|place| index.postings_at(place)).collect()
}

/// A matcher asked about series; answers are kept by the symbol of the value.
struct Filter<'m> {
    matcher: &'m Matcher,
    name: Option<u32>,
    matches_empty: bool,
    answers: HashMap<u32, bool, foldhash::fast::RandomState>,
}

impl<'m> Filter<'m> {
    fn new(matcher: &'m Matcher, index: &IndexReader) -> Result<Self, StorageError> {
        Ok(Self {
            matcher,
            name: index.find_symbol(matcher.name())?,
            matches_empty: matcher.matches_empty(),
            answers: HashMap::default(),
        })
    }

    fn is_match(&mut self, index: &IndexReader, entry: &SeriesEntry) -> Result<bool, StorageError> {
        let value = entry.labels.iter().find(|(name, _)| Some(*name) == self.name);
        let Some((_, value)) = value else { return Ok(self.matches_empty) };
        if let Some(answer) = self.answers.get(value) {
            return Ok(*answer);
        }
        let answer = self.matcher.matches(index.symbol(*value)?);
        self.answers.insert(*value, answer);
        Ok(answer)
    }
}
