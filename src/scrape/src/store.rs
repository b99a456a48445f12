//! One scrape becomes one batch: samples, reports and markers, stored together or not at all.
//! Plain synchronous work; which thread does it is the loop's matter.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use hashbrown::HashSet;
use prom_model::stale_nan;
use prom_storage::{Appendable, Appender, StorageError};
use prom_telemetry::clock;

use crate::{
    MetricMetadata,
    batch::{Tally, append_to_all},
    cache::{Cache, Flag},
    metadata::MetadataTable,
    pass::{BeyondLimit, Body, BodyRefused, Outcome, SampleTime, read_body},
    report::{Report, ReportSeries},
    rules::Rules,
};

/// How often a body is read because the store has lost some of its series.
const READ_COUNT_MAX: usize = 2;
/// How far ahead of the clock a sample's own time may be. Compat: `maxAheadTime` in `scrape/scrape.go`.
const AHEAD_MS_MAX: i64 = 10 * 60 * 1_000;

/// What one target has in the store, as far as its loop remembers.
pub(crate) struct TargetStore {
    store: Arc<dyn Appendable>,
    cache: Cache,
    reports: ReportSeries,
}

/// What came of storing a scrape.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) report: Report,
    pub(crate) tally: Tally,
    /// What the target says of its metrics, if that has changed.
    pub(crate) metadata: Option<Vec<Arc<MetricMetadata>>>,
    /// Why the body was refused as a whole.
    pub(crate) refused: Option<BodyRefused>,
    /// New series that were left out; all others were stored.
    pub(crate) beyond_limit: Option<BeyondLimit>,
    /// Why nothing was stored at all.
    pub(crate) failed: Option<StorageError>,
}

/// When a scrape counts as taken, since when it has been going on, and how long it was allowed to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScrapeTime {
    pub(crate) timestamp_ms: i64,
    pub(crate) began: Instant,
    pub(crate) timeout: Duration,
}

impl TargetStore {
    pub(crate) fn new(store: Arc<dyn Appendable>) -> Self {
        Self { store, cache: Cache::default(), reports: ReportSeries::default() }
    }

    /// How many lines are known: what the next body costs depends on it.
    pub(crate) fn known_count(&self) -> usize {
        self.cache.entries.len()
    }

    /// From now on lines are understood by other rules than `rules`.
    pub(crate) fn retire(&mut self, rules: &Rules) {
        self.cache.retire(rules.cfg.track_timestamps_staleness);
        self.reports.forget();
    }

    /// Stores what a body says. A body that is refused counts as a scrape that failed.
    pub(crate) fn store_body(
        &mut self,
        body: Body<'_>,
        rules: &Rules,
        time: ScrapeTime,
        mut report: Report,
        metadata: &MetadataTable,
    ) -> Stored {
        let store = Arc::clone(&self.store);
        for read_count in 1.. {
            let mut appender = store.appender();
            let sample_time = SampleTime {
                timestamp_ms: time.timestamp_ms,
                timestamp_ms_max: clock::now_ms().saturating_add(AHEAD_MS_MAX),
            };
            let read = read_body(
                body,
                &self.cache,
                rules,
                sample_time,
                &mut *appender,
                &mut report.counts,
            );
            match read {
                Err(refused) => {
                    drop(appender);
                    let stored = self.store_failure(rules, time, report);
                    return Stored { refused: Some(refused), ..stored };
                }
                Ok(outcome) if !outcome.batch.unknown.is_empty() && read_count < READ_COUNT_MAX => {
                    self.cache.forget(&outcome.batch.unknown);
                }
                Ok(outcome) => {
                    report.is_up = true;
                    let said = outcome.has_new_metadata.then(|| metadata.collect(body));
                    let stored = self.commit(appender, outcome, rules, time, report);
                    return Stored { metadata: said, ..stored };
                }
            }
        }
        unreachable!("the last reading is taken as it is")
    }

    /// Stores a scrape that brought no body: the target is down, and its series end.
    pub(crate) fn store_failure(
        &mut self,
        rules: &Rules,
        time: ScrapeTime,
        mut report: Report,
    ) -> Stored {
        report.is_up = false;
        report.duration = clock::monotonic() - time.began;
        let store = Arc::clone(&self.store);
        let mut appender = store.appender();
        self.end_series(&mut *appender, rules, time.timestamp_ms);
        let reports = &mut self.reports;
        let stored = reports
            .append(&mut *appender, rules, time.timestamp_ms, &report)
            .and_then(|()| appender.commit());
        if stored.is_ok() {
            self.forget_live();
        }
        let failed = stored.err();
        Stored {
            report,
            tally: Tally::default(),
            metadata: None,
            refused: None,
            beyond_limit: None,
            failed,
        }
    }

    /// Stores the end of everything this target has: nothing more will come.
    pub(crate) fn store_end(
        &mut self,
        rules: &Rules,
        timestamp_ms: i64,
    ) -> Result<(), StorageError> {
        let store = Arc::clone(&self.store);
        let mut appender = store.appender();
        self.end_series(&mut *appender, rules, timestamp_ms);
        self.reports.append_end(&mut *appender, rules, timestamp_ms)?;
        appender.commit()?;
        self.forget_live();
        Ok(())
    }

    fn commit(
        &mut self,
        mut appender: Box<dyn Appender + '_>,
        mut outcome: Outcome,
        rules: &Rules,
        time: ScrapeTime,
        mut report: Report,
    ) -> Stored {
        let tally = outcome.batch.tally;
        let beyond_limit = outcome.beyond_limit.take();
        append_to_all(&mut *appender, &outcome.ended, time.timestamp_ms, stale_nan());
        report.duration = clock::monotonic() - time.began;
        let reports = &mut self.reports;
        let stored = reports
            .append(&mut *appender, rules, time.timestamp_ms, &report)
            .and_then(|()| appender.commit());
        if stored.is_ok() {
            self.cache.accept(outcome);
            self.cache.stored_ms = Some(time.timestamp_ms);
        }
        let failed = stored.err();
        Stored { report, tally, metadata: None, refused: None, beyond_limit, failed }
    }

    fn end_series(&self, appender: &mut dyn Appender, rules: &Rules, timestamp_ms: i64) {
        let live = self.cache.live_series(rules.cfg.track_timestamps_staleness);
        append_to_all(appender, &live, timestamp_ms, stale_nan());
    }

    fn forget_live(&mut self) {
        self.cache.is_live = false;
        self.cache.orphans = Vec::new();
    }
}

impl Cache {
    /// Takes the lines of a body over that has been stored.
    fn accept(&mut self, outcome: Outcome) {
        if let Some(mut entries) = outcome.entries {
            entries.shrink_to_fit();
            self.entries = entries;
        }
        self.is_live = true;
        self.orphans = Vec::new();
        if self.has_refused {
            self.entries.iter_mut().for_each(|entry| entry.set(Flag::Refused, false));
        }
        if let Some(synthesis) = outcome.synthesis {
            self.synthesis = Some(Box::new(synthesis));
        }
        let refused = outcome.batch.refused;
        self.has_refused = !refused.is_empty();
        for position in refused {
            if let Some(entry) = self.entries.get_mut(position as usize) {
                entry.set(Flag::Refused, true);
                if let Some(synthesis) = &mut self.synthesis {
                    synthesis.restart(entry.hash());
                }
            }
        }
        if outcome.has_new_series {
            self.settle_new(&outcome.batch.beyond_bounds);
        }
    }
}

impl Cache {
    /// New series are known from now on; those at `unbegun`, which have no sample, are tried again as new.
    fn settle_new(&mut self, unbegun: &[u32]) {
        if !unbegun.is_empty() {
            let unbegun: HashSet<u32> = unbegun.iter().copied().collect();
            let mut positions = 0..;
            self.entries.retain(|entry| {
                let is_unbegun = positions.next().is_some_and(|at| unbegun.contains(&at));
                !(is_unbegun && entry.has(Flag::New))
            });
        }
        self.entries.iter_mut().for_each(|entry| entry.set(Flag::New, false));
    }
}

impl fmt::Debug for TargetStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetStore").field("cache", &self.cache).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
