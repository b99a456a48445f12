//! Random operations on a database and on a map, with failing writes and syncs, crashes at any operation of the
//! disk, damaged chunks and starts that are cut short: both say the same at every step.
//!
//! Each run has a seed, which a failure names. `MODEL_SEED` is the first one (replays it alone unless
//! `MODEL_COUNT` asks for more), `MODEL_COUNT` how many there are.

pub(super) mod disk;
mod twin;

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use prom_model::{Histogram, HistogramValue, MatchOp, Matcher, Span};
use prom_storage::{
    Appendable, Columns, FloatSample, HistogramSample, Queryable, Rejected, SelectHints, TimeRange,
};
use prom_telemetry::Registry;
use prom_testkit::{Fault, OpKind};

use crate::{
    FloatEncoding, OpenError, Options, RetentionOptions, WalCompression,
    block::{BlockId, BlockMeta},
    db::sidecar,
};

use super::{ALL, DIR, Db, labels};

use self::{
    disk::ModelDisk,
    twin::{Content, Sample, Twin, Value},
};

const SEEDS_COUNT: u64 = 250;
const STEPS_COUNT: usize = 45;
const SERIES_COUNT: u64 = 12;
/// Series from this one on hold histograms.
const FIRST_HISTOGRAM: usize = 9;
const RANGE_MS: i64 = 2_000;
const BEGIN_MS: i64 = 1_700_000_000_000;
const ENOSPC: i32 = 28;
const EIO: i32 = 5;

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn is_one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// A file cut at a byte, a whole write, nothing of it.
    fn written_size_bytes(&mut self) -> usize {
        [0, 1, self.below(200) as usize, usize::MAX][self.below(4) as usize]
    }
}

struct Run {
    dice: Dice,
    options: Options,
    disk: ModelDisk,
    db: Arc<Db>,
    twin: Twin,
    /// After a power failure files of head chunks may have what the log has lost.
    is_log_complete: bool,
    /// What was done, for whoever looks at a failure.
    story: Vec<String>,
}

fn open(disk: &ModelDisk, dir: &Path, options: &Options) -> Result<Arc<Db>, OpenError> {
    disk.faulty.create_dir_all(dir).unwrap();
    let progress = |_| ControlFlow::Continue(());
    let disk = Arc::new(disk.clone());
    Db::open_on(disk, dir, options, &Registry::default(), &progress, None)
}

/// What the series that match have in the range.
fn select(db: &Db, matchers: &[Matcher], range: TimeRange) -> Content {
    let hints = SelectHints { range, is_sorted: false, series_count_max: 0 };
    let selection = db.querier(range).unwrap().select(matchers, &hints).unwrap();
    let mut content = Content::new();
    let mut columns = Columns::default();
    for index in 0..selection.len() {
        columns.clear();
        selection.read(index, range, &mut columns).unwrap();
        let number = selection.labels(index).get("n").unwrap().parse().unwrap();
        let bits = columns.values.iter().map(|value| Value::Float(value.to_bits()));
        let floats = columns.timestamps_ms.iter().copied().zip(bits);
        let histograms = columns.histograms.iter().map(|point| {
            (point.timestamp_ms, Value::Histogram(point.histogram.to_float().count as u64))
        });
        let samples: Vec<_> = floats.chain(histograms).collect();
        if db.head.keeps_starts() {
            let Columns { start_timestamps_ms, histogram_start_timestamps_ms, .. } = &columns;
            let (of_floats, of_histograms) = samples.split_at(columns.len());
            for (starts_ms, samples) in
                [(start_timestamps_ms, of_floats), (histogram_start_timestamps_ms, of_histograms)]
            {
                let expected = samples.iter().map(|(t, value)| start_of(&(number, *t, *value)));
                let expected: Vec<i64> = expected.collect();
                let is_unknown = starts_ms.is_empty() && expected.iter().all(|start| *start == 0);
                assert!(is_unknown || *starts_ms == expected, "{starts_ms:?} of {samples:?}");
            }
        }
        let count = samples.len();
        if count > 0 {
            let of_series = content.entry(number).or_default();
            of_series.extend(samples);
            assert_eq!(of_series.len(), count, "a time came twice");
        }
    }
    content
}

fn content(db: &Db) -> Content {
    select(db, &[], ALL)
}

/// Since when a sample counts: it follows from the sample. Some do not tell.
fn start_of((number, t, value): &Sample) -> i64 {
    let value = match value {
        Value::Float(bits) => f64::from_bits(*bits) as i64,
        Value::Histogram(count) => *count as i64,
    };
    match number % 4 {
        0 => 0,
        1 => BEGIN_MS - 1,
        2 => t / 500 % 3 * 1_000,
        _ => t - value,
    }
}

/// A histogram of so many observations; now and then in one more bucket.
fn histogram(count: u64) -> HistogramValue {
    let length = 1 + count as u32 % 3;
    let mut buckets = vec![0; length as usize];
    (buckets[0], buckets[length as usize - 1]) = (0, count as i64);
    if length == 1 {
        buckets[0] = count as i64;
    }
    HistogramValue::Integer(Arc::new(Histogram {
        count,
        sum: count as f64,
        positive_spans: [Span { offset: 0, length }].into(),
        positive_buckets: buckets,
        ..Histogram::default()
    }))
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let options = Options {
            wal_segment_size_bytes: 32 * 1024,
            wal_compression: match dice.below(3) {
                0 => WalCompression::None,
                1 => WalCompression::Snappy,
                _ => WalCompression::Zstd,
            },
            min_block_duration_ms: RANGE_MS,
            max_block_duration_ms: 9 * RANGE_MS,
            retention: RetentionOptions::default(),
            // Every other run has samples that tell since when they count.
            are_starts_kept: seed % 2 == 1,
            are_histogram_starts_encoded: true,
            float_encoding: [FloatEncoding::Xor, FloatEncoding::Xor2][(seed % 2) as usize],
            ..Options::default()
        };
        let disk = ModelDisk::new();
        let db = open(&disk, Path::new(DIR), &options).unwrap();
        let (twin, story) = (Twin::new(), Vec::new());
        Self { dice, options, disk, db, twin, is_log_complete: true, story }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.story.push(text.into());
    }

    fn step(&mut self) {
        match self.dice.below(40) {
            0..=19 => self.commit(),
            20 => self.rollback(),
            21..=22 => self.delete(),
            23..=26 => self.tend("upkeep", |db| db.do_upkeep().is_ok()),
            27 => self.tend("clean tombstones", |db| db.clean_tombstones().is_ok()),
            28..=29 => self.tend("flush", |db| db.head.flush_chunks().is_ok()),
            30 => self.tend("mend", |db| db.head.mend().is_ok()),
            31..=32 => self.write_sidecar(),
            33 => self.snapshot(),
            34 => self.retain(),
            35..=36 => self.stop(),
            37 => self.kill(false),
            38 => self.kill(true),
            _ => self.query(),
        }
        assert_eq!(content(&self.db), self.twin.content);
    }

    /// Lets the disk fail during what comes next. Says whether it dies then.
    fn begin_fault(&mut self, chance: u64) -> bool {
        if !self.dice.is_one_in(chance) {
            return false;
        }
        let op = self.disk.faulty.ops().len() as u64 + self.dice.below(12);
        let written_size_bytes = self.dice.written_size_bytes();
        let faulty = self.disk.faulty.clone();
        let fault = self.dice.below(6);
        self.note(format!("fault {fault} at {op}, {written_size_bytes} bytes"));
        match fault {
            0 => faulty.fail_kind(OpKind::Write, Some(ENOSPC)),
            1 => faulty.fail_kind(OpKind::Sync, Some(EIO)),
            2 => faulty.set_space_left(Some(self.dice.below(3_000))),
            3 => faulty.fail_at(op, Fault::Error { errno: EIO, written_size_bytes }),
            _ => {
                faulty.fail_at(op, Fault::Crash { written_size_bytes });
                return true;
            }
        }
        false
    }

    fn end_fault(&mut self) {
        self.disk.faulty.set_space_left(None);
        for kind in [OpKind::Write, OpKind::Sync] {
            self.disk.faulty.fail_kind(kind, None);
        }
    }

    fn samples(&mut self) -> Vec<Sample> {
        let mut newest = self.twin.max_time().unwrap_or(BEGIN_MS);
        if self.dice.is_one_in(5) {
            newest += self.dice.below(1_800) as i64;
        }
        let sample = |dice: &mut Dice| {
            let number = dice.below(SERIES_COUNT) as usize;
            let step = match dice.below(9) {
                0..=5 => dice.below(60) as i64,
                6..=7 => -(dice.below(30) as i64),
                _ => dice.below(6_000) as i64 - 3_000,
            };
            let value = match number < FIRST_HISTOGRAM {
                true => Value::Float((dice.below(3) as f64).to_bits()),
                false => Value::Histogram(1 + dice.below(40)),
            };
            (number, newest + step, value)
        };
        let count = self.dice.below(30);
        let mut samples: Vec<Sample> = (0..count).map(|_| sample(&mut self.dice)).collect();
        // Floats are appended first.
        samples.sort_by_key(|(number, ..)| *number >= FIRST_HISTOGRAM);
        samples
    }

    /// Offers samples and checks what is said of them; gives those that a commit stores.
    fn offer(&self, appender: &mut dyn prom_storage::Appender, samples: &[Sample]) -> Vec<Sample> {
        let Some(first) = samples.first() else { return Vec::new() };
        let expected = self.twin.expect(samples, self.db.head.bound(first.1));
        let mut rejected: Vec<Rejected> = Vec::new();
        let count = samples.iter().filter(|(number, ..)| *number < FIRST_HISTOGRAM).count();
        let (floats, histograms) = samples.split_at(count);
        let mut batch = Vec::new();
        let starts_ms: Vec<i64> = floats.iter().map(start_of).collect();
        for (number, timestamp_ms, value) in floats {
            let series = appender.series(&labels(*number)).unwrap();
            let Value::Float(bits) = value else { unreachable!("floats come first") };
            let value = f64::from_bits(*bits);
            batch.push(FloatSample { series, timestamp_ms: *timestamp_ms, value });
        }
        appender.append_with_starts(&batch, &starts_ms, &mut rejected);
        let floats_rejected = rejected.len();
        let mut batch = Vec::new();
        for sample @ (number, timestamp_ms, value) in histograms {
            let series = appender.series(&labels(*number)).unwrap();
            let Value::Histogram(of) = value else { unreachable!("histograms come last") };
            let histogram = histogram(*of);
            batch.push(HistogramSample {
                series,
                timestamp_ms: *timestamp_ms,
                start_ms: start_of(sample),
                histogram,
            });
        }
        appender.append_histograms(&batch, &mut rejected);
        rejected.iter_mut().skip(floats_rejected).for_each(|one| one.index += count);
        let mut stored = Vec::new();
        for (index, expected) in expected.into_iter().enumerate() {
            let told = rejected.iter().find(|one| one.index == index).map(|one| one.reason);
            if let Some(expected) = expected {
                assert_eq!(told, expected.err(), "sample {index}: {:?}", samples[index]);
            }
            if told.is_none() {
                stored.push(samples[index]);
            }
        }
        stored
    }

    fn commit(&mut self) {
        let samples = self.samples();
        self.note(format!("commit {samples:?}"));
        let is_dying = self.begin_fault(7);
        let db = Arc::clone(&self.db);
        let mut appender = db.appender();
        let stored = self.offer(&mut *appender, &samples);
        let again = self.twin.offered_before(&samples);
        self.twin.offer(&samples);
        match appender.commit() {
            Ok(()) => self.twin.store(&stored, |sample| {
                let (number, t, _) = sample;
                let is_there =
                    || content(&db).get(number).is_some_and(|there| there.contains_key(t));
                !again.contains(sample) || is_there()
            }),
            Err(err) => {
                self.note(format!("refused: {err}"));
                self.twin.doubt(&stored);
            }
        }
        self.end_fault();
        if is_dying {
            self.reopen(false);
        }
    }

    fn rollback(&mut self) {
        let samples = self.samples();
        self.note("rollback");
        let db = Arc::clone(&self.db);
        let mut appender = db.appender();
        self.offer(&mut *appender, &samples);
    }

    /// What changes no sample.
    fn tend(&mut self, what: &str, action: impl FnOnce(&Db) -> bool) {
        let bounds = self.db.head.time_bounds();
        self.note(format!("{what}, the head holds {bounds:?}"));
        let is_dying = self.begin_fault(3);
        let is_done = action(&self.db);
        self.note(format!("done: {is_done}"));
        self.end_fault();
        if is_dying {
            self.reopen(false);
        }
    }

    fn write_sidecar(&mut self) {
        self.note("sidecar");
        let is_dying = self.begin_fault(5);
        drop(sidecar::write(&self.db.head, &self.disk.sidecar_path()));
        self.end_fault();
        if is_dying {
            self.reopen(false);
        }
    }

    fn matcher(&mut self) -> Matcher {
        let number = self.dice.below(SERIES_COUNT).to_string();
        let (name, op, value) = match self.dice.below(6) {
            0..=1 => ("n", MatchOp::Equal, number.as_str()),
            2 => ("n", MatchOp::NotEqual, number.as_str()),
            3 => ("instance", MatchOp::Regex, "a.*|c:3"),
            4 => ("n", MatchOp::NotRegex, "1.?|5"),
            _ => ("instance", MatchOp::Equal, "b:2"),
        };
        Matcher::new(name, op, value).unwrap()
    }

    fn range(&mut self) -> TimeRange {
        if self.dice.is_one_in(6) {
            return ALL;
        }
        let newest = self.twin.max_time().unwrap_or(BEGIN_MS);
        let mint_ms = newest - self.dice.below(9_000) as i64;
        TimeRange { mint_ms, maxt_ms: mint_ms + self.dice.below(5_000) as i64 }
    }

    fn query(&mut self) {
        let (matchers, range) = ([self.matcher(), self.matcher()], self.range());
        self.note(format!("query {matchers:?} {range:?}"));
        let is_it = |number: usize| {
            let labels = labels(number);
            matchers.iter().all(|one| one.matches(labels.get(one.name()).unwrap_or("")))
        };
        let mut expected = self.twin.content.clone();
        expected.retain(|number, samples| {
            samples.retain(|t, _| (range.mint_ms..=range.maxt_ms).contains(t));
            is_it(*number) && !samples.is_empty()
        });
        assert_eq!(select(&self.db, &matchers, range), expected);
    }

    fn delete(&mut self) {
        let (matcher, range) = (self.matcher(), self.range());
        self.note(format!("delete {matcher:?} {range:?}"));
        let is_dying = self.begin_fault(4);
        let deleted = self.db.delete(range.mint_ms, range.maxt_ms, &[vec![matcher.clone()]]);
        let is_removed = |number: usize, t: i64| {
            let labels = labels(number);
            (range.mint_ms..=range.maxt_ms).contains(&t)
                && matcher.matches(labels.get(matcher.name()).unwrap_or(""))
        };
        self.end_fault();
        match deleted {
            Ok(()) => self.twin.remove(is_removed),
            Err(_) => {
                self.twin.doubt_removed(is_removed);
                if !is_dying {
                    self.twin.settle(content(&self.db), false, false);
                }
            }
        }
        if is_dying {
            self.reopen(false);
        }
    }

    fn snapshot(&mut self) {
        let with_head = !self.dice.is_one_in(3);
        self.note(format!("snapshot, head: {with_head}"));
        let is_dying = self.begin_fault(4);
        let taken = self.db.snapshot(with_head);
        self.end_fault();
        if let (Ok(name), false) = (taken, is_dying) {
            let dir: PathBuf = [DIR, "snapshots", &name].iter().collect();
            let image = self.disk.with(self.disk.faulty.live_image());
            let found = content(&open(&image, &dir, &self.options).unwrap());
            if with_head {
                assert_eq!(found, self.twin.content_as_far_as_sure(&found), "the snapshot");
            }
            for (number, samples) in &found {
                let there = &self.twin.content[number];
                assert!(samples.iter().all(|(t, v)| there.get(t) == Some(v)), "the snapshot");
            }
        }
        if is_dying {
            self.reopen(false);
        }
    }

    /// Old blocks go, and nothing else.
    fn retain(&mut self) {
        let duration_ms = 1 + self.dice.below(20_000) as i64;
        self.note(format!("retention {duration_ms}"));
        let ends = self.db.blocks.list().iter().map(|block| block.times().1).collect::<Vec<_>>();
        let newest = ends.iter().max().copied();
        let is_dying = self.begin_fault(4);
        let retention = RetentionOptions { duration_ms, ..RetentionOptions::default() };
        drop(self.db.apply_retention(retention));
        drop(self.db.apply_retention(RetentionOptions::default()));
        self.end_fault();
        if let Some(newest) = newest {
            self.twin.doubt_removed(|_, t| t < newest - duration_ms);
        }
        match is_dying {
            true => self.reopen(false),
            false => self.twin.settle(content(&self.db), false, false),
        }
    }

    fn stop(&mut self) {
        self.note("stop");
        let is_dying = self.begin_fault(5);
        let closed = self.db.close();
        self.end_fault();
        // A clean end is durable.
        let is_durable = closed.is_ok() && !is_dying && self.dice.is_one_in(2);
        if is_durable {
            self.disk = self.disk.with(self.disk.faulty.durable_image());
        }
        self.reopen(false);
    }

    fn kill(&mut self, is_power_lost: bool) {
        self.note(if is_power_lost { "power failure" } else { "kill" });
        self.reopen(is_power_lost);
    }

    /// Opens what a crash leaves, perhaps after starts that are cut short.
    fn reopen(&mut self, is_power_lost: bool) {
        let image = |disk: &ModelDisk| match is_power_lost {
            true => disk.with(disk.faulty.durable_image()),
            false => disk.with(disk.faulty.live_image()),
        };
        let mut disk = image(&self.disk);
        self.note_files(&disk);
        self.is_log_complete &= !is_power_lost;
        if self.dice.is_one_in(5) && self.is_log_complete {
            self.damage_chunks(&disk);
        }
        while self.dice.is_one_in(3) {
            let op = disk.faulty.ops().len() as u64 + self.dice.below(20);
            let written_size_bytes = self.dice.written_size_bytes();
            self.note(format!("a start that ends at {op}"));
            disk.faulty.fail_at(op, Fault::Crash { written_size_bytes });
            drop(open(&disk, Path::new(DIR), &self.options));
            disk = disk.with(disk.faulty.live_image());
            self.note_files(&disk);
        }
        let before = std::mem::replace(&mut self.disk, disk);
        let options = self.options.clone();
        self.db = open(&self.disk, Path::new(DIR), &options).unwrap();
        drop(before);
        self.note("open");
        self.twin.settle(content(&self.db), is_power_lost, true);
    }

    fn note_files(&mut self, disk: &ModelDisk) {
        let sizes = |dir: &str| {
            let dir = Path::new(DIR).join(dir);
            let mut names = disk.faulty.list(&dir).unwrap_or_default();
            names.sort();
            let size = |name| disk.faulty.size_bytes(&dir.join(name)).unwrap_or(0);
            names.iter().map(|name| format!("{name}: {}", size(name))).collect::<Vec<_>>()
        };
        let has_sidecar = disk.sidecar_path().exists();
        let (chunks, wal) = (sizes("chunks_head"), sizes("wal"));
        self.note(format!("head chunks {chunks:?}, log {wal:?}, sidecar: {has_sidecar}"));
        let names = disk.faulty.list(Path::new(DIR)).unwrap_or_default();
        let blocks = names.iter().filter(|name| name.parse::<BlockId>().is_ok());
        let times = |name| {
            let meta = BlockMeta::read(disk, &Path::new(DIR).join(name));
            meta.map(|meta| (meta.min_time, meta.max_time, meta.compaction.hints))
        };
        let times: Vec<_> = blocks.map(times).collect();
        self.note(format!("blocks {times:?}"));
    }

    /// Flips a bit somewhere among the head chunks: the log has all of them.
    fn damage_chunks(&mut self, disk: &ModelDisk) {
        let dir = Path::new(DIR).join("chunks_head");
        let names = disk.faulty.list(&dir).unwrap_or_default();
        if names.is_empty() {
            return;
        }
        let path = dir.join(&names[self.dice.below(names.len() as u64) as usize]);
        let (at, bit) = (self.dice.next() as usize, self.dice.below(8));
        self.note(format!("damage {}", path.display()));
        disk.faulty
            .edit(&path, |bytes| {
                let size = bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at % size) {
                    *byte ^= 1 << bit;
                }
            })
            .unwrap();
    }
}

fn number_in(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn the_database_is_the_map() {
    let first = number_in("MODEL_SEED");
    let count = number_in("MODEL_COUNT").unwrap_or(if first.is_some() { 1 } else { SEEDS_COUNT });
    // Who replays one wants to know what the database says of itself.
    let _log = first
        .map(|_| prom_telemetry::log::init("debug".parse().unwrap(), "logfmt".parse().unwrap()));
    let first = first.unwrap_or(0);
    for seed in first..first + count {
        let mut run = Run::new(seed);
        let ended = catch_unwind(AssertUnwindSafe(|| (0..STEPS_COUNT).for_each(|_| run.step())));
        if let Err(panic) = ended {
            println!("{}", run.story.join("\n"));
            println!("replay this with MODEL_SEED={seed}");
            std::mem::forget(run);
            resume_unwind(panic);
        }
    }
    println!("seeds {first} to {}", first + count - 1);
}
