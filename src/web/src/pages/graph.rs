//! Series as an SVG line graph: pure text out of columns, without a script and without a style attribute.
//! Colours, dashes and fonts stand in the style sheet; here are only classes and coordinates.

use std::collections::HashMap;

use prom_model::{Sample, format_float};

use super::scale::{ValueScale, time_ticks, utc_text};
use crate::markup::push_escaped;

/// Size of the drawing; the page scales it.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 300.0;
const TOP: f64 = 10.0;
const RIGHT: f64 = 14.0;
const BOTTOM: f64 = 26.0;
/// Width of one character of a tick's text, roughly.
const CHAR_WIDTH: f64 = 7.0;

/// Colours and dashes of the style sheet: coprime, so that 40 series differ in one of them.
const COLORS: usize = 8;
const DASHES: usize = 5;

/// Vertical zones that show the values under the pointer and lead to a closer look.
const BANDS: i64 = 48;
/// Values told by one zone.
const BAND_VALUES_MAX: usize = 12;

/// One line of a graph, its points in order of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) points: &'a [Sample],
}

/// What a graph shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plot<'a> {
    pub(crate) lines: &'a [Line<'a>],
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// Points further apart than this are not connected.
    pub(crate) step_ms: i64,
    /// Whether the value axis reaches down (or up) to zero.
    pub(crate) from_zero: bool,
    /// Whether each line stands on the sum of those before it, as an area.
    pub(crate) is_stacked: bool,
}

/// The classes that colour and dash the line at `index`, in the graph and in its legend.
pub(crate) fn line_class(index: usize) -> String {
    format!("c{} d{}", index % COLORS, index % DASHES)
}

/// Draws the graph. `zoom` gives the address for a closer look at a span of time.
pub(crate) fn draw(plot: &Plot<'_>, summary: &str, zoom: &dyn Fn(i64, i64) -> String) -> String {
    let sums = if plot.is_stacked { stacked(plot.lines) } else { Vec::new() };
    let own = plot.lines.iter().map(|line| line.points);
    let drawn: Vec<&[Sample]> = match plot.is_stacked {
        true => sums.iter().map(Vec::as_slice).collect(),
        false => own.collect(),
    };
    let frame = Frame::new(plot, &drawn);
    let mut svg = String::with_capacity(16 * 1024);
    svg.push_str(
        "<svg class=\"graph\" viewBox=\"0 0 1000 300\" role=\"img\" aria-label=\"Graph\">\n<desc>",
    );
    push_escaped(&mut svg, summary);
    svg.push_str("</desc>\n");
    push_axes(&mut svg, &frame);
    svg.push_str("<g class=\"lines\">\n");
    if plot.is_stacked {
        // The largest sums first: each area covers what is below its own sum.
        for (index, points) in drawn.iter().enumerate().rev() {
            push_path(&mut svg, &frame, points, &format!("area {}", line_class(index)), true);
        }
    }
    for (index, points) in drawn.iter().enumerate() {
        push_path(&mut svg, &frame, points, &line_class(index), false);
    }
    svg.push_str("</g>\n<g class=\"bands\">\n");
    push_bands(&mut svg, &frame, plot, zoom);
    svg.push_str("</g>\n</svg>");
    svg
}

/// Where times and values lie in the drawing.
struct Frame {
    scale: ValueScale,
    start_ms: i64,
    end_ms: i64,
    left: f64,
    /// Points further apart than this are not connected.
    gap_ms: i64,
}

impl Frame {
    fn new(plot: &Plot<'_>, drawn: &[&[Sample]]) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for point in drawn.iter().copied().flatten() {
            if point.value.is_finite() {
                (low, high) = (low.min(point.value), high.max(point.value));
            }
        }
        if (plot.from_zero || plot.is_stacked) && low <= high {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        let scale = ValueScale::new(low, high);
        let chars = scale.ticks.iter().map(|tick| tick.text.len()).max().unwrap_or(0);
        let left = 14.0 + CHAR_WIDTH * chars as f64;
        Self {
            scale,
            start_ms: plot.start_ms,
            end_ms: plot.end_ms.max(plot.start_ms),
            left,
            gap_ms: plot.step_ms.saturating_add(plot.step_ms / 2),
        }
    }

    fn x(&self, at_ms: i64) -> f64 {
        let span = (self.end_ms as f64 - self.start_ms as f64).max(1.0);
        let fraction = (at_ms as f64 - self.start_ms as f64) / span;
        self.left + fraction.clamp(0.0, 1.0) * (WIDTH - RIGHT - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        let fraction = self.scale.fraction(value).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - fraction * (HEIGHT - BOTTOM - TOP)
    }
}

fn push_axes(svg: &mut String, frame: &Frame) {
    let times = time_ticks(frame.start_ms, frame.end_ms);
    svg.push_str("<path class=\"grid\" d=\"");
    for tick in &frame.scale.ticks {
        push_point(svg, 'M', frame.left, frame.y(tick.at));
        push_coordinate(svg, 'H', WIDTH - RIGHT);
    }
    for tick in &times {
        push_point(svg, 'M', frame.x(tick.at), TOP);
        push_coordinate(svg, 'V', HEIGHT - BOTTOM);
    }
    svg.push_str("\"/>\n<path class=\"axis\" d=\"");
    push_point(svg, 'M', frame.left, TOP);
    push_coordinate(svg, 'V', HEIGHT - BOTTOM);
    push_coordinate(svg, 'H', WIDTH - RIGHT);
    svg.push_str("\"/>\n<g class=\"ticks\">\n");
    for tick in frame.scale.ticks.iter().rev() {
        push_text(svg, "y", frame.left - 8.0, frame.y(tick.at) + 4.0, &tick.text);
    }
    for tick in &times {
        let x = frame.x(tick.at).clamp(frame.left + 8.0, WIDTH - 34.0);
        push_text(svg, "x", x, HEIGHT - 8.0, &tick.text);
    }
    svg.push_str("</g>\n");
}

fn push_text(svg: &mut String, class: &str, x: f64, y: f64, text: &str) {
    svg.push_str("<text class=\"");
    svg.push_str(class);
    push_attribute(svg, "\" x=\"", x);
    push_attribute(svg, "\" y=\"", y);
    svg.push_str("\">");
    push_escaped(svg, text);
    svg.push_str("</text>\n");
}

/// The sums of each line and all before it, at the times where it has a value.
fn stacked(lines: &[Line<'_>]) -> Vec<Vec<Sample>> {
    let mut sums: HashMap<i64, f64> = HashMap::new();
    let mut add = |point: &Sample| {
        let sum = sums.entry(point.timestamp_ms).or_default();
        if point.value.is_finite() {
            *sum += point.value;
        }
        Sample { timestamp_ms: point.timestamp_ms, value: *sum }
    };
    lines.iter().map(|line| line.points.iter().map(&mut add).collect()).collect()
}

/// One path; a gap, a NaN or an infinity lifts the pen. A lone point is a stroke of no length, which
/// the round line cap of the style sheet shows as a dot. An area is closed along zero.
fn push_path(svg: &mut String, frame: &Frame, points: &[Sample], class: &str, is_area: bool) {
    svg.push_str("<path class=\"");
    svg.push_str(class);
    svg.push_str("\" d=\"");
    let mut pen = Pen { floor: is_area.then(|| frame.y(0.0)), ..Pen::default() };
    let mut previous_ms: Option<i64> = None;
    for &Sample { timestamp_ms: at_ms, value } in points {
        if !value.is_finite() {
            pen.lift(svg);
            previous_ms = None;
            continue;
        }
        if previous_ms.is_some_and(|previous| at_ms.saturating_sub(previous) > frame.gap_ms) {
            pen.lift(svg);
        }
        previous_ms = Some(at_ms);
        pen.to(svg, frame.x(at_ms), frame.y(value));
    }
    pen.lift(svg);
    svg.push_str("\"/>\n");
}

/// Writes path commands, at most four points for each unit of width: first, lowest, highest and last.
#[derive(Default)]
struct Pen {
    /// Where an area is closed.
    floor: Option<f64>,
    start_x: f64,
    is_down: bool,
    drawn: usize,
    column: Vec<(f64, f64)>,
}

impl Pen {
    fn to(&mut self, svg: &mut String, x: f64, y: f64) {
        let is_same_column = self.column.first().is_some_and(|first| x - first.0 < 1.0);
        if !is_same_column {
            self.flush(svg);
        }
        self.column.push((x, y));
    }

    fn lift(&mut self, svg: &mut String) {
        self.flush(svg);
        match self.floor {
            Some(floor) if self.is_down => {
                push_coordinate(svg, 'V', floor);
                push_coordinate(svg, 'H', self.start_x);
                svg.push('Z');
            }
            None if self.is_down && self.drawn == 1 => svg.push_str("h0"),
            _ => {}
        }
        self.is_down = false;
        self.drawn = 0;
    }

    fn flush(&mut self, svg: &mut String) {
        let points = std::mem::take(&mut self.column);
        let by_y = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let lowest = points.iter().min_by(by_y).copied();
        let highest = points.iter().max_by(by_y).copied();
        for (index, point) in points.iter().enumerate() {
            let is_edge = index == 0 || index + 1 == points.len();
            if is_edge || Some(*point) == lowest || Some(*point) == highest {
                if !self.is_down {
                    self.start_x = point.0;
                }
                push_point(svg, if self.is_down { 'L' } else { 'M' }, point.0, point.1);
                self.is_down = true;
                self.drawn += 1;
            }
        }
    }
}

fn push_bands(svg: &mut String, frame: &Frame, plot: &Plot<'_>, zoom: &dyn Fn(i64, i64) -> String) {
    let span_ms = frame.end_ms.saturating_sub(frame.start_ms);
    if span_ms < BANDS || plot.lines.iter().all(|line| line.points.is_empty()) {
        return;
    }
    let band_ms = span_ms / BANDS;
    for band in 0..BANDS {
        let from_ms = frame.start_ms + band * band_ms;
        let middle_ms = from_ms + band_ms / 2;
        let (from, to) = (frame.x(from_ms), frame.x(from_ms + band_ms));
        svg.push_str("<a tabindex=\"-1\" href=\"");
        push_escaped(svg, &zoom(middle_ms - span_ms / 8, middle_ms + span_ms / 8));
        push_attribute(svg, "\"><rect x=\"", from);
        push_attribute(svg, "\" y=\"", TOP);
        push_attribute(svg, "\" width=\"", to - from);
        push_attribute(svg, "\" height=\"", HEIGHT - BOTTOM - TOP);
        svg.push_str("\"/><path d=\"");
        push_point(svg, 'M', frame.x(middle_ms), TOP);
        push_coordinate(svg, 'V', HEIGHT - BOTTOM);
        svg.push_str("\"/><title>");
        svg.push_str(&utc_text(middle_ms, "%Y-%m-%d %H:%M:%S UTC"));
        push_band_values(svg, plot, middle_ms);
        svg.push_str("</title></a>\n");
    }
}

/// The value of each line at the time nearest to `at_ms`.
fn push_band_values(svg: &mut String, plot: &Plot<'_>, at_ms: i64) {
    for line in plot.lines.iter().take(BAND_VALUES_MAX) {
        let distance = |point: &Sample| point.timestamp_ms.abs_diff(at_ms);
        let after = line.points.partition_point(|point| point.timestamp_ms < at_ms);
        let beside = line.points.get(after.saturating_sub(1)..line.points.len().min(after + 1));
        let nearest = beside.unwrap_or_default().iter().min_by_key(|point| distance(point));
        let Some(point) = nearest.filter(|point| distance(point) <= plot.step_ms.unsigned_abs())
        else {
            continue;
        };
        svg.push('\n');
        svg.push_str(&format_float(point.value));
        svg.push_str("  ");
        push_escaped(svg, line.name);
    }
    if plot.lines.len() > BAND_VALUES_MAX {
        svg.push_str(&format!("\nand {} more", plot.lines.len() - BAND_VALUES_MAX));
    }
}

fn push_point(out: &mut String, command: char, x: f64, y: f64) {
    push_coordinate(out, command, x);
    push_coordinate(out, ' ', y);
}

fn push_attribute(out: &mut String, before: &str, value: f64) {
    out.push_str(before);
    push_tenths(out, value);
}

fn push_coordinate(out: &mut String, command: char, value: f64) {
    out.push(command);
    push_tenths(out, value);
}

/// A coordinate of the drawing to one decimal; a tenth of a unit is below a pixel.
fn push_tenths(out: &mut String, value: f64) {
    let tenths = (value * 10.0).round() as i64;
    out.push_str(&(tenths / 10).to_string());
    if tenths % 10 != 0 {
        out.push('.');
        out.push((b'0' + (tenths % 10).unsigned_abs() as u8) as char);
    }
}

#[cfg(test)]
mod tests;
