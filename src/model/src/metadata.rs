//! What a target says about a metric besides its samples: type, unit, help.

use std::{fmt, str::FromStr};

/// A metric's type as exposition formats declare it. Compat: prometheus/common `model.MetricType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetricType {
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
    #[default]
    Unknown,
}

/// Type, unit and help of one metric family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Metadata {
    pub metric_type: MetricType,
    pub unit: String,
    pub help: String,
}

impl MetricType {
    /// The word of the API and of OpenMetrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MetricType {
    type Err = ();

    /// The words of [`MetricType::as_str`] only; formats with other words translate them.
    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [
            Self::Counter,
            Self::Gauge,
            Self::Histogram,
            Self::GaugeHistogram,
            Self::Summary,
            Self::Info,
            Self::StateSet,
            Self::Unknown,
        ];
        all.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}
