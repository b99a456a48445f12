//! Bodies of lines, text and OpenMetrics: a line that the last body had is recognized by its first bytes.

use prom_exposition::text::{Dialect, Entry as Line, Exemplar, Parser, Sample, Suffix};
use prom_model as model;
use prom_storage::ExemplarSample;

use super::{
    BodyRefused, Key, Pass, Pushed, Taken,
    counting::Start,
    said::Statement,
    starts::{Family, LineAt, Starts},
};
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
    let has_starts = pass.rules.starts.are_read() && dialect == Dialect::OpenMetrics;
    let starts = has_starts.then(|| Starts::new(body, Parser::new(body, dialect)));
    let wants_starts = pass.rules.starts.are_wanted();
    let declared = Declared::default();
    let statement = Statement::default();
    let mut lines = Lines {
        pass,
        parser,
        dialect,
        body,
        declared,
        comments: None,
        statement,
        starts,
        wants_starts,
    };
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
    declared: Declared<'a>,
    /// Unexpected comments before the line at hand, not remembered yet.
    comments: Option<Comments>,
    /// The last comments that name a family, where somebody wants to know.
    statement: Statement,
    /// Where they are asked for and the format tells them.
    starts: Option<Starts<'a>>,
    wants_starts: bool,
}

/// Comments that follow each other, from where to where.
#[derive(Clone, Copy, Debug)]
struct Comments {
    start: usize,
    end: usize,
    has_type: bool,
    names_family: bool,
}

/// The type that the body has declared last, and of what, found when a series asks for it.
#[derive(Clone, Copy, Debug)]
enum Declared<'a> {
    Known(Family<'a>),
    /// Somewhere in these known comments.
    Within {
        start: usize,
        end: usize,
    },
}

impl Default for Declared<'_> {
    fn default() -> Self {
        Self::Known(Family::default())
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
            if self.pass.said.is_wanted && entry.has(Flag::NamesFamily) {
                let start = self.body.len() - self.parser.rest().len();
                self.note_statement(start, start + text.len(), false);
            }
            self.pass.keep(entry);
            return self.parser.skip_known(text);
        }
        let begin = self.body.len() - self.parser.rest().len();
        let Some(suffix) = self.parser.take_predicted(text.len()) else { return false };
        let Suffix { value, timestamp_ms, exemplar, .. } = suffix;
        let mut taken = Taken { value, explicit_ms: timestamp_ms, start: None };
        if self.wants_starts {
            let known = Some(entry);
            taken.start = self.start_of(begin, &self.body[begin..begin + text.len()], known);
        }
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
            Line::Sample(sample) if !self.is_start(&sample) => {
                self.keep_comments();
                self.take_unexpected(&sample)?;
            }
            comment => {
                let has_type = match comment {
                    Line::Type { name, metric_type } => {
                        self.declared = Declared::Known(Family { name, metric_type });
                        true
                    }
                    _ => false,
                };
                let names_family = !matches!(comment, Line::Comment(_) | Line::Sample(_));
                let end = self.body.len() - self.parser.rest().len();
                self.remember_comments(Comments { start, end, has_type, names_family });
            }
        }
        Ok(true)
    }

    fn take_unexpected(&mut self, sample: &Sample<'a>) -> Result<(), BodyRefused> {
        let hash = self.pass.cache.key.hash(sample.series);
        let key = Key { hash, size_bytes: sample.series.len() };
        let start = self.start_of(sample.offset(), sample.series, None);
        let taken = Taken { value: sample.value, explicit_ms: sample.timestamp_ms, start };
        let (body, dialect, statement) = (self.body, self.dialect, self.statement);
        let Self { pass, parser, declared, .. } = self;
        let pushed = pass.take_unexpected(key, taken, |labels, said| {
            said.read_lines(body, statement, dialect);
            let Family { metric_type, .. } = declared.find(body, dialect);
            parser.labels(sample, metric_type, labels)?;
            said.label(labels);
            Ok(())
        })?;
        if let Some(pushed) = pushed
            && let Some(exemplar) = &sample.exemplar
        {
            self.take_exemplar(pushed, exemplar);
        }
        Ok(())
    }

    /// Whether a line tells a start and is no series.
    fn is_start(&mut self, sample: &Sample<'a>) -> bool {
        let Some(starts) = &mut self.starts else { return false };
        starts.is_start(sample, self.declared.find(self.body, self.dialect))
    }

    /// The start of the series of the line that was read last, if anybody wants it.
    fn start_of(&mut self, begin: usize, series: &'a [u8], known: Option<Entry>) -> Option<Start> {
        let rules = self.pass.rules.starts;
        let Some(starts) = &mut self.starts else { return rules.start(None) };
        let family = self.declared.find(self.body, self.dialect);
        let end = self.body.len() - self.parser.rest().len();
        let cache = self.pass.cache;
        let told_ms = starts.of(LineAt { begin, end, series }, family, |start_ms| {
            known.is_some_and(|entry| {
                let is_settled = !rules.are_kept() && cache.has_begun_by(&entry, start_ms);
                entry.kind() == Kind::Dropped || is_settled
            })
        });
        rules.start(told_ms)
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

    /// Remembers comments as one with those right before them.
    fn remember_comments(&mut self, new: Comments) {
        match &mut self.comments {
            Some(before)
                if before.end == new.start && new.end - before.start <= COMMENTS_SIZE_BYTES_MAX =>
            {
                before.end = new.end;
                before.has_type |= new.has_type;
                before.names_family |= new.names_family;
            }
            _ => {
                self.keep_comments();
                self.comments = Some(new);
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
    fn push_comments(&mut self, comments: Comments) {
        let Comments { start, end, has_type, names_family } = comments;
        self.pass.has_new_metadata = true;
        let text = &self.body[start..end];
        let entry = Entry::without_series(&self.pass.cache.key, text, Kind::Comments);
        if self.pass.said.is_wanted && names_family {
            let is_new = self.pass.rules.logs_metadata
                && entry.is_none_or(|entry| self.pass.is_new_statement(entry.hash()));
            self.note_statement(start, end, is_new);
        }
        // Comments longer than an entry can tell are read again each time.
        if let Some(entry) = entry {
            let entry = entry.with(Flag::HasType, has_type);
            self.pass.rebuilt_mut().push(entry.with(Flag::NamesFamily, names_family));
        }
    }
}

impl<'a> Declared<'a> {
    fn find(&mut self, body: &'a [u8], dialect: Dialect) -> Family<'a> {
        match *self {
            Self::Known(family) => family,
            Self::Within { start, end } => {
                let mut comments = Parser::new(&body[start..end], dialect);
                let mut last = Family::default();
                while let Ok(Some(line)) = comments.next_entry() {
                    if let Line::Type { name, metric_type } = line {
                        last = Family { name, metric_type };
                    }
                }
                *self = Self::Known(last);
                last
            }
        }
    }
}
