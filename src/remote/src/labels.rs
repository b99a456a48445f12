//! The labels of a series as they come: raw bytes that identify it, read only when it is not known.

use std::{
    hash::{BuildHasher, RandomState},
    str,
};

use prom_model::{Labels, METRIC_NAME, NameValidation};
use xxhash_rust::xxh3::xxh3_128_with_secret;

use crate::wire::{Fields, WireError};

/// Key of `TimeSeries.labels`, `Exemplar.labels`: field 1, a nested message.
pub(crate) const LABEL_KEY: u8 = 0x0a;
/// Longest name or value that is taken: far beyond use, well below what the encoding of labels holds.
const TEXT_SIZE_BYTES_MAX: usize = 1 << 20;
/// Label sets are rarely larger.
const USUAL_LABELS_COUNT: usize = 16;
/// As much as XXH3 uses, in words.
const SECRET_WORDS: usize = 24;

/// Identity of a label set by the bytes in which a sender writes it.
pub(crate) type LabelsKey = u128;

/// Makes keys that a sender cannot predict, so that it cannot make two sets collide.
#[derive(Clone)]
pub(crate) struct KeyMaker {
    secret: [u8; SECRET_WORDS * 8],
}

impl KeyMaker {
    pub(crate) fn new() -> Self {
        let source = RandomState::new();
        let mut secret = [0; SECRET_WORDS * 8];
        for (index, word) in secret.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&source.hash_one(index).to_le_bytes());
        }
        Self { secret }
    }

    #[inline]
    pub(crate) fn key(&self, label_bytes: &[u8]) -> LabelsKey {
        xxh3_128_with_secret(label_bytes, &self.secret)
    }
}

impl std::fmt::Debug for KeyMaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyMaker").finish_non_exhaustive()
    }
}

/// Labels that are no series. Texts follow Prometheus `storage/remote/write_handler.go`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LabelsError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("invalid metric name or labels, got {0}")]
    Invalid(String),
    #[error("invalid labels for series, labels {labels}, duplicated label {name}")]
    Duplicate { labels: String, name: String },
}

/// The labels of a series, from the messages of its pairs in any order.
pub(crate) fn series_labels<'a>(
    messages: impl Iterator<Item = Result<&'a [u8], WireError>>,
) -> Result<Labels, LabelsError> {
    let pairs = read_pairs(messages)?;
    let name = pairs.iter().find(|pair| pair.0 == METRIC_NAME.as_bytes());
    if name.is_none_or(|pair| pair.1.is_empty()) {
        return Err(LabelsError::Invalid(show(&pairs)));
    }
    checked(pairs)
}

/// The labels of an exemplar: there may be none, and any text will do.
pub(crate) fn exemplar_labels<'a>(
    messages: impl Iterator<Item = Result<&'a [u8], WireError>>,
) -> Result<Labels, LabelsError> {
    checked(read_pairs(messages)?)
}

type Pair<'a> = (&'a [u8], &'a [u8]);

/// Pairs sorted by name; of equal names the first comes first.
fn read_pairs<'a>(
    messages: impl Iterator<Item = Result<&'a [u8], WireError>>,
) -> Result<Vec<Pair<'a>>, WireError> {
    let mut pairs = Vec::with_capacity(USUAL_LABELS_COUNT);
    for message in messages {
        let mut pair: Pair<'_> = (&[], &[]);
        for field in Fields::new(message?) {
            match field? {
                (1, value) => pair.0 = value.bytes("Name")?,
                (2, value) => pair.1 = value.bytes("Value")?,
                _ => {}
            }
        }
        pairs.push(pair);
    }
    pairs.sort_by_key(|pair| pair.0);
    Ok(pairs)
}

fn checked(pairs: Vec<Pair<'_>>) -> Result<Labels, LabelsError> {
    let mut texts = Vec::with_capacity(pairs.len());
    for (name, value) in &pairs {
        match (text(name), text(value)) {
            (Some(name), Some(value)) if NameValidation::Utf8.is_valid_label_name(name) => {
                texts.push((name, value));
            }
            _ => return Err(LabelsError::Invalid(show(&pairs))),
        }
    }
    if let Some(twice) = texts.windows(2).find(|two| two[0].0 == two[1].0) {
        let name = twice[0].0.to_owned();
        return Err(LabelsError::Duplicate { labels: show(&pairs), name });
    }
    texts.retain(|pair| !pair.1.is_empty());
    Ok(Labels::from_sorted(texts))
}

fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok().filter(|text| text.len() <= TEXT_SIZE_BYTES_MAX)
}

/// The pairs as they came, for a message; long ones are cut.
fn show(pairs: &[Pair<'_>]) -> String {
    const SHOWN_CHARS_MAX: usize = 512;
    let mut shown = String::from("{");
    for (index, (name, value)) in pairs.iter().enumerate() {
        if shown.len() > SHOWN_CHARS_MAX {
            shown.push_str(", ...");
            break;
        }
        let separator = if index == 0 { "" } else { ", " };
        let cut = |bytes: &[u8]| {
            let bytes = bytes.get(..SHOWN_CHARS_MAX).unwrap_or(bytes);
            String::from_utf8_lossy(bytes).into_owned()
        };
        let name = cut(name);
        let name = match NameValidation::Legacy.is_valid_label_name(&name) {
            true => name,
            false => format!("{name:?}"),
        };
        shown.push_str(&format!("{separator}{name}={:?}", cut(value)));
    }
    shown.push('}');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = vec![0x0a, name.len() as u8];
        out.extend_from_slice(name);
        out.extend_from_slice(&[0x12, value.len() as u8]);
        out.extend_from_slice(value);
        out
    }

    fn check(pairs: &[(&[u8], &[u8])], expected: Result<&str, &str>) {
        let messages: Vec<_> = pairs.iter().map(|(n, v)| message(n, v)).collect();
        let labels = series_labels(messages.iter().map(|message| Ok(&message[..])));
        let shown = labels.map(|labels| labels.to_string()).map_err(|err| err.to_string());
        assert_eq!(shown.as_deref().map_err(|e| &**e), expected);
    }

    #[test]
    fn labels_are_sorted_and_checked() {
        let name: (&[u8], &[u8]) = (b"__name__", b"up");
        check(&[name], Ok(r#"{__name__="up"}"#));
        check(&[(b"x", b"1"), name, (b"e", b"")], Ok(r#"{__name__="up", x="1"}"#));
        check(&[(b"a b", b"1"), name], Ok(r#"{__name__="up", "a b"="1"}"#));
        check(&[(b"x", b"1")], Err(r#"invalid metric name or labels, got {x="1"}"#));
        check(&[], Err("invalid metric name or labels, got {}"));
        check(
            &[name, (b"", b"1")],
            Err(r#"invalid metric name or labels, got {""="1", __name__="up"}"#),
        );
        check(
            &[name, (b"x", b"\xff")],
            Err("invalid metric name or labels, got {__name__=\"up\", x=\"\u{fffd}\"}"),
        );
        check(
            &[name, (b"x", b"1"), (b"x", b"2")],
            Err(
                r#"invalid labels for series, labels {__name__="up", x="1", x="2"}, duplicated label x"#,
            ),
        );
    }

    #[test]
    fn keys_differ_by_process_and_by_bytes() {
        let (one, other) = (KeyMaker::new(), KeyMaker::new());
        assert_eq!(one.key(b"a"), one.clone().key(b"a"));
        assert_ne!(one.key(b"a"), one.key(b"b"));
        assert_ne!(one.key(b"a"), other.key(b"a"));
    }
}
