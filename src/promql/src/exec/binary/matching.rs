//! Which series of two vectors meet, and what their results are called.
//! Compat: Prometheus `promql/engine.go`, `VectorBinop` and `resultMetric`.

use prom_model::{Labels, LabelsBuilder};

use crate::{
    QueryError,
    exec::{
        Ctx,
        series::{LabelNumbers, METADATA_LABELS, SeriesSet, without_metadata},
    },
    syntax::{MatchCardinality, VectorMatching},
    watch::IN_EVALUATION,
};

/// What a pair and its result take besides the text of the labels.
const PAIR_SIZE_BYTES: u64 = 64;
/// Pairs named between two looks at the clock.
const PAIRS_PER_CHECK: usize = 4096;

/// In a pair: a side that is not there and stands in for a fill value.
pub(super) const FILLED: u32 = u32::MAX;

/// Pairs of series by the result they give.
#[derive(Debug, Default)]
pub(super) struct MatchTable {
    /// Labels of the results, all different.
    pub(super) labels: Vec<Labels>,
    /// For each series of a side the number of its match group.
    pub(super) many_groups: Vec<u32>,
    pub(super) one_groups: Vec<u32>,
    group_count: usize,
    pairs: Vec<(u32, u32)>,
    /// Where the pairs of each result begin; one more than there are results.
    starts: Vec<u32>,
    is_one_to_one: bool,
}

/// One side of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Many,
    One,
}

/// Match groups of both sides, numbered in common.
pub(super) struct Signatures {
    pub(super) left: Vec<u32>,
    pub(super) right: Vec<u32>,
    /// For each number the labels that are compared.
    pub(super) labels: Vec<Labels>,
}

impl Signatures {
    pub(super) fn of(left: &SeriesSet, right: &SeriesSet, matching: &VectorMatching) -> Self {
        let names: Vec<&str> = matching.labels.iter().map(String::as_str).collect();
        let mut numbers = LabelNumbers::default();
        let mut side = |series: &SeriesSet| -> Vec<u32> {
            let groups = series.group(&names, !matching.is_on);
            let common: Vec<u32> =
                groups.labels.iter().map(|labels| numbers.number(labels)).collect();
            groups.of_series.iter().map(|group| common[*group as usize]).collect()
        };
        let (left, right) = (side(left), side(right));
        Self { left, right, labels: numbers.labels }
    }
}

impl MatchTable {
    pub(super) fn new(
        ctx: &Ctx<'_>,
        many: &SeriesSet,
        one: &SeriesSet,
        matching: &VectorMatching,
        drops_metadata: bool,
    ) -> Result<Self, QueryError> {
        let signatures = Signatures::of(many, one, matching);
        let group_count = signatures.labels.len();
        let mut ones_of_group = vec![Vec::new(); group_count];
        for (index, group) in signatures.right.iter().enumerate() {
            ones_of_group[*group as usize].push(index as u32);
        }
        // A cross join is refused before its pairs are there.
        let mut pair_count = 0;
        for group in &signatures.left {
            pair_count += ones_of_group[*group as usize].len() as u64;
        }
        ctx.keep(pair_count * PAIR_SIZE_BYTES)?;
        let namer = Namer { many, one, matching, drops_metadata, signatures: &signatures };
        let mut numbers = LabelNumbers::default();
        let mut by_result: Vec<(u32, (u32, u32))> = Vec::new();
        for (index, group) in signatures.left.iter().enumerate() {
            let fill = matching.fill_right.map(|_| &FILLED);
            for one in ones_of_group[*group as usize].iter().chain(fill) {
                let labels = namer.name(index as u32, *one, *group as usize);
                by_result.push((numbers.number(&labels), (index as u32, *one)));
                if by_result.len().is_multiple_of(PAIRS_PER_CHECK) {
                    ctx.watch.check(IN_EVALUATION)?;
                }
            }
        }
        if matching.fill_left.is_some() {
            for (index, group) in signatures.right.iter().enumerate() {
                let labels = namer.name(FILLED, index as u32, *group as usize);
                by_result.push((numbers.number(&labels), (FILLED, index as u32)));
            }
        }
        by_result.sort_by_key(|(result, _)| *result);
        let mut starts = vec![0; numbers.labels.len() + 1];
        for (result, _) in &by_result {
            starts[*result as usize + 1] += 1;
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        ctx.keep(numbers.labels.iter().map(|labels| labels.as_bytes().len() as u64).sum())?;
        Ok(Self {
            labels: numbers.labels,
            many_groups: signatures.left,
            one_groups: signatures.right,
            group_count,
            pairs: by_result.into_iter().map(|(_, pair)| pair).collect(),
            starts,
            is_one_to_one: matching.cardinality == MatchCardinality::OneToOne,
        })
    }

    /// Pairs that give the result at `index`, in the order of the "many" side.
    pub(super) fn pairs(&self, index: usize) -> &[(u32, u32)] {
        &self.pairs[self.starts[index] as usize..self.starts[index + 1] as usize]
    }

    pub(super) fn group_count(&self) -> usize {
        self.group_count
    }

    /// The match group of a pair.
    pub(super) fn group_of(&self, (many, one): (u32, u32)) -> usize {
        let group = match many {
            FILLED => self.one_groups[one as usize],
            many => self.many_groups[many as usize],
        };
        group as usize
    }

    pub(super) fn result_count(&self) -> usize {
        self.labels.len()
    }

    /// Whether the result has the group to itself.
    pub(super) fn is_one_to_one(&self) -> bool {
        self.is_one_to_one
    }

    /// Whether series can be in each other's way at some step.
    pub(super) fn is_contested(&self) -> bool {
        has_twice(&self.one_groups, self.group_count)
            || self.is_one_to_one && has_twice(&self.matched_groups(), self.group_count)
            || (0..self.result_count()).any(|result| self.pairs(result).len() > 1)
    }

    /// Whether a series of the "one" side gives several results.
    pub(super) fn reuses_one(&self) -> bool {
        let ones: Vec<u32> = self.pairs.iter().map(|(_, one)| *one).collect();
        has_twice(&ones, self.one_groups.len())
    }

    /// Series of a side that meet none of the other.
    pub(super) fn unmatched(&self, side: Side, count: usize) -> Vec<u32> {
        let mut is_matched = vec![false; count];
        for (many, one) in &self.pairs {
            let index = if side == Side::Many { *many } else { *one };
            if index != FILLED {
                is_matched[index as usize] = true;
            }
        }
        (0..count as u32).filter(|index| !is_matched[*index as usize]).collect()
    }

    /// Groups of the "many" series that meet something.
    fn matched_groups(&self) -> Vec<u32> {
        let mut has_one = vec![false; self.group_count];
        self.one_groups.iter().for_each(|group| has_one[*group as usize] = true);
        self.many_groups.iter().copied().filter(|group| has_one[*group as usize]).collect()
    }
}

/// Gives results their labels.
struct Namer<'a> {
    many: &'a SeriesSet,
    one: &'a SeriesSet,
    matching: &'a VectorMatching,
    drops_metadata: bool,
    signatures: &'a Signatures,
}

impl Namer<'_> {
    fn name(&self, many: u32, one: u32, group: usize) -> Labels {
        let VectorMatching { cardinality, labels: names, is_on, include, .. } = self.matching;
        let is_one_to_one = *cardinality == MatchCardinality::OneToOne;
        // A side that is filled has the labels that are compared and no others.
        let compared = &self.signatures.labels[group];
        if is_one_to_one && include.is_empty() && (self.drops_metadata || *is_on) {
            return if self.drops_metadata { without_metadata(compared) } else { compared.clone() };
        }
        let side = |series: &SeriesSet, index: u32| {
            if index == FILLED { compared.clone() } else { series.labels(index as usize) }
        };
        let mut builder = LabelsBuilder::from_labels(&side(self.many, many));
        if self.drops_metadata {
            for name in METADATA_LABELS {
                builder.remove(name);
            }
        }
        if is_one_to_one {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let kept = builder.build();
            let kept = if *is_on { kept.keep(&names) } else { kept.without(&names) };
            builder = LabelsBuilder::from_labels(&kept);
        }
        if !include.is_empty() {
            let one = side(self.one, one);
            for name in include {
                builder.set(name, one.get(name).unwrap_or_default());
            }
        }
        builder.build()
    }
}

fn has_twice(numbers: &[u32], count: usize) -> bool {
    let mut seen = vec![false; count];
    numbers.iter().any(|number| std::mem::replace(&mut seen[*number as usize], true))
}
