//! Builds instances of a JSON schema. An instance is minimal, except for the values that the caller proposes.

use serde_json::{Map, Value, json};

/// The deepest nesting. It ends the search in a recursive schema, which may have no minimal instance.
const MAX_DEPTH: usize = 32;

/// Proposes a value for a property, given its name and its resolved schema. The value must fit the schema.
pub type Proposal<'a> = &'a dyn Fn(&str, &Value) -> Option<Value>;

/// Returns the minimal instance, with the required properties only.
///
/// # Errors
/// A sentence for the caller.
pub fn minimal(schema: &Value) -> Result<Value, String> {
    Maker { root: schema, propose: &|_, _| None }.make("", schema, 0)
}

/// Returns an instance like [`minimal`] that also has all proposed values, required or not.
///
/// # Errors
/// A sentence for the caller.
pub fn filled(schema: &Value, propose: Proposal) -> Result<Value, String> {
    Maker { root: schema, propose }.make("", schema, 0)
}

/// Returns an instance like [`filled`] for a part of a schema. References are resolved in the whole schema, `root`.
///
/// # Errors
/// A sentence for the caller.
pub fn filled_part(root: &Value, part: &Value, propose: Proposal) -> Result<Value, String> {
    Maker { root, propose }.make("", part, 0)
}

/// Follows `$ref` and the first alternative of `anyOf` and `oneOf`. Returns `None` for a dangling reference or a cycle.
pub fn resolved<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let mut schema = schema;
    for _ in 0..MAX_DEPTH {
        schema = match (schema["$ref"].as_str(), &schema["anyOf"][0], &schema["oneOf"][0]) {
            (Some(reference), ..) => root.pointer(reference.strip_prefix('#')?)?,
            (None, first @ Value::Object(_), _) | (None, _, first @ Value::Object(_)) => first,
            _ => return Some(schema),
        };
    }
    None
}

/// Returns the type of a schema, or the first one if there are several.
pub fn kind(schema: &Value) -> &str {
    let named = schema["type"].as_str().or(schema["type"][0].as_str());
    let implied = if schema["properties"].is_object() { "object" } else { "string" };
    named.unwrap_or(implied)
}

struct Maker<'a> {
    root: &'a Value,
    propose: Proposal<'a>,
}

impl Maker<'_> {
    fn make(&self, name: &str, schema: &Value, depth: usize) -> Result<Value, String> {
        let schema = resolved(self.root, schema).filter(|_| depth < MAX_DEPTH);
        let schema = schema
            .ok_or(format!("the schema of `{name}` has a dangling or recursive reference"))?;
        if let Some(constant) = schema.get("const") {
            return Ok(constant.clone());
        }
        if let Some(value) = (self.propose)(name, schema) {
            return Ok(value);
        }
        if let Some(first) = schema["enum"].get(0) {
            return Ok(first.clone());
        }
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(name, schema, depth),
            "string" => string(name, schema),
            "integer" => Ok(json!(number(schema, 1.0).ceil() as i64)),
            "number" => Ok(json!(number(schema, 0.5))),
            "boolean" => Ok(json!(false)),
            "null" => Ok(Value::Null),
            other => {
                Err(format!("`{name}`: the scripted model does not support the type `{other}`"))
            }
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Result<Value, String> {
        let required = schema["required"].as_array().into_iter().flatten();
        let required: Vec<&str> = required.filter_map(Value::as_str).collect();
        let mut object = Map::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let proposed = || resolved(self.root, property).and_then(|p| (self.propose)(name, p));
            if required.contains(&name.as_str()) || proposed().is_some() {
                object.insert(name.clone(), self.make(name, property, depth + 1)?);
            }
        }
        // A required property without a schema may have any value.
        for name in required {
            object.entry(name).or_insert(Value::Null);
        }
        Ok(Value::Object(object))
    }

    fn array(&self, name: &str, schema: &Value, depth: usize) -> Result<Value, String> {
        let at_least = schema["minItems"].as_u64().unwrap_or(0);
        (0..at_least).map(|_| self.make(name, &schema["items"], depth + 1)).collect()
    }
}

fn string(name: &str, schema: &Value) -> Result<Value, String> {
    if schema.get("pattern").is_some() {
        return Err(format!("`{name}` has a pattern: script the answer with `@model says: …`"));
    }
    let length = |key: &str| schema[key].as_u64().map(|length| length as usize);
    let text: String = "scripted".chars().take(length("maxLength").unwrap_or(usize::MAX)).collect();
    Ok(json!(format!("{text:.<width$}", width = length("minLength").unwrap_or(0))))
}

/// Returns the number nearest to 0 in the range of the schema. `above` is the distance from an exclusive bound.
fn number(schema: &Value, above: f64) -> f64 {
    let bound = |key: &str| schema[key].as_f64();
    let lowest = bound("minimum").or(bound("exclusiveMinimum").map(|least| least + above));
    let highest = bound("maximum").or(bound("exclusiveMaximum").map(|most| most - above));
    0.0_f64.max(lowest.unwrap_or(f64::MIN)).min(highest.unwrap_or(f64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_of_the_schema_is_kept() {
        let schema = json!({
            "type": "object",
            "required": ["kind", "fixed", "score", "share", "name", "short", "tags", "inner", "maybe", "any"],
            "properties": {
                "kind": { "type": "string", "enum": ["b", "a"] },
                "fixed": { "const": 7 },
                "score": { "type": "integer", "minimum": 3, "maximum": 10 },
                "share": { "type": "number", "maximum": -1 },
                "name": { "type": "string", "minLength": 12 },
                "short": { "type": "string", "maxLength": 3 },
                "tags": { "type": "array", "minItems": 2, "items": { "type": "boolean" } },
                "inner": { "type": "object", "required": ["x"], "properties": { "x": { "$ref": "#/$defs/x" } } },
                "maybe": { "type": ["null", "string"] },
                "optional": { "type": "string" },
            },
            "$defs": { "x": { "anyOf": [{ "type": "integer", "exclusiveMinimum": 4 }, { "type": "null" }] } },
        });
        assert_eq!(
            minimal(&schema).unwrap(),
            json!({
                "kind": "b", "fixed": 7, "score": 3, "share": -1.0, "name": "scripted....", "short": "scr",
                "tags": [false, false], "inner": { "x": 5 }, "maybe": null, "any": null,
            })
        );
    }

    #[test]
    fn a_proposed_value_is_used_even_if_it_is_not_required() {
        let schema = json!({ "properties": {
            "sum": { "type": "integer" }, "other": { "type": "integer" },
        }});
        let propose = |name: &str, _: &Value| (name == "sum").then(|| json!(42));
        assert_eq!(filled(&schema, &propose).unwrap(), json!({ "sum": 42 }));
    }

    #[test]
    fn an_unsupported_schema_is_an_error() {
        let schema = json!({ "required": ["a"], "properties": { "a": { "type": "string", "pattern": "^x" } } });
        assert!(minimal(&schema).unwrap_err().contains("`a` has a pattern"));
        let endless = json!({ "required": ["a"], "properties": { "a": { "$ref": "#" } } });
        assert!(minimal(&endless).unwrap_err().contains("recursive reference"));
        assert!(minimal(&json!({ "$ref": "#/$defs/gone" })).is_err());
    }
}
