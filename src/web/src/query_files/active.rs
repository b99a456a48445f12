//! `queries.active`: one slot of fixed size for each query that is being evaluated.
//! Compat: Prometheus `promql/query_logger.go`: `[`, then slots of 1000 bytes, each a JSON object filled up
//! with zeros and ended by a comma.
//!
//! The file is written at full size when it is opened and later only in place: the kernel has the bytes as
//! soon as a write returns, so they outlive this process as those of a mapping would, and a full disk gives
//! an error here where a mapping would kill the process.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Mutex, PoisonError},
};

use prom_promql::QueryJournal;
use prom_telemetry::clock;

use crate::json;

const FILE_NAME: &str = "queries.active";
const SLOT_SIZE_BYTES: usize = 1000;
/// An object of an empty query takes less, whatever the time is.
const FRAME_SIZE_BYTES: usize = 64;
/// Slots where the number of queries is not limited.
const SLOT_COUNT_MAX: usize = 1000;
/// More is not read of a file that others may have changed.
const READ_SIZE_BYTES_MAX: usize = 1 + 10_000 * SLOT_SIZE_BYTES;

/// The open file.
#[derive(Debug)]
pub struct ActiveQueryFile {
    file: File,
    /// Slots that are not taken.
    free: Mutex<Vec<usize>>,
}

impl ActiveQueryFile {
    /// Opens the file in `folder` anew, with room for `slot_count` queries (0: some).
    /// Logs the queries that the last run did not finish.
    ///
    /// # Errors
    /// The file cannot be written; a folder of that name, for example.
    pub fn open(folder: &Path, slot_count: usize) -> io::Result<Self> {
        let path = folder.join(FILE_NAME);
        if let Some(queries) = unfinished(&path) {
            tracing::info!(
                component = "activeQueryTracker",
                queries,
                "These queries didn't finish in prometheus' last run:"
            );
        }
        let slot_count = match slot_count {
            0 => SLOT_COUNT_MAX,
            count => count.min(SLOT_COUNT_MAX),
        };
        let options = OpenOptions::new().create(true).write(true).truncate(true).to_owned();
        let mut file = options.open(&path)?;
        let mut empty = vec![0; 1 + slot_count * SLOT_SIZE_BYTES];
        empty[0] = b'[';
        file.write_all(&empty)?;
        Ok(Self { file, free: Mutex::new((0..slot_count).rev().collect()) })
    }

    fn write(&self, slot: usize, bytes: &[u8; SLOT_SIZE_BYTES]) {
        let offset = 1 + slot * SLOT_SIZE_BYTES;
        if let Err(err) = self.file.write_all_at(bytes, offset as u64) {
            tracing::warn!(err = %err, "Noting an active query failed");
        }
    }
}

impl QueryJournal for ActiveQueryFile {
    fn began(&self, query: &str) -> Option<usize> {
        let slot = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        self.write(slot, &entry(query, clock::now_ms() / 1000));
        Some(slot)
    }

    fn ended(&self, slot: usize) {
        self.write(slot, &[0; SLOT_SIZE_BYTES]);
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    }
}

/// A slot, its query cut so that it fits.
fn entry(query: &str, timestamp_s: i64) -> [u8; SLOT_SIZE_BYTES] {
    let mut shown = &query[..query.floor_char_boundary(SLOT_SIZE_BYTES - FRAME_SIZE_BYTES)];
    let mut slot = [0; SLOT_SIZE_BYTES];
    loop {
        let mut object = br#"{"query":"#.to_vec();
        json::push_html_string(&mut object, shown);
        object.extend_from_slice(format!(",\"timestamp_sec\":{timestamp_s}}}").as_bytes());
        if object.len() < SLOT_SIZE_BYTES {
            slot[..object.len()].copy_from_slice(&object);
            slot[SLOT_SIZE_BYTES - 1] = b',';
            return slot;
        }
        // What is escaped is longer than it looks.
        shown = &shown[..shown.floor_char_boundary(shown.len() / 2)];
    }
}

/// The queries of the last run, as a JSON list.
fn unfinished(path: &Path) -> Option<String> {
    let mut bytes = fs::read(path).ok()?;
    bytes.truncate(READ_SIZE_BYTES_MAX);
    bytes.retain(|byte| *byte != 0);
    let text = String::from_utf8_lossy(&bytes);
    let list = text.strip_suffix(',').filter(|list| list.len() > 1)?;
    Some(format!("{list}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_finished_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        assert_eq!(unfinished(&path), None);
        let file = ActiveQueryFile::open(folder.path(), 2).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 2001);
        assert_eq!(unfinished(&path), None);
        let first = file.began("up < 1").unwrap();
        let second = file.began(&"\u{1}".repeat(5000)).unwrap();
        assert_eq!(file.began("one too many"), None);
        file.ended(second);
        let list = unfinished(&path).unwrap();
        let parsed: serde_json::Value = serde_json::from_str(&list).unwrap();
        assert_eq!(parsed[0]["query"], "up < 1");
        assert!(parsed[0]["timestamp_sec"].as_i64().unwrap() > 1_600_000_000);
        assert_eq!(parsed.as_array().unwrap().len(), 1);
        file.ended(first);
        assert_eq!(unfinished(&path), None);
    }

    #[test]
    fn long_queries_are_cut_to_their_slot() {
        for query in ["x".repeat(5000), "\u{e9}<>&\"".repeat(900), "\u{1}".repeat(999)] {
            let slot = entry(&query, i64::MAX);
            let end = slot.iter().position(|byte| *byte == 0).unwrap_or(SLOT_SIZE_BYTES - 1);
            let parsed: serde_json::Value = serde_json::from_slice(&slot[..end]).unwrap();
            let shown = parsed["query"].as_str().unwrap();
            assert!(query.starts_with(shown) && shown.len() > 50, "{shown}");
            assert_eq!(slot[SLOT_SIZE_BYTES - 1], b',');
        }
    }

    #[test]
    fn a_folder_in_its_place_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(FILE_NAME)).unwrap();
        assert!(ActiveQueryFile::open(folder.path(), 2).is_err());
    }
}
