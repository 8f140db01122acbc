//! Objects of the stack's bucket, and of any other.

use crate::base::error::Fault;
use crate::batch;
use crate::batch::Location;
use crate::run::artifact::ArtifactRef;

pub trait GetObject {
    /// The object's bytes, checked against the digest it was stored with; `None`: there is none.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault>;
}

pub trait PutOnce {
    /// Writes the object if there is none. `run_id` goes into the encryption context.
    async fn put_once(&self, key: &str, run_id: &str, body: &[u8]) -> Result<Put, Fault>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Stored,
    Existed,
}

pub trait PutSealed {
    /// Writes the object with its signature if there is none, both or neither. `id` goes into the encryption context.
    async fn put_sealed(
        &self,
        key: &str,
        id: &str,
        body: &[u8],
        signature: &[u8],
    ) -> Result<Put, Fault>;
}

pub trait GetSealed {
    /// As [`GetObject`], with the signature that the object was written with.
    async fn get_sealed(&self, key: &str) -> Result<Option<SealedObject>, Fault>;
}

/// An object with the signature that was written with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedObject {
    pub body: Vec<u8>,
    /// `None`: it was written without one.
    pub signature: Option<Vec<u8>>,
}

pub trait ListObjects {
    /// The keys below `prefix`, sorted.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Fault>;
}

pub trait PutObject {
    /// Writes an object of a batch over whatever is there. `batch_id` goes into the encryption context.
    async fn put(&self, key: &str, batch_id: &str, body: Vec<u8>) -> Result<(), Fault>;
}

pub trait GetRange {
    /// So many bytes of an object from one on; `None`: there is none.
    async fn range(&self, key: &str, at: u64, bytes: u64) -> Result<Option<Vec<u8>>, Fault>;
}

pub trait Concatenate {
    /// Writes `keys`, one after the other, as the object `to`; those that do not exist are nothing. Memory is that of
    /// a few megabytes.
    async fn concatenate(
        &self,
        keys: &[String],
        to: &str,
        batch_id: &str,
    ) -> Result<ArtifactRef, Fault>;
}

/// An object of any bucket, read from its beginning.
pub trait OpenSource {
    type Body: NextBytes;
    /// `None`: there is none, or another one than `etag`.
    async fn open(
        &self,
        location: &Location,
        etag: Option<&str>,
    ) -> Result<Option<SourceObject<Self::Body>>, Fault>;
}

/// An object as it was found.
#[derive(Clone, Debug)]
pub struct SourceObject<B> {
    pub etag: String,
    pub bytes: u64,
    pub body: B,
}

pub trait NextBytes {
    /// `None`: the end.
    async fn next_bytes(&mut self) -> Result<Option<Vec<u8>>, Fault>;
}

pub trait ListSource {
    /// Objects below a prefix of any bucket in the order of their keys, a page at a time; `from`: where the page before
    /// said that the next one is.
    async fn page(&self, prefix: &Location, from: Option<&str>) -> Result<Page, Fault>;
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub objects: Vec<batch::item::Object>,
    /// `None`: there is no further one.
    pub next: Option<String>,
}
