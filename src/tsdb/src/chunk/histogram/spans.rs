//! Bucket layouts against each other: which buckets there are, and how counts of one layout stand in
//! another. It knows no chunk.

use prom_model::Span;

/// Most buckets of one side. Upstream has no limit, but a scrape is refused long before.
pub(crate) const BUCKETS_COUNT_MAX: u64 = 1 << 20;

/// Indexes of the buckets, ascending unless an offset is negative.
pub(super) fn bucket_indexes(spans: &[Span]) -> impl Iterator<Item = i64> {
    let mut begin = 0_i64;
    spans.iter().flat_map(move |span| {
        begin += i64::from(span.offset);
        let from = begin;
        begin += i64::from(span.length);
        from..begin
    })
}

/// How many buckets; `None` if they are more than [`BUCKETS_COUNT_MAX`].
pub(crate) fn buckets_count(spans: &[Span]) -> Option<usize> {
    let count: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    (count <= BUCKETS_COUNT_MAX).then_some(count as usize)
}

/// Two layouts of one side, brought together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Union {
    /// All buckets of both.
    pub(super) spans: Vec<Span>,
    pub(super) count: usize,
    /// Where each bucket of the old layout, and of the new one, stands in the union.
    pub(super) old_places: Vec<usize>,
    pub(super) new_places: Vec<usize>,
}

impl Union {
    /// Puts the buckets of both in order. `is_fine` is told which buckets meet (`None` where a layout has
    /// no such bucket), and may refuse them.
    pub(super) fn of(
        old: &[Span],
        new: &[Span],
        mut is_fine: impl FnMut(Option<usize>, Option<usize>) -> bool,
    ) -> Option<Self> {
        let mut union = Self::default();
        let (mut old, mut new) = (bucket_indexes(old).peekable(), bucket_indexes(new).peekable());
        let mut end = 0;
        loop {
            let index = match (old.peek(), new.peek()) {
                (None, None) => return Some(union),
                (Some(index), None) | (None, Some(index)) => *index,
                (Some(old), Some(new)) => *old.min(new),
            };
            let old_at = old.next_if_eq(&index).map(|_| union.old_places.len());
            let new_at = new.next_if_eq(&index).map(|_| union.new_places.len());
            if !is_fine(old_at, new_at) {
                return None;
            }
            union.old_places.extend(old_at.map(|_| union.count));
            union.new_places.extend(new_at.map(|_| union.count));
            union.push(index, &mut end)?;
        }
    }

    fn push(&mut self, index: i64, end: &mut i64) -> Option<()> {
        match self.spans.last_mut().filter(|_| index == *end) {
            Some(span) => span.length += 1,
            None => {
                let offset = i32::try_from(index - *end).ok()?;
                self.spans.push(Span { offset, length: 1 });
            }
        }
        *end = index + 1;
        self.count += 1;
        Some(())
    }

    /// The new layout has buckets that the old one has not.
    pub(super) fn is_old_short(&self) -> bool {
        self.old_places.len() < self.count
    }

    /// The old layout has buckets that the new one has not.
    pub(super) fn is_new_short(&self) -> bool {
        self.new_places.len() < self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(pairs: &[(i32, u32)]) -> Vec<Span> {
        pairs.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
    }

    #[test]
    fn spans_number_their_buckets() {
        let check = |pairs: &[(i32, u32)], expected: &[i64]| {
            assert_eq!(bucket_indexes(&spans(pairs)).collect::<Vec<_>>(), expected);
        };
        check(&[], &[]);
        check(&[(0, 2), (2, 1), (3, 2), (3, 1), (1, 1)], &[0, 1, 4, 8, 9, 13, 15]);
        check(&[(-3, 2), (1, 1)], &[-3, -2, 0]);
        check(&[(1, 0), (2, 2)], &[3, 4]);
        check(&[(1, 1), (2, 0), (3, 1)], &[1, 7]);
    }

    #[test]
    fn layouts_are_brought_together() {
        let check = |old: &[(i32, u32)], new: &[(i32, u32)], expected: &[(i32, u32)]| {
            let union = Union::of(&spans(old), &spans(new), |_, _| true).unwrap();
            assert_eq!(union.spans, spans(expected));
            assert_eq!(bucket_indexes(&union.spans).count(), union.count);
            let all: Vec<_> = bucket_indexes(&union.spans).collect();
            let at = |places: &[usize]| places.iter().map(|p| all[*p]).collect::<Vec<_>>();
            assert_eq!(at(&union.old_places), bucket_indexes(&spans(old)).collect::<Vec<_>>());
            assert_eq!(at(&union.new_places), bucket_indexes(&spans(new)).collect::<Vec<_>>());
        };
        check(&[], &[], &[]);
        check(&[(0, 2)], &[], &[(0, 2)]);
        check(&[], &[(-2, 2)], &[(-2, 2)]);
        check(&[(0, 1)], &[(2, 1)], &[(0, 1), (1, 1)]);
        check(&[(0, 1), (1, 1)], &[(1, 1)], &[(0, 3)]);
        check(&[(5, 2)], &[(-5, 2)], &[(-5, 2), (8, 2)]);
        check(
            &[(0, 2), (2, 1), (3, 2), (3, 1), (1, 1)],
            &[(0, 3), (1, 1), (1, 4), (3, 3)],
            &[(0, 3), (1, 1), (1, 4), (3, 3)],
        );
    }
}
