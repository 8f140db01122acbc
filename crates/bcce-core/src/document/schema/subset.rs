//! Reduces a JSON schema to the part that the service accepts.
//!
//! Bedrock compiles a schema to a grammar. It refuses a call whose schema has an unsupported keyword, such as the
//! bounds of a number or the length of a text or list, or an object that is not closed. The keywords that this module
//! leaves out still apply: the answer is checked against the whole schema, and the `description` states them to the
//! model.

use serde_json::{Map, Value, json};

/// The largest number of optional properties in the whole schema.
const MAX_OPTIONAL: usize = 24;
/// The largest number of places with more than one type in the whole schema.
const MAX_UNIONS: usize = 16;

/// Keywords that are passed on as they are.
const PLAIN: [&str; 7] = ["type", "const", "$ref", "title", "default", "pattern", "required"];
/// Keywords whose value has a schema for each name. The author chooses the names: a property called `minimum` is not
/// the keyword `minimum`.
const BY_NAME: [&str; 3] = ["properties", "$defs", "definitions"];
/// Formats of texts that the service accepts.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];
/// Keywords that cannot be left out: an object closed to the remaining properties would refuse the intended answers.
const OPEN: [&str; 2] = ["patternProperties", "unevaluatedProperties"];

/// Returns the part of `schema` that the service accepts. An answer that fits `schema` also fits the part, if it has
/// only properties that `schema` names.
///
/// # Errors
/// Returns the reason if there is no such part. The prompt must then contain the schema.
pub fn subset(schema: &Value) -> Result<Value, String> {
    if let Some(name) = recursive(schema) {
        return Err(format!("{name} refers to itself"));
    }
    let mut counts = Counts::default();
    let part = part(schema, &mut counts)?;
    if counts.optional > MAX_OPTIONAL {
        return Err(format!("{} properties are optional (limit: {MAX_OPTIONAL})", counts.optional));
    }
    if counts.unions > MAX_UNIONS {
        return Err(format!(
            "{} places have more than one type (limit: {MAX_UNIONS})",
            counts.unions
        ));
    }
    Ok(part)
}

#[derive(Default)]
struct Counts {
    optional: usize,
    unions: usize,
}

/// Returns the accepted part of one schema, with the schemas inside it, and counts what the service limits.
fn part(schema: &Value, counts: &mut Counts) -> Result<Value, String> {
    let Some(keywords) = schema.as_object() else {
        return Err("`true` or `false` is used as a schema".into());
    };
    let mut part = Map::new();
    let mut left_out = Vec::new();
    for (keyword, value) in keywords {
        match keyword.as_str() {
            name if PLAIN.contains(&name) => put(&mut part, name, value.clone()),
            name if BY_NAME.contains(&name) => put(&mut part, name, by_name(value, counts)?),
            "items" => put(&mut part, "items", self::part(value, counts)?),
            // `oneOf` may be widened to `anyOf`, because the answer is also checked against the whole schema.
            "anyOf" | "oneOf" => put(&mut part, "anyOf", each(value, counts)?),
            "allOf" if value.as_array().is_some_and(|all| all.len() == 1) => {
                put(&mut part, "allOf", each(value, counts)?);
            }
            "allOf" => return Err("`allOf` joins several schemas".into()),
            "enum" if is_plain(value) => put(&mut part, "enum", value.clone()),
            "format" if FORMATS.iter().any(|format| value == format) => {
                put(&mut part, "format", value.clone());
            }
            "minItems" if matches!(value.as_u64(), Some(0 | 1)) => {
                put(&mut part, "minItems", value.clone());
            }
            "additionalProperties" if value.is_boolean() => {}
            "additionalProperties" => return Err("an object has properties of any name".into()),
            name if OPEN.contains(&name) => {
                return Err(format!("`{name}` allows properties of many names"));
            }
            "description" | "$schema" | "$id" | "$comment" | "examples" => {}
            name => left_out.push(format!("{name}: {value}")),
        }
    }
    if is_joined(keywords) {
        return Err("an object has properties from more than one place".into());
    }
    close(&mut part, keywords, counts)?;
    describe(&mut part, keywords.get("description"), left_out);
    counts.unions += usize::from(is_union(&part));
    Ok(Value::Object(part))
}

/// Returns `true` if an object has properties from several places that all apply. If each place were closed to its own
/// properties, no object would fit.
fn is_joined(keywords: &Map<String, Value>) -> bool {
    let places = ["properties", "allOf", "anyOf", "oneOf", "$ref"];
    places.iter().filter(|place| keywords.contains_key(**place)).count() > 1
}

fn put(part: &mut Map<String, Value>, name: &str, value: Value) {
    part.insert(name.to_owned(), value);
}

fn by_name(value: &Value, counts: &mut Counts) -> Result<Value, String> {
    let schemas = value.as_object().into_iter().flatten();
    let parts = schemas.map(|(name, schema)| Ok((name.clone(), part(schema, counts)?)));
    Ok(Value::Object(parts.collect::<Result<_, String>>()?))
}

fn each(value: &Value, counts: &mut Counts) -> Result<Value, String> {
    let schemas = value.as_array().into_iter().flatten();
    schemas.map(|schema| part(schema, counts)).collect()
}

/// Closes an object to the properties that it names. The service requires this of every object.
fn close(
    part: &mut Map<String, Value>,
    keywords: &Map<String, Value>,
    counts: &mut Counts,
) -> Result<(), String> {
    let properties = keywords.get("properties").and_then(Value::as_object);
    let is_object = properties.is_some() || has_type(keywords, "object");
    if !is_object {
        return Ok(());
    }
    let is_closed = keywords.get("additionalProperties") == Some(&json!(false));
    if properties.is_none_or(Map::is_empty) && !is_closed {
        return Err("an object names no properties".into());
    }
    let required = keywords.get("required").and_then(Value::as_array);
    let is_required = |name: &&String| required.is_some_and(|all| all.iter().any(|r| r == *name));
    let unnamed = required.into_iter().flatten().filter_map(Value::as_str);
    let is_named = |name: &&str| properties.is_some_and(|all| all.contains_key(*name));
    if let Some(name) = unnamed.into_iter().find(|name| !is_named(name)) {
        return Err(format!("`required` names {name}, which `properties` does not"));
    }
    counts.optional += properties.map_or(0, |all| all.keys().filter(|n| !is_required(n)).count());
    put(part, "additionalProperties", json!(false));
    Ok(())
}

/// Appends the keywords that were left out to the description, for the model.
fn describe(part: &mut Map<String, Value>, description: Option<&Value>, mut left_out: Vec<String>) {
    left_out.sort();
    let rest = (!left_out.is_empty()).then(|| format!("({})", left_out.join(", ")));
    let written = description.and_then(Value::as_str).map(str::to_owned);
    let text: Vec<String> = written.into_iter().chain(rest).collect();
    if !text.is_empty() {
        put(part, "description", json!(text.join(" ")));
    }
}

fn has_type(keywords: &Map<String, Value>, name: &str) -> bool {
    match keywords.get("type") {
        Some(Value::Array(types)) => types.iter().any(|each| each == name),
        Some(one) => one == name,
        None => false,
    }
}

fn is_union(part: &Map<String, Value>) -> bool {
    part.contains_key("anyOf") || part.get("type").is_some_and(Value::is_array)
}

fn is_plain(values: &Value) -> bool {
    let mut values = values.as_array().into_iter().flatten();
    values.all(|value| !value.is_array() && !value.is_object())
}

/// Returns the first reference to a definition that refers to itself, directly or through other definitions.
fn recursive(schema: &Value) -> Option<String> {
    let mut targets = Vec::new();
    references(schema, &mut targets);
    targets
        .into_iter()
        .find(|start| {
            let mut open = vec![*start];
            let mut seen = Vec::new();
            while let Some(reference) = open.pop() {
                let mut next = Vec::new();
                schema
                    .pointer(pointer(reference))
                    .into_iter()
                    .for_each(|s| references(s, &mut next));
                if next.contains(start) {
                    return true;
                }
                next.retain(|reference| !seen.contains(reference));
                seen.extend(next.iter().copied());
                open.extend(next);
            }
            false
        })
        .map(str::to_owned)
}

/// Returns the JSON pointer of a reference: `#/$defs/a` becomes `/$defs/a`, and `#` becomes the pointer to the whole.
fn pointer(reference: &str) -> &str {
    reference.strip_prefix('#').unwrap_or(reference)
}

/// Collects the values of all `$ref` in `value`.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(entries) => entries.iter().for_each(|(key, item)| match item {
            Value::String(reference) if key == "$ref" => found.push(reference),
            item => references(item, found),
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_refuses_is_left_out_and_described_to_the_model() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["score", "tags"],
            "properties": {
                "score": { "type": "integer", "description": "How good.", "minimum": 1, "maximum": 5 },
                "tags": {
                    "type": "array", "minItems": 2, "maxItems": 9, "uniqueItems": true,
                    "items": { "type": "string", "minLength": 3, "format": "regex" },
                },
            },
        });
        let expected = json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["score", "tags"],
            "properties": {
                "score": { "type": "integer", "description": "How good. (maximum: 5, minimum: 1)" },
                "tags": {
                    "type": "array",
                    "description": "(maxItems: 9, minItems: 2, uniqueItems: true)",
                    "items": { "type": "string", "description": "(format: \"regex\", minLength: 3)" },
                },
            },
        });
        assert_eq!(subset(&schema), Ok(expected));
    }

    #[test]
    fn a_property_named_as_a_keyword_is_a_property() {
        let names = ["minimum", "maxLength", "patternProperties", "not", "properties"];
        let properties: Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), json!({ "type": "number" }))).collect();
        let schema = json!({ "type": "object", "required": names, "properties": properties });
        let part = subset(&schema).unwrap();
        assert_eq!(part["properties"], schema["properties"]);
        assert_eq!(part["required"], schema["required"]);
    }

    #[test]
    fn every_object_is_closed_wherever_it_stands() {
        let object = json!({ "type": "object", "required": ["a"], "properties": { "a": { "type": "string" } } });
        let schema = json!({
            "type": "object",
            "required": ["list", "either", "other"],
            "additionalProperties": true,
            "properties": {
                "list": { "type": "array", "items": object },
                "either": { "oneOf": [object, { "type": "null" }] },
                "other": { "$ref": "#/$defs/other" },
            },
            "$defs": { "other": object },
        });
        let part = subset(&schema).unwrap();
        for place in ["", "/properties/list/items", "/properties/either/anyOf/0", "/$defs/other"] {
            let closed = part.pointer(place).unwrap();
            assert_eq!(closed["additionalProperties"], json!(false), "{place} in {part}");
        }
    }

    #[test]
    fn what_cannot_be_expressed_is_reported() {
        let optional: Map<String, Value> =
            (0..25).map(|n| (format!("p{n}"), json!({ "type": "string" }))).collect();
        let unions: Map<String, Value> =
            (0..17).map(|n| (format!("p{n}"), json!({ "type": ["string", "null"] }))).collect();
        let names: Vec<&String> = unions.keys().collect();
        let object =
            |name: &str| json!({ "type": "object", "properties": { name: { "type": "string" } } });
        #[rustfmt::skip]
        let table = [
            (json!({ "type": "object", "properties": optional }), "25 properties are optional (limit: 24)"),
            (json!({ "type": "object", "properties": unions, "required": names }), "17 places have more than one type (limit: 16)"),
            (json!({ "type": "object" }), "an object names no properties"),
            (json!({ "type": "object", "additionalProperties": { "type": "string" } }), "properties of any name"),
            (json!({ "type": "object", "patternProperties": { "^a": {} } }), "`patternProperties` allows"),
            (json!({ "type": "array", "items": true }), "is used as a schema"),
            (json!({ "allOf": [object("a"), object("b")] }), "`allOf` joins several schemas"),
            (json!({ "properties": { "a": {} }, "anyOf": [object("b"), object("c")] }), "from more than one place"),
            (json!({ "properties": { "a": {} }, "$ref": "#/$defs/b", "$defs": { "b": object("b") } }), "from more than one place"),
            (json!({ "properties": { "a": {} }, "required": ["b"] }), "`required` names b"),
            (json!({ "$ref": "#/$defs/a", "$defs": {
                "a": { "type": "array", "items": { "$ref": "#/$defs/b" } },
                "b": { "type": "array", "items": { "$ref": "#/$defs/a" } },
            } }), "refers to itself"),
        ];
        for (schema, expected) in table {
            let reported = subset(&schema).unwrap_err();
            assert!(reported.contains(expected), "{expected} is missing in {reported}");
        }
        assert!(subset(&json!({ "allOf": [object("a")] })).is_ok());
        assert!(subset(&json!({ "anyOf": [object("a"), object("b")] })).is_ok());
        let mut most = optional;
        most.remove("p0");
        assert!(subset(&json!({ "type": "object", "properties": most })).is_ok());
    }
}
