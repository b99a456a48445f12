//! Parameters of a request: the pairs of its URL and of its form body. It gives them no meaning.

use percent_encoding::percent_decode;

/// Pairs in the order in which they are looked up: those of the body come first.
/// Compat: Go `net/http` `Request.FormValue`, `net/url` `ParseQuery`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form {
    pairs: Vec<(String, String)>,
    error: Option<String>,
}

impl Form {
    /// Parses a form body and the query part of a URL; malformed pairs are left out and remembered.
    pub(crate) fn parse(body: &[u8], query: Option<&str>) -> Self {
        let mut form = Self::default();
        form.extend(body);
        form.extend(query.unwrap_or_default().as_bytes());
        form
    }

    /// The first value of `name`, empty if there is none.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.values(name).next().unwrap_or_default()
    }

    /// The last value of `name`, empty if there is none: a pressed button comes after the field it changes.
    pub(crate) fn last_value(&self, name: &str) -> &str {
        self.values(name).last().unwrap_or_default()
    }

    /// All values of `name`.
    pub(crate) fn values<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All pairs.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What was malformed first, in Go's words.
    pub(crate) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    fn extend(&mut self, text: &[u8]) {
        for pair in text.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
            match decode_pair(pair) {
                Ok(pair) => self.pairs.push(pair),
                Err(error) => self.error = Some(self.error.take().unwrap_or(error)),
            }
        }
    }
}

fn decode_pair(pair: &[u8]) -> Result<(String, String), String> {
    if pair.contains(&b';') {
        return Err("invalid semicolon separator in query".to_owned());
    }
    let equals = pair.iter().position(|&byte| byte == b'=');
    let (name, value) = match equals {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &[][..]),
    };
    Ok((decode(name)?, decode(value)?))
}

fn decode(text: &[u8]) -> Result<String, String> {
    for (at, _) in text.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        let escape = &text[at..text.len().min(at + 3)];
        if escape.len() < 3 || !escape[1..].iter().all(u8::is_ascii_hexdigit) {
            return Err(format!("invalid URL escape {:?}", String::from_utf8_lossy(escape)));
        }
    }
    let spaced: Vec<u8> = text.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    Ok(percent_decode(&spaced).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, query: &str, expected: &[(&str, &str)], error: Option<&str>) {
        let form = Form::parse(body.as_bytes(), Some(query));
        assert_eq!(form.pairs().collect::<Vec<_>>(), expected, "{body} {query}");
        assert_eq!(form.error(), error, "{body} {query}");
    }

    #[test]
    fn pairs_are_decoded_as_go_does() {
        check("", "", &[], None);
        check("", "a=1&b&&=x", &[("a", "1"), ("b", ""), ("", "x")], None);
        check("", "q=a+b%2B%3d=c", &[("q", "a b+==c")], None);
        check("query=1", "query=2", &[("query", "1"), ("query", "2")], None);
        check("", "a=%zz&b=1", &[("b", "1")], Some("invalid URL escape \"%zz\""));
        check("", "a=%f&b=1", &[("b", "1")], Some("invalid URL escape \"%f\""));
        check("", "a=1;b=2", &[], Some("invalid semicolon separator in query"));
        check("", "a=%ff", &[("a", "\u{fffd}")], None);
    }

    #[test]
    fn the_first_value_counts_and_for_buttons_the_last() {
        let form = Form::parse(b"t=body", Some("t=url&m=1&m=2"));
        assert_eq!(form.value("t"), "body");
        assert_eq!(form.last_value("t"), "url");
        assert_eq!(form.values("m").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(form.value("none"), "");
    }
}
