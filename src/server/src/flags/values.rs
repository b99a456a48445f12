//! Values of flags: read by kind, refused in kingpin's words, brought to the form in which they are shown.
//! Compat: the value parsers of kingpin v2 and alecthomas/units.

use prom_model::{format_duration, parse_duration, parse_go_duration};

use super::table::Kind;

/// Checks a value and brings it to the form in which it is shown.
pub(super) fn normalize(kind: Kind, text: &str) -> Result<String, String> {
    match kind {
        Kind::Bool | Kind::Text => Ok(text.to_owned()),
        Kind::Duration => parse_duration(text).map(format_duration).map_err(|err| err.to_string()),
        Kind::GoDuration => {
            parse_go_duration(text).map(|_| text.to_owned()).map_err(|err| err.to_string())
        }
        // Compat: integers go through floating point and lose their fraction.
        Kind::Integer => number(text).map(|number| (number as i64).to_string()),
        Kind::Float => number(text).map(|_| text.to_owned()),
        Kind::Size => parse_size(text).map(|_| text.to_owned()),
        Kind::OneOf { words, .. } if words.contains(&text) => Ok(text.to_owned()),
        Kind::OneOf { refusal: Some(refusal), .. } => Err(format!("{refusal} {text}")),
        Kind::OneOf { words, refusal: None } => {
            Err(format!("enum value must be one of {}, got '{text}'", words.join(",")))
        }
    }
}

fn number(text: &str) -> Result<f64, String> {
    let refused = || format!("strconv.ParseFloat: parsing {text:?}: invalid syntax");
    prom_model::parse_float(text).ok_or_else(refused)
}

/// Bytes of `512MB`, `1.5GiB`, `1GB512MB` or `0B`; powers of two, a unit is required.
/// Compat: `ParseBase2Bytes`.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u32); 13] = [
        ("B", 0),
        ("KB", 10),
        ("KiB", 10),
        ("MB", 20),
        ("MiB", 20),
        ("GB", 30),
        ("GiB", 30),
        ("TB", 40),
        ("TiB", 40),
        ("PB", 50),
        ("PiB", 50),
        ("EB", 60),
        ("EiB", 60),
    ];
    let invalid = || format!("units: invalid {text}");
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut bytes = 0.0;
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
        let number_size = rest.find(|c| !is_of_number(c)).unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_size);
        let unit_size = after.find(is_of_number).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_size);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let shift = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, shift)| *shift);
        let shift = shift.ok_or_else(|| format!("units: unknown unit {unit} in {text}"))?;
        bytes += number * (1u64 << shift) as f64;
        rest = after;
    }
    match bytes < i64::MAX as f64 {
        true => Ok(bytes as u64),
        false => Err(format!("units: overflow parsing unit {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_two_with_a_unit() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("0B", Ok(0)),
            ("512MB", Ok(512 << 20)),
            ("1.5GiB", Ok(3 << 29)),
            ("1GB512MB", Ok(3 << 29)),
            ("5", Err("units: unknown unit  in 5")),
            ("5XB", Err("units: unknown unit XB in 5XB")),
            ("MB", Err("units: invalid MB")),
            ("", Err("units: invalid ")),
            ("-1MB", Err("units: invalid -1MB")),
            ("9EB", Err("units: overflow parsing unit 9EB")),
        ] {
            assert_eq!(parse_size(text), expected.map_err(str::to_owned), "{text}");
        }
    }
}
