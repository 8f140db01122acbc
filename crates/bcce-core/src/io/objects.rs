//! Objects of the store: read and parsed, or written once. Reports missing and unparsable objects the same way for all
//! functions.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::error::Fault;
use crate::base::json::{parse, parse_lines, to_json};
use crate::ports::{GetObject, GetRange, Put, PutOnce};

/// Reads the bytes of an object that must exist.
///
/// # Errors
/// `Bcce.Internal`, naming the key: the object does not exist, or the store failed.
pub async fn bytes(store: &impl GetObject, key: &str) -> Result<Vec<u8>, Fault> {
    store.get(key).await?.ok_or_else(|| missing(key))
}

/// Reads and parses an object that must exist.
///
/// # Errors
/// As [`bytes`], and `Bcce.Internal` where the object cannot be parsed.
pub async fn read<T: DeserializeOwned>(store: &impl GetObject, key: &str) -> Result<T, Fault> {
    parse(key, &bytes(store, key).await?)
}

/// Reads and parses an object that must exist, a value on each line.
///
/// # Errors
/// As [`read`].
pub async fn read_lines<T: DeserializeOwned>(
    store: &impl GetObject,
    key: &str,
) -> Result<Vec<T>, Fault> {
    parse_lines(key, &bytes(store, key).await?)
}

/// Reads and parses an object. Returns `None` if the object does not exist.
///
/// # Errors
/// `Bcce.Internal`: the object cannot be parsed, or the store failed.
pub async fn find<T: DeserializeOwned>(
    store: &impl GetObject,
    key: &str,
) -> Result<Option<T>, Fault> {
    store.get(key).await?.map(|body| parse(key, &body)).transpose()
}

/// Reads and parses an object with a value on each line. Returns `None` if the object does not exist.
///
/// # Errors
/// As [`find`].
pub async fn find_lines<T: DeserializeOwned>(
    store: &impl GetObject,
    key: &str,
) -> Result<Option<Vec<T>>, Fault> {
    store.get(key).await?.map(|body| parse_lines(key, &body)).transpose()
}

/// Reads and parses the `length` bytes of an object from offset `at`. The object must exist.
///
/// # Errors
/// As [`read`].
pub async fn read_range<T: DeserializeOwned>(
    store: &impl GetRange,
    key: &str,
    at: u64,
    length: u64,
) -> Result<T, Fault> {
    let range = store.range(key, at, length).await?;
    parse(key, &range.ok_or_else(|| missing(key))?)
}

/// Writes `body` unless the object exists already. Returns the bytes that are stored now: the first writer's.
///
/// # Errors
/// `Bcce.Internal`: the store failed.
pub async fn store_once(
    store: &(impl GetObject + PutOnce),
    key: &str,
    run_id: &str,
    body: Vec<u8>,
) -> Result<Vec<u8>, Fault> {
    match store.put_once(key, run_id, &body).await? {
        Put::Stored => Ok(body),
        Put::Existed => existing(key, store.get(key).await?),
    }
}

/// Writes `value` as JSON unless the object exists already. Returns the value that is stored now: the first writer's.
/// A value must be equal to itself read back, since the first writer's is returned as it is.
///
/// # Errors
/// As [`store_once`], and `Bcce.Internal` where the stored object cannot be parsed.
pub async fn store_value_once<T: Serialize + DeserializeOwned>(
    store: &(impl GetObject + PutOnce),
    key: &str,
    run_id: &str,
    value: T,
) -> Result<T, Fault> {
    match store.put_once(key, run_id, &to_json(&value)?).await? {
        Put::Stored => Ok(value),
        Put::Existed => parse(key, &existing(key, store.get(key).await?)?),
    }
}

/// Returns the object that kept a write from happening.
///
/// # Errors
/// `Bcce.Internal`: the object cannot be read although it exists.
pub fn existing<T>(key: &str, found: Option<T>) -> Result<T, Fault> {
    found.ok_or_else(|| {
        Fault::internal(format!("{key} exists for a write and does not exist for a read"))
    })
}

fn missing(key: &str) -> Fault {
    Fault::internal(format!("{key} is missing"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::base::error::ErrorName;
    use crate::fakes::{MemoryStore, now};

    #[test]
    fn what_is_missing_and_what_cannot_be_parsed_is_named() {
        let store = MemoryStore::default();
        let fault = now(read::<Value>(&store, "a/b.json")).unwrap_err();
        assert_eq!(
            (fault.name, fault.message.as_str()),
            (ErrorName::Internal, "a/b.json is missing")
        );
        assert_eq!(now(find::<Value>(&store, "a/b.json")), Ok(None));
        now(store.put_once("a/b.json", "r", b"{")).unwrap();
        let fault = now(find::<Value>(&store, "a/b.json")).unwrap_err();
        assert!(fault.message.starts_with("a/b.json is not what this version writes: line 1"));
    }

    #[test]
    fn the_first_writers_value_is_returned() {
        let store = MemoryStore::default();
        let write = |value: Value| now(store_value_once(&store, "k", "r", value)).unwrap();
        assert_eq!(write(json!(1)), json!(1));
        assert_eq!(write(json!(2)), json!(1));
        assert_eq!(now(store_once(&store, "k", "r", b"3".to_vec())), Ok(b"1".to_vec()));
    }
}
