//! Where answers of the installed release and of the one that is followed here may differ: a change of the
//! original with its release and number, or what is by chance there.

use std::collections::BTreeSet;

use super::{
    answer::{Answer, Point, differences, differences_within},
    random::Over,
};

/// Which two of several duplicates are named is by chance in the original: its operations collect their
/// results in a map. In a range query so is the group that they are of.
pub(super) fn without_pair(mut answer: Answer, is_range: bool) -> Answer {
    let Some((_, text)) = &mut answer.error else { return answer };
    if let Some((before, after)) = text.split_once(": [{")
        && let Some((_, after)) = after.split_once("}];")
    {
        *text = format!("{before}: [];{after}");
    }
    if is_range
        && let Some((before, after)) = text.split_once("for the match group {")
        && let Some((_, after)) = after.split_once("} on the ")
    {
        *text = format!("{before}for a match group on the {after}");
    }
    answer
}

/// Why an answer of the installed release may differ from what is followed here: an entry of the
/// original's changelog.
pub(super) fn excuse(query: &str, ours: &Answer, theirs: &Answer) -> Option<&'static str> {
    if has_remark(ours, MIXED_SCHEMAS) && !has_remark(theirs, MIXED_SCHEMAS) {
        let counted = ["histogram_count(", "histogram_sum(", "histogram_avg("];
        if counted.iter().any(|name| query.contains(name)) {
            return Some("3.12.0: warnings of mixed schemas where buckets are not read (#18660)");
        }
    }
    remarks(query, ours, theirs)
        .or_else(|| errors(query, ours, theirs))
        .or_else(|| values(query, ours, theirs))
}

/// Operations that both sides leave to a library of the language; powers, and quantiles and fractions of
/// exponential buckets, which are powers of two.
const OF_LIBRARIES: [&str; 22] = [
    "exp(",
    "ln(",
    "log2(",
    "log10(",
    "sin(",
    "cos(",
    "tan(",
    "asin(",
    "acos(",
    "atan(",
    "sinh(",
    "cosh(",
    "tanh(",
    "asinh(",
    "acosh(",
    "atanh(",
    " atan2 ",
    " ^ ",
    "histogram_quantile(",
    "histogram_fraction(",
    "histogram_stddev(",
    "histogram_stdvar(",
];

/// Why values may differ in their last places, by no more than a millionth of a millionth; nothing where
/// they may not differ at all.
pub(super) fn rounding(over: Over, query: &str) -> Option<&'static str> {
    let has = |parts: &[&str]| parts.iter().any(|part| query.contains(part));
    if has(&OF_LIBRARIES) {
        return Some("by machine: functions of a library");
    }
    if over == Over::Native && has(&["sum", "avg"]) {
        return Some("3.11.0: histograms are summed with compensation (#15687, #18252)");
    }
    let is_collected = has(&[") ", " or ", " and ", " unless "]);
    if is_collected && has(&["stddev", "stdvar", "avg", "sum"]) {
        return Some("by chance: summed in the order of a map");
    }
    None
}

/// Whether a histogram has other samples in its buckets than it counts. Asked again the installed release
/// answers otherwise: it reuses buckets that it has not done with.
pub(super) fn contradicts_itself(answer: &Answer) -> bool {
    let points = answer.series.iter().flat_map(|(_, points)| points);
    points.into_iter().any(|(_, point)| {
        let Point::Histogram(numbers) = point else { return false };
        let (count, buckets) = (numbers[0], numbers.get(2..).unwrap_or_default());
        let counted: f64 = buckets.chunks_exact(4).map(|bucket| bucket[3]).sum();
        (counted - count).abs() > 1e-9 * count.abs()
    })
}

/// What deviations of large numbers may lose.
const LOSS_TOLERANCE: f64 = 1e-3;

/// Whether series stay in the order of the storage all the way.
fn is_plain(query: &str) -> bool {
    !query.contains(") ") && !query.contains(", ")
}

/// Answers whose values differ, or their labels.
fn values(query: &str, ours: &Answer, theirs: &Answer) -> Option<&'static str> {
    if has_remark(ours, RECONCILED) || has_remark(theirs, "incompatible custom buckets") {
        return Some("3.8.0: mismatched custom bounds are reconciled (#17278)");
    }
    let fractions = ["histogram_fraction", "classic_bucket"];
    if fractions.iter().all(|part| query.contains(part)) {
        return Some("3.8.0: lower bound in the first bucket of a fraction (#17424)");
    }
    let tops = ["topk", "bottomk", "limitk", "sort"];
    let is_top = tops.iter().any(|name| query.contains(name));
    if is_top && (query.contains("count_values") || !is_plain(query)) {
        return Some(
            "by chance: which of equal values is taken after operations that collect in a map",
        );
    }
    if query.contains("queue") && (query.contains("rate") || query.contains("increase")) {
        return Some("3.6.0: extrapolation of counter histograms to zero (#16828)");
    }
    let points_count =
        |answer: &Answer| answer.series.iter().map(|(_, points)| points.len()).sum::<usize>();
    let (own_count, their_count) = (points_count(ours), points_count(theirs));
    let is_near = own_count.abs_diff(their_count) <= own_count / 20;
    if query.contains("count_values") && own_count > 0 && is_near {
        // Sums of histograms are rounded otherwise since 3.11.0, too (#15687).
        return Some("by machine: values that differ in the last place are other labels");
    }
    if query.contains("stddev") || query.contains("stdvar") {
        return differences_within(ours, theirs, LOSS_TOLERANCE)
            .is_ok()
            .then_some("by chance: deviations of large values, summed in the order of a map");
    }
    None
}

/// Whether a remark of either kind has this text.
fn has_remark(answer: &Answer, text: &str) -> bool {
    answer.warnings.iter().chain(&answer.infos).any(|remark| remark.contains(text))
}

const MIXED_SCHEMAS: &str = "a mix of histograms with exponential and custom";
const RECONCILED: &str = "mismatched custom buckets were reconciled";

/// Answers of which only the remarks differ.
fn remarks(query: &str, ours: &Answer, theirs: &Answer) -> Option<&'static str> {
    let bare =
        |answer: &Answer| Answer { infos: Vec::new(), warnings: Vec::new(), ..answer.clone() };
    differences(&bare(ours), &bare(theirs)).ok()?;
    if differences(ours, theirs).is_ok() {
        return None;
    }
    let are_equal = |of: &dyn Fn(&str) -> Option<String>| {
        let texts = |answer: &Answer| -> BTreeSet<String> {
            answer.warnings.iter().chain(&answer.infos).filter_map(|text| of(text)).collect()
        };
        texts(ours) == texts(theirs)
    };
    let not_later = |text: &str| {
        let is_later = text.contains("conflicting counter resets during");
        (!is_later).then(|| text.to_owned())
    };
    if are_equal(&not_later) {
        return Some("3.7.0: warnings of counter reset conflicts (#17051, #17094)");
    }
    if are_equal(&|text| not_later(text).map(|text| without_name(&text))) {
        return Some("3.7.0: no metric name in the warning of a missing bucket label (#16794)");
    }
    let bare = |text: &str| not_later(text).map(|text| without_place(&without_name(&text)));
    let all = |answer: &Answer| -> BTreeSet<String> {
        answer.warnings.iter().chain(&answer.infos).filter_map(|text| bare(text)).collect()
    };
    if query.contains(':') && all(ours).is_subset(&all(theirs)) && all(ours) != all(theirs) {
        return Some("3.13.0: a subquery is not evaluated behind its end (#18081)");
    }
    if !are_equal(&bare) {
        return None;
    }
    if has_remark(theirs, " for metric name ") && has_remark(theirs, "bucket label") {
        return Some("3.7.0: no metric name in the warning of a missing bucket label (#16794)");
    }
    query.contains(':').then_some("3.7.0: remarks about a subquery tell its place (#16896)")
}

fn without_name(text: &str) -> String {
    match text.split_once(" for metric name ") {
        Some((before, after)) => {
            format!("{before} {}", after.split_once("\" ").map_or("", |(_, place)| place))
        }
        None => text.to_owned(),
    }
}

fn without_place(text: &str) -> String {
    text.rsplit_once(" (").map_or(text, |(before, _)| before).to_owned()
}

/// Answers of which one is an error, or both are.
fn errors(query: &str, ours: &Answer, theirs: &Answer) -> Option<&'static str> {
    let error = |answer: &Answer| answer.error.clone().unwrap_or_default().1;
    let (our_error, their_error) = (error(ours), error(theirs));
    let is_of_duration =
        |text: &str| ["duration", "expected ':'"].iter().any(|part| text.contains(part));
    if is_of_duration(&our_error) || is_of_duration(&their_error) {
        return Some("3.14.0: durations may be expressions (#19033)");
    }
    let is_of_bound = our_error.ends_with(" is not enabled") || their_error.ends_with("\"(\"");
    if is_of_bound && (query.contains("start()") || query.contains("end()")) {
        return Some("3.12.0: start() and end() are functions (#17877)");
    }
    if their_error.contains("<Item ") {
        return Some("3.8.0: the at sign has a name in errors (#17380)");
    }
    if our_error.starts_with("multiple matches for labels") {
        return Some("3.9.0: a pair that a comparison drops is still a match (#17668)");
    }
    let is_duplicate = |text: &str| text.starts_with("found duplicate series for");
    if is_duplicate(&our_error) && is_duplicate(&their_error) {
        if query.contains("count_values") {
            return Some("by plan: counted values are computed before other operands");
        }
        return query.contains(':').then_some("by chance: which group is named in a subquery");
    }
    let is_collision = their_error == "vector cannot contain metrics with the same labelset";
    if is_collision && (query.contains("label_replace") || query.contains("label_join")) {
        return Some("3.9.0: series that labels make equal are one unless they meet (#17703)");
    }
    if is_collision && our_error.is_empty() && query.contains(':') {
        return Some("3.13.0: a subquery is not evaluated behind its end (#18081)");
    }
    None
}
