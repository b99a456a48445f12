//! Snapshots: the blocks as further names of the same files, and the head as a block, under `snapshots/`.
//! A snapshot gets its name when it is whole and durable; what a crash leaves goes at the next start.

use std::path::Path;

use prom_storage::StorageError;
use prom_telemetry::clock;

use crate::{
    block::{
        Block, BlockId, CHUNKS_DIR_NAME, INDEX_FILE_NAME, META_FILE_NAME, TOMBSTONES_FILE_NAME,
    },
    lock::lock,
};

use super::Db;

pub(super) const SNAPSHOTS_DIR: &str = "snapshots";
/// Behind the name of a snapshot that is being taken.
pub(super) const UNFINISHED_SUFFIX: &str = ".tmp";
const DAY_S: i64 = 86_400;

impl Db {
    /// Takes a snapshot, with what is only in the head if asked. Gives its name under `snapshots/`.
    ///
    /// # Errors
    /// The disk refuses; an unfinished snapshot is removed.
    pub fn snapshot(&self, with_head: bool) -> Result<String, StorageError> {
        let _turn = lock(&self.upkeep.turn);
        let now_ms = clock::now_ms();
        let name = snapshot_name(now_ms, BlockId::new(now_ms));
        let parent = self.dir.join(SNAPSHOTS_DIR);
        let dir = parent.join(format!("{name}{UNFINISHED_SUFFIX}"));
        let taken =
            self.fill_snapshot(&dir, with_head).and_then(|()| {
                let renamed = self.disk.rename(&dir, &parent.join(&name));
                renamed.and_then(|()| self.disk.sync_dir(&parent)).map_err(|source| {
                    StorageError::Io { path: dir.clone(), action: "name snapshot", source }
                })
            });
        if taken.is_err()
            && let Err(err) = self.disk.remove_dir_all(&dir)
        {
            tracing::error!(dir = %dir.display(), err = %err, "Removing an unfinished snapshot failed");
        }
        taken.map(|()| name)
    }

    fn fill_snapshot(&self, dir: &Path, with_head: bool) -> Result<(), StorageError> {
        let io = |action| move |source| StorageError::Io { path: dir.to_owned(), action, source };
        self.disk.create_dir_all(dir).map_err(io("create snapshot"))?;
        for block in self.blocks.list().iter() {
            self.link_block(block, dir).map_err(io("link block into snapshot"))?;
        }
        if with_head {
            let (min_t, max_t) = self.head.time_bounds();
            if min_t <= max_t {
                let max_t = max_t.saturating_add(1);
                self.with_mended_head(|| self.write_head_block(dir, min_t, max_t))?;
            }
            self.with_mended_head(|| self.write_out_of_order_blocks(dir, None))?;
        }
        self.disk.sync_dir(dir).map_err(io("sync snapshot"))
    }

    fn link_block(&self, block: &Block, dir: &Path) -> std::io::Result<()> {
        let (from, to) = (block.dir(), dir.join(block.id().to_string()));
        let (from_chunks, to_chunks) = (from.join(CHUNKS_DIR_NAME), to.join(CHUNKS_DIR_NAME));
        self.disk.create_dir_all(&to_chunks)?;
        for name in self.disk.list(&from_chunks)? {
            self.disk.hard_link(&from_chunks.join(&name), &to_chunks.join(&name))?;
        }
        let names = self.disk.list(from)?;
        for name in [INDEX_FILE_NAME, META_FILE_NAME, TOMBSTONES_FILE_NAME] {
            if names.iter().any(|known| known == name) {
                self.disk.hard_link(&from.join(name), &to.join(name))?;
            }
        }
        self.disk.sync_dir(&to_chunks)?;
        self.disk.sync_dir(&to)
    }
}

/// `20060102T150405Z-` and 16 hexadecimal digits.
/// Compat: Prometheus `web/api/v1/api.go` (snapshot).
fn snapshot_name(now_ms: i64, id: BlockId) -> String {
    let seconds = now_ms.div_euclid(1000);
    let (year, month, day) = civil_date(seconds.div_euclid(DAY_S));
    let of_day = seconds.rem_euclid(DAY_S);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let random = id.random() & (u64::MAX >> 1);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z-{random:016x}")
}

/// Year, month and day of a day since 1970-01-01, by the Gregorian calendar. Years begin in March here, so
/// that the day that comes and goes is the last one.
fn civil_date(days: i64) -> (i64, i64, i64) {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    const DAYS_TO_1970_03: i64 = 719_468;
    let days = days + DAYS_TO_1970_03;
    let era = days.div_euclid(DAYS_OF_400_YEARS);
    let of_era = days.rem_euclid(DAYS_OF_400_YEARS);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_when_a_snapshot_was_taken() {
        let check = |ms, expected: &str| {
            let name = snapshot_name(ms, BlockId::new(ms));
            assert_eq!(name.split_once('-').unwrap().0, expected);
            assert_eq!(name.len(), "20060102T150405Z-0123456789abcdef".len());
        };
        check(0, "19700101T000000Z");
        check(1_136_214_245_999, "20060102T150405Z");
        check(1_709_164_800_000, "20240229T000000Z");
        check(4_107_542_399_000, "21000228T235959Z");
        check(4_107_542_400_000, "21000301T000000Z");
    }
}
