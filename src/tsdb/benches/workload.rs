//! Made-up targets like those of a Kubernetes cluster: containers with long unique labels, classic
//! histograms, CPU modes, application gauges; half integers, some constant, some noisy.

use prom_model::Labels;

pub(crate) const TARGET_SERIES_COUNT: usize = 5_000;
pub(crate) const SCRAPE_INTERVAL_MS: i64 = 15_000;

/// A small generator of its own, so that runs are alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Labels of one series of a target.
pub(crate) fn labels(target: usize, series: usize) -> Labels {
    let instance = format!("10.{}.{}.7:9100", target / 250, target % 250);
    let pod = format!("frontend-{:08x}-{:05x}", target * 7919 + series / 20, series / 20);
    let number = (series % 20).to_string();
    let mut pairs: Vec<(&str, String)> = vec![("instance", instance)];
    match series {
        0..1_500 => {
            let id = format!("/kubepods/burstable/pod{:032x}/{pod}", series / 20 * 104_729);
            let name = format!("container_metric_number_{number}_total");
            pairs.extend([
                ("__name__", name),
                ("job", "cadvisor".to_owned()),
                ("id", id),
                ("pod", pod),
                ("namespace", format!("team-{}", series / 100)),
            ]);
        }
        1_500..3_600 => pairs.extend([
            ("__name__", "http_request_duration_seconds_bucket".to_owned()),
            ("job", "api".to_owned()),
            ("handler", format!("/api/v1/resource_{}", (series - 1_500) / 14)),
            ("method", ["GET", "POST", "PUT"][series / 14 % 3].to_owned()),
            ("code", "200".to_owned()),
            ("le", format!("{}", 0.005 * f64::from(1 << (series % 14)))),
        ]),
        3_600..4_112 => pairs.extend([
            ("__name__", "node_cpu_seconds_total".to_owned()),
            ("job", "node".to_owned()),
            ("cpu", ((series - 3_600) / 8).to_string()),
            (
                "mode",
                ["idle", "user", "system", "iowait", "irq", "nice", "softirq", "steal"][series % 8]
                    .to_owned(),
            ),
        ]),
        _ => pairs.extend([
            ("__name__", format!("app_gauge_{}", series % 100)),
            ("job", "app".to_owned()),
            ("shard", (series / 100).to_string()),
        ]),
    }
    Labels::from_pairs(pairs)
}

/// The next value of a series.
pub(crate) fn step(series: usize, value: f64, noise: &mut Noise) -> f64 {
    let random = noise.next();
    match series * 7919 % 100 {
        // Counters, many of them idle.
        0..20 => value,
        20..49 => value + (random % 40) as f64,
        49..66 => 42.0,
        66..78 => {
            (value / 4096.0).floor().max(0.0) * 4096.0 + (random % 33) as f64 * 4096.0 - 65_536.0
        }
        78..88 => value + (random % 100) as f64 / 100.0,
        88..96 => value + (random % 1_000_000_000) as f64 / 1e9,
        _ => f64::from_bits(random >> 2),
    }
}
