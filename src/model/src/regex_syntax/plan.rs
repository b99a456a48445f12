//! How an expression is matched: as a set of strings, by searching for literals, or by the engine.

use std::str;

use regex_automata::meta::Regex;
use regex_syntax::hir::{
    Hir,
    literal::{ExtractKind, Extractor, Seq},
};

use super::{engine_is_match, glob::Glob};

/// Most strings that are kept as a set.
const SET_COUNT_MAX: usize = 4096;
/// Longest string of a set, in bytes.
const SET_STRING_SIZE_BYTES_MAX: usize = 4096;
/// Largest class, and largest repetition, that is taken apart.
const EXPANSION_COUNT_MAX: usize = 256;

#[derive(Clone, Debug)]
pub(super) enum Plan {
    /// All that matches, sorted.
    Set(Box<[String]>),
    Glob(Glob),
    Engine {
        regex: Regex,
        affixes: Affixes,
    },
}

/// What every match begins and ends with, checked before the engine is asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Affixes {
    prefix: String,
    suffix: String,
    /// No match is shorter.
    size_min: usize,
    is_anchored: bool,
}

impl Plan {
    /// For an expression without anchors that has to match the whole text; `None` if it needs the engine.
    pub(super) fn whole(hir: &Hir) -> Option<Self> {
        if !hir.properties().look_set().is_empty() {
            return None;
        }
        match set_of(hir) {
            Some(set) => Some(Self::Set(set)),
            None => Glob::of(hir).map(Self::Glob),
        }
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Set(set) => set.binary_search_by(|one| one.as_str().cmp(text)).is_ok(),
            Self::Glob(glob) => glob.is_match(text),
            Self::Engine { regex, affixes } => {
                affixes.allow(text) && engine_is_match(regex, affixes.is_anchored, text)
            }
        }
    }

    pub(super) fn literals(&self) -> Option<&[String]> {
        match self {
            Self::Set(set) => Some(set),
            Self::Glob(_) | Self::Engine { .. } => None,
        }
    }

    pub(super) fn prefix(&self) -> Option<&str> {
        match self {
            Self::Set(set) => common_prefix(set),
            Self::Glob(glob) => glob.prefix(),
            Self::Engine { affixes, .. } => not_empty(&affixes.prefix),
        }
    }

    pub(super) fn suffix(&self) -> Option<&str> {
        match self {
            // Nobody plans by the suffix of a set: its strings are known.
            Self::Set(_) => None,
            Self::Glob(glob) => glob.suffix(),
            Self::Engine { affixes, .. } => not_empty(&affixes.suffix),
        }
    }

    pub(super) fn matches_everything(&self) -> bool {
        matches!(self, Self::Glob(glob) if glob.matches_everything())
    }
}

impl Affixes {
    /// Of an expression that has to match the whole text.
    pub(super) fn of(hir: &Hir) -> Self {
        let properties = hir.properties();
        let mut affixes = Self {
            size_min: properties.minimum_len().unwrap_or(0),
            is_anchored: true,
            ..Self::default()
        };
        // Anchors inside make literals that no match has; they are rare, and left to the engine.
        if properties.look_set().is_empty() {
            let prefixes = extract(hir, ExtractKind::Prefix);
            affixes.prefix =
                valid_start(prefixes.longest_common_prefix().unwrap_or_default()).to_owned();
            let suffixes = extract(hir, ExtractKind::Suffix);
            affixes.suffix =
                valid_end(suffixes.longest_common_suffix().unwrap_or_default()).to_owned();
        }
        affixes
    }

    fn allow(&self, text: &str) -> bool {
        text.len() >= self.size_min
            && text.starts_with(&self.prefix)
            && text.ends_with(&self.suffix)
    }
}

/// All strings of an expression, if they are finitely many and not too many.
fn set_of(hir: &Hir) -> Option<Box<[String]>> {
    let strings = extract(hir, ExtractKind::Prefix);
    if !strings.is_exact() {
        return None;
    }
    let mut set = Vec::with_capacity(strings.len()?);
    for literal in strings.literals()? {
        set.push(str::from_utf8(literal.as_bytes()).ok()?.to_owned());
    }
    set.sort_unstable();
    set.dedup();
    Some(set.into())
}

fn extract(hir: &Hir, kind: ExtractKind) -> Seq {
    Extractor::new()
        .kind(kind)
        .limit_class(EXPANSION_COUNT_MAX)
        .limit_repeat(EXPANSION_COUNT_MAX)
        .limit_literal_len(SET_STRING_SIZE_BYTES_MAX)
        .limit_total(SET_COUNT_MAX)
        .extract(hir)
}

fn common_prefix(set: &[String]) -> Option<&str> {
    // The set is sorted, so what its ends share is what all share.
    let (first, last) = (set.first()?, set.last()?);
    let size = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
    not_empty(&first[..first.floor_char_boundary(size)])
}

fn not_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// As much of the beginning as is whole characters.
fn valid_start(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

/// As much of the end as is whole characters.
fn valid_end(bytes: &[u8]) -> &str {
    let start = bytes.iter().position(|b| !matches!(b, 0x80..=0xbf)).unwrap_or(bytes.len());
    str::from_utf8(&bytes[start..]).unwrap_or_default()
}
