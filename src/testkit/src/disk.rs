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
const ENOTEMPTY: i32 = 39;
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
    /// Directories whose renaming or removal is not durable yet.
    moved_dirs: Vec<MovedDir>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    files: Vec<File>,
    space_left_bytes: Option<u64>,
    failing_kinds: BTreeMap<OpKind, i32>,
    faults: BTreeMap<u64, Fault>,
    ops: Vec<OpKind>,
    is_dead: bool,
}

/// A directory that was renamed, or removed: `to` is `None`.
#[derive(Clone, Debug)]
struct MovedDir {
    from: PathBuf,
    to: Option<PathBuf>,
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

    /// What is left of it.
    pub fn space_left(&self) -> Option<u64> {
        self.lock().space_left_bytes
    }

    /// The disk as a killed process leaves it: healthy again, with all that was written.
    pub fn live_image(&self) -> Self {
        let state = self.lock().clone();
        let names = state.names.clone();
        Self::healthy(state.dirs, names, state.files, |file| file.live)
    }

    /// The disk as a power failure leaves it: healthy again, with all that was synced.
    pub fn durable_image(&self) -> Self {
        let mut state = self.lock().clone();
        for moved in state.moved_dirs.iter().rev() {
            state.dirs.extend(moved.from.ancestors().map(Path::to_owned));
            if let Some(to) = &moved.to {
                state.dirs.retain(|dir| !dir.starts_with(to));
            }
        }
        let parents: Vec<_> =
            state.durable_names.keys().flat_map(|path| path.ancestors().skip(1)).collect();
        state.dirs.extend(parents.into_iter().map(Path::to_owned));
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
        if state.dirs.contains(from) {
            return state.rename_dir(from, to);
        }
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

    /// Removes a directory and what is in it, name by name; one that is not there is no error.
    pub fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let within: Vec<_> = {
            let state = self.lock();
            state.alive()?;
            if !state.dirs.contains(dir) {
                return Ok(());
            }
            state.names.keys().filter(|path| path.starts_with(dir)).cloned().collect()
        };
        for path in within {
            self.remove_file(&path)?;
        }
        let mut state = self.lock();
        state.op(OpKind::Remove)?;
        state.dirs.retain(|path| !path.starts_with(dir));
        state.moved_dirs.push(MovedDir { from: dir.to_owned(), to: None });
        Ok(())
    }

    /// Makes the names in a directory durable.
    pub fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.op(OpKind::SyncDir)?;
        state.settle_moved_dirs(dir);
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

    fn rename_dir(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.names.keys().chain(&self.dirs).any(|path| path.parent() == Some(to)) {
            return Err(io::Error::from_raw_os_error(ENOTEMPTY));
        }
        self.dirs = self.dirs.iter().map(|dir| rebased(dir, from, to)).collect();
        let names = std::mem::take(&mut self.names);
        self.names = names.into_iter().map(|(path, id)| (rebased(&path, from, to), id)).collect();
        self.moved_dirs.push(MovedDir { from: from.to_owned(), to: Some(to.to_owned()) });
        Ok(())
    }

    /// What became of the directories within `dir` is durable from now on.
    fn settle_moved_dirs(&mut self, dir: &Path) {
        let is_within = |moved: &MovedDir| moved.from.parent() == Some(dir);
        for moved in self.moved_dirs.iter().filter(|moved| is_within(moved)) {
            let names = std::mem::take(&mut self.durable_names);
            let is_kept = |path: &Path| moved.to.is_some() || !path.starts_with(&moved.from);
            let to = moved.to.as_ref().unwrap_or(&moved.from);
            self.durable_names = names
                .into_iter()
                .filter(|(path, _)| is_kept(path))
                .map(|(path, id)| (rebased(&path, &moved.from, to), id))
                .collect();
        }
        self.moved_dirs.retain(|moved| !is_within(moved));
    }

    fn give_space(&mut self, bytes: u64) {
        if let Some(left) = &mut self.space_left_bytes {
            *left += bytes;
        }
    }
}

/// The path with `from` at its beginning replaced by `to`, if it is there.
fn rebased(path: &Path, from: &Path, to: &Path) -> PathBuf {
    match path.strip_prefix(from) {
        Ok(rest) if rest.as_os_str().is_empty() => to.to_owned(),
        Ok(rest) => to.join(rest),
        Err(_) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_move_and_go_when_their_parent_is_synced() {
        let disk = FaultyDisk::default();
        let (root, old, new) = (Path::new("/d"), Path::new("/d/old"), Path::new("/d/new"));
        disk.create_dir_all(&old.join("below")).unwrap();
        let mut file = disk.append(&old.join("below/a")).unwrap();
        file.write(b"x").unwrap();
        file.sync().unwrap();
        disk.sync_dir(&old.join("below")).unwrap();
        disk.rename(old, new).unwrap();
        assert_eq!(disk.live_image().content(&new.join("below/a")).unwrap(), b"x");
        assert_eq!(disk.durable_image().content(&old.join("below/a")).unwrap(), b"x");
        assert_eq!(disk.durable_image().list(root).unwrap(), ["old"]);
        disk.sync_dir(root).unwrap();
        assert_eq!(disk.durable_image().content(&new.join("below/a")).unwrap(), b"x");
        disk.remove_dir_all(new).unwrap();
        disk.remove_dir_all(new).unwrap();
        assert!(disk.list(new).is_err());
        assert_eq!(disk.durable_image().content(&new.join("below/a")).unwrap(), b"x");
        disk.sync_dir(root).unwrap();
        assert!(disk.durable_image().content(&new.join("below/a")).is_err());
    }

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
