//! Capture groups of a Go regular expression and Go's templates over them (`$1`, `${name}`, `$$`).

use std::ops::Range;

use regex_automata::Input;
use smallvec::{SmallVec, smallvec};

use crate::{
    GoRegex,
    labels::{STRING_SIZE_MAX, cut_to_label},
};

/// Groups of most expressions, the whole match among them.
const GROUPS_INLINE: usize = 4;

/// The groups of one match.
#[derive(Clone, Debug)]
pub struct GoCaptures<'r, 't> {
    text: &'t str,
    /// Where the groups lie, the whole match first.
    groups: SmallVec<[Option<Range<usize>>; GROUPS_INLINE]>,
    names: &'r [(String, usize)],
}

impl GoRegex {
    /// Matches the text and remembers its groups; an unanchored expression tells its first match.
    pub fn captures<'t>(&self, text: &'t str) -> Option<GoCaptures<'_, 't>> {
        // The expression of every rule that gives none.
        if self.as_str() == "(.*)" && self.is_match(text) && self.is_whole() {
            let whole = Some(0..text.len());
            return Some(GoCaptures { text, groups: smallvec![whole.clone(), whole], names: &[] });
        }
        // Most texts do not match, and to know that costs less without groups.
        if !self.is_match(text) {
            return None;
        }
        self.captures_from(text, 0)
    }

    /// Replaces every match by the expanded template. Compat: `Regexp.ReplaceAllString` of Go.
    pub fn replace_all(&self, text: &str, template: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let (mut copied, mut at) = (0, 0);
        while let Some(captures) = self.captures_from(text, at) {
            let found = captures.groups[0].clone().expect("a match has a place");
            out.push_str(&text[copied..found.start]);
            // An empty match right behind another one is not replaced.
            if found.end > copied || found.start == 0 {
                captures.expand_into(template, &mut out);
            }
            copied = found.end;
            // At least one character further.
            let Some(c) = text[at..].chars().next() else { break };
            at = found.end.max(at + c.len_utf8());
        }
        out.push_str(&text[copied..]);
        out
    }

    fn captures_from<'t>(&self, text: &'t str, start: usize) -> Option<GoCaptures<'_, 't>> {
        let capturing = self.capturing();
        let mut slots: SmallVec<[_; 2 * GROUPS_INLINE]> =
            smallvec![None; 2 * capturing.regex.captures_len()];
        let input = Input::new(text).range(start..);
        capturing.regex.search_slots(&input, &mut slots)?;
        let groups = slots.chunks_exact(2).map(|pair| Some(pair[0]?.get()..pair[1]?.get()));
        Some(GoCaptures { text, groups: groups.collect(), names: &capturing.names })
    }
}

impl GoCaptures<'_, '_> {
    /// Fills a template: `$name` takes the longest name of letters, digits and underscores, `${name}` the
    /// one in braces, `$$` is a dollar sign. Unknown groups are empty; a malformed reference stays as it is.
    /// What is longer than a label may be is cut there.
    /// Compat: `Regexp.ExpandString` of Go.
    pub fn expand(&self, template: &str) -> String {
        let mut out = String::with_capacity(template.len());
        self.expand_into(template, &mut out);
        cut_to_label(&mut out);
        out
    }

    fn expand_into(&self, template: &str, out: &mut String) {
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            rest = after;
            // A template multiplies what it refers to.
            if out.len() > STRING_SIZE_MAX {
                return;
            }
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
    }

    /// A group by its number, or the first one of that name that took part in the match.
    fn group(&self, name: &str) -> &str {
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        // A number with a leading zero is a name.
        let span = if is_number && (name.len() == 1 || !name.starts_with('0')) {
            name.parse().ok().and_then(|number: usize| self.groups.get(number)?.clone())
        } else {
            let numbers = self.names.iter().filter(|(known, _)| known == name);
            numbers.map(|(_, number)| *number).find_map(|number| self.groups.get(number)?.clone())
        };
        span.map_or("", |span| &self.text[span])
    }
}

/// Splits what follows a dollar sign into the name of a group and the rest.
fn split_reference(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{');
    let body = inner.unwrap_or(text);
    let is_word = |c: char| c.is_alphabetic() || c.is_ascii_digit() || c == '_';
    let end = body.find(|c| !is_word(c)).unwrap_or(body.len());
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
        let regex = GoRegex::enclosed(pattern).unwrap();
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
        check("(?:(?P<n>a)|(?P<n>b))(?P<01>c)?", "bc", "$n-$01-$1-$2", Some("b-c--b"));
        check("(a)|b", "b", "x$1", Some("x"));
    }

    #[test]
    fn all_matches_are_replaced_as_in_go() {
        let check = |pattern: &str, text: &str, template: &str, expected: &str| {
            let regex = GoRegex::unanchored(pattern).unwrap();
            assert_eq!(regex.replace_all(text, template), expected, "{pattern} {text} {template}");
        };
        check("a(x*)b", "-ab-axxb-", "T", "-T-T-");
        check("a(x*)b", "-ab-axxb-", "$1", "--xx-");
        check("a(x*)b", "-ab-axxb-", "$1W", "---");
        check("a(x*)b", "-ab-axxb-", "${1}W", "-W-xxW-");
        check("a*", "baaac", "x", "xbxcx");
        check("", "\u{e9}a", "-", "-\u{e9}-a-");
        check("^", "ab", "x", "xab");
        check("$", "ab", "x", "abx");
        check("\\bw", "w ww", "x", "x xw");
        check("(.*)", "a\nb", "<$1>", "<a>\n<b>");
        check("x", "", "y", "");
    }
}
