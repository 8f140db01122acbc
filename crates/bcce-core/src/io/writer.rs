//! Writes the documents of a stack.

use crate::base::error::Fault;
use crate::config::documents::parameter_name;
use crate::config::entry::Entry;
use crate::ports::{PutDocument, PutParameter};

/// Writes the document `name`. Writes the object first and then the parameter in one write. So a pointer always has its
/// object, and a run that is planned meanwhile uses either the old document or the new one.
///
/// # Errors
/// Returns `Bcce.Internal` if a port failed.
pub async fn write_document(
    store: &impl PutDocument,
    parameters: &impl PutParameter,
    (bucket, environment): (&str, &str),
    name: &str,
    text: &str,
) -> Result<(), Fault> {
    let entry = Entry::of(bucket, name, text);
    if let Some(key) = &entry.key {
        store.put_document(key, text.as_bytes()).await?;
    }
    parameters.put_parameter(&parameter_name(environment, name), &entry.value).await
}
