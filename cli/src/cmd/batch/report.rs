use std::io::Write;

use crate::batch::Batch;
use crate::exit::Outcome;
use crate::lookup::BatchName;
use crate::metrics::platform::PlatformPrices;
use crate::report::batch::Report;
use crate::report::batch::read::items;
use crate::report::file::PageFile;
use crate::report::seal::Seal;
use crate::seal::batch::verified;
use crate::stack::{Stack, quoted};
use crate::tracked::{Status, Tracked};
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    batch: BatchName,
    #[command(flatten)]
    file: PageFile,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let batch_id = args.batch.find(&stack, world).await?;
    let mut batch = Batch::latest(&stack, &batch_id).await?;
    let now = world.now();
    batch.look(&stack, now, true).await?;
    let bucket = &stack.outputs.artifact_bucket;
    let (items, basis) = items(&stack.store, &stack.sources, bucket, &batch, now).await?;
    let seal = match batch.status() {
        Status::Over(_) => Seal::of(verified(&stack, &batch.reference, None).await),
        _ => Seal::Open,
    };
    let prices = PlatformPrices::read(None)?;
    let environment = stack.environment.clone();
    let report = Report { batch, items, basis, seal, prices, environment, now };
    let file = quoted(&args.file.html.display().to_string());
    let command = stack.command(&format!("batch report {batch_id} --html {file}"));
    args.file.write(&report.page(command).render(), out)
}
