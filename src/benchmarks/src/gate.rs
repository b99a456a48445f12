//! Gates of the design: how much of a peer's cost ours may be. Each is told with its ratio, and whether it
//! holds; nothing fails by it.

use crate::{
    contender::{Contender, Kind},
    report,
};

/// One gate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate {
    /// As in the design, such as `T7`.
    pub(crate) name: &'static str,
    /// The most that is allowed, as a part of what the original takes, and of what `VictoriaMetrics` takes.
    pub(crate) of_original_max: Option<f64>,
    pub(crate) of_victoria_metrics_max: Option<f64>,
}

impl Gate {
    pub(crate) const fn of_original(name: &'static str, ratio_max: f64) -> Self {
        Self { name, of_original_max: Some(ratio_max), of_victoria_metrics_max: None }
    }

    pub(crate) const fn of_both(name: &'static str, original: f64, victoria_metrics: f64) -> Self {
        Self {
            name,
            of_original_max: Some(original),
            of_victoria_metrics_max: Some(victoria_metrics),
        }
    }

    /// Judges the values of all contenders, each kind of ours by itself.
    pub(crate) fn judge(&self, contenders: &[Contender], values: &[f64]) {
        let find = |kind| contenders.iter().position(|contender| contender.kind == kind);
        let peers = [
            (Kind::Original, self.of_original_max),
            (Kind::VictoriaMetrics, self.of_victoria_metrics_max),
        ];
        for (contender, value) in contenders.iter().zip(values) {
            if !contender.kind.is_ours() {
                continue;
            }
            for (peer, ratio_max) in peers {
                let Some(ratio_max) = ratio_max else { continue };
                let Some(at) = find(peer) else { continue };
                self.tell(contender.kind.name(), peer.name(), value / values[at], ratio_max);
            }
        }
    }

    /// Judges ratios of ours to the peers; one that was left out has none, a NaN.
    pub(crate) fn judge_ratios(&self, of_original: f64, of_victoria_metrics: f64) {
        for (peer, ratio, ratio_max) in [
            (Kind::Original, of_original, self.of_original_max),
            (Kind::VictoriaMetrics, of_victoria_metrics, self.of_victoria_metrics_max),
        ] {
            if let Some(ratio_max) = ratio_max {
                self.tell(Kind::Ours.name(), peer.name(), ratio, ratio_max);
            }
        }
    }

    fn tell(&self, ours: &str, peer: &str, ratio: f64, ratio_max: f64) {
        let verdict = match ratio {
            _ if ratio.is_nan() => "not measured",
            _ if ratio <= ratio_max => "holds",
            _ => "DOES NOT HOLD",
        };
        let name = self.name;
        report::line(&format!(
            "gate {name}: {ours} {ratio:.3} of {peer}, at most {ratio_max}: {verdict}"
        ));
    }
}
