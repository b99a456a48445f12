//! Writes a state file item by item, beside its place, and puts it there when it is complete (I1).
//! A writer that is dropped before its end leaves nothing behind.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    Kind, StateFileError,
    codec::encode,
    header::{HEADER_SIZE_BYTES, Header},
};

/// A file that is being written.
#[derive(Debug)]
pub struct StateWriter {
    path: PathBuf,
    temporary: Temporary,
    kind: Kind,
    payload: Payload,
}

/// The bytes behind the header.
#[derive(Debug)]
struct Payload {
    file: BufWriter<File>,
    size_bytes: u64,
    crc: u32,
}

/// Where the file is written; removed unless it was put into its place.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    is_in_place: bool,
}

impl StateWriter {
    /// Begins a file beside `path`.
    ///
    /// # Errors
    /// No file can be made in that directory.
    pub fn create(path: &Path, kind: Kind) -> Result<Self, StateFileError> {
        let mut name = path.file_name().map(OsString::from).unwrap_or_default();
        name.push(".tmp");
        let beside = path.with_file_name(name);
        let failed = |source| io_error("create", &beside, source);
        // One that an earlier process has left may belong to others, or be open to them (I3).
        match fs::remove_file(&beside) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(failed(err)),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&beside);
        let file = file.map_err(failed)?;
        let mut this = Self {
            path: path.to_owned(),
            temporary: Temporary { path: beside, is_in_place: false },
            kind,
            payload: Payload { file: BufWriter::new(file), size_bytes: 0, crc: 0 },
        };
        let written = this.payload.file.write_all(&[0; HEADER_SIZE_BYTES]);
        written.map_err(|err| this.failed("write", err))?;
        Ok(this)
    }

    /// Appends a value.
    ///
    /// # Errors
    /// The file would become too large, the value cannot be encoded, or the disk refuses.
    pub fn value<T: Serialize>(&mut self, value: &T) -> Result<(), StateFileError> {
        let rest = self.kind.payload_size_bytes_max.saturating_sub(self.payload.size_bytes);
        encode(&mut self.payload, value, rest).map_err(|err| match *err {
            bincode::ErrorKind::Io(source) => self.failed("write", source),
            bincode::ErrorKind::SizeLimit => self.too_large(),
            other => {
                StateFileError::NotEncodable { path: self.path.clone(), what: other.to_string() }
            }
        })
    }

    /// Appends bytes as they are.
    ///
    /// # Errors
    /// As for [`StateWriter::value`].
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), StateFileError> {
        let size_bytes = bytes.len() as u64;
        let total = self.payload.size_bytes.saturating_add(8).saturating_add(size_bytes);
        if total > self.kind.payload_size_bytes_max {
            return Err(self.too_large());
        }
        self.payload
            .write_all(&size_bytes.to_le_bytes())
            .and_then(|()| self.payload.write_all(bytes))
            .map_err(|err| self.failed("write", err))
    }

    /// Makes the file durable and puts it into its place.
    ///
    /// # Errors
    /// The disk refuses. Unless only the last step failed, the directory's, the old file stays.
    pub fn finish(mut self) -> Result<(), StateFileError> {
        let header = Header::new(self.kind, self.payload.size_bytes, self.payload.crc);
        let file = &mut self.payload.file;
        let written = file
            .flush()
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(&header.to_bytes()))
            .and_then(|()| file.flush())
            .and_then(|()| file.get_ref().sync_all());
        written.map_err(|err| self.failed("write", err))?;
        self.temporary.put_at(&self.path).map_err(|err| io_error("rename to", &self.path, err))?;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|err| io_error("make durable", folder, err))
    }

    fn failed(&self, action: &'static str, source: io::Error) -> StateFileError {
        io_error(action, &self.temporary.path, source)
    }

    fn too_large(&self) -> StateFileError {
        let size_bytes_max = self.kind.payload_size_bytes_max;
        StateFileError::TooLarge { path: self.path.clone(), size_bytes_max }
    }
}

impl Write for Payload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = self.file.write(bytes)?;
        self.crc = crc32c::crc32c_append(self.crc, &bytes[..size]);
        self.size_bytes += size as u64;
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Temporary {
    fn put_at(&mut self, path: &Path) -> io::Result<()> {
        #[expect(clippy::disallowed_methods, reason = "this is the durable replace")]
        fs::rename(&self.path, path)?;
        self.is_in_place = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_in_place {
            // The next writer removes what is left.
            drop(fs::remove_file(&self.path));
        }
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> StateFileError {
    StateFileError::Io { action, path: path.to_owned(), source }
}
