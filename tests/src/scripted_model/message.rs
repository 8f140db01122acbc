//! Formats a completion as the response of Converse.

use serde_json::{Value, json};

use super::completion::Completion;

/// The signature of the reasoning, which a real model would compute.
pub const SIGNATURE: &str = "c2NyaXB0ZWQ=";

pub fn to_json(completion: &Completion) -> Value {
    let thinking = completion.thinking.as_ref().map(|text| {
        json!({ "reasoningContent": { "reasoningText": { "text": text, "signature": SIGNATURE } } })
    });
    let text = (!completion.text.is_empty()).then(|| json!({ "text": completion.text }));
    let content: Vec<Value> = thinking.into_iter().chain(text).collect();
    let mut response = json!({
        "output": { "message": { "role": "assistant", "content": content } },
        "stopReason": completion.stop_reason,
        "metrics": completion.metrics(),
    });
    if let Some(usage) = &completion.usage {
        response["usage"] = usage.to_json();
    }
    response
}
