//! The event that EventBridge sends for an object under `batches/inbox/<workflow>/`. The event is the message as it
//! is: an input template would put a key between quotation marks as it stands, and with one in it be no JSON.

use serde::Deserialize;

use crate::batch::item::short_id;
use crate::batch::message::{BatchRequest, BatchSpec};
use crate::batch::source::Location;

/// Of S3's event what makes a batch.
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

/// Returns the batch of an event, or `None` if the text is no such event. An object is one batch, however often the event comes. Put
/// again it is another one where it is encrypted by KMS, since its ETag is then another with the same bytes.
pub(super) fn request(body: &str) -> Option<BatchRequest> {
    let Detail { bucket, object: Object { key, etag } } = event(body)?;
    let id = format!("{}@{etag}", short_id(&key));
    let source = Location { bucket: bucket.name, key }.to_string();
    let batch = BatchSpec { source, etag: Some(etag), ..BatchSpec::default() };
    Some(BatchRequest { id: Some(id), batch, ..BatchRequest::default() })
}

/// What stands for a folder in consoles, where somebody made one to drop manifests in.
pub fn is_folder(body: &str) -> bool {
    event(body).is_some_and(|created| created.object.key.ends_with('/'))
}

fn event(body: &str) -> Option<Detail> {
    let event: Event = serde_json::from_str(body).ok()?;
    let is_ours =
        (event.source.as_str(), event.detail_type.as_str()) == ("aws.s3", "Object Created");
    is_ours.then_some(event.detail)
}
