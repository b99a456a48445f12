//! One question to all servers: the first answer, the following ones, and the processor time they took.

use anyhow::{Context, Result};

use super::{answers::Tally, question::Question};
use crate::{
    client::Client,
    contender::{Contender, Kind, now},
    report,
};

/// Warm runs of each query: more where they are short. Their times have two modes, as an answer wakes a thread
/// of the same processor or of another one, and stay in one of them for a while.
const ROUND_COUNT_MIN: usize = 5;
const ROUND_COUNT_MAX: usize = 5_000;
const ROUNDS_TIME_MS: f64 = 2_000.0;
/// Runs that tell how many of them fit.
const TRIALS_COUNT: usize = 2;
/// Turns of each server: short queries are asked several times in a row, as dashboards do. What another
/// server does behind its answer, such as collecting garbage, is not to meet the next one.
const TURNS_COUNT: usize = 100;

/// What one question took.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) question: &'static Question,
    rows: Vec<Times>,
}

/// What it took on one server.
#[derive(Debug)]
struct Times {
    kind: Kind,
    first_ms: f64,
    /// Sorted in the end.
    warm_ms: Vec<f64>,
    cpu_ms: f64,
}

impl Measured {
    /// The median of the warm runs.
    pub(super) fn wall_ms(&self, kind: Kind) -> f64 {
        self.row(kind).map_or(f64::NAN, |row| report::median(&row.warm_ms))
    }

    /// Processor time of a warm run.
    pub(super) fn cpu_ms(&self, kind: Kind) -> f64 {
        self.row(kind).map_or(f64::NAN, |row| row.cpu_ms)
    }

    fn row(&self, kind: Kind) -> Option<&Times> {
        self.rows.iter().find(|row| row.kind == kind)
    }

    fn report(&self) {
        let original = self.row(Kind::Original);
        let of = |value: f64, original: Option<f64>| value / original.unwrap_or(f64::NAN);
        let mut line = format!("{:<34}", self.question.name);
        for row in &self.rows {
            let (median_ms, min_ms) = (report::median(&row.warm_ms), row.warm_ms[0]);
            line += &format!(
                " | {} {:.1} {median_ms:.2} {min_ms:.2} {:.2} ({:.3} {:.3})",
                row.kind.name(),
                row.first_ms,
                row.cpu_ms,
                of(median_ms, original.map(|row| report::median(&row.warm_ms))),
                of(row.cpu_ms, original.map(|row| row.cpu_ms)),
            );
        }
        report::line(&line);
    }
}

/// What the columns of the following lines are.
pub(super) fn report_head() {
    report::line(
        "wall ms first, wall ms warm median and minimum, processor ms warm; ratios of the medians, of processor time",
    );
}

/// Asks `question` of each server. Servers take turns, so that what else the machine does meets all of them.
pub(super) fn measure(
    contenders: &[Contender],
    question: &'static Question,
    end_seconds: i64,
    tally: &mut Tally,
) -> Result<Measured> {
    let path = question.path(end_seconds);
    let mut clients = contenders.iter().map(Client::connect).collect::<Result<Vec<_>>>()?;
    let (mut rows, mut bodies, mut slowest_ms) = (Vec::new(), Vec::new(), f64::MIN_POSITIVE);
    for (contender, client) in contenders.iter().zip(&mut clients) {
        let kind = contender.kind;
        let (first_ms, body) = timed(client, &path).with_context(|| kind.name())?;
        let mut quickest_ms = f64::INFINITY;
        for _ in 0..TRIALS_COUNT {
            quickest_ms = quickest_ms.min(timed(client, &path).with_context(|| kind.name())?.0);
        }
        slowest_ms = slowest_ms.max(quickest_ms);
        let cpu_ms = contender.cpu_seconds()? * 1e3;
        rows.push(Times { kind, first_ms, warm_ms: Vec::new(), cpu_ms });
        bodies.push(body);
    }
    let round_count = (ROUNDS_TIME_MS / slowest_ms) as usize;
    let round_count = round_count.clamp(ROUND_COUNT_MIN, ROUND_COUNT_MAX);
    let turn_size = (round_count / TURNS_COUNT).max(1);
    let round_count = round_count / turn_size * turn_size;
    for _ in 0..round_count / turn_size {
        for ((row, client), first) in rows.iter_mut().zip(&mut clients).zip(&bodies) {
            for _ in 0..turn_size {
                let (wall_ms, body) = timed(client, &path).with_context(|| row.kind.name())?;
                row.warm_ms.push(wall_ms);
                if row.kind == Kind::Ours {
                    tally.repeat(first, &body);
                }
            }
        }
    }
    for (row, contender) in rows.iter_mut().zip(contenders) {
        row.cpu_ms = (contender.cpu_seconds()? * 1e3 - row.cpu_ms) / round_count as f64;
        row.warm_ms.sort_by(f64::total_cmp);
    }
    let body_of = |kind| contenders.iter().position(|one| one.kind == kind).map(|at| &bodies[at]);
    if let (Some(ours), Some(theirs)) = (body_of(Kind::Ours), body_of(Kind::Original)) {
        tally.compare(question.name, ours, theirs)?;
    }
    let measured = Measured { question, rows };
    measured.report();
    Ok(measured)
}

/// How long an answer takes, in milliseconds, and the answer.
pub(super) fn timed(client: &mut Client, path: &str) -> Result<(f64, Vec<u8>)> {
    let begin = now();
    let body = client.get(path)?;
    Ok((begin.elapsed().as_secs_f64() * 1e3, body))
}
