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
    record::{Decoded, RefSample, SampleBatch, decode},
};

/// Plain bytes of one window for each core, and of any window; decoded they are about three times as many. Two
/// windows are in memory at a time.
const WINDOW_SIZE_BYTES_PER_CORE: usize = 128 << 10;
const WINDOW_SIZE_BYTES_MAX: usize = 1 << 20;
/// A sample takes no less in a record.
const SAMPLE_SIZE_BYTES_MIN: usize = 1 + 1 + 8;
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
    window_size_bytes: usize,
    /// Buffers of windows that are done with.
    spare_bytes: Vec<u8>,
    spare_buffers: Mutex<Vec<Vec<RefSample>>>,
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
        let window_size_bytes = WINDOW_SIZE_BYTES_PER_CORE * rayon::current_num_threads();
        Self {
            disk,
            files: log.files.clone(),
            file_at: 0,
            reader: None,
            reports: Vec::with_capacity(log.files.len()),
            read_size_bytes: 0,
            begin: (0, 0),
            window_size_bytes: window_size_bytes.min(WINDOW_SIZE_BYTES_MAX),
            spare_bytes: Vec::new(),
            spare_buffers: Mutex::default(),
        }
    }

    /// Passes over what is before a position.
    pub(crate) fn skip_to(&mut self, segment: u64, offset: u64) {
        self.files.retain(|file| !file.is_checkpoint && file.index >= segment);
        self.begin = (segment, offset);
    }

    /// Takes buffers back, for as many samples as one window may have.
    pub(crate) fn recycle(&mut self, batches: Vec<SampleBatch>) {
        let spare = self.spare_buffers.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut samples_count = spare.iter().map(Vec::capacity).sum::<usize>();
        for SampleBatch { mut samples, .. } in batches {
            samples_count += samples.capacity();
            if samples_count > self.window_size_bytes / SAMPLE_SIZE_BYTES_MIN {
                return;
            }
            samples.clear();
            spare.push(samples);
        }
    }

    /// Reads and decodes the next window, in order; `None` at the end.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub(crate) fn next_decoded(&mut self) -> io::Result<Option<(Window, Vec<Decoded>)>> {
        let Some(mut window) = self.next_window()? else { return Ok(None) };
        let spare = &self.spare_buffers;
        let empty_buffer = || lock(spare).pop().unwrap_or_default();
        let good = window.parse(&mut self.reports, |record| decode(record, empty_buffer));
        self.keep_bytes(&mut window);
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
        let Some(mut window) = self.next_window()? else { return Ok(None) };
        let good = window.parse(&mut self.reports, parse);
        self.keep_bytes(&mut window);
        Ok(Some(good))
    }

    /// What was wrong, file by file; complete once all windows have been read.
    pub(crate) fn into_reports(self) -> Vec<FileReport> {
        self.reports
    }

    /// Takes the stored bytes of a window back, unless one record has made them many.
    fn keep_bytes(&mut self, window: &mut Window) {
        let mut bytes = std::mem::take(&mut window.bytes);
        if bytes.capacity() <= 2 * self.window_size_bytes {
            bytes.clear();
            self.spare_bytes = bytes;
        }
    }

    fn next_window(&mut self) -> io::Result<Option<Window>> {
        let bytes = std::mem::take(&mut self.spare_bytes);
        let mut window = Window { bytes, ..Window::default() };
        let mut filled_size_bytes = 0;
        while filled_size_bytes < self.window_size_bytes {
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
                    let plain = plain_size_bytes(compression, &window.bytes[range.clone()]);
                    filled_size_bytes += plain.max(size_bytes);
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
    empty_buffer: impl FnOnce() -> Vec<RefSample>,
) -> Result<Decoded, String> {
    decompress(record.compression, record.payload, buffer).map_err(|err| err.to_string())?;
    decode(buffer, empty_buffer).map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests {
    use prom_testkit::FaultyDisk;

    use super::*;

    #[test]
    fn buffers_are_kept_for_one_window_only() {
        let disk = FaultyDisk::default();
        let disk: &dyn Disk = &disk;
        let mut reader = LogReader::new(disk, &LogFiles::default());
        let samples_max = reader.window_size_bytes / SAMPLE_SIZE_BYTES_MIN;
        assert!(samples_max <= 2 * WINDOW_SIZE_BYTES_MAX / SAMPLE_SIZE_BYTES_MIN);
        for _ in 0..3 {
            reader.recycle((0..100).map(|_| Vec::with_capacity(samples_max / 10).into()).collect());
            let spare = lock(&reader.spare_buffers);
            let kept = spare.iter().map(Vec::capacity).sum::<usize>();
            assert!(kept > samples_max / 2 && kept <= samples_max, "{kept} of {samples_max}");
        }
        for (capacity, is_kept) in
            [(reader.window_size_bytes, true), (2 * WINDOW_SIZE_BYTES_MAX + 1, false)]
        {
            let mut window = Window { bytes: Vec::with_capacity(capacity), ..Window::default() };
            reader.spare_bytes = Vec::new();
            reader.keep_bytes(&mut window);
            assert_eq!(reader.spare_bytes.capacity() >= capacity, is_kept, "{capacity}");
        }
    }
}
