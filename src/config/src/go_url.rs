//! Addresses by the rules of Go's `net/url`: what it refuses and in which words. It resolves nothing.

use std::fmt;

use prom_model::quote_go;

use crate::{check::Checker, key_path::KeyPath, print::Value, section::Field};

/// What is printed instead of a password. Compat: Go `URL.Redacted`.
const PASSWORD_MASK: &str = "xxxxx";

/// An address that Go would parse; a password in it is printed masked.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// An address that does not stand in a configuration.
    ///
    /// # Errors
    /// The text is no address; the message is Go's.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(text).map(|_| Self(text.to_owned()))
    }

    /// The address itself, for the wire only.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = split(&self.0);
        match parts.user_info.and_then(|user| user.split_once(':')) {
            Some((user, _)) => {
                let (before, after) = (parts.before_authority, parts.after_user);
                write!(f, "{before}{user}:{PASSWORD_MASK}@{after}")
            }
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Field for Url {
    type Raw = String;

    fn check(raw: String, checker: &mut Checker<'_>, at: &KeyPath<'_>) -> Self {
        if let Err(message) = parse(&raw) {
            checker.report(at, message);
        }
        Self(raw)
    }

    fn is_zero(&self) -> bool {
        false
    }

    fn show(&self) -> Value {
        self.to_string().into()
    }
}

/// What checks of addresses ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parsed<'t> {
    /// Empty if there is none.
    pub(crate) scheme: &'t str,
    /// With the port; empty if there is none.
    pub(crate) host: &'t str,
}

/// Reads an address. Compat: Go `url.Parse`.
///
/// # Errors
/// The text is no address; the message is Go's.
pub(crate) fn parse(text: &str) -> Result<Parsed<'_>, String> {
    // The text of an address may hold a password, so that the message shows it masked.
    let shown = || match (split(text).user_info, text.rsplit_once('@')) {
        (None, Some((_, rest))) => quote_go(&format!("{PASSWORD_MASK}@{rest}")),
        _ => quote_go(&Url(text.to_owned()).to_string()),
    };
    let fail = |reason: &str| Err(format!("parse {}: {reason}", shown()));
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return fail("net/url: invalid control character in URL");
    }
    let without_fragment = text.split('#').next().unwrap_or_default();
    let Some(scheme) = scheme_of(without_fragment) else {
        return fail("missing protocol scheme");
    };
    let rest = &without_fragment[if scheme.is_empty() { 0 } else { scheme.len() + 1 }..];
    let rest = rest.split('?').next().unwrap_or_default();
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            return Ok(Parsed { scheme, host: "" });
        }
        if rest.split('/').next().unwrap_or_default().contains(':') {
            return fail("first path segment in URL cannot contain colon");
        }
    }
    let parts = split(without_fragment);
    if let Some(reason) = host_fault(parts.host) {
        return fail(&reason);
    }
    match bad_escape(rest) {
        Some(escape) => fail(&format!("invalid URL escape {}", quote_go(escape))),
        None => Ok(Parsed { scheme, host: parts.host }),
    }
}

/// The scheme, empty if there is none; nothing if the text begins with a colon.
fn scheme_of(text: &str) -> Option<&str> {
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if i > 0 => {}
            b':' if i == 0 => return None,
            b':' => return Some(&text[..i]),
            _ => return Some(""),
        }
    }
    Some("")
}

struct Split<'t> {
    before_authority: &'t str,
    user_info: Option<&'t str>,
    after_user: &'t str,
    host: &'t str,
}

fn split(text: &str) -> Split<'_> {
    let start = match text.split_once("//") {
        Some((before, _)) if before.is_empty() || before.ends_with(':') => before.len() + 2,
        _ => return Split { before_authority: text, user_info: None, after_user: "", host: "" },
    };
    let (before_authority, rest) = text.split_at(start);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => Split {
            before_authority,
            user_info: Some(&rest[..at]),
            after_user: &rest[at + 1..],
            host: &rest[at + 1..end],
        },
        None => Split { before_authority, user_info: None, after_user: rest, host: &rest[..end] },
    }
}

fn host_fault(host: &str) -> Option<String> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) => (name, port),
            None => return Some(String::from("missing ']' in host")),
        },
        None => host.rfind(':').map_or((host, ""), |at| host.split_at(at)),
    };
    let digits = port.strip_prefix(':').unwrap_or_default();
    if !port.is_empty() && (!port.starts_with(':') || !digits.bytes().all(|b| b.is_ascii_digit())) {
        return Some(format!("invalid port {} after host", quote_go(port)));
    }
    let bad = name
        .chars()
        .find(|c| matches!(c, ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'));
    bad.map(|c| format!("invalid character {} in host name", quote_go(&c.to_string())))
}

/// The first percent sign that is followed by anything but two hexadecimal digits.
fn bad_escape(text: &str) -> Option<&str> {
    text.match_indices('%').find_map(|(at, _)| {
        let escape = text.get(at..at + 3).unwrap_or(&text[at..]);
        let is_good = escape.len() == 3 && escape[1..].bytes().all(|b| b.is_ascii_hexdigit());
        (!is_good).then_some(escape)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_as_in_go() {
        let cases = [
            ("http://a:9090/x?y=%zz", Ok(("http", "a:9090"))),
            ("https://u:p@[::1]:80/", Ok(("https", "[::1]:80"))),
            ("unix:///run/docker.sock", Ok(("unix", ""))),
            ("a/b:c", Ok(("", ""))),
            ("", Ok(("", ""))),
            ("mailto:x", Ok(("mailto", ""))),
            ("a:b@c", Ok(("a", ""))),
            ("localhost:8500", Ok(("localhost", ""))),
            (
                "10.0.0.1:80",
                Err("parse \"10.0.0.1:80\": first path segment in URL cannot contain colon"),
            ),
            (":x", Err("parse \":x\": missing protocol scheme")),
            ("http://a:x/", Err("parse \"http://a:x/\": invalid port \":x\" after host")),
            ("http://a b/", Err("parse \"http://a b/\": invalid character \" \" in host name")),
            ("http://[::1/", Err("parse \"http://[::1/\": missing ']' in host")),
            ("http://a/%zz", Err("parse \"http://a/%zz\": invalid URL escape \"%zz\"")),
            ("http://a\n", Err("parse \"http://a\\n\": net/url: invalid control character in URL")),
            (
                "u_:secret@a",
                Err("parse \"xxxxx@a\": first path segment in URL cannot contain colon"),
            ),
            (
                "http://u:secret@a:x",
                Err("parse \"http://u:xxxxx@a:x\": invalid port \":x\" after host"),
            ),
        ];
        for (text, expected) in cases {
            let parsed = parse(text).map(|parsed| (parsed.scheme, parsed.host));
            assert_eq!(parsed, expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let cases = [
            ("http://u:p@a/b", "http://u:xxxxx@a/b"),
            ("http://u@a/b", "http://u@a/b"),
            ("http://u:p:q@a?x=y", "http://u:xxxxx@a?x=y"),
            ("http://a/b:c@d", "http://a/b:c@d"),
        ];
        for (text, expected) in cases {
            let url = Url(text.to_owned());
            assert_eq!(
                (url.to_string(), format!("{url:?}")),
                (expected.to_owned(), expected.to_owned())
            );
        }
    }
}
