//! What of a record goes into a checkpoint. Compat: Prometheus `tsdb/wlog/checkpoint.go`.

use std::borrow::Cow;

use super::{
    super::codec::DecodeError, Decoded, RefHistogram, SampleBatch, decode, encode_exemplars,
    encode_histograms, encode_histograms_with_start, encode_metadata, encode_series,
    encode_tombstones,
};

/// What of old records is still needed.
#[derive(Clone, Copy)]
pub(crate) struct Keep<'a> {
    /// Whether the series is in the head, or mentioned by segments that stay (trap 5).
    pub(crate) is_series_needed: &'a dyn Fn(u64) -> bool,
    /// Whether the head calls a series by this ref: no other ref of it comes behind on the log.
    pub(crate) is_ref_current: &'a dyn Fn(u64) -> bool,
    /// Samples before are in blocks.
    pub(crate) min_t: i64,
    /// The last sample of a series that durable files of head chunks have.
    pub(crate) filed_until: &'a dyn Fn(u64) -> i64,
}

/// What a checkpoint takes of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kept<'a> {
    Record(&'a [u8]),
    Samples(&'a SampleBatch),
}

impl std::fmt::Debug for Keep<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keep").field("min_t", &self.min_t).finish_non_exhaustive()
    }
}

impl Keep<'_> {
    fn is_sample_needed(&self, series_ref: u64, t: i64) -> bool {
        t >= self.min_t && t > (self.filed_until)(series_ref)
    }

    /// Hands what is needed of a record to `each`.
    pub(crate) fn needed(
        &self,
        record: &[u8],
        mut each: impl FnMut(Kept<'_>) -> std::io::Result<()>,
    ) -> Result<std::io::Result<()>, DecodeError> {
        Ok(match self.rewritten(record)? {
            Needed::Nothing => Ok(()),
            Needed::Record(record) => each(Kept::Record(&record)),
            Needed::Records(records) => {
                records.iter().try_for_each(|record| each(Kept::Record(record)))
            }
            Needed::Samples(batch) if batch.samples.is_empty() => Ok(()),
            Needed::Samples(batch) => each(Kept::Samples(&batch)),
        })
    }

    fn rewritten<'r>(&self, record: &'r [u8]) -> Result<Needed<'r>, DecodeError> {
        let mut out = Vec::new();
        match decode(record, Vec::new)? {
            Decoded::Series(mut series) => {
                series.retain(|one| (self.is_series_needed)(one.series_ref));
                if !series.is_empty() {
                    let entries = series.iter().map(|one| (one.series_ref, &one.labels));
                    encode_series(&mut out, entries);
                }
            }
            Decoded::Samples(mut batch) => {
                batch.samples.retain(|one| self.is_sample_needed(one.series_ref, one.t));
                return Ok(Needed::Samples(batch));
            }
            Decoded::Histograms(mut histograms) => {
                let count = histograms.len();
                histograms.retain(|one| self.is_sample_needed(one.series_ref, one.t));
                if histograms.len() == count && count > 0 {
                    return Ok(Needed::Record(Cow::Borrowed(record)));
                }
                let mut records = Vec::new();
                let encode = match histograms.iter().any(RefHistogram::has_start) {
                    true => encode_histograms_with_start,
                    false => encode_histograms,
                };
                encode(&histograms, &mut |record| records.push(record.to_vec()));
                return Ok(Needed::Records(records));
            }
            Decoded::Exemplars(mut exemplars) => {
                exemplars.retain(|one| one.t >= self.min_t);
                if !exemplars.is_empty() {
                    encode_exemplars(&mut out, &exemplars);
                }
            }
            Decoded::Tombstones(mut tombstones) => {
                // One of all times is of no use without the series that it took out of the head.
                tombstones.retain(|one| {
                    one.max_t >= self.min_t
                        && (!one.is_of_all_times() || (self.is_series_needed)(one.series_ref))
                });
                if !tombstones.is_empty() {
                    encode_tombstones(&mut out, &tombstones);
                }
            }
            Decoded::Metadata(mut metadata) => {
                metadata.retain(|one| (self.is_series_needed)(one.series_ref));
                if !metadata.is_empty() {
                    encode_metadata(&mut out, &metadata);
                }
            }
            Decoded::Markers(_) | Decoded::Skipped(_) => return Ok(whole(record, true)),
        }
        Ok(if out.is_empty() { Needed::Nothing } else { Needed::Record(Cow::Owned(out)) })
    }
}

enum Needed<'r> {
    Nothing,
    Record(Cow<'r, [u8]>),
    Records(Vec<Vec<u8>>),
    Samples(SampleBatch),
}

fn whole(record: &[u8], is_needed: bool) -> Needed<'_> {
    if is_needed { Needed::Record(Cow::Borrowed(record)) } else { Needed::Nothing }
}
