//! The write-ahead log: records in pages in segments. What the records mean to the head is `head`'s matter.
//! Format: docs/format/wal.md.
//!
//! A commit is on the log as a whole or not at all: a write that fails is taken back before anything else
//! is written, because readers give up at a damaged place (Prometheus even deletes what follows it).

mod checkpoint;
mod codec;
mod compress;
mod fault;
mod frame;
mod gather;
mod metrics;
mod reader;
mod record;
mod repair;
mod replay;
mod segment;
mod syncer;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    checkpoint::{
        CheckpointPlan, SegmentsWriter, checkpoint_end, remove_covered, write_checkpoint,
    },
    codec::DecodeError,
    compress::{Compressor, EncodedRecord},
    frame::{PAGE_SIZE_BYTES, frame_record},
    metrics::WalMetrics,
    record::{
        Decoded, Keep, RefExemplar, RefHistogram, RefMarker, RefMetadata, RefSample, RefSeries,
        RefTombstone, SampleBatch, SnapshotChunk, SnapshotRecord, SnapshotSeries, SnapshotValue,
        StartId, Starts, decode, decode_of_series, decode_snapshot, encode_exemplars,
        encode_histograms, encode_histograms_with_start, encode_markers, encode_metadata,
        encode_samples, encode_samples_with_start, encode_series, encode_snapshot_exemplars,
        encode_snapshot_tombstones, encode_tombstones, push_series,
    },
    repair::{Damage, quarantine, remove_leftovers, repair},
    replay::{FileReport, LogReader, decode_record},
    segment::{LogFiles, SegmentFile, fingerprint, list_log, list_segments},
    writer::Wal,
};
