//! The parser: Go's grammar into the tree of `regex-syntax`. A stack of open groups, no recursion.

use regex_syntax::hir::{Capture, Class, Dot, Hir, Look, Repetition};

use super::{
    RegexError, RegexErrorCode, class, escape,
    repeat::{self, Bounds, REPEAT_COUNT_MAX},
    unicode,
};

/// Deepest tree. Compat: `maxHeight`.
const HEIGHT_MAX: usize = 1000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) dot_matches_newline: bool,
    /// Whether groups are told; a tree without them is smaller and simpler to look through.
    pub(super) captures: bool,
}

/// Flags that a group may change for its rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) fold_case: bool,
    multi_line: bool,
    dot_matches_newline: bool,
    swap_greed: bool,
}

/// A finished part and what its limits need to know.
#[derive(Debug)]
struct Item {
    hir: Hir,
    height: usize,
    /// How many copies of its innermost part the counted repetitions make, at most.
    copies: usize,
}

/// A group that is still open; the outermost one stands for the whole.
#[derive(Debug)]
struct Group {
    /// Number of a capturing group.
    capture: Option<u32>,
    /// Flags to go back to when it closes.
    flags_outside: Flags,
    alternatives: Vec<Item>,
    sequence: Vec<Item>,
}

struct Parser<'p> {
    whole: &'p str,
    rest: &'p str,
    options: Options,
    flags: Flags,
    groups: Vec<Group>,
    captures_count: u32,
    names: Vec<(String, usize)>,
}

/// The tree of a pattern, and the names and numbers of its groups.
pub(super) fn parse(
    pattern: &str,
    options: Options,
) -> Result<(Hir, Vec<(String, usize)>), RegexError> {
    let flags = Flags {
        fold_case: false,
        multi_line: false,
        dot_matches_newline: options.dot_matches_newline,
        swap_greed: false,
    };
    let mut parser = Parser {
        whole: pattern,
        rest: pattern,
        options,
        flags,
        groups: vec![Group::new(None, flags)],
        captures_count: 0,
        names: Vec::new(),
    };
    parser.run()?;
    let Some(outermost) = parser.groups.pop().filter(|_| parser.groups.is_empty()) else {
        return Err(RegexErrorCode::MissingParen.at(pattern));
    };
    Ok((outermost.finish().hir, parser.names))
}

impl Parser<'_> {
    fn run(&mut self) -> Result<(), RegexError> {
        // The repetition just read, with all that follows: another one must not stand right behind it.
        let mut last_repeat: Option<&str> = None;
        while let Some(c) = self.rest.chars().next() {
            let before = self.rest;
            let repeat = match c {
                '*' | '+' | '?' => Some((Bounds::of_operator(c), &before[1..])),
                '{' => repeat::counted(before)?,
                _ => None,
            };
            if let Some((bounds, after)) = repeat {
                self.repeat(bounds, before, after, last_repeat)?;
                last_repeat = Some(before);
                continue;
            }
            last_repeat = None;
            self.rest = &before[c.len_utf8()..];
            match c {
                '(' if self.rest.starts_with('?') => self.open_perl_group(before)?,
                '(' => self.open_capture(),
                ')' => self.close()?,
                '|' => self.innermost().end_alternative(),
                '^' if self.flags.multi_line => self.push(Hir::look(Look::StartLF))?,
                '^' => self.push(Hir::look(Look::Start))?,
                '$' if self.flags.multi_line => self.push(Hir::look(Look::EndLF))?,
                '$' => self.push(Hir::look(Look::End))?,
                '.' if self.flags.dot_matches_newline => self.push(Hir::dot(Dot::AnyChar))?,
                '.' => self.push(Hir::dot(Dot::AnyCharExceptLF))?,
                '[' => {
                    let (class, rest) = class::bracketed(before, self.flags.fold_case)?;
                    self.rest = rest;
                    self.push(Hir::class(Class::Unicode(class)))?;
                }
                '\\' => self.backslash(before)?,
                _ => self.literal(c)?,
            }
        }
        Ok(())
    }

    /// A backslash and what belongs to it; `text` begins with it.
    fn backslash(&mut self, text: &str) -> Result<(), RegexError> {
        let Some(kind) = text[1..].chars().next() else {
            return Err(RegexErrorCode::TrailingBackslash.at(""));
        };
        let look = match kind {
            'A' => Some(Look::Start),
            'z' => Some(Look::End),
            'b' => Some(Look::WordAscii),
            'B' => Some(Look::WordAsciiNegate),
            _ => None,
        };
        if let Some(look) = look {
            self.advance(text, 2);
            return self.push(Hir::look(look));
        }
        if kind == 'Q' {
            let quoted = text[2..].split_once("\\E").map_or(&text[2..], |(quoted, _)| quoted);
            self.advance(text, 2 + quoted.len() + "\\E".len());
            return quoted.chars().try_for_each(|c| self.literal(c));
        }
        if let Some((class, size)) = unicode::class(text, self.flags.fold_case)? {
            self.advance(text, size);
            return self.push(Hir::class(Class::Unicode(class)));
        }
        if let Some(class) = class::perl(text, self.flags.fold_case) {
            self.advance(text, 2);
            return self.push(Hir::class(Class::Unicode(class)));
        }
        let (code, size) = escape::escape(text)?;
        self.advance(text, size);
        match char::from_u32(code) {
            Some(c) => self.literal(c),
            // A surrogate: no text holds one.
            None => self.push(Hir::fail()),
        }
    }

    fn literal(&mut self, c: char) -> Result<(), RegexError> {
        let hir = if self.flags.fold_case {
            Hir::class(Class::Unicode(class::folded(c)))
        } else {
            Hir::literal(c.encode_utf8(&mut [0; 4]).as_bytes())
        };
        self.push(hir)
    }

    /// Puts a repetition around the last part.
    fn repeat(
        &mut self,
        bounds: Bounds,
        before: &str,
        after: &str,
        last_repeat: Option<&str>,
    ) -> Result<(), RegexError> {
        let is_lazy = after.starts_with('?');
        let after_size = after.len() - usize::from(is_lazy);
        let read = &before[..before.len() - after_size];
        if let Some(last) = last_repeat {
            let both = &last[..last.len() - after_size];
            return Err(RegexErrorCode::InvalidRepeatOperator.at(both));
        }
        let Some(item) = self.innermost().sequence.pop() else {
            return Err(RegexErrorCode::MissingRepeatArgument.at(read));
        };
        let copies = bounds.copies(item.copies);
        if bounds.is_counted() && copies > REPEAT_COUNT_MAX as usize {
            return Err(RegexErrorCode::InvalidRepeatSize.at(read));
        }
        let hir = if bounds.max == Some(0) {
            never(item.hir)
        } else {
            Hir::repetition(Repetition {
                min: bounds.min,
                max: bounds.max,
                greedy: is_lazy == self.flags.swap_greed,
                sub: Box::new(item.hir),
            })
        };
        let whole = self.whole;
        self.rest = &whole[whole.len() - after_size..];
        self.push_item(Item { hir, height: item.height + 1, copies })
    }

    /// `(?` and what follows: a name, flags, or both group and flags; `text` begins with the parenthesis.
    fn open_perl_group(&mut self, text: &str) -> Result<(), RegexError> {
        for start in ["(?P<", "(?<"] {
            if text.len() > start.len() && text.starts_with(start) {
                return self.open_named_capture(text, start.len());
            }
        }
        let flags_outside = self.flags;
        let (flags, size, opens) = read_flags(text, self.flags)?;
        self.advance(text, size);
        self.flags = flags;
        if opens {
            self.groups.push(Group::new(None, flags_outside));
        }
        Ok(())
    }

    fn open_named_capture(&mut self, text: &str, name_start: usize) -> Result<(), RegexError> {
        let Some(end) = text.find('>') else {
            return Err(RegexErrorCode::InvalidNamedCapture.at(text));
        };
        let name = &text[name_start..end];
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(is_word) {
            return Err(RegexErrorCode::InvalidNamedCapture.at(&text[..=end]));
        }
        self.advance(text, end + 1);
        self.open_capture();
        self.names.push((name.to_owned(), self.captures_count as usize));
        Ok(())
    }

    fn open_capture(&mut self) {
        self.captures_count += 1;
        self.groups.push(Group::new(Some(self.captures_count), self.flags));
    }

    fn close(&mut self) -> Result<(), RegexError> {
        if self.groups.len() < 2 {
            return Err(RegexErrorCode::UnexpectedParen.at(self.whole));
        }
        let group = self.groups.pop().expect("there are two");
        self.flags = group.flags_outside;
        let capture = group.capture;
        let Item { mut hir, mut height, copies } = group.finish();
        if let Some(index) = capture {
            height += 1;
            if self.options.captures {
                // Names are kept apart: they need not be unique in Go.
                hir = Hir::capture(Capture { index, name: None, sub: Box::new(hir) });
            }
        }
        self.push_item(Item { hir, height, copies })
    }

    fn push(&mut self, hir: Hir) -> Result<(), RegexError> {
        self.push_item(Item { hir, height: 1, copies: 1 })
    }

    fn push_item(&mut self, item: Item) -> Result<(), RegexError> {
        if item.height > HEIGHT_MAX {
            return Err(RegexErrorCode::NestingDepth.at(self.whole));
        }
        self.innermost().sequence.push(item);
        Ok(())
    }

    fn innermost(&mut self) -> &mut Group {
        self.groups.last_mut().expect("the outermost group is closed by nobody")
    }

    /// Goes to `size` bytes behind the beginning of `text`, which is a rest of the pattern.
    fn advance(&mut self, text: &str, size: usize) {
        let whole = self.whole;
        self.rest = &whole[whole.len() - text.len().saturating_sub(size)..];
    }
}

impl Group {
    fn new(capture: Option<u32>, flags_outside: Flags) -> Self {
        Self { capture, flags_outside, alternatives: Vec::new(), sequence: Vec::new() }
    }

    fn end_alternative(&mut self) {
        let sequence = std::mem::take(&mut self.sequence);
        self.alternatives.push(combine(sequence, Hir::concat));
    }

    fn finish(mut self) -> Item {
        self.end_alternative();
        combine(self.alternatives, Hir::alternation)
    }
}

/// Nothing, though groups inside keep their numbers: the engine wants them without gaps.
fn never(hir: Hir) -> Hir {
    match hir.properties().explicit_captures_len() {
        0 => Hir::empty(),
        _ => Hir::alternation(vec![Hir::empty(), Hir::concat(vec![Hir::fail(), hir])]),
    }
}

fn combine(items: Vec<Item>, make: fn(Vec<Hir>) -> Hir) -> Item {
    let height = items.iter().map(|item| item.height).max().unwrap_or(0);
    let copies = items.iter().map(|item| item.copies).max().unwrap_or(1);
    let height = height + usize::from(items.len() != 1);
    Item { hir: make(items.into_iter().map(|item| item.hir).collect()), height, copies }
}

/// The flags behind `(?`, how long all is, and whether a group opens.
fn read_flags(text: &str, outside: Flags) -> Result<(Flags, usize, bool), RegexError> {
    let mut flags = outside;
    let (mut value, mut seen) = (true, false);
    for (at, c) in text.char_indices().skip(2) {
        let end = at + c.len_utf8();
        match c {
            'i' => flags.fold_case = value,
            'm' => flags.multi_line = value,
            's' => flags.dot_matches_newline = value,
            'U' => flags.swap_greed = value,
            '-' if value => {
                (value, seen) = (false, false);
                continue;
            }
            ':' | ')' if value || seen => return Ok((flags, end, c == ':')),
            _ => return Err(RegexErrorCode::InvalidPerlOperator.at(&text[..end])),
        }
        seen = true;
    }
    Err(RegexErrorCode::InvalidPerlOperator.at(text))
}
