//! The lists of the schema against the raw types they speak about.

use serde::{Deserialize, Deserializer, de::Visitor};

use super::*;
use crate::raw::{
    RawAlerting, RawAlertmanager, RawAuthorization, RawBasicAuth, RawConfig, RawGlobal, RawHeader,
    RawHttpClient, RawLimits, RawRelabel, RawRuntime, RawScrape, RawScrapeFile, RawTargetGroup,
};
use crate::sections::*;

type Shape = (&'static str, &'static [&'static str]);

/// Tells which struct it is asked for instead of decoding one.
struct Probe;

#[derive(Debug)]
struct Asked(Shape);

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.0)
    }
}

impl std::error::Error for Asked {}

impl serde::de::Error for Asked {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        panic!("{message}");
    }
}

impl<'de> Deserializer<'de> for Probe {
    type Error = Asked;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        panic!("only structs are asked for");
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        Err(Asked((name, fields)))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn shape<T: for<'de> Deserialize<'de> + std::fmt::Debug>() -> Shape {
    T::deserialize(Probe).unwrap_err().0
}

fn all() -> Vec<Shape> {
    vec![
        shape::<RawConfig>(),
        shape::<RawGlobal>(),
        shape::<RawRuntime>(),
        shape::<RawScrape>(),
        shape::<RawLimits>(),
        shape::<RawHttpClient>(),
        shape::<RawBasicAuth>(),
        shape::<RawAuthorization>(),
        shape::<RawHeader>(),
        shape::<RawTargetGroup>(),
        shape::<RawRelabel>(),
        shape::<RawAlerting>(),
        shape::<RawAlertmanager>(),
        shape::<RawScrapeFile>(),
        shape::<RawDiscovery>(),
        shape::<RawProxy>(),
        shape::<RawTls>(),
        shape::<RawOAuth2>(),
        shape::<RawRemoteWrite>(),
        shape::<RawRemoteRead>(),
        shape::<RawQueue>(),
        shape::<RawStorage>(),
        shape::<RawTsdb>(),
        shape::<RawRetention>(),
        shape::<RawTracing>(),
        shape::<RawOtlp>(),
        shape::<RawSigv4>(),
        shape::<RawAzureAd>(),
    ]
}

#[test]
fn inlined_structs_have_the_keys_their_holders_look_for() {
    for (name, fields) in all() {
        for inline in fields.iter().filter(|field| field.starts_with('#')) {
            let inlined = all().into_iter().find(|(other, _)| other == inline);
            assert_eq!(inlined.map(|(_, keys)| keys), Some(inline_fields(inline)), "{name}");
        }
    }
}

#[test]
fn struct_names_are_unambiguous() {
    let shapes = all();
    let names: std::collections::HashSet<_> = shapes.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), shapes.len());
}
