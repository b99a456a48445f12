//! Buckets of one sign: indices told by spans, counts beside them.
//! Indices are 64 bits wide, so that no layout of foreign bytes leaves their range.

use std::sync::Arc;

use super::{Span, bounds};
use crate::KahanSum;

/// A bucket by its index, and what rounding took from its count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Term {
    pub(super) index: i64,
    pub(super) count: f64,
    pub(super) compensation: f64,
}

/// Buckets of one sign. The compensation is empty where none is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Side {
    pub(super) spans: Arc<[Span]>,
    pub(super) counts: Vec<f64>,
    pub(super) compensations: Vec<f64>,
}

/// Spans and counts in the making.
#[derive(Debug, Default)]
struct Builder {
    spans: Vec<Span>,
    counts: Vec<f64>,
    compensations: Vec<f64>,
    /// Behind the last bucket.
    end: i64,
}

/// Indices of the buckets of `spans`, lowest first.
pub(super) fn indices(spans: &[Span]) -> impl Iterator<Item = i64> + Clone + '_ {
    let ranges = spans.iter().scan(0_i64, |end, span| {
        let start = *end + i64::from(span.offset);
        *end = start + i64::from(span.length);
        Some(start..*end)
    });
    ranges.flatten()
}

/// Indices of the buckets of `spans`, highest first.
pub(super) fn indices_down(spans: &[Span]) -> impl Iterator<Item = i64> + '_ {
    let lengths = spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length));
    let ranges = spans.iter().rev().scan(lengths.sum(), |end: &mut i64, span| {
        let range = *end - i64::from(span.length)..*end;
        *end = range.start - i64::from(span.offset);
        Some(range.rev())
    });
    ranges.flatten()
}

impl Side {
    pub(super) fn new(spans: &Arc<[Span]>, counts: Vec<f64>, compensations: Vec<f64>) -> Self {
        Self { spans: Arc::clone(spans), counts, compensations }
    }

    pub(super) fn terms(&self) -> impl Iterator<Item = Term> + Clone + '_ {
        terms(&self.spans, &self.counts, &self.compensations)
    }

    /// Adds the buckets of `other`. Spans that are equal stay shared.
    pub(super) fn merge(&mut self, other: impl Iterator<Item = Term>, has_compensation: bool) {
        let mut builder = Builder::with_capacity(self.counts.len());
        let mut own = terms(&self.spans, &self.counts, &self.compensations).peekable();
        for term in other {
            while let Some(before) = own.next_if(|known| known.index < term.index) {
                builder.push(before, has_compensation);
            }
            let sum = match own.next_if(|known| known.index == term.index) {
                Some(known) if has_compensation => compensated(known, &term),
                Some(known) => Term { count: known.count + term.count, ..known },
                None => term,
            };
            builder.push(sum, has_compensation);
        }
        own.for_each(|rest| builder.push(rest, has_compensation));
        *self = builder.finish(&self.spans);
    }

    /// Adds counts of buckets that are the same as one's own.
    pub(super) fn add_same(&mut self, counts: &[f64], sign: f64, has_compensation: bool) {
        if !has_compensation {
            for (own, other) in self.counts.iter_mut().zip(counts) {
                *own += other * sign;
            }
            return;
        }
        let own = self.counts.iter_mut().zip(&mut self.compensations);
        for ((own, compensation), other) in own.zip(counts) {
            let mut sum = KahanSum { sum: *own, compensation: *compensation };
            sum.add(other * sign);
            (*own, *compensation) = (sum.sum, sum.compensation);
        }
    }

    /// The same observations in coarser buckets.
    pub(super) fn reduced(&self, schema: i32, target: i32) -> Self {
        let has_compensation = !self.compensations.is_empty();
        let mut builder = Builder::with_capacity(self.counts.len());
        let mut open: Option<Term> = None;
        for term in self.terms() {
            let term = Term { index: bounds::coarser_index(term.index, schema, target), ..term };
            open = Some(match open {
                Some(known) if known.index == term.index && has_compensation => {
                    let mut sum = KahanSum { sum: known.count, compensation: known.compensation };
                    sum.add(term.count);
                    sum.add(term.compensation);
                    Term { count: sum.sum, compensation: sum.compensation, ..known }
                }
                Some(known) if known.index == term.index => {
                    Term { count: known.count + term.count, ..known }
                }
                Some(known) => {
                    builder.push(known, has_compensation);
                    term
                }
                None => term,
            });
        }
        if let Some(last) = open {
            builder.push(last, has_compensation);
        }
        builder.finish(&self.spans)
    }

    /// Leaves out empty buckets, except for gaps of up to `gap_max` between others.
    pub(super) fn compact(&mut self, gap_max: u32) {
        let is_dense = self.counts.iter().all(|count| *count != 0.0);
        let is_lean = |span: &Span| i64::from(span.offset) > i64::from(gap_max) && span.length > 0;
        if is_dense && self.spans.iter().skip(1).all(is_lean) {
            return;
        }
        let has_compensation = !self.compensations.is_empty();
        let mut builder = Builder::with_capacity(self.counts.len());
        for term in self.terms() {
            if term.count == 0.0 && term.compensation == 0.0 {
                continue;
            }
            let gap = term.index - builder.end;
            if !builder.counts.is_empty() && gap <= i64::from(gap_max) {
                for index in builder.end..term.index {
                    let empty = Term { index, count: 0.0, compensation: 0.0 };
                    builder.push(empty, has_compensation);
                }
            }
            builder.push(term, has_compensation);
        }
        *self = builder.finish(&self.spans);
    }
}

/// Buckets with their indices. What has no count or no index is left out.
pub(super) fn terms<'a>(
    spans: &'a [Span],
    counts: &'a [f64],
    compensations: &'a [f64],
) -> impl Iterator<Item = Term> + Clone + 'a {
    indices(spans).zip(counts).enumerate().map(|(at, (index, count))| {
        let compensation = compensations.get(at).copied().unwrap_or_default();
        Term { index, count: *count, compensation }
    })
}

fn compensated(known: Term, term: &Term) -> Term {
    let mut sum = KahanSum { sum: known.count, compensation: known.compensation };
    sum.add(term.count);
    if term.compensation != 0.0 {
        sum.add(term.compensation);
    }
    Term { count: sum.sum, compensation: sum.compensation, ..known }
}

impl Builder {
    fn with_capacity(count: usize) -> Self {
        Self { counts: Vec::with_capacity(count), ..Self::default() }
    }

    /// Adds a bucket behind all others.
    fn push(&mut self, term: Term, has_compensation: bool) {
        match self.spans.last_mut() {
            Some(span) if term.index == self.end => span.length += 1,
            _ => {
                let offset = term.index - self.end;
                let offset = offset.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
                self.spans.push(Span { offset, length: 1 });
            }
        }
        self.end = term.index + 1;
        self.counts.push(term.count);
        if has_compensation {
            self.compensations.push(term.compensation);
        }
    }

    /// Spans equal to those of before are shared.
    fn finish(self, before: &Arc<[Span]>) -> Side {
        let spans = if *self.spans == **before { Arc::clone(before) } else { self.spans.into() };
        Side { spans, counts: self.counts, compensations: self.compensations }
    }
}

/// Builds a side of buckets that come lowest first.
pub(super) fn collect(
    terms: impl Iterator<Item = Term>,
    before: &Arc<[Span]>,
    has_compensation: bool,
) -> Side {
    let mut builder = Builder::default();
    terms.for_each(|term| builder.push(term, has_compensation));
    builder.finish(before)
}

/// Whether spans tell the same layout; those without a bucket only move the next.
/// Compat: Prometheus `model/histogram/histogram.go`, `spansMatch`.
pub(super) fn same_layout(a: &[Span], b: &[Span]) -> bool {
    fn lean(spans: &[Span]) -> impl Iterator<Item = (i64, u32)> + '_ {
        let mut skipped = 0;
        spans.iter().filter_map(move |span| {
            skipped += i64::from(span.offset);
            (span.length > 0).then(|| (std::mem::take(&mut skipped), span.length))
        })
    }
    a == b || lean(a).eq(lean(b))
}
