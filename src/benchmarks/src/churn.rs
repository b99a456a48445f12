//! T5, and memory under churn: all series are replaced again and again, as deployments do; processor time
//! for each new series, and for all of its life with what is compacted meanwhile, and the most memory used.

use std::{thread, time::Duration};

use anyhow::Result;

use crate::{
    contender::{Contender, Kind},
    gate::Gate,
    load::{Load, Sender},
    sizes::Sizes,
    write::{measure, table},
};

/// How often all series are replaced in each part.
const GENERATIONS_COUNT: usize = 10;
/// Samples that a series lives for.
const LIFE_STEPS_COUNT: usize = 8;
/// The first part: no block is due yet, nothing but the new series is counted.
const FIRST_HOURS: f64 = 2.0;
/// The second: the oldest series leave the head again and again.
const THEN_HOURS: f64 = 8.0;
/// How long compaction is waited for; the original looks once a minute whether it is due.
const SETTLING_TIME: Duration = Duration::from_secs(75);
const NEW_SERIES: Gate = Gate::of_original("T5 processor time of a new series", 0.4);

pub(crate) fn run(sizes: Sizes) -> Result<()> {
    let kinds = [Kind::Ours, Kind::Original, Kind::VictoriaMetrics];
    let contenders = Contender::start_all(&kinds)?;
    let mut senders = Sender::connect_all(&contenders)?;
    let mut load = Load::aligned(sizes.series_count, FIRST_HOURS + THEN_HOURS)?;
    let mut of_first = vec![0.0; contenders.len()];
    let distance = Load::steps_in(FIRST_HOURS) / GENERATIONS_COUNT;
    for generation in 0..GENERATIONS_COUNT {
        load.generation = generation;
        let begin = generation * distance;
        let used = measure(&contenders, || load.send(&mut senders, begin..begin + 1, 1))?;
        of_first.iter_mut().zip(used).for_each(|(sum, used)| *sum += used);
        load.send(&mut senders, begin + 1..begin + LIFE_STEPS_COUNT, 1)?;
    }
    let series_count = (sizes.series_count * GENERATIONS_COUNT) as f64;
    let per_series = |cpu_s: f64| cpu_s / series_count * 1e6;
    let title = format!(
        "{GENERATIONS_COUNT} generations of {} series: the requests that bring a new series",
        sizes.series_count
    );
    table(&contenders, &title, "us/series", &of_first, per_series);
    NEW_SERIES.judge(&contenders, &of_first);

    let first = Load::steps_in(FIRST_HOURS);
    let distance = Load::steps_in(THEN_HOURS) / GENERATIONS_COUNT;
    let used = measure(&contenders, || {
        for generation in 0..GENERATIONS_COUNT {
            load.generation = GENERATIONS_COUNT + generation;
            let begin = first + generation * distance;
            load.send(&mut senders, begin..begin + LIFE_STEPS_COUNT, 1)?;
        }
        drop(senders);
        thread::sleep(SETTLING_TIME);
        Ok(())
    })?;
    let title = format!(
        "as many over {THEN_HOURS} hours, {LIFE_STEPS_COUNT} samples each, until they stand in blocks"
    );
    table(&contenders, &title, "us/series", &used, per_series);
    for (field, what) in [("RssAnon", "anonymous memory at the end"), ("VmHWM", "most memory")] {
        let memory =
            contenders.iter().map(|c| c.memory_bytes(field)).collect::<Result<Vec<_>>>()?;
        table(&contenders, what, "MiB", &memory, |bytes| bytes / 1_048_576.0);
    }
    Ok(())
}
