mod mend; // what `--fix` mends

use std::io::Write;
use std::time::Duration;

use bcce_aws::SdkConfig;
use bcce_aws::account::resolved;
use bcce_aws::signed::Services;

use crate::doctor::examine::{Examined, examine, stack_name};
use crate::doctor::{Check, Group, live, print};
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::json::{self, Field};
use crate::terminal::note;
use crate::world::World;

/// The longest time in which a source must give credentials. A person may have to answer a process.
const CREDENTIALS: Duration = Duration::from_secs(60);

const FIELDS: [Field; 9] = [
    ("version", "1"),
    ("environment", "environment of the stack"),
    ("passed, warned, failed", "numbers of the checks by their state"),
    ("checks", "list of the checks, each with the fields below"),
    ("group, name", "subject of the check, such as keys, and its name, such as key-state"),
    ("state", "pass, warn or fail"),
    ("subject", "resource, such as a parameter or a target"),
    ("reason", "reason of the state"),
    ("remedy", "what to do, with the command; empty if the check passed"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&FIELDS]))]
pub struct Args {
    /// Print the checks as JSON
    #[arg(long)]
    json: bool,
    /// Print each check, also those that passed
    #[arg(long)]
    verbose: bool,
    /// Enable disabled rules and finalize runs and batches that stay RUNNING, after asking
    #[arg(long)]
    fix: bool,
    /// Call each target once, which is paid, after asking
    #[arg(long)]
    live: bool,
    /// Answer yes to the questions of --fix and --live
    #[arg(long)]
    yes: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let config = match world.sdk_config().await {
        Ok(config) => bcce_aws::chain::patient_for(config, Duration::from_secs(10)),
        Err(failure) => return could_not_start(failure, &args, world, out),
    };
    let (config, origin) = match resolved(&config, CREDENTIALS).await {
        Ok((config, origin)) => (config, Ok(origin)),
        Err(fault) => (config, Err(fault)),
    };
    let mut examined = examine(&world.environment, &config, &origin, world.now()).await;
    if args.fix && mended(&args, world, &config, &examined, out).await? {
        examined = examine(&world.environment, &config, &origin, world.now()).await;
    }
    // The results of the calls are paid, so nothing may replace them.
    if args.live {
        call(&args, world, &config, &mut examined).await?;
    }
    show(&args, world, &examined.groups, out)?;
    Ok(match (examined.could_run, examined.failed()) {
        (false, _) => Exit::Usage,
        (true, true) => Exit::Failed,
        (true, false) => Exit::Done,
    })
}

fn show(args: &Args, world: &World, groups: &[Group], out: &mut dyn Write) -> Outcome<()> {
    if !args.json {
        return print::text(groups, args.verbose, world.color, out);
    }
    let document = print::document(&world.environment, groups);
    json::print(&document, out)?;
    Ok(())
}

/// Reports that there is no region, or no trust store.
fn could_not_start(failure: Failure, args: &Args, world: &World, out: &mut dyn Write) -> Outcome {
    let check = Check::fail("configuration", "AWS", failure.what, failure.then);
    show(args, world, &[Group { name: "credentials", checks: vec![check] }], out)?;
    Ok(Exit::Usage)
}

/// Calls each target, if the user agrees.
async fn call(
    args: &Args,
    world: &World,
    config: &SdkConfig,
    examined: &mut Examined,
) -> Outcome<()> {
    let Some(stack) = &examined.stack else { return Ok(()) };
    let calls = figures::plural(examined.targets, "target");
    note(&format!("--live calls {calls} once with `max_tokens: 1`; each call is paid"));
    if !agreed(args, world, "call them now?")? {
        return Ok(());
    }
    let found = live::examine(config, &stack_name(stack)).await;
    examined.groups.push(found);
    Ok(())
}

/// Mends what can be mended, if the user agrees to each change. Returns true if something was changed.
async fn mended(
    args: &Args,
    world: &World,
    config: &SdkConfig,
    examined: &Examined,
    out: &mut dyn Write,
) -> Outcome<bool> {
    let (Some(stack), services) = (&examined.stack, Services::new(config)) else {
        return Ok(false);
    };
    let changes = mend::of(&examined.groups);
    if changes.is_empty() {
        note("--fix: there is nothing that it can mend");
    }
    let mut is_changed = false;
    // Only the document goes to standard output with --json.
    let mut silent = std::io::sink();
    let out: &mut dyn Write = if args.json { &mut silent } else { out };
    for change in changes {
        note(&format!("would {}", change.describe()));
        if !agreed(args, world, "do it now?")? {
            continue;
        }
        match change.make(stack, &services, world, out).await {
            Ok(()) => is_changed = true,
            Err(failure) => note(&format!("error: {}\n  -> {}", failure.what, failure.then)),
        }
    }
    Ok(is_changed)
}

/// Asks a question, unless `--yes` answers it.
fn agreed(args: &Args, world: &World, question: &str) -> Outcome<bool> {
    if args.yes {
        return Ok(true);
    }
    if !world.terminal {
        let what = "there is no terminal to ask at";
        return Err(Failure::usage(what, "use --yes to agree in advance"));
    }
    note(&format!("{question} [y/N]"));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
