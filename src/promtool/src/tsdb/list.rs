//! `tsdb list`: the blocks as a table.

use anyhow::Result;
use jiff::Timestamp;
use prom_tsdb::BlockInfo;

use super::{args::List, duration, open};
use crate::output::out;

/// Least width of a column, and what is between two. Compat: the tab writer of `cmd/promtool/tsdb.go`.
const WIDTH_MIN: usize = 13;
const PADDING: usize = 2;
const HEADER: [&str; 8] = [
    "BLOCK ULID",
    "MIN TIME",
    "MAX TIME",
    "DURATION",
    "NUM SAMPLES",
    "NUM CHUNKS",
    "NUM SERIES",
    "SIZE",
];

pub(super) fn run(options: &List) -> Result<()> {
    let blocks = open(&options.path)?.blocks();
    print(&blocks, true, options.is_human_readable);
    Ok(())
}

/// Prints a line for each block, below the names of the columns if they are wanted.
pub(super) fn print(blocks: &[BlockInfo], has_header: bool, is_human_readable: bool) {
    let header = has_header.then(|| HEADER.map(str::to_owned));
    let mut rows: Vec<_> = header.into_iter().collect();
    rows.extend(blocks.iter().map(|block| row(block, is_human_readable)));
    print_table(&rows);
}

fn row(block: &BlockInfo, is_human_readable: bool) -> [String; 8] {
    let time = |time_ms: i64| match is_human_readable {
        true => human_time(time_ms),
        false => time_ms.to_string(),
    };
    [
        block.id.clone(),
        time(block.min_time_ms),
        time(block.max_time_ms),
        duration(block.max_time_ms.saturating_sub(block.min_time_ms)),
        block.samples_count.to_string(),
        block.chunks_count.to_string(),
        block.series_count.to_string(),
        match is_human_readable {
            true => human_size(block.size_bytes),
            false => block.size_bytes.to_string(),
        },
    ]
}

/// Columns as wide as their widest cell; the last one as it is.
fn print_table<const N: usize>(rows: &[[String; N]]) {
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        (widest + PADDING).max(WIDTH_MIN)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in rows {
        let (last, cells) = row.split_last().expect("a table has columns");
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        out(&(cells.collect::<String>() + last));
    }
}

/// Whole seconds, as Go prints a time in UTC.
fn human_time(time_ms: i64) -> String {
    match Timestamp::from_second(time_ms / 1000) {
        Ok(time) => format!("{} +0000 UTC", time.strftime("%Y-%m-%d %H:%M:%S")),
        Err(_) => time_ms.to_string(),
    }
}

/// `1MiB512KiB`. Compat: alecthomas/units, `Base2Bytes.String`.
fn human_size(size_bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if size_bytes == 0 {
        return "0B".to_owned();
    }
    let parts = UNITS.iter().enumerate().rev().filter_map(|(power, unit)| {
        let count = size_bytes >> (10 * power) & 1023;
        (count > 0).then(|| format!("{count}{unit}"))
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_written_as_go_does() {
        for (size_bytes, text) in
            [(0, "0B"), (5, "5B"), (1024, "1KiB"), (1_572_865, "1MiB512KiB1B")]
        {
            assert_eq!(human_size(size_bytes), text);
        }
        assert_eq!(human_time(1_441_756_800_123), "2015-09-09 00:00:00 +0000 UTC");
    }
}
