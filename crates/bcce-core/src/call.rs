//! One call of a model: its request, its answer and its record.

pub mod answer; // the answer of a call, checked against its step
pub mod attempt; // one call to one target with its outcome, usage and cost
pub mod cache_points; // texts and cache points of a prompt
pub mod cache_use; // what the prompt cache did for a call
pub mod classify; // the service's error -> an error name
pub mod grammars; // schemas that the service can compile in advance
pub mod request_metadata; // tags as `requestMetadata`, in the characters that the service accepts
pub mod model; // a call of a model and its result
pub mod parameters; // a step's settings, adapted to a target
pub mod request_building; // a step's prompt as one call sends it
pub mod response_cache; // the key of an answer, and where the answer is stored
pub mod span; // a call, as a subsegment of a trace
