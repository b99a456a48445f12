//! Series that are in each other's way: an error at the first step where they are present together.

use prom_model::METRIC_NAME;

use super::matching::MatchTable;
use crate::{
    QueryError,
    exec::{row::Bitmap, series::SeriesSet, stored::Stored},
    syntax::{MatchCardinality, VectorMatching},
};

/// Finds the error that the reference would meet first: by step, then duplicates of the "one" side.
/// `sides` are the "many" side and the "one" side.
pub(super) fn check_contests(
    table: &MatchTable,
    sides: [(&SeriesSet, &Stored); 2],
    matching: &VectorMatching,
    step_count: usize,
) -> Result<(), QueryError> {
    let [(_, many), (one_series, one)] = sides;
    // A side that is empty at a step meets nothing there, whatever the other side holds.
    let mut alive = Bitmap::empty(step_count);
    (0..many.len()).for_each(|index| many.mark(index, &mut alive));
    let mut alive_one = Bitmap::empty(step_count);
    (0..one.len()).for_each(|index| one.mark(index, &mut alive_one));
    alive.intersect(&alive_one);

    let duplicate = first_duplicate(&table.one_groups, one, &alive);
    let match_error = first_competing_match(table, many, one, step_count);
    match (duplicate, match_error) {
        (Some(duplicate), step) if step.is_none_or(|step| duplicate.step <= step) => {
            Err(duplicate_error(one_series, &duplicate, matching))
        }
        (_, Some(_)) => {
            let text = if table.is_one_to_one() {
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            } else {
                "multiple matches for labels: grouping labels must ensure unique matches"
            };
            Err(QueryError::Evaluation(text.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Two series of one match group at one step.
struct Duplicate {
    step: usize,
    first: usize,
    second: usize,
}

fn first_duplicate(groups: &[u32], rows: &Stored, alive: &Bitmap) -> Option<Duplicate> {
    let group_count = groups.iter().max().map_or(0, |max| *max as usize + 1);
    let mut taken: Vec<Option<Bitmap>> = vec![None; group_count];
    let mut earliest: Option<usize> = None;
    for (index, group) in groups.iter().enumerate() {
        let mut steps = Bitmap::empty(alive.count());
        rows.mark(index, &mut steps);
        steps.intersect(alive);
        match &mut taken[*group as usize] {
            Some(taken) => {
                let step = taken.first_common(&steps);
                earliest = [earliest, step].into_iter().flatten().min();
                taken.unite(&steps);
            }
            none => *none = Some(steps),
        }
    }
    let step = earliest?;
    let mut first_of_group = vec![None; group_count];
    for (index, group) in groups.iter().enumerate() {
        if rows.get(index, step).is_none() {
            continue;
        }
        match first_of_group[*group as usize] {
            Some(first) => return Some(Duplicate { step, first, second: index }),
            None => first_of_group[*group as usize] = Some(index),
        }
    }
    None
}

/// The first step at which two pairs claim one result, or in one-to-one matching one group.
fn first_competing_match(
    table: &MatchTable,
    many: &Stored,
    one: &Stored,
    step_count: usize,
) -> Option<usize> {
    let slot_count = if table.is_one_to_one() { table.group_count() } else { table.result_count() };
    let mut taken: Vec<Option<Bitmap>> = vec![None; slot_count];
    let mut earliest = None;
    for result in 0..table.result_count() {
        for (many_index, one_index) in table.pairs(result) {
            let group = table.many_groups[*many_index as usize] as usize;
            let slot = if table.is_one_to_one() { group } else { result };
            let mut steps = Bitmap::empty(step_count);
            many.mark(*many_index as usize, &mut steps);
            let mut ones = Bitmap::empty(step_count);
            one.mark(*one_index as usize, &mut ones);
            steps.intersect(&ones);
            match &mut taken[slot] {
                Some(taken) => {
                    earliest = [earliest, taken.first_common(&steps)].into_iter().flatten().min();
                    taken.unite(&steps);
                }
                none => *none = Some(steps),
            }
        }
    }
    earliest
}

fn duplicate_error(
    series: &SeriesSet,
    duplicate: &Duplicate,
    matching: &VectorMatching,
) -> QueryError {
    let (first, second) = (series.labels(duplicate.first), series.labels(duplicate.second));
    let mut names: Vec<&str> = matching.labels.iter().map(String::as_str).collect();
    let group = if matching.is_on {
        second.keep(&names)
    } else {
        names.push(METRIC_NAME);
        second.without(&names)
    };
    let side = match matching.cardinality {
        MatchCardinality::OneToMany => "left",
        _ => "right",
    };
    let mut texts = [first.to_string(), second.to_string()];
    texts.sort();
    let [first, second] = texts;
    QueryError::Evaluation(format!(
        "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one side"
    ))
}
