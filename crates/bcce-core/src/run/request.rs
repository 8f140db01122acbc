//! The request of a sender, and the form in which it is stored.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::error::Problems;
use crate::base::limits::{MAX_ID_BYTES, MAX_REQUEST_BYTES, MAX_TAGS};
use crate::base::names::{check_name, check_tag};
use crate::document::{self, Document};
use crate::run::ids::RunRef;

/// A request: the message that a sender puts on the inbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub workflow: String,
    /// The idempotency key. The default is the message id that SQS assigns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default)]
    pub inputs: Map<String, Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// A model alias that replaces the model of every step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl Request {
    /// Parses and checks a message.
    ///
    /// # Errors
    /// Returns all problems of `body`, by field. The causes never quote an input.
    pub fn parse(body: &str) -> Result<Self, Problems> {
        check_size(body.len() as u64).none_or(())?;
        document::from_json("request", body).finished()
    }

    /// Returns the request as a message for the inbox.
    pub fn message(&self) -> String {
        escaped(&serde_json::to_string(self).unwrap_or_default())
    }
}

/// Escapes U+FFFE and U+FFFF, which SQS refuses even in JSON.
pub fn escaped(message: &str) -> String {
    message.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
}

impl Document for Request {
    fn check(&self) -> Problems {
        check_message(&self.workflow, self.id.as_deref(), &self.tags, self.model.as_deref())
    }
}

/// Checks the fields that all messages have: requests, batches and the items of batches.
pub(crate) fn check_message(
    workflow: &str,
    id: Option<&str>,
    tags: &BTreeMap<String, String>,
    model: Option<&str>,
) -> Problems {
    let mut problems = Problems::default();
    check_name(&mut problems, "workflow", workflow);
    if let Some(id) = id {
        let cause = format!("must be 1 to {MAX_ID_BYTES} bytes, is {}", id.len());
        problems.check(id_fits(id), "id", cause);
    }
    if let Some(model) = model {
        check_name(&mut problems, "model", model);
    }
    let cause = format!("must be at most {MAX_TAGS}, there are {}", tags.len());
    problems.check(tags.len() <= MAX_TAGS, "tags", cause);
    for (key, value) in tags {
        check_tag(&mut problems, key, value);
    }
    problems
}

fn id_fits(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
}

/// Checks the length of a message, in bytes.
pub(crate) fn check_size(bytes: u64) -> Problems {
    let mut problems = Problems::default();
    let cause = format!("is {bytes} bytes (limit: {MAX_REQUEST_BYTES})");
    problems.check(bytes <= MAX_REQUEST_BYTES as u64, "request", cause);
    problems
}

/// Returns `workflow` and `id` of a rejected message, as far as they can be read. The sender uses them to match the
/// rejection to its message.
pub fn workflow_and_id(body: &str) -> (Option<String>, Option<String>) {
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    let named = text("workflow").filter(|name| {
        let mut problems = Problems::default();
        check_name(&mut problems, "workflow", name);
        problems.is_empty()
    });
    (named, text("id").filter(|id| id_fits(id)))
}

/// The request with its tenant and id, stored as `request.json`. Its bytes depend on nothing else. The same request
/// therefore gives the same digest, whatever the layout of its JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredRequest {
    pub version: u32,
    pub tenant: String,
    pub request_id: String,
    pub workflow: String,
    pub inputs: Map<String, Value>,
    pub tags: BTreeMap<String, String>,
    pub model: Option<String>,
}

impl StoredRequest {
    /// Returns the stored form of a request. `message_id` becomes the request's id if the request has none.
    pub fn new(mut request: Request, tenant: &str, message_id: &str) -> Self {
        sort_inputs(&mut request.inputs);
        Self {
            version: 1,
            tenant: tenant.to_owned(),
            request_id: request.id.unwrap_or_else(|| message_id.to_owned()),
            workflow: request.workflow,
            inputs: request.inputs,
            tags: request.tags,
            model: request.model,
        }
    }

    /// Checks the request in the same way as `dispatch` checks a message, and returns all problems.
    pub fn check(&self) -> Problems {
        let id = Some(self.request_id.as_str());
        let mut problems = check_message(&self.workflow, id, &self.tags, self.model.as_deref());
        problems.extend(check_size(self.message_bytes()));
        for (name, _) in self.inputs.iter().filter(|(_, value)| depth(value) > MAX_INPUT_DEPTH) {
            let cause = format!("is nested too deeply: at most {MAX_INPUT_DEPTH} levels");
            problems.add(format!("inputs.{name}"), cause);
        }
        problems
    }

    /// Counts the bytes of the same request as a message, which [`Request::message`] would return.
    fn message_bytes(&self) -> u64 {
        /// A [`Request`], borrowed.
        #[derive(Serialize)]
        struct Message<'a> {
            workflow: &'a str,
            id: &'a str,
            inputs: &'a Map<String, Value>,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            tags: &'a BTreeMap<String, String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            model: Option<&'a str>,
        }
        let message = Message {
            workflow: &self.workflow,
            id: &self.request_id,
            inputs: &self.inputs,
            tags: &self.tags,
            model: self.model.as_deref(),
        };
        let mut bytes = MessageBytes(0);
        serde_json::to_writer(&mut bytes, &message).expect("a request can be written as JSON");
        bytes.0
    }

    /// Returns the first run attempt of the request.
    pub fn run(&self) -> RunRef {
        RunRef::first(&self.tenant, &self.workflow, &self.request_id)
    }
}

/// Sorts the keys of `inputs` at every depth. serde_json itself sorts keys only if no crate in the build enables its
/// `preserve_order` feature.
pub(crate) fn sort_inputs(inputs: &mut Map<String, Value>) {
    inputs.sort_keys();
    inputs.values_mut().for_each(Value::sort_all_objects);
}

/// The deepest nesting of lists and objects in an input. serde_json reads 127 levels, and the message and its `inputs`
/// take two of them.
const MAX_INPUT_DEPTH: usize = 125;

/// Returns the nesting depth of lists and objects in `value`: 0 for a string or a number.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Counts the bytes of a message with the escapes of [`escaped`], without storing them.
struct MessageBytes(u64);

impl io::Write for MessageBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The UTF-8 of U+FFFE and U+FFFF. serde_json writes whole characters.
        let is_escaped = |bytes: &&[u8]| matches!(bytes, [0xef, 0xbf, 0xbe | 0xbf]);
        let escapes = bytes.windows(3).filter(is_escaped).count();
        let longer = "\\ufffe".len() - '\u{fffe}'.len_utf8();
        self.0 += (bytes.len() + escapes * longer) as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::MAX_TAG_CHARS;

    #[test]
    fn the_same_request_in_another_order_is_the_same_bytes() {
        let one = r#"{"workflow":"explain","inputs":{"a":1,"b":{"d":2,"c":3}}}"#;
        let two = r#"{ "inputs": {"b":{"c":3,"d":2},"a":1}, "workflow": "explain" }"#;
        let bytes = |body| {
            let request = Request::parse(body).unwrap();
            serde_json::to_vec(&StoredRequest::new(request, "default", "m-1")).unwrap()
        };
        assert_eq!(bytes(one), bytes(two));
    }

    #[test]
    fn a_message_holds_what_a_queue_takes() {
        let text = "a\u{0}\u{1f}\u{fffe}\u{ffff}\u{fffd}\u{1f600}";
        let inputs = Map::from_iter([(text.to_owned(), text.into())]);
        let request = Request { workflow: "explain".into(), inputs, ..Request::default() };
        let message = request.message();
        // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
        let taken = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
        assert!(message.chars().all(taken), "{message:?}");
        assert_eq!(Request::parse(&message), Ok(request));
    }

    #[test]
    fn every_fault_is_reported_with_its_field() {
        let body = r#"{"workflow":"no/slash","id":"","tags":{"run_id":"x"}}"#;
        let reported = Request::parse(body).unwrap_err().to_string();
        for field in ["workflow:", "id:", "tags.run_id:"] {
            assert!(reported.contains(field), "{field} is missing in {reported}");
        }
    }

    #[test]
    fn a_tag_holds_any_text_within_its_bounds() {
        let reported = |key: &str, value: &str| {
            let body = serde_json::json!({ "workflow": "a", "tags": { key: value } });
            Request::parse(&body.to_string())
                .map_or_else(|problems| problems.to_string(), |_| "".into())
        };
        for value in ["fix/größe", "feat(x)", "", "a title\n\nand \u{1f600} more", &"x".repeat(300)]
        {
            assert_eq!(reported("branch", value), "");
        }
        assert_eq!(reported("größe (px)", "1"), "");
        assert_eq!(reported("a", &"ß".repeat(MAX_TAG_CHARS)), "");
        let too_long = reported("a", &"ß".repeat(MAX_TAG_CHARS + 1));
        assert_eq!(too_long, "tags.a: must be at most 1024 characters, is 1025");
        for key in ["", "a\nb", &"k".repeat(257)] {
            assert!(reported(key, "x").contains("its key must be 1 to 256 characters"), "{key}");
        }
    }

    #[test]
    fn everything_wrong_is_reported_at_once_by_field() {
        #[rustfmt::skip]
        let table = [
            ("this is not JSON", "request: is not JSON: expected ident at line 1 column 2"),
            ("", "request: is not JSON: EOF while parsing a value at line 1 column 0"),
            (r#"{"workflow":"a"} x"#, "request: has text after the end of the JSON"),
            (r#"["explain"]"#, "request: must be an object"),
            ("null", "request: must be an object"),
            ("{}", "workflow: is missing"),
            (r#"{"workflow":"a","tags":{"team":1},"id":7,"inputs":"text"}"#, "id: must be a string; inputs: must be an object; tags.team: must be a string"),
            (r#"{"workflow":7,"id":""}"#, "workflow: must be a string; id: must be 1 to 256 bytes, is 0"),
            (r#"{"worfklow":"a"}"#, "worfklow: is unknown; there are: workflow, id, inputs, tags, model; did you mean workflow?; workflow: is missing"),
            (r#"{"workflow":"a","workflow":"b","inputs":{"x":[{"y":1,"y":2}]}}"#, "workflow: appears twice in the same object; inputs.x[0].y: appears twice in the same object"),
        ];
        for (body, expected) in table {
            let reported = Request::parse(body).unwrap_err().to_string();
            let sorted = |text: &str| {
                let mut parts: Vec<String> = text.split("; ").map(str::to_owned).collect();
                parts.sort();
                parts
            };
            assert_eq!(sorted(&reported), sorted(expected), "{body}");
        }
    }

    #[test]
    fn a_request_is_as_long_as_a_message_can_carry_with_its_reason() {
        let body = |bytes: usize| {
            let around = r#"{"workflow":"a","inputs":{"text":""}}"#.len();
            format!(r#"{{"workflow":"a","inputs":{{"text":"{}"}}}}"#, "x".repeat(bytes - around))
        };
        assert!(Request::parse(&body(MAX_REQUEST_BYTES)).is_ok());
        let reported = Request::parse(&body(MAX_REQUEST_BYTES + 1)).unwrap_err().to_string();
        assert_eq!(reported, "request: is 1044481 bytes (limit: 1044480)");
    }

    /// Checks `inputs` as `dispatch` does and as a stored request is checked: both must agree.
    fn checked(inputs: Map<String, Value>) -> Result<(), String> {
        let id = Some("1".to_owned());
        let request = Request { workflow: "a".into(), id, inputs, ..Request::default() };
        let parsed = Request::parse(&request.message());
        let checked = StoredRequest::new(request, "default", "").check().none_or(());
        assert_eq!(checked.is_ok(), parsed.is_ok(), "{checked:?}");
        checked.map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_stored_request_is_as_long_as_its_message_may_be() {
        let around = r#"{"workflow":"a","id":"1","inputs":{"text":""}}"#.len();
        let room = MAX_REQUEST_BYTES - around;
        let text = |text: String| Map::from_iter([("text".to_owned(), text.into())]);
        let too_long = Err("request: is 1044481 bytes (limit: 1044480)".to_owned());
        assert_eq!(checked(text("x".repeat(room))), Ok(()));
        assert_eq!(checked(text("x".repeat(room + 1))), too_long);
        // Each of these counts as an escape of six bytes.
        let escapes = "\u{fffe}\u{ffff}\"".repeat(10);
        let rest = room - 10 * (6 + 6 + 2);
        assert_eq!(checked(text(format!("{escapes}{}", "x".repeat(rest)))), Ok(()));
        assert_eq!(checked(text(format!("{escapes}{}", "x".repeat(rest + 1)))), too_long);
    }

    #[test]
    fn a_stored_request_is_nested_as_deep_as_its_message_may_be() {
        let nested = |levels: usize| {
            let list = (0..levels).fold(Value::Null, |inner, _| vec![inner].into());
            Map::from_iter([("x".to_owned(), list)])
        };
        assert_eq!(checked(nested(125)), Ok(()));
        let cause = "inputs.x: is nested too deeply: at most 125 levels".to_owned();
        assert_eq!(checked(nested(126)), Err(cause));
    }

    #[test]
    fn what_a_rejected_sender_called_it_is_kept_when_it_can_be() {
        let found = workflow_and_id(r#"{"workflow":"explain","id":"mine","tags":{"a":1}}"#);
        assert_eq!(found, (Some("explain".into()), Some("mine".into())));
        assert_eq!(workflow_and_id(r#"{"workflow":"../x","id":7}"#), (None, None));
        assert_eq!(workflow_and_id("not json"), (None, None));
    }

    #[test]
    fn a_cause_never_quotes_a_value() {
        for body in [
            r#"{"workflow":{"secret":"hunter2"}}"#,
            r#"{"workflow":"a","inputs":"as expected hunter2"}"#,
        ] {
            let reported = Request::parse(body).unwrap_err().to_string();
            assert!(!reported.contains("hunter2"), "{reported}");
        }
    }

    #[test]
    fn an_unknown_field_is_named() {
        let reported = Request::parse(r#"{"workflow":"a","input":{}}"#).unwrap_err().to_string();
        assert!(reported.starts_with("input: is unknown; there are:"), "{reported}");
    }

    #[test]
    fn the_id_or_else_the_message_id_is_the_request_id() {
        let with = Request::parse(r#"{"workflow":"a","id":"é☃"}"#).unwrap();
        assert_eq!(StoredRequest::new(with, "t", "m").request_id, "é☃");
        let without = Request::parse(r#"{"workflow":"a"}"#).unwrap();
        assert_eq!(StoredRequest::new(without, "t", "m").request_id, "m");
    }
}
