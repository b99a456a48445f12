//! The data directory itself: made, tidied, looked over. Files within `wal/` are the log's matter.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use prom_telemetry::Registry;

use crate::OpenError;

use super::{
    open::{CHUNKS_DIR, WAL_DIR},
    snapshot::{SNAPSHOTS_DIR, UNFINISHED_SUFFIX},
};

const SNAPSHOT_PREFIX: &str = "chunk_snapshot.";
const TEMPORARY_SUFFIXES: [&str; 3] = [".tmp", ".tmp-for-creation", ".tmp-for-deletion"];

/// Makes the directory if it is not there.
pub(super) fn prepare(dir: &Path) -> Result<(), OpenError> {
    match fs::create_dir_all(dir) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
            Err(OpenError::NotADirectory { path: dir.to_owned() })
        }
        made => made.map_err(|err| OpenError::io(dir, "create data directory", err)),
    }
}

/// Removes snapshots, of the head alone and of everything, that an earlier process left half made; blocks are
/// the matter of `blocks`.
/// Compat: Prometheus `tsdb/db.go` (removeBestEffortTmpDirs), which knows the former only.
pub(super) fn clean(dir: &Path) -> Result<(), OpenError> {
    let snapshots = dir.join(SNAPSHOTS_DIR);
    let taken = if snapshots.is_dir() { entries(&snapshots)? } else { Vec::new() };
    let is_unfinished =
        |path: &PathBuf| file_name(path).is_some_and(|name| name.ends_with(UNFINISHED_SUFFIX));
    let of_head = entries(dir)?.into_iter().filter(|path| is_temporary(path));
    for path in of_head.chain(taken.into_iter().filter(is_unfinished)) {
        if !path.is_dir() {
            continue;
        }
        match fs::remove_dir_all(&path) {
            Ok(()) => {
                tracing::info!(dir = %path.display(), "Found and deleted tmp snapshot dir");
            }
            Err(err) => {
                tracing::error!(dir = %path.display(), err = %err, "Deleting a tmp snapshot dir failed");
            }
        }
    }
    Ok(())
}

/// Registers the sizes of the directories of the log and the head chunks, looked up when somebody asks.
pub(super) fn register_sizes(dir: &Path, registry: &Registry) {
    let register = |name: &str, help: &str, dir: PathBuf| {
        registry.gauge_fn(name, help, move || size_bytes(&dir) as f64);
    };
    register(
        "prometheus_tsdb_wal_storage_size_bytes",
        "Size of the write log directory.",
        dir.join(WAL_DIR),
    );
    register(
        "prometheus_tsdb_head_chunks_storage_size_bytes",
        "Size of the chunks_head directory.",
        dir.join(CHUNKS_DIR),
    );
}

/// Size of the files in a directory and in those within it, one level down.
pub(super) fn size_bytes(dir: &Path) -> u64 {
    let files = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    let mut size = 0;
    for entry in files(dir) {
        match entry.metadata() {
            Ok(data) if data.is_dir() => {
                let within = files(&entry.path()).filter_map(|entry| entry.metadata().ok());
                size += within.map(|data| data.len()).sum::<u64>();
            }
            Ok(data) => size += data.len(),
            Err(_) => {}
        }
    }
    size
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
    };
    list().map_err(|err| OpenError::io(dir, "list data directory", err))
}

fn is_temporary(path: &Path) -> bool {
    let Some(name) = file_name(path) else { return false };
    let stem = TEMPORARY_SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
    stem.is_some_and(|stem| stem.starts_with(SNAPSHOT_PREFIX))
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "01M81GJ1GT6HZ39998JRFTZ1C6";

    #[test]
    fn a_directory_is_made_and_a_file_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/b");
        prepare(&dir).unwrap();
        prepare(&dir).unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        for path in ["file", "file/below"] {
            let err = prepare(&root.path().join(path)).unwrap_err();
            assert!(err.is_not_a_directory(), "{err}");
            assert!(err.errno().is_some());
        }
    }

    #[test]
    fn only_half_made_snapshots_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let gone = ["chunk_snapshot.000003.0000001234.tmp"];
        let kept = [BLOCK, "wal", "chunks_head", "notes.tmp", "quarantine", "snapshots"];
        for name in gone.into_iter().chain(kept) {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("x"), "123").unwrap();
        }
        fs::write(dir.path().join(format!("{BLOCK}.tmp.file")), "").unwrap();
        clean(dir.path()).unwrap();
        let mut names: Vec<_> = entries(dir.path())
            .unwrap()
            .iter()
            .filter_map(|p| file_name(p).map(str::to_owned))
            .collect();
        names.sort();
        let file = format!("{BLOCK}.tmp.file");
        let mut expected: Vec<&str> = kept.into_iter().chain([file.as_str()]).collect();
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(size_bytes(dir.path()), 6 * 3);
    }

    #[test]
    fn a_snapshot_that_a_crash_has_cut_short_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = dir.path().join(SNAPSHOTS_DIR);
        for name in ["20060102T150405Z-1.tmp", "20060102T150405Z-2"] {
            fs::create_dir_all(snapshots.join(name).join(BLOCK)).unwrap();
        }
        fs::write(snapshots.join("notes.tmp"), "").unwrap();
        clean(dir.path()).unwrap();
        let mut names = entries(&snapshots).unwrap();
        names.sort();
        assert_eq!(names, ["20060102T150405Z-2", "notes.tmp"].map(|name| snapshots.join(name)));
    }
}
