//! Remarks on series that are treated as counters and do not look like one. What a name looks like is
//! found out once for each name, before the first row.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use prom_model::{Labels, METRIC_NAME};

use crate::{
    annotation::Annotation,
    exec::{Scratch, series::SeriesSet},
    syntax::Span,
};

/// Tells of series that are treated as counters and do not look like one.
pub(in crate::exec) struct CounterCheck {
    kind: Kind,
    span: Span,
}

enum Kind {
    /// Every series tells its type.
    ByType(SeriesSet),
    /// All series have this name.
    OneName(Suspect),
    ByName {
        /// For each series the index of its name.
        of_series: Vec<u32>,
        /// Names that look like those of counters are left out.
        suspects: Vec<Option<Suspect>>,
    },
}

/// A name that is told once.
struct Suspect {
    name: String,
    is_told: AtomicBool,
}

impl CounterCheck {
    /// A check of these series, if any of them could be no counter.
    pub(in crate::exec) fn new(
        series: SeriesSet,
        span: Span,
        uses_type_label: bool,
    ) -> Option<Self> {
        if uses_type_label {
            return Some(Self { kind: Kind::ByType(series), span });
        }
        if let Some(name) = series.metric_name() {
            return Some(Self { kind: Kind::OneName(Suspect::new(name)?), span });
        }
        let names = series.group(&[METRIC_NAME], false);
        let suspect = |labels: &Labels| Suspect::new(labels.metric_name());
        let suspects: Vec<Option<Suspect>> = names.labels.iter().map(suspect).collect();
        let kind = Kind::ByName { of_series: names.of_series, suspects };
        let is_any =
            matches!(&kind, Kind::ByName { suspects, .. } if suspects.iter().any(Option::is_some));
        is_any.then_some(Self { kind, span })
    }

    /// Tells of the series at `index`, if it looks like none and was not told of yet.
    pub(super) fn tell(&self, index: usize, scratch: &Scratch<'_>) {
        let suspect = match &self.kind {
            Kind::ByType(series) => return self.tell_type(&series.labels(index), scratch),
            Kind::OneName(suspect) => suspect,
            Kind::ByName { of_series, suspects } => match &suspects[of_series[index] as usize] {
                Some(suspect) => suspect,
                None => return,
            },
        };
        if !suspect.is_told.load(Relaxed) && !suspect.is_told.swap(true, Relaxed) {
            scratch.ctx.annotate(Annotation::possible_non_counter(&suspect.name, self.span));
        }
    }

    fn tell_type(&self, labels: &Labels, scratch: &Scratch<'_>) {
        let (name, kind) = (labels.metric_name(), labels.get("__type__").unwrap_or_default());
        if !name.is_empty() && !matches!(kind, "counter" | "histogram") {
            scratch.ctx.annotate(Annotation::possible_non_counter_label(name, kind, self.span));
        }
    }
}

impl Suspect {
    /// Nothing if the name is none, or that of a counter.
    fn new(name: &str) -> Option<Self> {
        let is_clear = name.is_empty() || has_counter_suffix(name);
        (!is_clear).then(|| Self { name: name.to_owned(), is_told: AtomicBool::new(false) })
    }
}

fn has_counter_suffix(name: &str) -> bool {
    ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix))
}
