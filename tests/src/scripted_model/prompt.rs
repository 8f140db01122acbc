//! Parses the parts of a Converse request that the scripted model uses.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::prompt_cache::{CachePoint, Prefix, prefixes};

/// The caller, from `requestMetadata`. A request without metadata is answered too.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    pub run_id: Option<String>,
    pub workflow: Option<String>,
    pub step: Option<String>,
    /// The item of a `for_each` step. It keeps the calls of different items apart, so that each has its own actions.
    pub item: Option<String>,
}

impl Caller {
    fn of(metadata: &BTreeMap<String, String>) -> Self {
        let named = |name: &str| metadata.get(name).cloned();
        Self {
            run_id: named("run_id"),
            workflow: named("workflow"),
            step: named("step"),
            item: named("item"),
        }
    }
}

#[derive(Debug)]
pub struct Prompt {
    pub caller: Caller,
    pub system: String,
    pub user: String,
    /// The JSON schema of the answer, if the request has one.
    pub schema: Option<Value>,
    /// The largest number of tokens of the answer. `None` if the request leaves it to the model.
    pub max_tokens: Option<u64>,
    /// The number of words in the whole request, including earlier answers. It determines the input tokens.
    pub words: usize,
    /// The texts before the cache points.
    pub prefixes: Vec<Prefix>,
}

impl Prompt {
    /// Parses the body of a request.
    ///
    /// # Errors
    /// A sentence for the caller.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let body: Body = serde_json::from_slice(body)
            .map_err(|error| format!("The body is not a Converse request: {error}"))?;
        no_blank_text(&body)?;
        let metadata = body.request_metadata.unwrap_or_default();
        metadata_as_the_service_takes_it(&metadata)?;
        let system = text(&body.system);
        let of = |role: &str| {
            let messages = body.messages.iter().filter(|message| message.role == role);
            lines(messages.map(|message| text(&message.content)))
        };
        let (user, assistant) = (of("user"), of("assistant"));
        let words = [&system, &user, &assistant].map(|text| words(text));
        let blocks = body.system.iter().chain(body.messages.iter().flat_map(|m| &m.content));
        let blocks = blocks.map(|block| (block.text.clone(), block.cache_point));
        let prefixes = prefixes(blocks, |text| tokens(self::words(text)))?;
        Ok(Self {
            caller: Caller::of(&metadata),
            schema: body
                .output_config
                .and_then(|config| config.text_format)
                .map(|f| schema(&f))
                .transpose()?,
            max_tokens: body.inference_config.and_then(|config| config.max_tokens),
            words: words.iter().sum(),
            prefixes,
            system,
            user,
        })
    }
}

/// The largest number of entries of `requestMetadata`, and of characters in each name and value.
const MOST_METADATA: (usize, usize) = (16, 256);

fn metadata_as_the_service_takes_it(metadata: &BTreeMap<String, String>) -> Result<(), String> {
    let (entries, characters) = MOST_METADATA;
    if metadata.len() > entries {
        return Err(format!("requestMetadata has {} entries (limit: {entries})", metadata.len()));
    }
    let sign = |c: char| c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c);
    let is_taken = |text: &String| {
        text.chars().count() <= characters
            && text.chars().all(|c| c.is_ascii_alphanumeric() || sign(c))
    };
    match metadata.iter().find(|(name, value)| !is_taken(name) || !is_taken(value)) {
        None => Ok(()),
        Some((name, _)) => Err(format!(
            "requestMetadata.{name} failed to satisfy constraint: Member must satisfy regular \
             expression pattern: [a-zA-Z0-9\\s:_@$#=/+,-.]{{0,256}}"
        )),
    }
}

fn no_blank_text(body: &Body) -> Result<(), String> {
    let is_blank = |block: &Block| block.text.as_ref().is_some_and(|text| text.trim().is_empty());
    let system = body.system.iter().position(is_blank).map(|at| format!("system.{at}"));
    let message = body.messages.iter().enumerate().find_map(|(n, message)| {
        let at = message.content.iter().position(is_blank)?;
        Some(format!("messages.{n}.content.{at}"))
    });
    match system.or(message) {
        None => Ok(()),
        Some(place) => Err(format!(
            "The text field in the ContentBlock object at {place} is blank. Add text to the text \
             field, and try again."
        )),
    }
}

pub fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// Returns four tokens for each three words, rounded up. This is close to English text, and a test can compute it.
pub fn tokens(words: usize) -> u64 {
    (words as u64 * 4).div_ceil(3)
}

/// Returns the largest number of words that have at most so many tokens. An answer has at least one word.
pub fn words_within(tokens: u64) -> usize {
    (tokens.saturating_mul(3) / 4).max(1).try_into().unwrap_or(usize::MAX)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    system: Vec<Block>,
    messages: Vec<Message>,
    request_metadata: Option<BTreeMap<String, String>>,
    output_config: Option<OutputConfig>,
    inference_config: Option<InferenceConfig>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Vec<Block>,
}

/// A content block: a text or a cache point. Other blocks are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    text: Option<String>,
    cache_point: Option<CachePoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig {
    max_tokens: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutputConfig {
    /// `None` if the request has only an effort.
    text_format: Option<Value>,
}

fn schema(text_format: &Value) -> Result<Value, String> {
    let pointer = "/structure/jsonSchema/schema";
    let schema = text_format.pointer(pointer).and_then(Value::as_str);
    let schema = schema.ok_or(format!("outputConfig.textFormat: no string at {pointer}"))?;
    serde_json::from_str(schema)
        .map_err(|error| format!("outputConfig.textFormat: the schema is not JSON: {error}"))
}

fn text(blocks: &[Block]) -> String {
    lines(blocks.iter().filter_map(|block| block.text.clone()))
}

fn lines(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    /// Returns a request of run `run-1` for a step of a workflow, in the form that the product sends.
    pub fn body(workflow: &str, step: &str, prompt: &str) -> Value {
        json!({
            "messages": [{ "role": "user", "content": [{ "text": prompt }] }],
            "requestMetadata": { "run_id": "run-1", "workflow": workflow, "step": step, "tenant": "default" },
        })
    }

    pub fn with_schema(mut body: Value, schema: &Value) -> Value {
        body["outputConfig"] = json!({ "textFormat": {
            "type": "json_schema",
            "structure": { "jsonSchema": { "name": "answer", "schema": schema.to_string() } },
        }});
        body
    }

    #[test]
    fn reads_the_caller_the_texts_and_the_number_of_words() {
        let mut request = body("code-review", "verdict", "three words here");
        request["system"] =
            json!([{ "text": "Be brief." }, { "cachePoint": { "type": "default" } }]);
        let request = with_schema(request, &json!({ "type": "object" }));
        let prompt = Prompt::parse(request.to_string().as_bytes()).unwrap();
        assert_eq!(prompt.caller.run_id.as_deref(), Some("run-1"));
        assert_eq!(prompt.caller.step.as_deref(), Some("verdict"));
        assert_eq!((prompt.system.as_str(), prompt.words), ("Be brief.", 5));
        assert_eq!(prompt.schema, Some(json!({ "type": "object" })));
    }

    #[test]
    fn metadata_and_blank_texts_are_refused_as_the_service_does() {
        let refused = |change: fn(&mut Value)| {
            let mut request = body("w", "s", "x");
            change(&mut request);
            Prompt::parse(request.to_string().as_bytes()).err().unwrap_or_default()
        };
        let plain = |request: &mut Value| request["requestMetadata"]["a"] = json!("x y:_@$#=/+,-.");
        assert_eq!(refused(plain), "");
        let sharp = refused(|request| request["requestMetadata"]["branch"] = json!("fix/größe"));
        assert!(sharp.contains("requestMetadata.branch failed to satisfy"), "{sharp}");
        let long = refused(|request| request["requestMetadata"]["a"] = json!("x".repeat(257)));
        assert!(long.contains("requestMetadata.a failed"), "{long}");
        let blank = refused(|request| request["system"] = json!([{ "text": " \n" }]));
        assert!(blank.contains("at system.0 is blank"), "{blank}");
        let blank = refused(|request| request["messages"][0]["content"][0]["text"] = json!(""));
        assert!(blank.contains("at messages.0.content.0 is blank"), "{blank}");
    }

    #[test]
    fn an_earlier_answer_counts_as_input_but_not_as_user_text() {
        let mut request = body("w", "s", "first question");
        let said = json!({ "role": "assistant", "content": [{ "text": "one two three" }] });
        let again = json!({ "role": "user", "content": [{ "text": "once more" }] });
        request["messages"].as_array_mut().unwrap().extend([said, again]);
        let prompt = Prompt::parse(request.to_string().as_bytes()).unwrap();
        assert_eq!((prompt.user.as_str(), prompt.words), ("first question\nonce more", 7));
    }

    #[test]
    fn an_effort_without_a_schema_is_no_schema() {
        let mut request = body("w", "s", "x");
        request["outputConfig"] = json!({ "effort": "low" });
        assert_eq!(Prompt::parse(request.to_string().as_bytes()).unwrap().schema, None);
    }

    #[test]
    fn an_invalid_request_and_an_invalid_schema_are_refused() {
        assert!(Prompt::parse(b"{}").unwrap_err().contains("messages"));
        let mut request = with_schema(body("w", "s", "x"), &json!({}));
        request["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"] = json!("{");
        let error = Prompt::parse(request.to_string().as_bytes()).unwrap_err();
        assert!(error.contains("the schema is not JSON"), "{error}");
    }
}
