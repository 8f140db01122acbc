//! An object that was put under `batches/inbox/<workflow>/`, as EventBridge tells of it. The event is the message as it
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

/// The batch of an event; `None`: the text is no such event. However often it is told of, an object is one batch. Put
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SAMPLE: &str = include_str!("../../../../events/eventbridge/manifest-dropped.json");

    fn event(key: &str) -> String {
        let mut event: Value = serde_json::from_str(SAMPLE).unwrap();
        event["detail"]["object"]["key"] = json!(key);
        event.to_string()
    }

    #[test]
    fn an_object_is_a_batch_of_the_workflow_that_its_key_names() {
        assert!(BatchRequest::is_meant_by(SAMPLE));
        let request = BatchRequest::parse(SAMPLE).unwrap();
        assert_eq!(request.workflow, "explain");
        let id = "batches/inbox/explain/questions.jsonl@b1946ac92492d2347c6235b4d2611184";
        assert_eq!(request.id.as_deref(), Some(id));
        let source = "s3://bcce-dev-artifacts/batches/inbox/explain/questions.jsonl";
        assert_eq!(request.batch.source, source);
        assert_eq!(request.batch.etag.as_deref(), Some("b1946ac92492d2347c6235b4d2611184"));
    }

    #[test]
    fn any_key_that_s3_takes_is_one() {
        let quoted = r#"batches/inbox/explain/a "quoted" \ key.csv"#;
        let request = BatchRequest::parse(&event(quoted)).unwrap();
        assert_eq!(request.batch.location().unwrap().key, quoted);
        let long = |end: &str| format!("batches/inbox/explain/{}{end}.csv", "x".repeat(900));
        let ids = ["a", "b"].map(|end| BatchRequest::parse(&event(&long(end))).unwrap().id);
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn what_is_wrong_with_an_object_is_reported_of_it() {
        let reported = |key: &str| BatchRequest::parse(&event(key)).unwrap_err().to_string();
        assert_eq!(reported("batches/inbox/a.csv"), "workflow: is missing");
        assert!(
            reported("batches/inbox/explain/a.txt").starts_with("batch.format: cannot be derived")
        );
    }

    #[test]
    fn another_event_is_no_batch() {
        let other = SAMPLE.replace("Object Created", "Object Deleted");
        assert!(!BatchRequest::is_meant_by(&other));
        assert!(!BatchRequest::is_meant_by("not json"));
    }
}
