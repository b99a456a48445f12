//! What a scalar means: go-yaml's resolution table. Which type is wanted is the decoder's matter.

pub(super) const TAG_PREFIX: &str = "tag:yaml.org,2002:";
pub(super) const STR_TAG: &str = "tag:yaml.org,2002:str";
pub(super) const BINARY_TAG: &str = "tag:yaml.org,2002:binary";
const FLOAT_TAG: &str = "tag:yaml.org,2002:float";

/// A scalar after resolution; strings and dates stay the text they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Meaning {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Timestamp,
    Text,
}

impl Meaning {
    /// The short tag for messages.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::Null => "!!null",
            Self::Bool(_) => "!!bool",
            Self::Int(_) | Self::Uint(_) => "!!int",
            Self::Float(_) => "!!float",
            Self::Timestamp => "!!timestamp",
            Self::Text => "!!str",
        }
    }
}

/// `!!int` for `tag:yaml.org,2002:int`, others as they are.
pub(super) fn short_tag(tag: &str) -> String {
    match tag.strip_prefix(TAG_PREFIX) {
        Some(name) => format!("!!{name}"),
        None => tag.to_owned(),
    }
}

/// Resolves a scalar by its text, or as its tag demands.
///
/// # Errors
/// The text cannot be what the tag says; the message is go-yaml's.
pub(super) fn resolve(text: &str, is_plain: bool, tag: Option<&str>) -> Result<Meaning, String> {
    let Some(tag) = tag else {
        return Ok(if is_plain { by_text(text) } else { Meaning::Text });
    };
    const RESOLVABLE: [&str; 5] = ["bool", "int", "float", "null", "timestamp"];
    let name = tag.strip_prefix(TAG_PREFIX).unwrap_or_default();
    if !RESOLVABLE.contains(&name) {
        return Ok(Meaning::Text);
    }
    let meaning = by_text(text);
    match meaning {
        Meaning::Int(number) if tag == FLOAT_TAG => Ok(Meaning::Float(number as f64)),
        _ if meaning.tag() == short_tag(tag) => Ok(meaning),
        _ => Err(format!("cannot decode {} `{text}` as a {}", meaning.tag(), short_tag(tag))),
    }
}

fn by_text(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Meaning::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Meaning::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Meaning::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Meaning::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Meaning::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes()[0] {
        b'.' => float(text),
        b'0'..=b'9' | b'+' | b'-' if is_timestamp(text) => Meaning::Timestamp,
        b'0'..=b'9' | b'+' | b'-' => number(&text.replace('_', "")),
        _ => Meaning::Text,
    }
}

fn number(text: &str) -> Meaning {
    let (is_negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    // The standard library would take a second sign.
    let magnitude = match digits.as_bytes().first() {
        Some(b'+' | b'-') | None => None,
        Some(_) => u64::from_str_radix(digits, radix).ok(),
    };
    let signed = magnitude.and_then(|magnitude| match is_negative {
        true => 0i64.checked_sub_unsigned(magnitude),
        false => i64::try_from(magnitude).ok(),
    });
    match (signed, magnitude) {
        (Some(number), _) => Meaning::Int(number),
        (None, Some(number)) if !is_negative && !text.starts_with('+') => Meaning::Uint(number),
        _ => float(text),
    }
}

fn float(text: &str) -> Meaning {
    let is_plain =
        text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    match text.parse::<f64>() {
        Ok(number) if is_plain && number.is_finite() => Meaning::Float(number),
        _ => Meaning::Text,
    }
}

/// `2001-12-14`, alone or followed by a time.
fn is_timestamp(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let is_number = |part: &str, size_max: usize| {
        (1..=size_max).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let year = parts.next().is_some_and(|year| year.len() == 4 && is_number(year, 4));
    let month = parts.next().is_some_and(|month| is_number(month, 2));
    let rest = parts.next().unwrap_or_default();
    let day = rest.split(['t', 'T', ' ']).next().unwrap_or_default();
    let time = &rest[day.len()..];
    year && month && is_number(day, 2) && (time.is_empty() || time.contains(':'))
}
