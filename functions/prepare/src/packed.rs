//! Copies the objects of a packed run to the keys that they have in a run with its own execution, so that such an
//! execution can retry the run.

use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::batch::packed::{PLAN, PackedPlace, PackedRun, REQUEST};
use bcce_core::io::packed::find_run;
use bcce_core::ports::{GetObject, ListObjects, PutOnce};
use bcce_core::run::ids::{ANSWER, RunRef};

/// Copies the request, the plan and the answers of a packed run. `places` are those of its attempts, oldest first. The
/// latest attempt that has a plan counts. If none has a plan, the run was refused before it was planned, and only the
/// request is copied. Safe to repeat.
///
/// # Errors
/// `Bcce.InvalidRequest`: the request of the run is not stored, or not any more. `Bcce.Internal`: the store failed.
pub async fn copy(
    store: &(impl GetObject + ListObjects + PutOnce),
    places: &[PackedPlace],
    run: &RunRef,
) -> Result<(), Fault> {
    let mut objects = find_objects(store, places, run).await?;
    let request = run.request_key();
    let has_request = objects.iter().any(|(key, _)| *key == request);
    if !has_request && store.get(&request).await?.is_none() {
        let message = "id: the run is an item of a batch, and its request is not stored; retry its batch, or send the \
                       request under a new id";
        return Err(Fault::new(ErrorName::InvalidRequest, message));
    }
    // The plan is written last. If it is there, everything is.
    objects.sort_by_key(|(key, _)| *key == run.plan_key());
    for (key, body) in objects {
        store.put_once(&key, &run.run_id, &body).await?;
    }
    Ok(())
}

/// Returns the objects to copy with their keys.
async fn find_objects(
    store: &(impl GetObject + ListObjects),
    places: &[PackedPlace],
    run: &RunRef,
) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let mut without_plan = Vec::new();
    for place in places.iter().rev() {
        let Some(packed) = find_run(store, place).await? else { continue };
        let objects = wanted(&packed, run);
        if objects.iter().any(|(key, _)| *key == run.plan_key()) {
            return Ok(objects);
        }
        if without_plan.is_empty() {
            without_plan = objects;
        }
    }
    Ok(without_plan)
}

fn wanted(packed: &PackedRun, run: &RunRef) -> Vec<(String, Vec<u8>)> {
    let prefix = run.prefix();
    let is_answer = |name: &str| name.starts_with("steps/") && name.ends_with(ANSWER);
    let objects = packed.objects.iter().map(|(name, body)| (name, format!("{prefix}{name}"), body));
    let wanted =
        objects.filter(|(name, ..)| is_answer(name) || [REQUEST, PLAN].contains(&name.as_str()));
    wanted.map(|(_, key, body)| (key, body.get().as_bytes().to_vec())).collect()
}
