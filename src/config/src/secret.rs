//! Text that must never be shown, and where a value comes from. Reading the files is the user's matter.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// What is printed instead of a secret. Compat: prometheus/common `config.Secret`.
pub(crate) const SECRET_MASK: &str = "<secret>";

/// A password, token or other credential. `Debug` and `Display` print a mask.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the wire only.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "" } else { SECRET_MASK })
    }
}

/// A value written in the configuration, or where it is kept. The file is read (and trimmed) for
/// each use, so that a rotated credential needs no reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source<T> {
    Inline(T),
    File(PathBuf),
    /// The name of a secret in a secret manager. The format knows these; like Prometheus itself, this
    /// server has no such manager.
    Reference(String),
}

impl<T> Source<T> {
    /// The file that holds the value, if one does.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(file) => Some(file),
            Self::Inline(_) | Self::Reference(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_output_shows_the_secret() {
        let secret = Secret::new("hunter2");
        let texts = [
            format!("{secret}"),
            format!("{secret:?}"),
            format!("{:?}", Source::Inline(secret.clone())),
            format!("{:#?}", Some(&secret)),
        ];
        for text in texts {
            assert!(!text.contains("hunter2") && text.contains(SECRET_MASK), "{text}");
        }
        assert_eq!(secret.reveal(), "hunter2");
    }
}
