mod draft; // what the command line says
mod mapping; // --map, --item-id
mod origin; // where the items come from
mod report; // what was found, as people and programs read it
mod survey; // every item, checked

use std::io::Write;
use std::time::Duration;

use bcce_aws::s3::{Head, MAX_UPLOAD_BYTES};
use bcce_core::base::digest::{Digest, sha256_hex_of_fields};
use bcce_core::base::error::Problems;
use bcce_core::batch::{BatchRequest, Format, Intake, ItemField, Location, Mode, StoredBatch};
use bcce_core::call::grammars::grammars;
use bcce_core::config::configuration::Configuration;
use bcce_core::io::objects;
use bcce_core::ports::OpenSource;
use bcce_core::run::plan::with_model;
use serde_json::json;

use self::draft::{Deadline, draft, format, id, item_field, mode};
use self::origin::{Origin, is_taken_as_it_is, upload};
use self::report::Report;
use self::survey::{Basis, Survey};
use crate::batch::Batch;
use crate::cmd::submit::{NOTHING_SENT, TENANT, configuration, inputs, wrong};
use crate::exit::{Exit, Failure, Outcome};
use crate::follow::{Watch, follow_and_print};
use crate::stack::Stack;
use crate::values::duration;
use crate::warm::warm;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the workflow that each item is a run of
    workflow: String,
    /// A file that ends in .jsonl, .ndjson or .csv, s3://BUCKET/KEY, or s3://BUCKET/PREFIX/
    source: String,
    /// An input from the item, once for each: a field's name, an expression over `item` like item.user.text, or
    /// text with {{ }}; of objects there are item.text, item.key and item.bytes
    #[arg(long, value_name = "INPUT=EXPR", value_parser = mapping::pair)]
    map: Vec<(String, String)>,
    /// The item's id, likewise; its field `id` otherwise, or its line, or an object's key
    #[arg(long, value_name = "EXPR", value_parser = mapping::id)]
    item_id: Option<String>,
    /// An input of every item: NAME=VALUE, NAME=@FILE, NAME=@- or NAME:=JSON; the item's own come first
    #[arg(short, long = "input", value_name = "NAME=VALUE")]
    input: Vec<String>,
    /// A JSON object of such inputs, from a file or - for standard input; --input adds to it
    #[arg(long, value_name = "FILE")]
    inputs: Option<String>,
    /// Idempotency key: the same id with the same request is one batch
    #[arg(long)]
    id: Option<String>,
    /// Tag of every run for cost and policy
    #[arg(long, value_name = "KEY=VALUE", value_parser = inputs::tag)]
    tag: Vec<(String, String)>,
    /// Model alias that takes the place of every step's own; one that the workflow lists in `request_models`
    #[arg(long, value_name = "ALIAS")]
    model: Option<String>,
    /// Let a line that has `inputs` set these of its run as well: model, tags, or both with a comma between
    #[arg(long, value_name = "FIELDS", value_parser = item_field, value_delimiter = ',')]
    items_may_set: Vec<ItemField>,
    /// Set the format of the source where its name does not show it: jsonl, csv, or objects below a prefix
    #[arg(long, value_parser = format)]
    format: Option<Format>,
    /// on-demand: each item at once; bulk: by Bedrock batch inference at half the price, where that is possible;
    /// auto: the same where the deadline allows it
    #[arg(long, value_parser = mode, default_value = "on-demand")]
    mode: Mode,
    /// When it has to be over: 2026-11-30T18:00:00Z, or from now like 6h
    #[arg(long, value_name = "TIME", value_parser = Deadline::parse)]
    deadline: Option<Deadline>,
    /// Runs at a time [default: 20]
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    /// Share of the items that may fail before no further one is started [default: 20, and no fewer than 10 items]
    #[arg(long, value_name = "PERCENT")]
    tolerate: Option<u8>,
    /// Send nothing: print how many items there are, which are wrong, and what they would use and cost at most
    #[arg(long)]
    dry_run: bool,
    /// Have Bedrock compile the workflow's schemas first: one short call for each schema and target, which your own
    /// credentials make and which is charged, but not in the ledger
    #[arg(long, conflicts_with = "dry_run")]
    warm: bool,
    /// Watch the batch and exit by its status
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// With --wait: stop waiting after this long; the batch goes on
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration, requires = "wait")]
    timeout: Duration,
    /// Print JSON: what was found or sent, or with --wait the batch when it is over
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let (mut request, origin, problems) = draft(&args, world);
    let stack = match Stack::find(world).await {
        Err(_) if !problems.is_empty() => return Err(wrong(&problems)),
        found => found?,
    };
    let configuration = checked(&stack, &request, problems).await?;
    let (origin, format) = origin.ok_or_else(|| wrong(&Problems::one("source", "is none")))?;
    let basis = Basis { at: world.now(), region: stack.region() };
    let basis = args.dry_run.then_some(basis);
    let found = find(&stack, &request, &origin, format, &configuration, basis).await?;
    found.place.fill(&mut request);
    let report = Report {
        args: &args,
        origin: &origin,
        survey: &found.survey,
        found: &configuration,
        region: stack.region(),
    };
    if args.dry_run {
        report.dry_run(out)?;
        report.is_something()?;
        return report.is_affordable().map(|()| Exit::Done);
    }
    report.print_rejected(&mut crate::terminal::errors())?;
    report.is_something()?;
    report.is_affordable()?;
    request.id = Some(
        args.id
            .clone()
            .unwrap_or_else(|| id(&origin, &request, args.deadline.as_ref(), &found.met)),
    );
    let before = sent_before(&stack, &mut request, args.deadline.as_ref()).await?;
    if args.warm {
        let Configuration { template, models, policy, .. } = &configuration;
        let template = with_model(template, request.model.as_deref());
        let grammars = grammars(&template, models, policy);
        // One that cannot be compiled now is tried again by the first run.
        warm(&stack, world, &grammars, &mut crate::terminal::errors()).await?;
    }
    bring(&stack, &origin, &found).await?;
    stack.queues.send(&stack.outputs.inbox_queue_url, &request.message()).await?;
    let reference = StoredBatch::new(request, TENANT, "").reference();
    if before {
        crate::terminal::note(&format!(
            "this batch was sent before, and it runs once: `{}` runs again what is left of it, a new --id all of it",
            stack.command(&format!("batch retry {}", reference.batch_id))
        ));
    }
    if args.wait {
        let watch = Watch { timeout: args.timeout, sent: true };
        return follow_and_print(&stack, world, Batch::new(reference), watch, args.json, out).await;
    }
    if args.json {
        let sent = json!({
            "batch_id": reference.batch_id,
            "request_id": reference.request_id,
            "sent_before": before,
            "found": report.as_json(),
        });
        writeln!(out, "{sent}")?;
    } else {
        writeln!(out, "{}", reference.batch_id)?;
    }
    Ok(Exit::Done)
}

/// Returns the configuration of the items, after a check for everything that all of them would be refused for.
async fn checked(
    stack: &Stack,
    request: &BatchRequest,
    mut problems: Problems,
) -> Outcome<Configuration> {
    // A name that is no name is no parameter either.
    if problems.iter().any(|problem| problem.field == "workflow") {
        return Err(wrong(&problems));
    }
    let read = configuration(stack, &request.workflow).await?;
    match read {
        Ok(configuration) if problems.is_empty() => Ok(configuration),
        read => {
            problems.extend(read.err().unwrap_or_default());
            Err(wrong(&problems))
        }
    }
}

/// What a source was found to be, and where the stack will read it.
struct Found {
    survey: Survey,
    place: Place,
    /// Which objects a prefix held.
    met: String,
}

struct Place {
    location: Location,
    format: Format,
    /// The object as it was met, where it is read where it lies.
    etag: Option<String>,
    /// What has to be brought there first.
    brought: Option<Brought>,
}

enum Brought {
    File { sha256: [u8; 32] },
    Copy { etag: String },
}

impl Place {
    fn fill(&self, request: &mut BatchRequest) {
        let has_format_in_name = self.location.format() == Some(self.format);
        request.batch.source = self.location.to_string();
        request.batch.format = (!has_format_in_name).then_some(self.format);
        request.batch.etag = self.etag.clone();
    }
}

async fn find(
    stack: &Stack,
    request: &BatchRequest,
    origin: &Origin,
    format: Format,
    configuration: &Configuration,
    basis: Option<Basis<'_>>,
) -> Outcome<Found> {
    let mut described = request.clone();
    let bucket = &stack.outputs.artifact_bucket;
    if let Origin::Object(location) | Origin::Prefix(location) = origin {
        described.batch.source = location.to_string();
    }
    let batch = StoredBatch::new(described, TENANT, "");
    let intake = Intake::new(&batch, configuration);
    // Every item would be refused for it.
    intake.check_sender().map_err(|fault| Failure::usage(fault.message, NOTHING_SENT))?;
    let (survey, place, met) = match origin {
        Origin::File(path) => {
            let (survey, digest) = survey::file(path, format, intake, basis)?;
            let location = upload(bucket, &digest.clone().hex(), format);
            let brought = Some(Brought::File { sha256: digest.bytes() });
            (survey, Place { location, format, etag: None, brought }, Digest::default())
        }
        Origin::Object(location) => {
            let opened = stack.sources.open(location, None).await?;
            let object = opened.ok_or_else(|| missing(location))?;
            let (etag, bytes) = (object.etag, object.bytes);
            let survey = survey::object(location, object.body, format, intake, basis).await?;
            let head = Head { etag, bytes };
            (survey, placed(bucket, location, format, head)?, Digest::default())
        }
        Origin::Prefix(location) => {
            let (survey, met) = survey::prefix(&stack.sources, location, intake, basis).await?;
            let location = location.clone();
            (survey, Place { location, format, etag: None, brought: None }, met)
        }
    };
    Ok(Found { survey, place, met: met.hex() })
}

/// Returns where the stack reads an object: where it lies, or a copy whose name says of what.
fn placed(bucket: &str, location: &Location, format: Format, head: Head) -> Outcome<Place> {
    let Head { etag, bytes } = head;
    if is_taken_as_it_is(location, bucket) {
        let location = location.clone();
        return Ok(Place { location, format, etag: Some(etag), brought: None });
    }
    if bytes > MAX_UPLOAD_BYTES {
        return Err(survey::too_large(&location.to_string(), bytes));
    }
    let name = sha256_hex_of_fields(&[&location.to_string(), &etag]);
    let location = upload(bucket, &name, format);
    Ok(Place { location, format, etag: None, brought: Some(Brought::Copy { etag }) })
}

fn missing(location: &Location) -> Failure {
    let what = format!("there is no {location}");
    Failure::usage(
        what,
        "nothing was sent; a prefix ends in /, or --format objects says that it is one",
    )
}

/// Brings the manifest to where the stack will read it, unless it lies there.
async fn bring(stack: &Stack, origin: &Origin, found: &Found) -> Outcome<()> {
    let (Some(brought), location) = (&found.place.brought, &found.place.location) else {
        return Ok(());
    };
    if stack.sources.head(location).await?.is_some() {
        return Ok(());
    }
    match (origin, brought) {
        (Origin::File(path), Brought::File { sha256 }) => {
            stack.store.upload(&location.key, path, sha256).await?;
        }
        (Origin::Object(from), Brought::Copy { etag }) => {
            stack.store.copy(from, etag, &location.key).await?;
        }
        _ => {}
    }
    Ok(())
}

/// Returns whether the batch was sent before. The same id with another request would be rejected later. A deadline that
/// counts from now is that of the first time.
async fn sent_before(
    stack: &Stack,
    request: &mut BatchRequest,
    deadline: Option<&Deadline>,
) -> Outcome<bool> {
    let stored = StoredBatch::new(request.clone(), TENANT, "");
    let key = stored.reference().request_key();
    let before: Option<StoredBatch> = objects::find(&stack.store, &key).await?;
    let Some(before) = before else { return Ok(false) };
    if matches!(deadline, Some(Deadline::In(..))) {
        request.batch.deadline = before.batch.deadline.clone();
    }
    if StoredBatch::new(request.clone(), TENANT, "") == before {
        return Ok(true);
    }
    Err(Failure::usage(
        format!(
            "id: {} was used before, for another batch of {}",
            before.request_id, before.workflow
        ),
        "nothing was sent; give another --id, or none",
    ))
}

#[cfg(test)]
mod tests;
