//! XOR chunks that are written once, with all samples known: as the head would, or as dense as can be.
//! Any reader of XOR chunks reads both. Format: docs/format/xor.md.

use super::xor::{XorState, dod_bits};

/// Samples and bytes of a dense chunk at most; larger ones are read more than once by others.
const SAMPLES_COUNT_MAX: usize = 480;
const SIZE_BYTES_MAX: usize = 1000;
/// Bits of a window's description, and of the mark of a value in a window that is there.
const WINDOW_BITS: u32 = 13;
const REUSE_BITS: u32 = 2;
const LEADING_MAX: u32 = 31;

/// Writes samples, at most 65 535, each no more than `u32::MAX` after the one before, as one chunk.
pub(crate) fn encode_floats(samples: &[(i64, u64)], out: &mut Vec<u8>) {
    encode(samples, |_| None, out);
}

/// Writes the first samples as one chunk whose windows cost as little as can be; says how many.
pub(crate) fn encode_densest(samples: &[(i64, u64)], out: &mut Vec<u8>) -> usize {
    let samples = &samples[..samples.len().min(SAMPLES_COUNT_MAX)];
    let is_far = |pair: &[(i64, u64)]| u32::try_from(pair[1].0.wrapping_sub(pair[0].0)).is_err();
    let end = samples.windows(2).position(is_far).map_or(samples.len(), |at| at + 1);
    let plan = WindowPlan::new(&samples[..end]);
    let count = plan.count_within(SIZE_BYTES_MAX * 8);
    let windows = plan.windows(count);
    encode(&samples[..count], |at| windows.get(at).copied().flatten(), out);
    count
}

fn encode(samples: &[(i64, u64)], window: impl Fn(usize) -> Option<(u8, u8)>, out: &mut Vec<u8>) {
    out.extend_from_slice(&(samples.len() as u16).to_be_bytes());
    let mut state = XorState::new();
    let mut last = (0, 0);
    for (at, sample) in samples.iter().enumerate() {
        let sink = |word: u32| out.extend_from_slice(&word.to_be_bytes());
        match at {
            0 => state.write_first(sample.0, sample.1, sink),
            _ => state.write_planned(at as u16, last, *sample, window(at), sink),
        }
        last = *sample;
    }
    let (size, tail) = state.tail_bytes();
    out.extend_from_slice(&tail[..size]);
}

/// The cheapest windows for the changes of a run of values: a shortest path over where windows begin.
/// The search takes the square of the changes at most, which [`SAMPLES_COUNT_MAX`] bounds; it ends early
/// where windows of noise have become as wide as they get.
struct WindowPlan {
    /// By sample: bits of all up to it, without those of windows and what is in them.
    fixed_bits: Vec<u32>,
    /// By sample: how many values have changed up to it.
    changes_count: Vec<u32>,
    /// By change: its sample, and its zero bits on both sides.
    changes: Vec<(usize, u32, u32)>,
    /// By number of changes: the bits they take at least, and where the last window begins then.
    best: Vec<(u32, usize)>,
}

impl WindowPlan {
    fn new(samples: &[(i64, u64)]) -> Self {
        let mut plan = Self {
            fixed_bits: Vec::with_capacity(samples.len()),
            changes_count: Vec::with_capacity(samples.len()),
            changes: Vec::new(),
            best: vec![(0, 0)],
        };
        let mut bits = 16;
        let (mut last, mut last_delta) = ((0i64, 0u64), 0i64);
        for (at, (t, v)) in samples.iter().copied().enumerate() {
            let delta = t.wrapping_sub(last.0);
            bits += match at {
                0 => 8 * varint_size_bytes(((t << 1) ^ (t >> 63)) as u64) + 64,
                1 => 8 * varint_size_bytes(delta as u64),
                _ => dod_bits(delta.wrapping_sub(last_delta)),
            };
            let change = v ^ last.1;
            if at > 0 && change == 0 {
                bits += 1;
            } else if at > 0 {
                let leading = change.leading_zeros().min(LEADING_MAX);
                plan.changes.push((at, leading, change.trailing_zeros()));
            }
            plan.fixed_bits.push(bits);
            plan.changes_count.push(plan.changes.len() as u32);
            (last, last_delta) = ((t, v), delta);
        }
        plan.search();
        plan
    }

    fn search(&mut self) {
        for end in 1..=self.changes.len() {
            let (mut leading, mut trailing) = (LEADING_MAX, 63);
            let mut best = (u32::MAX, 0);
            for begin in (0..end).rev() {
                let (_, change_leading, change_trailing) = self.changes[begin];
                leading = leading.min(change_leading);
                trailing = trailing.min(change_trailing);
                let size = 64 - leading - trailing;
                let count = (end - begin) as u32;
                let window = WINDOW_BITS + size + (count - 1) * (REUSE_BITS + size);
                let bits = self.best[begin].0 + window;
                if bits < best.0 {
                    best = (bits, begin);
                }
                // A window that begins earlier is no narrower. It saves one description at most, because
                // the way to `begin` was no dearer than through such a window.
                if bits.saturating_sub(WINDOW_BITS - REUSE_BITS) >= best.0 {
                    break;
                }
            }
            self.best.push(best);
        }
    }

    /// How many samples fit; at least one.
    fn count_within(&self, bits_max: usize) -> usize {
        let bits = |at: usize| self.fixed_bits[at] + self.best[self.changes_count[at] as usize].0;
        let fits = (0..self.fixed_bits.len()).rev().find(|at| bits(*at) as usize <= bits_max);
        fits.map_or(1, |at| at + 1)
    }

    /// By sample: the window that begins there.
    fn windows(&self, count: usize) -> Vec<Option<(u8, u8)>> {
        let mut windows = vec![None; count];
        let last = count.checked_sub(1).and_then(|at| self.changes_count.get(at));
        let mut end = last.map_or(0, |count| *count as usize);
        while end > 0 {
            let (_, begin) = self.best[end];
            let within = &self.changes[begin..end];
            let leading = within.iter().map(|(_, leading, _)| *leading).min().unwrap_or(0);
            let trailing = within.iter().map(|(_, _, trailing)| *trailing).min().unwrap_or(0);
            windows[within[0].0] = Some((leading as u8, trailing as u8));
            end = begin;
        }
        windows
    }
}

fn varint_size_bytes(value: u64) -> u32 {
    (64 - (value | 1).leading_zeros()).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::for_each_sample;

    fn decode(chunk: &[u8]) -> Vec<(i64, u64)> {
        let mut samples = Vec::new();
        for_each_sample(chunk, usize::MAX, |t, v| {
            samples.push((t, v));
            true
        })
        .unwrap();
        samples
    }

    fn any_samples() -> impl Strategy<Value = Vec<(i64, u64)>> {
        let step = prop_oneof![5 => Just(15_000i64), 2 => 14_990i64..15_010, 1 => 1i64..=1 << 33];
        let value = prop_oneof![
            3 => (0u32..1000).prop_map(|v| f64::from(v).to_bits()),
            2 => any::<f64>().prop_map(f64::to_bits),
            1 => Just(0u64),
            1 => any::<u64>(),
        ];
        (any::<i32>(), prop::collection::vec((step, value), 1..700)).prop_map(|(start, steps)| {
            let mut t = i64::from(start);
            let next = |(step, value)| {
                t += step;
                (t, value)
            };
            steps.into_iter().map(next).collect()
        })
    }

    proptest! {
        #[test]
        fn dense_chunks_hold_the_samples_and_are_never_larger(samples in any_samples()) {
            let mut rest = samples.as_slice();
            let mut found = Vec::new();
            while !rest.is_empty() {
                let (mut dense, mut plain) = (Vec::new(), Vec::new());
                let count = encode_densest(rest, &mut dense);
                encode_floats(&rest[..count], &mut plain);
                prop_assert!(dense.len() <= plain.len(), "{} {}", dense.len(), plain.len());
                prop_assert!(dense.len() <= SIZE_BYTES_MAX);
                prop_assert_eq!(decode(&plain), &rest[..count]);
                found.extend(decode(&dense));
                rest = &rest[count..];
            }
            prop_assert_eq!(found, samples);
        }
    }

    #[test]
    fn counters_with_outliers_profit() {
        // Small steps, and now and then a large one that would widen the window for all that follow.
        let mut value = 1e9;
        let samples: Vec<(i64, u64)> = (0..480)
            .map(|at: i64| {
                value += if at % 40 == 39 { 123_456.789 } else { (at % 7) as f64 };
                (at * 15_000, f64::to_bits(value))
            })
            .collect();
        let (mut dense, mut plain) = (Vec::new(), Vec::new());
        let count = encode_densest(&samples, &mut dense);
        encode_floats(&samples[..count], &mut plain);
        assert!(dense.len() * 10 <= plain.len() * 9, "{} of {}", dense.len(), plain.len());
    }
}
