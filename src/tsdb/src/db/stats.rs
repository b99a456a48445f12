//! Figures for `/api/v1/status/tsdb` and `/api/v1/status/walreplay`. JSON is made in `web`.

/// The head at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadStats {
    pub series_count: u64,
    pub label_pairs_count: u64,
    pub chunks_count: u64,
    /// `i64::MAX` while there is no sample.
    pub min_time_ms: i64,
    /// `i64::MIN` while there is no sample.
    pub max_time_ms: i64,
}

/// One line of a top list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatEntry {
    pub name: String,
    pub value: u64,
}

/// Cardinality statistics, each list with its largest entries first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TsdbStats {
    pub head: HeadStats,
    pub series_count_by_metric_name: Vec<StatEntry>,
    pub label_value_count_by_label_name: Vec<StatEntry>,
    pub memory_in_bytes_by_label_name: Vec<StatEntry>,
    /// Names are `label=value`.
    pub series_count_by_label_value_pair: Vec<StatEntry>,
    /// New series that were refused, by the limit that was reached and what it is a limit of.
    pub series_refused_by_limit: Vec<StatEntry>,
}

/// How far the replay at opening is. Segment numbers are those of the files in `wal/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayProgress {
    pub segment_first: u64,
    pub segment_last: u64,
    /// The segment that has just been read.
    pub segment_current: u64,
    /// Bytes of log read so far, and in all.
    pub read_size_bytes: u64,
    pub total_size_bytes: u64,
}
