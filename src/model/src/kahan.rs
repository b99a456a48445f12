//! Sums that keep what rounding takes from them. Operations happen in the order of the reference.

/// A running sum and what rounding has taken from it (Neumaier's variant of Kahan's sum).
/// Compat: Prometheus `util/kahansum/kahansum.go`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KahanSum {
    pub sum: f64,
    pub compensation: f64,
}

impl KahanSum {
    /// Adds `value`.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.compensation = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.compensation += (self.sum - total) + value;
        } else {
            self.compensation += (value - total) + self.sum;
        }
        self.sum = total;
    }

    /// The sum with its compensation.
    pub fn total(self) -> f64 {
        self.sum + self.compensation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compensation_survives_large_terms() {
        let mut sum = KahanSum::default();
        [1.0, 1e100, 1.0, -1e100].into_iter().for_each(|value| sum.add(value));
        assert_eq!(sum.total(), 2.0);
        let mut sum = KahanSum::default();
        [f64::MAX, f64::MAX, 1.0].into_iter().for_each(|value| sum.add(value));
        assert_eq!(sum.total(), f64::INFINITY);
    }
}
