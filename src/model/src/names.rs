//! Which names of metrics and labels are allowed, and how they are escaped for those who allow fewer.
//! Compat: `model.ValidationScheme` and `model.EscapingScheme` of prometheus/common.

/// Which names are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameValidation {
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`, labels without the colon.
    Legacy,
    /// Any text that is not empty.
    Utf8,
}

impl NameValidation {
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Utf8 => "utf8",
        }
    }

    pub fn is_valid_metric_name(self, name: &str) -> bool {
        match self {
            Self::Legacy => {
                is_legacy(name, |byte| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':')
            }
            Self::Utf8 => !name.is_empty(),
        }
    }

    pub fn is_valid_label_name(self, name: &str) -> bool {
        match self {
            Self::Legacy => is_legacy(name, |byte| byte.is_ascii_alphabetic() || byte == b'_'),
            Self::Utf8 => !name.is_empty(),
        }
    }
}

/// How a name is written for those who do not take UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameEscaping {
    AllowUtf8,
    Underscores,
    Dots,
    Values,
}

impl NameEscaping {
    pub const ALL: [Self; 4] = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];

    /// The name in the configuration and in content negotiation.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }
}

fn is_legacy(name: &str, is_letter: impl Fn(u8) -> bool) -> bool {
    name.bytes().enumerate().all(|(i, byte)| is_letter(byte) || (i > 0 && byte.is_ascii_digit()))
        && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_and_utf8_names() {
        let cases = [
            // name, legacy metric, legacy label, UTF-8
            ("", false, false, false),
            ("up", true, true, true),
            ("_x9", true, true, true),
            ("9x", false, false, true),
            ("a:b", true, false, true),
            ("a.b", false, false, true),
            ("\u{e4}", false, false, true),
        ];
        for (name, metric, label, utf8) in cases {
            assert_eq!(NameValidation::Legacy.is_valid_metric_name(name), metric, "{name}");
            assert_eq!(NameValidation::Legacy.is_valid_label_name(name), label, "{name}");
            assert_eq!(NameValidation::Utf8.is_valid_metric_name(name), utf8, "{name}");
            assert_eq!(NameValidation::Utf8.is_valid_label_name(name), utf8, "{name}");
        }
    }
}
