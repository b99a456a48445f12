//! Label sets as HTML, and what a list of them has in common.

use prom_model::{Labels, METRIC_NAME};

use crate::markup::push_escaped;

/// A label set as code: `<b>name</b>{label="value", ...}`.
pub(super) fn series_html(labels: &Labels) -> String {
    let mut html = String::from("<code class=\"series\">");
    let name = labels.metric_name();
    let mut rest = labels.iter().filter(|(name, _)| *name != METRIC_NAME).peekable();
    if !name.is_empty() {
        html.push_str("<b>");
        push_escaped(&mut html, name);
        html.push_str("</b>");
    }
    if name.is_empty() || rest.peek().is_some() {
        html.push('{');
        push_pairs(&mut html, rest);
        html.push('}');
    }
    html.push_str("</code>");
    html
}

/// A label set without braces and name: for tables that have a column of labels.
pub(super) fn labels_html(labels: &Labels) -> String {
    let mut html = String::from("<code class=\"series\">");
    push_pairs(&mut html, labels.iter());
    html.push_str("</code>");
    html
}

fn push_pairs<'a>(html: &mut String, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    for (index, (name, value)) in pairs.enumerate() {
        if index > 0 {
            html.push_str(", <wbr>");
        }
        html.push_str("<i>");
        push_escaped(html, name);
        html.push_str("</i>=\"");
        push_escaped(html, &value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
        html.push('"');
    }
}

/// The pairs that all sets share. One set shares nothing: its labels are what tells what it is.
pub(super) fn common_labels<'a>(mut sets: impl Iterator<Item = &'a Labels>) -> Labels {
    let (Some(first), Some(second)) = (sets.next(), sets.next()) else { return Labels::empty() };
    let mut common: Vec<(&str, &str)> = first.iter().collect();
    for set in std::iter::once(second).chain(sets) {
        common.retain(|(name, value)| set.get(name) == Some(*value));
    }
    Labels::from_sorted(common)
}

/// The labels that are not among the common ones.
pub(super) fn without_common(labels: &Labels, common: &Labels) -> Labels {
    Labels::from_sorted(labels.iter().filter(|(name, _)| common.get(name).is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn series_are_written_as_selectors() {
        for (labels, expected) in [
            (set(&[]), "{}"),
            (set(&[("__name__", "up")]), "<b>up</b>"),
            (set(&[("a", "1")]), "{<i>a</i>=\"1\"}"),
            (
                set(&[("__name__", "up"), ("a", "<"), ("b", "\"\\\n")]),
                "<b>up</b>{<i>a</i>=\"&lt;\", <wbr><i>b</i>=\"\\&quot;\\\\\\n\"}",
            ),
        ] {
            let expected = format!("<code class=\"series\">{expected}</code>");
            assert_eq!(series_html(&labels), expected);
        }
    }

    #[test]
    fn common_labels_are_told_once() {
        let (a, b) = (set(&[("job", "x"), ("i", "1")]), set(&[("job", "x"), ("i", "2")]));
        assert_eq!(common_labels([&a, &b].into_iter()), set(&[("job", "x")]));
        assert_eq!(common_labels([&a].into_iter()), Labels::empty());
        assert_eq!(common_labels([&a, &Labels::empty()].into_iter()), Labels::empty());
        assert_eq!(without_common(&a, &set(&[("job", "x")])), set(&[("i", "1")]));
    }
}
