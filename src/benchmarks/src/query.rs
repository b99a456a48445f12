//! T10 to T14: the same queries over the same samples, sent by remote write: time, processor time and memory
//! of each server, while the answers are compared with the original's. Short queries are asked once more on
//! one processor, as waking another one takes longer than they do. The gates are for 36 000 series and more:
//! `benchmarks query --series=100000 --hours=1.2`.

mod answers;
mod crowd;
mod gate;
mod growth;
mod question;
mod times;

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use anyhow::Result;

use self::{
    answers::Tally,
    crowd::crowd,
    gate::{report_answers, report_small, report_times},
    question::{Purpose, QUESTIONS},
    times::{measure, report_head},
};
use crate::{
    contender::{Contender, Kind},
    load::{Load, Sender},
    one_processor::OneProcessor,
    report,
    sizes::Sizes,
};

/// Samples of a series in one request.
const STEPS_PER_REQUEST: usize = 4;
const CLIENT_COUNT: usize = 8;
/// Servers that buffer what they take show it by then.
const SETTLING_TIME: Duration = Duration::from_secs(5);

pub(crate) fn run(sizes: Sizes) -> Result<()> {
    let mut contenders =
        Contender::start_all(&[Kind::Ours, Kind::Original, Kind::VictoriaMetrics])?;
    let load = Load::new(sizes.series_count, sizes.hours)?;
    let step_count = Load::steps_in(sizes.hours);
    load.send(&mut Sender::connect_all(&contenders)?, 0..step_count, STEPS_PER_REQUEST)?;
    let end_seconds = load.end_seconds(step_count - 1);
    report::line(&format!("{} series, {step_count} samples each", sizes.series_count));
    std::thread::sleep(SETTLING_TIME);

    growth::run(&mut contenders, end_seconds)?;
    let mut tally = Tally::default();
    report_head();
    let mut measured = Vec::new();
    for question in &QUESTIONS {
        measured.push(measure(&contenders, question, end_seconds, &mut tally)?);
    }
    report_times(&measured);
    let confined = OneProcessor::confine(&contenders)?;
    report::line("the small ones, all servers and their client on one processor");
    let mut small = Vec::new();
    for question in QUESTIONS.iter().filter(|question| question.purpose == Purpose::Small) {
        small.push(measure(&contenders, question, end_seconds, &mut tally)?);
    }
    drop(confined);
    report_small(&measured, &small);
    crowd(&contenders, end_seconds, CLIENT_COUNT, "8 clients", &mut tally)?;
    with_ingestion(&contenders, &load, step_count, |contenders| {
        crowd(contenders, end_seconds, 1, "1 client, with ingestion", &mut tally)?;
        crowd(contenders, end_seconds, CLIENT_COUNT, "8 clients, with ingestion", &mut tally)
    })?;
    report_answers(&tally);
    Ok(())
}

/// Does `work` while the samples that follow are sent as fast as all servers take them.
fn with_ingestion(
    contenders: &[Contender],
    load: &Load,
    step_count: usize,
    work: impl FnOnce(&[Contender]) -> Result<()>,
) -> Result<()> {
    let mut senders = Sender::connect_all(contenders)?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for step in step_count.. {
                if is_over.load(Relaxed) {
                    return;
                }
                if let Err(err) = load.send(&mut senders, step..step + 1, 1) {
                    report::line(&format!("ingestion ended: {err:#}"));
                    return;
                }
            }
        });
        let result = work(contenders);
        is_over.store(true, Relaxed);
        result
    })
}
