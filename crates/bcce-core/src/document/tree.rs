//! Parses JSON to a tree and reports keys that appear twice in an object. JSON readers differ in which of the two
//! values they use, and the meaning of a signed text must not depend on the reader.

use std::cell::RefCell;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::base::error::Problems;
use crate::base::limits::cut;

/// The largest number of faults that are looked for in one document.
pub(super) const MOST_FAULTS: usize = 50;

/// The longest path of a field, in characters. It is longer than any path of a valid document. Without a limit, the
/// paths below a very long key could take any amount of memory.
const MAX_PATH_CHARS: usize = 200;

/// Returns the tree and a problem for each repeated key, up to [`MOST_FAULTS`]. The tree has the first value of a
/// repeated key.
///
/// # Errors
/// Returns a message with the place if the text is not JSON.
pub fn read(text: &str) -> Result<(Value, Problems), String> {
    let repeated = RefCell::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let tree = Node { path: "", repeated: &repeated }
        .deserialize(&mut json)
        .map_err(|error| format!("is not JSON: {error}"))?;
    json.end().map_err(|_| "has text after the end of the JSON".to_owned())?;
    Ok((tree, repeated.into_inner()))
}

/// A visitor for the value at `path`.
#[derive(Clone, Copy)]
struct Node<'a> {
    path: &'a str,
    repeated: &'a RefCell<Problems>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let path = cut(&format!("{}[{}]", self.path, list.len()), MAX_PATH_CHARS);
            match items.next_element_seed(Node { path: &path, ..self })? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let path = cut(&crate::document::repair::below(self.path, &key), MAX_PATH_CHARS);
            let value = entries.next_value_seed(Node { path: &path, ..self })?;
            if map.contains_key(&key) {
                let mut repeated = self.repeated.borrow_mut();
                let few = repeated.iter().count() < MOST_FAULTS;
                repeated.check(!few, path, "appears twice in the same object");
            } else {
                map.insert(key, value);
            }
        }
        Ok(Value::Object(map))
    }
}
