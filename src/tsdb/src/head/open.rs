//! Open chunks of floats: how samples are put behind each other, read, and made XOR when the chunk is closed
//! or when they ask for it. When a chunk ends is `cut`'s matter.

use prom_storage::{Columns, TimeRange};
use smallvec::SmallVec;

use crate::chunk::{
    ChunkError, Encoding, Form, Steady, XorState, encode_floats, first_sample_bits, read_chunk,
};

use super::{
    blocks::{BlockPool, Chain},
    slot::HotSlot,
};

/// How often is looked whether XOR would take less, in samples.
const COMPARED_EVERY: u16 = 32;
/// Bytes of an open chunk.
type OpenBytes = SmallVec<[u8; 256]>;

impl HotSlot {
    /// Adds a sample to the open chunk, or begins one; it is neither due to end nor one of histograms.
    #[inline]
    pub(super) fn push_float(&mut self, (t, v): (i64, u64), blocks: &mut BlockPool) {
        if self.samples_count == 0 {
            self.chunk_min_t = t;
            self.form = Form::CONSTANT;
            self.xor = XorState::new();
            self.xor_bits = first_sample_bits(t);
        } else if self.form == Form::XOR || !self.push_steady((t, v), blocks) {
            self.push_xor((t, v), blocks);
        }
        self.samples_count += 1;
        (self.last_t, self.last_v) = (t, v);
    }

    /// Keeps a sample as a difference; says `false`, and has done nothing, if that cannot be.
    #[inline]
    fn push_steady(&mut self, (t, v): (i64, u64), blocks: &mut BlockPool) -> bool {
        let count = self.samples_count;
        let t_delta = t.wrapping_sub(self.last_t) as u32;
        if count > 1 && t_delta != self.xor.t_delta {
            return false;
        }
        if count.is_multiple_of(COMPARED_EVERY) && self.kept_bits() > u32::from(self.xor_bits) {
            return false;
        }
        let HotSlot { xor, chain, form, .. } = self;
        let sink = |word| blocks.push_word(chain, word);
        if !xor.keep_value(form, count, (self.last_v, v), sink) {
            return false;
        }
        let bits = xor.measure_next(count, (self.last_t, self.last_v), (t, v));
        self.xor_bits += bits as u16;
        true
    }

    fn push_xor(&mut self, (t, v): (i64, u64), blocks: &mut BlockPool) {
        if self.form != Form::XOR {
            self.make_xor(blocks);
        }
        let HotSlot { xor, chain, samples_count, last_t, last_v, .. } = self;
        let sink = |word| blocks.push_word(chain, word);
        xor.write_next(*samples_count, (*last_t, *last_v), (t, v), sink);
    }

    /// Writes what is kept as differences as XOR. It happens once in the life of a chunk, mostly early.
    #[cold]
    fn make_xor(&mut self, blocks: &mut BlockPool) {
        let mut samples: SmallVec<[(i64, u64); 16]> = SmallVec::new();
        self.for_each_steady(blocks, |t, v| {
            samples.push((t, v));
            true
        });
        blocks.free(self.chain);
        (self.chain, self.xor, self.form) = (Chain::EMPTY, XorState::new(), Form::XOR);
        let HotSlot { xor, chain, .. } = self;
        let mut last = (0, 0);
        for (count, sample) in samples.into_iter().enumerate() {
            let sink = |word| blocks.push_word(chain, word);
            match count {
                0 => xor.write_first(sample.0, sample.1, sink),
                _ => xor.write_next(count as u16, last, sample, sink),
            }
            last = sample;
        }
    }

    /// Puts the open chunk together as chunk files hold it.
    pub(super) fn put_floats(&self, blocks: &BlockPool, out: &mut Vec<u8>) {
        if self.form == Form::XOR {
            out.extend_from_slice(&self.samples_count.to_be_bytes());
            blocks.copy(&self.chain, out);
            let (size, tail) = self.xor.tail_bytes();
            out.extend_from_slice(&tail[..size]);
            return;
        }
        let mut samples = Vec::with_capacity(usize::from(self.samples_count));
        self.for_each_steady(blocks, |t, v| {
            samples.push((t, v));
            true
        });
        encode_floats(&samples, out);
    }

    /// Appends those of the first `count_max` samples of the open chunk that are within `range`.
    pub(super) fn read_floats(
        &self,
        blocks: &BlockPool,
        count_max: usize,
        range: TimeRange,
        out: &mut Columns,
    ) -> Result<(), ChunkError> {
        if self.form == Form::XOR {
            let mut open = Vec::with_capacity(self.chunk_state().size_bytes);
            self.put_floats(blocks, &mut open);
            return read_chunk(Encoding::Xor, &open, count_max, range, out);
        }
        let count = usize::from(self.samples_count).min(count_max);
        out.timestamps_ms.reserve(count);
        out.values.reserve(count);
        let mut left = count;
        self.for_each_steady(blocks, |t, v| {
            if left == 0 || t > range.maxt_ms {
                return false;
            }
            left -= 1;
            if t >= range.mint_ms {
                out.push(t, f64::from_bits(v));
            }
            true
        });
        Ok(())
    }

    fn for_each_steady(&self, blocks: &BlockPool, each: impl FnMut(i64, u64) -> bool) {
        let mut bytes = OpenBytes::new();
        blocks.for_each_word(&self.chain, |word| bytes.extend_from_slice(&word));
        let (size, tail) = self.xor.tail_bytes();
        bytes.extend_from_slice(&tail[..size]);
        let steady = Steady {
            form: self.form,
            count: self.samples_count,
            min_t: self.chunk_min_t,
            t_delta: self.xor.t_delta,
            last_v: self.last_v,
        };
        steady.for_each_sample(&bytes, each);
    }

    /// Bits that the differences take.
    fn kept_bits(&self) -> u32 {
        u32::from(self.chain.size_bytes) * 8 + u32::from(self.xor.tail_bits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::chunk_size_bytes;

    /// Times mostly at one pace, values of one kind for a while.
    fn any_samples() -> impl Strategy<Value = Vec<(i64, u64)>> {
        let step = prop_oneof![200 => Just(15_000i64), 1 => 14_990i64..15_010, 1 => 1i64..=1 << 31];
        let value = prop_oneof![
            40 => (0i64..40).prop_map(|v| (v as f64).to_bits()),
            20 => Just(7f64.to_bits()),
            1 => any::<f64>().prop_map(f64::to_bits),
            1 => any::<u64>(),
            1 => (0i64..1 << 53).prop_map(|v| (v as f64).to_bits()),
        ];
        let far = prop::collection::vec(
            (Just(15_000i64), (0i64..1 << 53).prop_map(|v| (v as f64).to_bits())),
            1..240,
        );
        let steps = prop_oneof![4 => prop::collection::vec((step, value), 1..240), 1 => far];
        (any::<i32>(), steps).prop_map(|(start, steps)| {
            let mut t = i64::from(start);
            let next = |(step, value)| {
                t += step;
                (t, value)
            };
            steps.into_iter().map(next).collect()
        })
    }

    fn read(
        hot: &HotSlot,
        blocks: &BlockPool,
        count_max: usize,
        range: TimeRange,
    ) -> Vec<(i64, u64)> {
        let mut columns = Columns::default();
        hot.read_floats(blocks, count_max, range, &mut columns).unwrap();
        let bits = columns.values.iter().map(|v| v.to_bits());
        columns.timestamps_ms.iter().copied().zip(bits).collect()
    }

    proptest! {
        /// Whatever the form, at any moment: the size counts as if it were XOR, what is read is what came, and
        /// what is put together is what the XOR writer gives.
        #[test]
        fn an_open_chunk_is_what_an_xor_chunk_would_be(
            samples in any_samples(),
            (count_max, from, to) in (0usize..250, 0usize..240, 0usize..240),
        ) {
            let (mut hot, mut blocks) = (HotSlot::new(1, 0), BlockPool::default());
            let (mut xor, mut flushed) = (XorState::new(), 0);
            for (count, sample) in samples.iter().enumerate() {
                hot.push_float(*sample, &mut blocks);
                match count {
                    0 => xor.write_first(sample.0, sample.1, |_| flushed += 4),
                    _ => xor.write_next(count as u16, samples[count - 1], *sample, |_| flushed += 4),
                }
                let size = chunk_size_bytes(flushed, xor.tail_bits);
                prop_assert_eq!(hot.chunk_state().size_bytes, size, "at {}", count);
            }
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            hot.put_floats(&blocks, &mut found);
            encode_floats(&samples, &mut expected);
            prop_assert_eq!(found, expected);
            let all = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };
            prop_assert_eq!(read(&hot, &blocks, usize::MAX, all), &samples[..]);
            let at = |index: usize| samples[index.min(samples.len() - 1)].0;
            let range = TimeRange { mint_ms: at(from), maxt_ms: at(to) };
            let visible = samples.iter().take(count_max);
            let within = visible.filter(|s| (range.mint_ms..=range.maxt_ms).contains(&s.0));
            let within: Vec<_> = within.copied().collect();
            prop_assert_eq!(read(&hot, &blocks, count_max, range), within);
        }
    }

    #[test]
    fn the_form_follows_the_samples() {
        let check = |values: &[f64], pace: fn(i64) -> i64, is_xor: bool, words: u16| {
            let (mut hot, mut blocks) = (HotSlot::new(1, 0), BlockPool::default());
            for (at, value) in (0..).zip(values) {
                hot.push_float((pace(at), value.to_bits()), &mut blocks);
            }
            assert_eq!(
                (hot.form == Form::XOR, hot.chain.size_bytes / 4),
                (is_xor, words),
                "{values:?}"
            );
        };
        let even: fn(i64) -> i64 = |at| at * 15_000;
        let jittery: fn(i64) -> i64 = |at| at * 15_000 + at % 3;
        check(&[1.5; 120], even, false, 0);
        check(&[1.5; 120], jittery, true, 46);
        let counter: Vec<f64> = (0..120).map(|at| f64::from(at * 7)).collect();
        check(&counter, even, false, 22);
        // The marker of a series that ends.
        let ended = [counter.as_slice(), &[prom_model::stale_nan()]].concat();
        check(&ended, even, true, 51);
        // XOR makes use of what these have in common: all but their high bits are zero.
        let pages: Vec<f64> =
            (0..120).map(|at| f64::from(at * 7919 % 100) * f64::from(1u32 << 15).powi(3)).collect();
        check(&pages, even, true, 60);
    }
}
