//! Builds a line of a bulk job's input.

use serde_json::{Map, Value, json};

use crate::base::error::Fault;
use crate::call::parameters::Parameters;
use crate::call::request_building;
use crate::config::template::Step;
use crate::document::prompt::Prompt;
use crate::run::ids::RunRef;
use crate::run::plan::Plan;
use crate::run::step_metadata::step_metadata;

/// The call that a record stands for: the one step of a run.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub run: &'a RunRef,
    pub plan: &'a Plan,
    pub step: &'a Step,
    /// The prompt, in the form for the job's target.
    pub prompt: &'a Prompt,
    pub parameters: &'a Parameters<'a>,
}

impl Asking<'_> {
    /// Returns the record of item `n` as a line, with its line break.
    pub fn line(&self, n: u64) -> String {
        format!("{}\n", json!({ "recordId": record_id(n), "modelInput": self.body() }))
    }

    /// Returns the body of a Converse call, without cache points: the time at which a record is processed is unknown.
    fn body(&self) -> Value {
        let text = |text: &str| json!([{ "text": text }]);
        let mut body = json!({
            "messages": [{ "role": "user", "content": text(&self.prompt.user) }],
            "inferenceConfig": self.inference(),
            "requestMetadata": step_metadata(self.plan, self.run, self.step, None),
        });
        let system: Vec<Value> =
            self.prompt.system_texts().map(|text| json!({ "text": text })).collect();
        if !system.is_empty() {
            body["system"] = system.into();
        }
        if let Some(output) = self.output() {
            body["outputConfig"] = output;
        }
        if let Some(thinking) = self.parameters.thinking {
            let thinking = json!({ "thinking": { "type": thinking.kind() } });
            body["additionalModelRequestFields"] = thinking;
        }
        body
    }

    fn inference(&self) -> Value {
        let mut inference = json!({ "maxTokens": self.parameters.max_tokens });
        if let Some(temperature) = self.parameters.temperature {
            inference["temperature"] = json!(temperature);
        }
        inference
    }

    fn output(&self) -> Option<Value> {
        let mut output = Map::new();
        if let Some(effort) = self.parameters.effort {
            output.insert("effort".into(), json!(effort));
        }
        if let Some(schema) = &self.parameters.schema {
            let schema = json!({ "schema": schema.to_string(), "name": "answer" });
            let format = json!({ "type": "json_schema", "structure": { "jsonSchema": schema } });
            output.insert("textFormat".into(), format);
        }
        (!output.is_empty()).then_some(Value::Object(output))
    }
}

/// Renders the prompt of a plan's only step for the target of a job. The step follows no other step and does not fan
/// out.
///
/// # Errors
/// Returns `Bcce.InvalidRequest` if the step's template cannot be rendered.
pub fn prompt(plan: &Plan, step: &Step, parameters: &Parameters<'_>) -> Result<Prompt, Fault> {
    let prompt = request_building::prompt(step, &json!({ "inputs": plan.inputs, "steps": {} }))?;
    Ok(request_building::prompt_for(&prompt, step, parameters).into_owned())
}

/// Returns the record id of item `n`. The service accepts letters and digits, and its examples have eleven characters.
pub fn record_id(n: u64) -> String {
    format!("R{n:010}")
}

/// Returns the item that a record id belongs to. Returns `None` if [`record_id`] did not write the id.
pub fn item(record_id: &str) -> Option<u64> {
    let digits = record_id.strip_prefix('R').filter(|digits| digits.len() >= 10)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}
