//! Turns an item of a batch into a run that can be started: reads the text of its object, and stores its request in the
//! way that `dispatch` does.

use crate::base::error::{ErrorName, Fault, Problems};
use crate::batch::item::{Item, Mapping, Object};
use crate::batch::message::StoredBatch;
use crate::batch::reference::BatchRef;
use crate::batch::source::Location;
use crate::document::inputs::InputSpecs;
use crate::io::objects::store_value_once;
use crate::ports::{GetObject, NextBytes, OpenSource, PutOnce};
use crate::run::ids::RunRef;
use crate::run::request::StoredRequest;

/// A run that can be started, and its request.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemRun {
    pub run: RunRef,
    pub request: StoredRequest,
}

/// Turns `item` into a run and stores its request.
///
/// # Errors
/// Returns `Bcce.InvalidRequest` if the item, its object or its stored request is wrong, and `Bcce.Internal` if the
/// store failed.
pub async fn item_run(
    store: &(impl GetObject + PutOnce),
    sources: &impl OpenSource,
    stored: &StoredBatch,
    batch: &BatchRef,
    item: Item,
    attempt_no: u32,
) -> Result<ItemRun, Fault> {
    let run = item.run(batch, attempt_no);
    let wanted = item_request(sources, stored, batch, item).await?;
    let key = run.request_key();
    let request = store_value_once(store, &key, &run.run_id, wanted.clone()).await?;
    if request != wanted {
        let message = "id: was used before, for another request of this workflow";
        return Err(Fault::new(ErrorName::InvalidRequest, message));
    }
    Ok(ItemRun { run, request })
}

/// Returns the request of an item. Reads the text of its object, if it has one.
///
/// # Errors
/// Returns `Bcce.InvalidRequest` if the item or its object is wrong, and `Bcce.Internal` if the store failed.
pub async fn item_request(
    sources: &impl OpenSource,
    stored: &StoredBatch,
    batch: &BatchRef,
    item: Item,
) -> Result<StoredRequest, Fault> {
    let item = match item.object.clone() {
        None => item,
        Some(object) => with_text(sources, stored, item, &object).await?,
    };
    let request = item.request(stored, batch);
    // `dispatch` makes the same check. Items were checked when the batch was opened, but the text of an object was not
    // known then.
    request.check().none_or(())?;
    Ok(request)
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
        let cause = "no longer exists, or has changed since it was listed";
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
    // The types of the inputs are not needed: only CSV fields are converted to them.
    let specs = InputSpecs::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(Mapping::new(stored, &specs).with_text(item, text)?)
}
