//! What the operator may choose. Flag texts and their parsing belong to `server`.

/// How WAL records are compressed when written; every kind is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WalCompression {
    None,
    #[default]
    Snappy,
    Zstd,
}

/// How blocks hold floats; every kind is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FloatEncoding {
    /// Read by every Prometheus since 2.0.
    #[default]
    Xor,
    /// Read by Prometheus since 3.13.
    Xor2,
}

/// Settings of a [`crate::Db`]; the defaults are Prometheus's.
#[derive(Clone, Debug)]
pub struct Options {
    pub wal_compression: WalCompression,
    /// A segment is closed when the next commit would make it larger. A multiple of 32 KiB.
    pub wal_segment_size_bytes: u32,
    /// Range of a head chunk and of the smallest block.
    pub min_block_duration_ms: i64,
    /// Range of the largest block that compaction makes.
    pub max_block_duration_ms: i64,
    pub retention: RetentionOptions,
    /// Of blocks that are written from now on.
    pub float_encoding: FloatEncoding,
    /// The part of the head's series that is to have ended when such series leave it early; 0: never.
    pub stale_series_threshold: f64,
    pub series_limits: SeriesLimits,
    /// Whether samples leave the log as soon as durable files of head chunks have them. Such a log is a
    /// fraction of the size; should these files be damaged, it cannot mend them.
    pub is_log_shortened_early: bool,
    /// Whether a stop writes the open chunks as a chunk snapshot, and a start takes one.
    pub is_chunk_snapshot_used: bool,
    /// Exemplars that are kept, of all series together; 0: none.
    pub exemplars_count_max: usize,
    /// Whether what targets say of their metrics goes on the log.
    pub is_metadata_logged: bool,
    /// Whether it is kept since when samples count. Floats that tell are in XOR2 chunks then, in the head, too.
    pub are_starts_kept: bool,
    /// Whether chunks of histograms tell their starts, if these are kept; Prometheus reads such chunks since 3.14.
    pub are_histogram_starts_encoded: bool,
    /// How much older than the newest sample of all a sample may be that comes out of order; 0: none may.
    pub out_of_order_window_ms: i64,
    /// Samples of an out-of-order chunk.
    pub out_of_order_count_max: u8,
    /// Whether a `lock` file keeps other processes out.
    pub is_lockfile_used: bool,
}

/// When old data goes; zero is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RetentionOptions {
    pub duration_ms: i64,
    pub size_bytes: u64,
    /// Of the file system's size.
    pub percentage: f64,
}

/// How many series the head may have before it refuses new ones; zero is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeriesLimits {
    pub total: usize,
    /// With the same `job` label.
    pub per_job: usize,
    /// Of the same name.
    pub per_metric: usize,
}

impl Default for Options {
    fn default() -> Self {
        const HOUR_MS: i64 = 3_600_000;
        Self {
            wal_compression: WalCompression::default(),
            wal_segment_size_bytes: 128 << 20,
            min_block_duration_ms: 2 * HOUR_MS,
            max_block_duration_ms: 36 * HOUR_MS,
            retention: RetentionOptions {
                duration_ms: 15 * 24 * HOUR_MS,
                ..RetentionOptions::default()
            },
            float_encoding: FloatEncoding::default(),
            stale_series_threshold: 0.0,
            series_limits: SeriesLimits::default(),
            is_log_shortened_early: false,
            is_chunk_snapshot_used: false,
            exemplars_count_max: 0,
            is_metadata_logged: false,
            are_starts_kept: false,
            are_histogram_starts_encoded: false,
            out_of_order_window_ms: 0,
            out_of_order_count_max: 32,
            is_lockfile_used: true,
        }
    }
}
