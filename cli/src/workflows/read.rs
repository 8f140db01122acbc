use bcce_aws::ssm::written_at;
use bcce_core::base::error::Fault;
use bcce_core::config::documents::parameter_name;
use bcce_core::io::reader::{Reader, follow_pointer};
use bcce_core::ports::{GetObject, GetParameters, Parameter};
use futures::{StreamExt, TryStreamExt, stream};

use super::{Workflow, parsed};

/// The most parameters that SSM returns for a list of names.
const NAMES_IN_ONE_READ: usize = 10;
/// The number of documents that are read at a time.
const AT_A_TIME: usize = 16;

/// Reads the workflows `names` of a stack, in this order. A workflow that is gone is left out. One that cannot be used
/// is returned with the reason.
///
/// # Errors
/// `Bcce.Internal`: a port failed.
pub async fn deployed<S: GetObject, P: GetParameters>(
    reader: &Reader<'_, S, P>,
    names: &[String],
) -> Result<Vec<Workflow>, Fault> {
    let mut found = Vec::new();
    for names in names.chunks(NAMES_IN_ONE_READ) {
        let parameter =
            |name: &String| parameter_name(reader.environment, &format!("workflows/{name}"));
        let parameters: Vec<String> = names.iter().map(parameter).collect();
        let mut values = reader.parameters.parameters(&parameters).await?;
        found.extend(names.iter().zip(parameters).filter_map(|(name, parameter)| {
            let value = values.remove(&parameter)?;
            Some((name.clone(), parameter, value))
        }));
    }
    let read =
        found.into_iter().map(|(name, parameter, value)| one(reader, name, parameter, value));
    stream::iter(read).buffered(AT_A_TIME).try_collect().await
}

async fn one<S: GetObject, P: GetParameters>(
    reader: &Reader<'_, S, P>,
    name: String,
    document: String,
    parameter: Parameter,
) -> Result<Workflow, Fault> {
    let pushed_at = written_at(parameter.revision);
    Ok(match follow_pointer(reader.store, reader.bucket, &parameter.value).await? {
        Ok(text) => parsed(&name, document, pushed_at, &text),
        Err(problems) => Workflow {
            name,
            document,
            sha256: None,
            pushed_at,
            template: Err(problems.to_string()),
        },
    })
}
