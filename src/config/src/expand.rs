//! Environment variables in external labels: `$NAME`, `${NAME}`, `$$`. It reads no environment itself.

/// Replaces references to variables; `lookup` gives the value of one. Compat: Go `os.Expand`.
pub(crate) fn expand(text: &str, lookup: &dyn Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
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
    out
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
            assert_eq!(expand(text, &lookup), expected, "{text}");
        }
    }
}
