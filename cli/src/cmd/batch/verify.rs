use std::io::Write;

use crate::batch::objects::sealed;
use crate::exit::{Exit, Failure, Outcome};
use crate::json;
use crate::lookup::BatchName;
use crate::seal::batch::{inspect, objects, parts};
use crate::seal::key::Known;
use crate::seal::verified::{FIELDS, Sealed, Verified};
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&[("batch_id", "id of the batch")], &FIELDS]))]
pub struct Args {
    #[command(flatten)]
    batch: BatchName,
    /// Number of the attempt to verify [default: the latest that has ended]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// PEM file with the public key, as `bcce key` prints it; KMS is not called
    #[arg(long, value_name = "FILE")]
    public_key: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let batch_id = args.batch.find(&stack, world).await?;
    let batch = sealed(&stack, &batch_id, args.attempt).await?;
    let key = Known::find(args.public_key.as_deref(), &stack).await?;
    let bucket = &stack.outputs.artifact_bucket;
    let report = inspect(&stack.store, &stack.sources, bucket, &batch, &key.key).await?;
    let Some(report) = report else {
        let status = stack.command(&format!("batch status {} --watch", batch_id));
        return Err(Failure {
            exit: Exit::Failed,
            what: format!("there is no {}: this attempt is not sealed", batch.manifest_key()),
            then: format!("`{status}` waits until the batch ends"),
        });
    };
    let verified = Verified {
        noun: "batch",
        id: &batch.batch_id,
        attempt_no: batch.attempt_no,
        manifest_key: batch.manifest_key(),
        key: &key,
        report: &report,
        sealed: report.manifest.as_ref().map(|manifest| Sealed {
            artifacts: objects(manifest).len(),
            parts: parts(manifest),
            status: manifest.status.as_str(),
            ended_at: manifest.ended_at,
        }),
    };
    verified.print(args.json, world, out)
}
