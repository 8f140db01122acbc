use std::collections::BTreeSet;
use std::io::Write;

use bcce_core::ledger::usage::CountedCalls;

use crate::exit::{Exit, Outcome};
use crate::json::{self, Field};
use crate::metrics::advice::print::Report;
use crate::metrics::advice::{self, Examined, read};
use crate::metrics::dimension::{Dimension, Filters};
use crate::metrics::{Days, Form, Selected, print, usage_of};
use crate::stack::Stack;
use crate::world::World;

const FIELDS: [Field; 16] = [
    ("version", "1"),
    ("environment", "the environment"),
    ("from, to", "first and last day of the period, in UTC"),
    ("filters", "selected workflows and steps"),
    ("advice", "list of pieces of advice, the largest amounts first"),
    ("advice[].kind", "max_tokens, cut_answers, unused_cache, cache_loss, bulk or failing_target"),
    ("advice[].title", "what the advice is about, in a line"),
    ("advice[].about", "workflow, step, model or target"),
    ("advice[].measured, advice[].figures", "what was measured, as texts and as numbers"),
    ("advice[].matters", "why it matters, as texts"),
    ("advice[].change", "what to change: document, key, from, to and text"),
    (
        "advice[].usd",
        "amount that the change would have saved in the period, or null if it is unknown",
    ),
    ("examined_steps", "number of steps with enough answers"),
    ("too_few", "list of steps and targets with too few calls: of, counted, count and needed"),
    ("not_examined", "list of workflows without a valid configuration: workflow and because"),
    ("unknown_items", "keys of items of the ledger that this version cannot read"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&FIELDS]))]
pub struct Args {
    #[command(flatten)]
    days: Days,
    /// Include only this workflow; may be given several times, like --step
    #[arg(long, value_name = "NAME")]
    workflow: Vec<String>,
    /// Include only this step
    #[arg(long, value_name = "ID")]
    step: Vec<String>,
    /// Print JSON, with exact amounts
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let period = args.days.period(world)?;
    let stack = Stack::find(world).await?;
    let selected = Selected {
        environment: world.environment.clone(),
        period,
        by: Dimension::Step,
        filters: Filters::of_steps(args.workflow, args.step),
        form: if args.json { Form::Json } else { Form::Text },
        days: usage_of(&stack.ledger, period).await?,
        before: None,
        platform: None,
    };
    let calls: Vec<&CountedCalls> =
        selected.calls().filter(|calls| selected.filters.want_calls(calls)).collect();
    let configurations = read::configurations(&stack, workflows(&calls)).await?;
    let batches = read::batches(&stack, period, &configurations).await?;
    let advice = advice::of(&Examined {
        configurations: &configurations.by_workflow,
        calls: &calls,
        batches: &batches,
    });
    let report = Report { selected: &selected, advice: &advice, unread: &configurations.unread };
    match selected.form {
        Form::Json => json::print(&report.json(), out)?,
        Form::Text | Form::Csv => print::lines(&report.text(), world, out)?,
    }
    Ok(Exit::Done)
}

/// Returns the workflows that made calls.
fn workflows<'a>(calls: &[&'a CountedCalls]) -> BTreeSet<&'a str> {
    let names = calls.iter().map(|calls| calls.allocation.workflow.as_str());
    names.filter(|name| !name.is_empty()).collect()
}
