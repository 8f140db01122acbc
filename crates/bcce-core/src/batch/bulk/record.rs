//! A line of a job's input.

use serde_json::{Map, Value, json};

use crate::base::error::Fault;
use crate::call::parameters::Parameters;
use crate::call::request_building;
use crate::config::template::Step;
use crate::document::prompt::Prompt;
use crate::run::ids::RunRef;
use crate::run::plan::Plan;
use crate::run::step_metadata::step_metadata;

/// What a record asks: the one step of a run.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub run: &'a RunRef,
    pub plan: &'a Plan,
    pub step: &'a Step,
    /// The prompt in the form that the job's target gets.
    pub prompt: &'a Prompt,
    pub parameters: &'a Parameters<'a>,
}

impl Asking<'_> {
    /// Item `n` as a record, with its line break.
    pub fn line(&self, n: u64) -> String {
        format!("{}\n", json!({ "recordId": record_id(n), "modelInput": self.body() }))
    }

    /// A body of Converse, as a call has it. Without cache points: nobody knows when which record is processed.
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

/// Renders the prompt of a plan's only step for a job's target. No step comes before it, and it has no fan-out.
///
/// # Errors
/// `Bcce.InvalidRequest`: the step's template cannot be rendered.
pub fn prompt(plan: &Plan, step: &Step, parameters: &Parameters<'_>) -> Result<Prompt, Fault> {
    let prompt = request_building::prompt(step, &json!({ "inputs": plan.inputs, "steps": {} }))?;
    Ok(request_building::prompt_for(&prompt, step, parameters).into_owned())
}

/// Of item `n`: the service takes letters and digits, and shows eleven in its examples.
pub fn record_id(n: u64) -> String {
    format!("R{n:010}")
}

/// The item of a record.
pub fn item(record_id: &str) -> Option<u64> {
    let digits = record_id.strip_prefix('R').filter(|digits| digits.len() >= 10)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}
