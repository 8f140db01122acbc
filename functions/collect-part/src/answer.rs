//! What a run answered, by its manifest.

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::ports::GetObject;
use bcce_core::run::artifact::StepArtifact;
use bcce_core::run::ids::ANSWER;
use bcce_core::run::manifest::Manifest;
use serde_json::Value;

/// A text or JSON; a list, in the order of its items, where the answer's step fans out.
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
    let body = store.get(key).await?;
    let body = body.ok_or_else(|| Fault::internal(format!("{key} is missing")))?;
    Ok(parse::<StepArtifact>(key, &body)?.output.value())
}
