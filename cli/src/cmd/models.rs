use std::io::Write;

use crate::exit::{Exit, Outcome};
use crate::metrics::print;
use crate::models::{json, print::lines, read};
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Aliases to show; all without any
    #[arg(value_name = "ALIAS")]
    aliases: Vec<String>,
    /// Ask Bedrock's control plane and Service Quotas, with the permissions of the caller, for the life cycle, the access,
    /// the profile, the guardrail, the data retention and the quotas of each target; no model is called
    #[arg(long)]
    live: bool,
    /// Print JSON: `models` has an entry for each target of each alias, in the order in which they are tried, with
    /// alias, target, reachable, forbidden (the reason of the policy), life (null without --live), price (USD per
    /// million tokens as decimals), breaker (status closed, open, probe_due or probed; until), p50_ms (an upper bound of
    /// the time to the first token, null with less than 5 latency_calls or above 32 s), calls and share (of the alias)
    /// since the day `since`, canary (started_at, result) and findings; `unread` lists the questions that Bedrock did
    /// not answer
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let report = read::report(&stack, &args.aliases, args.live, world).await?;
    if args.json {
        print::json(&json::of(&report), out)?;
    } else {
        print::lines(&lines(&report, world.size().0), world, out)?;
    }
    Ok(Exit::Done)
}
