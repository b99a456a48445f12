//! The `lock` file: one process a data directory. Says who holds it, if the kernel tells.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use crate::OpenError;

const LOCK_FILE_NAME: &str = "lock";
/// The file may be unlinked between our open and our lock; then we look again, this often.
const ATTEMPTS_COUNT_MAX: usize = 16;

/// An exclusive lock on a data directory, given back on drop.
/// Compat: Prometheus `tsdb/tsdbutil/dir_locker.go`: an flock on a file that is removed at a clean end.
#[derive(Debug)]
pub(super) struct DirLock {
    path: PathBuf,
    _file: File,
    /// No lock file of an earlier process was left behind.
    pub(super) is_clean_start: bool,
}

impl DirLock {
    pub(super) fn acquire(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(LOCK_FILE_NAME);
        let is_clean_start = !path.exists();
        for _ in 0..ATTEMPTS_COUNT_MAX {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o666)
                .open(&path)
                .map_err(|err| OpenError::io(&path, "create lock file", err))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let holder_pid = holder_pid(&file);
                    return Err(OpenError::Locked { path, holder_pid });
                }
                Err(err) => return Err(OpenError::io(&path, "lock DB directory", err.into())),
            }
            if is_file_at(&file, &path) {
                return Ok(Self { path, _file: file, is_clean_start });
            }
        }
        Err(OpenError::Locked { path, holder_pid: None })
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Removed before the descriptor closes: whoever locks a removed file notices and looks again.
        if let Err(err) = fs::remove_file(&self.path) {
            tracing::warn!(file = %self.path.display(), err = %err, "Removing the lock file failed");
        }
    }
}

/// Whether `path` still names the open file.
fn is_file_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Looks the lock's inode up in the kernel's table of locks.
fn holder_pid(file: &File) -> Option<u32> {
    let inode = file.metadata().ok()?.ino();
    parse_locks(&read_locks().ok()?, inode)
}

fn read_locks() -> io::Result<String> {
    fs::read_to_string("/proc/locks")
}

/// Lines are `1: FLOCK  ADVISORY  WRITE 4711 08:01:131082 0 EOF`.
fn parse_locks(table: &str, inode: u64) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        if fields.nth(1)? != "FLOCK" {
            return None;
        }
        let pid = fields.nth(2)?.parse().ok()?;
        let file = fields.next()?;
        (file.rsplit(':').next()?.parse() == Ok(inode)).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_and_names_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(dir.path()).unwrap();
        assert!(first.is_clean_start);
        let refused = DirLock::acquire(dir.path()).unwrap_err();
        assert!(refused.is_locked());
        match refused {
            OpenError::Locked { holder_pid, .. } => {
                assert!(holder_pid.is_none_or(|pid| pid == std::process::id()));
            }
            other => panic!("{other}"),
        }
        drop(first);
        assert!(!dir.path().join(LOCK_FILE_NAME).exists());
        assert!(DirLock::acquire(dir.path()).unwrap().is_clean_start);
    }

    #[test]
    fn a_lock_file_left_behind_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(LOCK_FILE_NAME), "").unwrap();
        assert!(!DirLock::acquire(dir.path()).unwrap().is_clean_start);
    }

    #[test]
    fn the_table_of_locks_is_read() {
        let check = |inode, expected| {
            let table = "1: POSIX  ADVISORY  READ 5433 08:01:7864448 128 128\n\
                2: FLOCK  ADVISORY  WRITE 4711 08:01:131082 0 EOF\n\
                2: -> FLOCK  ADVISORY  WRITE 99 08:01:131083 0 EOF\ngarbage\n";
            assert_eq!(parse_locks(table, inode), expected);
        };
        check(131_082, Some(4711));
        check(131_083, None);
        check(7_864_448, None);
    }
}
