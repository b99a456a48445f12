//! `process_*`: what the kernel says about this process, read anew at each gathering.
//! Values that cannot be read are left out. Compat: client_golang `ProcessCollector`.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::{MetricFamily, MetricKind, Registry};
use crate::clock;

/// Ticks of `/proc/self/stat` in a second: 100 for user space on every platform we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Registers the `process_*` metrics.
pub fn register_process_metrics(registry: &Registry) {
    let start_seconds = start_time_seconds();
    registry.collect_fn(move |families| {
        for (name, kind, help, value) in readings(start_seconds) {
            let Some(value) = value else { continue };
            let mut family = MetricFamily::new(name, help, kind);
            family.push(&[], value);
            families.push(family);
        }
    });
}

type Reading = (&'static str, MetricKind, &'static str, Option<f64>);

#[rustfmt::skip] // one line a metric
fn readings(start_seconds: Option<f64>) -> [Reading; 9] {
    use MetricKind::{Counter, Gauge};
    let cpu_seconds = clock::process_cpu_time().as_secs_f64();
    let (fds_max, virtual_max) = (limit_of(Resource::Nofile), limit_of(Resource::As));
    let [virtual_bytes, resident_bytes] = memory_bytes();
    let [received, sent] = network_bytes();
    [
        ("process_cpu_seconds_total", Counter, "Total user and system CPU time spent in seconds.", Some(cpu_seconds)),
        ("process_max_fds", Gauge, "Maximum number of open file descriptors.", Some(fds_max)),
        ("process_network_receive_bytes_total", Counter, "Number of bytes received by the process over the network.", received),
        ("process_network_transmit_bytes_total", Counter, "Number of bytes sent by the process over the network.", sent),
        ("process_open_fds", Gauge, "Number of open file descriptors.", open_fds()),
        ("process_resident_memory_bytes", Gauge, "Resident memory size in bytes.", resident_bytes),
        ("process_start_time_seconds", Gauge, "Start time of the process since unix epoch in seconds.", start_seconds),
        ("process_virtual_memory_bytes", Gauge, "Virtual memory size in bytes.", virtual_bytes),
        ("process_virtual_memory_max_bytes", Gauge, "Maximum amount of virtual memory available in bytes.", Some(virtual_max)),
    ]
}

fn open_fds() -> Option<f64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

/// The soft limit; no limit is the largest integer, as the kernel counts.
fn limit_of(resource: Resource) -> f64 {
    getrlimit(resource).current.unwrap_or(u64::MAX) as f64
}

/// Virtual and resident size.
fn memory_bytes() -> [Option<f64>; 2] {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ["VmSize:", "VmRSS:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kibibytes * 1024.0)
    })
}

fn start_time_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may hold anything; the 22nd is the start.
    let ticks: f64 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
    Some(boot + ticks / TICKS_PER_SECOND)
}

/// Received and sent octets of the process's network namespace.
fn network_bytes() -> [Option<f64>; 2] {
    let text = fs::read_to_string("/proc/self/net/netstat").unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("IpExt:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let value_of = |wanted: &str| {
        let at = names.split_ascii_whitespace().position(|name| name == wanted)?;
        values.split_ascii_whitespace().nth(at)?.parse().ok()
    };
    [value_of("InOctets"), value_of("OutOctets")]
}
