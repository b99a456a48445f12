//! How labels come out of the JSON of one thing. Rules say it for one label each; what takes a second look
//! at the thing is code of its provider.

use std::borrow::Cow;

use prom_model::LabelsBuilder;
use serde_json::Value;

/// A label (for maps: the beginning of its name) and where its value is.
pub(crate) type LabelRule = (&'static str, Rule);

/// Where a value is, as a JSON pointer, and how it reads. Empty values make no label, as everywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// The same for all.
    Always(&'static str),
    /// A string; nothing if it is null or not there.
    Text(&'static str),
    /// A string in lower case.
    Lower(&'static str),
    /// A number without its fraction; 0 if it is not there.
    Int(&'static str),
    /// The same times 2^20: the API counts in MiB and the label in bytes.
    Mebi(&'static str),
    /// A time as RFC 3339 with the fraction of its second cut off.
    Time(&'static str),
    /// `false` if it is not there.
    Bool(&'static str),
    /// A list of strings with a separator before, between and after; nothing if it is empty.
    Joined(&'static str, &'static str),
    /// An object of strings: a label for each key, made a proper name.
    Map(&'static str),
    /// The same with `true` as each value.
    Present(&'static str),
    /// A list of strings: a label for each, as it is, with `true`.
    Flags(&'static str),
    /// Whatever takes code.
    Code(fn(&Value) -> String),
}

impl Rule {
    /// Sets the labels of all rules, each with `prefix` before its name.
    pub(crate) fn apply(
        rules: &[LabelRule],
        prefix: &str,
        thing: &Value,
        labels: &mut LabelsBuilder,
    ) {
        let mut name = String::with_capacity(64);
        for (suffix, rule) in rules {
            name.clear();
            name.push_str(prefix);
            name.push_str(suffix);
            rule.set(&mut name, thing, labels);
        }
    }

    fn set(self, name: &mut String, thing: &Value, labels: &mut LabelsBuilder) {
        let value: Cow<'_, str> = match self {
            Self::Always(text) => text.into(),
            Self::Text(at) => text(thing, at),
            Self::Lower(at) => text(thing, at).to_lowercase().into(),
            Self::Int(at) => int(thing, at).to_string().into(),
            Self::Mebi(at) => (int(thing, at) << 20).to_string().into(),
            Self::Time(at) => whole_second(&text(thing, at)).into(),
            Self::Bool(at) => flag(thing, at).to_string().into(),
            Self::Joined(at, separator) => joined(texts(thing, at), separator).into(),
            Self::Map(at) => return set_each(name, thing, at, labels, text_of),
            Self::Present(at) => return set_each(name, thing, at, labels, |_| "true".into()),
            Self::Flags(at) => {
                let size_bytes = name.len();
                for flag in texts(thing, at) {
                    name.truncate(size_bytes);
                    name.push_str(&flag);
                    labels.set(name, "true");
                }
                return;
            }
            Self::Code(value) => value(thing).into(),
        };
        labels.set(name, &value);
    }
}

/// The text at a place; empty if there is none.
pub(crate) fn text<'v>(thing: &'v Value, at: &str) -> Cow<'v, str> {
    thing.pointer(at).map(text_of).unwrap_or_default()
}

/// The whole number at a place, or 0.
pub(crate) fn int(thing: &Value, at: &str) -> i64 {
    let number = thing.pointer(at);
    let whole = |number: &Value| number.as_i64().or_else(|| number.as_f64().map(|it| it as i64));
    number.and_then(whole).unwrap_or(0)
}

/// Whether there is a `true` at a place.
pub(crate) fn flag(thing: &Value, at: &str) -> bool {
    thing.pointer(at).and_then(Value::as_bool).unwrap_or(false)
}

/// The elements of the list at a place; none if there is no list.
pub(crate) fn list<'v>(thing: &'v Value, at: &str) -> &'v [Value] {
    thing.pointer(at).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The strings of the list at a place.
pub(crate) fn texts<'v>(thing: &'v Value, at: &str) -> impl Iterator<Item = Cow<'v, str>> {
    list(thing, at).iter().map(text_of)
}

/// Texts with a separator before, between and after, so that a pattern finds each; nothing for none.
pub(crate) fn joined<T: AsRef<str>>(texts: impl Iterator<Item = T>, separator: &str) -> String {
    let mut all = String::new();
    for text in texts {
        if all.is_empty() {
            all.push_str(separator);
        }
        all.push_str(text.as_ref());
        all.push_str(separator);
    }
    all
}

/// A part of a label's name: what may not be in one is an underscore.
/// Compat: Prometheus `strutil.SanitizeLabelName`.
pub(crate) fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// A time without the fraction of its second.
fn whole_second(time: &str) -> String {
    let Some((seconds, rest)) = time.split_once('.') else { return time.to_owned() };
    format!("{seconds}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// A scalar as text; numbers and booleans as they are written.
fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.as_str().into(),
        Value::Number(number) => number.to_string().into(),
        Value::Bool(flag) => flag.to_string().into(),
        Value::Null | Value::Array(_) | Value::Object(_) => Cow::default(),
    }
}

fn set_each<'v>(
    name: &mut String,
    thing: &'v Value,
    at: &str,
    labels: &mut LabelsBuilder,
    value: fn(&'v Value) -> Cow<'v, str>,
) {
    let size_bytes = name.len();
    for (key, each) in thing.pointer(at).and_then(Value::as_object).into_iter().flatten() {
        name.truncate(size_bytes);
        name.push_str(&sanitized(key));
        labels.set(name, &value(each));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::group::host_port;

    #[test]
    fn rules_read_what_is_there_and_bear_what_is_not() {
        let rules = [
            ("role", Rule::Always("x")),
            ("text", Rule::Text("/a/text")),
            ("absent", Rule::Text("/a/absent")),
            ("null", Rule::Text("/a/null")),
            ("list_as_text", Rule::Text("/a/list")),
            ("lower", Rule::Lower("/a/text")),
            ("int", Rule::Int("/a/int")),
            ("fraction", Rule::Int("/a/fraction")),
            ("no_int", Rule::Int("/a/absent")),
            ("bytes", Rule::Mebi("/a/int")),
            ("time", Rule::Time("/a/time")),
            ("yes", Rule::Bool("/a/yes")),
            ("no", Rule::Bool("/a/absent")),
            ("list", Rule::Joined("/a/list", ",")),
            ("empty", Rule::Joined("/a/empty", ",")),
            ("label_", Rule::Map("/a/map")),
            ("labelpresent_", Rule::Present("/a/map")),
            ("code", Rule::Code(|thing| thing["a"]["list"][1].to_string())),
        ];
        let thing = json!({"a": {
            "text": "Te-xt", "time": "2026-01-02T03:04:05.678Z", "null": null, "int": 7, "fraction": 4.9, "yes": true, "list": ["q", "r"],
            "empty": [], "map": {"a.b/c": "1", "n": ""},
        }});
        let mut labels = LabelsBuilder::default();
        Rule::apply(&rules, "__meta_x_", &thing, &mut labels);
        let got: Vec<String> =
            labels.build().iter().map(|(name, value)| format!("{}={value}", &name[9..])).collect();
        let expected = "bytes=7340032 code=\"r\" fraction=4 int=7 label_a_b_c=1 labelpresent_a_b_c=true \
                        labelpresent_n=true list=,q,r, lower=te-xt no=false no_int=0 role=x text=Te-xt time=2026-01-02T03:04:05Z yes=true";
        assert_eq!(got.join(" "), expected);
    }

    #[test]
    fn addresses_have_brackets_where_they_are_needed() {
        assert_eq!(host_port("10.0.0.1", 80), "10.0.0.1:80");
        assert_eq!(host_port("2001:db8::1", 80), "[2001:db8::1]:80");
        assert_eq!(host_port("", 80), ":80");
        assert_eq!(sanitized("a.b-c/1_\u{e9}"), "a_b_c_1__");
    }
}
