//! How often sets may change for their consumer: a few times at once, for whoever edits and looks, and then
//! no more often than the original ever does.

use std::time::Duration;

use tokio::time::Instant;

/// Changes that may follow each other without a wait, once it has been quiet for long enough.
const BURST_COUNT_MAX: u32 = 4;

/// Counts down what may happen at once. Pure: time is a parameter.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    /// When all of the burst is available again.
    full_at: Instant,
}

impl Pace {
    pub(crate) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, full_at: now }
    }

    /// Takes the next turn, and says how long it has to wait.
    pub(crate) fn take(&mut self, now: Instant) -> Duration {
        let missing = self.full_at.saturating_duration_since(now);
        self.full_at = self.full_at.max(now) + self.interval;
        missing.saturating_sub(self.interval * (BURST_COUNT_MAX - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_the_rest_comes_in_the_rhythm() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut pace = Pace::new(5 * second, start);
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..7 {
            let wait = pace.take(now);
            now += wait;
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [0, 0, 0, 0, 5, 5, 5]);
        now += 10 * second;
        let waits: Vec<_> = (0..4).map(|_| pace.take(now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 5, 10]);
    }
}
