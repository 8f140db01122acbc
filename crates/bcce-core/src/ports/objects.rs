//! Objects of the artifact bucket, and of any other bucket.

use crate::base::digest::sha256;
use crate::base::error::Fault;
use crate::batch;
use crate::batch::Location;
use crate::run::artifact::ArtifactRef;

pub trait GetObject {
    /// Reads an object and checks it against the digest it was stored with. Returns `None` if it does not exist.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault>;

    /// Does the same, and returns the SHA-256 of the body with it. A store that has computed it for the check overrides
    /// this.
    async fn get_with_digest(&self, key: &str) -> Result<Option<(Vec<u8>, [u8; 32])>, Fault> {
        let with_digest = |body: Vec<u8>| {
            let digest = sha256(&body);
            (body, digest)
        };
        Ok(self.get(key).await?.map(with_digest))
    }
}

pub trait PutOnce {
    /// Writes the object unless it exists. `id` is the id of its run, batch or part. It goes into the encryption
    /// context.
    async fn put_once(&self, key: &str, id: &str, body: &[u8]) -> Result<Put, Fault>;
}

/// The result of writing an object once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Stored,
    Existed,
}

pub trait PutSealed {
    /// Writes the object with its signature in one write, unless it exists. `id` goes into the encryption context.
    async fn put_sealed(
        &self,
        key: &str,
        id: &str,
        body: &[u8],
        signature: &[u8],
    ) -> Result<Put, Fault>;
}

pub trait GetSealed {
    /// Reads an object like [`GetObject`], with the signature that it was written with.
    async fn get_sealed(&self, key: &str) -> Result<Option<SealedObject>, Fault>;
}

/// An object with the signature that was written with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedObject {
    pub body: Vec<u8>,
    /// `None` if it was written without one.
    pub signature: Option<Vec<u8>>,
}

pub trait ListObjects {
    /// Lists the keys below `prefix`, sorted.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Fault>;
}

pub trait PutObject {
    /// Writes an object of a batch, and replaces one that exists. `batch_id` goes into the encryption context.
    async fn put(&self, key: &str, batch_id: &str, body: Vec<u8>) -> Result<(), Fault>;
}

pub trait GetRange {
    /// Reads `bytes` bytes from offset `at`. Returns `None` if the object does not exist.
    async fn range(&self, key: &str, at: u64, bytes: u64) -> Result<Option<Vec<u8>>, Fault>;
}

pub trait Concatenate {
    /// Writes the objects `keys`, one after the other, as the object `to`. Skips keys that do not exist. Needs memory
    /// for a few megabytes.
    async fn concatenate(
        &self,
        keys: &[String],
        to: &str,
        batch_id: &str,
    ) -> Result<ArtifactRef, Fault>;
}

/// An object of any bucket, read from its beginning.
pub trait OpenSource {
    /// The bytes of the object, which are read in pieces.
    type Body: NextBytes;

    /// Opens an object. Returns `None` if it does not exist, or if its ETag is not `etag`.
    async fn open(
        &self,
        location: &Location,
        etag: Option<&str>,
    ) -> Result<Option<SourceObject<Self::Body>>, Fault>;
}

/// An object that was opened.
#[derive(Clone, Debug)]
pub struct SourceObject<B> {
    pub etag: String,
    /// The size, if the answer says it. S3 always does; a proxy may leave it out.
    pub bytes: Option<u64>,
    pub body: B,
}

pub trait NextBytes {
    /// Returns the next bytes, or `None` at the end.
    async fn next_bytes(&mut self) -> Result<Option<Vec<u8>>, Fault>;
}

pub trait ListSource {
    /// Lists a page of the objects below a prefix of any bucket, in the order of their keys. `from` is the `next` of
    /// the page before.
    async fn page(&self, prefix: &Location, from: Option<&str>) -> Result<Page, Fault>;
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub objects: Vec<batch::item::Object>,
    /// The position of the next page, or `None` on the last one.
    pub next: Option<String>,
}

pub trait PutDocument {
    /// Writes a document of the configuration. Replaces an existing object.
    async fn put_document(&self, key: &str, body: &[u8]) -> Result<(), Fault>;
}
