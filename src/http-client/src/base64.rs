//! Base64 (RFC 4648), encoding only: what basic authentication and web tokens need.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes as Base64 with padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let digit = group >> (18 - 6 * position) & 0x3f;
            let is_padding = position > chunk.len();
            text.push(if is_padding { '=' } else { char::from(ALPHABET[digit as usize]) });
        }
    }
    text
}

/// Without padding, for addresses and file names.
pub(crate) fn encode_url(bytes: &[u8]) -> String {
    encode(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

#[cfg(test)]
mod tests {
    #[test]
    fn groups_of_three_are_padded() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("Aladdin:open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("\u{fb}\u{ff}", "w7vDvw=="),
        ] {
            assert_eq!(super::encode(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(super::encode_url(&[0xfb, 0xff, 0xfe, 1]), "-__-AQ");
    }
}
