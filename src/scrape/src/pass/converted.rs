//! Bodies of lines whose classic histograms become histograms with custom buckets: the lines of one histogram are
//! gathered while they follow each other.
//! Compat: Prometheus `model/textparse/nhcbparse.go`. There, a histogram gets the time of the line behind it; here that of
//! its own last line.

use prom_exposition::{
    ClassicHistogram,
    text::{Dialect, Entry as Line, Exemplar, Parser, Sample},
};
use prom_model::{self as model, Labels, LabelsBuilder, METRIC_NAME, MetricType, parse_float};

use super::{
    BodyRefused, Key, Pass, Pushed, Taken,
    counting::Start,
    said::Statement,
    starts::{Family, LineAt, Starts},
};

const BOUND_LABEL: &str = "le";
/// Exemplars of the lines of one histogram that are remembered.
const EXEMPLARS_COUNT_MAX: usize = 1_000;
/// Sets the key of a histogram apart from that of a line.
const HISTOGRAM: (u64, u64) = (1, 0);

/// Reads a body to its end.
pub(super) fn read<'a>(
    pass: &mut Pass<'a>,
    body: &'a [u8],
    dialect: Dialect,
) -> Result<(), BodyRefused> {
    let has_starts = pass.rules.starts.are_read() && dialect == Dialect::OpenMetrics;
    let mut converted = Converted {
        starts: has_starts.then(|| Starts::new(body, Parser::new(body, dialect))),
        pass,
        parser: Parser::new(body, dialect),
        body,
        dialect,
        statement: Statement::default(),
        family: Family::default(),
        gathered: Gathered::default(),
    };
    loop {
        let start = body.len() - converted.parser.rest().len();
        let Some(line) = converted.parser.next_entry()? else {
            return converted.emit();
        };
        match line {
            Line::Sample(sample) => converted.read_sample(&sample)?,
            comment => {
                converted.emit()?;
                converted.read_comment(comment, start);
            }
        }
    }
}

struct Converted<'p, 'a> {
    pass: &'p mut Pass<'a>,
    parser: Parser<'a>,
    body: &'a [u8],
    dialect: Dialect,
    statement: Statement,
    family: Family<'a>,
    /// Where they are asked for and the format tells them.
    starts: Option<Starts<'a>>,
    gathered: Gathered,
}

/// The lines of the histogram at hand.
#[derive(Default)]
struct Gathered {
    /// Labels of the histogram; none while no lines are gathered.
    labels: Option<Labels>,
    histogram: ClassicHistogram,
    explicit_ms: Option<i64>,
    start: Option<Start>,
    exemplars: Vec<model::Exemplar>,
}

/// What a line is to its histogram.
enum Role {
    Bucket(f64),
    Count,
    Sum,
}

impl<'a> Converted<'_, 'a> {
    fn read_comment(&mut self, comment: Line<'a>, start: usize) {
        let is_type = match comment {
            Line::Type { name, metric_type } => {
                self.family = Family { name, metric_type };
                true
            }
            _ => false,
        };
        let names_family = !matches!(comment, Line::Comment(_));
        let end = self.body.len() - self.parser.rest().len();
        let text = self.body.get(start..end).unwrap_or_default();
        let key = Key { hash: self.pass.cache.key.hash(text), size_bytes: text.len() };
        let was_new = self.pass.said.is_new;
        self.pass.take_comments(key, is_type);
        let is_other = names_family && self.statement.go_on(self.body, start, end);
        self.pass.said.is_new |= was_new && !is_other;
    }

    fn read_sample(&mut self, sample: &Sample<'a>) -> Result<(), BodyRefused> {
        if let Some(starts) = &mut self.starts
            && starts.is_start(sample, self.family)
        {
            return Ok(());
        }
        let start = self.start_of(sample);
        if self.family.metric_type != MetricType::Histogram {
            self.emit()?;
            return self.take_line(sample, start);
        }
        let mut exposed = LabelsBuilder::default();
        self.parser.labels(sample, self.family.metric_type, &mut exposed)?;
        self.pass.said.read_lines(self.body, self.statement, self.dialect);
        self.pass.said.label(&mut exposed);
        let (base, role) = self.histogram_of(exposed);
        if self.gathered.labels.as_ref().is_some_and(|gathered| *gathered != base) {
            self.emit()?;
        }
        let Some(role) = role else { return self.take_line(sample, start) };
        if self.gathered.labels.is_none() {
            self.gathered.start = start;
        }
        self.gather(base, role, sample);
        match self.pass.rules.histograms.keeps_classic {
            true => self.take_line(sample, start),
            false => Ok(()),
        }
    }

    fn start_of(&mut self, sample: &Sample<'a>) -> Option<Start> {
        let end = self.body.len() - self.parser.rest().len();
        let line = LineAt { begin: sample.offset(), end, series: sample.series };
        // Which entries a line is for is not known yet; whoever takes it leaves out what it has.
        let starts = self.starts.as_mut();
        let told_ms = starts.and_then(|starts| starts.of(line, self.family, |_| false));
        self.pass.rules.starts.start(told_ms)
    }

    /// The labels of the histogram that a line could belong to, and what it is to it.
    fn histogram_of(&self, mut exposed: LabelsBuilder) -> (Labels, Option<Role>) {
        let name = exposed.get(METRIC_NAME).to_owned();
        let bound = exposed.get(BOUND_LABEL).to_owned();
        let (base, role) = if let Some(base) = name.strip_suffix("_bucket") {
            let bound = parse_float(&bound).filter(|bound| !bound.is_nan());
            (base, bound.map(Role::Bucket))
        } else if let Some(base) = name.strip_suffix("_sum") {
            (base, Some(Role::Sum))
        } else if let Some(base) = name.strip_suffix("_count") {
            (base, Some(Role::Count))
        } else {
            (&*name, None)
        };
        let role = role.filter(|_| base == self.family.name);
        exposed.set(METRIC_NAME, base).remove(BOUND_LABEL);
        (exposed.labels(), role)
    }

    fn gather(&mut self, base: Labels, role: Role, sample: &Sample<'a>) {
        let gathered = &mut self.gathered;
        gathered.labels = Some(base);
        gathered.explicit_ms = sample.timestamp_ms;
        match role {
            Role::Bucket(bound) => gathered.histogram.add_bucket(bound, sample.value),
            Role::Count => gathered.histogram.set_count(sample.value),
            Role::Sum => gathered.histogram.set_sum(sample.value),
        }
        // Those without a time of their own do not count for a histogram.
        if let Some(Exemplar { value, timestamp_ms: Some(timestamp_ms), .. }) = sample.exemplar
            && gathered.exemplars.len() < EXEMPLARS_COUNT_MAX
            && let Some(labels) = self.exemplar_labels(sample.exemplar.as_ref())
        {
            let exemplar = model::Exemplar { labels, value, timestamp_ms };
            self.gathered.exemplars.push(exemplar);
        }
    }

    /// Ends the histogram at hand. Lines that make none are left out.
    fn emit(&mut self) -> Result<(), BodyRefused> {
        let Gathered { labels, mut histogram, explicit_ms, start, exemplars } =
            std::mem::take(&mut self.gathered);
        let Some(labels) = labels else { return Ok(()) };
        let converted = histogram.convert().ok();
        histogram.clear();
        self.gathered.histogram = histogram;
        let Some(value) = converted else { return Ok(()) };
        let base = self.pass.cache.key.hash(labels.as_bytes());
        let hash = self.pass.cache.key.hash_part(base, HISTOGRAM);
        let key = Key { hash, size_bytes: labels.as_bytes().len() };
        let taken = Taken { value, explicit_ms, start };
        let (body, statement, dialect) = (self.body, self.statement, self.dialect);
        let pushed = self.pass.take(key, taken, |exposed, said| {
            said.read_lines(body, statement, dialect);
            exposed.reset(&labels);
            Ok(())
        })?;
        if let Some(pushed) = pushed {
            self.pass.take_exemplars(pushed, exemplars);
        }
        Ok(())
    }

    /// Takes a line as the sample that it is.
    fn take_line(&mut self, sample: &Sample<'a>, start: Option<Start>) -> Result<(), BodyRefused> {
        let hash = self.pass.cache.key.hash(sample.series);
        let key = Key { hash, size_bytes: sample.series.len() };
        let taken = Taken { value: sample.value, explicit_ms: sample.timestamp_ms, start };
        let (parser, declared) = (&mut self.parser, self.family.metric_type);
        let (body, statement, dialect) = (self.body, self.statement, self.dialect);
        let pushed = self.pass.take(key, taken, |labels, said| {
            said.read_lines(body, statement, dialect);
            parser.labels(sample, declared, labels)?;
            said.label(labels);
            Ok(())
        })?;
        if let (Some(pushed), Some(exemplar)) = (pushed, &sample.exemplar) {
            self.take_exemplar(pushed, exemplar);
        }
        Ok(())
    }

    fn take_exemplar(&mut self, of: Pushed, exemplar: &Exemplar<'a>) {
        let Some(labels) = self.exemplar_labels(Some(exemplar)) else { return };
        let timestamp_ms = exemplar.timestamp_ms.unwrap_or(of.timestamp_ms);
        let exemplar = model::Exemplar { labels, value: exemplar.value, timestamp_ms };
        self.pass.take_exemplars(of, vec![exemplar]);
    }

    fn exemplar_labels(&mut self, exemplar: Option<&Exemplar<'a>>) -> Option<Labels> {
        let exposed = &mut self.pass.exposed;
        exposed.clear();
        self.parser.exemplar_labels(exemplar?, exposed).ok()?;
        Some(exposed.labels())
    }
}
