//! Environment variables in external labels: `$NAME`, `${NAME}`, `$$`. It reads no environment itself.

/// Longest answer, in bytes; a text multiplies the variables it refers to.
const EXPANDED_SIZE_BYTES_MAX: usize = 1 << 20;

/// Replaces references to variables; `lookup` gives the value of one. Compat: Go `os.Expand`.
///
/// # Errors
/// The answer is too long.
pub(crate) fn expand(text: &str, lookup: &dyn Fn(&str) -> String) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if out.len() > EXPANDED_SIZE_BYTES_MAX {
            return Err(format!(
                "value has more than {EXPANDED_SIZE_BYTES_MAX} bytes when expanded"
            ));
        }
        if after.is_empty() {
            out.push('$');
        }
        let (name, size) = shell_name(after);
        match name {
            "" if size == 0 && !after.is_empty() => out.push('$'),
            "" => {}
            "$" => out.push('$'),
            name => out.push_str(&lookup(name)),
        }
        rest = &after[size..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The name that begins a text, and how many bytes it takes. An empty name with a size is bad syntax, which
/// is left out.
fn shell_name(text: &str) -> (&str, usize) {
    let Some(inner) = text.strip_prefix('{') else {
        let end = match text.bytes().next() {
            Some(first) if is_special(first) => 1,
            _ => text
                .bytes()
                .position(|byte| !(byte.is_ascii_alphanumeric() || byte == b'_'))
                .unwrap_or(text.len()),
        };
        return (&text[..end], end);
    };
    match inner.find('}') {
        Some(end) => (&inner[..end], end + 2),
        None => ("", 1),
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'*' | b'#' | b'$' | b'@' | b'!' | b'?' | b'-' | b'0'..=b'9')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_as_in_go() {
        let lookup = |name: &str| match name {
            "A" => String::from("x"),
            "A_1" => String::from("y"),
            _ => String::new(),
        };
        let cases = [
            ("plain", "plain"),
            ("$A", "x"),
            ("${A}b", "xb"),
            ("$A_1$A", "yx"),
            ("a$$A", "a$A"),
            ("${$}", "$"),
            ("$NONE!", "!"),
            ("$", "$"),
            ("a$ b", "a$ b"),
            ("${}", ""),
            ("${A", "A"),
            ("$1A", "A"),
            ("\u{e4}$A\u{e4}", "\u{e4}x\u{e4}"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, &lookup).as_deref(), Ok(expected), "{text}");
        }
        let lookup = |_: &str| "x".repeat(1000);
        assert!(expand(&"$A".repeat(100_000), &lookup).is_err());
    }
}
