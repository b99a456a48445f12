//! When a target is due, and which time its samples get: a plan that the loop follows.
//! Two clocks: the steady one wakes the loop, the wall clock stamps the samples.

use std::time::Duration;

use tokio::time::Instant;

/// Timers fire up to a millisecond late, so they are set a little early.
const EARLY: Duration = Duration::from_micros(500);
/// After so many scrapes out of tolerance the wall clock has drifted off, and its grid is laid anew.
const UNALIGNED_COUNT_MAX: u32 = 10;

/// The rhythm of one target.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    interval: Duration,
    /// A scrape at most this late, or early, counts as in time, so that timestamps stay regular.
    tolerance: Duration,
    due: Instant,
    /// The wall-clock time at which a scrape was due, since the epoch; none before the first.
    aligned: Option<Duration>,
    unaligned_count: u32,
}

impl Schedule {
    /// The first scrape is due at `due`. Compat: the tolerance is at most 1 % of the interval.
    pub(crate) fn new(due: Instant, interval: Duration, tolerance: Duration) -> Self {
        let tolerance = tolerance.min(interval / 100);
        Self { interval, tolerance, due, aligned: None, unaligned_count: 0 }
    }

    /// When the next scrape begins.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// When to set the timer for.
    pub(crate) fn wake(&self) -> Instant {
        self.due.checked_sub(EARLY).unwrap_or(self.due)
    }

    /// A scrape ended at `now`: plans the next one. One that came due meanwhile is made up for at once,
    /// the others are left out. Compat: Go `time.Ticker`.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.due += self.interval;
        let late = now.saturating_duration_since(self.due);
        let missed = late.as_nanos() / self.interval.as_nanos().max(1);
        self.due += self.interval * u32::try_from(missed).unwrap_or(u32::MAX);
    }

    /// Leaves out what came due while nobody was to be asked.
    pub(crate) fn catch_up(&mut self, now: Instant) {
        if self.due < now {
            self.advance(now);
            if self.due < now {
                self.due += self.interval;
            }
        }
    }

    /// The time that samples of a scrape get which begins at `began` on the steady clock, `now` on the wall
    /// clock (since the epoch). Its grid is where scrapes are due, not where the first one began: that one
    /// is late where many targets are new.
    pub(crate) fn stamp(&mut self, began: Instant, now: Duration) -> Duration {
        let late = began.saturating_duration_since(self.due);
        let due = now.saturating_sub(late) + self.due.saturating_duration_since(began);
        let mut aligned = *self.aligned.get_or_insert(due);
        let ahead = now.saturating_sub(aligned);
        let skipped = (ahead + self.tolerance).as_nanos() / self.interval.as_nanos().max(1);
        aligned += self.interval * u32::try_from(skipped).unwrap_or(u32::MAX);
        self.aligned = Some(aligned);
        if now.abs_diff(aligned) <= self.tolerance {
            self.unaligned_count = 0;
            return aligned;
        }
        self.unaligned_count += 1;
        if self.unaligned_count >= UNALIGNED_COUNT_MAX {
            self.unaligned_count = 0;
            self.aligned = Some(due);
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn times_within_tolerance_are_put_on_the_grid() {
        let start = 1_700_000_000 * SECOND + us(123_456);
        // Interval, how late the scrapes begin (in us, from -10 ms on), and how late their stamps are.
        let check = |interval: Duration, cases: &[(u64, u64)]| {
            // the first one, too, may be late or early
            for first_late in [10_000, 11_500, 8_500, 20_000] {
                let now = Instant::now();
                let mut schedule = Schedule::new(now + us(10_000), interval, us(2_000));
                schedule.stamp(now + us(first_late), start + us(first_late));
                for (round, (late, expected)) in (1..).zip(cases) {
                    let grid = interval * round;
                    schedule.advance(now + grid);
                    let stamp = schedule.stamp(now + grid + us(*late), start + grid + us(*late));
                    let expected = start + grid + us(*expected);
                    assert_eq!(stamp, expected, "{interval:?}, {round}, {late}");
                }
            }
        };
        check(15 * SECOND, &[(10_000, 10_000), (11_999, 10_000), (12_001, 12_001)]);
        check(15 * SECOND, &[(8_001, 10_000), (7_999, 7_999), (10_500, 10_000)]);
        check(us(100_000), &[(10_999, 10_000), (11_001, 11_001), (9_001, 10_000)]);
        check(15 * SECOND, &[(5_000_000, 5_000_000), (10_000, 10_000)]);
    }

    #[test]
    fn a_drifted_wall_clock_gets_a_new_grid() {
        let start = 1_700_000_000 * SECOND;
        let mut schedule = Schedule::new(Instant::now(), SECOND, us(2_000));
        let began = schedule.due();
        schedule.stamp(began, start);
        let drift = us(300_000);
        let stamps: Vec<_> = (1..=UNALIGNED_COUNT_MAX + 3)
            .map(|round| {
                schedule.advance(began + SECOND * (round - 1));
                let late = us(u64::from(round % 2));
                let began = began + SECOND * round + late;
                schedule.stamp(began, start + SECOND * round + drift + late)
            })
            .collect();
        assert!(stamps[1] - stamps[0] != SECOND);
        let (last, before) = (stamps[stamps.len() - 1], stamps[stamps.len() - 2]);
        assert_eq!(last - before, SECOND);
    }

    #[test]
    fn missed_scrapes_are_made_up_for_once() {
        let now = Instant::now();
        // How long after it was due a scrape ends, and when the next one is due.
        for (ended_ms, expected_ms) in [
            (300, 1_000),
            (999, 1_000),
            (1_000, 1_000),
            (1_500, 1_000),
            (2_000, 2_000),
            (3_700, 3_000),
        ] {
            let mut schedule = Schedule::new(now, SECOND, us(2_000));
            let due = schedule.due();
            schedule.advance(due + Duration::from_millis(ended_ms));
            assert_eq!(schedule.due() - due, Duration::from_millis(expected_ms), "{ended_ms}");
        }
    }
}
