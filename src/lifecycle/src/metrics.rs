//! The metrics of the lifecycle. The values come from the driver; nothing is measured here.

use prom_telemetry::{CounterVec, Gauge, GaugeVec, MetricFamily, MetricKind, Registry};

use crate::handle::Handle;
use crate::machine::Transition;
use crate::machine::lifecycle::{Event, State};

#[derive(Debug)]
pub(crate) struct Metrics {
    state: GaugeVec,
    entered: GaugeVec,
    transitions: CounterVec,
    ready: Gauge,
    reload_successful: Gauge,
    reload_success_time: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry, handle: &Handle) -> Self {
        let metrics = Self {
            state: registry.gauge_vec(
                "prometheus_lifecycle_state",
                "The state of the service: 1 for the one that it is in, 0 for the others.",
                &["state"],
            ),
            entered: registry.gauge_vec(
                "prometheus_lifecycle_state_entered_timestamp_seconds",
                "When each state was last entered.",
                &["state"],
            ),
            transitions: registry.counter_vec(
                "prometheus_lifecycle_transitions_total",
                "Transitions from state to state.",
                &["from", "event", "to"],
            ),
            ready: registry.gauge(
                "prometheus_ready",
                "Whether Prometheus startup was fully completed and the server is ready for normal operation.",
            ),
            reload_successful: registry.gauge(
                "prometheus_config_last_reload_successful",
                "Whether the last configuration reload attempt was successful.",
            ),
            reload_success_time: registry.gauge(
                "prometheus_config_last_reload_success_timestamp_seconds",
                "Timestamp of the last successful configuration reload.",
            ),
        };
        for state in State::ALL {
            metrics.state.with(&[state.name()]).set(0.0);
        }
        let handle = handle.clone();
        registry.collect_fn(move |families| families.extend(activity(&handle)));
        metrics
    }

    pub(crate) fn enter(&self, state: State, is_ready: bool, at_ms: i64) {
        for other in State::ALL {
            self.state.with(&[other.name()]).set(f64::from(u8::from(*other == state)));
        }
        self.entered.with(&[state.name()]).set(seconds(at_ms));
        self.ready.set(f64::from(u8::from(is_ready)));
    }

    pub(crate) fn count(&self, transition: &Transition<State, Event>) {
        let Transition { from, event, to } = transition;
        self.transitions.with(&[from.name(), event.name(), to.name()]).inc();
    }

    pub(crate) fn accept_config(&self, at_ms: i64) {
        self.reload_successful.set(1.0);
        self.reload_success_time.set(seconds(at_ms));
    }

    pub(crate) fn reject_config(&self) {
        self.reload_successful.set(0.0);
    }
}

/// What runs at this moment.
fn activity(handle: &Handle) -> [MetricFamily; 2] {
    let mut tasks = MetricFamily::new(
        "prometheus_lifecycle_tasks",
        "Supervised tasks that run at this moment.",
        MetricKind::Gauge,
    );
    tasks.push(&[], handle.shared().supervisor.tasks_count() as f64);
    let mut hearts = MetricFamily::new(
        "prometheus_lifecycle_heart_silence_seconds",
        "How long each watched loop has made no progress.",
        MetricKind::Gauge,
    );
    for heart in handle.shared().hearts.view() {
        hearts.push(&[("heart", &heart.name)], heart.silence_ms as f64 / 1_000.0);
    }
    [tasks, hearts]
}

fn seconds(at_ms: i64) -> f64 {
    at_ms as f64 / 1_000.0
}
