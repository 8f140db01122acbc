//! Refuses the requests that Bedrock refuses before a model receives them, by model generation. The messages have the
//! service's wording where it is known. The rules are written independently of the product, so that each checks the
//! other.

use serde_json::{Map, Value};

use super::path::Operation;

/// The parameters that a model generation accepts.
struct Generation {
    /// A part of the model id.
    id: &'static str,
    temperature: bool,
    effort: bool,
    thinking: Thinking,
    max_tokens: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Thinking {
    Never,
    Optional,
    Always,
}

const fn of_5(id: &'static str, thinking: Thinking) -> Generation {
    Generation { id, temperature: false, effort: true, thinking, max_tokens: 128_000 }
}

/// The known generations. The first one whose `id` is part of the model id applies. Any other model accepts everything.
const GENERATIONS: [Generation; 6] = [
    of_5("claude-haiku-5-5", Thinking::Optional),
    of_5("claude-sonnet-5-5", Thinking::Always),
    of_5("claude-opus-5-5", Thinking::Always),
    of_5("claude-sonnet-5", Thinking::Optional),
    of_5("claude-opus-5", Thinking::Optional),
    Generation {
        id: "claude-haiku-4-5",
        temperature: true,
        effort: false,
        thinking: Thinking::Never,
        max_tokens: 64_000,
    },
];

/// The keywords of JSON Schema that the service does not accept.
const REFUSED: [&str; 13] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "oneOf",
    "not",
];

/// Checks a request and the schema of its answer.
///
/// # Errors
/// The message of a ValidationException.
pub fn check(operation: &Operation, body: &[u8], schema: Option<&Value>) -> Result<(), String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let generation = GENERATIONS.iter().find(|known| operation.model_id.contains(known.id));
    generation.map_or(Ok(()), |generation| generation.check(&body))?;
    let mut counts = Counts::default();
    schema.map_or(Ok(()), |schema| check_schema(schema, &mut counts))?;
    let Counts { optional, unions } = counts;
    if optional > 24 {
        return Err(format!("Schemas contains too many optional parameters ({optional})"));
    }
    if unions > 16 {
        return Err(format!("Schemas contains too many parameters with union types ({unions})"));
    }
    Ok(())
}

#[derive(Default)]
struct Counts {
    optional: usize,
    unions: usize,
}

impl Generation {
    fn check(&self, body: &Value) -> Result<(), String> {
        let inference = &body["inferenceConfig"];
        if !self.temperature && inference.get("temperature").is_some() {
            return Err("`temperature` is deprecated for this model.".into());
        }
        let most = self.max_tokens;
        if inference["maxTokens"].as_u64().is_some_and(|tokens| tokens > most) {
            return Err(format!(
                "The maximum tokens you requested exceeds the model limit of {most}."
            ));
        }
        let thinking = body.pointer("/additionalModelRequestFields/thinking/type");
        self.check_thinking(thinking.and_then(Value::as_str))?;
        let effort = body.pointer("/outputConfig/effort").and_then(Value::as_str);
        self.check_effort(effort, thinking.and_then(Value::as_str))
    }

    fn check_thinking(&self, kind: Option<&str>) -> Result<(), String> {
        match (kind, self.thinking) {
            (None, _) | (Some("adaptive"), Thinking::Optional | Thinking::Always) => Ok(()),
            (Some("disabled"), Thinking::Optional) => Ok(()),
            (Some(kind), _) => {
                Err(format!("thinking.type: {kind} is not supported for this model"))
            }
        }
    }

    fn check_effort(&self, effort: Option<&str>, thinking: Option<&str>) -> Result<(), String> {
        let Some(effort) = effort else { return Ok(()) };
        if !self.effort {
            return Err("This model does not support the effort parameter.".into());
        }
        let is_on = self.thinking == Thinking::Always || thinking == Some("adaptive");
        if ["xhigh", "max"].contains(&effort) && !is_on {
            return Err(format!("effort {effort} requires thinking to be enabled"));
        }
        Ok(())
    }
}

fn check_schema(schema: &Value, counts: &mut Counts) -> Result<(), String> {
    let Some(keywords) = schema.as_object() else { return Ok(()) };
    let refused = REFUSED.iter().find(|keyword| keywords.contains_key(**keyword));
    if let Some(keyword) = refused {
        return Err(format!("output_config.format.schema: property '{keyword}' is not supported"));
    }
    if keywords.get("minItems").and_then(Value::as_u64).is_some_and(|least| least > 1) {
        return Err(
            "output_config.format.schema: 'minItems' values other than 0 or 1 are not supported"
                .into(),
        );
    }
    let is_union =
        keywords.contains_key("anyOf") || keywords.get("type").is_some_and(Value::is_array);
    counts.unions += usize::from(is_union);
    check_object(keywords, counts)?;
    let named = ["properties", "$defs", "definitions"];
    let named = named.iter().filter_map(|name| keywords.get(*name)?.as_object());
    let listed = ["anyOf", "allOf"].iter().filter_map(|name| keywords.get(*name)?.as_array());
    let below = named.flat_map(Map::values).chain(listed.flatten()).chain(keywords.get("items"));
    below.into_iter().try_for_each(|schema| check_schema(schema, counts))
}

fn check_object(keywords: &Map<String, Value>, counts: &mut Counts) -> Result<(), String> {
    if keywords.get("type").is_none_or(|kind| kind != "object") {
        return Ok(());
    }
    if keywords.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Err("output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false".into());
    }
    let count = |name: &str| match keywords.get(name) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(entries)) => entries.len(),
        _ => 0,
    };
    counts.optional += count("properties").saturating_sub(count("required"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(model: &str, body: Value) -> String {
        let model_id = format!("us.anthropic.claude-{model}");
        let operation = Operation { region: "us-east-1".into(), model_id, stream: true };
        check(&operation, body.to_string().as_bytes(), None).err().unwrap_or_default()
    }

    #[test]
    fn each_generation_refuses_unsupported_parameters() {
        let thinking = |kind: &str| json!({ "thinking": { "type": kind } });
        #[rustfmt::skip]
        let table = [
            ("haiku-5-5", json!({ "inferenceConfig": { "temperature": 0.5 } }), "`temperature` is deprecated"),
            ("haiku-4-5-x", json!({ "inferenceConfig": { "temperature": 0.5 } }), ""),
            ("haiku-4-5-x", json!({ "inferenceConfig": { "maxTokens": 64_001 } }), "model limit of 64000"),
            ("haiku-4-5-x", json!({ "outputConfig": { "effort": "low" } }), "effort parameter"),
            ("haiku-4-5-x", json!({ "additionalModelRequestFields": thinking("adaptive") }), "adaptive is not supported"),
            ("opus-5-5", json!({ "additionalModelRequestFields": thinking("disabled") }), "disabled is not supported"),
            ("haiku-5-5", json!({ "additionalModelRequestFields": thinking("disabled") }), ""),
            ("haiku-5-5", json!({ "outputConfig": { "effort": "max" } }), "requires thinking"),
            ("haiku-5-5", json!({ "outputConfig": { "effort": "max" }, "additionalModelRequestFields": thinking("adaptive") }), ""),
            ("sonnet-5-5", json!({ "outputConfig": { "effort": "max" } }), ""),
            ("anything", json!({ "inferenceConfig": { "temperature": 0.5 } }), ""),
        ];
        for (model, body, expected) in table {
            let refusal = refusal(model, body.clone());
            assert!(
                refusal.contains(expected) && refusal.is_empty() == expected.is_empty(),
                "{body}: {refusal}"
            );
        }
    }

    #[test]
    fn a_schema_outside_of_the_services_subset_is_refused() {
        let object = |extra: Value| {
            let mut object = json!({ "type": "object", "additionalProperties": false, "required": [], "properties": {} });
            object.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            object
        };
        let check = |schema: Value| check_schema(&schema, &mut Counts::default());
        assert!(check(json!({ "type": "object" })).unwrap_err().contains("additionalProperties"));
        let nested = object(json!({ "properties": { "a": { "type": "integer", "minimum": 1 } } }));
        assert!(check(nested).unwrap_err().contains("'minimum'"));
        let named = object(json!({ "properties": { "minimum": { "type": "integer" } } }));
        assert_eq!(check(named), Ok(()));
        assert!(check(json!({ "type": "array", "minItems": 2 })).unwrap_err().contains("minItems"));
    }
}
