//! T2 and T5 under churn: all series are replaced again and again, as deployments do; processor time for
//! each new series, and the most memory used.

use anyhow::Result;

use crate::{
    contender::{Contender, Kind},
    load::{Load, Sender},
    sizes::Sizes,
    write::{measure, table},
};

/// How often all series are replaced.
const GENERATIONS_COUNT: usize = 10;
/// Samples that a series lives for.
const LIFE_STEPS_COUNT: usize = 8;

pub(crate) fn run(sizes: Sizes) -> Result<()> {
    let kinds = [Kind::Ours, Kind::Original, Kind::VictoriaMetrics];
    let contenders = Contender::start_all(&kinds)?;
    let mut senders = Sender::connect_all(&contenders)?;
    // Generations are spread over the hours, so that the oldest are truncated from the head.
    let distance = Load::steps_in(sizes.hours.max(8.0)) / GENERATIONS_COUNT;
    let mut load = Load::new(sizes.series_count, sizes.hours.max(8.0))?;
    let used = measure(&contenders, || {
        for generation in 0..GENERATIONS_COUNT {
            load.generation = generation;
            let begin = generation * distance;
            load.send(&mut senders, begin..begin + LIFE_STEPS_COUNT, 1)?;
        }
        Ok(())
    })?;
    let series_count = (sizes.series_count * GENERATIONS_COUNT) as f64;
    let title = format!(
        "{GENERATIONS_COUNT} generations of {} series, {LIFE_STEPS_COUNT} samples each",
        sizes.series_count
    );
    table(&contenders, &title, "us/series", &used, |cpu_s| cpu_s / series_count * 1e6);
    for (field, what) in [("RssAnon", "anonymous memory at the end"), ("VmHWM", "most memory")] {
        let memory =
            contenders.iter().map(|c| c.memory_bytes(field)).collect::<Result<Vec<_>>>()?;
        table(&contenders, what, "MiB", &memory, |bytes| bytes / 1_048_576.0);
    }
    Ok(())
}
