//! Standard base64 of `!!binary` values and certificates, decoding only.

/// Decodes with padding; line breaks are skipped. `None` if it is not base64.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let symbols: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let mut out = Vec::with_capacity(symbols.len() / 4 * 3);
    let (quads, rest) = symbols.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    for (i, quad) in quads.iter().enumerate() {
        let padding = quad.iter().rev().take_while(|symbol| **symbol == b'=').count();
        if padding > 2 || (padding > 0 && i + 1 < quads.len()) {
            return None;
        }
        let mut bits = 0u32;
        for symbol in &quad[..4 - padding] {
            bits = bits << 6 | value(*symbol)?;
        }
        bits <<= 6 * padding as u32;
        out.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
    Some(out)
}

fn value(symbol: u8) -> Option<u32> {
    let value = match symbol {
        b'A'..=b'Z' => symbol - b'A',
        b'a'..=b'z' => symbol - b'a' + 26,
        b'0'..=b'9' => symbol - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_cases() {
        let cases: [(&str, Option<&[u8]>); 9] = [
            ("", Some(b"")),
            ("/w==", Some(b"\xff")),
            ("YWI=", Some(b"ab")),
            ("YW\nJj", Some(b"abc")),
            ("YWJjZA==", Some(b"abcd")),
            ("YWI", None),
            ("Y===", None),
            ("YQ==YQ==", None),
            ("/w==$1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(text).as_deref(), expected, "{text}");
        }
    }
}
