//! Reads the elements of one list out of a JSON text, one at a time. The text is bounded by whoever read it;
//! here each tree that is built of it is.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::json::go_text;

/// Values in one element of a list, or in all that stands around the list.
const NODE_COUNT_MAX: usize = 1 << 18;

/// Takes the elements of a list.
pub(crate) type Each<'e> = dyn FnMut(Value) -> Result<(), String> + Send + 'e;

/// Hands each element of the list at `at` (a JSON pointer; empty for the whole text) to `each`, and returns
/// what stands around it. A list that is null or not there has no elements.
///
/// # Errors
/// The text is not JSON, something else is where the list should be, a tree is too large, or `each` refuses.
pub(crate) fn read_list(text: &[u8], at: &str, each: &mut Each<'_>) -> Result<Value, String> {
    let path: Vec<&str> = at.split('/').skip(1).collect();
    let budget = Cell::new(NODE_COUNT_MAX);
    read(text, List { path: &path, each, budget: &budget })
}

/// Reads a whole text as one tree.
///
/// # Errors
/// The text is not JSON, or the tree is too large.
pub(crate) fn read_value(text: &[u8]) -> Result<Value, String> {
    read(text, Tree { budget: &Cell::new(NODE_COUNT_MAX) })
}

fn read<'t, S: DeserializeSeed<'t, Value = Value>>(
    text: &'t [u8],
    seed: S,
) -> Result<Value, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = seed.deserialize(&mut deserializer);
    value.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| go_text(&error))
}

/// The way down to the list.
struct List<'p, 'e, 'f> {
    path: &'p [&'p str],
    each: &'p mut Each<'e>,
    budget: &'f Cell<usize>,
}

/// A tree of no more than so many values.
struct Tree<'f> {
    budget: &'f Cell<usize>,
}

impl<'t> DeserializeSeed<'t> for List<'_, '_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for List<'_, '_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path {
            [] => f.write_str("a list"),
            [key, ..] => write!(f, "an object with {key:?}"),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut seq: A) -> Result<Value, A::Error> {
        if let [key, ..] = self.path {
            return Err(A::Error::custom(format_args!(
                "a list where an object with {key:?} should be"
            )));
        }
        loop {
            let budget = Cell::new(NODE_COUNT_MAX);
            let Some(element) = seq.next_element_seed(Tree { budget: &budget })? else {
                return Ok(Value::Null);
            };
            (self.each)(element).map_err(A::Error::custom)?;
        }
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Value, A::Error> {
        let [wanted, path @ ..] = self.path else {
            return Err(A::Error::custom("an object where a list should be"));
        };
        let mut around = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            spend(self.budget)?;
            let value = if key == *wanted {
                map.next_value_seed(List { path, each: &mut *self.each, budget: self.budget })?
            } else {
                map.next_value_seed(Tree { budget: self.budget })?
            };
            around.insert(key, value);
        }
        Ok(Value::Object(around))
    }
}

impl<'t> DeserializeSeed<'t> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element_seed(Tree { budget: self.budget })? {
            spend(self.budget)?;
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            spend(self.budget)?;
            object.insert(key, map.next_value_seed(Tree { budget: self.budget })?);
        }
        Ok(Value::Object(object))
    }
}

fn spend<E: Error>(budget: &Cell<usize>) -> Result<(), E> {
    match budget.get().checked_sub(1) {
        Some(left) => {
            budget.set(left);
            Ok(())
        }
        None => Err(E::custom(format_args!("more than {NODE_COUNT_MAX} values in one place"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, at: &str, expected: Result<(&[&str], &str), &str>) {
        let mut found = Vec::new();
        let around = read_list(text.as_bytes(), at, &mut |element| {
            found.push(element.to_string());
            Ok(())
        });
        let got = around.map(|around| (found, around.to_string()));
        let owned = |(list, around): (&[&str], &str)| {
            (list.iter().map(|&it| it.to_owned()).collect::<Vec<_>>(), around.to_owned())
        };
        assert_eq!(got, expected.map(owned).map_err(str::to_owned), "{text} at {at:?}");
    }

    #[test]
    fn the_elements_of_one_list_are_handed_out_and_the_rest_is_kept() {
        check("[1, {\"a\": [2]}]", "", Ok((&["1", "{\"a\":[2]}"], "null")));
        check("null", "", Ok((&[], "null")));
        check(
            r#"{"n": {"next": 2}, "list": ["a"], "z": null}"#,
            "/list",
            Ok((&["\"a\""], r#"{"list":null,"n":{"next":2},"z":null}"#)),
        );
        check(
            r#"{"a": {"b": [true, -1, 1.5]}}"#,
            "/a/b",
            Ok((&["true", "-1", "1.5"], r#"{"a":{"b":null}}"#)),
        );
        check("{}", "/a/b", Ok((&[], "{}")));
        check(r#"{"a": null}"#, "/a/b", Ok((&[], r#"{"a":null}"#)));
        check("", "/a", Err("unexpected end of JSON input"));
        check("[{", "", Err("unexpected end of JSON input"));
        check("<html>", "", Err("expected value at line 1 column 1"));
        check("{}", "", Err("an object where a list should be at line 1 column 2"));
        check("[]", "/a", Err("a list where an object with \"a\" should be at line 1 column 2"));
        check(
            "7",
            "/a",
            Err("invalid type: integer `7`, expected an object with \"a\" at line 1 column 1"),
        );
        check("[] x", "", Err("trailing characters at line 1 column 4"));
    }

    #[test]
    fn deep_and_large_trees_are_refused() {
        let deep = "[".repeat(1 << 20);
        assert!(read_value(deep.as_bytes()).unwrap_err().contains("recursion limit"));
        let element = format!("[{}0]", "0,".repeat(NODE_COUNT_MAX));
        let refused = format!("more than {NODE_COUNT_MAX} values in one place");
        assert!(read_value(element.as_bytes()).unwrap_err().starts_with(&refused));
        // Many elements that are small each are no matter.
        let mut count = 0;
        let text = format!("[{}0]", "0,".repeat(NODE_COUNT_MAX));
        read_list(text.as_bytes(), "", &mut |_| {
            count += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(count, NODE_COUNT_MAX + 1);
    }
}
