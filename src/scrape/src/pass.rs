//! One reading of one body against what is remembered of the last one.
//! Nothing here outlives the scrape: the cache is changed by whoever stores the batch, if it is stored.

mod converted;
mod counting;
mod families;
mod lines;
mod rebuilt;
mod said;
mod starts;
mod value;

use hashbrown::HashSet;
use prom_exposition::{ClassicError, Format, ParseError, protobuf::ProtobufError, text::Dialect};
use prom_model::{Exemplar, HistogramError, Labels, LabelsBuilder};
use prom_storage::{Appender, ExemplarSample, Rejection, SeriesHandle, SeriesRef, StorageError};

use self::{
    counting::{NewSeries, Start},
    rebuilt::{Found, Rebuilt},
    said::Said,
    value::SampleValue,
};
use crate::{
    batch::Batch,
    cache::{Cache, Entry, Flag, Kind},
    rules::{LabelsRefused, Rules},
    synthesis::{Synthesis, Synthesizer},
};

/// Most lines of one target.
const ENTRY_COUNT_MAX: usize = 8_000_000;

const REBUILT: &str = "a line that was not expected has begun the rebuilding";

/// A body and how to read it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) format: Format,
}

/// Why a body is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyRefused {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error(transparent)]
    Protobuf(#[from] ProtobufError),
    #[error(transparent)]
    Classic(#[from] ClassicError),
    #[error(transparent)]
    Histogram(#[from] HistogramError),
    #[error(transparent)]
    Labels(#[from] LabelsRefused),
    #[error("sample limit exceeded")]
    SampleLimit,
    #[error("histogram bucket limit exceeded")]
    BucketLimit,
    #[error("more than {ENTRY_COUNT_MAX} lines")]
    TooManyLines,
    #[error(transparent)]
    Store(#[from] StorageError),
}

/// What the reports tell of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) scraped: u64,
    pub(crate) post_relabeling: u64,
    pub(crate) series_added: u64,
}

/// When samples without a time of their own were taken, and how far ahead others may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SampleTime {
    pub(crate) timestamp_ms: i64,
    pub(crate) timestamp_ms_max: i64,
}

/// What a body that was read to its end comes to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The entries of this body, if they are not those of the last one.
    pub(crate) entries: Option<Vec<Entry>>,
    /// Series of the last body that this one has not.
    pub(crate) ended: Vec<SeriesHandle>,
    pub(crate) batch: Batch,
    /// Some entries are flagged as new.
    pub(crate) has_new_series: bool,
    /// Lines of metadata are not those of the last body.
    pub(crate) has_new_metadata: bool,
    pub(crate) beyond_limit: Option<BeyondLimit>,
    /// What is known of series that count, if that has changed.
    pub(crate) synthesis: Option<Synthesis>,
}

/// New series that the store refused because it has as many as it may have.
#[derive(Debug, thiserror::Error)]
#[error("{reason}; new series refused: {count}")]
pub(crate) struct BeyondLimit {
    /// Of the first.
    reason: String,
    count: u64,
}

/// Reads `body`, appends its samples, and says what became of each known series. `counts` is right even
/// if the body is refused.
pub(crate) fn read_body(
    body: Body<'_>,
    cache: &Cache,
    rules: &Rules,
    time: SampleTime,
    appender: &mut dyn Appender,
    counts: &mut Counts,
) -> Result<Outcome, BodyRefused> {
    // An empty body says nothing, and leaves what is known.
    let synthesizes = rules.starts.are_synthesized && !body.bytes.is_empty();
    let mut pass = Pass {
        cache,
        rules,
        time,
        appender,
        cursor: 0,
        counts: Counts::default(),
        appended_count: 0,
        is_over_sample_limit: false,
        is_over_bucket_limit: false,
        beyond_limit: None,
        rebuilt: None,
        ended: Vec::new(),
        has_new_metadata: false,
        has_new_series: false,
        exposed: LabelsBuilder::default(),
        said: Said::new(rules),
        statements: None,
        synthesis: synthesizes.then(|| Synthesizer::new(cache.synthesis.as_deref())),
        batch: Batch::new(),
    };
    let read = match Dialect::of(body.format) {
        None => families::read(&mut pass, body.bytes),
        Some(dialect) if rules.histograms.converts_classic => {
            converted::read(&mut pass, body.bytes, dialect)
        }
        Some(dialect) => lines::read(&mut pass, body.bytes, dialect),
    };
    let read = read.map(|()| pass.batch.flush(pass.appender));
    pass.leave_out_refused();
    *counts = pass.counts;
    read?;
    if pass.is_over_sample_limit {
        return Err(BodyRefused::SampleLimit);
    }
    if pass.is_over_bucket_limit {
        return Err(BodyRefused::BucketLimit);
    }
    Ok(pass.finish())
}

/// What all formats have in common: which series a key stands for, and what becomes of its sample.
struct Pass<'a> {
    cache: &'a Cache,
    rules: &'a Rules,
    time: SampleTime,
    appender: &'a mut dyn Appender,
    /// The entry that is expected next.
    cursor: usize,
    counts: Counts,
    /// Samples that count for the limit.
    appended_count: u64,
    is_over_sample_limit: bool,
    is_over_bucket_limit: bool,
    beyond_limit: Option<BeyondLimit>,
    /// Once the body differs from the last one.
    rebuilt: Option<Rebuilt>,
    ended: Vec<SeriesHandle>,
    has_new_metadata: bool,
    has_new_series: bool,
    exposed: LabelsBuilder,
    said: Said,
    /// Hashes of what the last body said, once that is asked for.
    statements: Option<HashSet<u64>>,
    /// Where starts are made up.
    synthesis: Option<Synthesizer<'a>>,
    batch: Batch,
}

/// What a format knows a series by: a hash of this process, and the size of what was hashed.
#[derive(Clone, Copy, Debug)]
struct Key {
    hash: u64,
    size_bytes: usize,
}

/// What a body says of a series.
#[derive(Clone, Copy, Debug)]
struct Taken<V> {
    value: V,
    /// The sample's own time, if it is honored.
    explicit_ms: Option<i64>,
    /// Since when the series counts, if that is told and asked for.
    start: Option<Start>,
}

/// A sample on its way to the store; its exemplars may follow.
#[derive(Clone, Copy, Debug)]
struct Pushed {
    series: SeriesHandle,
    timestamp_ms: i64,
}

impl Pass<'_> {
    /// Takes a sample: of the series that is expected next, another one that is known, or a new one with
    /// these labels.
    fn take<V: SampleValue>(
        &mut self,
        key: Key,
        taken: Taken<V>,
        labels: impl FnOnce(&mut LabelsBuilder, &mut Said) -> Result<(), BodyRefused>,
    ) -> Result<Option<Pushed>, BodyRefused> {
        let expected = self.cache.entries.get(self.cursor).copied();
        let expected = expected.filter(|entry| {
            let is_open = match &self.rebuilt {
                Some(rebuilt) => {
                    let is_met = rebuilt.is_met[self.cursor];
                    !is_met && !self.said.is_new && entry.kind() != Kind::Repeat
                }
                None => true,
            };
            is_open && entry.kind() != Kind::Comments && entry.is(key.hash, key.size_bytes)
        });
        match expected {
            Some(entry) => {
                let pushed = self.take_known(entry, taken);
                self.cursor += 1;
                pushed
            }
            None => self.take_unexpected(key, taken, labels),
        }
    }

    /// Takes the sample of the entry at the cursor.
    #[inline]
    fn take_known<V: SampleValue>(
        &mut self,
        entry: Entry,
        mut taken: Taken<V>,
    ) -> Result<Option<Pushed>, BodyRefused> {
        self.counts.scraped += 1;
        taken.explicit_ms = taken.explicit_ms.filter(|_| self.rules.cfg.honor_timestamps);
        if let Some(Start::At { start_ms, is_new }) = &mut taken.start {
            *is_new = !self.cache.has_begun_by(&entry, *start_ms);
        }
        match entry.kind() {
            Kind::Series => {
                let entry = self.settle_explicit(entry, self.has_own_end(entry.hash(), &taken));
                let position = self.keep(entry);
                self.take_sample(position, entry, taken)
            }
            Kind::Repeat => {
                let position = self.keep(entry);
                self.take_repeat(position, entry, taken)
            }
            Kind::Dropped | Kind::Comments => {
                self.keep(entry);
                Ok(None)
            }
        }
    }

    /// A series that has changed between samples with and without a time of their own is remembered
    /// anew; one that loses its markers by that ends here. Compat: `trackStaleness`.
    #[inline]
    fn settle_explicit(&mut self, entry: Entry, has_own_end: bool) -> Entry {
        if entry.has(Flag::Explicit) == has_own_end {
            return entry;
        }
        self.rebuild();
        let tracks_explicit = self.rules.cfg.track_timestamps_staleness;
        let changed = entry.with(Flag::Explicit, has_own_end);
        if entry.is_tracked(tracks_explicit) && !changed.is_tracked(tracks_explicit) {
            self.ended.push(entry.series());
        }
        changed
    }

    /// Keeps the entry at the cursor for the next scrape; says where.
    #[inline]
    fn keep(&mut self, entry: Entry) -> usize {
        match &mut self.rebuilt {
            None => self.cursor,
            Some(rebuilt) => {
                rebuilt.is_met[self.cursor] = true;
                rebuilt.push(entry)
            }
        }
    }

    #[inline]
    fn take_sample<V: SampleValue>(
        &mut self,
        position: usize,
        entry: Entry,
        taken: Taken<V>,
    ) -> Result<Option<Pushed>, BodyRefused> {
        self.counts.post_relabeling += 1;
        match taken.start {
            None => self.store_sample(position, entry.series(), taken),
            Some(_) => self.take_counting(position, entry, taken),
        }
    }

    /// Hands a sample over that is within the limits.
    #[inline]
    fn store_sample<V: SampleValue>(
        &mut self,
        position: usize,
        series: SeriesHandle,
        mut taken: Taken<V>,
    ) -> Result<Option<Pushed>, BodyRefused> {
        if !taken.value.fit(&self.rules.histograms) {
            self.is_over_bucket_limit = true;
            return Ok(None);
        }
        self.appended_count += 1;
        let limit = self.rules.cfg.limits.sample_count;
        if limit > 0 && self.appended_count > limit {
            self.is_over_sample_limit = true;
            return Ok(None);
        }
        taken.value.check()?;
        let timestamp_ms = taken.explicit_ms.unwrap_or(self.time.timestamp_ms);
        if timestamp_ms > self.time.timestamp_ms_max {
            self.batch.refuse(position, Rejection::OutOfBounds);
            return Ok(None);
        }
        let pushed = Pushed { series, timestamp_ms };
        match taken.start {
            None => taken.value.push(&mut self.batch, self.appender, position, pushed, 0),
            Some(start) => self.push_counting(position, pushed, taken.value, start),
        }
        Ok(Some(pushed))
    }

    /// A second sample of one series in one body: refused, unless it brings its own time.
    fn take_repeat<V: SampleValue>(
        &mut self,
        position: usize,
        entry: Entry,
        taken: Taken<V>,
    ) -> Result<Option<Pushed>, BodyRefused> {
        if taken.explicit_ms.is_some() {
            if taken.start.is_some() && self.rules.starts.are_zeroed {
                // Zeros are handed over before all samples, and this one may be newer than some of its own.
                self.batch.flush(self.appender);
            }
            return self.take_sample(position, entry, taken);
        }
        self.counts.post_relabeling += 1;
        self.batch.tally.duplicate += 1;
        Ok(None)
    }

    /// Takes a sample whose series is not the one at the cursor.
    fn take_unexpected<V: SampleValue>(
        &mut self,
        key: Key,
        taken: Taken<V>,
        labels: impl FnOnce(&mut LabelsBuilder, &mut Said) -> Result<(), BodyRefused>,
    ) -> Result<Option<Pushed>, BodyRefused> {
        self.rebuild();
        let rebuilt = self.rebuilt.as_ref().expect(REBUILT);
        match rebuilt.find(&self.cache.entries, key) {
            Some(Found::Known(position)) => {
                self.cursor = position;
                let entry = self.cache.entries[position];
                if self.said.is_new && entry.kind() == Kind::Series {
                    self.exposed.clear();
                    labels(&mut self.exposed, &mut self.said)?;
                    if let Some(labels) = self.rules.series_labels(&mut self.exposed)? {
                        self.log_metadata(entry.series(), &labels);
                    }
                }
                let pushed = self.take_known(entry, taken);
                self.cursor += 1;
                pushed
            }
            Some(Found::Met(entry)) => self.repeat(entry, taken),
            None => self.take_new(key, taken, labels),
        }
    }

    /// A series that this body has had before.
    fn repeat<V: SampleValue>(
        &mut self,
        first: Entry,
        mut taken: Taken<V>,
    ) -> Result<Option<Pushed>, BodyRefused> {
        self.counts.scraped += 1;
        let entries = &self.cache.entries;
        if entries.get(self.cursor).is_some_and(|next| {
            next.kind() == Kind::Repeat && next.is(first.hash(), first.size_bytes())
        }) {
            self.cursor += 1;
        }
        if first.kind() == Kind::Dropped {
            self.rebuilt_mut().push(first);
            return Ok(None);
        }
        let entry = first.with_kind(Kind::Repeat);
        let position = self.rebuilt_mut().push(entry);
        taken.explicit_ms = taken.explicit_ms.filter(|_| self.rules.cfg.honor_timestamps);
        self.take_repeat(position, entry, taken)
    }

    /// A series that the last body did not have.
    fn take_new<V: SampleValue>(
        &mut self,
        key: Key,
        mut taken: Taken<V>,
        read_labels: impl FnOnce(&mut LabelsBuilder, &mut Said) -> Result<(), BodyRefused>,
    ) -> Result<Option<Pushed>, BodyRefused> {
        self.counts.scraped += 1;
        if self.rebuilt_mut().entries.len() >= ENTRY_COUNT_MAX {
            return Err(BodyRefused::TooManyLines);
        }
        self.exposed.clear();
        read_labels(&mut self.exposed, &mut self.said)?;
        let Some(labels) = self.rules.series_labels(&mut self.exposed)? else {
            let nobody = SeriesHandle { series_ref: SeriesRef(0), slot: 0 };
            self.remember_new(key, Kind::Dropped, nobody);
            return Ok(None);
        };
        taken.explicit_ms = taken.explicit_ms.filter(|_| self.rules.cfg.honor_timestamps);
        let new = match taken.start {
            None => NewSeries { is_known: false, has_own_end: taken.explicit_ms.is_some() },
            Some(_) => match self.settle_new(key.hash, &labels, &mut taken)? {
                None => return Ok(None),
                Some(new) => new,
            },
        };
        let limit = self.rules.cfg.limits.sample_count;
        let is_over_bucket_limit = !taken.value.fit(&self.rules.histograms);
        if is_over_bucket_limit || limit > 0 && self.appended_count >= limit {
            // The scrape fails, so the series must not come into being.
            self.counts.post_relabeling += 1;
            self.is_over_bucket_limit |= is_over_bucket_limit;
            self.is_over_sample_limit |= !is_over_bucket_limit;
            return Ok(None);
        }
        taken.value.check()?;
        let series = match self.appender.series(&labels) {
            Err(StorageError::SeriesLimit(reason)) => {
                // No entry: the line is tried again, should there be room by then.
                self.counts.post_relabeling += 1;
                self.beyond_limit.get_or_insert(BeyondLimit { reason, count: 0 }).count += 1;
                return Ok(None);
            }
            found => found?,
        };
        self.counts.series_added += u64::from(!self.is_over_bucket_limit && !new.is_known);
        self.has_new_series |= !new.is_known;
        let position = self.remember_new(key, Kind::Series, series);
        let entry = &mut self.rebuilt_mut().entries[position];
        entry.set(Flag::Explicit, new.has_own_end);
        entry.set(Flag::New, !new.is_known);
        self.log_metadata(series, &labels);
        self.counts.post_relabeling += 1;
        self.store_sample(position, series, taken)
    }

    /// Logs what the body says of a series, if the log takes that. The store leaves out what it knows.
    fn log_metadata(&mut self, series: SeriesHandle, labels: &Labels) {
        if self.rules.logs_metadata
            && let Some(metadata) = self.said.about(labels.metric_name())
        {
            self.batch.push_metadata(self.appender, series, metadata);
        }
    }

    /// Whether the last body did not have comments of this hash, wherever they stood; asked only where the
    /// log takes metadata.
    fn is_new_statement(&mut self, hash: u64) -> bool {
        let statements = self.statements.get_or_insert_with(|| {
            let known = self.cache.entries.iter();
            known.filter(|entry| entry.kind() == Kind::Comments).map(Entry::hash).collect()
        });
        !statements.contains(&hash)
    }

    fn remember_new(&mut self, key: Key, kind: Kind, series: SeriesHandle) -> usize {
        let entry = Entry::of_key(key.hash, key.size_bytes, kind, series)
            .expect("the parsers refuse series that an entry cannot hold");
        let rebuilt = self.rebuilt.as_mut().expect(REBUILT);
        rebuilt.push_new(&self.cache.entries, entry)
    }

    /// Notes metadata that stands for itself in the order of the body.
    fn take_comments(&mut self, key: Key, has_type: bool) {
        let expected = self.cache.entries.get(self.cursor).copied();
        let is_it =
            |entry: &Entry| entry.kind() == Kind::Comments && entry.is(key.hash, key.size_bytes);
        if let Some(entry) = expected.filter(is_it) {
            self.said.is_new = false;
            self.keep(entry);
            self.cursor += 1;
            return;
        }
        self.said.is_new = self.rules.logs_metadata && self.is_new_statement(key.hash);
        self.rebuild();
        self.has_new_metadata = true;
        let nobody = SeriesHandle { series_ref: SeriesRef(0), slot: 0 };
        // What is too long for an entry is taken for new each time.
        if let Some(entry) = Entry::of_key(key.hash, key.size_bytes, Kind::Comments, nobody) {
            self.rebuilt_mut().push(entry.with(Flag::HasType, has_type));
        }
    }

    /// Adds exemplars of a sample, in order of time. That some come too late is told only if all do.
    fn take_exemplars(&mut self, of: Pushed, mut exemplars: Vec<Exemplar>) {
        exemplars.sort_by(|a, b| {
            let by_value = || a.value.total_cmp(&b.value);
            let by_time = a.timestamp_ms.cmp(&b.timestamp_ms);
            by_time.then_with(by_value).then_with(|| a.labels.cmp(&b.labels))
        });
        for exemplar in exemplars {
            let sample = ExemplarSample { series: of.series, exemplar };
            self.batch.push_exemplar(self.appender, sample);
        }
    }

    /// From here on the entries are put together anew. Those that were met so far stand in order.
    fn rebuild(&mut self) {
        if self.rebuilt.is_none() {
            self.rebuilt = Some(Rebuilt::new(&self.cache.entries, self.cursor));
        }
    }

    fn rebuilt_mut(&mut self) -> &mut Rebuilt {
        self.rebuilt.as_mut().expect(REBUILT)
    }

    /// New series whose only sample no time of the store holds do not count as added. Compat: `append` in
    /// `scrape/scrape.go`, where they are not remembered either; what two samples of one body make of
    /// each other is found out only when they are stored.
    fn leave_out_refused(&mut self) {
        let Some(rebuilt) = &self.rebuilt else { return };
        let is_new = |position: &&u32| {
            rebuilt.entries.get(**position as usize).is_some_and(|entry| entry.has(Flag::New))
        };
        let refused_count = self.batch.beyond_bounds.iter().filter(is_new).count() as u64;
        self.counts.series_added = self.counts.series_added.saturating_sub(refused_count);
    }

    fn finish(self) -> Outcome {
        let known = &self.cache.entries;
        let tracks_explicit = self.rules.cfg.track_timestamps_staleness;
        let mut ended = self.ended;
        let mut end = |entry: &Entry| {
            if entry.is_tracked(tracks_explicit) {
                ended.push(entry.series());
            }
        };
        let entries = match self.rebuilt {
            Some(rebuilt) => {
                let unmet = known.iter().zip(&rebuilt.is_met).filter(|(_, is_met)| !**is_met);
                unmet.for_each(|(entry, _)| end(entry));
                Some(rebuilt.entries)
            }
            None => {
                let (met, unmet) = known.split_at(self.cursor);
                unmet.iter().for_each(end);
                (!unmet.is_empty()).then(|| met.to_vec())
            }
        };
        if !self.cache.is_live {
            ended.clear();
        }
        ended.extend_from_slice(&self.cache.orphans);
        keep_ended_only(&mut ended, entries.as_deref().unwrap_or(known), tracks_explicit);
        Outcome {
            entries,
            ended,
            batch: self.batch,
            has_new_series: self.has_new_series,
            has_new_metadata: self.has_new_metadata,
            beyond_limit: self.beyond_limit,
            synthesis: self.synthesis.map(Synthesizer::into_next),
        }
    }
}

/// Leaves out series that another line goes on with. Compat: markers are tracked by series, not by line.
fn keep_ended_only(ended: &mut Vec<SeriesHandle>, entries: &[Entry], tracks_explicit: bool) {
    if ended.is_empty() {
        return;
    }
    let mut refs: HashSet<SeriesRef> = ended.iter().map(|series| series.series_ref).collect();
    for entry in entries.iter().filter(|entry| entry.is_tracked(tracks_explicit)) {
        refs.remove(&entry.series().series_ref);
    }
    ended.retain(|series| refs.remove(&series.series_ref));
}
