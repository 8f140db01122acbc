//! Checks JSON schemas that authors write, and values against them. Messages quote the schema and never a value.

use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::base::error::{Problem, Problems};
use crate::base::limits::{MAX_MESSAGE_CHARS, cut};

pub mod subset; // the part of a schema that the service accepts

/// The largest number of faults that are reported for one value.
const MOST_FAULTS: usize = 10;

/// Checks that `schema` is a valid JSON schema. The problem is at `field`.
pub fn check(field: &str, schema: &Value) -> Problems {
    match jsonschema::validator_for(schema) {
        Ok(_) => Problems::default(),
        Err(error) => Problems::one(field, format!("is not a JSON schema: {error}")),
    }
}

/// Returns the first ten faults of `value`, each by its path below `field`.
///
/// # Errors
/// Returns a message if `schema` is not a JSON schema.
pub fn faults(field: &str, schema: &Value, value: &Value) -> Result<Vec<Problem>, String> {
    let validator = jsonschema::validator_for(schema)
        .map_err(|error| format!("the schema is not valid: {error}"))?;
    let problem = |error: jsonschema::ValidationError<'_>| {
        let reported = format!("{} (schema {})", words(&error), error.schema_path());
        let path = path(&error.instance_path().to_string());
        Problem { field: format!("{field}{path}"), cause: cut(&reported, MAX_MESSAGE_CHARS) }
    };
    Ok(validator.iter_errors(value).take(MOST_FAULTS).map(problem).collect())
}

/// Describes an error without quoting the value. The names of properties that the schema does not have are part of the
/// value, so only their number is given.
fn words(error: &jsonschema::ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            format!("{} properties that the schema does not have", unexpected.len())
        }
        ValidationErrorKind::PropertyNames { error } => words(error),
        _ => error.masked().to_string(),
    }
}

/// Translates a JSON pointer to a field: `/0/path` becomes `[0].path`.
fn path(pointer: &str) -> String {
    let part = |part: &str| {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            format!("[{part}]")
        } else {
            format!(".{part}")
        }
    };
    pointer.split('/').skip(1).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_fault_is_reported_by_its_path_in_the_schemas_words() {
        let schema = json!({ "type": "array", "items": {
            "type": "object", "additionalProperties": false, "required": ["path", "text"],
            "properties": { "path": { "type": "string" }, "text": { "type": "string" } },
        }});
        let value = json!([{ "path": 7, "text": "hunter2", "hunter2": 1 }, "hunter2"]);
        let reported = faults("inputs.files", &schema, &value).unwrap();
        let reported: Vec<String> = reported.iter().map(ToString::to_string).collect();
        let expected = [
            "inputs.files[0]: 1 properties that the schema does not have",
            "inputs.files[0].path: value is not of type \"string\"",
            "inputs.files[1]: value is not of type \"object\"",
        ];
        for expected in expected {
            assert!(
                reported.iter().any(|reported| reported.starts_with(expected)),
                "{expected}: {reported:#?}"
            );
        }
        assert!(reported.iter().all(|reported| !reported.contains("hunter2")), "{reported:#?}");
    }

    #[test]
    fn no_kind_of_fault_quotes_the_value() {
        #[rustfmt::skip]
        let table = [
            (json!({ "propertyNames": { "pattern": "^a" } }), json!({ "hunter2": 1 })),
            (json!({ "pattern": "^a" }), json!("hunter2")),
            (json!({ "enum": ["a"] }), json!("hunter2")),
            (json!({ "const": "a" }), json!("hunter2")),
            (json!({ "minLength": 90 }), json!("hunter2")),
            (json!({ "format": "uuid", "type": "integer" }), json!("hunter2")),
            (json!({ "anyOf": [{ "type": "integer" }, { "const": "b" }] }), json!("hunter2")),
            (json!({ "not": { "type": "string" } }), json!("hunter2")),
            (json!({ "uniqueItems": true }), json!(["hunter2", "hunter2"])),
            (json!({ "contains": { "type": "integer" } }), json!(["hunter2"])),
            (json!({ "dependentRequired": { "a": ["b"] } }), json!({ "a": "hunter2" })),
        ];
        for (schema, value) in table {
            let reported = faults("x", &schema, &value).unwrap();
            assert!(!reported.is_empty(), "{schema}");
            assert!(
                reported.iter().all(|reported| !reported.cause.contains("hunter2")),
                "{reported:#?}"
            );
        }
    }

    #[test]
    fn what_is_no_schema_is_reported() {
        assert!(!check("schema", &json!({ "type": 7 })).is_empty());
        assert!(check("schema", &json!({ "type": "string" })).is_empty());
        assert!(faults("x", &json!({ "type": 7 }), &json!(1)).is_err());
    }
}
