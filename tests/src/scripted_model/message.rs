//! A turn as Converse answers it, in one piece.

use serde_json::{Value, json};

use super::turn::Turn;

/// Stands where a real model signs its thinking.
pub const SIGNATURE: &str = "c2NyaXB0ZWQ=";

pub fn to_json(turn: &Turn) -> Value {
    let thinking = turn.thinking.as_ref().map(|text| {
        json!({ "reasoningContent": { "reasoningText": { "text": text, "signature": SIGNATURE } } })
    });
    let text = (!turn.text.is_empty()).then(|| json!({ "text": turn.text }));
    let content: Vec<Value> = thinking.into_iter().chain(text).collect();
    let mut response = json!({
        "output": { "message": { "role": "assistant", "content": content } },
        "stopReason": turn.stop_reason,
        "metrics": turn.metrics(),
    });
    if let Some(usage) = &turn.usage {
        response["usage"] = usage.to_json();
    }
    response
}
