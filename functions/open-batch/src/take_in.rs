//! Reads the rows of the source file, or lists the objects below its prefix, once from start to end.

use bcce_core::base::error::{Fault, Problems};
use bcce_core::batch::intake::{Taken, Typical};
use bcce_core::batch::manifest::SourceRead;
use bcce_core::batch::reference::BatchRef;
use bcce_core::batch::{Entry, Format, Intake, Location, RowReader, StoredBatch};
use bcce_core::config::configuration::Configuration;
use bcce_core::ports::{GetObject, ListSource, NextBytes, OpenSource, PutObject};
use bcce_core::run::plan::Plan;

use crate::Ports;
use crate::parts::{Parts, Written};

/// The source as it was read.
pub(crate) struct Read {
    pub source: SourceRead,
    /// The plan that represents all items: of the first item without a model of its own, or else of the first item.
    pub plan: Typical<Result<Plan, Fault>>,
}

/// Reads all items of a batch, checks them and writes them in parts.
///
/// # Errors
/// `Bcce.InvalidRequest`: the source is missing or invalid. `Bcce.BudgetExceeded`: the batch exceeds a limit.
/// `Bcce.Internal`: S3 failed.
pub(crate) async fn all<S, R, P, L, C>(
    ports: &Ports<S, R, P, L, C>,
    batch: &BatchRef,
    stored: &StoredBatch,
    configuration: &Configuration,
    location: &Location,
) -> Result<(Read, Written), Fault>
where
    S: GetObject + PutObject,
    R: OpenSource + ListSource,
{
    let format = stored.batch.format().unwrap_or(Format::Jsonl);
    let mut intake = Intake::new(stored, configuration);
    let mut parts = Parts::new(&ports.store, batch);
    let source = SourceRead { uri: location.to_string(), format, etag: None, bytes: 0 };
    let mut read = Read { source, plan: Typical::default() };
    match RowReader::new(format) {
        Some(reader) => {
            let etag = stored.batch.etag.as_deref();
            rows(&ports.sources, location, etag, reader, &mut intake, &mut parts, &mut read)
                .await?;
        }
        None => objects(&ports.sources, location, &mut intake, &mut parts, &mut read).await?,
    }
    // If the batch exceeds a limit, the parts that are written already never run, since `finish` writes their list.
    intake.check_limits()?;
    Ok((read, parts.finish().await?))
}

/// Reads the rows of a source file.
async fn rows<S: PutObject>(
    sources: &impl OpenSource,
    location: &Location,
    etag: Option<&str>,
    mut reader: RowReader,
    intake: &mut Intake<'_>,
    parts: &mut Parts<'_, S>,
    read: &mut Read,
) -> Result<(), Fault> {
    let Some(mut source) = sources.open(location, etag).await? else {
        let cause = match etag {
            Some(etag) => {
                format!("no object with the ETag {etag} exists that the stack may read")
            }
            None => "no such object exists that the stack may read".to_owned(),
        };
        return Err(Problems::one("batch.source", cause).into());
    };
    read.source.etag = Some(source.etag);
    let mut taken: Vec<Taken> = Vec::new();
    while let Some(bytes) = source.body.next_bytes().await? {
        read.source.bytes += bytes.len() as u64;
        reader.push(&bytes, &mut |row| taken.push(intake.row(row)))?;
        for Taken { entry, plan } in taken.drain(..) {
            parts.add(&entry).await?;
            read.plan.note(&entry, || plan.map(Ok));
        }
    }
    if source.bytes.is_some_and(|bytes| bytes != read.source.bytes) {
        return Err(Fault::internal(format!("{location} ended after {} bytes", read.source.bytes)));
    }
    reader.finish(&mut |row| taken.push(intake.row(row)))?;
    for Taken { entry, plan } in taken {
        parts.add(&entry).await?;
        read.plan.note(&entry, || plan.map(Ok));
    }
    Ok(())
}

/// Lists the objects below a prefix, each of which is an item.
async fn objects<S: PutObject>(
    sources: &impl ListSource,
    prefix: &Location,
    intake: &mut Intake<'_>,
    parts: &mut Parts<'_, S>,
    read: &mut Read,
) -> Result<(), Fault> {
    let mut next: Option<String> = None;
    loop {
        let page = sources.page(prefix, next.as_deref()).await?;
        for object in page.objects {
            read.source.bytes += object.bytes;
            if let Some(taken) = intake.object(object) {
                parts.add(&taken.entry).await?;
                read.plan.note(&taken.entry, || match &taken.entry {
                    Entry::Item(item) => Some(intake.plan_with((**item).clone(), "text")),
                    Entry::Rejected(_) => None,
                });
            }
        }
        next = page.next;
        if next.is_none() {
            return Ok(());
        }
    }
}
