//! The response cache: the key of an answer, and where the answer is stored.
//!
//! An entry has neither the prompt nor the answer. The answer is in the artifact of the run that made the call, so the
//! entry ends with that artifact.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::base::digest::sha256_hex;
use crate::base::error::Fault;
use crate::base::json::to_json;
use crate::base::target::{Guardrail, Target};
use crate::call::parameters::{Parameters, json_output};
use crate::config::output::OutputSpec;
use crate::config::template::{Step, Thinking};
use crate::document::prompt::Prompt;

/// The origin of an answer that the response cache gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CachedFrom {
    /// The key of the artifact of the first answer, below the prefix of its run.
    pub key: String,
    /// The SHA-256 digest of that artifact, in lower-case hex.
    pub sha256: String,
    /// The run that made the call.
    pub run_id: String,
    /// The key of the segment that has the artifact, if that run is packed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// The target that answered.
    pub target: Target,
    /// The time at which the answer was stored.
    #[serde(with = "time::serde::rfc3339")]
    pub stored_at: OffsetDateTime,
}

impl CachedFrom {
    /// Returns true if the answer belongs to `tenant`. The key of an entry has the tenant already. This checks where the
    /// entry leads.
    pub fn belongs_to(&self, tenant: &str) -> bool {
        let run = format!("runs/{tenant}/{}/", self.run_id);
        let batches = format!("batches/runs/{tenant}/");
        self.key.starts_with(&run)
            && self.segment.as_ref().is_none_or(|segment| segment.starts_with(&batches))
    }

    /// Returns the sentence that explains the answer of a step.
    pub fn describe(&self) -> String {
        let Self { run_id, target, .. } = self;
        format!(
            "no call was made: answered from the response cache by the answer of {target} in run {run_id}"
        )
    }
}

/// An entry of the response cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CachedResponse {
    pub from: CachedFrom,
    /// The time until which the step that made the call lets its answer be used.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

impl CachedResponse {
    /// Returns true if the answer is young enough at `now` for a step whose answers last for `lasts`. DynamoDB deletes
    /// entries some time after they have expired, and the author may have shortened the time.
    pub fn is_fresh(&self, now: OffsetDateTime, lasts: Duration) -> bool {
        now < self.expires_at && now < self.from.stored_at + lasts
    }
}

/// A call, as far as its answer depends on it.
#[derive(Clone, Copy, Debug)]
pub struct CachedCall<'a> {
    pub tenant: &'a str,
    /// The model that answers, without the prefix of its inference profile.
    pub model: &'a str,
    pub guardrail: Option<&'a Guardrail>,
    /// The digest of the texts of the prompt, from [`texts_sha256`].
    pub texts_sha256: &'a str,
    pub step: &'a Step,
    /// The parameters that the target is sent.
    pub parameters: &'a Parameters<'a>,
}

/// The ingredients of a key. The order and the names of the fields are part of the key.
#[derive(Serialize)]
struct Ingredients<'a> {
    version: u32,
    tenant: &'a str,
    model: &'a str,
    /// The name, or else the id and the version.
    guardrail: Option<[&'a str; 3]>,
    texts_sha256: &'a str,
    max_tokens: u32,
    temperature: Option<f32>,
    effort: Option<&'a str>,
    thinking: Option<Thinking>,
    schema: Option<&'a Value>,
    output: Option<&'a OutputSpec>,
}

impl CachedCall<'_> {
    /// Returns the key under which the answer is entered, in lower-case hex: the digest of everything that the answer
    /// depends on, as JSON. JSON keeps the fields apart, so no two different calls have the same key.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if a value cannot be written as JSON.
    pub fn key(&self) -> Result<String, Fault> {
        let Self { tenant, model, guardrail, texts_sha256, step, parameters } = *self;
        let guardrail = guardrail.map(|guardrail| match &guardrail.name {
            Some(name) => [name, "", ""],
            None => ["", &guardrail.id, &guardrail.version],
        });
        let json = to_json(&Ingredients {
            version: 1,
            tenant,
            model,
            guardrail,
            texts_sha256,
            max_tokens: parameters.max_tokens,
            temperature: parameters.temperature,
            effort: parameters.effort,
            thinking: parameters.thinking,
            schema: parameters.schema.as_ref(),
            output: json_output(step),
        })?;
        Ok(sha256_hex(&json))
    }
}

/// Returns the digest of the texts of a prompt, in lower-case hex. `tag` encloses the data in them.
///
/// The digits of the tag differ with all inputs that the step may read, even those that its prompt leaves out. So they
/// are left out of the digest, and only their places count: no data can contain the tag. An item of another list, or a
/// run with another input that the prompt does not insert, is the same call.
///
/// # Errors
/// Returns `Bcce.Internal` if the texts cannot be written as JSON.
pub fn texts_sha256(prompt: &Prompt, tag: &str) -> Result<String, Fault> {
    let Prompt { system, data_rule, user, .. } = prompt;
    let [system, data_rule] =
        [system, data_rule].map(|text| text.as_deref().map(|text| pieces(text, tag)));
    Ok(sha256_hex(&to_json(&(system, data_rule, pieces(user, tag)))?))
}

/// Returns the parts of a text between the occurrences of `tag`.
fn pieces<'t>(text: &'t str, tag: &str) -> Vec<&'t str> {
    text.split(tag).collect()
}

#[cfg(test)]
mod tests;
