//! `meta.json`: what a block is, where it came from. Format: docs/format/block.md. What follows from it is
//! the matter of `compact`.
//! Compat: Prometheus `tsdb/block.go` (BlockMeta), 3.14; fields that others add are kept.

use std::path::Path;

use prom_storage::StorageError;
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, write_all};

use super::{BlockId, file::io_error};

pub(crate) const META_FILE_NAME: &str = "meta.json";
const VERSION: u32 = 1;
/// The block holds nothing but samples that came out of order.
pub(crate) const HINT_OUT_OF_ORDER: &str = "from-out-of-order";
/// Hints of blocks that hold a part of the head's series only.
pub(crate) const HINT_STALE_SERIES: &str = "from-stale-series";
pub(crate) const HINT_SELECTED_SERIES: &str = "from-selected-series";
/// No real file is larger.
const SIZE_BYTES_MAX: usize = 16 << 20;

/// The content of `meta.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockMeta {
    pub(crate) ulid: BlockId,
    /// Samples are at or after it.
    pub(crate) min_time: i64,
    /// Samples are before it.
    pub(crate) max_time: i64,
    #[serde(default)]
    pub(crate) stats: BlockStats,
    #[serde(default)]
    pub(crate) compaction: CompactionMeta,
    #[serde(default)]
    version: u32,
    /// What others keep there.
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct BlockStats {
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) num_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) num_float_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) num_histogram_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) num_series: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) num_chunks: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) num_tombstones: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CompactionMeta {
    pub(crate) level: u32,
    /// Blocks of the head that went into it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sources: Vec<BlockId>,
    /// It holds nothing any more and may go.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) deletable: bool,
    /// Blocks that it stands in for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) parents: Vec<BlockDesc>,
    /// Compacting it failed; it is left out of plans.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) failed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hints: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockDesc {
    pub(crate) ulid: BlockId,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
}

impl BlockMeta {
    pub(crate) fn new(ulid: BlockId, (min_time, max_time): (i64, i64)) -> Self {
        Self {
            ulid,
            min_time,
            max_time,
            stats: BlockStats::default(),
            compaction: CompactionMeta::default(),
            version: VERSION,
            others: serde_json::Map::new(),
        }
    }

    /// Reads the file in a block's directory.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Self, StorageError> {
        let path = dir.join(META_FILE_NAME);
        let bytes = disk.map(&path).map_err(|err| io_error(&path, "open", err))?;
        let corruption =
            |reason: String| StorageError::Corruption { path: path.clone(), offset: 0, reason };
        if bytes.len() > SIZE_BYTES_MAX {
            return Err(corruption("the file is too large".to_owned()));
        }
        let meta: Self =
            serde_json::from_slice(&bytes).map_err(|err| corruption(err.to_string()))?;
        if meta.version != VERSION {
            return Err(corruption(format!("unexpected meta file version {}", meta.version)));
        }
        if meta.min_time > meta.max_time {
            return Err(corruption(format!(
                "the block ends at {} before it begins at {}",
                meta.max_time, meta.min_time
            )));
        }
        Ok(meta)
    }

    /// Writes the file into a block's directory in one step. The caller syncs the directory.
    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        self.serialize(&mut serializer).expect("plain fields can be written to memory");
        replace_file(disk, &dir.join(META_FILE_NAME), &bytes)
    }

    pub(crate) fn has_hint(&self, hint: &str) -> bool {
        self.compaction.hints.iter().any(|known| known == hint)
    }

    pub(crate) fn add_hint(&mut self, hint: &str) {
        if !self.has_hint(hint) {
            self.compaction.hints.push(hint.to_owned());
            self.compaction.hints.sort();
        }
    }

    /// Of two samples at one time the one from the block that is less by this stays: what came in order, then
    /// what came first. A block that replaces others is as old as the oldest of them.
    pub(crate) fn seniority(&self) -> (bool, BlockId) {
        let CompactionMeta { sources, parents, .. } = &self.compaction;
        let origins = sources.iter().copied().chain(parents.iter().map(|parent| parent.ulid));
        let oldest = origins.min().map_or(self.ulid, |oldest| oldest.min(self.ulid));
        (self.has_hint(HINT_OUT_OF_ORDER), oldest)
    }

    pub(crate) fn desc(&self) -> BlockDesc {
        BlockDesc { ulid: self.ulid, min_time: self.min_time, max_time: self.max_time }
    }

    /// Whether a sample between both times, inclusive, may be in it.
    pub(crate) fn overlaps(&self, mint: i64, maxt: i64) -> bool {
        self.min_time <= maxt && mint < self.max_time
    }
}

/// Writes a file beside the one it replaces, then renames it.
pub(super) fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let tmp = path.with_file_name(name);
    let write = || {
        let mut file = disk.append(&tmp)?;
        // A rest of an earlier try.
        if file.size_bytes()? > 0 {
            file.truncate(0)?;
        }
        write_all(&mut *file, bytes)?;
        file.sync()?;
        disk.rename(&tmp, path)
    };
    write().map_err(|err| io_error(path, "write", err))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for references")]
fn is_false(flag: &bool) -> bool {
    !*flag
}
