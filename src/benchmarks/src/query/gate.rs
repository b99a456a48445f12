//! The gates of queries, and whether they hold.

use super::{answers::Tally, question::Purpose, times::Measured};
use crate::{contender::Kind, gate::Gate, report};

const WALL_RANGE: Gate = Gate::of_both("T10 wall, rates of all over 1h", 0.125, 0.5);
const CPU_RANGE: Gate = Gate::of_both("T11 processor time of the same", 1.0 / 6.0, 0.6);
const WALL_INSTANT: Gate = Gate::of_both("T12 wall, rates of all, instant", 0.4, 0.2);
const WALL_SMALL: Gate =
    Gate::of_original("T13 wall on one processor, slowest ratio of small ones", 0.5);
pub(super) const GROWTH: Gate = Gate::of_original("T14 growth of memory over the queries", 0.1);

/// Prints T10 to T12.
pub(super) fn report_times(all: &[Measured]) {
    for (gate, purpose, figure) in [
        (WALL_RANGE, Purpose::HeavyRange, Measured::wall_ms as fn(&Measured, Kind) -> f64),
        (CPU_RANGE, Purpose::HeavyRange, Measured::cpu_ms),
        (WALL_INSTANT, Purpose::HeavyInstant, Measured::wall_ms),
    ] {
        let original = worst(all, purpose, Kind::Original, figure);
        let victoria_metrics = worst(all, purpose, Kind::VictoriaMetrics, figure);
        gate.judge_ratios(original, victoria_metrics);
    }
}

/// Prints T13: of the servers' own time, and, to compare, with what waking another processor adds to all.
pub(super) fn report_small(all: &[Measured], on_one_processor: &[Measured]) {
    let worst = |all| worst(all, Purpose::Small, Kind::Original, Measured::wall_ms);
    WALL_SMALL.judge_ratios(worst(on_one_processor), f64::NAN);
    report::line(&format!(
        "with the wakes of other processors: slowest ratio of ours to {}: {:.3}",
        Kind::Original.name(),
        worst(all)
    ));
}

/// The largest ratio to a peer among the questions of one purpose; a NaN if it was left out.
fn worst(all: &[Measured], purpose: Purpose, of: Kind, figure: fn(&Measured, Kind) -> f64) -> f64 {
    let those = all.iter().filter(|one| one.question.purpose == purpose);
    those.map(|one| figure(one, Kind::Ours) / figure(one, of)).fold(f64::NAN, f64::max)
}

/// Prints what came of the comparison of answers.
pub(super) fn report_answers(tally: &Tally) {
    let Tally { values, inexact, wrong, repeated, changed } = tally;
    let verdict = if tally.is_right() { "holds" } else { "DOES NOT HOLD" };
    report::line(&format!(
        "answers: {values} values compared with the original's, {inexact} differ within {:e}, {wrong} are wrong; {repeated} asked again, {changed} changed: {verdict}",
        super::answers::TOLERANCE
    ));
}
