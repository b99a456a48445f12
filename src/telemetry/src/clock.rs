//! The only place that asks the system for the time. Below the rim time is a parameter.

use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Wall clock: milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    let since_epoch = now_since_epoch();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// Wall clock: time since the Unix epoch, to the nanosecond. A clock set before 1970 reads as the epoch.
pub fn now_since_epoch() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// A point of the clock that never goes back, for measuring.
pub fn monotonic() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    let now = Instant::now();
    now
}

/// `CLOCK_MONOTONIC` in microseconds, as systemd wants it beside `RELOADING=1`.
pub fn monotonic_usec() -> u64 {
    let time = duration_of(clock_gettime(ClockId::Monotonic));
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// User and system CPU time this process has used.
pub fn process_cpu_time() -> Duration {
    duration_of(clock_gettime(ClockId::ProcessCPUTime))
}

fn duration_of(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_agree_about_now() {
        const YEAR_2026_MS: i64 = 1_767_225_600_000;
        assert!(now_ms() > YEAR_2026_MS);
        let (earlier, usec) = (monotonic(), monotonic_usec());
        assert!(monotonic() >= earlier && monotonic_usec() >= usec && usec > 0);
        assert!(process_cpu_time() > Duration::ZERO);
    }
}
