//! Reads the answers of earlier steps, for the values that a step's prompt is rendered with.

use bcce_core::base::error::Fault;
use bcce_core::config::template::Step;
use bcce_core::io::objects;
use bcce_core::io::step::prompt_context;
use bcce_core::ports::GetObject;
use bcce_core::run::artifact::StepArtifact;
use bcce_core::run::ids::RunRef;
use bcce_core::run::plan::Plan;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Map, Value};

use crate::Request;

/// The number of answers that are read at a time. At this number, those of 200 items take a second.
const AT_A_TIME: usize = 8;

/// Returns the context of a step's prompt.
pub(crate) async fn of(
    store: &impl GetObject,
    request: &Request,
    plan: &Plan,
    step: &Step,
) -> Result<Value, Fault> {
    let mut steps = Map::new();
    for need in &step.needs {
        steps.insert(need.clone(), answers(store, &request.run, plan, need).await?);
    }
    prompt_context(plan, step, request.step.item, steps)
}

/// Reads the answer of a step. For a step that fans out, returns an array of answers in the order of its items.
async fn answers(
    store: &impl GetObject,
    run: &RunRef,
    plan: &Plan,
    id: &str,
) -> Result<Value, Fault> {
    let items = plan.step(id).and_then(|step| plan.items(step)).map(Vec::len);
    let Some(items) = items else { return answer(store, run.step_key(id, None)).await };
    let read = (0..items as u32).map(|n| answer(store, run.step_key(id, Some(n))));
    let answers: Vec<Value> = futures::stream::iter(read).buffered(AT_A_TIME).try_collect().await?;
    Ok(Value::Array(answers))
}

async fn answer(store: &impl GetObject, key: String) -> Result<Value, Fault> {
    Ok(objects::read::<StepArtifact>(store, &key).await?.output.value())
}
