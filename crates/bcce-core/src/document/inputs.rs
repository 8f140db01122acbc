//! The declared inputs of a workflow, and the check of a request's inputs against them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::error::Problems;
use crate::document::schema;

/// The type of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputType {
    String,
    Number,
    Integer,
    Boolean,
    List,
    Object,
}

/// The declaration of one input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    #[serde(rename = "type")]
    pub kind: InputType,
    /// True if a request must have the input.
    #[serde(default)]
    pub required: bool,
    /// The value of an input that a request omits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// A JSON schema for constraints beyond the type, such as the items of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The declarations of a workflow's inputs, by name.
pub type InputSpecs = BTreeMap<String, InputSpec>;

impl InputType {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Boolean => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Number => "a number",
            Self::Integer => "an integer",
            Self::Boolean => "true or false",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

impl InputSpec {
    /// Checks `value` as a value of this input. The problems are at or below `field`.
    pub fn check(&self, field: &str, value: &Value) -> Problems {
        let mut problems = Problems::default();
        problems.check(self.kind.fits(value), field, format!("must be {}", self.kind.name()));
        if let Some(schema) = self.schema.as_ref().filter(|_| problems.is_empty()) {
            // An invalid schema is reported when the template is checked.
            let faults = schema::faults(field, schema, value).unwrap_or_default();
            faults.into_iter().for_each(|fault| problems.add(fault.field, fault.cause));
        }
        problems
    }
}

/// Checks the declarations: schemas must be valid, defaults must fit, and a required input must not have a default.
pub fn check_specs(specs: &InputSpecs) -> Problems {
    let mut problems = Problems::default();
    for (name, spec) in specs {
        if let Some(schema) = &spec.schema {
            problems.extend(schema::check(&format!("inputs.{name}.schema"), schema));
        }
        if let Some(default) = &spec.default {
            let field = format!("inputs.{name}.default");
            problems.extend(spec.check(&field, default));
            problems.check(!spec.required, &field, "is never used, since the input is required");
        }
    }
    problems
}

/// Checks a request's inputs and adds the defaults. An optional input without a default becomes `null`.
///
/// # Errors
/// Returns a problem for every missing, unknown or invalid input. The problems never quote a value.
pub fn resolve(
    specs: &InputSpecs,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Problems> {
    let mut problems = Problems::default();
    let known: Vec<&str> = specs.keys().map(String::as_str).collect();
    for name in given.keys().filter(|name| !specs.contains_key(*name)) {
        let cause = match known.as_slice() {
            [] => "is not an input of this workflow, which has none".to_owned(),
            known => format!("is not an input of this workflow; it has: {}", known.join(", ")),
        };
        problems.add(format!("inputs.{name}"), cause);
    }
    let mut resolved = Map::new();
    for (name, spec) in specs {
        let value = given.get(name).filter(|value| !value.is_null());
        match value.or(spec.default.as_ref()) {
            Some(value) => {
                problems.extend(spec.check(&format!("inputs.{name}"), value));
                resolved.insert(name.clone(), value.clone());
            }
            None => {
                problems.check(!spec.required, format!("inputs.{name}"), "is required");
                resolved.insert(name.clone(), Value::Null);
            }
        }
    }
    problems.none_or(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn specs() -> InputSpecs {
        serde_json::from_value(json!({
            "text": { "type": "string", "required": true },
            "audience": { "type": "string", "default": "newcomer" },
            "limit": { "type": "integer" },
            "files": { "type": "list", "schema": { "items": { "required": ["path"] } } },
        }))
        .unwrap()
    }

    fn given(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn defaults_are_filled_in() {
        let resolved = resolve(&specs(), &given(json!({ "text": "t" }))).unwrap();
        assert_eq!(
            Value::Object(resolved),
            json!({ "text": "t", "audience": "newcomer", "limit": null, "files": null })
        );
    }

    #[test]
    fn every_fault_is_reported_at_once_and_no_value_is_quoted() {
        let wrong =
            given(json!({ "audience": 7, "limit": "hunter2", "txt": "hunter2", "files": [{}] }));
        let reported = resolve(&specs(), &wrong).unwrap_err().to_string();
        for part in [
            "inputs.text: is required",
            "inputs.audience: must be a string",
            "inputs.limit: must be an integer",
            "inputs.txt: is not an input",
            "inputs.files[0]: \"path\" is a required property",
        ] {
            assert!(reported.contains(part), "{part} is missing in {reported}");
        }
        assert!(!reported.contains("hunter2"));
    }
}
