//! Capture groups of a Go regular expression and Go's templates over them (`$1`, `${name}`, `$$`).

use regex_automata::util::captures::Captures;

use crate::GoRegex;

/// The groups of one match.
#[derive(Clone, Debug)]
pub struct GoCaptures<'t> {
    text: &'t str,
    captures: Captures,
}

impl GoRegex {
    /// Matches the whole text and remembers its groups.
    pub fn captures<'t>(&self, text: &'t str) -> Option<GoCaptures<'t>> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(text, &mut captures);
        captures.is_match().then_some(GoCaptures { text, captures })
    }
}

impl GoCaptures<'_> {
    /// Fills a template: `$name` takes the longest name of letters, digits and underscores, `${name}` the
    /// one in braces, `$$` is a dollar sign. Unknown groups are empty; a malformed reference stays as it is.
    /// Compat: `Regexp.ExpandString` of Go.
    pub fn expand(&self, template: &str) -> String {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = split_reference(rest) {
                out.push_str(self.group(name));
                rest = after;
            } else {
                out.push('$');
            }
        }
        out.push_str(rest);
        out
    }

    fn group(&self, name: &str) -> &str {
        let span = if name.bytes().all(|byte| byte.is_ascii_digit()) {
            name.parse().ok().and_then(|index| self.captures.get_group(index))
        } else {
            self.captures.get_group_by_name(name)
        };
        span.and_then(|span| self.text.get(span.range())).unwrap_or_default()
    }
}

/// Splits what follows a dollar sign into the name of a group and the rest.
fn split_reference(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{');
    let body = inner.unwrap_or(text);
    let end = body.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(body.len());
    let (name, after) = body.split_at(end);
    match inner {
        _ if name.is_empty() => None,
        Some(_) => Some((name, after.strip_prefix('}')?)),
        None => Some((name, after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, template: &str, expected: Option<&str>) {
        let regex = GoRegex::anchored(pattern).unwrap();
        let answer = regex.captures(text).map(|captures| captures.expand(template));
        assert_eq!(answer.as_deref(), expected, "{pattern} {text} {template}");
    }

    #[test]
    fn templates_expand_as_in_go() {
        check("(.*)", "a", "$1", Some("a"));
        check("(.*)", "a", "x$1y", Some("x")); // the group "1y" does not exist
        check("(.*)", "a", "x${1}y", Some("xay"));
        check("(?P<n>a)(b)?", "a", "$n-$2-${n}", Some("a--a"));
        check("(a)", "a", "$$1", Some("$1"));
        check("(a)", "a", "$", Some("$"));
        check("(a)", "a", "${", Some("${"));
        check("(a)", "a", "${1", Some("${1"));
        check("(a)", "a", "${1 }", Some("${1 }"));
        check("(a)", "a", "$-", Some("$-"));
        check("(a)", "a", "$0$9$99999999999999999999", Some("a"));
        check("(a)", "b", "$1", None);
        check("(.*);(.*)", "a\n;b", "$2$1", Some("ba\n"));
    }
}
