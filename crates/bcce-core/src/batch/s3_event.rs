//! The event that EventBridge sends for an object under `batches/inbox/<workflow>/`. The whole event is the message: an
//! input template would not escape the key, and a quotation mark in it would make invalid JSON.

use serde::Deserialize;

use crate::batch::item::short_id;
use crate::batch::message::{BatchRequest, BatchSpec};
use crate::batch::source::Location;

/// The fields of S3's event that a batch request needs.
#[derive(Deserialize)]
struct Event {
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
    etag: String,
}

/// Returns the batch request of an event, or `None` if `body` is not such an event. Repeated events of one object give
/// the same batch. An object that is written again gives another batch if KMS encrypts it, because its ETag changes.
pub(super) fn request(body: &str) -> Option<BatchRequest> {
    let Detail { bucket, object: Object { key, etag } } = event(body)?;
    let id = format!("{}@{etag}", short_id(&key));
    let source = Location { bucket: bucket.name, key }.to_string();
    let batch = BatchSpec { source, etag: Some(etag), ..BatchSpec::default() };
    Some(BatchRequest { id: Some(id), batch, ..BatchRequest::default() })
}

/// Returns whether the object of an event stands for a folder, as the S3 console creates them.
pub fn is_folder(body: &str) -> bool {
    event(body).is_some_and(|created| created.object.key.ends_with('/'))
}

fn event(body: &str) -> Option<Detail> {
    let event: Event = serde_json::from_str(body).ok()?;
    let is_created =
        (event.source.as_str(), event.detail_type.as_str()) == ("aws.s3", "Object Created");
    is_created.then_some(event.detail)
}
