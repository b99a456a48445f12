//! The series of an operator's result: how many, and their labels when somebody asks.
//! Labels of a selection are made one by one and only for what is shown.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use prom_model::{Labels, METRIC_NAME, METRIC_TYPE, METRIC_UNIT};
use prom_storage::{Grouping, Groups, Selection, group_by_labels};

use super::Ctx;

/// Labels that describe a metric: they go when its values mean something else.
/// Compat: Prometheus `schema/labels.go`, `IsMetadataLabel`.
pub(crate) const METADATA_LABELS: [&str; 3] = [METRIC_NAME, METRIC_TYPE, METRIC_UNIT];

/// Series of one operator, by index.
#[derive(Clone)]
pub(crate) struct SeriesSet {
    source: Source,
    drops: Drops,
    /// The one metric name of all series, where that is known without looking.
    metric_name: Option<Arc<str>>,
    /// Whether all label sets are known to differ.
    is_unique: bool,
    /// Whether any of the series may have native histograms.
    may_have_histograms: bool,
}

#[derive(Clone)]
enum Source {
    Selected { selection: Arc<dyn Selection>, has_metadata: bool },
    Made(Arc<[Labels]>),
}

/// Series that lose their metadata labels at the end of the query, where removal is delayed.
#[derive(Clone)]
enum Drops {
    All(bool),
    Each(Arc<[bool]>),
}

impl SeriesSet {
    /// Series as they are stored.
    pub(crate) fn selected(selection: Arc<dyn Selection>, metric_name: Option<Arc<str>>) -> Self {
        let may_have_histograms = selection.may_have_histograms();
        let source = Source::Selected { selection, has_metadata: true };
        let drops = Drops::All(false);
        Self { source, drops, metric_name, is_unique: true, may_have_histograms }
    }

    /// Series with these labels, not known to differ.
    pub(crate) fn made(labels: Vec<Labels>) -> Self {
        let source = Source::Made(labels.into());
        let drops = Drops::All(false);
        Self { source, drops, metric_name: None, is_unique: false, may_have_histograms: true }
    }

    /// Series with these labels, all different.
    pub(crate) fn made_unique(labels: Vec<Labels>) -> Self {
        Self { is_unique: true, ..Self::made(labels) }
    }

    /// The same series, all labels being known to differ.
    pub(crate) fn into_unique(self) -> Self {
        Self { is_unique: true, ..self }
    }

    /// Replaces what happens to metadata labels at the end.
    pub(crate) fn with_drops(self, drops: Vec<bool>) -> Self {
        let drops = match drops.first() {
            Some(first) if drops.iter().all(|drop| drop == first) => Drops::All(*first),
            None => Drops::All(false),
            Some(_) => Drops::Each(drops.into()),
        };
        Self { drops, ..self }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.source {
            Source::Selected { selection, .. } => selection.len(),
            Source::Made(labels) => labels.len(),
        }
    }

    /// Whether any of the series may have native histograms.
    pub(crate) fn may_have_histograms(&self) -> bool {
        self.may_have_histograms
    }

    /// The same series, made of those of `operand` alone.
    pub(crate) fn made_of(self, operand: &Self) -> Self {
        Self { may_have_histograms: operand.may_have_histograms, ..self }
    }

    pub(crate) fn labels(&self, index: usize) -> Labels {
        match &self.source {
            Source::Selected { selection, has_metadata: true } => selection.labels(index),
            Source::Selected { selection, .. } => without_metadata(&selection.labels(index)),
            Source::Made(labels) => labels[index].clone(),
        }
    }

    /// Whether the series loses its metadata labels at the end of the query.
    pub(crate) fn drops_name(&self, index: usize) -> bool {
        match &self.drops {
            Drops::All(drop) => *drop,
            Drops::Each(drops) => drops[index],
        }
    }

    /// Whether any series loses its metadata labels at the end of the query.
    pub(crate) fn drops_any(&self) -> bool {
        match &self.drops {
            Drops::All(drop) => *drop,
            Drops::Each(drops) => drops.iter().any(|drop| *drop),
        }
    }

    pub(crate) fn metric_name(&self) -> Option<&Arc<str>> {
        self.metric_name.as_ref()
    }

    /// The series of a function's result: at once or at the end they lose their metadata labels.
    pub(crate) fn dropped(&self, ctx: &Ctx<'_>) -> Self {
        if ctx.settings.is_name_removal_delayed {
            return Self { drops: Drops::All(true), ..self.clone() };
        }
        let is_unique = match &self.source {
            Source::Selected { has_metadata: false, .. } => self.is_unique,
            // One name on all series tells none from another.
            Source::Selected { .. } => {
                self.metric_name.is_some() && !ctx.store_has_metadata_labels()
            }
            Source::Made(labels) => {
                self.is_unique && labels.iter().all(|labels| !has_metadata(labels))
            }
        };
        let source = match &self.source {
            Source::Selected { selection, .. } => {
                Source::Selected { selection: Arc::clone(selection), has_metadata: false }
            }
            Source::Made(labels) => Source::Made(labels.iter().map(without_metadata).collect()),
        };
        Self { source, is_unique, metric_name: None, ..self.clone() }
    }

    /// Takes away the metadata labels that were to go at the end.
    pub(crate) fn cleaned(&self) -> Self {
        if !self.drops_any() {
            return self.clone();
        }
        let labels = (0..self.len()).map(|index| {
            let labels = self.labels(index);
            if self.drops_name(index) { without_metadata(&labels) } else { labels }
        });
        Self::made(labels.collect()).made_of(self)
    }

    /// Numbers the groups of an aggregation.
    pub(crate) fn group(&self, names: &[&str], is_without: bool) -> Groups {
        match &self.source {
            Source::Made(labels) => {
                let grouping = grouping(names, is_without);
                group_by_labels(labels.iter().cloned(), &grouping)
            }
            Source::Selected { selection, has_metadata: true } => {
                selection.group(&grouping(names, is_without))
            }
            Source::Selected { selection, .. } => {
                let names: Vec<&str> = if is_without {
                    names.iter().chain(&METADATA_LABELS[1..]).copied().collect()
                } else {
                    names.iter().filter(|name| !METADATA_LABELS.contains(name)).copied().collect()
                };
                selection.group(&grouping(&names, is_without))
            }
        }
    }

    /// Series of equal labels are one: which one each series becomes, and the first of each.
    /// Nothing where all differ.
    pub(crate) fn duplicates(&self) -> Option<Merged> {
        if self.is_unique {
            return None;
        }
        if let Source::Selected { selection, has_metadata: false } = &self.source
            && selection.differ_without(&METADATA_LABELS[1..])
        {
            return None;
        }
        let merged = Merged::of((0..self.len()).map(|index| self.labels(index)));
        (merged.first.len() < self.len()).then_some(merged)
    }

    /// The series at these indices.
    pub(crate) fn pick(&self, indices: &[u32]) -> Self {
        let labels = indices.iter().map(|index| self.labels(*index as usize)).collect();
        let drops = indices.iter().map(|index| self.drops_name(*index as usize)).collect();
        Self { is_unique: self.is_unique, ..Self::made(labels).with_drops(drops).made_of(self) }
    }
}

/// Series by equal labels, in the order in which each comes first.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// For each series the one that it becomes.
    pub(crate) target: Vec<u32>,
    /// For each target the first series that becomes it.
    pub(crate) first: Vec<u32>,
    pub(crate) labels: Vec<Labels>,
}

impl Merged {
    pub(crate) fn of(sets: impl Iterator<Item = Labels>) -> Self {
        let mut merged = Self::default();
        let mut numbers = LabelNumbers::default();
        for (index, labels) in sets.enumerate() {
            let number = numbers.number(&labels);
            if number as usize == merged.first.len() {
                merged.first.push(index as u32);
            }
            merged.target.push(number);
        }
        merged.labels = numbers.labels;
        merged
    }
}

/// Numbers label sets in the order of their first appearance.
#[derive(Debug, Default)]
pub(crate) struct LabelNumbers {
    pub(crate) labels: Vec<Labels>,
    index: HashTable<u32>,
}

impl LabelNumbers {
    pub(crate) fn number(&mut self, labels: &Labels) -> u32 {
        let hasher = FixedState::default();
        let hash = |labels: &Labels| hasher.hash_one(labels.as_bytes());
        let (list, next) = (&self.labels, self.labels.len() as u32);
        let entry = self.index.entry(
            hash(labels),
            |number| list[*number as usize] == *labels,
            |number| hash(&list[*number as usize]),
        );
        let number = *entry.or_insert(next).get();
        if number == next {
            self.labels.push(labels.clone());
        }
        number
    }
}

fn grouping<'a>(names: &'a [&'a str], is_without: bool) -> Grouping<'a> {
    if is_without { Grouping::Without(names) } else { Grouping::By(names) }
}

fn has_metadata(labels: &Labels) -> bool {
    METADATA_LABELS.iter().any(|name| labels.get(name).is_some())
}

/// The labels of a value that no longer is what its metric was.
pub(crate) fn without_metadata(labels: &Labels) -> Labels {
    if has_metadata(labels) { labels.without(&METADATA_LABELS) } else { labels.clone() }
}
