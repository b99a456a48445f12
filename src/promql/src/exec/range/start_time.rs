//! Counters whose samples tell when they began to count.
//! Compat: Prometheus `promql/functions.go`, `isStartTimestampReset` and `checkStartTimeOverlap`.

/// When a sample was taken, and when its counter began; 0 where that is not known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Started {
    pub(super) start_ms: i64,
    pub(super) timestamp_ms: i64,
}

impl Started {
    /// Whether the counter began anew after `before`.
    pub(super) fn is_reset_since(self, before: Self) -> bool {
        if self.start_ms == 0 || self.start_ms >= self.timestamp_ms {
            return false;
        }
        if self.start_ms != before.timestamp_ms {
            return self.start_ms > before.timestamp_ms;
        }
        // A sample may be taken to begin where the one before it was taken, as deltas do. Only if that
        // one began at another time, which is known and not after it, something began anew.
        before.start_ms <= before.timestamp_ms
            && before.start_ms != 0
            && before.start_ms != before.timestamp_ms
    }

    /// Whether it began before `before` was taken, yet at another time.
    pub(super) fn overlaps(self, before: Self) -> bool {
        self.start_ms != 0
            && self.start_ms < before.timestamp_ms
            && self.start_ms != before.start_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_tell_resets_and_overlaps() {
        let check = |before: (i64, i64), now: (i64, i64), reset, overlaps| {
            let started = |(start_ms, timestamp_ms)| Started { start_ms, timestamp_ms };
            let (before, now) = (started(before), started(now));
            assert_eq!(
                (now.is_reset_since(before), now.overlaps(before)),
                (reset, overlaps),
                "{before:?} {now:?}"
            );
        };
        check((0, 10), (0, 20), false, false);
        check((5, 10), (5, 20), false, false);
        check((5, 10), (15, 20), true, false);
        check((5, 10), (10, 20), true, false);
        check((0, 10), (10, 20), false, false);
        check((10, 10), (10, 20), false, false);
        check((5, 10), (20, 20), false, false);
        check((5, 10), (7, 20), false, true);
    }
}
