//! The request for a batch, and the form in which it is stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::base::error::Problems;
use crate::base::limits::MAX_ID_BYTES;
use crate::batch::reference::BatchRef;
use crate::batch::source::{Format, Location};
use crate::document::{self, Document, expression};
use crate::run::request::{check_message, check_size, escaped, sort_inputs};

/// The names that a map may read.
const NAMES: [&str; 1] = ["item"];
/// The most child executions that Step Functions runs at a time.
const MAX_CONCURRENCY: u32 = 10_000;
const DEFAULT_CONCURRENCY: u32 = 20;

/// A request for a batch: a message on the inbox. The event of an object under `batches/inbox/` becomes one too
/// (`batch::inbox`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// The workflow. It may be left out if the key of the source starts with `batches/inbox/<workflow>/`.
    #[serde(default)]
    pub workflow: String,
    /// The idempotency key, like that of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub batch: BatchSpec,
    /// The inputs of every item. An item's own inputs take precedence.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub inputs: Map<String, Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// The source of a batch, and how its items are run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchSpec {
    /// The URI of the source: `s3://<bucket>/<key>` of an object, or a prefix that ends in `/`.
    pub source: String,
    /// The ETag that the object must have. A batch of a changed object is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The format. The default is derived from the suffix of the source's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The inputs by name, as values in which `{{ item.… }}` is filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<BTreeMap<String, Value>>,
    /// The id of an item, as a text in which `{{ item.… }}` is filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// The fields that a line may set in addition to `id` and `inputs`. The sender must allow them, because another
    /// person may have written the lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items_may_set: Vec<ItemField>,
    #[serde(default)]
    pub mode: Mode,
    /// The time at which the batch must be over, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// The number of items that run at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// The share of the items that may fail before no further one is started, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerated_failure_percent: Option<u8>,
}

/// A field of an item that decides how its run is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemField {
    Model,
    Tags,
}

/// The mode in which the items of a batch run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Every item runs on demand.
    #[default]
    OnDemand,
    /// The items are records of bulk jobs: half the price, within a day.
    Bulk,
    /// `Bulk` if that is possible and the deadline allows it, else `OnDemand`.
    Auto,
}

impl BatchSpec {
    /// Returns the number of items that run at a time.
    pub fn concurrency(&self) -> u32 {
        self.concurrency.unwrap_or(DEFAULT_CONCURRENCY)
    }

    /// Returns the deadline, or `None` if there is none or it is not a valid time.
    pub fn deadline(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(self.deadline.as_deref()?, &Rfc3339).ok()
    }

    /// Parses `source`.
    ///
    /// # Errors
    /// Returns the problem if `source` is not a valid location.
    pub fn location(&self) -> Result<Location, String> {
        Location::parse(&self.source)
    }

    /// Returns the format, or `None` if it is neither given nor shown by the source's name.
    pub fn format(&self) -> Option<Format> {
        self.format.or_else(|| self.location().ok()?.format())
    }

    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        if let Err(cause) = self.location() {
            problems.add("batch.source", cause);
        } else if self.format().is_none() {
            let cause =
                "cannot be derived from the source's name; must be one of: jsonl, csv, objects";
            problems.add("batch.format", cause);
        }
        for (name, value) in self.map.iter().flatten() {
            expression::check_value(value, &NAMES, &format!("batch.map.{name}"), &mut problems);
        }
        if let Some(Err(cause)) =
            self.item_id.as_deref().map(|id| expression::check_text(id, &NAMES))
        {
            problems.add("batch.item_id", cause);
        }
        let timely = self.deadline.is_none() || self.deadline().is_some();
        problems.check(timely, "batch.deadline", "must be a time like 2026-11-30T18:00:00Z");
        let fits = (1..=MAX_CONCURRENCY).contains(&self.concurrency());
        problems.check(fits, "batch.concurrency", format!("must be 1 to {MAX_CONCURRENCY}"));
        let percent = self.tolerated_failure_percent.is_none_or(|percent| percent <= 100);
        problems.check(percent, "batch.tolerated_failure_percent", "must be 0 to 100");
        if self.format() == Some(Format::Objects) {
            let cause =
                "must map an object's text to an input, such as { \"text\": \"{{ item.text }}\" }";
            problems.check(self.map.is_some(), "batch.map", cause);
        }
        problems
    }
}

impl BatchRequest {
    /// Returns whether a message asks for a batch, as far as it can be read.
    pub fn is_meant_by(body: &str) -> bool {
        let object: Option<BTreeMap<String, &serde_json::value::RawValue>> =
            serde_json::from_str(body).ok();
        object.is_some_and(|object| object.contains_key("batch"))
    }

    /// Parses and checks a message.
    ///
    /// # Errors
    /// Returns all problems of `body`, by field. The causes never quote an input.
    pub fn parse(body: &str) -> Result<Self, Problems> {
        check_size(body.len() as u64).none_or(())?;
        document::from_json("request", body).finished().map(Self::with_workflow)
    }

    /// Fills in the workflow that the key of the source names, if the request names none.
    pub(super) fn with_workflow(mut self) -> Self {
        if self.workflow.is_empty() {
            self.workflow = self.workflow_of_source().unwrap_or_default();
        }
        self
    }

    /// Returns the request as a message for the inbox.
    pub fn message(&self) -> String {
        escaped(&serde_json::to_string(self).unwrap_or_default())
    }

    fn workflow_of_source(&self) -> Option<String> {
        self.batch.location().ok()?.workflow().map(str::to_owned)
    }
}

impl Document for BatchRequest {
    fn check(&self) -> Problems {
        let of_source = self.workflow_of_source();
        let workflow =
            if self.workflow.is_empty() { of_source } else { Some(self.workflow.clone()) };
        let id = self.id.as_deref();
        let model = self.model.as_deref();
        // If the workflow is missing, only that is reported, and not the form of its name.
        let mut problems = check_message(workflow.as_deref().unwrap_or("-"), id, &self.tags, model);
        problems.check(workflow.is_some(), "workflow", "is missing");
        problems.extend(self.batch.check());
        problems
    }
}

/// The request for a batch with its tenant and id, stored as `request.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredBatch {
    pub version: u32,
    pub tenant: String,
    pub request_id: String,
    pub workflow: String,
    pub batch: BatchSpec,
    pub inputs: Map<String, Value>,
    pub tags: BTreeMap<String, String>,
    pub model: Option<String>,
}

impl StoredBatch {
    /// Returns the stored form of a request. `message_id` becomes the request's id if the request has none.
    pub fn new(mut request: BatchRequest, tenant: &str, message_id: &str) -> Self {
        sort_inputs(&mut request.inputs);
        Self {
            version: 1,
            tenant: tenant.to_owned(),
            request_id: request.id.unwrap_or_else(|| message_id.to_owned()),
            workflow: request.workflow,
            batch: request.batch,
            inputs: request.inputs,
            tags: request.tags,
            model: request.model,
        }
    }

    /// Returns the first attempt of the batch.
    pub fn reference(&self) -> BatchRef {
        BatchRef::first(&self.tenant, &self.workflow, &self.request_id)
    }
}

/// The most bytes of an item's id. Together with the batch id, it must fit the id of a request.
pub const MAX_ITEM_ID_BYTES: usize = MAX_ID_BYTES - 76;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(body: Value) -> Result<BatchRequest, String> {
        BatchRequest::parse(&body.to_string()).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_batch_is_a_request_with_a_source() {
        let body = json!({ "workflow": "explain", "batch": { "source": "s3://bucket/a.jsonl" } });
        assert!(BatchRequest::is_meant_by(&body.to_string()));
        assert!(!BatchRequest::is_meant_by(r#"{"workflow":"explain"}"#));
        let request = parsed(body).unwrap();
        assert_eq!(request.batch.format(), Some(Format::Jsonl));
        assert_eq!((request.batch.concurrency(), request.batch.mode), (20, Mode::OnDemand));
        let stored = StoredBatch::new(request, "default", "m-1");
        assert_eq!(stored.request_id, "m-1");
        assert_eq!(stored.reference(), BatchRef::first("default", "explain", "m-1"));
    }

    #[test]
    fn an_object_of_the_inbox_names_its_workflow() {
        let source = "s3://bucket/batches/inbox/explain/a.csv";
        let request = parsed(json!({ "batch": { "source": source } })).unwrap();
        assert_eq!(request.workflow, "explain");
        let reported = parsed(json!({ "batch": { "source": "s3://bucket/a.csv" } })).unwrap_err();
        assert_eq!(reported, "workflow: is missing");
        let source = "s3://bucket/batches/inbox/no workflow/a.csv";
        let reported = parsed(json!({ "batch": { "source": source } })).unwrap_err();
        assert!(reported.starts_with("workflow: must be 1 to 64 letters"), "{reported}");
    }

    #[test]
    fn everything_wrong_is_reported_at_once_by_field() {
        let reported = parsed(json!({
            "workflow": "no/slash", "id": "", "tags": { "run_id": "x" },
            "batch": {
                "source": "http://x", "map": { "text": "{{ body.x }}", "n": "{{" }, "item_id": "{{ x }}",
                "deadline": "tomorrow", "concurrency": 0, "tolerated_failure_percent": 101,
            },
        }))
        .unwrap_err();
        for part in [
            "workflow: must be",
            "id: must be 1",
            "tags.run_id: is set by BCCE",
            "batch.source: must be s3://",
            "batch.map.text: reads body.x; it can read only item",
            "batch.map.n: ",
            "batch.item_id: reads x; it can read only item",
            "batch.deadline: must be a time",
            "batch.concurrency: must be 1 to 10000",
            "batch.tolerated_failure_percent: must be 0 to 100",
        ] {
            assert!(reported.contains(part), "{part} is missing in {reported}");
        }
    }

    #[test]
    fn objects_need_a_map_and_a_name_without_an_ending_a_format() {
        let of = |source: &str| parsed(json!({ "workflow": "a", "batch": { "source": source } }));
        assert!(
            of("s3://bucket/docs/")
                .unwrap_err()
                .starts_with("batch.map: must map an object's text")
        );
        assert!(of("s3://bucket/docs").unwrap_err().starts_with("batch.format: cannot be derived"));
    }

    #[test]
    fn the_id_of_an_item_fits_the_id_of_a_request() {
        let batch = BatchRef::first("t", &"w".repeat(64), "x");
        assert!(batch.batch_id.len() + 1 + MAX_ITEM_ID_BYTES <= MAX_ID_BYTES);
    }
}
