//! Series that are in each other's way: an error at the first step where they are present together.

use prom_model::METRIC_NAME;

use super::matching::{FILLED, MatchTable};
use crate::{
    QueryError,
    exec::{Ctx, memory::Held, row::Bitmap, series::SeriesSet, stored::Stored},
    syntax::{MatchCardinality, VectorMatching},
    watch::IN_EVALUATION,
};

/// Pairs looked at between two looks at the clock.
const PAIRS_PER_CHECK: usize = 1024;

/// Both sides of an operation, computed, and the steps at which each match group is there.
pub(super) struct Computed {
    pub(super) many: Stored,
    pub(super) one: Stored,
    many_steps: Vec<Bitmap>,
    one_steps: Vec<Bitmap>,
    step_count: usize,
    _held: Held,
}

impl Computed {
    pub(super) fn new(
        ctx: &Ctx<'_>,
        table: &MatchTable,
        many: Stored,
        one: Stored,
        step_count: usize,
    ) -> Result<Self, QueryError> {
        // Of both sides, and of what the check for competing matches takes.
        let set_count = 3 * table.group_count() + table.result_count();
        let held = ctx.memory.hold((set_count * (step_count.div_ceil(64) * 8 + 32)) as u64)?;
        let steps_of = |rows: &Stored, groups: &[u32]| {
            let mut steps = vec![Bitmap::empty(step_count); table.group_count()];
            for (index, group) in groups.iter().enumerate() {
                rows.mark(index, &mut steps[*group as usize]);
            }
            steps
        };
        let many_steps = steps_of(&many, &table.many_groups);
        let one_steps = steps_of(&one, &table.one_groups);
        Ok(Self { many, one, many_steps, one_steps, step_count, _held: held })
    }

    /// Steps at which a pair gives a result: both are there, or one is and nothing of its group is on the
    /// other side, which is filled then.
    pub(super) fn steps_of_pair(&self, table: &MatchTable, (many, one): (u32, u32)) -> Bitmap {
        let mut steps = Bitmap::empty(self.step_count);
        if many == FILLED {
            self.one.mark(one as usize, &mut steps);
            steps.subtract(&self.many_steps[table.one_groups[one as usize] as usize]);
        } else {
            self.many.mark(many as usize, &mut steps);
            let group = table.many_groups[many as usize] as usize;
            if one == FILLED {
                steps.subtract(&self.one_steps[group]);
            } else {
                let mut others = Bitmap::empty(self.step_count);
                self.one.mark(one as usize, &mut others);
                steps.intersect(&others);
            }
        }
        steps
    }

    /// Finds the error that the reference would meet first: by step, then duplicates of the "one" side.
    pub(super) fn check(
        &self,
        ctx: &Ctx<'_>,
        table: &MatchTable,
        one_series: &SeriesSet,
        matching: &VectorMatching,
    ) -> Result<(), QueryError> {
        let mut alive = union(&self.many_steps, self.step_count);
        let alive_one = union(&self.one_steps, self.step_count);
        if matching.fill_left.is_none() && matching.fill_right.is_none() {
            // A side that is empty at a step meets nothing there, whatever the other side holds.
            alive.intersect(&alive_one);
        } else {
            alive.unite(&alive_one);
        }
        let duplicate = first_duplicate(&table.one_groups, &self.one, &alive);
        let match_error = self.first_competing_match(ctx, table)?;
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

    /// The first step at which two pairs claim one result, or in one-to-one matching one group.
    fn first_competing_match(
        &self,
        ctx: &Ctx<'_>,
        table: &MatchTable,
    ) -> Result<Option<usize>, QueryError> {
        let slot_count =
            if table.is_one_to_one() { table.group_count() } else { table.result_count() };
        let mut taken: Vec<Option<Bitmap>> = vec![None; slot_count];
        let mut earliest = None;
        for result in 0..table.result_count() {
            if result % PAIRS_PER_CHECK == 0 {
                ctx.watch.check(IN_EVALUATION)?;
            }
            for pair in table.pairs(result) {
                let slot = if table.is_one_to_one() { table.group_of(*pair) } else { result };
                let steps = self.steps_of_pair(table, *pair);
                match &mut taken[slot] {
                    Some(taken) => {
                        let step = taken.first_common(&steps);
                        earliest = [earliest, step].into_iter().flatten().min();
                        taken.unite(&steps);
                    }
                    none => *none = Some(steps),
                }
            }
        }
        Ok(earliest)
    }
}

fn union(sets: &[Bitmap], step_count: usize) -> Bitmap {
    sets.iter().fold(Bitmap::empty(step_count), |mut all, set| {
        all.unite(set);
        all
    })
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
        if !rows.has(index, step) {
            continue;
        }
        match first_of_group[*group as usize] {
            Some(first) => return Some(Duplicate { step, first, second: index }),
            None => first_of_group[*group as usize] = Some(index),
        }
    }
    None
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
