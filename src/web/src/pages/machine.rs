//! A state machine as SVG: states at the places that its file gives them, transitions as rounded
//! lines that keep to the lanes between. It knows no rule of any machine.

use std::collections::BTreeMap;

use prom_lifecycle::MachineView;

use crate::markup::push_escaped;

const BOX_WIDTH: i32 = 118;
const BOX_HEIGHT: i32 = 40;
const COLUMN_PITCH: i32 = 168;
const ROW_PITCH: i32 = 84;
const MARGIN: i32 = 30;
/// Radius of a corner.
const CORNER: i32 = 8;
/// Distance of a lane from the boxes it passes.
const LANE: i32 = 22;
/// Distance between the two directions of a pair.
const PAIR: i32 = 12;

/// What has happened so far.
pub(super) struct Progress<'a> {
    pub(super) current: &'a str,
    /// How the current state is coloured.
    pub(super) class: &'a str,
    /// Transitions taken, from and to.
    pub(super) taken: &'a [(String, String)],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    x: i32,
    y: i32,
}

/// A box, by its middle.
#[derive(Clone, Copy, Debug)]
struct Place {
    column: i32,
    row: i32,
    middle: Point,
}

/// Draws the machine.
pub(super) fn draw(machine: &MachineView, progress: &Progress<'_>) -> String {
    let mut places: BTreeMap<&str, Place> = BTreeMap::new();
    for state in &machine.states {
        let (column, row) = (i32::from(state.column), i32::from(state.row));
        let middle = Point {
            x: MARGIN + column * COLUMN_PITCH + BOX_WIDTH / 2,
            y: MARGIN + row * ROW_PITCH + BOX_HEIGHT / 2,
        };
        places.insert(&state.name, Place { column, row, middle });
    }
    let far = |of: fn(&Place) -> i32| places.values().map(of).max().unwrap_or(0);
    let width = far(|place| place.middle.x) + BOX_WIDTH / 2 + MARGIN;
    let height = far(|place| place.middle.y) + BOX_HEIGHT / 2 + MARGIN;

    let mut svg = format!(
        "<svg class=\"machine\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"States and transitions\">\n<desc>"
    );
    push_escaped(&mut svg, &description(machine, progress.current));
    svg.push_str("</desc>\n");
    for (from, to, events) in grouped(machine) {
        let (Some(a), Some(b)) = (places.get(from), places.get(to)) else { continue };
        let is_taken = progress.taken.iter().any(|(f, t)| f == from && t == to);
        push_edge(&mut svg, &route(*a, *b), is_taken, &format!("{from} to {to}: {events}"));
    }
    for state in &machine.states {
        let mut classes = vec!["node"];
        if state.name == progress.current {
            classes.extend(["current", progress.class]);
        } else if progress.taken.iter().any(|(from, to)| *from == state.name || *to == state.name) {
            classes.push("visited");
        }
        if state.is_terminal {
            classes.push("terminal");
        }
        let Some(place) = places.get(state.name.as_str()) else { continue };
        push_box(&mut svg, place.middle, &classes.join(" "), &state.name, state.doc);
    }
    svg.push_str("</svg>");
    svg
}

/// Transitions by their ends, with the events that cause them.
fn grouped(machine: &MachineView) -> Vec<(&str, &str, String)> {
    let mut events: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for transition in
        machine.transitions.iter().filter(|transition| transition.from != transition.to)
    {
        events.entry((&transition.from, &transition.to)).or_default().push(&transition.event);
    }
    events.into_iter().map(|((from, to), events)| (from, to, events.join(", "))).collect()
}

fn description(machine: &MachineView, current: &str) -> String {
    let names: Vec<&str> = machine.states.iter().map(|state| state.name.as_str()).collect();
    format!("The states are {}. The server is in {current}.", names.join(", "))
}

/// Corners of the line from one box to another.
fn route(from: Place, to: Place) -> Vec<Point> {
    let (a, b) = (from.middle, to.middle);
    let (half_width, half_height) = (BOX_WIDTH / 2, BOX_HEIGHT / 2);
    let columns = to.column - from.column;
    let rows = to.row - from.row;
    if columns == 0 && rows.abs() == 1 {
        // Neighbours: straight, the two directions beside each other.
        let (x, sign) = (a.x + rows * PAIR, rows);
        return vec![
            Point { x, y: a.y + sign * half_height },
            Point { x, y: b.y - sign * half_height },
        ];
    }
    if columns == 0 {
        // Past a box between: down on the left, up on the right, beside what else ends there.
        let direction = rows.signum();
        let lane = a.x - direction * (half_width + LANE);
        let edge = a.x - direction * half_width;
        let (start, end) = (a.y + direction * PAIR, b.y - direction * PAIR);
        return vec![
            Point { x: edge, y: start },
            Point { x: lane, y: start },
            Point { x: lane, y: end },
            Point { x: edge, y: end },
        ];
    }
    if rows == 0 && columns == 1 {
        return vec![Point { x: a.x + half_width, y: a.y }, Point { x: b.x - half_width, y: b.y }];
    }
    if rows == 0 {
        // Over the boxes between: forward above, back below.
        let side = if columns > 0 { -1 } else { 1 };
        let lane = a.y + side * (half_height + LANE - 6);
        let edge = |y: i32| y + side * half_height;
        return vec![
            Point { x: a.x, y: edge(a.y) },
            Point { x: a.x, y: lane },
            Point { x: b.x, y: lane },
            Point { x: b.x, y: edge(b.y) },
        ];
    }
    if rows > 0 {
        // Down into the lane below, along it, into the side of the other.
        let lane = a.y + half_height + LANE;
        let side = columns.signum();
        let turn = b.x - side * (half_width + LANE);
        let x = a.x - 2 * PAIR;
        return vec![
            Point { x, y: a.y + half_height },
            Point { x, y: lane },
            Point { x: turn, y: lane },
            Point { x: turn, y: b.y },
            Point { x: b.x - side * half_width, y: b.y },
        ];
    }
    // Up: out of the side, then into the bottom of the other, each row at its own place.
    let side = columns.signum();
    let x = b.x - side * (from.row - 1) * PAIR;
    vec![
        Point { x: a.x + side * half_width, y: a.y },
        Point { x, y: a.y },
        Point { x, y: b.y + half_height },
    ]
}

fn push_edge(svg: &mut String, points: &[Point], is_taken: bool, title: &str) {
    let [first, middle @ .., last] = points else { return };
    let taken = if is_taken { " taken" } else { "" };
    svg.push_str(&format!("<path class=\"edge{taken}\" d=\"M{} {}", first.x, first.y));
    let mut before = *first;
    for (index, corner) in middle.iter().enumerate() {
        let after = middle.get(index + 1).unwrap_or(last);
        let (enter, leave) = (toward(*corner, before), toward(*corner, *after));
        svg.push_str(&format!(
            "L{} {}Q{} {} {} {}",
            enter.x, enter.y, corner.x, corner.y, leave.x, leave.y
        ));
        before = *corner;
    }
    svg.push_str(&format!("L{} {}\"><title>", last.x, last.y));
    push_escaped(svg, title);
    svg.push_str("</title></path>\n");
    push_head(svg, before, *last, taken);
}

/// The point a corner's radius away from it, in the direction of `other`.
fn toward(corner: Point, other: Point) -> Point {
    let (dx, dy) = (other.x - corner.x, other.y - corner.y);
    let radius = CORNER.min(dx.abs().max(dy.abs()) / 2);
    Point { x: corner.x + dx.signum() * radius, y: corner.y + dy.signum() * radius }
}

/// An arrow head at the end of a line that comes from `before`.
fn push_head(svg: &mut String, before: Point, tip: Point, taken: &str) {
    let (dx, dy) = ((tip.x - before.x).signum(), (tip.y - before.y).signum());
    let base = Point { x: tip.x - 8 * dx, y: tip.y - 8 * dy };
    let (left, right) = (
        Point { x: base.x + 4 * dy, y: base.y + 4 * dx },
        Point { x: base.x - 4 * dy, y: base.y - 4 * dx },
    );
    svg.push_str(&format!(
        "<path class=\"head{taken}\" d=\"M{} {}L{} {}L{} {}Z\"/>\n",
        tip.x, tip.y, left.x, left.y, right.x, right.y
    ));
}

fn push_box(svg: &mut String, middle: Point, class: &str, name: &str, doc: &str) {
    let (x, y) = (middle.x - BOX_WIDTH / 2, middle.y - BOX_HEIGHT / 2);
    svg.push_str(&format!("<g class=\"{class}\"><title>"));
    push_escaped(svg, doc);
    svg.push_str(&format!(
        "</title><rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"7\"/><text class=\"name\" x=\"{}\" y=\"{}\">",
        middle.x,
        middle.y + 5
    ));
    push_escaped(svg, name);
    svg.push_str("</text></g>\n");
}

#[cfg(test)]
mod tests {
    use prom_lifecycle::State;

    use super::*;

    #[test]
    fn the_lifecycle_is_drawn_whole() {
        let machine = MachineView::of::<State>();
        let taken = [("Init".to_owned(), "ConfigLoaded".to_owned())];
        let progress = Progress { current: "ConfigLoaded", class: "busy", taken: &taken };
        let svg = draw(&machine, &progress);
        for state in &machine.states {
            assert!(svg.contains(&format!(">{}</text>", state.name)), "{}", state.name);
        }
        assert_eq!(svg.matches("<g class=\"node current busy\"").count(), 1);
        assert_eq!(svg.matches("<path class=\"edge taken\"").count(), 1);
        let pairs: std::collections::BTreeSet<_> = machine
            .transitions
            .iter()
            .filter(|transition| transition.from != transition.to)
            .map(|transition| (&transition.from, &transition.to))
            .collect();
        assert_eq!(svg.matches("<path class=\"edge").count(), pairs.len());
    }

    #[test]
    fn lines_begin_and_end_at_boxes_and_run_straight() {
        let place = |column: i32, row: i32| Place {
            column,
            row,
            middle: Point { x: column * COLUMN_PITCH, y: row * ROW_PITCH },
        };
        let is_on_edge = |point: Point, of: Place| {
            let (dx, dy) = ((point.x - of.middle.x).abs(), (point.y - of.middle.y).abs());
            dx == BOX_WIDTH / 2 || dy == BOX_HEIGHT / 2
        };
        for (from, to) in [
            ((0, 0), (1, 0)),
            ((0, 0), (5, 0)),
            ((5, 0), (0, 0)),
            ((4, 0), (4, 1)),
            ((4, 1), (4, 0)),
            ((4, 0), (4, 2)),
            ((4, 2), (4, 0)),
            ((0, 0), (6, 1)),
            ((4, 2), (5, 0)),
            ((3, 2), (1, 0)),
        ] {
            let (from, to) = (place(from.0, from.1), place(to.0, to.1));
            let points = route(from, to);
            assert!(is_on_edge(points[0], from), "{points:?}");
            assert!(is_on_edge(points[points.len() - 1], to), "{points:?}");
            for pair in points.windows(2) {
                assert!(pair[0].x == pair[1].x || pair[0].y == pair[1].y, "{points:?}");
            }
        }
    }
}
