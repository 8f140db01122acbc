//! A message on the inbox that asks for a batch. A sender sends it as a request, or S3 sends it as the event of an
//! object under `batches/inbox/`.

use crate::base::error::Problems;
use crate::batch::message::BatchRequest;
use crate::batch::s3_event;
use crate::document::Document;

/// Returns whether `body` asks for a batch, as far as it can be read.
pub fn is_batch(body: &str) -> bool {
    BatchRequest::is_meant_by(body) || s3_event::request(body).is_some()
}

/// Parses the message of a batch in either form. SQS limits the length of both. A sender's message must also be within
/// the limit of a request.
///
/// # Errors
/// Returns all problems of `body`, by field. The causes never quote an input.
pub fn parse(body: &str) -> Result<BatchRequest, Problems> {
    match s3_event::request(body) {
        Some(request) => request.check().none_or(request).map(BatchRequest::with_workflow),
        None => BatchRequest::parse(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SAMPLE: &str = include_str!("../../../../events/eventbridge/source-uploaded.json");

    fn event(key: &str) -> String {
        let mut event: Value = serde_json::from_str(SAMPLE).unwrap();
        event["detail"]["object"]["key"] = json!(key);
        event.to_string()
    }

    #[test]
    fn an_object_is_a_batch_of_the_workflow_that_its_key_names() {
        assert!(is_batch(SAMPLE));
        let request = parse(SAMPLE).unwrap();
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
        let request = parse(&event(quoted)).unwrap();
        assert_eq!(request.batch.location().unwrap().key, quoted);
        let long = |end: &str| format!("batches/inbox/explain/{}{end}.csv", "x".repeat(900));
        let ids = ["a", "b"].map(|end| parse(&event(&long(end))).unwrap().id);
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn the_problems_of_an_object_are_those_of_its_batch() {
        let reported = |key: &str| parse(&event(key)).unwrap_err().to_string();
        assert_eq!(reported("batches/inbox/a.csv"), "workflow: is missing");
        assert!(
            reported("batches/inbox/explain/a.txt").starts_with("batch.format: cannot be derived")
        );
    }

    #[test]
    fn another_event_is_no_batch() {
        let other = SAMPLE.replace("Object Created", "Object Deleted");
        assert!(!is_batch(&other));
        assert!(!is_batch("not json"));
    }
}
