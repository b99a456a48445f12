//! Samples of a checkpoint, gathered over many commits and written series by series: what is alike stands
//! side by side, and is compressed to a fraction. Nothing that counts changes its place: the samples of a
//! series stay in their order, and so do all other records and what stands before and behind them.

use std::io;

use super::{RefSample, SampleBatch, StartId, encode_samples, encode_samples_with_start};

/// Samples that are held at a time: 2 MiB.
const GATHERED_COUNT_MAX: usize = 64 << 10;
/// Samples of one record, as many as those of a large scrape.
const RECORD_COUNT_MAX: usize = 4 << 10;

/// Holds samples until there are many.
#[derive(Debug, Default)]
pub(super) struct SampleGatherer {
    held: SampleBatch,
    record: Vec<u8>,
}

impl SampleGatherer {
    /// Takes samples; what has to be written goes to `write`, record by record. Those of a ref that is not
    /// the only one of its series from here on stay where they are among all others.
    ///
    /// # Errors
    /// Those of `write`.
    pub(super) fn add(
        &mut self,
        batch: &SampleBatch,
        is_ref_current: &dyn Fn(u64) -> bool,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        for run in batch.samples.chunk_by(|a, b| a.series_ref == b.series_ref) {
            let Some(first) = run.first() else { continue };
            let is_current = is_ref_current(first.series_ref);
            if !is_current || self.held.samples.len() + run.len() > GATHERED_COUNT_MAX {
                self.finish(&mut write)?;
            }
            for sample in run {
                // The slot is not known here; its place holds that of the sample in the order that counts.
                let sample_number = self.held.samples.len() as u32;
                let held = RefSample { slot: sample_number, ..*sample };
                self.held.push(held, batch.starts.get(sample.start));
            }
            if !is_current {
                self.finish(&mut write)?;
            }
        }
        Ok(())
    }

    /// Writes another record, behind the samples that came before it.
    ///
    /// # Errors
    /// Those of `write`.
    pub(super) fn pass_record(
        &mut self,
        record: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.finish(&mut write)?;
        write(record)
    }

    /// Writes what is held.
    ///
    /// # Errors
    /// Those of `write`.
    pub(super) fn finish(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        // Of a series nothing changes its place. It is not by time: what came out of order must be met out
        // of order again.
        let SampleBatch { samples, starts } = &mut self.held;
        samples.sort_unstable_by_key(|one| (one.series_ref, one.slot));
        for part in samples.chunks(RECORD_COUNT_MAX) {
            self.record.clear();
            match part.iter().any(|one| one.start != StartId::NONE) {
                true => encode_samples_with_start(&mut self.record, part, starts),
                false => encode_samples(&mut self.record, part),
            }
            write(&self.record)?;
        }
        samples.clear();
        starts.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Decoded, RefSample, decode},
        *,
    };

    fn sample(series_ref: u64, t: i64) -> RefSample {
        RefSample { series_ref, slot: 0, start: StartId::NONE, t, v: t as u64 }
    }

    /// What is written for these records, `None` being one of another kind; refs from 100 on are old ones.
    fn written(input: &[Option<&[(u64, i64)]>]) -> Vec<Vec<(u64, i64)>> {
        let mut records = Vec::new();
        let mut gatherer = SampleGatherer::default();
        let mut write = |record: &[u8]| {
            records.push(match decode(record, Vec::new) {
                Ok(Decoded::Samples(batch)) => {
                    batch.samples.iter().map(|one| (one.series_ref, one.t)).collect()
                }
                _ => Vec::new(),
            });
            Ok(())
        };
        for record in input {
            match record {
                None => gatherer.pass_record(&[255], &mut write).unwrap(),
                Some(samples) => {
                    let samples: Vec<_> = samples.iter().map(|one| sample(one.0, one.1)).collect();
                    gatherer
                        .add(&samples.into(), &|series_ref| series_ref < 100, &mut write)
                        .unwrap();
                }
            }
        }
        gatherer.finish(&mut write).unwrap();
        records
    }

    #[test]
    fn samples_are_written_series_by_series() {
        let check = |input: &[Option<&[(u64, i64)]>], expected: &[&[(u64, i64)]]| {
            assert_eq!(written(input), expected);
        };
        check(&[], &[]);
        check(
            &[Some(&[(1, 5), (2, 5)]), Some(&[(1, 6), (2, 6)])],
            &[&[(1, 5), (1, 6), (2, 5), (2, 6)]],
        );
        // What came late stays late.
        check(&[Some(&[(2, 7), (1, 7)]), Some(&[(2, 3)])], &[&[(1, 7), (2, 7), (2, 3)]]);
        // Nothing passes a record of another kind, nor a sample under a ref of old.
        check(&[Some(&[(2, 1)]), None, Some(&[(1, 2)])], &[&[(2, 1)], &[], &[(1, 2)]]);
        check(&[Some(&[(2, 1), (100, 2), (1, 3)])], &[&[(2, 1)], &[(100, 2)], &[(1, 3)]]);
    }

    #[test]
    fn starts_go_with_their_samples() {
        let mut records = Vec::new();
        let mut gatherer = SampleGatherer::default();
        let mut write = |record: &[u8]| {
            let Ok(Decoded::Samples(batch)) = decode(record, Vec::new) else { panic!() };
            let of = |one: &RefSample| (one.series_ref, one.t, batch.starts.get(one.start));
            records.push((record[0], batch.samples.iter().map(of).collect::<Vec<_>>()));
            Ok(())
        };
        for t in [5, 6] {
            let mut batch = SampleBatch::default();
            batch.push(sample(2, t), t - 1);
            batch.push(sample(1, t), 3);
            gatherer.add(&batch, &|_| true, &mut write).unwrap();
        }
        gatherer.finish(&mut write).unwrap();
        gatherer.add(&vec![sample(2, 7)].into(), &|_| true, &mut write).unwrap();
        gatherer.finish(&mut write).unwrap();
        // What has no starts is written as ever.
        let expected =
            [(11, vec![(1, 5, 3), (1, 6, 3), (2, 5, 4), (2, 6, 5)]), (2, vec![(2, 7, 0)])];
        assert_eq!(records, expected);
    }

    #[test]
    fn records_are_not_larger_than_readers_expect() {
        let mut counts = Vec::new();
        let mut gatherer = SampleGatherer::default();
        let samples: Vec<_> = (0..1000).map(|number| sample(number, 1)).collect();
        let samples = SampleBatch::from(samples);
        let mut write = |record: &[u8]| {
            if let Ok(Decoded::Samples(batch)) = decode(record, Vec::new) {
                counts.push(batch.samples.len());
            }
            Ok(())
        };
        for _ in 0..300 {
            gatherer.add(&samples, &|_| true, &mut write).unwrap();
        }
        gatherer.finish(&mut write).unwrap();
        assert_eq!(counts.iter().sum::<usize>(), 300_000);
        assert!(counts.iter().all(|count| *count <= RECORD_COUNT_MAX));
        assert!(counts.len() < 100, "{}", counts.len());
    }
}
