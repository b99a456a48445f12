//! What is asked in the query benchmark: from one series to all of them, at an instant and over an hour.

const HOUR_SECONDS: i64 = 3_600;

/// Which gate a query is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// T10 and T11: rates of all series over an hour.
    HeavyRange,
    /// T12: rates of all series at an instant.
    HeavyInstant,
    /// T13: one series up to those of one host.
    Small,
    /// Shown, compared and asked by crowds.
    Other,
}

/// A query.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) purpose: Purpose,
    /// Its name in the table.
    pub(super) name: &'static str,
    /// 0 for an instant query.
    step_seconds: i64,
    expr: &'static str,
}

const fn question(
    purpose: Purpose,
    name: &'static str,
    step_seconds: i64,
    expr: &'static str,
) -> Question {
    Question { purpose, name, step_seconds, expr }
}

pub(super) const QUESTIONS: [Question; 22] = [
    question(
        Purpose::Small,
        "one series, instant",
        0,
        "bench_metric_1_total{pod=\"pod-0-000001\"}",
    ),
    question(
        Purpose::Small,
        "one series, 1h/15s",
        15,
        "bench_metric_1_total{pod=\"pod-0-000001\"}",
    ),
    question(
        Purpose::Small,
        "rate of one, 1h/15s",
        15,
        "rate(bench_metric_1_total{pod=\"pod-0-000001\"}[5m])",
    ),
    question(Purpose::Small, "one host, instant", 0, "{instance=\"host-0.example.org:9100\"}"),
    question(
        Purpose::Small,
        "rate of one host's metric, 1h/60s",
        60,
        "rate(bench_metric_1_total{instance=\"host-0.example.org:9100\"}[5m])",
    ),
    question(
        Purpose::Small,
        "sum over one host, 1h/15s",
        15,
        "sum by (namespace) ({instance=\"host-0.example.org:9100\"})",
    ),
    question(Purpose::Other, "count by regex, instant", 0, "count({pod=~\"pod-.*1.*\"})"),
    question(
        Purpose::Other,
        "topk of rates, instant",
        0,
        "topk(10, rate(bench_metric_1_total[5m]))",
    ),
    question(
        Purpose::HeavyInstant,
        "sum by rate of all, instant",
        0,
        "sum by (instance) (rate({__name__=~\"bench_metric_.*\"}[5m]))",
    ),
    question(
        Purpose::HeavyRange,
        "sum by rate of all, 1h/15s",
        15,
        "sum by (instance) (rate({__name__=~\"bench_metric_.*\"}[5m]))",
    ),
    question(
        Purpose::Other,
        "sum by rate of all, 1h/60s",
        60,
        "sum by (namespace) (rate({__name__=~\"bench_metric_.*\"}[5m]))",
    ),
    question(
        Purpose::Other,
        "sum by rate of a fifth, 1h/15s",
        15,
        "sum by (instance) (rate({__name__=~\"bench_metric_.[16]_total\"}[5m]))",
    ),
    question(
        Purpose::Other,
        "ratio of rates, instant",
        0,
        "sum(rate(bench_metric_1_total[5m]) / ignoring (pod, instance) group_left () sum by (cluster, container, job, namespace, service) (rate(bench_metric_2_total[5m])))",
    ),
    question(
        Purpose::Other,
        "ratio of sums, 1h/60s",
        60,
        "sum by (instance) (rate(bench_metric_1_total[5m])) / sum by (instance) (rate(bench_metric_2_total[5m]))",
    ),
    question(
        Purpose::Other,
        "group_left, 1h/60s",
        60,
        "sum(bench_metric_1_total * on (instance) group_left () count by (instance) (bench_metric_2_total))",
    ),
    question(
        Purpose::Other,
        "max over time, 1h/60s",
        60,
        "max by (namespace) (max_over_time(bench_metric_3_total[10m]))",
    ),
    question(
        Purpose::Other,
        "avg over time, 1h/60s",
        60,
        "avg by (namespace) (avg_over_time(bench_metric_3_total[10m]))",
    ),
    question(
        Purpose::Other,
        "quantile over time, 1h/60s",
        60,
        "max(quantile_over_time(0.9, bench_metric_3_total[10m]))",
    ),
    question(
        Purpose::Other,
        "quantile, 1h/60s",
        60,
        "quantile by (namespace) (0.9, bench_metric_3_total)",
    ),
    question(
        Purpose::Other,
        "subquery, instant",
        0,
        "max_over_time(sum(rate(bench_metric_1_total[1m]))[30m:1m])",
    ),
    question(
        Purpose::Other,
        "sum of all, 1h/60s",
        60,
        "sum by (namespace) ({__name__=~\"bench_metric_.*\"})",
    ),
    question(Purpose::Other, "count of all, instant", 0, "count({__name__=~\"bench_metric_.*\"})"),
];

impl Question {
    /// The path at a server; no server is to answer from a cache of answers.
    pub(super) fn path(&self, end_seconds: i64) -> String {
        let query: String = self.expr.bytes().map(|byte| format!("%{byte:02X}")).collect();
        match self.step_seconds {
            0 => format!("/api/v1/query?query={query}&time={end_seconds}&nocache=1"),
            step => format!(
                "/api/v1/query_range?query={query}&start={}&end={end_seconds}&step={step}&nocache=1",
                end_seconds - HOUR_SECONDS
            ),
        }
    }
}
