//! An item of a batch and the run that it becomes.

use std::borrow::Cow;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::base::digest::sha256;
use crate::base::error::{Fault, Problems};
use crate::batch::message::{ItemField, MAX_ITEM_ID_BYTES, StoredBatch};
use crate::batch::reference::BatchRef;
use crate::batch::source::Format;
use crate::document::expression::Context;
use crate::document::inputs::{InputSpecs, InputType};
use crate::document::{self, Document};
use crate::run::ids::RunRef;
use crate::run::request::{Request, StoredRequest};

/// A line of a part: an item, or a rejected line with the reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    Item(Box<Item>),
    Rejected(Rejected),
}

/// A line or object of the source that is not a valid item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    /// The number in the batch, from 1.
    pub n: u64,
    /// The line of the source on which it begins, or the place of the object in the listing.
    pub line: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub error: Fault,
}

/// An item that can be run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The number of the item in the batch, from 1.
    pub n: u64,
    /// The line of the source on which the item begins, or the place of the object in the listing.
    pub line: u64,
    /// The id, which is unique in the batch.
    pub id: String,
    /// The item's own inputs, without those that the batch sets for all items.
    pub inputs: Map<String, Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The object whose text is mapped to inputs when the item is started. `None` if the item is a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Object>,
}

/// An object that is an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    pub key: String,
    /// The ETag of the listed object. If the object has changed since then, the item is refused.
    pub etag: String,
    pub bytes: u64,
}

impl Item {
    /// Returns the item's request, as `dispatch` would store it.
    pub fn request(&self, batch: &StoredBatch, reference: &BatchRef) -> StoredRequest {
        let mut request = Request {
            workflow: batch.workflow.clone(),
            id: Some(self.request_id(reference)),
            inputs: batch.inputs.clone(),
            tags: batch.tags.clone(),
            model: self.model.clone().or_else(|| batch.model.clone()),
        };
        request.inputs.extend(self.inputs.clone());
        request.tags.extend(self.tags.clone());
        StoredRequest::new(request, &batch.tenant, "")
    }

    /// Returns a run attempt of the item. The run id depends on the request alone.
    pub fn run(&self, batch: &BatchRef, attempt_no: u32) -> RunRef {
        let request_id = self.request_id(batch);
        RunRef {
            attempt_no,
            batch: Some(batch.item_of()),
            ..RunRef::first(&batch.tenant, &batch.workflow, &request_id)
        }
    }

    fn request_id(&self, batch: &BatchRef) -> String {
        format!("{}/{}", batch.batch_id, self.id)
    }
}

/// Maps rows and objects to items.
pub struct Mapping<'a> {
    batch: &'a StoredBatch,
    specs: &'a InputSpecs,
    /// True if the source is a CSV, in which every field is text.
    is_text: bool,
}

/// The fields of a line that has `inputs`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default)]
    id: Option<Value>,
    inputs: Map<String, Value>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    model: Option<String>,
}

impl Document for Given {
    fn check(&self) -> Problems {
        Problems::default()
    }
}

impl<'a> Mapping<'a> {
    pub fn new(batch: &'a StoredBatch, specs: &'a InputSpecs) -> Self {
        Self { batch, specs, is_text: batch.batch.format() == Some(Format::Csv) }
    }

    /// Makes an item from a row. `n` is its number in the batch and `line` the line on which it begins.
    ///
    /// # Errors
    /// Returns all problems, by field. The causes never quote a value.
    pub fn item(&self, n: u64, line: u64, row: Map<String, Value>) -> Result<Item, Problems> {
        let spec = &self.batch.batch;
        let is_whole = spec.map.is_none() && !self.is_text && row.contains_key("inputs");
        let mut given = if is_whole {
            document::from_json::<Given>("line", &Value::Object(row).to_string()).finished()?
        } else {
            self.mapped(row)?
        };
        self.may_set(&given)?;
        let id = match given.id.take() {
            None => Ok(line.to_string()),
            Some(Value::String(id)) => Ok(id),
            Some(Value::Number(id)) => Ok(id.to_string()),
            Some(_) => Err(Problems::one("id", "must be a string or a number")),
        }?;
        check_id(&id)?;
        let Given { inputs, tags, model, .. } = given;
        Ok(Item { n, line, id, inputs, tags, model, object: None })
    }

    /// Checks that a line sets only fields that the batch lets it set.
    fn may_set(&self, given: &Given) -> Result<(), Problems> {
        let may = &self.batch.batch.items_may_set;
        let mut problems = Problems::default();
        for (field, name, is_set) in [
            (ItemField::Model, "model", given.model.is_some()),
            (ItemField::Tags, "tags", !given.tags.is_empty()),
        ] {
            let cause = format!(
                "must not be set by a line of this batch; leave it out, or send the batch with \
                 `items_may_set: [{name}]`"
            );
            problems.check(!is_set || may.contains(&field), name, cause);
        }
        problems.none_or(())
    }

    /// Checks the map for problems that would refuse every item: inputs that the workflow does not have, and required
    /// inputs that are left out.
    ///
    /// # Errors
    /// Returns all problems.
    pub fn check(&self) -> Result<(), Problems> {
        let Some(map) = &self.batch.batch.map else { return Ok(()) };
        let mut problems = Problems::default();
        for name in map.keys().filter(|name| !self.specs.contains_key(*name)) {
            let known: Vec<&str> = self.specs.keys().map(String::as_str).collect();
            let cause = format!("is not an input of this workflow; it has: {}", known.join(", "));
            problems.add(format!("batch.map.{name}"), cause);
        }
        let given = |name: &String| map.contains_key(name) || self.batch.inputs.contains_key(name);
        for (name, _) in self.specs.iter().filter(|(name, spec)| spec.required && !given(name)) {
            problems.add("batch.map", format!("leaves out the input {name}, which is required"));
        }
        problems.none_or(())
    }

    /// Returns the item of an object whose text is not read yet.
    pub fn object(&self, n: u64, prefix: &str, object: Object) -> Item {
        let name = object.key.strip_prefix(prefix).unwrap_or(&object.key);
        let id = short_id(name).into_owned();
        let inputs = Map::new();
        let tags = BTreeMap::new();
        Item { n, line: n, id, inputs, tags, model: None, object: Some(object) }
    }

    /// Returns the item with the inputs that its object's `text` is mapped to. An item without an object is returned as
    /// it is.
    ///
    /// # Errors
    /// Returns all problems of the mapping, by field.
    pub fn with_text(&self, item: Item, text: &str) -> Result<Item, Problems> {
        let Some(object) = &item.object else { return Ok(item) };
        let row = json!({ "key": object.key, "bytes": object.bytes, "text": text });
        Ok(Item { inputs: self.inputs(&row)?, object: None, ..item })
    }

    /// Maps a row by the batch's map, or takes the fields of the row as its inputs.
    fn mapped(&self, mut row: Map<String, Value>) -> Result<Given, Problems> {
        let spec = &self.batch.batch;
        if spec.map.is_none() && spec.item_id.is_none() {
            let id = row.remove("id").filter(|id| id.as_str() != Some(""));
            let inputs = row.into_iter().filter_map(|(name, value)| self.typed(name, value));
            return Ok(Given { id, inputs: inputs.collect(), ..Given::default() });
        }
        let plain_id = row.get("id").filter(|id| id.is_string() || id.is_number()).cloned();
        let row = Value::Object(row);
        let id = match &spec.item_id {
            None => plain_id,
            Some(template) => {
                let mut problems = Problems::default();
                let id =
                    Context::of_item(&row).value(&template.as_str().into(), "id", &mut problems);
                problems.none_or(Some(id))?
            }
        };
        let inputs = match spec.map {
            Some(_) => self.inputs(&row)?,
            None => match row {
                Value::Object(row) => {
                    let own = row.into_iter().filter(|(name, _)| name != "id");
                    own.filter_map(|(name, value)| self.typed(name, value)).collect()
                }
                _ => Map::new(),
            },
        };
        Ok(Given { id, inputs, ..Given::default() })
    }

    fn inputs(&self, row: &Value) -> Result<Map<String, Value>, Problems> {
        let context = Context::of_item(row);
        let mut problems = Problems::default();
        let mut inputs = Map::new();
        for (name, template) in self.batch.batch.map.iter().flatten() {
            let value = context.value(template, &format!("inputs.{name}"), &mut problems);
            inputs.extend(self.typed(name.clone(), value));
        }
        problems.none_or(inputs)
    }

    /// Converts a field of a CSV to the type of its input. An empty field is no value, except for text.
    fn typed(&self, name: String, value: Value) -> Option<(String, Value)> {
        let kind = self.specs.get(&name).map_or(InputType::String, |spec| spec.kind);
        let text = value.as_str().filter(|_| self.is_text && kind != InputType::String);
        let Some(text) = text else { return Some((name, value)) };
        if text.trim().is_empty() {
            return None;
        }
        // A value of another type stays a string, and the check of the inputs reports it.
        let typed = serde_json::from_str(text.trim());
        Some((name, typed.unwrap_or(value)))
    }
}

fn check_id(id: &str) -> Result<(), Problems> {
    let fits = (1..=MAX_ITEM_ID_BYTES).contains(&id.len());
    let cause = format!("must be 1 to {MAX_ITEM_ID_BYTES} bytes, is {}", id.len());
    let mut problems = Problems::default();
    problems.check(fits, "id", cause);
    problems.none_or(())
}

/// Returns `name` as an id. A name that is too long is cut and a digest of the whole name is added.
pub(super) fn short_id(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_ITEM_ID_BYTES {
        return name.into();
    }
    let digest = hex::encode(&sha256(name.as_bytes())[..16]);
    let cut = &name[..name.floor_char_boundary(MAX_ITEM_ID_BYTES - digest.len() - 1)];
    format!("{cut}~{digest}").into()
}

/// The ids of a batch's items, as digests, with the line of each. A million of them take forty megabytes. They are
/// split into shards, so that growing never copies all of them at once.
#[derive(Default)]
pub struct Ids([HashMap<Short, u32>; 16]);

/// The stored part of a digest, long enough to avoid collisions.
type Short = [u8; 12];

impl Ids {
    /// Adds the id of the item on `line`.
    ///
    /// # Errors
    /// Returns a problem if another line has the same id.
    pub fn insert(&mut self, id: &str, line: u64) -> Result<(), Problems> {
        let digest = sha256(id.as_bytes());
        let short: Short = std::array::from_fn(|n| digest[n]);
        let shard = &mut self.0[usize::from(digest[31] % 16)];
        // No source that can be processed has more lines than `u32::MAX`.
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        match shard.entry(short) {
            Vacant(free) => {
                free.insert(line);
                Ok(())
            }
            Occupied(before) => {
                Err(Problems::one("id", format!("is already used by line {}", before.get())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::message::{BatchRequest, BatchSpec};

    fn batch(spec: Value) -> StoredBatch {
        let request = BatchRequest {
            workflow: "explain".into(),
            id: Some("nightly".into()),
            batch: serde_json::from_value::<BatchSpec>(spec).unwrap(),
            inputs: serde_json::from_value(json!({ "audience": "developer" })).unwrap(),
            tags: [("team".to_owned(), "a".to_owned())].into(),
            model: Some("haiku".into()),
        };
        StoredBatch::new(request, "default", "m")
    }

    fn specs() -> InputSpecs {
        serde_json::from_value(json!({
            "text": { "type": "string" }, "n": { "type": "integer" }, "deep": { "type": "boolean" },
        }))
        .unwrap()
    }

    fn item(spec: Value, row: Value) -> Result<Item, String> {
        let batch = batch(spec);
        let specs = specs();
        let row = row.as_object().unwrap().clone();
        Mapping::new(&batch, &specs).item(7, 9, row).map_err(|problems| problems.to_string())
    }

    const JSONL: &str = "s3://bucket/a.jsonl";
    const CSV: &str = "s3://bucket/a.csv";

    #[test]
    fn a_line_is_its_inputs_or_says_what_it_is() {
        let plain = item(json!({ "source": JSONL }), json!({ "text": "t", "id": 12 })).unwrap();
        assert_eq!((plain.id.as_str(), plain.n, plain.line), ("12", 7, 9));
        assert_eq!(Value::Object(plain.inputs), json!({ "text": "t" }));
        let row = json!({ "inputs": { "text": "t" }, "tags": { "a": "b" }, "model": "opus" });
        let spec = json!({ "source": JSONL, "items_may_set": ["model", "tags"] });
        let whole = item(spec, row).unwrap();
        assert_eq!((whole.id.as_str(), whole.model.as_deref()), ("9", Some("opus")));
        let row = json!({ "inputs": { "text": "t" }, "tag": {}, "model": 7 });
        let reported = item(json!({ "source": JSONL }), row).unwrap_err();
        assert!(
            reported.contains("tag: is unknown") && reported.contains("model: must be a string"),
            "{reported}"
        );
    }

    #[test]
    fn a_map_takes_fields_by_their_places() {
        let spec = json!({ "source": JSONL, "item_id": "{{ item.meta.nr }}",
            "map": { "text": "{{ item['Long text'] }}", "n": "{{ item.meta.nr }}", "deep": true } });
        let row = json!({ "Long text": "t", "meta": { "nr": 5 } });
        let mapped = item(spec.clone(), row).unwrap();
        assert_eq!(mapped.id, "5");
        assert_eq!(Value::Object(mapped.inputs), json!({ "text": "t", "n": 5, "deep": true }));
        let reported = item(spec, json!({ "Long text": "t" })).unwrap_err();
        assert!(reported.contains("id: "), "{reported}");
    }

    #[test]
    fn a_line_sets_model_and_tags_only_where_the_batch_says_so() {
        let row = json!({ "inputs": { "text": "t" }, "tags": { "a": "b" }, "model": "opus" });
        let reported = |may: Value| {
            item(json!({ "source": JSONL, "items_may_set": may }), row.clone()).unwrap_err()
        };
        let both = reported(json!([]));
        for field in ["model", "tags"] {
            let expected = format!(
                "{field}: must not be set by a line of this batch; leave it out, or send the batch with \
                 `items_may_set: [{field}]`"
            );
            assert!(both.contains(&expected), "{expected} is missing in {both}");
        }
        assert!(reported(json!(["tags"])).starts_with("model: must not be set by"));
        assert!(reported(json!(["model"])).starts_with("tags: must not be set by"));
    }

    #[test]
    fn a_map_that_no_item_could_be_run_with_is_reported_once() {
        let spec = json!({ "source": JSONL, "map": { "txt": "{{ item.text }}" } });
        let batch = batch(spec);
        let mut specs = specs();
        if let Some(spec) = specs.get_mut("text") {
            spec.required = true;
        }
        let reported = Mapping::new(&batch, &specs).check().unwrap_err().to_string();
        let expected = "batch.map.txt: is not an input of this workflow; it has: deep, n, text; \
                        batch.map: leaves out the input text, which is required";
        assert_eq!(reported, expected);
    }

    #[test]
    fn a_field_of_a_csv_is_what_its_input_wants() {
        let row = json!({ "text": "7", "n": " 7 ", "deep": "" });
        let typed = item(json!({ "source": CSV }), row).unwrap();
        assert_eq!(Value::Object(typed.inputs), json!({ "text": "7", "n": 7 }));
        let row = json!({ "text": "", "n": "seven" });
        let wrong = item(json!({ "source": CSV }), row).unwrap();
        assert_eq!(Value::Object(wrong.inputs), json!({ "text": "", "n": "seven" }));
    }

    #[test]
    fn the_batch_has_what_an_item_lacks() {
        let spec = json!({ "source": JSONL, "items_may_set": ["tags"] });
        let batch = batch(spec);
        let specs = specs();
        let mapping = Mapping::new(&batch, &specs);
        let row = json!({ "inputs": { "text": "t" }, "tags": { "team": "b" }, "id": "x" });
        let item = mapping.item(1, 1, row.as_object().unwrap().clone()).unwrap();
        let reference = batch.reference();
        let request = item.request(&batch, &reference);
        assert_eq!(request.request_id, format!("{}/x", reference.batch_id));
        assert_eq!(
            Value::Object(request.inputs.clone()),
            json!({ "audience": "developer", "text": "t" })
        );
        assert_eq!((request.tags["team"].as_str(), request.model.as_deref()), ("b", Some("haiku")));
        assert_eq!(item.run(&reference, 1).run_id, request.run().run_id);
        assert_eq!(item.run(&reference, 2).batch, Some(reference.item_of()));
    }

    #[test]
    fn an_object_has_its_text_when_it_is_started() {
        let spec = json!({ "source": "s3://bucket/docs/", "map": { "text": "{{ item.text }}", "n": "{{ item.bytes }}" } });
        let batch = batch(spec);
        let specs = specs();
        let mapping = Mapping::new(&batch, &specs);
        let object = Object { key: "docs/a/b.md".into(), etag: "e".into(), bytes: 4 };
        let item = mapping.object(3, "docs/", object);
        assert_eq!((item.id.as_str(), item.line), ("a/b.md", 3));
        let item = mapping.with_text(item, "text").unwrap();
        assert_eq!(Value::Object(item.inputs), json!({ "text": "text", "n": 4 }));
    }

    #[test]
    fn ids_are_short_and_their_own() {
        for (id, cause) in [("", "id: must be 1 to 180 bytes, is 0"), (&"x".repeat(181), "is 181")]
        {
            let row = json!({ "inputs": {}, "id": id });
            let reported = item(json!({ "source": JSONL }), row).unwrap_err();
            assert!(reported.contains(cause), "{reported}");
        }
        let long = "ä".repeat(200);
        let other = format!("{}b", "ä".repeat(200));
        assert!(short_id(&long).len() <= MAX_ITEM_ID_BYTES);
        assert_ne!(short_id(&long), short_id(&other));
        let mut ids = Ids::default();
        assert_eq!(ids.insert("a", 3), Ok(()));
        assert_eq!(ids.insert("a", 4).unwrap_err().to_string(), "id: is already used by line 3");
        assert_eq!(ids.insert("a", 5).unwrap_err().to_string(), "id: is already used by line 3");
        assert_eq!(ids.insert("b", 6), Ok(()));
    }

    #[test]
    fn an_entry_reads_back_as_what_it_was() {
        let item = item(json!({ "source": JSONL }), json!({ "text": "t" })).unwrap();
        let error = Fault::from(Problems::one("line", "is not JSON"));
        let rejected = Rejected { n: 1, line: 2, id: None, error };
        for entry in [Entry::Item(Box::new(item)), Entry::Rejected(rejected)] {
            let text = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
        }
    }
}
