//! T6 and T7: hours of samples of the same series; bytes of the whole folder and of its parts, and of blocks
//! per sample. Segments of the log are smaller where there are few series, so that it is shortened as often.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};

use crate::{
    contender::{Contender, Kind},
    gate::Gate,
    load::{Load, Sender},
    report,
    sizes::Sizes,
    write::table,
};

/// So that a block is cut, whatever was asked for.
const HOURS_MIN: f64 = 4.5;
/// How long compaction is waited for.
const SETTLING_TIME: Duration = Duration::from_secs(75);
/// A segment of the log for so many series; and what both servers take for the size of one.
const SEGMENT_SIZE_MIB: usize = 128;
const SEGMENT_SERIES_COUNT: usize = 100_000;
const SEGMENT_SIZE_MIB_MIN: usize = 10;
/// Parts of a folder that are shown.
const PARTS: [&str; 3] = ["wal", "chunks_head", "head_state"];
const BLOCKS: Gate = Gate::of_original("T6 blocks", 0.90);
const FOLDER: Gate = Gate::of_original("T7 whole folder", 0.45);

pub(crate) fn run(sizes: Sizes) -> Result<()> {
    let hours = sizes.hours.max(HOURS_MIN);
    let segment_size_mib = (SEGMENT_SIZE_MIB * sizes.series_count / SEGMENT_SERIES_COUNT)
        .clamp(SEGMENT_SIZE_MIB_MIN, SEGMENT_SIZE_MIB);
    let start = |kind: Kind| {
        let is_vm = kind == Kind::VictoriaMetrics;
        let flag = format!("--storage.tsdb.wal-segment-size={segment_size_mib}MB");
        Contender::start_with(kind, "", if is_vm { Vec::new() } else { vec![flag] })
    };
    let kinds = [Kind::Ours, Kind::OursShortLog, Kind::Original, Kind::VictoriaMetrics];
    let contenders: Vec<Contender> =
        Kind::available(&kinds).into_iter().map(start).collect::<Result<_>>()?;
    let load = Load::aligned(sizes.series_count, hours)?;
    let steps_count = Load::steps_in(hours);
    load.send(&mut Sender::connect_all(&contenders)?, 0..steps_count, 4)?;
    std::thread::sleep(SETTLING_TIME);

    let samples_count = (sizes.series_count * steps_count) as f64;
    let sizes_bytes = contenders
        .iter()
        .map(|contender| Ok(size_bytes(&contender.data_path())? as f64))
        .collect::<Result<Vec<_>>>()?;
    let title = format!("whole folder after {hours} h of {} series", sizes.series_count);
    table(&contenders, &title, "B/sample", &sizes_bytes, |bytes| bytes / samples_count);
    for contender in contenders.iter().filter(|c| c.kind != Kind::VictoriaMetrics) {
        for part in PARTS {
            let bytes = size_bytes(&contender.data_path().join(part)).unwrap_or(0) as f64;
            report::row(contender.kind.name(), part, &[bytes / samples_count], None);
        }
    }
    let with_blocks =
        contenders.iter().take_while(|contender| contender.kind != Kind::VictoriaMetrics).count();
    let with_blocks = &contenders[..with_blocks];
    let per_sample = with_blocks
        .iter()
        .map(|contender| {
            let (samples_count, bytes) = blocks(&contender.data_path())?;
            Ok(bytes as f64 / samples_count as f64)
        })
        .collect::<Result<Vec<_>>>()?;
    table(with_blocks, "blocks", "B/sample", &per_sample, |bytes| bytes);
    BLOCKS.judge(with_blocks, &per_sample);
    FOLDER.judge(&contenders, &sizes_bytes);
    let used = contenders.iter().map(Contender::cpu_seconds).collect::<Result<Vec<_>>>()?;
    table(&contenders, "processor time of all of it", "ns/sample", &used, |cpu_s| {
        cpu_s / samples_count * 1e9
    });
    Ok(())
}

/// The samples of all blocks, and their bytes.
fn blocks(data: &Path) -> Result<(u64, u64)> {
    let mut found = (0, 0);
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        let Ok(meta) = fs::read(path.join("meta.json")) else { continue };
        let meta: serde_json::Value = serde_json::from_slice(&meta)?;
        let samples = meta["stats"]["numSamples"].as_u64().context("numSamples")?;
        found = (found.0 + samples, found.1 + size_bytes(&path)?);
    }
    Ok(found)
}

fn size_bytes(path: &Path) -> Result<u64> {
    let data = fs::symlink_metadata(path)?;
    if !data.is_dir() {
        return Ok(data.len());
    }
    let mut sum = 0;
    for entry in fs::read_dir(path)? {
        // Files come and go while a server compacts.
        sum += size_bytes(&entry?.path()).unwrap_or(0);
    }
    Ok(sum)
}
