use std::io::Write;

use bcce_core::ledger::RunRecord;

use crate::exit::Outcome;
use crate::lookup::RunName;
use crate::metrics::platform::PlatformPrices;
use crate::report::file::PageFile;
use crate::report::run::Reported;
use crate::report::seal::Seal;
use crate::run::view::explained::Account;
use crate::run::{Run, timeline};
use crate::seal::run::verified;
use crate::stack::{Stack, quoted, unknown};
use crate::tracked::Tracked;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    run: RunName,
    #[command(flatten)]
    file: PageFile,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let run_id = args.run.find(&stack, world).await?;
    let (mut run, records) = Run::find(&stack, &run_id).await?;
    run.look(&stack, world.now(), true).await?;
    let sealed = run.sealed_record();
    let Some(record) = &sealed else {
        return Err(unknown(&stack.environment, Run::NOUN, Run::GROUP, &run_id));
    };
    let seal = seal(&stack, &run, record, &records).await;
    let executions = run.plan.as_ref().map(|plan| timeline::of(&run, plan, &records));
    let executions = executions.unwrap_or_default();
    let file = quoted(&args.file.html.display().to_string());
    let command = stack.command(&format!("runs report {run_id} --html {file}"));
    let page = Reported {
        run: &run,
        record,
        account: Account { run: &run, records: &records, executions: &executions, all: false },
        now: world.now(),
        platform: platform(&run)?,
        seal: &seal,
        environment: &stack.environment,
        command: &command,
    }
    .page();
    args.file.write(&page.render(), out)
}

/// Verifies the run attempt if it is sealed. A packed run is sealed later than it ends, with its part.
async fn seal(stack: &Stack, run: &Run, record: &RunRecord, records: &[RunRecord]) -> Seal {
    if record.ended_at.is_none() || !run.is_sealed() {
        return Seal::Open;
    }
    let attempt_no = Some(record.attempt_no);
    Seal::of(verified(stack, &record.run_id, records, attempt_no, None).await)
}

/// Returns the cost of what the run took of AWS besides tokens, at the prices of this version, in USD.
fn platform(run: &Run) -> Outcome<Option<rust_decimal::Decimal>> {
    let prices = PlatformPrices::read(None)?;
    let taken = run.manifest.as_ref().map(|manifest| &manifest.platform);
    Ok(taken.filter(|taken| !taken.is_empty()).map(|taken| prices.total(taken)))
}
