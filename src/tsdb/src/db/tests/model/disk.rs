//! The failing disk with a place for the head's sidecar. That file is written whole or not at all and outlives
//! all crashes; the room `statefile` sees to that, on a real disk.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use prom_testkit::FaultyDisk;
use tempfile::TempDir;

use crate::disk::{AppendFile, Disk, FileBytes, ReadFile};

/// A disk of one model run. An image has a sidecar of its own: what a process that is dead to the model does
/// at its end reaches nobody.
#[derive(Clone, Debug)]
pub(in crate::db::tests) struct ModelDisk {
    pub(in crate::db::tests) faulty: FaultyDisk,
    state: Arc<TempDir>,
}

impl ModelDisk {
    pub(in crate::db::tests) fn new() -> Self {
        Self::on(FaultyDisk::default())
    }

    fn on(faulty: FaultyDisk) -> Self {
        // In memory where there is such a place: nothing real is made durable here.
        let state = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { faulty, state: Arc::new(state) }
    }

    /// The same sidecar beside other files.
    pub(in crate::db::tests) fn with(&self, faulty: FaultyDisk) -> Self {
        let image = Self::on(faulty);
        if self.sidecar_path().exists() {
            fs::copy(self.sidecar_path(), image.sidecar_path()).unwrap();
        }
        image
    }

    pub(in crate::db::tests) fn sidecar_path(&self) -> PathBuf {
        self.state.path().join("head_state")
    }
}

impl Disk for ModelDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.faulty.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.faulty.list(dir)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        Disk::append(&self.faulty, path)
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        Disk::read(&self.faulty, path)
    }

    fn size_bytes(&self, path: &Path) -> io::Result<u64> {
        self.faulty.size_bytes(path)
    }

    fn map(&self, path: &Path) -> io::Result<FileBytes> {
        self.faulty.map(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faulty.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faulty.hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.faulty.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.faulty.remove_dir_all(dir)
    }

    fn state_file(&self, path: &Path) -> Option<PathBuf> {
        let name = path.file_name().filter(|_| path.parent() == Some(Path::new(super::super::DIR)));
        name.map(|name| self.state.path().join(name))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.faulty.sync_dir(dir)
    }

    fn may_sync_later(&self) -> bool {
        false
    }
}
