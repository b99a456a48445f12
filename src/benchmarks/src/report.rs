//! Lines on standard output, medians and ratios.

/// One line for the reader.
#[expect(clippy::print_stdout, reason = "a command line tool speaks to its user")]
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// A row: who, minimum, median and maximum of the values, and the median's ratio to the original's.
pub(crate) fn row(name: &str, unit: &str, values: &[f64], original_median: Option<f64>) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(min), Some(max)) = (sorted.first(), sorted.last()) else { return };
    let ratio = original_median
        .map(|original| format!("   {:.3} of the original", median(values) / original))
        .unwrap_or_default();
    line(&format!("{name:<18} {min:>10.2} {:>10.2} {max:>10.2} {unit}{ratio}", median(values)));
}

/// The middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
