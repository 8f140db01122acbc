//! A step's `output`: its form and its rules.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::error::Problems;
use crate::document::schema;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    #[serde(rename = "type")]
    pub kind: OutputType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputType {
    Text,
    Json,
}

pub fn check_spec(field: &str, spec: &OutputSpec) -> Problems {
    let mut problems = Problems::default();
    if let Some(schema) = &spec.schema {
        let field = format!("{field}.schema");
        problems.check(spec.kind == OutputType::Json, &field, "goes with `type: json` only");
        problems.extend(schema::check(&field, schema));
    }
    problems
}
