//! Graphs of the shapes that break drawings: gaps, NaN, infinities, constants, single points, none.

use super::*;

const STEP_MS: i64 = 60_000;

/// Points one step apart; `None` is a step without a sample.
fn points(values: &[Option<f64>]) -> Vec<Sample> {
    let at = |index: usize| 1_700_000_000_000 + index as i64 * STEP_MS;
    let timed = values.iter().enumerate();
    timed.filter_map(|(i, v)| Some(Sample { timestamp_ms: at(i), value: (*v)? })).collect()
}

fn drawn(lines: &[(&str, Vec<Sample>)], from_zero: bool) -> String {
    drawn_as(lines, from_zero, false)
}

fn drawn_as(lines: &[(&str, Vec<Sample>)], from_zero: bool, is_stacked: bool) -> String {
    let lines: Vec<_> = lines.iter().map(|(name, points)| Line { name, points }).collect();
    let plot = Plot {
        lines: &lines,
        start_ms: 1_700_000_000_000,
        end_ms: 1_700_000_000_000 + 10 * STEP_MS,
        step_ms: STEP_MS,
        from_zero,
        is_stacked,
    };
    draw(&plot, "summary", &|from_ms, to_ms| format!("?from={from_ms}&to={to_ms}"))
}

/// The path commands of the first line.
fn path(values: &[Option<f64>]) -> String {
    let svg = drawn(&[("line", points(values))], false);
    let start = svg.find("<path class=\"c0 d0\" d=\"").unwrap() + 23;
    svg[start..start + svg[start..].find('"').unwrap()].to_owned()
}

fn check(values: &[Option<f64>], expected: &str) {
    assert_eq!(path(values), expected, "{values:?}");
}

#[test]
fn pen_is_lifted_where_there_is_nothing_to_draw() {
    let (nan, inf) = (Some(f64::NAN), Some(f64::INFINITY));
    check(&[], "");
    check(&[Some(1.0)], "M35 142h0");
    check(&[Some(1.0), Some(2.0), Some(1.0)], "M35 264.2L130.1 19.8L225.2 264.2");
    check(&[Some(1.0), None, Some(2.0)], "M35 264.2h0M225.2 19.8h0");
    check(&[Some(1.0), nan, Some(2.0), Some(2.0)], "M35 264.2h0M225.2 19.8L320.3 19.8");
    check(
        &[inf, Some(1.0), inf, Some(2.0), Some(f64::NEG_INFINITY)],
        "M130.1 264.2h0M320.3 19.8h0",
    );
    check(&[nan, nan], "");
}

#[test]
fn huge_and_constant_values_stay_inside() {
    for values in [
        vec![Some(f64::MAX), Some(f64::MIN), Some(0.0)],
        vec![Some(7.0); 11],
        vec![Some(0.0); 3],
        vec![Some(5e-324), Some(0.0)],
    ] {
        let numbers: Vec<f64> = path(&values)
            .replace("h0", "")
            .split(['M', 'L', ' '])
            .filter(|text| !text.is_empty())
            .map(|text| text.parse().unwrap())
            .collect();
        assert!(!numbers.is_empty(), "{values:?}");
        for pair in numbers.chunks(2) {
            assert!((0.0..=WIDTH).contains(&pair[0]), "{values:?} {pair:?}");
            assert!((TOP - 0.1..=HEIGHT - BOTTOM + 0.1).contains(&pair[1]), "{values:?} {pair:?}");
        }
    }
}

#[test]
fn many_points_become_few_without_losing_peaks() {
    let mut values = vec![Some(1.0); 100_000];
    values[50_000] = Some(100.0);
    let all: Vec<Sample> = values
        .iter()
        .enumerate()
        .map(|(i, v)| Sample { timestamp_ms: 1_700_000_000_000 + i as i64 * 6, value: v.unwrap() })
        .collect();
    let svg = drawn(&[("line", all)], true);
    assert!(svg.matches('L').count() < 5_000, "{}", svg.matches('L').count());
    assert!(svg.contains(" 20.2L"), "the peak is drawn");
}

#[test]
fn zero_is_on_the_axis_when_it_is_asked_for() {
    let lines = [("line", points(&[Some(90.0), Some(100.0)]))];
    assert!(!drawn(&lines, false).contains(">0</text>"));
    assert!(drawn(&lines, true).contains(">0</text>"));
}

#[test]
fn text_of_others_is_escaped() {
    let hostile = "x\"><script>alert(1)</script>";
    let svg = drawn(&[(hostile, points(&[Some(1.0), Some(2.0)]))], false);
    assert!(!svg.contains("<script"));
    assert!(svg.contains("&lt;script&gt;"));
    assert!(!svg.contains(" style="));
}

#[test]
fn bands_tell_values_and_lead_closer() {
    let svg = drawn(&[("up{job=\"a\"}", points(&[Some(1.0); 11]))], false);
    assert_eq!(svg.matches("<a tabindex=\"-1\"").count(), 48);
    assert!(svg.contains("href=\"?from=1699999931250&amp;to=1700000081250\""));
    assert!(svg.contains("<title>2023-11-14 22:13:26 UTC\n1  up{job=&quot;a&quot;}</title>"));
    let none = drawn(&[], false);
    assert!(!none.contains("<a "));
}

#[test]
fn stacked_lines_stand_on_each_other() {
    let lines =
        [("a", points(&[Some(1.0), Some(1.0)])), ("b", points(&[Some(2.0), Some(f64::NAN), None]))];
    let svg = drawn_as(&lines, false, true);
    let paths: Vec<&str> = svg
        .lines()
        .filter_map(|line| line.strip_prefix("<path class=\"")?.split_once("\" d=\""))
        .filter(|(class, _)| class.contains('c'))
        .map(|(_, path)| path.strip_suffix("\"/>").unwrap())
        .collect();
    let [b_area, a_area, a, b] = paths.as_slice() else { panic!("{svg}") };
    assert!(b_area.ends_with('Z') && a_area.ends_with('Z'));
    let height = |path: &str| -> f64 {
        let y = path.split(' ').nth(1).unwrap();
        y.split(['L', 'V', 'h']).next().unwrap().parse().unwrap()
    };
    let (floor, one, three) = (274.0, height(a), height(b));
    assert!(((floor - three) / (floor - one) - 3.0).abs() < 0.02, "{floor} {one} {three}");
}
