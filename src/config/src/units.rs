//! Sizes in bytes as `10MB` or `1GiB512MiB`, all powers of two. Compat: `units.Base2Bytes` of
//! alecthomas/units.

const PREFIXES: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];

/// Parses a size.
///
/// # Errors
/// A text in the reference's words.
pub(crate) fn parse_size_bytes(text: &str) -> Result<i64, String> {
    parse(text, "iB").or_else(|_| parse(text, "B"))
}

/// Prints a size with the largest units that leave nothing over.
pub(crate) fn format_size_bytes(size_bytes: i64) -> String {
    let mut parts = Vec::new();
    let mut rest = size_bytes;
    for (i, prefix) in PREFIXES.into_iter().enumerate() {
        let suffix = if i == 0 { "B" } else { "iB" };
        if rest % 1024 != 0 || (i == 0 && rest == 0) {
            parts.push(format!("{}{prefix}{suffix}", rest % 1024));
        }
        rest /= 1024;
        if rest == 0 {
            break;
        }
    }
    parts.reverse();
    parts.concat()
}

fn parse(text: &str, suffix: &str) -> Result<i64, String> {
    let invalid = || format!("units: invalid {text}");
    let (sign, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = &rest[..end];
        let factor =
            factor(unit, suffix).ok_or_else(|| format!("units: unknown unit {unit} in {text}"))?;
        total += number * factor;
        rest = &rest[end..];
    }
    let total = sign * total;
    if total.abs() >= 2f64.powi(63) {
        return Err(String::from("units: overflow parsing unit"));
    }
    Ok(total as i64)
}

fn factor(unit: &str, suffix: &str) -> Option<f64> {
    if unit == "B" {
        return Some(1.0);
    }
    let prefix = unit.strip_suffix(suffix)?;
    let power = PREFIXES.iter().skip(1).position(|known| *known == prefix)? + 1;
    Some(1024f64.powi(power as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse() {
        let cases: [(&str, Result<i64, &str>); 13] = [
            ("0", Ok(0)),
            ("15MB", Ok(15 << 20)),
            ("15MiB", Ok(15 << 20)),
            ("1GiB512MiB", Ok(1536 << 20)),
            ("1.5KB", Ok(1536)),
            ("7B", Ok(7)),
            ("100", Err("units: unknown unit  in 100")),
            ("10XB", Err("units: unknown unit XB in 10XB")),
            ("10kB", Err("units: unknown unit kB in 10kB")),
            ("MB", Err("units: invalid MB")),
            ("", Err("units: invalid ")),
            ("1.2.3MB", Err("units: invalid 1.2.3MB")),
            ("9999999EB", Err("units: overflow parsing unit")),
        ];
        for (text, expected) in cases {
            assert_eq!(
                parse_size_bytes(text).as_ref().map_err(String::as_str),
                expected.as_ref().map_err(|text| *text),
                "{text}"
            );
        }
    }

    #[test]
    fn sizes_print() {
        let cases = [
            (0, "0B"),
            (7, "7B"),
            (15 << 20, "15MiB"),
            (1536 << 20, "1GiB512MiB"),
            (1025, "1KiB1B"),
        ];
        for (size_bytes, expected) in cases {
            assert_eq!(format_size_bytes(size_bytes), expected);
        }
    }
}
