use std::io::Write;

use serde_json::{Value, json};

use crate::budgets::{Counted, counted, table};
use crate::exit::{Exit, Outcome};
use crate::metrics::print;
use crate::paint::{Ink, span};
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON, with exact amounts; a limit of one run or one batch has null as window, spent, reserved, left,
    /// used_up and lasts_until
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let now = world.now();
    let counted = counted(&stack, None, now).await?;
    if args.json {
        let budgets: Value = counted.iter().map(|counted| counted.json(now)).collect();
        print::json(&json!({ "environment": world.environment, "budgets": budgets }), out)?;
        return Ok(Exit::Done);
    }
    if counted.is_empty() {
        let text = format!(
            "{} has no budgets; define them in budgets.yaml and push it (docs/budgets.md)",
            world.environment
        );
        print::lines(&[vec![span(Ink::Plain, text)]], world, out)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<&Counted> = counted.iter().collect();
    print::lines(&table(&rows, now, world), world, out)?;
    Ok(Exit::Done)
}
