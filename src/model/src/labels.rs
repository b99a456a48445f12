//! The label set of a series: sorted name/value pairs in one shared allocation.
//! Interning and postings belong to the storage, validation to whoever reads foreign input.

mod builder;

pub use builder::LabelsBuilder;

use std::{borrow::Borrow, cmp::Ordering, fmt, sync::Arc};

use xxhash_rust::xxh64::xxh64;

use crate::{METRIC_NAME, NameValidation, quote_go};

/// Longest string one length byte can tell; longer ones take `0xff` and three bytes, little-endian.
const SHORT_LEN_MAX: usize = 254;
/// Longest name or value the encoding holds, in bytes.
pub(crate) const STRING_SIZE_MAX: usize = 0x00ff_ffff;

/// What nearly all sets need while they are made.
const USUAL_SIZE_BYTES: usize = 256;

/// A sorted label set (I1). Cloning shares the bytes.
///
/// Layout: for each pair the name, then the value, each as length and bytes; a length up to 254 is one
/// byte, a longer one is `0xff` and three little-endian bytes.
/// Compat: Prometheus `model/labels/labels_stringlabels.go` (I2).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels {
    data: Arc<[u8]>,
}

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        Self { data: Arc::from([]) }
    }

    /// Builds a set from pairs in any order; the last of two equal names wins, empty values are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.labels()
    }

    /// Wraps pairs that are already sorted by name, unique and without empty values (I1).
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut data = Vec::with_capacity(USUAL_SIZE_BYTES);
        let mut previous: Option<&str> = None;
        for (name, value) in pairs {
            debug_assert!(previous.is_none_or(|p| p < name) && !value.is_empty());
            previous = Some(name);
            push_string(&mut data, name.as_bytes());
            push_string(&mut data, value.as_bytes());
        }
        Self { data: Arc::from(data) }
    }

    /// Pairs in order of their names.
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter { bytes: self.byte_pairs() }
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        for (known, value) in self.byte_pairs() {
            match known.cmp(name.as_bytes()) {
                Ordering::Less => {}
                Ordering::Equal => return Some(as_text(value)),
                Ordering::Greater => break,
            }
        }
        None
    }

    /// The value of `__name__`, empty if there is none.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// How many pairs.
    pub fn count(&self) -> usize {
        self.byte_pairs().count()
    }

    /// The encoded bytes: stable identity of the set (I2).
    pub fn as_bytes(&self) -> &[u8] {
        &self.data
    }

    /// xxHash64 of the encoded bytes. Compat: `Labels.Hash()` of a stringlabels build.
    pub fn hash64(&self) -> u64 {
        xxh64(&self.data, 0)
    }

    /// The set without the named labels.
    pub fn without(&self, names: &[&str]) -> Self {
        self.filtered(|name| !names.iter().any(|n| n.as_bytes() == name))
    }

    /// The set with only the named labels.
    pub fn keep(&self, names: &[&str]) -> Self {
        self.filtered(|name| names.iter().any(|n| n.as_bytes() == name))
    }

    fn filtered(&self, keep: impl Fn(&[u8]) -> bool) -> Self {
        let mut data = Vec::with_capacity(self.data.len());
        for (name, value) in self.byte_pairs().filter(|(name, _)| keep(name)) {
            push_string(&mut data, name);
            push_string(&mut data, value);
        }
        Self { data: Arc::from(data) }
    }

    /// Pairs whose text nobody has to look at: to compare, skip and copy, bytes do.
    pub fn byte_pairs(&self) -> BytePairs<'_> {
        BytePairs { rest: &self.data }
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl Ord for Labels {
    /// Pair by pair, name before value; a set that is a prefix of another comes first.
    /// Compat: `labels.Compare`.
    fn cmp(&self, other: &Self) -> Ordering {
        self.byte_pairs().cmp(other.byte_pairs())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<[u8]> for Labels {
    fn borrow(&self) -> &[u8] {
        &self.data
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Labels {
    /// `{a="b", c="d"}`, names quoted where they are not plain. Compat: `Labels.String()`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if NameValidation::Legacy.is_valid_label_name(name) {
                f.write_str(name)?;
            } else {
                f.write_str(&quote_go(name))?;
            }
            f.write_str("=")?;
            f.write_str(&quote_go(value))?;
        }
        f.write_str("}")
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = LabelsIter<'a>;

    fn into_iter(self) -> LabelsIter<'a> {
        self.iter()
    }
}

/// Iterates over name/value pairs.
#[derive(Clone, Debug)]
pub struct LabelsIter<'a> {
    bytes: BytePairs<'a>,
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.bytes.next()?;
        Some((as_text(name), as_text(value)))
    }
}

/// Iterates over pairs without reading them. UTF-8 orders as its bytes do.
#[derive(Clone, Debug)]
pub struct BytePairs<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for BytePairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let name = take_string(&mut self.rest);
        let value = take_string(&mut self.rest);
        Some((name, value))
    }
}

const OWN_BYTES: &str = "label bytes are written by this module only";

/// Cuts a computed text to what a label may hold.
pub(crate) fn cut_to_label(text: &mut String) {
    text.truncate(text.floor_char_boundary(STRING_SIZE_MAX));
}

fn push_string(data: &mut Vec<u8>, text: &[u8]) {
    let size = text.len();
    assert!(size <= STRING_SIZE_MAX, "label strings over 16 MiB are refused where they are read");
    if size <= SHORT_LEN_MAX {
        data.push(size as u8);
    } else {
        data.push(0xff);
        data.extend_from_slice(&(size as u32).to_le_bytes()[..3]);
    }
    data.extend_from_slice(text);
}

fn take_string<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let (size, data) = match rest {
        [0xff, a, b, c, data @ ..] => (u32::from_le_bytes([*a, *b, *c, 0]) as usize, data),
        [size, data @ ..] => (usize::from(*size), data),
        [] => (0, *rest),
    };
    let (text, after) = data.split_at_checked(size).expect(OWN_BYTES);
    *rest = after;
    text
}

fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect(OWN_BYTES)
}

#[cfg(test)]
mod tests;
