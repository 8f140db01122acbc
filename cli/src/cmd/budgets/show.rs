use std::io::Write;

use bcce_core::config::budgets::Unit;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use time::UtcOffset;

use crate::budgets::{COUNTER, Counted, counted, payers, table};
use crate::exit::{Exit, Failure, Outcome};
use crate::json::{self, Field};
use crate::metrics::print;
use crate::metrics::table::{Row, Table};
use crate::paint::{Ink, Line, span};
use crate::stack::Stack;
use crate::world::World;

/// The most payers that the table lists.
const PAYERS: usize = 10;

const FIELDS: [Field; 3] = [
    ("environment", "the environment"),
    (
        "payers",
        "list of who spent the most: workflow_and_tenant and spent; null for a window without an end and a limit without a window",
    ),
    ("counters", "list of counters, one for each value of the scope, with the fields that follow"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&FIELDS, &COUNTER]))]
pub struct Args {
    /// The name of the budget in budgets.yaml
    budget: String,
    /// Print JSON, with exact amounts and all payers
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let now = world.now();
    let counted = counted(&stack, Some(&args.budget), now).await?;
    if counted.is_empty() {
        return Err(Failure::usage(
            format!("there is no budget {} in {}", args.budget, world.environment),
            format!("`{}` shows the existing ones", stack.command("budgets list")),
        ));
    }
    let paid = payers(&stack, &counted[0], now.to_offset(UtcOffset::UTC).date()).await?;
    if args.json {
        let counters: Value = counted.iter().map(|counted| counted.json(now)).collect();
        let payer = |(name, amount): &(String, Decimal)| json!({ "workflow_and_tenant": name, "spent": amount.to_string() });
        let paid: Option<Value> = paid.map(|paid| paid.iter().map(payer).collect());
        let report =
            json!({ "environment": world.environment, "counters": counters, "payers": paid });
        json::print(&report, out)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<&Counted> = counted.iter().collect();
    let mut lines = table(&rows, now, world);
    lines.extend(by_whom(&counted[0], paid));
    print::lines(&lines, world, out)?;
    Ok(Exit::Done)
}

/// Lists who has spent the most. `None` means that the ledger does not count the window by day, or that there is none.
fn by_whom(counted: &Counted, paid: Option<Vec<(String, Decimal)>>) -> Vec<Line> {
    let Some(paid) = paid else {
        let text = match counted.window {
            Some(_) => "`bcce metrics cost` shows who has spent it.",
            None => "The worst case is compared with it before the first call.",
        };
        return vec![Vec::new(), vec![span(Ink::Dim, text)]];
    };
    if paid.is_empty() {
        return Vec::new();
    }
    let more = paid.len().saturating_sub(PAYERS);
    let rows = paid.into_iter().take(PAYERS);
    let rows = rows.map(|(name, amount)| Row::plain([name, counted.amount(amount)])).collect();
    let headings = vec!["workflow of tenant".to_owned(), "spent".to_owned()];
    let mut lines = vec![Vec::new()];
    lines.extend(Table { headings, texts: 1, rows }.lines(None));
    let mut note = "Spent by sealed runs in this window, over all values of the budget.".to_owned();
    if counted.unit == Unit::Tokens {
        note += " Unknown usage is not included.";
    }
    if more > 0 {
        note += &format!(" {more} more are in --json.");
    }
    lines.extend([Vec::new(), vec![span(Ink::Dim, note)]]);
    lines
}
