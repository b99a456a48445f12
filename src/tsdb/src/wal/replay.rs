//! The whole log as a row of windows: bytes are read in order, records of one window are decoded on all
//! cores. Memory is bounded by the window, whatever the size of the log.

use std::{
    collections::BTreeSet,
    io,
    ops::Range,
    path::Path,
    sync::{Mutex, PoisonError},
};

use rayon::prelude::*;

use crate::{disk::Disk, lock::lock};

use super::{
    EncodedRecord, LogFiles, SegmentFile,
    codec::DecodeError,
    compress::{Compression, decompress, plain_size_bytes},
    reader::{Item, SegmentReader},
    record::{Decoded, SampleBatch, decode},
};

/// Stored bytes of one window; decoded they are about three times as many.
const WINDOW_SIZE_BYTES: usize = 256 << 10;
/// Plain bytes of one window, where they are far more than what is stored: checkpoints are dense.
const WINDOW_PLAIN_SIZE_BYTES: usize = 1 << 20;
/// Buffers that are kept for the next window.
const SPARE_BATCHES_COUNT_MAX: usize = 1_000;
/// Damaged places that are remembered for one file; more are counted only.
const DAMAGES_COUNT_MAX: usize = 1_000;

/// Reads the files of a log one after the other.
#[derive(Debug)]
pub(crate) struct LogReader<'a> {
    disk: &'a dyn Disk,
    files: Vec<SegmentFile>,
    file_at: usize,
    reader: Option<SegmentReader>,
    reports: Vec<FileReport>,
    read_size_bytes: u64,
    /// Records of this segment before this offset are passed over.
    begin: (u64, u64),
    /// Buffers of windows that are done with.
    spare_batches: Mutex<Vec<SampleBatch>>,
}

/// What was found wrong with a file.
#[derive(Clone, Debug)]
pub(crate) struct FileReport {
    pub(super) file: SegmentFile,
    /// Place and reason.
    pub(super) damages: Vec<(u64, String)>,
    /// Records that are whole but do not decode, by their place.
    pub(super) bad_records: BTreeSet<u64>,
    /// End of the last whole record.
    pub(super) good_end: u64,
    /// No whole record comes behind the last damage.
    pub(super) is_damaged_to_the_end: bool,
    /// The disk failed; what the file holds is not known.
    pub(super) is_unreadable: bool,
    /// No segment comes behind it.
    pub(super) is_last: bool,
}

/// Some records, as stored.
#[derive(Debug, Default)]
pub(crate) struct Window {
    bytes: Vec<u8>,
    records: Vec<StoredRecord>,
    /// The file that was read last, and how many bytes of the log have been read by now.
    pub(crate) file_index: u64,
    pub(crate) read_size_bytes: u64,
}

#[derive(Debug)]
struct StoredRecord {
    range: Range<usize>,
    compression: Compression,
    file_at: usize,
    offset: u64,
}

impl<'a> LogReader<'a> {
    pub(crate) fn new(disk: &'a dyn Disk, log: &LogFiles) -> Self {
        Self {
            disk,
            files: log.files.clone(),
            file_at: 0,
            reader: None,
            reports: Vec::with_capacity(log.files.len()),
            read_size_bytes: 0,
            begin: (0, 0),
            spare_batches: Mutex::default(),
        }
    }

    /// Passes over what is before a position.
    pub(crate) fn skip_to(&mut self, segment: u64, offset: u64) {
        self.files.retain(|file| !file.is_checkpoint && file.index >= segment);
        self.begin = (segment, offset);
    }

    /// Takes buffers back.
    pub(crate) fn recycle(&mut self, batches: Vec<SampleBatch>) {
        let spare = self.spare_batches.get_mut().unwrap_or_else(PoisonError::into_inner);
        for mut batch in batches.into_iter().take(SPARE_BATCHES_COUNT_MAX - spare.len()) {
            batch.clear();
            spare.push(batch);
        }
    }

    /// Reads and decodes the next window, in order; `None` at the end.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub(crate) fn next_decoded(&mut self) -> io::Result<Option<(Window, Vec<Decoded>)>> {
        let Some(window) = self.next_window()? else { return Ok(None) };
        let spare = &self.spare_batches;
        let empty_batch = || lock(spare).pop().unwrap_or_default();
        let good = window.parse(&mut self.reports, |record| decode(record, empty_batch));
        Ok(Some((window, good)))
    }

    /// Likewise with another meaning of records.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub(crate) fn next_parsed<T: Send>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<T, DecodeError> + Sync,
    ) -> io::Result<Option<Vec<T>>> {
        let Some(window) = self.next_window()? else { return Ok(None) };
        Ok(Some(window.parse(&mut self.reports, parse)))
    }

    /// What was wrong, file by file; complete once all windows have been read.
    pub(crate) fn into_reports(self) -> Vec<FileReport> {
        self.reports
    }

    fn next_window(&mut self) -> io::Result<Option<Window>> {
        let mut window = Window::default();
        let mut plain_bytes = 0;
        while window.bytes.len() < WINDOW_SIZE_BYTES && plain_bytes < WINDOW_PLAIN_SIZE_BYTES {
            let Some(file) = self.files.get(self.file_at) else { break };
            window.file_index = file.index;
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => {
                    self.reports.push(FileReport::new(file, self.file_at + 1 == self.files.len()));
                    let of_file = self.disk.read(&file.path)?;
                    let is_begin = !file.is_checkpoint && file.index == self.begin.0;
                    let offset = if is_begin { self.begin.1 } else { 0 };
                    self.reader.insert(SegmentReader::new_at(of_file, offset)?)
                }
            };
            let report = &mut self.reports[self.file_at];
            let (begin, before) = (window.bytes.len(), reader.offset());
            let item = reader.next(&mut window.bytes);
            self.read_size_bytes += reader.offset() - before;
            match item {
                // A record that begins on an earlier page has no beginning here.
                Ok(Some(Item::Record { offset, .. } | Item::Damage { offset, .. }))
                    if file.index == self.begin.0 && offset < self.begin.1 =>
                {
                    window.bytes.truncate(begin);
                }
                Ok(Some(Item::Record { compression, offset, size_bytes })) => {
                    let range = begin..begin + size_bytes;
                    plain_bytes += plain_size_bytes(compression, &window.bytes[range.clone()]);
                    let file_at = self.file_at;
                    window.records.push(StoredRecord { range, compression, file_at, offset });
                }
                Ok(Some(Item::Damage { offset, reason })) => report.note(offset, reason),
                Ok(None) => {
                    report.good_end = reader.good_end();
                    report.is_damaged_to_the_end = reader.is_damaged_to_the_end();
                    (self.reader, self.file_at) = (None, self.file_at + 1);
                }
                Err(err) => {
                    window.bytes.truncate(begin);
                    report.note(reader.offset(), format!("reading failed: {err}"));
                    report.is_unreadable = true;
                    (self.reader, self.file_at) = (None, self.file_at + 1);
                }
            }
        }
        window.read_size_bytes = self.read_size_bytes;
        let is_end = window.records.is_empty() && self.file_at == self.files.len();
        Ok(if is_end { None } else { Some(window) })
    }
}

impl Window {
    /// Decompresses and parses all records on all cores; gives the good ones, in order.
    fn parse<T: Send>(
        &self,
        reports: &mut [FileReport],
        parse: impl Fn(&[u8]) -> Result<T, DecodeError> + Sync,
    ) -> Vec<T> {
        let parsed: Vec<_> = self
            .records
            .par_iter()
            .map_init(Vec::new, |buffer, record| {
                let payload = &self.bytes[record.range.clone()];
                decompress(record.compression, payload, buffer).map_err(|err| err.to_string())?;
                parse(buffer).map_err(|err| err.to_string())
            })
            .collect();
        let mut good = Vec::with_capacity(parsed.len());
        for (record, parsed) in self.records.iter().zip(parsed) {
            match parsed {
                Ok(parsed) => good.push(parsed),
                Err(reason) => {
                    let report = &mut reports[record.file_at];
                    report.note(record.offset, reason);
                    report.bad_records.insert(record.offset);
                }
            }
        }
        good
    }
}

impl FileReport {
    /// Each damage with its place, for people.
    pub(crate) fn damages(&self) -> impl Iterator<Item = String> {
        let path = self.file.path.display();
        self.damages
            .iter()
            .map(move |(offset, reason)| format!("{path}: offset {offset}: {reason}"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.file.path
    }

    fn new(file: &SegmentFile, is_last: bool) -> Self {
        Self {
            file: file.clone(),
            damages: Vec::new(),
            bad_records: BTreeSet::new(),
            good_end: 0,
            is_damaged_to_the_end: false,
            is_unreadable: false,
            is_last: is_last && !file.is_checkpoint,
        }
    }

    fn note(&mut self, offset: u64, reason: String) {
        if self.damages.len() < DAMAGES_COUNT_MAX {
            self.damages.push((offset, reason));
        }
    }
}

/// Decompresses and decodes a record; `buffer` is for the plain bytes.
pub(crate) fn decode_record(
    record: EncodedRecord<'_>,
    buffer: &mut Vec<u8>,
    empty_batch: impl FnOnce() -> SampleBatch,
) -> Result<Decoded, String> {
    decompress(record.compression, record.payload, buffer).map_err(|err| err.to_string())?;
    decode(buffer, empty_batch).map_err(|err| err.to_string())
}
