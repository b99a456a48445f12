//! Series for both sides: counters with resets, gaps, odd values, classic histograms.

use std::{collections::BTreeMap, fmt::Write};

use prom_model::{Labels, format_float_g};
use prom_testkit::MemoryStore;

/// Two-hour blocks begin at multiples of two hours; the data spans three of them.
pub(super) const START_MS: i64 = 1_700_000_000_000;
pub(super) const END_MS: i64 = START_MS + 4 * 3_600_000;
const INTERVAL_MS: i64 = 15_000;

/// Samples of one series in time order.
type Samples = Vec<(i64, f64)>;

/// A value from the number of its sample.
type ValueOf = fn(i64) -> f64;

/// The same series in memory, in the order of a block.
pub(super) fn store() -> MemoryStore {
    let store = MemoryStore::default();
    for (labels, samples) in series() {
        store.push_series(labels, samples);
    }
    store
}

/// The series as a text that blocks can be made from.
pub(super) fn openmetrics() -> String {
    let mut text = String::new();
    for (labels, samples) in series() {
        let name = labels.metric_name().to_owned();
        let rest = labels.without(&["__name__"]).to_string().replace(", ", ",");
        for (time_ms, value) in samples {
            let (seconds, millis) = (time_ms / 1000, time_ms % 1000);
            let value = format_float_g(value);
            writeln!(text, "{name}{rest} {value} {seconds}.{millis:03}").unwrap();
        }
    }
    text + "# EOF\n"
}

fn series() -> BTreeMap<Labels, Samples> {
    let mut all = BTreeMap::new();
    let mut random = Random(42);
    for (job, instances) in [("a", 3), ("b", 2), ("c", 1)] {
        for instance in 0..instances {
            let host = format!("host{instance}:9100");
            let base = [("job", job), ("instance", &host)];
            all.insert(labels("gauge", &base, &[]), gauge(&mut random));
            for code in ["200", "404", "500"] {
                all.insert(
                    labels("requests_total", &base, &[("code", code)]),
                    counter(&mut random),
                );
            }
            let version = format!("1.{instance}");
            let info = regular(0).map(|time_ms| (time_ms, 1.0)).collect();
            all.insert(labels("build_info", &base, &[("version", &version)]), info);
            buckets(&mut all, &base, &mut random);
        }
    }
    let sparse = regular(0)
        .filter(|time_ms| time_ms / 600_000 % 2 == 0 && time_ms / INTERVAL_MS % 3 == 0)
        .map(|time_ms| (time_ms, (time_ms / 1000 % 1000) as f64))
        .collect();
    all.insert(labels("sparse", &[("job", "a")], &[("instance", "host0:9100")]), sparse);
    let odd: [(&str, ValueOf); 6] = [
        ("nan", |_| f64::NAN),
        ("inf", |_| f64::INFINITY),
        ("one", |_| 1.0),
        ("minus", |_| -2.5),
        ("mixed", |n| [1.0, f64::NAN, f64::NEG_INFINITY, 3.0][n as usize % 4]),
        ("tiny", |n| 1e-300 * n as f64),
    ];
    for (kind, value) in odd {
        let samples = regular(0).enumerate().map(|(n, time_ms)| (time_ms, value(n as i64)));
        all.insert(labels("special", &[("kind", kind)], &[]), samples.collect());
    }
    all
}

fn labels(name: &str, base: &[(&str, &str)], more: &[(&str, &str)]) -> Labels {
    Labels::from_pairs([("__name__", name)].iter().chain(base).chain(more).copied())
}

fn regular(offset_ms: i64) -> impl Iterator<Item = i64> {
    (START_MS + offset_ms..END_MS).step_by(INTERVAL_MS as usize)
}

/// Values with few digits, and now and then a gap.
fn gauge(random: &mut Random) -> Samples {
    let offset_ms = random.below(INTERVAL_MS as u64) as i64;
    let mut value = 50.0;
    let mut samples = Vec::new();
    for time_ms in regular(offset_ms) {
        value += random.below(200) as f64 / 10.0 - 10.0;
        value = value.clamp(0.0, 100.0);
        if random.below(40) > 0 {
            samples.push((time_ms, value));
        }
    }
    samples
}

/// A counter that restarts now and then, with times that are a little off.
fn counter(random: &mut Random) -> Samples {
    let mut value = random.below(1000) as f64;
    let mut samples = Vec::new();
    for time_ms in regular(0) {
        value += random.below(7) as f64 * 0.25;
        if random.below(150) == 0 {
            value = random.below(3) as f64;
        }
        if random.below(60) > 0 {
            samples.push((time_ms + random.below(40) as i64, value));
        }
    }
    samples
}

fn buckets(all: &mut BTreeMap<Labels, Samples>, base: &[(&str, &str)], random: &mut Random) {
    let bounds = ["0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];
    let mut counts = [0u64; 7];
    let mut samples = vec![Vec::new(); bounds.len()];
    for time_ms in regular(0) {
        for _ in 0..random.below(9) {
            let slot = random.below(7) as usize;
            counts[slot..].iter_mut().for_each(|count| *count += 1);
        }
        for (samples, count) in samples.iter_mut().zip(&counts) {
            samples.push((time_ms, *count as f64));
        }
    }
    for (bound, samples) in bounds.iter().zip(samples) {
        all.insert(labels("latency_bucket", base, &[("le", bound)]), samples);
    }
}

/// A small generator with a fixed seed, so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
