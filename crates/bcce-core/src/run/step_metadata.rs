//! The `requestMetadata` of a step execution.

use std::collections::BTreeMap;

use crate::call::request_metadata::request_metadata;
use crate::config::template::Step;
use crate::run::ids::RunRef;
use crate::run::plan::Plan;

/// Returns the `requestMetadata` of a step execution: the tags of the run, the ids that BCCE sets, and the position of
/// `item`.
pub fn step_metadata(
    plan: &Plan,
    run: &RunRef,
    step: &Step,
    item: Option<u32>,
) -> BTreeMap<String, String> {
    let ids = [
        ("run_id", &run.run_id),
        ("workflow", &run.workflow),
        ("step", &step.id),
        ("tenant", &run.tenant),
    ];
    let owned = ids.map(|(name, value)| (name.to_owned(), value.clone()));
    let position = item.map(|item| ("item".to_owned(), item.to_string()));
    request_metadata(&plan.tags, owned.into_iter().chain(position))
}
