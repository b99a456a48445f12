//! The metrics of this mechanism, under the names that the original and its Kubernetes client use.

use prom_telemetry::{Counter, CounterVec, Gauge, GaugeVec, Registry, Summary, SummaryVec};

/// Roles whose events are counted. Compat: Prometheus `discovery/kubernetes/metrics.go`.
const ROLES: [&str; 6] = ["endpointslice", "endpoints", "node", "pod", "service", "ingress"];
const EVENTS: [&str; 3] = ["add", "delete", "update"];

/// Of all entries together.
#[derive(Clone, Debug)]
pub(crate) struct KubernetesMetrics {
    pub(super) events: CounterVec,
    pub(super) failures: Counter,
    pub(super) requests: CounterVec,
    pub(super) request_duration: SummaryVec,
    queue: [SummaryVec; 2],
    queue_items: CounterVec,
    queue_gauges: [GaugeVec; 3],
}

/// Of the groups of a role that are to be made anew.
#[derive(Clone, Debug)]
pub(super) struct QueueMetrics {
    pub(super) depth: Gauge,
    pub(super) items: Counter,
    pub(super) latency: Summary,
    pub(super) work_duration: Summary,
}

impl KubernetesMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let events = registry.counter_vec(
            "prometheus_sd_kubernetes_events_total",
            "The number of Kubernetes events handled.",
            &["role", "event"],
        );
        for (role, event) in ROLES.into_iter().flat_map(|role| EVENTS.map(|event| (role, event))) {
            events.with(&[role, event]);
        }
        let queue = |name: &str, help: &str| {
            let name = format!("prometheus_sd_kubernetes_workqueue_{name}");
            registry.summary_vec(&name, help, &[], &["queue_name"])
        };
        let queue_gauge = |name: &str, help: &str| {
            let name = format!("prometheus_sd_kubernetes_workqueue_{name}");
            registry.gauge_vec(&name, help, &["queue_name"])
        };
        Self {
            events,
            failures: registry.counter(
                "prometheus_sd_kubernetes_failures_total",
                "The number of failed WATCH/LIST requests.",
            ),
            requests: registry.counter_vec(
                "prometheus_sd_kubernetes_http_request_total",
                "Total number of HTTP requests to the Kubernetes API by status code.",
                &["status_code"],
            ),
            request_duration: registry.summary_vec(
                "prometheus_sd_kubernetes_http_request_duration_seconds",
                "Summary of latencies for HTTP requests to the Kubernetes API by endpoint.",
                &[],
                &["endpoint"],
            ),
            queue: [
                queue("latency_seconds", "How long an item stays in the work queue."),
                queue(
                    "work_duration_seconds",
                    "How long processing an item from the work queue takes.",
                ),
            ],
            queue_items: registry.counter_vec(
                "prometheus_sd_kubernetes_workqueue_items_total",
                "Total number of items added to the work queue.",
                &["queue_name"],
            ),
            queue_gauges: [
                queue_gauge("depth", "Current depth of the work queue."),
                queue_gauge(
                    "unfinished_work_seconds",
                    "How long an item has remained unfinished in the work queue.",
                ),
                queue_gauge(
                    "longest_running_processor_seconds",
                    "Duration of the longest running processor in the work queue.",
                ),
            ],
        }
    }

    pub(super) fn queue(&self, role: &str) -> QueueMetrics {
        let [latency, work_duration] = self.queue.each_ref().map(|vec| vec.with(&[role]));
        // Work is never left unfinished between two looks, so the other two stay zero.
        let [depth, ..] = self.queue_gauges.each_ref().map(|vec| vec.with(&[role]));
        QueueMetrics { depth, items: self.queue_items.with(&[role]), latency, work_duration }
    }
}
