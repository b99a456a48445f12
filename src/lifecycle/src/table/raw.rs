//! A machine as its file says it, names still unresolved. Nothing is checked here beyond the shape;
//! what the names mean is the matter of `check`.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

/// A mapping in the order of the file. A key that occurs twice is kept twice, so that the check can
/// name its line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entries<T>(pub(crate) Vec<(String, T)>);

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    pub(crate) machine: String,
    pub(crate) doc: String,
    pub(crate) initial: String,
    #[serde(default)]
    pub(crate) words: Entries<String>,
    pub(crate) states: Entries<State>,
    pub(crate) events: Entries<Event>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    pub(crate) doc: String,
    pub(crate) at: [u8; 2],
    #[serde(default)]
    pub(crate) status: String,
    pub(crate) systemd: Option<News>,
    #[serde(default)]
    pub(crate) probe: Probe,
    #[serde(default)]
    pub(crate) watchdog: Watchdog,
    pub(crate) extend_timeout: Option<String>,
    pub(crate) deadline: Option<Deadline>,
    #[serde(default)]
    pub(crate) on: Entries<String>,
    #[serde(default)]
    pub(crate) defers: Vec<String>,
    #[serde(default)]
    pub(crate) ignores: Vec<String>,
    pub(crate) terminal: Option<Ending>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    pub(crate) doc: String,
    pub(crate) log: Option<String>,
    #[serde(default)]
    pub(crate) only_in: Vec<String>,
    pub(crate) exit: Option<Exit>,
    pub(crate) errno: Option<String>,
    pub(crate) until: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deadline {
    pub(crate) after: String,
    pub(crate) raises: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum News {
    Ready,
    Reloading,
    Stopping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Probe {
    #[default]
    Starting,
    Ready,
    Stopping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Watchdog {
    #[default]
    Always,
    Hearts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    Success,
    Failure,
}

/// A number, or the word `kept`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Exit {
    Code(i64),
    Word(String),
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(InOrder(PhantomData))
    }
}
