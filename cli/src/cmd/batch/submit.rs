mod draft; // builds the request from the command line
mod mapping; // parses --map and --item-id
mod origin; // parses the source of the items
mod report; // prints what was found in the source
mod survey; // reads and checks every item

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
use crate::estimate::ESTIMATE;
use crate::exit::{Exit, Failure, Outcome};
use crate::follow::{Watch, follow_and_print};
use crate::json::{self, Field};
use crate::stack::Stack;
use crate::values::duration;
use crate::warm::warm;
use crate::world::World;

const JSON_INTRO: &str = "Prints an object. With --dry-run, prints the fields of `found` and an estimate. With --wait, \
                          prints the state of the batch when it ends, as `bcce batch status` does.";
const FIELDS: [Field; 11] = [
    ("batch_id", "id of the batch"),
    ("request_id", "idempotency key of the batch"),
    ("sent_before", "true if the same batch was sent before"),
    ("found", "what was found in the source"),
    ("found.workflow, found.source", "the workflow, and the source as it was given"),
    ("found.items, found.rejected", "number of items, and how many of them are rejected"),
    ("found.first_rejected", "list of the first rejected items: line, id and error"),
    ("found.longest", "line and bytes of the longest item"),
    (
        "found.worst_case",
        "calls, tokens and usd in the worst case, and the models that are unpriced",
    ),
    ("found.limit_usd, found.limit_tokens", "limits of the worst case, or null"),
    ("estimate", ESTIMATE),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields(JSON_INTRO, &[&FIELDS]))]
pub struct Args {
    /// Name of the workflow that runs for each item
    workflow: String,
    /// Source of the items: a file that ends in .jsonl, .ndjson or .csv, s3://BUCKET/KEY, or s3://BUCKET/PREFIX/
    source: String,
    /// Input that is taken from each item; can be repeated. EXPR is the name of a field, an expression over `item` such
    /// as item.user.text, or text with {{ }}; objects below a prefix have item.text, item.key and item.bytes
    #[arg(long, value_name = "INPUT=EXPR", value_parser = mapping::pair)]
    map: Vec<(String, String)>,
    /// Id of each item, as an EXPR like those of --map [default: the field `id`, else the line number or the object's
    /// key]
    #[arg(long, value_name = "EXPR", value_parser = mapping::id)]
    item_id: Option<String>,
    /// Input for every item: NAME=VALUE, NAME=@FILE, NAME=@- for standard input, or NAME:=JSON; can be repeated. An
    /// input of the item itself overrides it
    #[arg(short, long = "input", value_name = "NAME=VALUE")]
    input: Vec<String>,
    /// File with a JSON object of inputs for every item, or - for standard input; --input adds to it and overrides it
    #[arg(long, value_name = "FILE")]
    inputs: Option<String>,
    /// Idempotency key of the batch; the same batch with the same id runs once [default: derived from the source and
    /// the options]
    #[arg(long)]
    id: Option<String>,
    /// Tag of every run, for cost reports and the policy; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = inputs::tag)]
    tag: Vec<(String, String)>,
    /// Model alias for every step, instead of those of the workflow; must be listed in `request_models` of the workflow
    #[arg(long, value_name = "ALIAS")]
    model: Option<String>,
    /// Let a line that has the field `inputs` also set these for its run: model, tags, or model,tags [default: neither]
    #[arg(long, value_name = "FIELDS", value_parser = item_field, value_delimiter = ',')]
    items_may_set: Vec<ItemField>,
    /// Format of the source, if its name does not show it: jsonl, csv, or objects for a prefix
    #[arg(long, value_parser = format)]
    format: Option<Format>,
    /// Mode of the batch: on-demand runs each item immediately; bulk uses Bedrock batch inference at half the price
    /// where possible; auto uses bulk if the deadline allows it
    #[arg(long, value_parser = mode, default_value = "on-demand")]
    mode: Mode,
    /// Time by which the batch must end, such as 2026-11-30T18:00:00Z, or 6h from now
    #[arg(long, value_name = "TIME", value_parser = Deadline::parse)]
    deadline: Option<Deadline>,
    /// Maximum number of runs at a time [default: 20]
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    /// Percentage of the items that may fail before the batch halts and starts no further item [default: 20, but at
    /// least 10 items]
    #[arg(long, value_name = "PERCENT")]
    tolerate: Option<u8>,
    /// Send nothing, and print the number of items, the rejected items, and an estimate of the tokens and the cost
    #[arg(long)]
    dry_run: bool,
    /// Let Bedrock compile the schemas of the workflow first, with one short call for each schema and target; the calls
    /// use your own credentials and are charged, but are not in the ledger
    #[arg(long, conflicts_with = "dry_run")]
    warm: bool,
    /// Watch the batch until it ends, and exit with 0 if every item succeeded, 1 if not
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// Maximum time to wait with --wait, such as 90s, 30m or 2h; the batch continues after it
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration, requires = "wait")]
    timeout: Duration,
    /// Print the result as JSON
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
    let (origin, format) = origin.ok_or_else(|| wrong(&Problems::one("source", "is missing")))?;
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
        report.check_items()?;
        return report.check_limits().map(|()| Exit::Done);
    }
    report.print_rejected(&mut crate::terminal::errors())?;
    report.check_items()?;
    report.check_limits()?;
    request.id = Some(
        args.id
            .clone()
            .unwrap_or_else(|| id(&origin, &request, args.deadline.as_ref(), &found.met)),
    );
    let before = sent_before(&stack, &mut request, args.deadline.as_ref()).await?;
    if args.warm {
        warm_schemas(&stack, world, &configuration, request.model.as_deref()).await?;
    }
    bring(&stack, &origin, &found).await?;
    stack.queues.send(&stack.outputs.inbox_queue_url, &request.message()).await?;
    let reference = StoredBatch::new(request, TENANT, "").reference();
    if before {
        crate::terminal::note(&format!(
            "note: this batch was sent before; `{}` runs its remaining items, a new --id runs all items",
            stack.command(&format!("batch retry {}", reference.batch_id))
        ));
    }
    if args.wait {
        let watch = Watch { timeout: args.timeout, sent: true };
        return follow_and_print(&stack, world, Batch::new(reference), watch, args.json, out).await;
    }
    let sent = json!({
        "batch_id": reference.batch_id,
        "request_id": reference.request_id,
        "sent_before": before,
        "found": report.as_json(),
    });
    if args.json {
        json::print(&sent, out)?;
    } else {
        writeln!(out, "{}", reference.batch_id)?;
    }
    Ok(Exit::Done)
}

/// Has Bedrock compile the schemas of the workflow's JSON answers, with the batch's `model` in place of the steps' own.
async fn warm_schemas(
    stack: &Stack,
    world: &World,
    configuration: &Configuration,
    model: Option<&str>,
) -> Outcome {
    let Configuration { template, models, policy, profiles, .. } = configuration;
    let template = with_model(template, model);
    let grammars = grammars(&template, models, policy, profiles);
    // If a schema cannot be compiled now, the first run that needs it makes Bedrock compile it.
    warm(stack, world, &grammars, &mut crate::terminal::errors()).await
}

/// Reads the configuration for the items, and makes the checks for which the stack would refuse all of them.
async fn checked(
    stack: &Stack,
    request: &BatchRequest,
    mut problems: Problems,
) -> Outcome<Configuration> {
    // Without a valid name of a workflow there is no parameter to read.
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

/// The source as it was found, and the location where the stack reads it.
struct Found {
    survey: Survey,
    place: Place,
    /// The hex digest of the objects below a prefix: their keys and ETags.
    met: String,
}

/// The location where the stack reads the items.
struct Place {
    location: Location,
    format: Format,
    /// The ETag of the object as it was read here, if the stack reads it in place.
    etag: Option<String>,
    /// The upload or copy that is needed first, if any.
    brought: Option<Brought>,
}

/// An upload or a copy to the bucket of the stack.
enum Brought {
    File { sha256: [u8; 32] },
    Copy { etag: String },
}

impl Place {
    /// Sets the source of a request.
    fn fill(&self, request: &mut BatchRequest) {
        let has_format_in_name = self.location.format() == Some(self.format);
        request.batch.source = self.location.to_string();
        request.batch.format = (!has_format_in_name).then_some(self.format);
        request.batch.etag = self.etag.clone();
    }
}

/// Reads and checks the items of the source, and decides where the stack reads them. An estimate is made if there is a
/// `basis`.
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
    // A batch that its sender may not send is refused as a whole.
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
            let (etag, bytes) = (object.etag, object.bytes.unwrap_or_default());
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

/// Returns the location where the stack reads an object: in place, or a copy whose key is derived from the object.
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
    Failure::usage(what, "nothing was sent; for a prefix, end it with / or use --format objects")
}

/// Uploads or copies the source to the location where the stack reads it, unless it is already there.
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

/// Returns true if the batch was sent before. A deadline that counts from now keeps the value of the first time.
///
/// # Errors
/// The id was used for another batch, which the stack would reject.
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
        "nothing was sent; use another --id, or none",
    ))
}

#[cfg(test)]
mod tests;
