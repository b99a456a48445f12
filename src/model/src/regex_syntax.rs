//! Go's (RE2) regular expressions on the engine of `regex-automata`: same language, same texts of errors.
//! Matching in linear time; what needs no engine is matched without one. Templates are in `regex_expand`.
//! Compat: Go `regexp/syntax` as `github.com/grafana/regexp` ships it, and Prometheus `model/labels/regexp.go`.

mod class;
mod error;
mod escape;
mod glob;
mod parser;
mod plan;
mod repeat;
mod unicode;

use std::{fmt, sync::OnceLock};

use regex_automata::{
    Anchored, Input,
    meta::{Config, Regex},
    nfa::thompson::WhichCaptures,
};
use regex_syntax::hir::{Hir, HirKind, Look};

pub use error::{RegexError, RegexErrorCode};

use self::{parser::Options, plan::Plan};

/// Most memory that the program of one expression may take.
const PROGRAM_SIZE_BYTES_MAX: usize = 16 << 20;
/// Most strings that [`GoRegex::literals`] lists. Compat: `maxSetMatches`.
const LITERALS_COUNT_MAX: usize = 256;

/// A compiled expression.
#[derive(Clone)]
pub struct GoRegex {
    pattern: Box<str>,
    mode: Mode,
    plan: Plan,
    /// Compiled when groups are asked for first.
    capturing: OnceLock<Capturing>,
}

/// What stands around the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Anchored,
    Enclosed,
    Unanchored,
}

/// An engine that tells groups.
#[derive(Clone, Debug)]
pub(crate) struct Capturing {
    pub(crate) regex: Regex,
    /// Names and numbers of groups, in their order. Names need not be unique.
    pub(crate) names: Vec<(String, usize)>,
}

impl GoRegex {
    /// For matchers: the whole text must match, and `.` matches line feeds.
    ///
    /// # Errors
    /// The pattern is not valid Go syntax, or too large.
    pub fn anchored(pattern: &str) -> Result<Self, RegexError> {
        Self::compile(pattern, Mode::Anchored)
    }

    /// For relabelling and `label_replace`, where Go compiles `^(?s:pattern)$`: the same as [`GoRegex::anchored`],
    /// but for the texts of errors, which show the whole, and for patterns that close the group themselves.
    ///
    /// # Errors
    /// The enclosed pattern is not valid Go syntax, or too large.
    pub fn enclosed(pattern: &str) -> Result<Self, RegexError> {
        Self::compile(pattern, Mode::Enclosed)
    }

    /// For templates: any part of the text may match, and `.` does not match line feeds.
    ///
    /// # Errors
    /// The pattern is not valid Go syntax, or too large.
    pub fn unanchored(pattern: &str) -> Result<Self, RegexError> {
        Self::compile(pattern, Mode::Unanchored)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.plan.is_match(text)
    }

    /// All strings the expression matches, when they are few (at most 256): `a|b|c`, `a[0-9]`, and `""` too.
    /// They are sorted. Nothing else matches.
    pub fn literals(&self) -> Option<&[String]> {
        self.plan.literals().filter(|literals| literals.len() <= LITERALS_COUNT_MAX)
    }

    /// A literal that every match begins with.
    pub fn prefix(&self) -> Option<&str> {
        self.plan.prefix()
    }

    /// A literal that every match ends with.
    pub fn suffix(&self) -> Option<&str> {
        self.plan.suffix()
    }

    /// Whether every text matches, as with `.*`.
    pub fn matches_everything(&self) -> bool {
        self.plan.matches_everything()
    }

    /// Whether the whole text has to match.
    pub(crate) fn is_whole(&self) -> bool {
        self.mode != Mode::Unanchored
    }

    pub(crate) fn capturing(&self) -> &Capturing {
        self.capturing.get_or_init(|| {
            const KNOWN: &str = "the same expression was compiled without groups";
            let parsed = self.mode.parse(&self.pattern, true).expect(KNOWN);
            let whole = if parsed.is_inner { enclose(parsed.hir) } else { parsed.hir };
            let regex = engine(&whole, WhichCaptures::All, None).expect(KNOWN);
            Capturing { regex, names: parsed.names }
        })
    }

    fn compile(pattern: &str, mode: Mode) -> Result<Self, RegexError> {
        let parsed = mode.parse(pattern, false)?;
        let plan = if parsed.is_inner { Plan::whole(&parsed.hir) } else { None };
        let plan = match plan {
            Some(plan) => plan,
            None => {
                let affixes = parsed.is_inner.then(|| plan::Affixes::of(&parsed.hir));
                let whole = if parsed.is_inner { enclose(parsed.hir) } else { parsed.hir };
                let limit = Some(PROGRAM_SIZE_BYTES_MAX);
                let regex =
                    engine(&whole, WhichCaptures::None, limit).ok_or_else(|| RegexError {
                        code: RegexErrorCode::TooLarge,
                        expression: mode.compiled_text(pattern),
                    })?;
                Plan::Engine { regex, affixes: affixes.unwrap_or_default() }
            }
        };
        Ok(Self { pattern: pattern.into(), mode, plan, capturing: OnceLock::new() })
    }
}

impl fmt::Debug for GoRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoRegex").field("pattern", &self.pattern).field("mode", &self.mode).finish()
    }
}

/// A parsed pattern.
struct Parsed {
    hir: Hir,
    names: Vec<(String, usize)>,
    /// Whether anchors still have to be put around it.
    is_inner: bool,
}

impl Mode {
    fn parse(self, pattern: &str, captures: bool) -> Result<Parsed, RegexError> {
        let parse = |text: &str, dot_matches_newline, is_inner| {
            let options = Options { dot_matches_newline, captures };
            let (hir, names) = parser::parse(text, options)?;
            let hir = if is_inner { without_outer_anchors(hir) } else { hir };
            Ok(Parsed { hir, names, is_inner })
        };
        match self {
            Self::Anchored => parse(pattern, true, true),
            Self::Unanchored => parse(pattern, false, false),
            Self::Enclosed => {
                // The whole decides what is valid. The inner part alone tells more, if it is valid alone:
                // groups and `\Q` then end before the enclosing group does.
                let whole = parse(&self.compiled_text(pattern), false, false)?;
                let is_open_quote = pattern.rfind("\\Q") > pattern.rfind("\\E");
                match parse(pattern, true, true) {
                    Ok(inner) if !is_open_quote => Ok(inner),
                    _ => Ok(whole),
                }
            }
        }
    }

    /// The text that Go parses.
    fn compiled_text(self, pattern: &str) -> String {
        match self {
            Self::Anchored | Self::Unanchored => pattern.to_owned(),
            Self::Enclosed => format!("^(?s:{pattern})$"),
        }
    }
}

/// Anchors at both ends say nothing new where the whole text has to match anyway.
fn without_outer_anchors(hir: Hir) -> Hir {
    let is = |hir: &Hir, look| matches!(hir.kind(), HirKind::Look(found) if *found == look);
    let HirKind::Concat(items) = hir.kind() else { return hir };
    let mut items = items.clone();
    let end = items.iter().rposition(|item| !is(item, Look::End)).map_or(0, |at| at + 1);
    items.truncate(end);
    let start = items.iter().position(|item| !is(item, Look::Start)).unwrap_or(items.len());
    items.drain(..start);
    Hir::concat(items)
}

fn enclose(hir: Hir) -> Hir {
    Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)])
}

fn engine(hir: &Hir, captures: WhichCaptures, size_bytes_max: Option<usize>) -> Option<Regex> {
    let config = Config::new().which_captures(captures).nfa_size_limit(size_bytes_max);
    Regex::builder().configure(config).build_from_hir(hir).ok()
}

/// Whether the engine finds a match; anchored expressions are not looked for further on.
fn engine_is_match(regex: &Regex, is_anchored: bool, text: &str) -> bool {
    let anchored = if is_anchored { Anchored::Yes } else { Anchored::No };
    regex.is_match(Input::new(text).anchored(anchored))
}

#[cfg(test)]
mod tests;
