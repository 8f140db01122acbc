use std::io::Write;

use crate::exit::{Exit, Outcome};
use crate::json::{self, Field};
use crate::metrics::print;
use crate::models::json::of;
use crate::models::{print::lines, read};
use crate::stack::Stack;
use crate::world::World;

const FIELDS: [Field; 18] = [
    ("environment, at", "environment, and time of the report"),
    ("live", "true if Bedrock was asked"),
    ("since", "first day of the calls that are counted"),
    ("unread", "list of the questions that Bedrock did not answer"),
    (
        "models",
        "list of the targets of each alias, in the order in which they are tried, with the fields below",
    ),
    ("alias, target", "alias, and its target with region, model_id and guardrail"),
    ("reachable", "true if nothing is known that keeps the target from taking calls"),
    ("forbidden", "reason why the policy forbids the target, or null"),
    (
        "life",
        "legacy, started_at, legacy_at, extended_at and ends_at of the model, or null without --live",
    ),
    ("price", "input and output in USD per million tokens, as decimals, or null"),
    ("breaker", "status (closed, open, probe_due or probed) and until"),
    (
        "p50_ms",
        "upper bound of the median time to the first token, or null with less than 5 calls or above 32 s",
    ),
    ("latency_calls", "calls of the last minutes whose time is known"),
    ("calls", "calls on demand since the day `since`"),
    ("share", "share of the calls of the alias, or null if there are none"),
    ("canary", "last canary call: started_at, result and unanswered, or null"),
    ("findings", "what a person has to correct: level, check, target, aliases, cause and remedy"),
    (
        "result",
        "of a canary call: outcome (answered or failed), latency_ms, error, cause and advice",
    ),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&FIELDS]))]
pub struct Args {
    /// Aliases to show; all without any
    #[arg(value_name = "ALIAS")]
    aliases: Vec<String>,
    /// Ask Bedrock's control plane and Service Quotas, with the permissions of the caller, for the life cycle, the access,
    /// the profile, the guardrail, the data retention and the quotas of each target; no model is called
    #[arg(long)]
    live: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let report = read::report(&stack, &args.aliases, args.live, world).await?;
    if args.json {
        json::print(&of(&report), out)?;
    } else {
        print::lines(&lines(&report, world.size().0), world, out)?;
    }
    Ok(Exit::Done)
}
