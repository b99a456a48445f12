//! T1, T4 and T5: the same remote write requests for each server: processor time for each new series, for
//! each sample at one and at four samples a series, and anonymous memory per active series.

use anyhow::Result;

use crate::{
    contender::{Contender, Kind},
    gate::Gate,
    load::{Load, Sender},
    report,
    sizes::Sizes,
};

/// Samples of each series in a phase.
const PHASE_STEPS_COUNT: usize = 120;
const SAMPLE: Gate = Gate::of_both("T4 processor time per written sample", 0.30, 0.7);

pub(crate) fn run(sizes: Sizes) -> Result<()> {
    let kinds = [Kind::Ours, Kind::Original, Kind::VictoriaMetrics];
    let contenders = Contender::start_all(&kinds)?;
    let mut senders = Sender::connect_all(&contenders)?;
    let hours = (2 * PHASE_STEPS_COUNT + 1) as f64 / 240.0;
    let load = Load::new(sizes.series_count, hours)?;
    let series_count = sizes.series_count;

    let used = measure(&contenders, || load.send(&mut senders, 0..1, 1))?;
    table(&contenders, &format!("{series_count} new series"), "us/series", &used, |cpu_s| {
        cpu_s / series_count as f64 * 1e6
    });
    let mut begin = 1;
    for steps_per_request in [1, 4] {
        let steps = begin..begin + PHASE_STEPS_COUNT;
        begin = steps.end;
        let used = measure(&contenders, || load.send(&mut senders, steps, steps_per_request))?;
        let samples_count = (series_count * PHASE_STEPS_COUNT) as f64;
        let title = format!("{steps_per_request} samples a series in a request");
        table(&contenders, &title, "ns/sample", &used, |cpu_s| cpu_s / samples_count * 1e9);
        SAMPLE.judge(&contenders, &used);
    }
    let memory =
        contenders.iter().map(|c| c.memory_bytes("RssAnon")).collect::<Result<Vec<_>>>()?;
    table(&contenders, "anonymous memory", "B/series", &memory, |bytes| {
        bytes / series_count as f64
    });
    Ok(())
}

/// The processor time that each server uses meanwhile.
pub(crate) fn measure(
    contenders: &[Contender],
    work: impl FnOnce() -> Result<()>,
) -> Result<Vec<f64>> {
    let before = contenders.iter().map(Contender::cpu_seconds).collect::<Result<Vec<_>>>()?;
    work()?;
    let used = |(contender, before): (&Contender, f64)| Ok(contender.cpu_seconds()? - before);
    contenders.iter().zip(before).map(used).collect()
}

/// A title and a row for each server, with ratios to the original.
pub(crate) fn table(
    contenders: &[Contender],
    title: &str,
    unit: &str,
    values: &[f64],
    convert: impl Fn(f64) -> f64,
) {
    report::line(title);
    let original = contenders.iter().position(|contender| contender.kind == Kind::Original);
    let original = original.map(|index| convert(values[index]));
    for (contender, value) in contenders.iter().zip(values) {
        report::row(contender.kind.name(), unit, &[convert(*value)], original);
    }
}
