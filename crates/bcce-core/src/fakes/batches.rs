//! The ports of batches: objects that are replaced, read in part or joined, and objects of other buckets.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use crate::base::error::Fault;
use crate::batch::Location;
use crate::batch::item::Object;
use crate::fakes::MemoryStore;
use crate::ports::{
    Concatenate, GetRange, ListSource, NextBytes, OpenSource, Page, PutObject, SourceObject,
};
use crate::run::artifact::ArtifactRef;

impl PutObject for MemoryStore {
    async fn put(&self, key: &str, _batch_id: &str, body: Vec<u8>) -> Result<(), Fault> {
        self.fault()?;
        self.objects.borrow_mut().insert(key.to_owned(), body);
        Ok(())
    }
}

impl GetRange for MemoryStore {
    async fn range(&self, key: &str, at: u64, bytes: u64) -> Result<Option<Vec<u8>>, Fault> {
        self.fault()?;
        let range = usize::try_from(at).unwrap()..usize::try_from(at + bytes).unwrap();
        Ok(self.objects.borrow().get(key).map(|body| body[range].to_vec()))
    }
}

impl Concatenate for MemoryStore {
    async fn concatenate(
        &self,
        keys: &[String],
        to: &str,
        _batch_id: &str,
    ) -> Result<ArtifactRef, Fault> {
        self.fault()?;
        let mut objects = self.objects.borrow_mut();
        let body: Vec<u8> =
            keys.iter().filter_map(|key| objects.get(key)).flatten().copied().collect();
        let written = ArtifactRef::of(to.to_owned(), &body);
        objects.insert(to.to_owned(), body);
        Ok(written)
    }
}

/// Buckets with the inputs of batches. Bytes are returned in pieces, listings in pages of two.
#[derive(Default)]
pub struct MemorySources {
    /// The ETag and bytes of each object, by URI.
    pub objects: RefCell<BTreeMap<String, (String, Vec<u8>)>>,
    /// True if the next object that is opened ends before its last byte.
    pub breaks_off: Cell<bool>,
    /// The URIs of the objects that cannot be read.
    pub forbidden: RefCell<BTreeSet<String>>,
}

/// The bytes of an object that are returned at a time.
const PIECE: usize = 64 * 1_024;
/// The objects on a page of a listing.
const PAGE: usize = 2;

impl MemorySources {
    pub fn put(&self, uri: &str, etag: &str, body: impl Into<Vec<u8>>) {
        self.objects.borrow_mut().insert(uri.to_owned(), (etag.to_owned(), body.into()));
    }
}

impl OpenSource for MemorySources {
    type Body = std::vec::IntoIter<Vec<u8>>;

    async fn open(
        &self,
        location: &Location,
        etag: Option<&str>,
    ) -> Result<Option<SourceObject<Self::Body>>, Fault> {
        if self.forbidden.borrow().contains(&location.to_string()) {
            return Err(Fault::internal(format!("{location} cannot be read")));
        }
        let objects = self.objects.borrow();
        let cut = usize::from(self.breaks_off.replace(false));
        let object = objects.get(&location.to_string());
        let object = object.filter(|(is, _)| etag.is_none_or(|wanted| wanted == is));
        Ok(object.map(|(etag, body)| SourceObject {
            etag: etag.clone(),
            bytes: Some(body.len() as u64),
            body: pieces(&body[..body.len() - cut]),
        }))
    }
}

fn pieces(body: &[u8]) -> std::vec::IntoIter<Vec<u8>> {
    body.chunks(PIECE).map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter()
}

impl NextBytes for std::vec::IntoIter<Vec<u8>> {
    async fn next_bytes(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.next())
    }
}

impl ListSource for MemorySources {
    async fn page(&self, prefix: &Location, from: Option<&str>) -> Result<Page, Fault> {
        let bucket = format!("s3://{}/", prefix.bucket);
        let objects = self.objects.borrow();
        let listed = objects.iter().filter_map(|(uri, (etag, body))| {
            let key = uri.strip_prefix(&bucket)?.to_owned();
            let etag = etag.clone();
            Some(Object { key, etag, bytes: body.len() as u64 })
        });
        let listed = listed.filter(|object| object.key.starts_with(&prefix.key));
        let from = from.unwrap_or_default();
        let mut rest = listed.filter(|object| object.key.as_str() > from).peekable();
        let objects: Vec<Object> = rest.by_ref().take(PAGE).collect();
        let next = rest.peek().and(objects.last()).map(|last| last.key.clone());
        Ok(Page { objects, next })
    }
}
