//! Bodies of lines, text and OpenMetrics: a line that the last body had is recognized by its first bytes.

use prom_exposition::text::{Dialect, Entry as Line, Exemplar, Parser, Sample, Suffix};
use prom_model::{self as model, MetricType};
use prom_storage::ExemplarSample;

use super::{BodyRefused, Key, Pass, Pushed, Taken, said::Statement};
use crate::cache::{Entry, Flag, Kind};

/// Comments before one sample that are recognized as one; more begin another entry.
const COMMENTS_SIZE_BYTES_MAX: usize = 64 << 10;

/// Reads a body to its end.
pub(super) fn read<'a>(
    pass: &mut Pass<'a>,
    body: &'a [u8],
    dialect: Dialect,
) -> Result<(), BodyRefused> {
    let parser = Parser::new(body, dialect);
    let declared = Declared::default();
    let statement = Statement::default();
    let mut lines = Lines { pass, parser, dialect, body, declared, comments: None, statement };
    loop {
        lines.follow();
        if !lines.read_unexpected()? {
            lines.keep_comments();
            return Ok(());
        }
    }
}

struct Lines<'p, 'a> {
    pass: &'p mut Pass<'a>,
    parser: Parser<'a>,
    dialect: Dialect,
    body: &'a [u8],
    declared: Declared,
    /// Unexpected comments before the line at hand, not remembered yet.
    comments: Option<Comments>,
    /// The last comments, where the log takes metadata.
    statement: Statement,
}

/// Comments that follow each other, from where to where.
#[derive(Clone, Copy, Debug)]
struct Comments {
    start: usize,
    end: usize,
    has_type: bool,
}

/// The type that the body has declared last, found when a new series asks for it.
#[derive(Clone, Copy, Debug)]
enum Declared {
    Known(MetricType),
    /// Somewhere in these known comments.
    Within {
        start: usize,
        end: usize,
    },
}

impl Default for Declared {
    fn default() -> Self {
        Self::Known(MetricType::Unknown)
    }
}

impl<'a> Lines<'_, 'a> {
    /// Reads lines for as long as they are the expected ones: no text is taken apart or copied here.
    fn follow(&mut self) {
        let cache = self.pass.cache;
        while let Some(entry) = cache.entries.get(self.pass.cursor) {
            let rest = self.parser.rest();
            let Some(text) = rest.get(..entry.size_bytes()) else { return };
            if cache.key.hash(text) != entry.hash() {
                let may_skip = self.dialect == Dialect::Prometheus && rest.starts_with(b"\n");
                if may_skip && self.parser.skip_known(b"\n") {
                    continue;
                }
                return;
            }
            self.keep_comments();
            if let Some(rebuilt) = &self.pass.rebuilt
                && (rebuilt.is_met[self.pass.cursor]
                    || entry.kind() == Kind::Repeat
                    || self.pass.said.is_new && entry.kind() != Kind::Comments)
            {
                return;
            }
            if !self.take_expected(*entry, text) {
                return;
            }
            self.pass.cursor += 1;
        }
    }

    /// Reads the line of a known entry; false if it goes on otherwise than expected.
    #[inline]
    fn take_expected(&mut self, entry: Entry, text: &[u8]) -> bool {
        if entry.kind() == Kind::Comments {
            if entry.has(Flag::HasType) {
                let start = self.body.len() - self.parser.rest().len();
                self.declared = Declared::Within { start, end: start + text.len() };
            }
            if self.pass.said.is_wanted {
                let start = self.body.len() - self.parser.rest().len();
                self.note_statement(start, start + text.len(), false);
            }
            self.pass.keep(entry);
            return self.parser.skip_known(text);
        }
        let Some(suffix) = self.parser.take_predicted(text.len()) else { return false };
        let Suffix { value, timestamp_ms, exemplar, .. } = suffix;
        let taken = Taken { value, explicit_ms: timestamp_ms };
        // A float is never refused with its body.
        if let Ok(Some(pushed)) = self.pass.take_known(entry, taken)
            && let Some(exemplar) = exemplar
        {
            self.take_exemplar(pushed, &exemplar);
        }
        true
    }

    /// Reads one line that is not the expected one; false at the end of the body.
    fn read_unexpected(&mut self) -> Result<bool, BodyRefused> {
        let rest = self.parser.rest();
        let start = self.body.len() - rest.len();
        let Some(line) = self.parser.next_entry()? else { return Ok(false) };
        self.pass.rebuild();
        match line {
            Line::Sample(sample) => {
                self.keep_comments();
                self.take_unexpected(&sample)?;
            }
            comment => {
                let is_type = match comment {
                    Line::Type { metric_type, .. } => {
                        self.declared = Declared::Known(metric_type);
                        true
                    }
                    _ => false,
                };
                let end = self.body.len() - self.parser.rest().len();
                self.remember_comments(start, end, is_type);
            }
        }
        Ok(true)
    }

    fn take_unexpected(&mut self, sample: &Sample<'a>) -> Result<(), BodyRefused> {
        let hash = self.pass.cache.key.hash(sample.series);
        let key = Key { hash, size_bytes: sample.series.len() };
        let taken = Taken { value: sample.value, explicit_ms: sample.timestamp_ms };
        let Self { pass, parser, dialect, body, declared, statement, .. } = self;
        let pushed = pass.take_unexpected(key, taken, |labels, said| {
            said.read_lines(body, *statement, *dialect);
            let metric_type = declared.find(body, *dialect);
            Ok(parser.labels(sample, metric_type, labels)?)
        })?;
        if let Some(pushed) = pushed
            && let Some(exemplar) = &sample.exemplar
        {
            self.take_exemplar(pushed, exemplar);
        }
        Ok(())
    }

    /// An exemplar without a time of its own has that of its sample.
    fn take_exemplar(&mut self, of: Pushed, exemplar: &Exemplar<'a>) {
        let Pass { batch, exposed, appender, .. } = &mut *self.pass;
        if batch.ignores_exemplars {
            return;
        }
        exposed.clear();
        if self.parser.exemplar_labels(exemplar, exposed).is_err() {
            return;
        }
        let timestamp_ms = exemplar.timestamp_ms.unwrap_or(of.timestamp_ms);
        let labels = exposed.labels();
        let exemplar = model::Exemplar { labels, value: exemplar.value, timestamp_ms };
        batch.push_exemplar(*appender, ExemplarSample { series: of.series, exemplar });
    }

    /// Remembers lines from `start` to `end` as one with the comments right before them.
    fn remember_comments(&mut self, start: usize, end: usize, has_type: bool) {
        match &mut self.comments {
            Some(before)
                if before.end == start && end - before.start <= COMMENTS_SIZE_BYTES_MAX =>
            {
                before.end = end;
                before.has_type |= has_type;
            }
            _ => {
                self.keep_comments();
                self.comments = Some(Comments { start, end, has_type });
            }
        }
    }

    /// Comments that follow others, as those of a type that has come later, are one statement with them.
    fn note_statement(&mut self, start: usize, end: usize, is_new: bool) {
        let is_other = self.statement.go_on(self.body, start, end);
        let said = &mut self.pass.said;
        said.is_new = is_new || said.is_new && !is_other;
    }

    /// Makes an entry of the comments that were gathered: they are hashed once, however many they are.
    #[inline]
    fn keep_comments(&mut self) {
        if let Some(comments) = self.comments.take() {
            self.push_comments(comments);
        }
    }

    #[cold]
    fn push_comments(&mut self, Comments { start, end, has_type }: Comments) {
        self.pass.has_new_metadata = true;
        let text = &self.body[start..end];
        let entry = Entry::without_series(&self.pass.cache.key, text, Kind::Comments);
        if self.pass.said.is_wanted {
            let is_new = entry.is_none_or(|entry| self.pass.is_new_statement(entry.hash()));
            self.note_statement(start, end, is_new);
        }
        // Comments longer than an entry can tell are read again each time.
        if let Some(entry) = entry {
            self.pass.rebuilt_mut().push(entry.with(Flag::HasType, has_type));
        }
    }
}

impl Declared {
    fn find(&mut self, body: &[u8], dialect: Dialect) -> MetricType {
        if let Self::Within { start, end } = *self {
            let mut comments = Parser::new(&body[start..end], dialect);
            let mut last = MetricType::Unknown;
            while let Ok(Some(line)) = comments.next_entry() {
                if let Line::Type { metric_type, .. } = line {
                    last = metric_type;
                }
            }
            *self = Self::Known(last);
        }
        match self {
            Self::Known(metric_type) => *metric_type,
            Self::Within { .. } => MetricType::Unknown,
        }
    }
}
