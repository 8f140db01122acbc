//! The `output` of a step and its check.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::error::Problems;
use crate::document::schema;

/// The form of a step's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    #[serde(rename = "type")]
    pub kind: OutputType,
    /// The JSON schema that the answer must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

/// The type of a step's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputType {
    Text,
    Json,
}

/// Checks an output: the schema must be valid and is allowed only for JSON.
pub fn check_spec(field: &str, spec: &OutputSpec) -> Problems {
    let mut problems = Problems::default();
    if let Some(schema) = &spec.schema {
        let field = format!("{field}.schema");
        problems.check(spec.kind == OutputType::Json, &field, "is allowed only with `type: json`");
        problems.extend(schema::check(&field, schema));
    }
    problems
}
