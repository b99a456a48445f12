//! Gathered metrics: plain data, a copy of one moment.

/// What sort of family it is, as the `# TYPE` line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Untyped,
}

impl MetricKind {
    /// The word of the text format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }
}

/// All metrics of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    pub name: String,
    pub help: String,
    pub kind: MetricKind,
    pub metrics: Vec<Metric>,
}

impl MetricFamily {
    /// A family without metrics yet.
    pub fn new(name: &str, help: &str, kind: MetricKind) -> Self {
        Self { name: name.to_owned(), help: help.to_owned(), kind, metrics: Vec::new() }
    }

    /// Adds a counter, gauge or untyped value; which one is told by the family's kind.
    pub fn push(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        let mut labels: Vec<(String, String)> =
            labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        labels.sort_unstable();
        self.metrics.push(Metric { labels, value: MetricValue::Number(value) });
        self
    }
}

/// One metric of a family; labels are sorted by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    pub labels: Vec<(String, String)>,
    pub value: MetricValue,
}

/// A value in the form that its family's kind asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// Counter, gauge, untyped.
    Number(f64),
    Histogram(HistogramValue),
    Summary(SummaryValue),
}

/// A classic histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramValue {
    /// Upper bounds, ascending and without `+Inf`, each with the count of all observations up to it.
    pub buckets: Vec<(f64, u64)>,
    /// Count of all observations: the `+Inf` bucket.
    pub count: u64,
    pub sum: f64,
}

/// Quantiles over the last ten minutes; sum and count over the whole life.
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryValue {
    /// Quantile and its value, NaN while nothing was observed.
    pub quantiles: Vec<(f64, f64)>,
    pub count: u64,
    pub sum: f64,
}
