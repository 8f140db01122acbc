//! Reads and parses objects of the store, or writes them once. Missing objects and objects that cannot be parsed are
//! reported in the same way by all functions.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::digest::in_hex;
use crate::base::error::Fault;
use crate::base::json::{parse, parse_lines, to_json};
use crate::ports::{GetObject, GetRange, Put, PutOnce};

/// Reads the bytes of an object that must exist.
///
/// # Errors
/// Returns `Bcce.Internal` with the key if the object does not exist or the store failed.
pub async fn bytes(store: &impl GetObject, key: &str) -> Result<Vec<u8>, Fault> {
    store.get(key).await?.ok_or_else(|| missing(key))
}

/// Reads the bytes of an object that must have the digest `sha256`, in lower-case hex. `what` names that object in the
/// message.
///
/// # Errors
/// Returns the errors of [`bytes`], and `Bcce.Internal` with the key if the object has another digest.
pub async fn bytes_of(
    store: &impl GetObject,
    key: &str,
    sha256: &str,
    what: &str,
) -> Result<Vec<u8>, Fault> {
    let found = store.get_with_digest(key).await?;
    let (body, digest) = found.ok_or_else(|| missing(key))?;
    if in_hex(&digest) != sha256 {
        return Err(Fault::internal(format!("{key} is not {what}")));
    }
    Ok(body)
}

/// Reads and parses an object that must exist.
///
/// # Errors
/// Returns the errors of [`bytes`], and `Bcce.Internal` if the object cannot be parsed.
pub async fn read<T: DeserializeOwned>(store: &impl GetObject, key: &str) -> Result<T, Fault> {
    parse(key, &bytes(store, key).await?)
}

/// Reads and parses an object that must exist, with a value on each line.
///
/// # Errors
/// Returns the errors of [`read`].
pub async fn read_lines<T: DeserializeOwned>(
    store: &impl GetObject,
    key: &str,
) -> Result<Vec<T>, Fault> {
    parse_lines(key, &bytes(store, key).await?)
}

/// Reads and parses an object. Returns `None` if the object does not exist.
///
/// # Errors
/// Returns `Bcce.Internal` if the object cannot be parsed or the store failed.
pub async fn find<T: DeserializeOwned>(
    store: &impl GetObject,
    key: &str,
) -> Result<Option<T>, Fault> {
    store.get(key).await?.map(|body| parse(key, &body)).transpose()
}

/// Reads and parses an object with a value on each line. Returns `None` if the object does not exist.
///
/// # Errors
/// Returns the errors of [`find`].
pub async fn find_lines<T: DeserializeOwned>(
    store: &impl GetObject,
    key: &str,
) -> Result<Option<Vec<T>>, Fault> {
    store.get(key).await?.map(|body| parse_lines(key, &body)).transpose()
}

/// Reads and parses `length` bytes of an object from offset `at`. The object must exist.
///
/// # Errors
/// Returns the errors of [`read`].
pub async fn read_range<T: DeserializeOwned>(
    store: &impl GetRange,
    key: &str,
    at: u64,
    length: u64,
) -> Result<T, Fault> {
    let range = store.range(key, at, length).await?;
    parse(key, &range.ok_or_else(|| missing(key))?)
}

/// Writes `body` unless the object already exists. Returns the bytes that are now stored, which are those of the first
/// writer.
///
/// # Errors
/// Returns `Bcce.Internal` if the store failed.
pub async fn store_once(
    store: &(impl GetObject + PutOnce),
    key: &str,
    id: &str,
    body: Vec<u8>,
) -> Result<Vec<u8>, Fault> {
    match store.put_once(key, id, &body).await? {
        Put::Stored => Ok(body),
        Put::Existed => existing(key, store.get(key).await?),
    }
}

/// Writes `value` as JSON unless the object already exists. Returns the value that is now stored, which is that of the
/// first writer. Writing a value as JSON and parsing it must give an equal value, because the first writer's own value
/// is returned without being read back.
///
/// # Errors
/// Returns the errors of [`store_once`], and `Bcce.Internal` if the stored object cannot be parsed.
pub async fn store_value_once<T: Serialize + DeserializeOwned>(
    store: &(impl GetObject + PutOnce),
    key: &str,
    id: &str,
    value: T,
) -> Result<T, Fault> {
    match store.put_once(key, id, &to_json(&value)?).await? {
        Put::Stored => Ok(value),
        Put::Existed => parse(key, &existing(key, store.get(key).await?)?),
    }
}

/// Returns the object that prevented a write.
///
/// # Errors
/// Returns `Bcce.Internal` if the object cannot be read although it exists.
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
