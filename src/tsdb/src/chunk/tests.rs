//! The XOR codec against itself, against bytes that Prometheus wrote, and against damage.

use std::fs;

use prom_testkit::conformance;
use proptest::prelude::*;

use super::{
    CHUNK_HEADER_SIZE_BYTES, ChunkError, ChunkState, XorState, chunk_size_bytes, for_each_sample,
    is_new_chunk_due, range_end_ms,
};

fn encode(samples: &[(i64, u64)]) -> Vec<u8> {
    let mut bytes = (samples.len() as u16).to_be_bytes().to_vec();
    let mut state = XorState::new();
    for (index, sample) in samples.iter().enumerate() {
        let sink = |word: u32| bytes.extend_from_slice(&word.to_be_bytes());
        match index {
            0 => state.write_first(sample.0, sample.1, sink),
            _ => state.write_next(index as u16, samples[index - 1], *sample, sink),
        }
    }
    let flushed = (bytes.len() - CHUNK_HEADER_SIZE_BYTES) as u16;
    let (size, tail) = state.tail_bytes();
    bytes.extend_from_slice(&tail[..size]);
    assert_eq!(bytes.len(), chunk_size_bytes(flushed, state.tail_bits));
    bytes
}

fn decode(chunk: &[u8]) -> Result<Vec<(i64, u64)>, ChunkError> {
    let mut samples = Vec::new();
    for_each_sample(chunk, usize::MAX, |t, v| {
        samples.push((t, v));
        true
    })?;
    Ok(samples)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn bytes_are_those_of_the_format_page() {
    let check = |samples: &[(i64, f64)], expected: &str| {
        let samples: Vec<_> = samples.iter().map(|(t, v)| (*t, v.to_bits())).collect();
        let chunk = encode(&samples);
        assert_eq!(hex(&chunk), expected);
        assert_eq!(decode(&chunk).unwrap(), samples);
    };
    check(&[], "0000");
    check(&[(0, 0.0)], "0001000000000000000000");
    check(&[(-1, 1.0)], "0001013ff0000000000000");
    // 1000 ms on, same value: varint e8 07, bit 0.
    check(&[(0, 1.0), (1000, 1.0)], "0002003ff0000000000000e80700");
    // The same pace and value: one byte keeps them.
    check(&[(0, 1.0), (1000, 1.0), (2000, 1.0)], "0003003ff0000000000000e80700");
    // Window 11 00001(leading) 001011(size 11) from 1.0 to 2.0: delta 0x7ff0...0.
    check(&[(0, 1.0), (1000, 2.0)], "0002003ff0000000000000e807c25fff");
}

#[test]
fn dod_bins_are_asymmetric() {
    // Bits of the third sample's time, without the value's single bit.
    let check = |dod: i64, expected_bits: usize| {
        let samples = [(0, 0), (1 << 24, 0), ((2 << 24) + dod, 0)];
        let chunk = encode(&samples);
        assert_eq!(decode(&chunk).unwrap(), samples);
        let before = encode(&samples[..2]).len();
        // Two samples end with one bit in their last byte, and the third adds a value bit.
        assert_eq!(chunk.len() - before, (1 + expected_bits + 1).div_ceil(8) - 1, "dod {dod}");
    };
    check(0, 1);
    for (width, bits) in [(14, 16), (17, 20), (20, 24)] {
        check(-((1i64 << (width - 1)) - 1), bits);
        check(1i64 << (width - 1), bits);
    }
    check(-8_192, 20);
    check(8_193, 20);
    check(-524_288, 68);
    check(524_289, 68);
}

#[test]
fn special_values_keep_their_bits() {
    let values = [
        0,
        1 << 63,
        u64::MAX,
        1,
        f64::NAN.to_bits(),
        prom_model::STALE_NAN_BITS,
        0x7ff8_0000_0000_0001,
        f64::INFINITY.to_bits(),
        f64::MIN_POSITIVE.to_bits(),
        1.5f64.to_bits(),
    ];
    let mut samples = Vec::new();
    for first in values {
        for second in values {
            let t = samples.len() as i64 * 15_000;
            samples.extend([(t, first), (t + 7, second)]);
        }
    }
    assert_eq!(decode(&encode(&samples)).unwrap(), samples);
}

#[test]
fn damaged_chunks_are_refused() {
    let check = |chunk: &[u8], expected| assert_eq!(decode(chunk), Err(expected));
    check(&[], ChunkError::Truncated);
    check(&[0], ChunkError::Truncated);
    check(&[0, 1], ChunkError::Truncated);
    check(&[0, 1, 0, 0, 0], ChunkError::Truncated);
    check(&[&[0, 1][..], &[0xff; 20][..]].concat(), ChunkError::InvalidVarint);
    let whole = encode(&[(0, 1), (1000, 2), (2000, 99)]);
    for size in CHUNK_HEADER_SIZE_BYTES..whole.len() {
        check(&whole[..size], ChunkError::Truncated);
    }
    // 11, leading 31, size 63.
    check(&[0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff], ChunkError::InvalidWindow);
}

#[test]
fn reading_stops_when_told() {
    let chunk = encode(&[(1, 1), (2, 2), (3, 3), (4, 4)]);
    for count in 0..6 {
        let mut seen = 0;
        for_each_sample(&chunk, count, |_, _| {
            seen += 1;
            true
        })
        .unwrap();
        assert_eq!(seen, count.min(4));
    }
    let mut seen = Vec::new();
    for_each_sample(&chunk, 4, |t, _| {
        seen.push(t);
        t < 3
    })
    .unwrap();
    assert_eq!(seen, [1, 2, 3]);
}

#[test]
fn chunks_end_where_prometheus_ends_them() {
    // One sample each 15 s from the start of a range: 480 in 2 h, four chunks of 120.
    let check = |step_ms: i64, values: fn(i64) -> u64, expected: &[u16]| {
        let (mut sizes, mut last) = (Vec::new(), (0, 0));
        let mut chunk =
            ChunkState { samples_count: 0, size_bytes: 2, min_t: 0, last_t: 0, next_at: 0 };
        let mut state = XorState::new();
        let mut flushed = 0;
        for t in (0..7_200_000).step_by(step_ms as usize) {
            let v = values(t);
            if chunk.samples_count == 0 || is_new_chunk_due(&mut chunk, t) {
                if chunk.samples_count > 0 {
                    sizes.push(chunk.samples_count);
                }
                let next_at = range_end_ms(t, 7_200_000);
                chunk =
                    ChunkState { samples_count: 0, size_bytes: 2, min_t: t, last_t: t, next_at };
                (state, flushed) = (XorState::new(), 0);
                state.write_first(t, v, |_| flushed += 4);
            } else {
                state.write_next(chunk.samples_count, last, (t, v), |_| flushed += 4);
            }
            chunk.samples_count += 1;
            chunk.size_bytes = chunk_size_bytes(flushed, state.tail_bits);
            chunk.last_t = t;
            last = (t, v);
        }
        sizes.push(chunk.samples_count);
        assert_eq!(sizes, expected);
    };
    let constant = |_| 1;
    let noise = |t: i64| (t as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    check(15_000, constant, &[120; 4]);
    check(60_000, constant, &[120]);
    check(25_000, constant, &[144, 144]);
    // The byte limit: 8 bytes and more for each value of noise.
    check(60_000, noise, &[120]);
    check(15_000, noise, &[120; 4]);
    check(
        10_000,
        |t| if t < 1_000_000 { 1 } else { (t as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) },
        &[120; 6],
    );
}

/// Cuts the chunks out of a block's chunk file: encoding byte and data.
fn chunks_of_file(file: &[u8]) -> Vec<(u8, Vec<u8>)> {
    assert_eq!(file[..5], [0x85, 0xbd, 0x40, 0xdd, 1]);
    let (mut at, mut chunks) = (8, Vec::new());
    while at < file.len() {
        let (mut size, mut shift) = (0, 0);
        while {
            size |= usize::from(file[at] & 0x7f) << shift;
            shift += 7;
            at += 1;
            file[at - 1] & 0x80 != 0
        } {}
        let body = &file[at..=at + size];
        let crc = &file[at + size + 1..at + size + 5];
        assert_eq!(crc32c::crc32c(body).to_be_bytes(), crc);
        chunks.push((body[0], body[1..].to_vec()));
        at += size + 5;
    }
    chunks
}

#[test]
fn chunks_of_a_real_prometheus_are_read_and_written_alike() {
    let Some(golden) = conformance("golden_block") else { return };
    let dump = fs::read_to_string(golden.join("dump.txt")).unwrap();
    let block = fs::read_dir(golden.join("block")).unwrap().next().unwrap().unwrap().path();
    let file = fs::read(block.join("chunks/000001")).unwrap();
    let mut samples_count = 0;
    for (encoding, chunk) in chunks_of_file(&file) {
        if encoding != super::Encoding::Xor as u8 {
            continue;
        }
        let samples = decode(&chunk).unwrap();
        assert_eq!(hex(&encode(&samples)), hex(&chunk));
        samples_count += samples.len();
    }
    // Histograms are printed with braces around their value.
    let floats = dump.lines().filter(|line| !line.rsplit_once(' ').unwrap().0.ends_with('}'));
    assert_eq!(samples_count, floats.count());
}

fn any_samples() -> impl Strategy<Value = Vec<(i64, u64)>> {
    let step = prop_oneof![
        5 => Just(15_000i64),
        3 => 14_900i64..15_100,
        1 => 1i64..2_000_000,
        1 => 1i64..=i64::from(u32::MAX),
    ];
    let value = prop_oneof![
        3 => (0u32..1000).prop_map(|v| f64::from(v).to_bits()),
        2 => any::<f64>().prop_map(f64::to_bits),
        1 => any::<u64>(),
    ];
    (any::<i32>(), prop::collection::vec((step, value), 0..250)).prop_map(|(start, steps)| {
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
    fn what_is_written_is_read(samples in any_samples()) {
        prop_assert_eq!(decode(&encode(&samples)).unwrap(), samples);
    }

    #[test]
    fn foreign_bytes_never_panic(chunk in prop::collection::vec(any::<u8>(), 0..200)) {
        let count = chunk.first_chunk().map_or(0, |count| usize::from(u16::from_be_bytes(*count)));
        if let Ok(samples) = decode(&chunk) {
            prop_assert_eq!(samples.len(), count);
        }
    }

    #[test]
    fn flipped_bits_never_panic(samples in any_samples(), at in any::<prop::sample::Index>()) {
        let mut chunk = encode(&samples);
        let bit = at.index(chunk.len() * 8);
        chunk[bit / 8] ^= 1 << (bit % 8);
        if let Ok(found) = decode(&chunk) {
            prop_assert!(found.len() <= usize::from(u16::MAX));
        }
    }
}
