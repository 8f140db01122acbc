//! An item whose turn has come, as a run: its text read where it is an object, its request kept as `dispatch` would
//! keep it.

use super::item::{Item, Mapping, Object};
use super::message::StoredBatch;
use super::reference::BatchRef;
use super::source::Location;
use crate::artifact::{parse, store_once, to_json};
use crate::error::{ErrorName, Fault, Problems};
use crate::inputs::InputSpecs;
use crate::ports::{GetObject, NextBytes, OpenSource, PutOnce};
use crate::request::{Request, StoredRequest};
use crate::run::RunRef;

/// A run that can be started, and the request that it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub run: RunRef,
    pub request: StoredRequest,
}

/// # Errors
/// `Bcce.InvalidRequest` and the like: the item is none.
pub async fn make(
    store: &(impl GetObject + PutOnce),
    sources: &impl OpenSource,
    stored: &StoredBatch,
    batch: &BatchRef,
    item: Item,
    attempt_no: u32,
) -> Result<Made, Fault> {
    let item = match item.object.clone() {
        None => item,
        Some(object) => with_text(sources, stored, item, &object).await?,
    };
    let run = item.run(batch, attempt_no);
    let wanted = item.request(stored, batch);
    check(&wanted)?;
    let key = run.request_key();
    let kept = store_once(store, &key, &run.run_id, to_json(&wanted)?).await?;
    let request: StoredRequest = parse(&key, &kept)?;
    if request != wanted {
        let message = "id: was used before, for another request of this workflow";
        return Err(Fault::new(ErrorName::InvalidRequest, message));
    }
    Ok(Made { run, request })
}

async fn with_text(
    sources: &impl OpenSource,
    stored: &StoredBatch,
    item: Item,
    object: &Object,
) -> Result<Item, Fault> {
    let prefix = stored.batch.location().map_err(|cause| Problems::one("batch.source", cause))?;
    let location = Location { bucket: prefix.bucket, key: object.key.clone() };
    let Some(mut source) = sources.open(&location, Some(&object.etag)).await? else {
        let cause = "is not there any more, or has changed since it was listed";
        return Err(Problems::one("object", cause).into());
    };
    let mut bytes = Vec::new();
    while let Some(more) = source.body.next_bytes().await? {
        bytes.extend(more);
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let place = error.valid_up_to() + 1;
        Problems::one("object", format!("is not UTF-8, at byte {place}"))
    })?;
    // Only a CSV's fields are made what an input wants.
    let specs = InputSpecs::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(Mapping::new(stored, &specs).with_text(item, text)?)
}

/// As dispatch would have refused it; what was checked when the batch was opened is checked again for an object.
fn check(request: &StoredRequest) -> Result<(), Fault> {
    let message = Request {
        workflow: request.workflow.clone(),
        id: Some(request.request_id.clone()),
        inputs: request.inputs.clone(),
        tags: request.tags.clone(),
        model: request.model.clone(),
    };
    Request::parse(&message.message())?;
    Ok(())
}
