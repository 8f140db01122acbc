//! JSON -> tree. A key that stands twice in an object is reported: which of the two a reader takes is its own
//! guess, and what a signature covers must not be one.

use std::cell::RefCell;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::base::error::Problems;
use crate::base::limits::cut;

/// Faults of shape that are looked for; whoever has more has another document in mind.
pub(super) const MOST_FAULTS: usize = 50;

/// Longer than any path that is meant. A sender's key can be half a message long, and half a million
/// items can stand below it.
const MAX_PATH_CHARS: usize = 200;

/// The tree, and the first keys that stand in it more than once; the first value is kept.
///
/// # Errors
/// What makes the text no JSON, and where.
pub fn read(text: &str) -> Result<(Value, Problems), String> {
    let repeated = RefCell::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let tree = Node { path: "", repeated: &repeated }
        .deserialize(&mut json)
        .map_err(|error| format!("is not JSON: {error}"))?;
    json.end().map_err(|_| "is followed by something else".to_owned())?;
    Ok((tree, repeated.into_inner()))
}

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
                repeated.check(!few, path, "stands twice in the same object");
            } else {
                map.insert(key, value);
            }
        }
        Ok(Value::Object(map))
    }
}
