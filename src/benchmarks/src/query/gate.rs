//! The gates: ratios that have to be reached, and whether they are.

use super::{answers::Tally, question::Purpose, times::Measured};
use crate::{contender::Kind, report};

/// The most that a figure of ours may be of another server's.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) name: &'static str,
    pub(super) of_original_max: f64,
    /// None where only the original counts.
    pub(super) of_victoria_max: Option<f64>,
}

const WALL_RANGE: Gate = Gate {
    name: "T10 wall, rates of all over 1h",
    of_original_max: 0.125,
    of_victoria_max: Some(0.5),
};
const CPU_RANGE: Gate = Gate {
    name: "T11 processor time of the same",
    of_original_max: 1.0 / 6.0,
    of_victoria_max: Some(0.6),
};
const WALL_INSTANT: Gate = Gate {
    name: "T12 wall, rates of all, instant",
    of_original_max: 0.4,
    of_victoria_max: Some(0.2),
};
const WALL_SMALL: Gate = Gate {
    name: "T13 wall, slowest ratio of small ones",
    of_original_max: 0.5,
    of_victoria_max: None,
};
pub(super) const GROWTH: Gate = Gate {
    name: "T14 growth of memory over the queries",
    of_original_max: 0.1,
    of_victoria_max: None,
};

/// Prints T10 to T13.
pub(super) fn report_times(all: &[Measured]) {
    let worst = |purpose: Purpose, of: Kind, figure: fn(&Measured, Kind) -> f64| {
        let those = all.iter().filter(|one| one.question.purpose == purpose);
        those.map(|one| figure(one, Kind::Ours) / figure(one, of)).fold(f64::NAN, f64::max)
    };
    for (gate, purpose, figure) in [
        (WALL_RANGE, Purpose::HeavyRange, Measured::wall_ms as fn(&Measured, Kind) -> f64),
        (CPU_RANGE, Purpose::HeavyRange, Measured::cpu_ms),
        (WALL_INSTANT, Purpose::HeavyInstant, Measured::wall_ms),
        (WALL_SMALL, Purpose::Small, Measured::wall_ms),
    ] {
        let (original, victoria) =
            (worst(purpose, Kind::Original, figure), worst(purpose, Kind::VictoriaMetrics, figure));
        gate.report(original, victoria);
    }
}

/// Prints what came of the comparison of answers.
pub(super) fn report_answers(tally: &Tally) {
    let Tally { values, inexact, wrong, repeated, changed } = tally;
    let verdict = if tally.is_right() { "holds" } else { "FAILS" };
    report::line(&format!(
        "answers: {values} values compared with the original's, {inexact} differ within {:e}, {wrong} are wrong; {repeated} asked again, {changed} changed: {verdict}",
        super::answers::TOLERANCE
    ));
}

impl Gate {
    /// Prints the ratios and whether they are small enough; a server that was left out gives none.
    pub(super) fn report(&self, of_original: f64, of_victoria: f64) {
        let part = |name: &str, ratio: f64, most: Option<f64>| {
            let verdict = match most {
                _ if ratio.is_nan() => "not measured".to_owned(),
                None => "shown only".to_owned(),
                Some(most) if ratio <= most => format!("at most {most:.3}: holds"),
                Some(most) => format!("at most {most:.3}: FAILS"),
            };
            format!("{ratio:.3} of {name} ({verdict})")
        };
        report::line(&format!(
            "{:<38} {}, {}",
            self.name,
            part("prometheus", of_original, Some(self.of_original_max)),
            part("victoria-metrics", of_victoria, self.of_victoria_max),
        ));
    }
}
