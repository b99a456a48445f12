//! Where a head chunk ends. Compat: Prometheus `tsdb/head_append.go` (appendPreprocessor), 3.14: the same
//! samples give the same chunks.

/// Samples that a chunk is planned to have.
const SAMPLES_COUNT_TARGET: u16 = 120;
/// A chunk larger than this takes no further sample: it stays within 1 KiB with the largest sample added.
const SIZE_BYTES_MAX_BEFORE_APPEND: usize = 1024 - 19;

/// Bytes that a chunk of histograms is planned to have, and samples that it has at least within a range.
const HISTOGRAM_SIZE_BYTES_TARGET: usize = 1024;
const HISTOGRAM_SAMPLES_COUNT_MIN: u16 = 10;

/// What decides about the end of an open chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkState {
    pub(crate) samples_count: u16,
    pub(crate) size_bytes: usize,
    pub(crate) min_t: i64,
    pub(crate) last_t: i64,
    pub(crate) next_at: i64,
}

/// Whether the sample at `t` starts a new chunk. Brings `next_at` forward when the pace is known.
pub(crate) fn is_new_chunk_due(chunk: &mut ChunkState, t: i64) -> bool {
    if chunk.size_bytes > SIZE_BYTES_MAX_BEFORE_APPEND {
        return true;
    }
    if chunk.samples_count == SAMPLES_COUNT_TARGET / 4 {
        // A quarter of a chunk has come.
        chunk.next_at = even_end_ms(chunk.min_t, chunk.last_t, chunk.next_at, 4.0);
    }
    t >= chunk.next_at
        || chunk.samples_count >= SAMPLES_COUNT_TARGET * 2
        || u32::try_from(t.wrapping_sub(chunk.last_t)).is_err()
}

/// What decides about the end of an open chunk of histograms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HistogramChunkState {
    pub(crate) samples_count: u16,
    pub(crate) size_bytes: usize,
    pub(crate) min_t: i64,
    pub(crate) last_t: i64,
    pub(crate) next_at: i64,
    /// `next_at` has been brought forward already.
    pub(crate) is_end_known: bool,
}

/// Whether the histogram at `t` starts a new chunk. Histograms differ so much in size that bytes are counted.
/// Compat: Prometheus `tsdb/head_append.go` (histogramsAppendPreprocessor), 3.14.
pub(crate) fn is_new_histogram_chunk_due(
    chunk: &mut HistogramChunkState,
    t: i64,
    chunk_range_ms: i64,
) -> bool {
    let range_end = range_end_ms(chunk.min_t, chunk_range_ms);
    if !chunk.is_end_known && chunk.size_bytes >= HISTOGRAM_SIZE_BYTES_TARGET / 4 {
        let ratio = HISTOGRAM_SIZE_BYTES_TARGET as f64 / chunk.size_bytes as f64;
        chunk.next_at = even_end_ms(chunk.min_t, chunk.last_t, chunk.next_at, ratio);
        chunk.is_end_known = true;
    }
    let is_full = t >= chunk.next_at || chunk.size_bytes >= HISTOGRAM_SIZE_BYTES_TARGET * 2;
    let is_long_enough = chunk.samples_count >= HISTOGRAM_SAMPLES_COUNT_MIN || t >= range_end;
    is_full && is_long_enough || chunk.samples_count == u16::MAX
}

/// The end of the chunk range that `t` falls into.
pub(crate) fn range_end_ms(t: i64, range_ms: i64) -> i64 {
    (t / range_ms).wrapping_mul(range_ms).wrapping_add(range_ms)
}

/// An end no later than `end` that splits the rest of the range evenly, from the pace so far: of a chunk,
/// one part in `ratio_to_full` has come between `start` and `last`.
fn even_end_ms(start: i64, last: i64, end: i64, ratio_to_full: f64) -> i64 {
    let span = end.wrapping_sub(start) as f64;
    let chunks = span / (last.wrapping_sub(start).wrapping_add(1) as f64 * ratio_to_full);
    if chunks <= 1.0 {
        return end;
    }
    (start as f64 + span / chunks.floor()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_at_multiples() {
        let check = |t, expected| assert_eq!(range_end_ms(t, 7_200_000), expected);
        check(0, 7_200_000);
        check(7_199_999, 7_200_000);
        check(7_200_000, 14_400_000);
        check(-1, 7_200_000);
        check(-7_200_000, 0);
        check(i64::MAX, range_end_ms(i64::MAX, 7_200_000));
    }

    // Compat: the cases of upstream's TestComputeChunkEndTime.
    #[test]
    fn the_rest_of_the_range_is_split_evenly() {
        let check =
            |start, last, end, expected| assert_eq!(even_end_ms(start, last, end, 4.0), expected);
        check(0, 250, 1000, 1000);
        check(100, 200, 1000, 550);
        check(100, 201, 1000, 550);
        check(100, 250, 1000, 1000);
        check(0, 100, 1000, 500);
        check(0, 0, 1000, 4);
    }
}
