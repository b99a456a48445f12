//! T14: how much more memory a server takes for queries. Each server is started again on what it has stored
//! and left alone until it takes no less any more, as what it used for storing would hide what queries use.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{
    gate::GROWTH,
    question::{QUESTIONS, Question},
    times::timed,
};
use crate::{
    client::Client,
    contender::{Contender, Kind, now},
    report,
    watch::Watch,
    write::table,
};

/// How often everything is asked.
const ROUND_COUNT: usize = 3;
/// Time between two looks at a server that comes to rest.
const REST_STEP: Duration = Duration::from_secs(2);
/// A server rests once it gave back less than this share of its memory for so many looks.
const REST_SHARE: f64 = 0.01;
const REST_LOOKS_COUNT: usize = 5;
const REST_TIME_MAX: Duration = Duration::from_secs(120);
/// The profilers of the two others; with this parameter they collect garbage first.
const COLLECT_PATH: &str = "/debug/pprof/heap?gc=1";

pub(super) fn run(contenders: &mut [Contender], end_seconds: i64) -> Result<()> {
    for contender in &mut *contenders {
        contender.end("TERM")?;
        contender.restart()?;
    }
    let (mut rest, mut growth, mut resident) = (Vec::new(), Vec::new(), Vec::new());
    for contender in &*contenders {
        let before = come_to_rest(contender)?;
        contender.forget_peak()?;
        let resident_before = contender.memory_bytes("VmRSS")?;
        let watch = Watch::begin(contender.pid());
        let mut client = Client::connect(contender)?;
        for question in QUESTIONS.iter().cycle().take(ROUND_COUNT * QUESTIONS.len()) {
            ask(contender, &mut client, question, end_seconds)?;
        }
        rest.push(before);
        growth.push((watch.end().peak_bytes - before).max(0.0));
        resident.push((contender.memory_bytes("VmHWM")? - resident_before).max(0.0));
    }
    let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
    table(contenders, "anonymous memory at rest", "MiB", &rest, mebibytes);
    let title =
        format!("most anonymous memory above that, while all was asked {ROUND_COUNT} times");
    table(contenders, &title, "MiB", &growth, mebibytes);
    table(contenders, "most resident memory above rest", "MiB", &resident, mebibytes);
    let find = |kind| contenders.iter().position(|one| one.kind == kind).map(|at| growth[at]);
    let ours = find(Kind::Ours).context("our server")?;
    let of = |kind| find(kind).map_or(f64::NAN, |theirs| ours / theirs);
    GROWTH.judge_ratios(of(Kind::Original), of(Kind::VictoriaMetrics));
    Ok(())
}

fn ask(
    contender: &Contender,
    client: &mut Client,
    question: &Question,
    end_seconds: i64,
) -> Result<()> {
    let answer = timed(client, &question.path(end_seconds));
    answer.map(drop).with_context(|| contender.kind.name())
}

/// Waits until a server gives nothing back any more; the anonymous memory that it has then, in bytes.
fn come_to_rest(contender: &Contender) -> Result<f64> {
    if contender.kind != Kind::Ours {
        contender.get(COLLECT_PATH)?;
    }
    let begin = now();
    let mut lowest = contender.memory_bytes("RssAnon")?;
    let mut looks_count = 0;
    while looks_count < REST_LOOKS_COUNT && begin.elapsed() < REST_TIME_MAX {
        std::thread::sleep(REST_STEP);
        let bytes = contender.memory_bytes("RssAnon")?;
        looks_count = if bytes < lowest * (1.0 - REST_SHARE) { 0 } else { looks_count + 1 };
        lowest = lowest.min(bytes);
    }
    report::line(&format!(
        "{} rests after {:.0} s",
        contender.kind.name(),
        begin.elapsed().as_secs_f64()
    ));
    contender.memory_bytes("RssAnon")
}
