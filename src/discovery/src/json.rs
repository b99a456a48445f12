//! Lists of target groups as JSON, as files and HTTP services write them.
//! Compat: `Group.UnmarshalJSON` in Prometheus's `discovery/targetgroup`. YAML is read by `prom-config`.

use std::{collections::BTreeMap, io};

use prom_config::StaticConfig;
use serde::Deserialize;
use serde_json::error::Category;

/// One group as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawGroup {
    targets: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
}

/// The groups in a text, in its order; `null` is an empty list.
///
/// # Errors
/// What is wrong with the text, in Go's words where these are of any use.
pub(crate) fn parse_groups(text: &[u8]) -> Result<Vec<StaticConfig>, String> {
    let groups: Option<Vec<Option<RawGroup>>> =
        serde_json::from_slice(text).map_err(|error| go_text(&error))?;
    let groups = groups.unwrap_or_default().into_iter().enumerate();
    groups.map(|(index, group)| check(index, group)).collect()
}

fn check(index: usize, group: Option<RawGroup>) -> Result<StaticConfig, String> {
    let group = group.ok_or_else(|| format!("nil target group item found (index {index})"))?;
    let labels = group.labels.unwrap_or_default();
    if labels.contains_key("") {
        return Err("\"\" is not a valid label name".to_owned());
    }
    Ok(StaticConfig {
        targets: group.targets.unwrap_or_default(),
        labels: labels.into_iter().collect(),
    })
}

/// What is wrong with a text, in Go's words where these are of any use.
pub(crate) fn go_text(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match error.classify() {
        Category::Eof => "unexpected end of JSON input".to_owned(),
        Category::Io => io::Error::from(io::ErrorKind::InvalidData).to_string(),
        Category::Data if text.starts_with("unknown field `") => {
            let name = text.split('`').nth(1).unwrap_or_default();
            format!("json: unknown field {name:?}")
        }
        Category::Data | Category::Syntax => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Targets, and labels with their values.
    type Group<'t> = (&'t [&'t str], &'t [(&'t str, &'t str)]);

    fn check(text: &str, expected: Result<&[Group<'_>], &str>) {
        let owned = |text: &&str| (*text).to_owned();
        let expected = expected.map_err(str::to_owned).map(|groups| {
            let group = |(targets, labels): &Group<'_>| StaticConfig {
                targets: targets.iter().map(owned).collect(),
                labels: labels.iter().map(|(name, value)| (owned(name), owned(value))).collect(),
            };
            groups.iter().map(group).collect::<Vec<_>>()
        });
        assert_eq!(parse_groups(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn groups_are_read_or_refused_as_a_whole() {
        check("[]", Ok(&[]));
        check("null", Ok(&[]));
        check("[{}]", Ok(&[(&[], &[])]));
        check(
            r#"[{"targets": ["a:1", "\u0062:2"], "labels": {"x": "1", "__y": ""}}, {"targets": null}]"#,
            Ok(&[(&["a:1", "b:2"], &[("__y", ""), ("x", "1")]), (&[], &[])]),
        );
        check("", Err("unexpected end of JSON input"));
        check("[{", Err("unexpected end of JSON input"));
        check("[null]", Err("nil target group item found (index 0)"));
        check(r#"[{"target": []}]"#, Err("json: unknown field \"target\""));
        check(r#"[{"labels": {"": "x"}}]"#, Err("\"\" is not a valid label name"));
        check(
            r#"[{"labels": {"a": 1}}]"#,
            Err("invalid type: integer `1`, expected a string at line 1 column 19"),
        );
        check("<html>", Err("expected value at line 1 column 1"));
        check("[] x", Err("trailing characters at line 1 column 4"));
    }
}
