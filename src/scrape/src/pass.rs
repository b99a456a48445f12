//! One reading of one body against what is remembered of the last one.
//! Nothing here outlives the scrape: the cache is changed by whoever stores the batch, if it is stored.

use std::mem;

use hashbrown::{HashSet, HashTable};
use prom_exposition::{
    ParseError,
    text::{Dialect, Entry as Line, Exemplar, Parser, Sample, Suffix},
};
use prom_model::{self as model, LabelsBuilder, MetricType};
use prom_storage::{
    Appender, ExemplarSample, FloatSample, Rejection, SeriesHandle, SeriesRef, StorageError,
};

use crate::{
    batch::Batch,
    cache::{Cache, Entry, Flag, Kind},
    rules::{LabelsRefused, Rules},
};

/// Most lines of one target.
const ENTRY_COUNT_MAX: usize = 8_000_000;
/// Comments before one sample that are recognized as one; more begin another entry.
const COMMENTS_SIZE_BYTES_MAX: usize = 64 << 10;

const REBUILT: &str = "a line that was not expected has begun the rebuilding";

/// A body and how to read it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) dialect: Dialect,
}

/// Why a body is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyRefused {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error(transparent)]
    Labels(#[from] LabelsRefused),
    #[error("sample limit exceeded")]
    SampleLimit,
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
    /// Lines of metadata are not those of the last body.
    pub(crate) has_new_metadata: bool,
    pub(crate) beyond_limit: Option<BeyondLimit>,
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
    let mut pass = Pass {
        cache,
        rules,
        time,
        appender,
        parser: Parser::new(body.bytes, body.dialect),
        dialect: body.dialect,
        body: body.bytes,
        cursor: 0,
        counts: Counts::default(),
        appended_count: 0,
        is_over_limit: false,
        beyond_limit: None,
        declared: Declared::default(),
        rebuilt: None,
        ended: Vec::new(),
        has_new_metadata: false,
        exposed: LabelsBuilder::default(),
        batch: Batch::new(),
    };
    let read = pass.run();
    *counts = pass.counts;
    read?;
    if pass.is_over_limit {
        return Err(BodyRefused::SampleLimit);
    }
    Ok(pass.finish())
}

struct Pass<'a> {
    cache: &'a Cache,
    rules: &'a Rules,
    time: SampleTime,
    appender: &'a mut dyn Appender,
    parser: Parser<'a>,
    dialect: Dialect,
    body: &'a [u8],
    /// The entry that is expected next.
    cursor: usize,
    counts: Counts,
    /// Samples that count for the limit.
    appended_count: u64,
    is_over_limit: bool,
    beyond_limit: Option<BeyondLimit>,
    declared: Declared,
    /// Once the body differs from the last one.
    rebuilt: Option<Rebuilt>,
    ended: Vec<SeriesHandle>,
    has_new_metadata: bool,
    exposed: LabelsBuilder,
    batch: Batch,
}

/// The type that the body has declared last, found when a new series asks for it.
#[derive(Clone, Copy, Debug)]
enum Declared {
    Known(MetricType),
    /// Somewhere in these known comments.
    Within {
        start: usize,
        end: usize,
    },
}

/// The entries of a body that differs from the last one.
struct Rebuilt {
    entries: Vec<Entry>,
    /// Which entries of the last body have been met.
    is_met: Vec<bool>,
    /// Places of lines by hash: those of the last body, then those in `entries` that are new.
    index: HashTable<u32>,
    /// Where the comments end that the last of `entries` stands for.
    comments_end: Option<usize>,
}

/// What stands behind a series.
#[derive(Clone, Copy, Debug)]
struct Taken<'a> {
    value: f64,
    /// The sample's own time, if it is honored.
    explicit_ms: Option<i64>,
    exemplar: Option<Exemplar<'a>>,
}

/// A line that is known.
enum Found {
    /// From the last body, and not met in this one.
    Known(usize),
    Met(Entry),
}

impl<'a> From<&Sample<'a>> for Taken<'a> {
    fn from(sample: &Sample<'a>) -> Self {
        let Sample { value, timestamp_ms, exemplar, .. } = *sample;
        Self { value, explicit_ms: timestamp_ms, exemplar }
    }
}

impl Default for Declared {
    fn default() -> Self {
        Self::Known(MetricType::Unknown)
    }
}

impl<'a> Pass<'a> {
    fn run(&mut self) -> Result<(), BodyRefused> {
        loop {
            self.follow();
            if !self.read_unexpected()? {
                return Ok(());
            }
        }
    }

    /// Reads lines for as long as they are the expected ones: no text is taken apart or copied here.
    fn follow(&mut self) {
        let cache = self.cache;
        while let Some(entry) = cache.entries.get(self.cursor) {
            let rest = self.parser.rest();
            let Some(text) = rest.get(..entry.size_bytes()) else { return };
            if cache.key.hash(text) != entry.hash() {
                let may_skip = self.dialect == Dialect::Prometheus && rest.starts_with(b"\n");
                if may_skip && self.parser.skip_known(b"\n") {
                    continue;
                }
                return;
            }
            if let Some(rebuilt) = &self.rebuilt
                && (rebuilt.is_met[self.cursor] || entry.kind() == Kind::Repeat)
            {
                return;
            }
            if !self.take_expected(*entry, text) {
                return;
            }
            self.cursor += 1;
        }
    }

    /// Reads the line of a known entry; false if it goes on otherwise than expected.
    #[inline]
    fn take_expected(&mut self, entry: Entry, text: &[u8]) -> bool {
        if entry.kind() == Kind::Comments {
            if entry.has(Flag::HasType) {
                let start = self.body.len() - self.parser.rest().len();
                self.declared = Declared::Within { start, end: start + text.len() };
            }
            self.keep(entry);
            return self.parser.skip_known(text);
        }
        let Some(suffix) = self.parser.take_predicted(text.len()) else { return false };
        let Suffix { value, timestamp_ms, exemplar, .. } = suffix;
        self.take_known(entry, Taken { value, explicit_ms: timestamp_ms, exemplar });
        true
    }

    /// Takes the sample of the entry at the cursor.
    #[inline]
    fn take_known(&mut self, entry: Entry, mut taken: Taken<'a>) {
        self.counts.scraped += 1;
        taken.explicit_ms = taken.explicit_ms.filter(|_| self.rules.cfg.honor_timestamps);
        match entry.kind() {
            Kind::Series => {
                let entry = self.settle_explicit(entry, taken.explicit_ms.is_some());
                let position = self.keep(entry);
                self.take_sample(position, entry.series(), taken);
            }
            Kind::Repeat => {
                let position = self.keep(entry);
                self.take_repeat(position, entry.series(), taken);
            }
            Kind::Dropped | Kind::Comments => {
                self.keep(entry);
            }
        }
    }

    /// A series that has changed between samples with and without a time of their own is remembered
    /// anew; one that loses its markers by that ends here. Compat: `trackStaleness`.
    #[inline]
    fn settle_explicit(&mut self, entry: Entry, is_explicit: bool) -> Entry {
        if entry.has(Flag::Explicit) == is_explicit {
            return entry;
        }
        self.rebuild();
        let tracks_explicit = self.rules.cfg.track_timestamps_staleness;
        let changed = entry.with(Flag::Explicit, is_explicit);
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
    fn take_sample(&mut self, position: usize, series: SeriesHandle, taken: Taken<'a>) {
        self.counts.post_relabeling += 1;
        self.appended_count += 1;
        let limit = self.rules.cfg.limits.sample_count;
        if limit > 0 && self.appended_count > limit {
            self.is_over_limit = true;
            return;
        }
        let timestamp_ms = taken.explicit_ms.unwrap_or(self.time.timestamp_ms);
        if timestamp_ms > self.time.timestamp_ms_max {
            return self.batch.refuse(position, Rejection::OutOfBounds);
        }
        let value = taken.value;
        self.batch.push(self.appender, position, FloatSample { series, timestamp_ms, value });
        if let Some(exemplar) = taken.exemplar {
            self.take_exemplar(series, timestamp_ms, &exemplar);
        }
    }

    /// An exemplar without a time of its own has that of its sample.
    fn take_exemplar(&mut self, series: SeriesHandle, timestamp_ms: i64, exemplar: &Exemplar<'a>) {
        if self.batch.ignores_exemplars {
            return;
        }
        self.exposed.clear();
        if self.parser.exemplar_labels(exemplar, &mut self.exposed).is_err() {
            return;
        }
        let timestamp_ms = exemplar.timestamp_ms.unwrap_or(timestamp_ms);
        let labels = self.exposed.labels();
        let exemplar = model::Exemplar { labels, value: exemplar.value, timestamp_ms };
        self.batch.push_exemplar(self.appender, ExemplarSample { series, exemplar });
    }

    /// A second sample of one series in one body: refused, unless it brings its own time.
    fn take_repeat(&mut self, position: usize, series: SeriesHandle, taken: Taken<'a>) {
        if taken.explicit_ms.is_some() {
            return self.take_sample(position, series, taken);
        }
        self.counts.post_relabeling += 1;
        self.batch.tally.duplicate += 1;
    }

    /// Reads one line that is not the expected one; false at the end of the body.
    fn read_unexpected(&mut self) -> Result<bool, BodyRefused> {
        let rest = self.parser.rest();
        let start = self.body.len() - rest.len();
        let Some(line) = self.parser.next_entry()? else { return Ok(false) };
        self.rebuild();
        match line {
            Line::Sample(sample) => self.take_unexpected(&sample)?,
            comment => {
                let is_type = match comment {
                    Line::Type { metric_type, .. } => {
                        self.declared = Declared::Known(metric_type);
                        true
                    }
                    _ => false,
                };
                let end = self.body.len() - self.parser.rest().len();
                self.remember_comments(start, end, is_type);
            }
        }
        Ok(true)
    }

    fn take_unexpected(&mut self, sample: &Sample<'a>) -> Result<(), BodyRefused> {
        let hash = self.cache.key.hash(sample.series);
        let found = self.find(hash, sample.series.len());
        match found {
            Some(Found::Known(position)) => {
                self.cursor = position;
                let entry = self.cache.entries[position];
                self.take_known(entry, Taken::from(sample));
                self.cursor += 1;
                Ok(())
            }
            Some(Found::Met(entry)) => {
                self.repeat(entry, sample);
                Ok(())
            }
            None => self.take_new(sample),
        }
    }

    /// A line of a series that this body has had before.
    fn repeat(&mut self, first: Entry, sample: &Sample<'a>) {
        self.counts.scraped += 1;
        let entries = &self.cache.entries;
        if entries.get(self.cursor).is_some_and(|next| {
            next.kind() == Kind::Repeat && next.is(first.hash(), first.size_bytes())
        }) {
            self.cursor += 1;
        }
        let is_dropped = first.kind() == Kind::Dropped;
        let entry = if is_dropped { first } else { first.with_kind(Kind::Repeat) };
        let position = self.rebuilt_mut().push(entry);
        if !is_dropped {
            let mut taken = Taken::from(sample);
            taken.explicit_ms = taken.explicit_ms.filter(|_| self.rules.cfg.honor_timestamps);
            self.take_repeat(position, entry.series(), taken);
        }
    }

    /// A line that the last body did not have.
    fn take_new(&mut self, sample: &Sample<'a>) -> Result<(), BodyRefused> {
        self.counts.scraped += 1;
        if self.rebuilt_mut().entries.len() >= ENTRY_COUNT_MAX {
            return Err(BodyRefused::TooManyLines);
        }
        self.exposed.clear();
        let declared = self.declared_type();
        self.parser.labels(sample, declared, &mut self.exposed)?;
        let Some(labels) = self.rules.series_labels(&mut self.exposed)? else {
            self.remember_new(sample, Kind::Dropped, None);
            return Ok(());
        };
        let limit = self.rules.cfg.limits.sample_count;
        if limit > 0 && self.appended_count >= limit {
            // The scrape fails, so the series must not come into being.
            self.counts.post_relabeling += 1;
            self.is_over_limit = true;
            return Ok(());
        }
        let series = match self.appender.series(&labels) {
            Err(StorageError::SeriesLimit(reason)) => {
                // No entry: the line is tried again, should there be room by then.
                self.counts.post_relabeling += 1;
                self.beyond_limit.get_or_insert(BeyondLimit { reason, count: 0 }).count += 1;
                return Ok(());
            }
            found => found?,
        };
        self.counts.series_added += 1;
        let mut taken = Taken::from(sample);
        taken.explicit_ms = taken.explicit_ms.filter(|_| self.rules.cfg.honor_timestamps);
        let position = self.remember_new(sample, Kind::Series, Some(series));
        self.rebuilt_mut().entries[position].set(Flag::Explicit, taken.explicit_ms.is_some());
        self.take_sample(position, series, taken);
        Ok(())
    }

    fn remember_new(
        &mut self,
        sample: &Sample<'a>,
        kind: Kind,
        series: Option<SeriesHandle>,
    ) -> usize {
        let key = &self.cache.key;
        let series = series.unwrap_or(SeriesHandle { series_ref: SeriesRef(0), slot: 0 });
        let entry = Entry::new(key, sample.series, kind, series)
            .expect("the parser refuses series that an entry cannot hold");
        let known = &self.cache.entries;
        let rebuilt = self.rebuilt.as_mut().expect(REBUILT);
        let position = rebuilt.push(entry);
        let place = (known.len() + position) as u32;
        let mut index = mem::take(&mut rebuilt.index);
        index.insert_unique(entry.hash(), place, |place| rebuilt.at(known, *place).hash());
        rebuilt.index = index;
        position
    }

    /// Remembers lines from `start` to `end` as one with the comments right before them.
    fn remember_comments(&mut self, start: usize, end: usize, is_type: bool) {
        self.has_new_metadata = true;
        let rebuilt = self.rebuilt.as_mut().expect(REBUILT);
        let before = rebuilt.entries.last().copied();
        let before = before.filter(|last| {
            last.kind() == Kind::Comments
                && rebuilt.comments_end == Some(start)
                && last.size_bytes() < COMMENTS_SIZE_BYTES_MAX
        });
        let before_size_bytes = before.map_or(0, |last| last.size_bytes());
        let text = &self.body[start - before_size_bytes..end];
        let entry = Entry::without_series(&self.cache.key, text, Kind::Comments);
        // Comments longer than an entry can tell are read again each time.
        let Some(entry) = entry else { return };
        let has_type = is_type || before.is_some_and(|last| last.has(Flag::HasType));
        if before.is_some() {
            rebuilt.entries.pop();
        }
        rebuilt.push(entry.with(Flag::HasType, has_type));
        rebuilt.comments_end = Some(end);
    }

    fn declared_type(&mut self) -> MetricType {
        if let Declared::Within { start, end } = self.declared {
            let mut comments = Parser::new(&self.body[start..end], self.dialect);
            let mut last = MetricType::Unknown;
            while let Ok(Some(line)) = comments.next_entry() {
                if let Line::Type { metric_type, .. } = line {
                    last = metric_type;
                }
            }
            self.declared = Declared::Known(last);
        }
        match self.declared {
            Declared::Known(metric_type) => metric_type,
            Declared::Within { .. } => MetricType::Unknown,
        }
    }

    fn find(&self, hash: u64, size_bytes: usize) -> Option<Found> {
        let rebuilt = self.rebuilt.as_ref().expect(REBUILT);
        let known = &self.cache.entries;
        let is_it = |place: &u32| rebuilt.at(known, *place).is(hash, size_bytes);
        let place = *rebuilt.index.find(hash, is_it)?;
        match rebuilt.is_met.get(place as usize) {
            Some(false) => Some(Found::Known(place as usize)),
            _ => Some(Found::Met(*rebuilt.at(known, place))),
        }
    }

    /// From here on the entries are put together anew. Those that were met so far stand in order.
    fn rebuild(&mut self) {
        if self.rebuilt.is_some() {
            return;
        }
        let known = &self.cache.entries;
        let mut entries = Vec::with_capacity(known.len());
        entries.extend_from_slice(&known[..self.cursor]);
        let mut is_met = vec![false; known.len()];
        is_met[..self.cursor].fill(true);
        let mut index = HashTable::with_capacity(known.len());
        for (place, entry) in (0u32..).zip(known) {
            if matches!(entry.kind(), Kind::Series | Kind::Dropped) {
                index.insert_unique(entry.hash(), place, |place| known[*place as usize].hash());
            }
        }
        let comments_end = None;
        self.rebuilt = Some(Rebuilt { entries, is_met, index, comments_end });
    }

    fn rebuilt_mut(&mut self) -> &mut Rebuilt {
        self.rebuilt.as_mut().expect(REBUILT)
    }

    fn finish(mut self) -> Outcome {
        self.batch.flush(self.appender);
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
            has_new_metadata: self.has_new_metadata,
            beyond_limit: self.beyond_limit,
        }
    }
}

impl Rebuilt {
    fn push(&mut self, entry: Entry) -> usize {
        self.comments_end = None;
        self.entries.push(entry);
        self.entries.len() - 1
    }

    /// An entry of the last body, or a new one.
    fn at<'e>(&'e self, known: &'e [Entry], place: u32) -> &'e Entry {
        let place = place as usize;
        known.get(place).unwrap_or_else(|| &self.entries[place - known.len()])
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
