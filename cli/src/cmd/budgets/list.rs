use std::io::Write;

use serde_json::{Value, json};

use crate::budgets::{COUNTER, Counted, counted, table};
use crate::exit::{Exit, Outcome};
use crate::json::{self, Field};
use crate::metrics::print;
use crate::paint::{Ink, span};
use crate::stack::Stack;
use crate::world::World;

const FIELDS: [Field; 2] = [
    ("environment", "the environment"),
    ("budgets", "list of counters, with the fields that follow"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&FIELDS, &COUNTER]))]
pub struct Args {
    /// Print JSON, with exact amounts
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let now = world.now();
    let counted = counted(&stack, None, now).await?;
    if args.json {
        let budgets: Value = counted.iter().map(|counted| counted.json(now)).collect();
        json::print(&json!({ "environment": world.environment, "budgets": budgets }), out)?;
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
