//! Features beside the original: types and units as labels, and zeros at the times since when series count.

use super::*;
use crate::scraping::bodies::starting_cases;

const TYPES_AND_UNITS: &str =
    "--enable-feature=native-histograms,extra-scrape-metrics,exemplar-storage,type-and-unit-labels";
const ZEROS: &str = "--enable-feature=native-histograms,extra-scrape-metrics,exemplar-storage,created-timestamp-zero-ingestion";

#[test]
fn slow_series_get_the_same_types_and_units() {
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let mut cases = cases();
    // In one body a comment tells the unit of another family: ours is of no unit then.
    cases.retain(|case| !case.name.contains("damaged") && case.name != "openmetrics4");
    let shelf = shelf_of(&cases);
    let jobs = |globals: &str| config(globals, &shelf, &cases);
    let pair = Pair::start(&original, TYPES_AND_UNITS, &jobs);
    let count = (cases.len() * JOBS.len()) as f64;
    pair.wait_for("count(count_over_time(up{job!=\"first\"}[1h]) >= 2)", count);
    let mut differences = Differences::default();
    for (job, _) in JOBS {
        let unlike = if matches!(job, "convert" | "both") { UNLIKE_CONVERSIONS } else { "none" };
        let of_job = format!("job=\"{job}\",case!~\"({unlike}).*\"");
        let names = "__name__!~\"scrape_(duration_seconds|series_added|samples_.*)\"";
        differences.compare(&pair, &format!("last_over_time({{{of_job},{names}}}[1h])"), &[]);
    }
    let typed = format!(
        "count by (case, job, __type__, __unit__) ({{job!=\"first\", __type__!=\"\", case!~\"({UNLIKE_CONVERSIONS}).*\"}})"
    );
    differences.compare(&pair, &typed, &[]);
    // Queries treat these labels as they treat the name.
    let of_one_name =
        "a{job=\"plain\", case=~\"text15|families.*\", __type__=~\"counter|gauge|summary\"}";
    for query in ["rate(%[1h])", "% + 1", "-%", "sum by (__type__) (%)", "% == %"] {
        differences.compare(&pair, &query.replace('%', of_one_name), &[]);
    }
    differences.assert_none();
}

#[test]
fn slow_series_begin_with_the_same_zeros_also_after_a_restart() {
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let began_ms = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let cases = starting_cases(began_ms);
    let shelf = shelf_of(&cases);
    // Version 3.5 does not scrape jobs that convert while it stores zeros; its changelog names what has changed under
    // 3.8: "Allow simultaneous use of classic histogram -> NHCB conversion and zero-timestamp ingestion" (#17305).
    let is_common = |job: &str| !matches!(job, "convert" | "both");
    let jobs = |globals: &str| config_of(globals, &shelf, &cases, &is_common);
    let mut pair = Pair::start(&original, ZEROS, &jobs);
    let count = (cases.len() * JOBS.iter().filter(|(job, _)| is_common(job)).count()) as f64;
    pair.wait_for("count(count_over_time(up{job!=\"first\"}[1h]) >= 2)", count);
    // What is older than the test can only be zeros.
    let zeros = format!("{{job=~\".+\",case!=\"\"}}[1h] @ {}", began_ms / 1000);
    let all = "last_over_time({case!=\"\",__name__!~\"scrape_(duration_seconds|series_added|samples_.*)\"}[1h])";
    for _ in 0..2 {
        for expression in [&zeros, all] {
            let mut differences = Differences::default();
            differences.compare(&pair, expression, &[]);
            differences.assert_none();
        }
        pair.ours.stop();
        pair.ours.restart();
    }
}
