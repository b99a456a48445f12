//! T8 and T9: hours of samples, then SIGTERM and later SIGKILL; time from exec until the last samples of
//! all series are found by a query, and the most memory used on the way.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    contender::{Contender, Kind, now},
    load::{Load, Sender, count_series},
    sizes::Sizes,
    write::table,
};

/// Steps that are sent after the first restart, so that the second has something to replay.
const STEPS_BETWEEN_COUNT: usize = 40;
/// Samples of each series in a request.
const STEPS_PER_REQUEST: usize = 4;

pub(crate) fn run(sizes: Sizes) -> Result<()> {
    let kinds = [Kind::Ours, Kind::Original, Kind::VictoriaMetrics];
    let mut contenders = Contender::start_all(&kinds)?;
    let load = Load::new(sizes.series_count, sizes.hours + 0.5)?;
    let mut senders = Sender::connect_all(&contenders)?;
    let steps_count = Load::steps_in(sizes.hours);
    load.send(&mut senders, 0..steps_count, STEPS_PER_REQUEST)?;
    drop(senders);
    restart_all(&mut contenders, "TERM", &load, steps_count)?;
    let mut senders = Sender::connect_all(&contenders)?;
    let end = steps_count + STEPS_BETWEEN_COUNT;
    load.send(&mut senders, steps_count..end, STEPS_PER_REQUEST)?;
    drop(senders);
    restart_all(&mut contenders, "KILL", &load, end)
}

fn restart_all(
    contenders: &mut [Contender],
    signal: &str,
    load: &Load,
    steps_count: usize,
) -> Result<()> {
    let at_seconds = load.end_seconds(steps_count - 1);
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for contender in &mut *contenders {
        if contender.kind == Kind::VictoriaMetrics {
            // It shows the samples of the last seconds after a while only, and does not keep them.
            std::thread::sleep(Duration::from_secs(6));
        }
        contender.end(signal)?;
        let begin = now();
        contender.restart()?;
        let found = count_series(contender, at_seconds)?;
        times.push(begin.elapsed().as_secs_f64());
        peaks.push(contender.memory_bytes("VmHWM")?);
        ensure!(
            found == load.series_count || contender.kind == Kind::VictoriaMetrics,
            "{} has {found} of {} series after SIG{signal}",
            contender.kind.name(),
            load.series_count
        );
    }
    let title = format!("SIG{signal} to the first right answer, {steps_count} samples a series");
    table(contenders, &title, "ms", &times, |seconds| seconds * 1e3);
    table(contenders, "most memory until then", "MiB", &peaks, |bytes| bytes / 1_048_576.0);
    Ok(())
}
