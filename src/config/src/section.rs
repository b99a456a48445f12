//! Sections as tables: one list of keys with their types and defaults yields the raw struct, the checked
//! struct, the step from one to the other and the printed form. It knows no section: those that follow the
//! pattern stand in `sections`, those that inherit from others in `check`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use prom_model::{RelabelRule, format_duration, format_float};
use serde::Deserialize;

use crate::{
    HttpAuth, HttpClientConfig, Secret,
    check::Checker,
    key_path::KeyPath,
    print::{Map, Value, http_client, rule},
    raw::{Nullable, RawHttpClient, RawRelabel},
};

/// A value of a section: how it is written, checked and printed.
pub(crate) trait Field: Sized {
    type Raw;

    fn check(raw: Self::Raw, checker: &mut Checker<'_>, at: &KeyPath<'_>) -> Self;

    /// Whether it is what Go leaves out of its output.
    fn is_zero(&self) -> bool;

    fn show(&self) -> Value;

    /// Prints the value under its key; what says nothing is left out unless it is always shown.
    fn put(&self, key: &'static str, is_always: bool, map: &mut Map) {
        if is_always || !self.is_zero() {
            map.put(key, self.show());
        }
    }

    /// The files whose content matters beside the configuration: secrets, certificates.
    fn files<'f>(&'f self, _: &mut Vec<&'f Path>) {}

    /// What a null entry of a list is.
    fn null_entry(checker: &mut Checker<'_>, at: &KeyPath<'_>) -> Option<Self> {
        checker.null_entry(at);
        None
    }
}

/// The place of a field: an inlined struct has no key of its own.
pub(crate) fn below<'p>(at: &'p KeyPath<'p>, key: &'p str) -> KeyPath<'p> {
    if key.starts_with('#') { *at } else { at.key(key) }
}

/// Fields whose raw form is the value itself.
macro_rules! plain_field {
    ($($type:ty: |$value:ident| $is_zero:expr, $show:expr;)*) => {$(
        impl Field for $type {
            type Raw = Self;

            fn check(raw: Self, _: &mut Checker<'_>, _: &KeyPath<'_>) -> Self {
                raw
            }

            fn is_zero(&self) -> bool {
                let $value = self;
                $is_zero
            }

            fn show(&self) -> Value {
                let $value = self;
                $show
            }
        }
    )*};
}

plain_field! {
    bool: |value| !*value, (*value).into();
    i64: |value| *value == 0, Value::Plain(value.to_string());
    u64: |value| *value == 0, Value::Plain(value.to_string());
    f64: |value| *value == 0.0, Value::Plain(format_float(*value));
    Secret: |value| value.is_empty(), if value.is_empty() {
        Value::Plain(String::from("null"))
    } else {
        value.to_string().into()
    };
    BTreeMap<String, String>: |value| value.is_empty(), Value::Map(
        value.iter().map(|(name, value)| (name.as_str(), value.as_str().into())).collect()
    );
    BTreeMap<String, Secret>: |value| value.is_empty(), Value::Map(
        value.iter().map(|(name, secret)| (name.as_str(), secret.show())).collect()
    );
    BTreeMap<String, Vec<Secret>>: |value| value.is_empty(), Value::Map(
        value.iter().map(|(name, secrets)| (name.as_str(), secrets_list(secrets))).collect()
    );
}

fn secrets_list(secrets: &[Secret]) -> Value {
    Value::List(secrets.iter().map(Field::show).collect())
}

impl Field for String {
    type Raw = Self;

    fn check(raw: Self, _: &mut Checker<'_>, _: &KeyPath<'_>) -> Self {
        raw
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn show(&self) -> Value {
        self.as_str().into()
    }

    fn null_entry(_: &mut Checker<'_>, _: &KeyPath<'_>) -> Option<Self> {
        Some(Self::new())
    }
}

/// A path from the directory of the file.
impl Field for PathBuf {
    type Raw = String;

    fn check(raw: String, checker: &mut Checker<'_>, _: &KeyPath<'_>) -> Self {
        checker.path(&raw)
    }

    fn is_zero(&self) -> bool {
        self.as_os_str().is_empty()
    }

    fn show(&self) -> Value {
        self.display().to_string().into()
    }

    fn files<'f>(&'f self, files: &mut Vec<&'f Path>) {
        if !self.as_os_str().is_empty() {
            files.push(self);
        }
    }

    fn null_entry(_: &mut Checker<'_>, _: &KeyPath<'_>) -> Option<Self> {
        Some(Self::new())
    }
}

/// A duration as it is written; null is no time at all.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct RawDuration(pub(crate) Option<String>);

impl From<&str> for RawDuration {
    fn from(text: &str) -> Self {
        Self(Some(text.to_owned()))
    }
}

impl Field for Duration {
    type Raw = RawDuration;

    fn check(raw: RawDuration, checker: &mut Checker<'_>, at: &KeyPath<'_>) -> Self {
        checker.duration(raw.0.as_deref(), at).unwrap_or_default()
    }

    fn is_zero(&self) -> bool {
        Duration::is_zero(self)
    }

    fn show(&self) -> Value {
        format_duration(i64::try_from(self.as_millis()).unwrap_or(i64::MAX)).into()
    }
}

impl<T: Field> Field for Option<T> {
    type Raw = Option<T::Raw>;

    fn check(raw: Self::Raw, checker: &mut Checker<'_>, at: &KeyPath<'_>) -> Self {
        raw.map(|raw| T::check(raw, checker, at))
    }

    fn is_zero(&self) -> bool {
        self.is_none()
    }

    fn show(&self) -> Value {
        self.as_ref().map_or(Value::Plain(String::from("null")), Field::show)
    }

    fn files<'f>(&'f self, files: &mut Vec<&'f Path>) {
        self.iter().for_each(|value| value.files(files));
    }
}

impl<T: Field> Field for Box<T> {
    type Raw = Box<T::Raw>;

    fn check(raw: Self::Raw, checker: &mut Checker<'_>, at: &KeyPath<'_>) -> Self {
        Self::new(T::check(*raw, checker, at))
    }

    fn is_zero(&self) -> bool {
        T::is_zero(self)
    }

    fn show(&self) -> Value {
        T::show(self)
    }

    fn files<'f>(&'f self, files: &mut Vec<&'f Path>) {
        T::files(self, files);
    }
}

impl<T: Field> Field for Vec<T> {
    type Raw = Nullable<T::Raw>;

    fn check(raw: Self::Raw, checker: &mut Checker<'_>, at: &KeyPath<'_>) -> Self {
        let entries = raw.into_iter().enumerate();
        entries
            .filter_map(|(i, raw)| match raw {
                Some(raw) => Some(T::check(raw, checker, &at.index(i))),
                None => T::null_entry(checker, &at.index(i)),
            })
            .collect()
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn show(&self) -> Value {
        Value::List(self.iter().map(Field::show).collect())
    }

    fn files<'f>(&'f self, files: &mut Vec<&'f Path>) {
        self.iter().for_each(|value| value.files(files));
    }
}

/// A rule of relabelling where no job says how names are validated.
impl Field for RelabelRules {
    type Raw = Nullable<RawRelabel>;

    fn check(raw: Self::Raw, checker: &mut Checker<'_>, at: &KeyPath<'_>) -> Self {
        let validation = checker.validation();
        let null_text = "empty or null relabeling rule in remote write config";
        Self(checker.relabel_rules(raw, validation, null_text, at))
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn show(&self) -> Value {
        Value::List(self.0.iter().map(rule).collect())
    }
}

/// Rules of relabelling in the order in which they apply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RelabelRules(pub Vec<RelabelRule>);

impl Field for HttpClientConfig {
    type Raw = RawHttpClient;

    fn check(raw: RawHttpClient, checker: &mut Checker<'_>, at: &KeyPath<'_>) -> Self {
        checker.http_client(raw, at)
    }

    fn is_zero(&self) -> bool {
        false
    }

    fn show(&self) -> Value {
        let mut map = Map::default();
        http_client(self, &mut map);
        map.into()
    }

    fn put(&self, _: &'static str, _: bool, map: &mut Map) {
        http_client(self, map);
    }

    fn files<'f>(&'f self, files: &mut Vec<&'f Path>) {
        match &self.auth {
            Some(HttpAuth::Basic { username, password }) => {
                files.extend(username.file());
                files.extend(password.file());
            }
            Some(HttpAuth::Authorization { credentials, .. }) => files.extend(credentials.file()),
            None => {}
        }
        self.oauth2.files(files);
        self.tls.files(files);
        self.http_headers.iter().for_each(|header| header.files.files(files));
    }
}

/// Declares a section. A field is `key: Type = default;`, followed by `=> always` where Prometheus prints it
/// even if it says nothing; `field as "key"` where they differ, with `"#name"` for an inlined section. The
/// rules are a function of the checked section that notes what is wrong with it.
macro_rules! section {
    (
        $(#[$meta:meta])*
        $name:ident, $raw:ident = $go:literal $(, $rules:path)? {
            $(
                $(#[$field_meta:meta])*
                $field:ident $(as $key:literal)? : $type:ty $(= $default:expr)? $(=> $always:ident)? ;
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        #[derive(Debug, serde::Deserialize)]
        #[serde(rename = $go, default)]
        pub(crate) struct $raw {
            $(
                $(#[serde(rename = $key)])?
                pub(crate) $field: <$type as $crate::section::Field>::Raw,
            )*
        }

        impl Default for $raw {
            fn default() -> Self {
                Self { $($field: section!(@default $($default)?),)* }
            }
        }

        impl $raw {
            /// In the order in which they are printed.
            #[allow(dead_code, reason = "only inlined sections are asked")]
            pub(crate) const KEYS: &[&str] = &[$(section!(@key $field $($key)?)),*];
        }

        impl $crate::section::Field for $name {
            type Raw = $raw;

            fn check(
                raw: $raw,
                checker: &mut $crate::check::Checker<'_>,
                at: &$crate::key_path::KeyPath<'_>,
            ) -> Self {
                #[allow(unused_mut, reason = "not every section has rules")]
                let mut checked = Self {
                    $($field: $crate::section::Field::check(
                        raw.$field,
                        checker,
                        &$crate::section::below(at, section!(@key $field $($key)?)),
                    ),)*
                };
                $($rules(&mut checked, checker, at);)?
                checked
            }

            fn is_zero(&self) -> bool {
                $($crate::section::Field::is_zero(&self.$field))&&*
            }

            fn show(&self) -> $crate::print::Value {
                let mut map = $crate::print::Map::default();
                self.put("#", true, &mut map);
                map.into()
            }

            fn put(&self, key: &'static str, is_always: bool, map: &mut $crate::print::Map) {
                if key.starts_with('#') {
                    $($crate::section::Field::put(
                        &self.$field,
                        section!(@key $field $($key)?),
                        section!(@always $($always)?),
                        map,
                    );)*
                } else if is_always || !self.is_zero() {
                    map.put(key, self.show());
                }
            }

            fn files<'f>(&'f self, files: &mut Vec<&'f std::path::Path>) {
                $($crate::section::Field::files(&self.$field, files);)*
            }
        }
    };
    (@default) => { Default::default() };
    (@default $default:expr) => { $default.into() };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@always) => { false };
    (@always always) => { true };
}

pub(crate) use section;
