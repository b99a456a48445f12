//! From a log on disk to a head that takes samples: read, replayed, repaired, continued.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use prom_storage::StorageError;
use prom_telemetry::{Registry, clock};

use crate::{
    OpenError, Options, ReplayProgress,
    disk::Disk,
    head::{AllSeries, FiledChunks, Head, HeadReplay, RefTable, ReplayCounts},
    head_chunks::ChunkFiles,
    wal::{
        Damage, Decoded, FileReport, LogFiles, LogReader, RefSeries, Wal, list_log,
        remove_leftovers, repair,
    },
};

use super::{
    chunk_snapshot::{self, ChunkSnapshot, NotTaken, SnapshotReplayError},
    out_of_order::{has_log, open_wbl},
    sidecar,
};

pub(super) const WAL_DIR: &str = "wal";
pub(super) const CHUNKS_DIR: &str = "chunks_head";

type Progress<'a> = &'a (dyn Fn(ReplayProgress) -> ControlFlow<()> + Sync);

/// Fills the head from the log, and lets its commits go there.
pub(super) fn open_log(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: &Options,
    registry: &Registry,
    progress: Progress<'_>,
    head: &Arc<Head>,
) -> Result<(), OpenError> {
    let metrics = ReplayMetrics::register(registry);
    let begin = clock::monotonic();
    let wal_dir = dir.join(WAL_DIR);
    let io = |action| {
        let wal_dir = wal_dir.clone();
        move |err: std::io::Error| match err.kind() {
            std::io::ErrorKind::AlreadyExists => OpenError::NotADirectory { path: wal_dir },
            _ => OpenError::io(&wal_dir, action, err),
        }
    };
    disk.create_dir_all(&wal_dir).map_err(io("create WAL directory"))?;
    remove_leftovers(&*disk, &wal_dir).map_err(io("remove an unfinished repair"))?;
    let log = list_log(&*disk, &wal_dir).map_err(io("list WAL"))?;
    if log.has_gap {
        tracing::warn!(dir = %wal_dir.display(), "WAL segments are missing; what they held is lost");
    }
    let (filed, start) = open_chunks(&disk, dir, options, &log, head, &metrics)?;
    let is_late_log = has_log(&*disk, dir);
    let (counts, refs, reports) = replay(&*disk, &log, progress, head, filed, &start, is_late_log)
        .map_err(|err| err.into_open_error(dir))?;
    chunk_snapshot::remove_all(&*disk, dir);
    for report in &reports {
        match repair(&*disk, dir, report) {
            Ok(None) => {}
            Ok(Some(damage)) => metrics.count_damage(&damage),
            Err(err) => return Err(OpenError::io(report.path(), "repair WAL", err)),
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    metrics.finish(&counts, seconds);
    if log.segment_last.is_some() {
        tracing::info!(
            segments = log.files.len(),
            is_sidecar_used = matches!(start, Start::Sidecar(_)),
            is_snapshot_used = matches!(start, Start::Snapshot(_)),
            samples = counts.samples_count,
            series = head.index().count(),
            duration = format!("{seconds:.3}s"),
            "WAL replay completed"
        );
    }
    // A torn tail may have been cut off since the log was listed.
    let last = list_log(&*disk, &wal_dir).map_err(io("list WAL"))?.last_segment();
    let mut wal = Wal::new(Arc::clone(&disk), &wal_dir, options, last, head.wal_metrics().clone());
    if let Err(StorageError::Io { path, action, source }) = wal.begin() {
        let err = OpenError::io(&path, action, source);
        // A full disk may have room again before the first sample comes; commits say so if not.
        if !err.is_disk_full() {
            return Err(err);
        }
        tracing::error!(err = %err, "No space for a WAL segment; samples are refused until there is");
    }
    head.keep_refs(&counts, last.map_or(0, |(index, _)| index));
    head.set_wal(wal);
    // A sidecar tells the refs only that series have now.
    let all_series = |each: &mut dyn FnMut(Vec<RefSeries>)| tell_series(&*disk, &log, each);
    let is_sidecar_used = matches!(start, Start::Sidecar(_));
    let all_series: Option<AllSeries<'_>> = is_sidecar_used.then_some(&all_series as AllSeries<'_>);
    open_wbl(&disk, dir, head, (refs, all_series), registry)
}

/// What a replay begins with.
enum Start {
    /// Nothing: the whole log is replayed.
    Log,
    /// What a sidecar has filled the head with; it stands at a place in the log.
    Sidecar((u64, u64)),
    Snapshot(ChunkSnapshot),
}

/// Opens the head chunks: by the sidecar, or by looking through them. A chunk snapshot that was written beside
/// what they are then may take the place of most of the log.
fn open_chunks(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    options: &Options,
    log: &LogFiles,
    head: &Head,
    metrics: &ReplayMetrics,
) -> Result<(FiledChunks, Start), OpenError> {
    let chunks_dir = dir.join(CHUNKS_DIR);
    let files = || ChunkFiles::new(Arc::clone(disk), &chunks_dir);
    let sidecar = sidecar::load(&**disk, dir, log, &files(), options).filter(|sidecar| {
        let opened = head.open_trusted_chunk_files(files(), &sidecar.header);
        opened
            .inspect_err(|err| tracing::warn!(err = %err, "The head's sidecar is not used"))
            .is_ok()
    });
    let mut filed = FiledChunks::default();
    let Some(sidecar) = sidecar else {
        sidecar::remove(&**disk, dir);
        let scanned = head
            .open_chunk_files(files(), dir, |chunk| filed.push(chunk))
            .map_err(|err| OpenError::io(&chunks_dir, "read head chunks", err))?;
        if !options.is_chunk_snapshot_used {
            return Ok((filed, Start::Log));
        }
        let found = chunk_snapshot::find(&**disk, dir, log, &scanned.ends);
        let snapshot = metrics.told(found);
        return Ok((filed, snapshot.map_or(Start::Log, Start::Snapshot)));
    };
    let begin_at = (sidecar.header.segment, sidecar.header.offset);
    sidecar.take(head);
    head.drop_what_is_in_blocks();
    Ok((filed, Start::Sidecar(begin_at)))
}

/// Hands over the series records of the whole log, as far as it can be read.
fn tell_series(disk: &dyn Disk, log: &LogFiles, each: &mut dyn FnMut(Vec<RefSeries>)) {
    let mut reader = LogReader::new(disk, log);
    while let Ok(Some((_, records))) = reader.next_decoded() {
        for record in records {
            if let Decoded::Series(series) = record {
                each(series);
            }
        }
    }
}

enum ReplayError {
    Canceled,
    TooManySeries,
    Io(std::io::Error),
}

impl ReplayError {
    fn into_open_error(self, dir: &Path) -> OpenError {
        let wal_dir = dir.join(WAL_DIR);
        match self {
            Self::Canceled => OpenError::Canceled { path: dir.to_owned() },
            Self::TooManySeries => OpenError::TooManySeries { path: wal_dir },
            Self::Io(err) => OpenError::io(&wal_dir, "read WAL", err),
        }
    }
}

impl From<SnapshotReplayError> for ReplayError {
    fn from(err: SnapshotReplayError) -> Self {
        match err {
            SnapshotReplayError::TooManySeries => Self::TooManySeries,
            SnapshotReplayError::Io(err) => Self::Io(err),
        }
    }
}

/// Reads and decodes each window while the one before it is applied.
fn replay(
    disk: &dyn Disk,
    log: &LogFiles,
    progress: Progress<'_>,
    head: &Head,
    filed: FiledChunks,
    start: &Start,
    is_late_log: bool,
) -> Result<(ReplayCounts, RefTable, Vec<FileReport>), ReplayError> {
    let mut reader = LogReader::new(disk, log);
    let all_series = |each: &mut dyn FnMut(Vec<RefSeries>)| tell_series(disk, log, each);
    let mut replay = HeadReplay::new(head, filed);
    if let Start::Snapshot(snapshot) = start {
        snapshot.replay(disk, log, &mut replay)?;
        replay.end_snapshot();
        reader.skip_to(snapshot.place.0, snapshot.place.1);
    }
    if let Start::Sidecar((segment, offset)) = *start {
        reader.skip_to(segment, offset);
        let has_tail = log.files.iter().any(|file| {
            let begin = if file.index == segment { offset } else { 0 };
            !file.is_checkpoint && file.index >= segment && file.size_bytes > begin
        });
        if has_tail || is_late_log {
            replay.know_series(Some(&all_series));
        }
    }
    let segment_first = log.files.first().map_or(0, |file| file.index);
    let mut next = reader.next_decoded().map_err(ReplayError::Io)?;
    while let Some((window, records)) = next {
        let (read, applied) = rayon::join(|| reader.next_decoded(), || replay.apply(records));
        reader.recycle(applied.map_err(|_| ReplayError::TooManySeries)?);
        next = read.map_err(ReplayError::Io)?;
        let step = progress(ReplayProgress {
            segment_first,
            segment_last: log.segment_last.unwrap_or(segment_first),
            segment_current: window.file_index,
            read_size_bytes: window.read_size_bytes,
            total_size_bytes: log.size_bytes(),
        });
        if step.is_break() {
            return Err(ReplayError::Canceled);
        }
    }
    let (counts, refs) = replay.finish();
    Ok((counts, refs, reader.into_reports()))
}

/// Metrics of opening, named as Prometheus's.
struct ReplayMetrics {
    corruptions: prom_telemetry::Counter,
    unknown_refs: prom_telemetry::CounterVec,
    duration: prom_telemetry::Gauge,
    snapshot_errors: prom_telemetry::Counter,
}

impl ReplayMetrics {
    fn register(registry: &Registry) -> Self {
        Self {
            corruptions: registry.counter(
                "prometheus_tsdb_wal_corruptions_total",
                "Total number of WAL corruptions.",
            ),
            unknown_refs: registry.counter_vec(
                "prometheus_tsdb_wal_replay_unknown_refs_total",
                "Total number of unknown series references encountered during WAL replay.",
                &["type"],
            ),
            duration: registry.gauge(
                "prometheus_tsdb_data_replay_duration_seconds",
                "Time taken to replay the data on disk.",
            ),
            snapshot_errors: registry.counter(
                "prometheus_tsdb_snapshot_replay_error_total",
                "Total number snapshot replays that failed.",
            ),
        }
    }

    /// The snapshot that is taken; why one is not is told and counted.
    fn told(&self, found: Result<Option<ChunkSnapshot>, NotTaken>) -> Option<ChunkSnapshot> {
        match found {
            Ok(snapshot) => return snapshot,
            Err(NotTaken::DoesNotFit { name, reason }) => {
                tracing::warn!(
                    dir = name,
                    reason,
                    "The chunk snapshot is not taken; the WAL is replayed"
                );
            }
            Err(NotTaken::Damaged { name, reason }) => {
                self.snapshot_errors.inc();
                tracing::error!(dir = name, err = %reason, "Failed to load chunk snapshot; the WAL is replayed");
            }
        }
        None
    }

    fn count_damage(&self, damage: &Damage) {
        match damage {
            // The usual end of a process that was killed.
            Damage::TornTail { .. } => {}
            Damage::Quarantined { .. } | Damage::LeftAlone => self.corruptions.inc(),
        }
    }

    fn finish(&self, counts: &ReplayCounts, seconds: f64) {
        self.duration.set(seconds);
        if counts.unknown_refs_count > 0 {
            self.unknown_refs.with(&["series"]).inc_by(counts.unknown_refs_count);
            self.unknown_refs.with(&["samples"]).inc_by(counts.unknown_samples_count);
            tracing::warn!(
                series = counts.unknown_refs_count,
                samples = counts.unknown_samples_count,
                "Unknown series references"
            );
        }
        for (kind, records) in &counts.skipped_records {
            tracing::warn!(
                kind,
                records,
                "This version does not read these WAL records yet; they are left as they are"
            );
        }
    }
}
