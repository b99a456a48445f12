//! What a body says of the family at hand: for the log of the store, told of each series that is new, and of
//! known ones where it is not what the last body said; for labels of type and unit; and to tell series that count.
//! Nothing is read while none of it is asked for; then, only what a series asks for.

use std::sync::Arc;

use prom_exposition::{
    protobuf::Family,
    text::{Dialect, Entry as Line, Parser, unescape_help},
};
use prom_model::{LabelsBuilder, METRIC_TYPE, METRIC_UNIT, Metadata, MetricType};

use crate::rules::Rules;

/// Help that is logged of one family; the rest is cut off.
const HELP_SIZE_BYTES_MAX: usize = 4 << 10;

/// The metadata of the family whose series come next.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) is_wanted: bool,
    /// The last body did not say so, and the log wants to know.
    pub(super) is_new: bool,
    becomes_labels: bool,
    /// Which statement of the body has been read: its end, or its number; 0: none.
    mark: usize,
    family: String,
    metadata: Arc<Metadata>,
}

/// Comments that follow each other, from where to where in the body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Statement {
    start: usize,
    end: usize,
}

impl Said {
    pub(super) fn new(rules: &Rules) -> Self {
        let becomes_labels = rules.labels_types_and_units;
        let is_wanted = becomes_labels || rules.logs_metadata || rules.starts.are_synthesized;
        Self { is_wanted, becomes_labels, ..Self::default() }
    }

    /// The metadata, if it is about the metric `name`.
    pub(super) fn about(&self, name: &str) -> Option<Arc<Metadata>> {
        let is_it = is_of_family(name, &self.family, self.metadata.metric_type);
        (self.mark > 0 && is_it).then(|| Arc::clone(&self.metadata))
    }

    /// Labels a series with type and unit of the family at hand, if that is asked for: what the target says
    /// itself in these labels counts only where its comments say nothing.
    /// Compat: `AddToLabels` in Prometheus `schema/labels.go`. There, type and unit of a family go on into those
    /// behind it that declare none.
    pub(super) fn label(&self, labels: &mut LabelsBuilder) {
        if !self.becomes_labels {
            return;
        }
        let Metadata { metric_type, unit, .. } = &*self.metadata;
        if *metric_type != MetricType::Unknown {
            labels.set(METRIC_TYPE, metric_type.as_str());
        }
        if !unit.is_empty() {
            labels.set(METRIC_UNIT, unit);
        }
    }

    /// Reads the last family of a statement, unless that is done.
    pub(super) fn read_lines(&mut self, body: &[u8], statement: Statement, dialect: Dialect) {
        if !self.is_wanted || self.mark == statement.end {
            return;
        }
        let text = body.get(statement.start..statement.end).unwrap_or_default();
        let mut family = "";
        each_comment(text, dialect, |name, _| family = name);
        let mut metadata = Metadata::default();
        each_comment(text, dialect, |name, line| match line {
            _ if name != family => {}
            Line::Help { text, .. } => {
                metadata.help = unescape_help(cut(text), dialect).into_owned();
            }
            Line::Type { metric_type, .. } => metadata.metric_type = metric_type,
            Line::Unit { unit, .. } => unit.clone_into(&mut metadata.unit),
            Line::Comment(_) | Line::Sample(_) => {}
        });
        self.mark = statement.end;
        family.clone_into(&mut self.family);
        self.metadata = Arc::new(metadata);
    }

    /// Takes over what the `number`th family of a body says of itself, unless that is done.
    pub(super) fn read_family(&mut self, family: &Family<'_>, number: usize) {
        if !self.is_wanted || self.mark == number {
            return;
        }
        self.mark = number;
        family.name.clone_into(&mut self.family);
        self.metadata = Arc::new(Metadata {
            metric_type: family.metric_type,
            unit: family.unit.to_owned(),
            help: cut(family.help).to_owned(),
        });
    }
}

impl Statement {
    /// Goes on with the comments from `start` to `end`; whether they begin another statement, because there
    /// is more than empty lines between.
    pub(super) fn go_on(&mut self, body: &[u8], start: usize, end: usize) -> bool {
        let between = body.get(self.end..start).unwrap_or_default();
        let is_other = self.end == 0 || between.iter().any(|byte| *byte != b'\n');
        if is_other {
            self.start = start;
        }
        self.end = end;
        is_other
    }
}

/// Hands over the comments that name a family.
fn each_comment<'b>(text: &'b [u8], dialect: Dialect, mut each: impl FnMut(&'b str, Line<'b>)) {
    let mut parser = Parser::new(text, dialect);
    while let Ok(Some(line)) = parser.next_entry() {
        if let Line::Help { name, .. } | Line::Type { name, .. } | Line::Unit { name, .. } = line {
            each(name, line);
        }
    }
}

fn cut(help: &str) -> &str {
    &help[..help.floor_char_boundary(HELP_SIZE_BYTES_MAX)]
}

/// Whether a metric of this name may belong to the family: types may be left out, so comments may stand before
/// lines of another one. Compat: `isSeriesPartOfFamily` in Prometheus `scrape/scrape.go`.
fn is_of_family(name: &str, family: &str, metric_type: MetricType) -> bool {
    let (suffixes, optional): (&[&str], &str) = match metric_type {
        MetricType::Counter => (&["_total"], "_total"),
        MetricType::Histogram => (&["_bucket", "_sum", "_count"], ""),
        MetricType::GaugeHistogram => (&["_bucket", "_gsum", "_gcount"], ""),
        MetricType::Summary => (&["_sum", "_count"], ""),
        MetricType::Info => (&["_info"], "_info"),
        _ => (&[], ""),
    };
    let base = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    name.starts_with(family) && base == family.strip_suffix(optional).unwrap_or(family)
}
