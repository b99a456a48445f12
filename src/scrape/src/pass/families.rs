//! Bodies of protobuf: a series is recognized by its family, its encoded labels and its part of the metric.

use prom_exposition::{
    ClassicHistogram,
    protobuf::{Exemplar, Family, Metric, Parser, SpanPool},
    text::bound_text,
};
use prom_model::{self as model, CounterResetHint, HistogramValue, MetricType};

use super::{BodyRefused, Key, Pass, Pushed, Taken, value::SampleValue};

/// Reads a body to its end.
pub(super) fn read(pass: &mut Pass<'_>, body: &[u8]) -> Result<(), BodyRefused> {
    let mut parser = Parser::new(body);
    let mut families = Families {
        pass,
        pool: SpanPool::default(),
        classic: ClassicHistogram::default(),
        number: 0,
    };
    while let Some(family) = parser.next_family()? {
        let family_hash = families.begin(&family);
        while let Some(metric) = parser.next_metric()? {
            families.read_metric(Series { family, family_hash, metric }.hashed(families.pass))?;
        }
    }
    Ok(())
}

struct Families<'p, 'a> {
    pass: &'p mut Pass<'a>,
    pool: SpanPool,
    classic: ClassicHistogram,
    /// Of the family at hand, from 1.
    number: usize,
}

/// A metric and its family.
#[derive(Clone, Copy)]
struct Series<'m, 'b> {
    family: Family<'b>,
    family_hash: u64,
    metric: &'m Metric<'b>,
}

/// The same with the hash of its labels.
#[derive(Clone, Copy)]
struct Hashed<'m, 'b> {
    family: Family<'b>,
    metric: &'m Metric<'b>,
    hash: u64,
    labels_size_bytes: usize,
}

/// Which of the series of a metric is meant. The order of the variants is part of the key.
#[derive(Clone, Copy)]
enum Part {
    Whole,
    Count,
    Sum,
    Bucket(f64),
    Quantile(f64),
    /// As a native histogram.
    Native,
}

impl<'m, 'b> Series<'m, 'b> {
    fn hashed(self, pass: &Pass<'_>) -> Hashed<'m, 'b> {
        let runs = self.metric.label_runs();
        let hash = pass.cache.key.hash_runs(self.family_hash, runs);
        let labels_size_bytes = self.metric.label_runs().map(<[u8]>::len).sum();
        Hashed { family: self.family, metric: self.metric, hash, labels_size_bytes }
    }
}

impl Families<'_, '_> {
    /// Notes the metadata of a family; returns the hash that parts its series from those of others.
    fn begin(&mut self, family: &Family<'_>) -> u64 {
        self.number += 1;
        let key = &self.pass.cache.key;
        let kind = family.metric_type as u64;
        let mut family_hash = key.hash_runs(kind, [family.name.as_bytes()].into_iter());
        let said = [family.help.as_bytes(), family.unit.as_bytes()];
        let hash = key.hash_runs(family_hash, said.into_iter());
        if self.pass.rules.labels_types_and_units {
            family_hash = key.hash_runs(family_hash, [family.unit.as_bytes()].into_iter());
        }
        let size_bytes = family.name.len() + family.help.len() + family.unit.len();
        self.pass.take_comments(Key { hash, size_bytes }, true);
        family_hash
    }

    fn read_metric(&mut self, series: Hashed<'_, '_>) -> Result<(), BodyRefused> {
        match series.family.metric_type {
            MetricType::Summary => self.read_summary(series),
            MetricType::Histogram | MetricType::GaugeHistogram => self.read_histogram(series),
            _ => {
                let pushed = self.take(series, Part::Whole, series.metric.value)?;
                self.take_exemplar(pushed, series.metric.exemplar.as_ref());
                Ok(())
            }
        }
    }

    fn read_summary(&mut self, series: Hashed<'_, '_>) -> Result<(), BodyRefused> {
        self.take(series, Part::Count, series.metric.sample_count as f64)?;
        self.take(series, Part::Sum, series.metric.sample_sum)?;
        for quantile in &series.metric.quantiles {
            self.take(series, Part::Quantile(quantile.quantile), quantile.value)?;
        }
        Ok(())
    }

    /// Compat: what is read of a histogram that is classic, native or both: `ProtobufParser.Next` in Prometheus
    /// `model/textparse/protobufparse.go`.
    fn read_histogram(&mut self, series: Hashed<'_, '_>) -> Result<(), BodyRefused> {
        let rules = self.pass.rules.histograms;
        let histogram = &series.metric.histogram;
        let is_gauge = series.family.metric_type == MetricType::GaugeHistogram;
        if rules.scrapes_native && histogram.is_native() {
            let value = histogram.native(is_gauge, &mut self.pool);
            let pushed = self.take(series, Part::Native, value)?;
            self.take_exemplars(pushed, series);
            if rules.keeps_classic && !histogram.buckets.is_empty() {
                self.read_classic(series)?;
            }
            return Ok(());
        }
        if !rules.converts_classic || rules.keeps_classic {
            self.read_classic(series)?;
        }
        if rules.converts_classic {
            let value = self.convert(series, is_gauge)?;
            let pushed = self.take(series, Part::Native, value)?;
            self.take_exemplars(pushed, series);
        }
        Ok(())
    }

    fn read_classic(&mut self, series: Hashed<'_, '_>) -> Result<(), BodyRefused> {
        let histogram = &series.metric.histogram;
        self.take(series, Part::Count, histogram.count())?;
        self.take(series, Part::Sum, histogram.sum)?;
        for bucket in &histogram.buckets {
            let pushed = self.take(series, Part::Bucket(bucket.upper_bound), bucket.count())?;
            self.take_exemplar(pushed, bucket.exemplar.as_ref());
            // Compat: what stands behind the last bucket is not read.
            if bucket.upper_bound == f64::INFINITY {
                return Ok(());
            }
        }
        self.take(series, Part::Bucket(f64::INFINITY), histogram.count())?;
        Ok(())
    }

    fn convert(
        &mut self,
        series: Hashed<'_, '_>,
        is_gauge: bool,
    ) -> Result<HistogramValue, BodyRefused> {
        let histogram = &series.metric.histogram;
        self.classic.clear();
        self.classic.set_count(histogram.count());
        self.classic.set_sum(histogram.sum);
        for bucket in &histogram.buckets {
            self.classic.add_bucket(bucket.upper_bound, bucket.count());
        }
        let mut value = self.classic.convert()?;
        if is_gauge {
            match &mut value {
                HistogramValue::Integer(histogram) => {
                    std::sync::Arc::make_mut(histogram).counter_reset_hint =
                        CounterResetHint::Gauge;
                }
                HistogramValue::Float(histogram) => {
                    std::sync::Arc::make_mut(histogram).counter_reset_hint =
                        CounterResetHint::Gauge;
                }
            }
        }
        Ok(value)
    }

    #[inline]
    fn take<V: SampleValue>(
        &mut self,
        series: Hashed<'_, '_>,
        part: Part,
        value: V,
    ) -> Result<Option<Pushed>, BodyRefused> {
        let Hashed { family, metric, hash, labels_size_bytes: size_bytes } = series;
        let key = Key { hash: self.pass.cache.key.hash_part(hash, part.number()), size_bytes };
        let start = self.pass.rules.starts.start(metric.created_ms);
        let taken = Taken { value, explicit_ms: metric.timestamp_ms, start };
        let number = self.number;
        self.pass.take(key, taken, |labels, said| {
            said.read_family(&family, number);
            let name = format!("{}{}", family.name, part.suffix());
            let bound = match part {
                Part::Bucket(bound) => Some(("le", bound_text(bound))),
                Part::Quantile(quantile) => Some(("quantile", bound_text(quantile))),
                _ => None,
            };
            let bound = bound.as_ref().map(|(label, text)| (*label, text.as_str()));
            metric.labels(&name, bound, labels)?;
            said.label(labels);
            Ok(())
        })
    }

    fn take_exemplar(&mut self, of: Option<Pushed>, exemplar: Option<&Exemplar<'_>>) {
        let (Some(of), Some(exemplar)) = (of, exemplar) else { return };
        let read = self.read_exemplar(of, exemplar);
        self.pass.take_exemplars(of, read.into_iter().collect());
    }

    fn take_exemplars(&mut self, of: Option<Pushed>, series: Hashed<'_, '_>) {
        let Some(of) = of else { return };
        let all = series.metric.histogram.exemplars();
        let read = all.filter_map(|exemplar| self.read_exemplar(of, exemplar)).collect();
        self.pass.take_exemplars(of, read);
    }

    fn read_exemplar(&mut self, of: Pushed, exemplar: &Exemplar<'_>) -> Option<model::Exemplar> {
        if self.pass.batch.ignores_exemplars {
            return None;
        }
        let exposed = &mut self.pass.exposed;
        exposed.clear();
        exemplar.labels(exposed).ok()?;
        let timestamp_ms = exemplar.timestamp_ms.unwrap_or(of.timestamp_ms);
        Some(model::Exemplar { labels: exposed.labels(), value: exemplar.value, timestamp_ms })
    }
}

impl Part {
    /// Unlike for each part of a metric.
    fn number(self) -> (u64, u64) {
        match self {
            Self::Whole => (0, 0),
            Self::Count => (1, 0),
            Self::Sum => (2, 0),
            Self::Bucket(bound) => (3, bound.to_bits()),
            Self::Quantile(quantile) => (4, quantile.to_bits()),
            Self::Native => (5, 0),
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Whole | Self::Quantile(_) | Self::Native => "",
            Self::Count => "_count",
            Self::Sum => "_sum",
            Self::Bucket(_) => "_bucket",
        }
    }
}
