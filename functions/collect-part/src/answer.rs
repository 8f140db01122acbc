//! Reads the answer of a run, which its manifest names.

use bcce_core::base::error::Fault;
use bcce_core::io::objects;
use bcce_core::ports::GetObject;
use bcce_core::run::artifact::StepArtifact;
use bcce_core::run::ids::ANSWER;
use bcce_core::run::manifest::Manifest;
use serde_json::Value;

/// Returns the answer, which is text or JSON. If the answer's step fans out, it is an array in the order of the items.
/// Returns `None` if the manifest names no answer.
///
/// # Errors
/// `Bcce.Internal`: S3 failed, or the answer is missing.
pub(crate) async fn of(
    store: &impl GetObject,
    manifest: &Manifest,
) -> Result<Option<Value>, Fault> {
    let Some(result) = &manifest.result else { return Ok(None) };
    let keys = manifest.artifacts.iter().map(|artifact| artifact.key.as_str());
    if !result.ends_with('/') {
        return one(store, result).await.map(Some);
    }
    let number = |key: &str| key.strip_prefix(result)?.strip_suffix(ANSWER)?.parse::<u32>().ok();
    let mut items: Vec<(u32, &str)> = keys.filter_map(|key| Some((number(key)?, key))).collect();
    items.sort_unstable();
    let mut answers = Vec::new();
    for (_, key) in items {
        answers.push(one(store, key).await?);
    }
    Ok(Some(answers.into()))
}

async fn one(store: &impl GetObject, key: &str) -> Result<Value, Fault> {
    let artifact: StepArtifact = objects::read(store, key).await?;
    Ok(artifact.output.value())
}
