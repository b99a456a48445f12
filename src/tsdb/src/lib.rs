//! The time series database: Prometheus's data directory, written and read.
//!
//! Neighbours: `storage` holds the traits through which everybody else appends and reads; `telemetry`
//! takes the metrics and is asked for the time; `server` opens a [`Db`] and closes it; `web` shows its
//! statistics. Formats stand in `docs/format/`, one page for each.
//!
//! Invariants:
//! I1. Samples are applied in the order of the log, by the same rule as at a replay: a directory that is
//!     opened again holds what the head held.
//! I2. An appended float touches one cache line of its series, one block of its chunk, one bit of its
//!     group; it allocates nothing but when the form of its chunk changes. Histograms have their open chunks
//!     beside, and allocate as they grow. Whatever the form, closed chunks are what an XOR writer gives, or an
//!     XOR2 writer if a sample has a start: a group keeps these beside its open chunks once the first one comes.
//! I3. A reader sees whole commits, those published when it came, however long it reads.
//! I4. The samples of a series ascend in time; the first to come at a time stays.
//! I5. What was acknowledged is on the log. A write that failed is taken back before the next one; until
//!     that works, commits fail by name, and nothing of them is seen.
//! I6. A series has one record on the log, before its first sample.
//! I7. A series goes only when no appender can have a sample of it underway and it has none; its slot may
//!     be given to another one, its ref never is. Readers of samples that leave are waited for. A series that has
//!     ended may be emptied before its time, when its samples stand in a block and the log says so.
//! I8. A checkpoint holds all that the segments still need which it stands for, and is durable before they go.
//! I9. A closed chunk is in memory until it can be read in a file of head chunks. The log has its samples,
//!     too, so these files may be lost or damaged: damage costs its chunk. A replay takes
//!     a chunk where the log comes to its first sample, so what stands in no chunk is not passed over. Where
//!     the log is shortened early, it has those samples only that no durable and good file has. (A power
//!     failure may take from the log what a file has; that is in one place then.)
//! I10. A sidecar of the head is used only with the log and the head chunks that it was made of; the log
//!     behind it is replayed. Without it a start takes longer and ends the same. Head chunks are not read
//!     before; one that is found damaged later is made anew of the log, which has it until its block is written.
//!     A chunk snapshot stands for the log up to its place likewise, with the head chunks that it names; it is
//!     read whole before, and gone after.
//! I11. Damaged files are kept under `quarantine/`; their good records are used. Nothing is deleted but
//!     the rest of a write that had not ended.
//! I12. What came out of order stands beside its series and is merged when it is read. Of samples at one time
//!     the one in order stays, then the first to come, in the head, in blocks and in what is made of them. It
//!     is on both logs when it is acknowledged. A chunk of it is used only where its log marks it, and that
//!     log's samples are passed over only where they are in such a chunk.
//! I13. The head begins where the last block with samples in order ends, whatever the log and head chunks
//!     have. If nothing is left of that block, or it goes beyond retention, one without samples takes its place:
//!     what was deleted stays so.
//!
//! Concurrency: all of [`Db`] may be called from any thread, none of it is async. One commit at a time
//! writes the log and applies its batch; records are made outside of that lock. Readers share a lock with
//! the commit for 1 024 series at a time. Opening uses the global rayon pool; finished segments are made
//! durable by a thread of the log's own; another looks after blocks once a minute, and whoever deletes, cleans
//! or takes a snapshot waits for its turn.
//!
//! Where it left the plan: open chunks are chains of 32-byte blocks, not slabs of size classes, because the
//! series of a target grow in step and would leave each class empty behind them; chains take what closed
//! chunks give back and are never copied. Commits are applied one at a time, so I1 holds by construction
//! and a snapshot is one number. Selections are sorted by ranks of the pairs they hold, not of all symbols,
//! so nothing is rebuilt when series come.
//!
//! Open chunks of floats at an even pace with constant or whole values are kept as differences (`chunk::steady`)
//! and made XOR when they are closed: half of all series of a usual target are such.
//!
//! Limits: out-of-order samples are not in the sidecar; their log is read at each start. Chunks that are missing
//! are not noticed among those that a series had under an earlier ref if a checkpoint tells both refs. Where the log is
//! shortened early, a late sample between two chunks may be taken for one in order, and be there twice.
//! Queues, buffers and windows have named constants beside their use.

mod block;
mod chunk;
mod compact;
mod db;
mod disk;
mod error;
mod head;
mod head_chunks;
mod lock;
mod select;
mod wal;

pub use db::{
    BlockAnalysis, BlockInfo, BlockWriter, ChunkFigures, Db, FloatEncoding, HeadStats, NameFigures,
    Options, PairFigures, PreviousStop, ReplayProgress, RetentionOptions, SeriesLimits, StatEntry,
    TsdbStats, WalCompression,
};
pub use error::OpenError;

#[doc(hidden)]
pub mod internals;
