//! Reads a state file item by item. What was read counts only once [`StateReader::finish`] has seen that
//! every byte is as it was written (I2).

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use crate::{
    Kind, StateFileError,
    codec::decode,
    header::{HEADER_SIZE_BYTES, Header},
};

/// A file that is being read.
#[derive(Debug)]
pub struct StateReader {
    path: PathBuf,
    header: Header,
    payload: Payload,
}

/// The bytes behind the header that were not read yet.
#[derive(Debug)]
struct Payload {
    file: BufReader<File>,
    rest_size_bytes: u64,
    crc: u32,
}

impl StateReader {
    /// Opens a file and looks at its first bytes; `None` if there is no file.
    ///
    /// # Errors
    /// It is of another kind or version, has another size than it says, or cannot be read.
    pub fn open(path: &Path, kind: Kind) -> Result<Option<Self>, StateFileError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(io_error("open", path, err)),
        };
        let size_bytes = file.metadata().map_err(|err| io_error("examine", path, err))?.len();
        let mut file = BufReader::new(file);
        let header = read_header(&mut file, path)?;
        if header.magic != kind.magic {
            let found = header.magic.escape_ascii().to_string();
            return Err(StateFileError::OtherKind { path: path.to_owned(), found });
        }
        if header.version != kind.version {
            let (found, wanted) = (header.version, kind.version);
            return Err(StateFileError::OtherVersion { path: path.to_owned(), found, wanted });
        }
        let rest_size_bytes = header.payload_size_bytes;
        if rest_size_bytes.checked_add(HEADER_SIZE_BYTES as u64) != Some(size_bytes) {
            let what = format!("{rest_size_bytes} bytes said, {size_bytes} bytes with the header");
            return Err(StateFileError::Damaged { path: path.to_owned(), what });
        }
        if rest_size_bytes > kind.payload_size_bytes_max {
            let size_bytes_max = kind.payload_size_bytes_max;
            return Err(StateFileError::TooLarge { path: path.to_owned(), size_bytes_max });
        }
        let payload = Payload { file, rest_size_bytes, crc: 0 };
        Ok(Some(Self { path: path.to_owned(), header, payload }))
    }

    /// The next item, a value.
    ///
    /// # Errors
    /// The file does not hold one here, or cannot be read.
    pub fn value<T: DeserializeOwned>(&mut self) -> Result<T, StateFileError> {
        let size_bytes_max = self.payload.rest_size_bytes;
        decode(&mut self.payload, size_bytes_max).map_err(|err| match *err {
            bincode::ErrorKind::Io(source) => self.failed(source),
            other => self.damaged(other.to_string()),
        })
    }

    /// The next item, bytes as they are.
    ///
    /// # Errors
    /// As for [`StateReader::value`].
    pub fn bytes(&mut self) -> Result<Vec<u8>, StateFileError> {
        let mut size_bytes = [0; 8];
        self.payload.read_exact(&mut size_bytes).map_err(|err| self.failed(err))?;
        let size_bytes = u64::from_le_bytes(size_bytes);
        if size_bytes > self.payload.rest_size_bytes {
            return Err(self.damaged(format!("{size_bytes} bytes said, fewer left")));
        }
        let mut bytes = vec![0; size_bytes as usize];
        self.payload.read_exact(&mut bytes).map_err(|err| self.failed(err))?;
        Ok(bytes)
    }

    /// Whether all items were read.
    pub fn is_at_end(&self) -> bool {
        self.payload.rest_size_bytes == 0
    }

    /// Makes sure that what was read is what was written, all of it.
    ///
    /// # Errors
    /// It is not, or something is left.
    pub fn finish(self) -> Result<(), StateFileError> {
        let rest = self.payload.rest_size_bytes;
        if rest > 0 {
            return Err(self.damaged(format!("{rest} bytes too many")));
        }
        match self.header.is_of(self.payload.crc) {
            true => Ok(()),
            false => Err(self.damaged("the checksum does not match".to_owned())),
        }
    }

    fn damaged(&self, what: String) -> StateFileError {
        StateFileError::Damaged { path: self.path.clone(), what }
    }

    fn failed(&self, source: io::Error) -> StateFileError {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("it ends within an item".to_owned()),
            _ => io_error("read", &self.path, source),
        }
    }
}

impl Read for Payload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = (&mut self.file).take(self.rest_size_bytes).read(buffer)?;
        self.crc = crc32c::crc32c_append(self.crc, &buffer[..size]);
        self.rest_size_bytes -= size as u64;
        Ok(size)
    }
}

fn read_header(file: &mut impl Read, path: &Path) -> Result<Header, StateFileError> {
    let mut bytes = [0; HEADER_SIZE_BYTES];
    file.read_exact(&mut bytes).map_err(|err| match err.kind() {
        io::ErrorKind::UnexpectedEof => {
            let what = "it ends within its header".to_owned();
            StateFileError::Damaged { path: path.to_owned(), what }
        }
        _ => io_error("read", path, err),
    })?;
    Ok(Header::from_bytes(&bytes))
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> StateFileError {
    StateFileError::Io { action, path: path.to_owned(), source }
}
