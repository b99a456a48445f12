//! The log of out-of-order samples on disk, and the blocks that these samples become. What they are to the
//! head is `head`'s matter.

use std::{io, path::Path, sync::Arc};

use prom_storage::{StorageError, TimeRange};
use prom_telemetry::{CounterVec, Registry, clock};

use crate::{
    OpenError,
    block::{BlockId, BlockMeta, HINT_OUT_OF_ORDER},
    compact::Shape,
    disk::Disk,
    head::{AllSeries, Head, RefTable, WblCounts, WblReplay},
    select::HeadExport,
    wal::{LogFiles, LogReader, list_log, quarantine, remove_leftovers, repair},
};

use super::Db;

pub(super) const WBL_DIR: &str = "wbl";

/// Whether the log of out-of-order samples has any.
pub(super) fn has_log(disk: &dyn Disk, dir: &Path) -> bool {
    list_log(disk, &dir.join(WBL_DIR)).is_ok_and(|log| log.size_bytes() > 0)
}

/// Registers the size of the log, looked up when somebody asks.
pub(super) fn register_size(dir: &Path, registry: &Registry) {
    let wbl = dir.join(WBL_DIR);
    registry.gauge_fn(
        "prometheus_tsdb_out_of_order_wbl_storage_size_bytes",
        "Size of the write log directory.",
        move || super::directory::size_bytes(&wbl) as f64,
    );
}

/// Fills the head from the log, if there is one, and lets its commits go there if they may need it. The log
/// of all samples has been replayed before; `told` are the refs that it told, and where to ask for others.
pub(super) fn open_wbl(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    head: &Head,
    told: (RefTable, Option<AllSeries<'_>>),
    registry: &Registry,
) -> Result<(), OpenError> {
    let wbl_dir = dir.join(WBL_DIR);
    let io = |action| {
        let path = wbl_dir.clone();
        move |err: io::Error| OpenError::io(&path, action, err)
    };
    let unknown_refs = registry.counter_vec(
        "prometheus_tsdb_wbl_replay_unknown_refs_total",
        "Total number of unknown series references encountered during WBL replay.",
        &["type"],
    );
    let is_needed = head.out_of_order_window_ms() > 0;
    match disk.list(&wbl_dir) {
        Err(err) if err.kind() == io::ErrorKind::NotFound && !is_needed => return Ok(()),
        Err(err) if err.kind() == io::ErrorKind::NotADirectory => {
            return Err(OpenError::NotADirectory { path: wbl_dir });
        }
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(io("list WBL")(err)),
        _ => {}
    }
    disk.create_dir_all(&wbl_dir).map_err(io("create WBL directory"))?;
    remove_leftovers(&**disk, &wbl_dir).map_err(io("remove an unfinished repair"))?;
    let log = list_log(&**disk, &wbl_dir).map_err(io("list WBL"))?;
    if log.size_bytes() > 0 {
        let counts = replay(disk, dir, &log, head, told).map_err(io("read WBL"))?;
        report(&counts, &unknown_refs);
        if counts.samples_count + counts.chunks_count == 0 && counts.unknown_refs_count > 0 {
            put_away(&**disk, dir, &log);
        }
    }
    if !is_needed && log.size_bytes() == 0 {
        return Ok(());
    }
    if let Err(err) = head.begin_wbl(&wbl_dir) {
        let StorageError::Io { path, action, source } = err else { return Ok(()) };
        let err = OpenError::io(&path, action, source);
        // A full disk may have room again before the first such sample comes; commits say so if not.
        if !err.is_disk_full() {
            return Err(err);
        }
        tracing::error!(err = %err, "No space for a WBL segment; out-of-order samples are refused until there is");
    }
    Ok(())
}

/// Reads and decodes each window while the one before it is applied; damaged files are repaired.
fn replay(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    log: &LogFiles,
    head: &Head,
    told: (RefTable, Option<AllSeries<'_>>),
) -> io::Result<WblCounts> {
    let begin = clock::monotonic();
    let mut reader = LogReader::new(&**disk, log);
    let mut replay = WblReplay::new(head, told);
    let mut next = reader.next_decoded()?;
    while let Some((_, records)) = next {
        let (read, batches) = rayon::join(|| reader.next_decoded(), || replay.apply(records));
        reader.recycle(batches);
        next = read?;
    }
    let counts = replay.finish();
    for report in reader.into_reports() {
        repair(&**disk, dir, &report)?;
    }
    tracing::info!(
        segments = log.files.len(),
        samples = counts.samples_count,
        chunks = counts.chunks_count,
        duration = format!("{:.3}s", begin.elapsed().as_secs_f64()),
        "WBL replay completed"
    );
    Ok(counts)
}

fn report(counts: &WblCounts, unknown_refs: &CounterVec) {
    let WblCounts { unknown_refs_count, unknown_samples_count, unknown_markers_count, .. } =
        *counts;
    if unknown_refs_count == 0 {
        return;
    }
    unknown_refs.with(&["series"]).inc_by(unknown_refs_count);
    unknown_refs.with(&["samples"]).inc_by(unknown_samples_count);
    unknown_refs.with(&["mmap_markers"]).inc_by(unknown_markers_count);
    tracing::warn!(
        series = unknown_refs_count,
        samples = unknown_samples_count,
        mmap_markers = unknown_markers_count,
        "Unknown series references for ooo WAL replay"
    );
}

/// Keeps a log aside of which no series is known: it belongs to a log of all samples that is gone.
fn put_away(disk: &dyn Disk, dir: &Path, log: &LogFiles) {
    for file in &log.files {
        let kept = quarantine(disk, dir, &file.path).and_then(|kept| {
            disk.remove_file(&file.path)?;
            Ok(kept)
        });
        match kept {
            Ok(kept) => tracing::error!(
                segment = %file.path.display(), kept = %kept.display(),
                "Nothing tells whose out-of-order samples these are; the file is kept aside"
            ),
            Err(err) => tracing::error!(
                segment = %file.path.display(), err = %err,
                "Nothing tells whose out-of-order samples these are; the file is left alone"
            ),
        }
    }
}

impl Db {
    /// Takes samples from now on that are so much older than the newest one of all; zero ends that.
    ///
    /// # Errors
    /// The log of such samples cannot be made; nothing has changed.
    pub fn apply_out_of_order_window(&self, window_ms: i64) -> Result<(), StorageError> {
        if window_ms > 0 {
            self.head.begin_wbl(&self.dir.join(WBL_DIR))?;
        }
        self.head.set_out_of_order_window(window_ms);
        Ok(())
    }

    /// Makes blocks of what has come out of order by now; says whether there was anything.
    pub(super) fn compact_out_of_order(&self) -> Result<bool, StorageError> {
        let Some(cut) = self.head.begin_out_of_order_compaction()? else { return Ok(false) };
        self.with_mended_head(|| self.write_out_of_order_blocks(&self.dir, Some(cut.era)))?;
        self.reload_blocks()?;
        self.head.end_out_of_order_compaction(cut)?;
        Ok(true)
    }

    /// Writes what came out of order up to an era, or by now, as blocks of the head's range.
    pub(super) fn write_out_of_order_blocks(
        &self,
        dir: &Path,
        era: Option<u32>,
    ) -> Result<(), StorageError> {
        for (min_t, max_t) in self.head.out_of_order_ranges(era)? {
            self.stop_if_told()?;
            let id = BlockId::new(clock::now_ms());
            let mut meta = BlockMeta::new(id, (min_t, max_t));
            meta.compaction.level = 1;
            meta.compaction.sources = vec![id];
            meta.add_hint(HINT_OUT_OF_ORDER);
            let range = TimeRange { mint_ms: min_t, maxt_ms: max_t.saturating_sub(1) };
            let mut export = HeadExport::out_of_order(&self.head, range, era);
            let written = self.write(dir, meta, &mut export, Shape { range, is_dense: true })?;
            if let Some(meta) = written {
                tracing::info!(
                    ulid = %meta.ulid, mint = meta.min_time, maxt = meta.max_time,
                    samples = meta.stats.num_samples, "write block of out-of-order samples"
                );
            }
        }
        Ok(())
    }
}
