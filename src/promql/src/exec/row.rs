//! One series over the steps of a grid: a column of values and a bitmap of the steps that have one.
//! Values of absent steps are unspecified and may be computed with; they are never shown.
//! Histograms have a lane of their own, which a row without any does not have.

mod lane;

pub(crate) use lane::SharedHistogram;

use lane::Lane;

/// Bits in one word of a bitmap.
const WORD_BITS: usize = 64;

/// A column of optional floats. Buffers are reused: nothing is allocated once they are large enough.
/// No step has both a float and a histogram.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    values: Vec<f64>,
    present: Bitmap,
    lane: Option<Box<Lane>>,
}

/// A set of steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bitmap {
    words: Vec<u64>,
    /// How many steps the grid has; bits from here on are zero.
    count: usize,
}

impl Row {
    /// A row of `count` steps, all absent.
    pub(crate) fn absent(count: usize) -> Self {
        let mut row = Self::default();
        row.reset(count);
        row
    }

    /// Makes this a row of `count` steps, all absent.
    pub(crate) fn reset(&mut self, count: usize) {
        self.values.resize(count, 0.0);
        self.present.reset(count);
        self.lane = None;
    }

    /// Makes this a row of `count` steps that all have `value`.
    pub(crate) fn fill(&mut self, count: usize, value: f64) {
        self.values.clear();
        self.values.resize(count, value);
        self.present.fill(count);
        self.lane = None;
    }

    /// Makes every step one of `values`.
    pub(crate) fn copy_full(&mut self, values: &[f64]) {
        self.values.clear();
        self.values.extend_from_slice(values);
        self.present.fill(values.len());
        self.lane = None;
    }

    /// Sets the steps from `first` on.
    pub(crate) fn copy_part(&mut self, first: usize, values: &[f64]) {
        self.values[first..first + values.len()].copy_from_slice(values);
        (first..first + values.len()).for_each(|step| self.present.set(step));
    }

    /// Sets values from `first` on and the bitmap of all steps.
    pub(crate) fn copy_sparse(&mut self, first: usize, values: &[f64], words: &[u64]) {
        self.values[first..first + values.len()].copy_from_slice(values);
        self.present.words.copy_from_slice(words);
    }

    pub(crate) fn count(&self) -> usize {
        self.present.count
    }

    pub(crate) fn set(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        self.present.set(step);
    }

    pub(crate) fn get(&self, step: usize) -> Option<f64> {
        self.present.has(step).then(|| self.values[step])
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    pub(crate) fn present(&self) -> &Bitmap {
        &self.present
    }

    pub(crate) fn present_mut(&mut self) -> &mut Bitmap {
        &mut self.present
    }

    /// Values to overwrite and the bitmap to read.
    pub(crate) fn parts_mut(&mut self) -> (&mut [f64], &Bitmap) {
        (&mut self.values, &self.present)
    }

    /// Applies `f` to every value, absent ones included.
    pub(crate) fn map(&mut self, f: impl Fn(f64) -> f64) {
        for value in &mut self.values {
            *value = f(*value);
        }
    }

    /// Calls `f` with each step that has a value.
    pub(crate) fn for_each(&self, mut f: impl FnMut(usize, f64)) {
        self.present.for_each(|step| f(step, self.values[step]));
    }

    /// Keeps the steps for which `keep` holds.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(usize, f64) -> bool) {
        for (word_index, word) in self.present.words.iter_mut().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                let step = word_index * WORD_BITS + bit;
                if !keep(step, self.values[step]) {
                    *word &= !(1 << bit);
                }
            }
        }
    }
}

impl Bitmap {
    pub(crate) fn empty(count: usize) -> Self {
        let mut bitmap = Self::default();
        bitmap.reset(count);
        bitmap
    }

    pub(crate) fn reset(&mut self, count: usize) {
        self.count = count;
        self.words.clear();
        self.words.resize(count.div_ceil(WORD_BITS), 0);
    }

    pub(crate) fn fill(&mut self, count: usize) {
        self.count = count;
        self.words.clear();
        self.words.resize(count.div_ceil(WORD_BITS), u64::MAX);
        if let Some(last) = self.words.last_mut() {
            let used = count - (count - 1) / WORD_BITS * WORD_BITS;
            *last = u64::MAX >> (WORD_BITS - used);
        }
    }

    pub(crate) fn set(&mut self, step: usize) {
        self.words[step / WORD_BITS] |= 1 << (step % WORD_BITS);
    }

    pub(crate) fn unset(&mut self, step: usize) {
        self.words[step / WORD_BITS] &= !(1 << (step % WORD_BITS));
    }

    /// Whether the step is in the set; steps that the grid does not have are not.
    pub(crate) fn has(&self, step: usize) -> bool {
        self.words.get(step / WORD_BITS).is_some_and(|word| word >> (step % WORD_BITS) & 1 == 1)
    }

    /// How many steps the grid has.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(crate) fn any(&self) -> bool {
        self.words.iter().any(|word| *word != 0)
    }

    /// How many steps are in the set.
    pub(crate) fn ones(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// First step in the set, and the one behind the last.
    pub(crate) fn bounds(&self) -> Option<(usize, usize)> {
        let first = self.words.iter().position(|word| *word != 0)?;
        let last = self.words.iter().rposition(|word| *word != 0)?;
        let start = first * WORD_BITS + self.words[first].trailing_zeros() as usize;
        let end = (last + 1) * WORD_BITS - self.words[last].leading_zeros() as usize;
        Some((start, end))
    }

    pub(crate) fn for_each(&self, mut f: impl FnMut(usize)) {
        for (index, word) in self.words.iter().enumerate() {
            let base = index * WORD_BITS;
            if *word == u64::MAX {
                (base..base + WORD_BITS).for_each(&mut f);
                continue;
            }
            let mut rest = *word;
            while rest != 0 {
                f(base + rest.trailing_zeros() as usize);
                rest &= rest - 1;
            }
        }
    }

    /// Adds the steps of `other`.
    pub(crate) fn unite(&mut self, other: &Self) {
        self.unite_words(&other.words);
    }

    /// Adds the steps of a bitmap of the same grid.
    pub(crate) fn unite_words(&mut self, others: &[u64]) {
        for (word, other) in self.words.iter_mut().zip(others) {
            *word |= other;
        }
    }

    /// Keeps the steps that `other` has too.
    pub(crate) fn intersect(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// Removes the steps of `other`.
    pub(crate) fn subtract(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    /// The first step that both have.
    pub(crate) fn first_common(&self, other: &Self) -> Option<usize> {
        let words = self.words.iter().zip(&other.words).map(|(a, b)| a & b);
        let (index, word) = words.enumerate().find(|(_, word)| *word != 0)?;
        Some(index * WORD_BITS + word.trailing_zeros() as usize)
    }
}

/// Calls `f` with each run of bits that are set.
pub(crate) fn for_each_run(word: u64, mut f: impl FnMut(std::ops::Range<usize>)) {
    let (mut rest, mut begin) = (word, 0);
    while rest != 0 {
        let skipped = rest.trailing_zeros();
        rest >>= skipped;
        begin += skipped as usize;
        let size = rest.trailing_ones();
        f(begin..begin + size as usize);
        begin += size as usize;
        rest = rest.checked_shr(size).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitmap(count: usize, steps: &[usize]) -> Bitmap {
        let mut bitmap = Bitmap::empty(count);
        steps.iter().for_each(|step| bitmap.set(*step));
        bitmap
    }

    fn steps(bitmap: &Bitmap) -> Vec<usize> {
        let mut steps = Vec::new();
        bitmap.for_each(|step| steps.push(step));
        steps
    }

    #[test]
    fn a_full_bitmap_has_exactly_its_steps() {
        for count in [0, 1, 63, 64, 65, 128, 241] {
            let mut full = Bitmap::default();
            full.fill(count);
            assert_eq!(steps(&full), (0..count).collect::<Vec<_>>());
            assert_eq!(full.ones(), count);
        }
    }

    #[test]
    fn runs_are_the_bits_of_a_word() {
        for word in [0, 1, u64::MAX, 1 << 63, 0b1101, u64::MAX << 7, 0xf0f0_0000_ffff_0001] {
            let (mut seen, mut end) = (0_u64, None);
            for_each_run(word, |run| {
                assert!(end.is_none_or(|end| run.start > end), "{word:b}");
                end = Some(run.end);
                run.for_each(|bit| seen |= 1 << bit);
            });
            assert_eq!(seen, word);
        }
    }

    #[test]
    fn sets_combine() {
        let mut set = bitmap(130, &[0, 64, 129]);
        assert_eq!(set.bounds(), Some((0, 130)));
        assert_eq!(set.first_common(&bitmap(130, &[65, 129])), Some(129));
        assert_eq!(set.first_common(&bitmap(130, &[65])), None);
        set.unite(&bitmap(130, &[65]));
        set.subtract(&bitmap(130, &[0]));
        assert_eq!(steps(&set), [64, 65, 129]);
        set.intersect(&bitmap(130, &[65, 70]));
        assert_eq!(set.bounds(), Some((65, 66)));
        assert_eq!(bitmap(130, &[]).bounds(), None);
    }

    #[test]
    fn a_row_keeps_only_what_it_has() {
        let mut row = Row::absent(70);
        row.set(3, 1.0);
        row.set(69, 2.0);
        row.map(|v| v * 2.0);
        row.retain(|step, value| step != 3 && value == 4.0);
        assert_eq!((row.get(3), row.get(69)), (None, Some(4.0)));
        assert_eq!(Row::absent(0).get(0), None);
        row.fill(2, 7.0);
        assert_eq!((row.count(), row.get(1)), (2, Some(7.0)));
    }
}
