//! `_created` lines of OpenMetrics: since when the series before them have been counting. They are no series then.
//!
//! Compat: `StartTimestamp` in Prometheus `model/textparse/openmetricsparse.go`: the next `_created` line of the
//! family counts for the lines before it that have its labels, and for those behind it until another one was looked
//! for. All lines are passed over once, by the bytes that such a line must have.

use memchr::memmem;
use prom_exposition::text::{Entry as Line, Parser, Sample};
use prom_model::{METRIC_NAME, MetricType};

const SUFFIX: &str = "_created";
/// Behind each part of a key; no UTF-8 text has it.
const PART_END: u8 = 0xff;

/// What has been looked for and found in one body.
pub(super) struct Starts<'a> {
    body: &'a [u8],
    /// Stands where lines are looked at ahead of those that are taken.
    ahead: Parser<'a>,
    next: Option<Next<'a>>,
    /// Where the family ends that was looked through last.
    family_end: usize,
    /// What the last line that was looked for found.
    last: Option<(Key, i64)>,
}

/// The first `_created` line from somewhere on.
struct Next<'a> {
    /// Where it begins, or the family ends without one.
    at: usize,
    line: Option<(Sample<'a>, i64)>,
}

/// A line of a sample.
#[derive(Clone, Copy)]
pub(super) struct LineAt<'a> {
    pub(super) begin: usize,
    pub(super) end: usize,
    pub(super) series: &'a [u8],
}

/// What the last type was declared of, and the type.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Family<'a> {
    pub(super) name: &'a str,
    pub(super) metric_type: MetricType,
}

/// Name of the family and labels, without those that part the series of one metric.
type Key = Vec<u8>;

impl Family<'_> {
    /// Whether its series count since some time.
    pub(super) fn has_starts(self) -> bool {
        matches!(
            self.metric_type,
            MetricType::Counter | MetricType::Histogram | MetricType::Summary
        )
    }
}

impl<'a> Starts<'a> {
    /// `parser` is one of the whole body.
    pub(super) fn new(body: &'a [u8], parser: Parser<'a>) -> Self {
        Self { body, ahead: parser, next: None, family_end: 0, last: None }
    }

    /// Whether a line that was read tells a start and is no series.
    pub(super) fn is_start(&mut self, sample: &Sample<'a>, family: Family<'_>) -> bool {
        family.has_starts()
            && memmem::find(sample.series, SUFFIX.as_bytes()).is_some()
            && tells_start(&mut self.ahead, sample)
    }

    /// The start of a series by its line, unless it is one that `is_settled`.
    pub(super) fn of(
        &mut self,
        line: LineAt<'a>,
        family: Family<'_>,
        is_settled: impl Fn(i64) -> bool,
    ) -> Option<i64> {
        if !family.has_starts() {
            self.last = None;
            return None;
        }
        if let Some((key, start_ms)) = &self.last
            && key_of(&mut self.ahead, line.begin, line.series, family, false).as_ref() == Some(key)
        {
            return Some(*start_ms);
        }
        self.last = None;
        if self.next.as_ref().is_none_or(|next| next.at < line.end) {
            self.next = Some(self.look_ahead(line.end));
        }
        let (sample, start_ms) = self.next.as_ref()?.line?;
        if is_settled(start_ms) {
            return None;
        }
        let theirs = key_of(&mut self.ahead, sample.offset(), sample.series, family, true)?;
        let ours = key_of(&mut self.ahead, line.begin, line.series, family, false)?;
        (ours == theirs).then(|| {
            self.last = Some((ours, start_ms));
            start_ms
        })
    }

    /// Looks for the next `_created` line at or behind `from`.
    fn look_ahead(&mut self, from: usize) -> Next<'a> {
        if self.family_end < from {
            let rest = self.body.get(from..).unwrap_or_default();
            self.family_end = match rest.first() {
                Some(b'#') => from,
                _ => memmem::find(rest, b"\n#").map_or(self.body.len(), |at| from + at + 1),
            };
        }
        let family = self.body.get(from..self.family_end).unwrap_or_default();
        for at in memmem::find_iter(family, SUFFIX) {
            if !matches!(family.get(at + SUFFIX.len()), Some(b' ' | b'{' | b'"')) {
                continue;
            }
            let before = &family[..at];
            let begin = from + memchr::memrchr(b'\n', before).map_or(0, |feed| feed + 1);
            self.ahead.seek(begin);
            if let Ok(Some(Line::Sample(sample))) = self.ahead.next_entry()
                && tells_start(&mut self.ahead, &sample)
            {
                let start_ms = (sample.value * 1000.0) as i64;
                return Next { at: begin, line: (start_ms != 0).then_some((sample, start_ms)) };
            }
        }
        Next { at: self.family_end, line: None }
    }
}

fn tells_start<'a>(parser: &mut Parser<'a>, sample: &Sample<'a>) -> bool {
    let mut is_it = false;
    let read = parser.visit_labels(sample.offset(), sample.series, |name, value| {
        is_it |= name == METRIC_NAME && value.ends_with(SUFFIX);
    });
    read.is_ok() && is_it
}

/// The key of a line; none if it is malformed.
fn key_of<'a>(
    parser: &mut Parser<'a>,
    offset: usize,
    series: &'a [u8],
    family: Family<'_>,
    is_start: bool,
) -> Option<Key> {
    let mut key = Key::new();
    let read = parser.visit_labels(offset, series, |name, value| {
        let is_part = match family.metric_type {
            MetricType::Histogram => name == "le",
            MetricType::Summary => name == "quantile",
            _ => false,
        };
        if is_part {
            return;
        }
        let value = match (name == METRIC_NAME, is_start) {
            (true, true) => value.strip_suffix(SUFFIX).unwrap_or(value).as_bytes(),
            (true, false) => value.as_bytes().get(..family.name.len()).unwrap_or(value.as_bytes()),
            (false, _) => value.as_bytes(),
        };
        for part in [name.as_bytes(), value] {
            key.extend_from_slice(part);
            key.push(PART_END);
        }
    });
    read.ok().map(|()| key)
}
