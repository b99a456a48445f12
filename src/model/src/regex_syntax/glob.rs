//! Expressions of literals with anything between, such as `.*foo.+bar.*`, matched by searching for the literals.

use memchr::memmem::Finder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Literals in their order, with gaps of any characters.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    parts: Vec<Part>,
    /// What may follow the last literal.
    tail: Gap,
}

#[derive(Clone, Debug)]
struct Part {
    gap: Gap,
    literal: Box<str>,
    finder: Finder<'static>,
}

/// Characters, at least so many; `None` is no gap at all.
type Gap = Option<usize>;

impl Glob {
    /// Of an expression that must match the whole text.
    pub(super) fn of(hir: &Hir) -> Option<Self> {
        let items = match hir.kind() {
            HirKind::Concat(items) => items.as_slice(),
            _ => std::slice::from_ref(hir),
        };
        let mut glob = Self { parts: Vec::new(), tail: None };
        for item in items {
            match item.kind() {
                HirKind::Literal(literal) => {
                    let literal = std::str::from_utf8(&literal.0).ok()?;
                    let finder = Finder::new(literal).into_owned();
                    let (gap, literal) = (glob.tail.take(), literal.into());
                    glob.parts.push(Part { gap, literal, finder });
                }
                _ => glob.tail = Some(glob.tail.unwrap_or(0) + gap_min(item)?),
            }
        }
        Some(glob)
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        let mut rest = text;
        for (at, part) in self.parts.iter().enumerate() {
            let is_last = at + 1 == self.parts.len() && self.tail.is_none();
            let found = match part.gap {
                None => rest.starts_with(&*part.literal).then_some(0),
                Some(min) => {
                    let Some(skipped) = size_of_chars(rest, min) else { return false };
                    if is_last {
                        // Where the text ends is where the last literal must end.
                        let start = rest.len().checked_sub(part.literal.len());
                        start.filter(|at| *at >= skipped && rest.ends_with(&*part.literal))
                    } else {
                        // The first place leaves the most for what follows.
                        let found = part.finder.find(&rest.as_bytes()[skipped..]);
                        found.map(|at| at + skipped)
                    }
                }
            };
            let Some(found) = found else { return false };
            rest = &rest[found + part.literal.len()..];
        }
        match self.tail {
            None => rest.is_empty(),
            Some(min) => size_of_chars(rest, min).is_some(),
        }
    }

    pub(super) fn prefix(&self) -> Option<&str> {
        let first = self.parts.first()?;
        first.gap.is_none().then_some(&*first.literal)
    }

    pub(super) fn suffix(&self) -> Option<&str> {
        let last = self.parts.last()?;
        self.tail.is_none().then_some(&*last.literal)
    }

    pub(super) fn matches_everything(&self) -> bool {
        self.parts.is_empty() && self.tail == Some(0)
    }
}

/// The least number of characters of a repetition of any character without upper bound.
fn gap_min(hir: &Hir) -> Option<usize> {
    let HirKind::Repetition(repetition) = hir.kind() else { return None };
    let HirKind::Class(Class::Unicode(class)) = repetition.sub.kind() else { return None };
    let is_any = matches!(class.ranges(), [all] if (all.start(), all.end()) == ('\0', char::MAX));
    (is_any && repetition.max.is_none()).then_some(repetition.min as usize)
}

/// How many bytes the first `count` characters take; `None` if there are fewer.
fn size_of_chars(text: &str, count: usize) -> Option<usize> {
    match count {
        0 => Some(0),
        _ => text.char_indices().nth(count - 1).map(|(at, c)| at + c.len_utf8()),
    }
}
