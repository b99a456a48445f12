//! A disk in memory that fails on demand. It knows files that grow at their end, names and directories;
//! it does not know permissions, links to directories or time.
//!
//! Faults it can inject:
//! - space: a number of bytes after which writes are short and then fail with ENOSPC; cutting and removing
//!   files frees space;
//! - one operation, by its number, failing with an error number, a write after some of its bytes;
//! - every operation of one kind failing, until told otherwise;
//! - a crash at an operation: that one and all later ones fail, the disk is dead.
//!
//! After a crash two images can be taken: the live one (the process was killed: all that was written is
//! there) and the durable one (the power failed: a file has what it had at its last sync, a name is as it
//! was when its directory was last synced).

#![expect(clippy::missing_errors_doc, reason = "all operations fail as described above")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

/// What an operation does, for faults that hit all of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpKind {
    Create,
    Write,
    Truncate,
    Sync,
    SyncDir,
    Rename,
    Link,
    Remove,
}

/// What happens at one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error number; a write keeps so many of its bytes.
    Error { errno: i32, written_size_bytes: usize },
    /// It and all later ones fail; a write keeps so many of its bytes.
    Crash { written_size_bytes: usize },
}

/// The disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

/// A file opened for appending.
#[derive(Clone, Debug)]
pub struct FaultyFile {
    disk: FaultyDisk,
    id: usize,
    read_offset: usize,
}

#[derive(Clone, Debug, Default)]
struct State {
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    files: Vec<File>,
    space_left_bytes: Option<u64>,
    failing_kinds: BTreeMap<OpKind, i32>,
    faults: BTreeMap<u64, Fault>,
    ops: Vec<OpKind>,
    is_dead: bool,
}

#[derive(Clone, Debug, Default)]
struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
}

impl FaultyDisk {
    /// The operations so far, in order; reads are none.
    pub fn ops(&self) -> Vec<OpKind> {
        self.lock().ops.clone()
    }

    /// Lets the operation with this number (from 0) fail.
    pub fn fail_at(&self, op: u64, fault: Fault) {
        self.lock().faults.insert(op, fault);
    }

    /// Lets all operations of a kind fail, or no longer.
    pub fn fail_kind(&self, kind: OpKind, errno: Option<i32>) {
        match errno {
            Some(errno) => self.lock().failing_kinds.insert(kind, errno),
            None => self.lock().failing_kinds.remove(&kind),
        };
    }

    /// Bytes that can still be written; `None` is no limit.
    pub fn set_space_left(&self, bytes: Option<u64>) {
        self.lock().space_left_bytes = bytes;
    }

    /// The disk as a killed process leaves it: healthy again, with all that was written.
    pub fn live_image(&self) -> Self {
        let state = self.lock().clone();
        let names = state.names.clone();
        Self::healthy(state.dirs, names, state.files, |file| file.live)
    }

    /// The disk as a power failure leaves it: healthy again, with all that was synced.
    pub fn durable_image(&self) -> Self {
        let state = self.lock().clone();
        Self::healthy(state.dirs, state.durable_names, state.files, |file| file.durable)
    }

    pub fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.alive()?;
        state.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    pub fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        state.alive()?;
        if !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let paths = state.names.keys().chain(&state.dirs);
        let within = paths.filter(|path| path.parent() == Some(dir));
        Ok(within.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    /// Opens a file for appending, creating it.
    pub fn append(&self, path: &Path) -> io::Result<FaultyFile> {
        let mut state = self.lock();
        state.alive()?;
        let id = match state.names.get(path) {
            Some(id) => *id,
            None => {
                state.op(OpKind::Create)?;
                if !path.parent().is_some_and(|dir| state.dirs.contains(dir)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                state.files.push(File::default());
                let id = state.files.len() - 1;
                state.names.insert(path.to_owned(), id);
                id
            }
        };
        Ok(FaultyFile { disk: self.clone(), id, read_offset: 0 })
    }

    /// Opens a file for reading from its beginning.
    pub fn read(&self, path: &Path) -> io::Result<FaultyFile> {
        let id = self.lock().id(path)?;
        Ok(FaultyFile { disk: self.clone(), id, read_offset: 0 })
    }

    pub fn size_bytes(&self, path: &Path) -> io::Result<u64> {
        let state = self.lock();
        Ok(state.files[state.id(path)?].live.len() as u64)
    }

    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.op(OpKind::Rename)?;
        let id = state.id(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    pub fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.op(OpKind::Link)?;
        let id = state.id(from)?;
        if state.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.op(OpKind::Remove)?;
        let id = state.id(path)?;
        state.names.remove(path);
        if !state.names.values().any(|other| *other == id) {
            let freed = state.files[id].live.len() as u64;
            state.give_space(freed);
        }
        Ok(())
    }

    /// Makes the names in a directory durable.
    pub fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.op(OpKind::SyncDir)?;
        let is_within = |path: &PathBuf| path.parent() == Some(dir);
        state.durable_names.retain(|path, _| !is_within(path));
        let within: Vec<_> = state
            .names
            .iter()
            .filter(|(path, _)| is_within(path))
            .map(|(p, i)| (p.clone(), *i))
            .collect();
        state.durable_names.extend(within);
        Ok(())
    }

    /// Changes the content of a file behind everybody's back.
    pub fn edit(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.lock();
        let id = state.id(path)?;
        change(&mut state.files[id].live);
        Ok(())
    }

    /// The content of a file.
    pub fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.lock();
        Ok(state.files[state.id(path)?].live.clone())
    }

    fn healthy(
        dirs: BTreeSet<PathBuf>,
        names: BTreeMap<PathBuf, usize>,
        files: Vec<File>,
        content: impl Fn(File) -> Vec<u8>,
    ) -> Self {
        let image = |file| {
            let live = content(file);
            File { durable: live.clone(), live }
        };
        let files = files.into_iter().map(image).collect();
        let state = State { dirs, durable_names: names.clone(), names, files, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultyFile {
    /// Writes some of the bytes at the end.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.lock();
        state.alive()?;
        let (mut size, mut error) = (bytes.len(), None);
        if let Err((errno, written)) = state.op_fault(OpKind::Write) {
            (size, error) = (written.min(size), Some(errno));
        }
        if let Some(left) = state.space_left_bytes {
            if left == 0 && size > 0 {
                return Err(io::Error::from_raw_os_error(ENOSPC));
            }
            size = size.min(usize::try_from(left).unwrap_or(usize::MAX));
            state.space_left_bytes = Some(left - size as u64);
        }
        state.files[self.id].live.extend_from_slice(&bytes[..size]);
        match error {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(size),
        }
    }

    pub fn truncate(&mut self, size_bytes: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.op(OpKind::Truncate)?;
        let file = &mut state.files[self.id].live;
        let before = file.len() as u64;
        file.resize(usize::try_from(size_bytes).expect("test files are small"), 0);
        state.give_space(before.saturating_sub(size_bytes));
        Ok(())
    }

    pub fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.op(OpKind::Sync)?;
        let file = &mut state.files[self.id];
        file.durable.clone_from(&file.live);
        Ok(())
    }

    pub fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.id].live.len() as u64)
    }

    /// Reads some of the bytes that follow.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.lock();
        state.alive()?;
        let rest = state.files[self.id].live.get(self.read_offset..).unwrap_or_default();
        let size = rest.len().min(buffer.len());
        buffer[..size].copy_from_slice(&rest[..size]);
        self.read_offset += size;
        Ok(size)
    }
}

impl State {
    fn alive(&self) -> io::Result<()> {
        if self.is_dead { Err(io::Error::from_raw_os_error(EIO)) } else { Ok(()) }
    }

    fn id(&self, path: &Path) -> io::Result<usize> {
        self.alive()?;
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn op(&mut self, kind: OpKind) -> io::Result<()> {
        self.op_fault(kind).map_err(|(errno, _)| io::Error::from_raw_os_error(errno))
    }

    /// Counts an operation; a fault is its error number and how much of a write is kept.
    fn op_fault(&mut self, kind: OpKind) -> Result<(), (i32, usize)> {
        if self.is_dead {
            return Err((EIO, 0));
        }
        let number = self.ops.len() as u64;
        self.ops.push(kind);
        match self.faults.get(&number) {
            Some(Fault::Error { errno, written_size_bytes }) => Err((*errno, *written_size_bytes)),
            Some(Fault::Crash { written_size_bytes }) => {
                self.is_dead = true;
                Err((EIO, *written_size_bytes))
            }
            None => match self.failing_kinds.get(&kind) {
                Some(errno) => Err((*errno, 0)),
                None => Ok(()),
            },
        }
    }

    fn give_space(&mut self, bytes: u64) {
        if let Some(left) = &mut self.space_left_bytes {
            *left += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_tell_killed_from_powered_off() {
        let disk = FaultyDisk::default();
        let path = Path::new("/d/a");
        disk.create_dir_all(Path::new("/d")).unwrap();
        let mut file = disk.append(path).unwrap();
        file.write(b"one").unwrap();
        assert!(disk.durable_image().content(path).is_err());
        file.sync().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write(b"two").unwrap();
        assert_eq!(disk.live_image().content(path).unwrap(), b"onetwo");
        assert_eq!(disk.durable_image().content(path).unwrap(), b"one");
    }

    #[test]
    fn a_full_disk_writes_short_then_not_at_all() {
        let disk = FaultyDisk::default();
        disk.create_dir_all(Path::new("/d")).unwrap();
        disk.set_space_left(Some(5));
        let mut file = disk.append(Path::new("/d/a")).unwrap();
        assert_eq!(file.write(b"1234").unwrap(), 4);
        assert_eq!(file.write(b"1234").unwrap(), 1);
        assert_eq!(file.write(b"1").unwrap_err().raw_os_error(), Some(ENOSPC));
        file.truncate(2).unwrap();
        assert_eq!(file.write(b"1234").unwrap(), 3);
    }

    #[test]
    fn a_crash_keeps_part_of_the_write_and_ends_everything() {
        let disk = FaultyDisk::default();
        disk.create_dir_all(Path::new("/d")).unwrap();
        let mut file = disk.append(Path::new("/d/a")).unwrap();
        disk.fail_at(1, Fault::Crash { written_size_bytes: 2 });
        assert!(file.write(b"1234").is_err());
        assert!(file.sync().is_err());
        assert_eq!(disk.live_image().content(Path::new("/d/a")).unwrap(), b"12");
        assert_eq!(disk.ops(), [OpKind::Create, OpKind::Write]);
    }
}
