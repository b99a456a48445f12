//! A text that may not even be YAML, as it may be shown: whatever looks like a secret is masked. It rather
//! masks too much: a line from a key that sounds secret to its end, and what belongs to it below.

use crate::{SourceText, secret::SECRET_MASK};

/// Parts of keys whose values are secret, or may be.
const SECRET_WORDS: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "credential",
    "apikey",
    "api_key",
    "access_key",
    "_key",
];
/// Keys that sound secret and are not, because they only name a file or a label.
const HARMLESS_ENDINGS: [&str; 2] = ["_file", "_files"];

impl SourceText {
    /// Line by line, with secrets masked. Bytes that are no text are replaced.
    pub fn masked_lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut masker = Masker::default();
        text.lines().map(|line| masker.line(line)).collect()
    }
}

/// What the lines so far mean for the next one.
#[derive(Debug, Default)]
struct Masker {
    /// Lines deeper than this belong to a secret.
    secret_indent: Option<usize>,
    /// The quote that a secret began with and that has not ended.
    open_quote: Option<char>,
}

impl Masker {
    fn line(&mut self, line: &str) -> String {
        if let Some(quote) = self.open_quote {
            if ends_quote(line, quote) {
                self.open_quote = None;
            }
            return SECRET_MASK.to_owned();
        }
        let indent = line.len() - line.trim_start_matches([' ', '\t', '-']).len();
        let is_blank = line.trim().is_empty();
        if self.secret_indent.is_some_and(|outer| indent > outer) && !is_blank {
            return SECRET_MASK.to_owned();
        }
        if !is_blank {
            self.secret_indent = None;
        }
        let Some(value_at) = secret_value(line) else { return without_user_info(line) };
        let (shown, secret) = line.split_at(value_at);
        self.secret_indent = Some(indent);
        let secret = secret.trim();
        self.open_quote = secret
            .chars()
            .next()
            .filter(|quote| ['"', '\''].contains(quote) && !ends_quote(&secret[1..], *quote));
        match secret.is_empty() {
            true => without_user_info(shown),
            false => format!("{} {SECRET_MASK}", without_user_info(shown.trim_end())),
        }
    }
}

/// Where the value of the first key begins that sounds secret.
fn secret_value(line: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = line[from..].find(':') {
        let colon = from + found;
        let is_key_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
        let before = line[..colon].trim_end().trim_end_matches(['"', '\'']);
        let key_size = before.bytes().rev().take_while(is_key_byte).count();
        let key = before[before.len() - key_size..].to_ascii_lowercase();
        let is_harmless = HARMLESS_ENDINGS.iter().any(|ending| key.ends_with(ending));
        if !is_harmless && SECRET_WORDS.iter().any(|word| key.contains(word)) {
            return Some(colon + 1);
        }
        from = colon + 1;
    }
    None
}

fn ends_quote(text: &str, quote: char) -> bool {
    let mut is_escaped = false;
    text.chars().any(|c| {
        let is_end = c == quote && !is_escaped;
        is_escaped = c == '\\' && !is_escaped && quote == '"';
        is_end
    })
}

/// `http://user:password@host` without what stands before the host.
fn without_user_info(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let authority = after.split(['/', ' ', '"', '\'', ',']).next().unwrap_or_default();
        rest = match authority.rfind('@') {
            Some(end) => {
                shown.push_str(SECRET_MASK);
                &after[end..]
            }
            None => after,
        };
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(text: &str) -> String {
        SourceText { path: "x".into(), bytes: text.as_bytes().into() }.masked_lines().join("\n")
    }

    #[test]
    fn what_sounds_secret_is_not_shown() {
        for (text, expected) in [
            ("a: b", "a: b"),
            ("password: x # y", "password: <secret>"),
            ("  - password : 'x y'", "  - password : <secret>"),
            ("\"password\": x", "\"password\": <secret>"),
            ("{username: a, password: b, c: d}", "{username: a, password: <secret>"),
            ("password_file: /x", "password_file: /x"),
            (
                "a:\n  client_secret:\n    x\n    y\n  b: c",
                "a:\n  client_secret:\n<secret>\n<secret>\n  b: c",
            ),
            (
                "credentials: |\n  x\n\n  y\nb: c",
                "credentials: <secret>\n<secret>\n\n<secret>\nb: c",
            ),
            (
                "bearer_token: \"x\ny\nz\" # q\nb: c",
                "bearer_token: <secret>\n<secret>\n<secret>\nb: c",
            ),
            ("password: \"a\\\" b\"\nb: c", "password: <secret>\nb: c"),
            ("url: http://u:p@h/x", "url: http://<secret>@h/x"),
            ("url: http://h/x@y", "url: http://h/x@y"),
            ("secrets: [a, b]", "secrets: <secret>"),
            ("secrets:\n- a\n- b\nc: d", "secrets:\n<secret>\n<secret>\nc: d"),
            ("[password: broken", "[password: <secret>"),
        ] {
            assert_eq!(masked(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_keeps_its_lines(text in ".{0,200}") {
            let lines = masked(&text);
            prop_assert_eq!(lines.lines().count() <= text.lines().count().max(1), true);
        }
    }
}
