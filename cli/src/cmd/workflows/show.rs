use std::io::Write;

use crate::exit::{Exit, Outcome};
use crate::json;
use crate::metrics::print;
use crate::values::name;
use crate::workflows::json::{SHOWN, shown};
use crate::workflows::{Source, view};
use crate::world::World;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&SHOWN]))]
pub struct Args {
    /// Name of the workflow
    #[arg(value_parser = name)]
    workflow: String,
    #[command(flatten)]
    source: Source,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let place = args.source.open(world).await?;
    let (workflow, template) = place.one(&args.workflow).await?;
    let budgets = place.budgets().await?;
    if args.json {
        json::print(&shown(&workflow, &template, &budgets), out)?;
    } else {
        let lines = view::lines(&workflow, &template, &budgets, world.size().0);
        print::lines(&lines, world, out)?;
    }
    Ok(Exit::Done)
}
