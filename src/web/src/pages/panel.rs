//! What one panel of the query page shows, as it stands in the address: read with all spellings that
//! Prometheus's pages have used, written with one. It asks nothing and draws nothing.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prom_model::{format_duration, parse_duration};

use super::scale::utc_text;
use crate::api::{
    form::Form,
    params::{parse_duration_ms, parse_time},
};

/// Panels of one page; each is a query.
pub(super) const PANELS_MAX: usize = 32;

const DEFAULT_RANGE_MS: i64 = 3_600_000;
const RANGE_MIN_MS: i64 = 1_000;
const RANGE_MAX_MS: i64 = 100 * 365 * 86_400_000;

/// Ranges that the page offers.
pub(super) const RANGES: [(&str, i64); 12] = [
    ("5m", 300_000),
    ("15m", 900_000),
    ("30m", 1_800_000),
    ("1h", 3_600_000),
    ("3h", 10_800_000),
    ("6h", 21_600_000),
    ("12h", 43_200_000),
    ("1d", 86_400_000),
    ("2d", 172_800_000),
    ("1w", 604_800_000),
    ("4w", 2_419_200_000),
    ("1y", 31_536_000_000),
];

/// Times as people type them, beside what the API takes; all are UTC.
const TIME_FORMATS: [&str; 4] =
    ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"];

/// What a value in a query part may hold as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How many points an automatic step aims at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Density {
    Low,
    #[default]
    Medium,
    High,
}

/// The state of one panel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PanelState {
    pub(super) expr: String,
    pub(super) is_graph: bool,
    pub(super) range_ms: i64,
    /// The end of the graph; now if none.
    pub(super) end_ms: Option<i64>,
    /// The time of the table; now if none.
    pub(super) moment_ms: Option<i64>,
    /// The distance of points; automatic if none.
    pub(super) step_ms: Option<i64>,
    pub(super) density: Density,
    /// The value axis reaches zero.
    pub(super) from_zero: bool,
    /// Lines stand on each other.
    pub(super) is_stacked: bool,
}

impl Default for PanelState {
    fn default() -> Self {
        Self {
            expr: String::new(),
            is_graph: false,
            range_ms: DEFAULT_RANGE_MS,
            end_ms: None,
            moment_ms: None,
            step_ms: None,
            density: Density::Medium,
            from_zero: false,
            is_stacked: false,
        }
    }
}

/// Reads all panels of an address, one empty panel if there is none. Values that mean nothing count as
/// not given: an old link should show what it can.
pub(super) fn read_panels(form: &Form) -> Vec<PanelState> {
    let is_there = |index: usize| {
        let prefix = format!("g{index}.");
        form.pairs().any(|(name, _)| name.starts_with(&prefix))
    };
    let mut panels = Vec::new();
    while panels.len() < PANELS_MAX && is_there(panels.len()) {
        panels.push(read_panel(form, panels.len()));
    }
    if panels.is_empty() {
        panels.push(PanelState::default());
    }
    panels
}

/// The query part of the address that shows these panels.
pub(super) fn write_panels(panels: &[PanelState]) -> String {
    let mut query = String::new();
    for (index, panel) in panels.iter().enumerate() {
        for (key, value) in panel.pairs() {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(&format!("g{index}.{key}="));
            query.extend(utf8_percent_encode(&value, PLAIN));
        }
    }
    query
}

fn read_panel(form: &Form, index: usize) -> PanelState {
    let field = |key: &str| form.last_value(&format!("g{index}.{key}"));
    let duration = |key: &str| parse_duration_ms(field(key)).ok().filter(|ms| *ms > 0);
    let density = match field("res_density") {
        "low" => Density::Low,
        "high" => Density::High,
        _ => Density::Medium,
    };
    let step_ms = match field("res_type") {
        "auto" => None,
        "fixed" | "custom" => duration("res_step").or_else(|| duration("step_input")),
        _ => duration("step_input"),
    };
    PanelState {
        expr: field("expr").to_owned(),
        // `0` and `1` are the tabs of Prometheus 2's first pages.
        is_graph: matches!(field("tab"), "graph" | "0"),
        range_ms: parse_duration(field("range_input"))
            .ok()
            .or_else(|| duration("range_input"))
            .unwrap_or(DEFAULT_RANGE_MS)
            .clamp(RANGE_MIN_MS, RANGE_MAX_MS),
        end_ms: read_time(field("end_input")),
        moment_ms: read_time(field("moment_input")),
        step_ms,
        density,
        from_zero: field("y_axis_min") == "0",
        is_stacked: field("display_mode") == "stacked" || field("stacked") == "1",
    }
}

/// A time as people type it or as the API takes it; none for "now" and for what is no time.
fn read_time(text: &str) -> Option<i64> {
    let text = text.trim();
    let typed = TIME_FORMATS.iter().find_map(|format| {
        let time = jiff::civil::DateTime::strptime(format, text).ok()?;
        Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
    });
    typed.or_else(|| parse_time(text).ok())
}

fn time_text(time_ms: Option<i64>) -> String {
    time_ms.map(|ms| utc_text(ms, "%Y-%m-%d %H:%M:%S")).unwrap_or_default()
}

impl PanelState {
    /// The distance of points in force, in milliseconds: whole seconds if it is automatic, and never
    /// more points than a query may have.
    pub(super) fn effective_step_ms(&self) -> i64 {
        let fewest_ms = self.range_ms / crate::api::RANGE_POINTS_MAX + 1;
        self.step_ms.unwrap_or_else(|| self.auto_step_ms()).max(fewest_ms)
    }

    fn auto_step_ms(&self) -> i64 {
        let points = match self.density {
            Density::Low => 100,
            Density::Medium => 250,
            Density::High => 750,
        };
        (self.range_ms / points / 1000).max(1) * 1000
    }

    pub(super) fn tab_name(&self) -> &'static str {
        if self.is_graph { "graph" } else { "table" }
    }

    pub(super) fn range_text(&self) -> String {
        format_duration(self.range_ms)
    }

    pub(super) fn end_text(&self) -> String {
        time_text(self.end_ms)
    }

    pub(super) fn moment_text(&self) -> String {
        time_text(self.moment_ms)
    }

    pub(super) fn step_text(&self) -> String {
        self.step_ms.map(format_duration).unwrap_or_default()
    }

    pub(super) fn auto_step_text(&self) -> String {
        format!("auto ({})", format_duration(self.auto_step_ms()))
    }

    /// Keys and values of what differs from a fresh panel; expression and tab always.
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("expr", self.expr.clone()), ("tab", self.tab_name().to_owned())];
        pairs.extend(self.graph_pairs());
        pairs.extend(self.moment_pairs());
        pairs.extend(self.density_pairs());
        pairs
    }

    /// What the form has no visible field for on this tab, so that it is not lost.
    pub(super) fn hidden_fields(&self, is_graph: &bool) -> Vec<(&'static str, String)> {
        let mut pairs = if *is_graph { self.moment_pairs() } else { self.graph_pairs() };
        pairs.extend(self.density_pairs());
        pairs
    }

    fn graph_pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        if self.range_ms != DEFAULT_RANGE_MS {
            pairs.push(("range_input", self.range_text()));
        }
        if self.end_ms.is_some() {
            pairs.push(("end_input", self.end_text()));
        }
        if self.step_ms.is_some() {
            pairs.push(("step_input", self.step_text()));
        }
        if self.from_zero {
            pairs.push(("y_axis_min", "0".to_owned()));
        }
        if self.is_stacked {
            pairs.push(("display_mode", "stacked".to_owned()));
        }
        pairs
    }

    fn moment_pairs(&self) -> Vec<(&'static str, String)> {
        self.moment_ms.iter().map(|_| ("moment_input", self.moment_text())).collect()
    }

    fn density_pairs(&self) -> Vec<(&'static str, String)> {
        let density = match self.density {
            Density::Low => "low",
            Density::Medium => return Vec::new(),
            Density::High => "high",
        };
        vec![("res_density", density.to_owned())]
    }

    /// The same panel over `range_ms` around the middle of what it shows; an end near now stays now.
    pub(super) fn zoomed(&self, range_ms: i64, now_ms: i64) -> Self {
        let range_ms = range_ms.clamp(RANGE_MIN_MS, RANGE_MAX_MS);
        let end_ms = self.end_ms.map(|end_ms| {
            let middle_ms = end_ms.saturating_sub(self.range_ms / 2);
            middle_ms.saturating_add(range_ms / 2)
        });
        let end_ms = end_ms.filter(|end_ms| *end_ms < now_ms);
        Self { range_ms, end_ms, ..self.clone() }
    }

    /// The same panel from `from_ms` to `to_ms`, in whole seconds, with an automatic step.
    pub(super) fn focused(&self, from_ms: i64, to_ms: i64) -> Self {
        let range_ms = to_ms.saturating_sub(from_ms).max(RANGE_MIN_MS) / 1000 * 1000;
        let end_ms = Some(from_ms.div_euclid(1000).saturating_mul(1000).saturating_add(range_ms));
        Self { range_ms, end_ms, step_ms: None, ..self.clone() }
    }

    /// The same panel, earlier (negative) or later by half a range, or an hour of the table.
    pub(super) fn moved(&self, direction: i64, now_ms: i64) -> Self {
        const TABLE_STEP_MS: i64 = 3_600_000;
        let (time_ms, by_ms) = match self.is_graph {
            true => (self.end_ms, self.range_ms / 2),
            false => (self.moment_ms, TABLE_STEP_MS),
        };
        let time_ms = time_ms.unwrap_or(now_ms).saturating_add(direction * by_ms);
        match self.is_graph {
            true => Self { end_ms: Some(time_ms), ..self.clone() },
            false => Self { moment_ms: Some(time_ms), ..self.clone() },
        }
    }

    /// The same panel at this moment.
    pub(super) fn at_now(&self) -> Self {
        match self.is_graph {
            true => Self { end_ms: None, ..self.clone() },
            false => Self { moment_ms: None, ..self.clone() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Vec<PanelState> {
        read_panels(&Form::parse(&[], Some(query)))
    }

    /// What an address reads as, in the spelling that is written.
    fn check(query: &str, expected: &str) {
        assert_eq!(write_panels(&read(query)), expected, "{query}");
        assert_eq!(write_panels(&read(&expected[1..])), expected, "written form of {query}");
    }

    #[test]
    fn links_of_all_ages_are_read() {
        check("", "?g0.expr=&g0.tab=table");
        check("g0.expr=up&g0.tab=1", "?g0.expr=up&g0.tab=table");
        check("g0.expr=up&g0.tab=0", "?g0.expr=up&g0.tab=graph");
        check(
            "g0.expr=rate(x%5B5m%5D)&g0.tab=graph&g0.stacked=0&g0.range_input=2h&g0.end_input=2024-01-02%2003:04:05",
            "?g0.expr=rate%28x%5B5m%5D%29&g0.tab=graph&g0.range_input=2h&g0.end_input=2024-01-02%2003%3A04%3A05",
        );
        check(
            "g0.expr=a&g0.end_input=2024-01-02%2003:04&g0.moment_input=1704164645",
            "?g0.expr=a&g0.tab=table&g0.end_input=2024-01-02%2003%3A04%3A00&g0.moment_input=2024-01-02%2003%3A04%3A05",
        );
        check(
            "g0.expr=a&g0.step_input=15&g1.expr=b&g1.res_type=fixed&g1.res_step=60&g2.res_type=auto&g2.res_density=high",
            "?g0.expr=a&g0.tab=table&g0.step_input=15s&g1.expr=b&g1.tab=table&g1.step_input=1m&g2.expr=&g2.tab=table&g2.res_density=high",
        );
        check("g0.expr=a&g2.expr=b", "?g0.expr=a&g0.tab=table");
        check(
            "g0.range_input=junk&g0.end_input=junk&g0.step_input=-1&g0.tab=junk",
            "?g0.expr=&g0.tab=table",
        );
        check(
            "g0.expr=a&g0.stacked=1&g1.expr=b&g1.display_mode=stacked&g1.tab=graph",
            "?g0.expr=a&g0.tab=table&g0.display_mode=stacked&g1.expr=b&g1.tab=graph&g1.display_mode=stacked",
        );
        check("g0.expr=x&g0.tab=table&g0.tab=graph", "?g0.expr=x&g0.tab=graph");
        check(
            "g0.expr=%22%3Cscript%3E&g0.y_axis_min=0",
            "?g0.expr=%22%3Cscript%3E&g0.tab=table&g0.y_axis_min=0",
        );
    }

    #[test]
    fn panels_have_a_limit() {
        let query: Vec<_> = (0..100).map(|index| format!("g{index}.expr=up")).collect();
        assert_eq!(read(&query.join("&")).len(), PANELS_MAX);
    }

    #[test]
    fn steps_follow_range_and_density() {
        let step = |query: &str| read(query)[0].effective_step_ms();
        assert_eq!(step("g0.range_input=1h"), 14_000);
        assert_eq!(step("g0.range_input=1h&g0.res_density=low"), 36_000);
        assert_eq!(step("g0.range_input=1h&g0.res_density=high"), 4_000);
        assert_eq!(step("g0.range_input=5s"), 1_000);
        assert_eq!(step("g0.range_input=1w&g0.step_input=1"), 604_800_000 / 11_000 + 1);
    }

    #[test]
    fn moving_and_zooming() {
        let now_ms = 1_700_000_000_000;
        let panel = PanelState { is_graph: true, ..PanelState::default() };
        assert_eq!(panel.moved(-1, now_ms).end_ms, Some(now_ms - DEFAULT_RANGE_MS / 2));
        assert_eq!(panel.moved(-1, now_ms).at_now(), panel);
        assert_eq!(panel.zoomed(60_000, now_ms).end_ms, None);
        let past = PanelState { end_ms: Some(now_ms - 7_200_000), ..panel.clone() };
        assert_eq!(past.zoomed(1_800_000, now_ms).end_ms, Some(now_ms - 8_100_000));
        assert_eq!(past.zoomed(i64::MAX, now_ms).end_ms, None);
        let close = past.focused(1_000_500, 1_062_700);
        assert_eq!((close.range_ms, close.end_ms), (62_000, Some(1_062_000)));
        let table = PanelState::default();
        assert_eq!(table.moved(1, now_ms).moment_ms, Some(now_ms + 3_600_000));
    }
}
