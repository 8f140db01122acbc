use std::io::Write;

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::call::answer::Output;
use bcce_core::ports::{GetObject, ListObjects};
use bcce_core::run::artifact::StepArtifact;
use serde_json::Value;

use crate::exit::{Exit, Failure, Outcome};
use crate::json::{self, Field};
use crate::lookup::RunName;
use crate::packed::objects::RunObjects;
use crate::run::Run;
use crate::stack::Stack;
use crate::tracked::Tracked;
use crate::world::World;

const FIELDS: [Field; 15] = [
    ("version", "1"),
    ("run_id, step_id", "ids of the run and the step"),
    ("item", "number of the item, from 0, if the step has `for_each`"),
    ("attempt_no", "run attempt that made the calls"),
    ("output", "the answer: `text`, and `json` if the step asks for JSON"),
    ("truncated", "true if max_tokens cut the answer"),
    ("stop_reason", "why the model stopped, as Bedrock names it"),
    ("decisions", "list of decisions about the targets, each with its reasons"),
    ("attempts", "list of calls: target, outcome, error, times, usage and cost_usd"),
    ("cached_from", "first answer to the same call, if the response cache answered the step"),
    (
        "usage, known_usage",
        "tokens of all calls; usage is null if that of a call is unknown, and known_usage has the others",
    ),
    ("cost_usd", "cost of all calls, or null if the cost of a call is unknown"),
    ("priced_subtotal_usd", "if cost_usd is null, the sum of the known costs"),
    ("unpriced", "ids of the models without a price"),
    ("prompt_sha256", "digest of the rendered prompt"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints the artifact of the step, or one for each item, as it is stored.", &[&FIELDS]))]
pub struct Args {
    #[command(flatten)]
    run: RunName,
    /// Id of the step whose output to print, instead of the answer of the run
    #[arg(long)]
    step: Option<String>,
    /// Print the whole artifact of the step as JSON: its output, attempts, usage and cost
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let run_id = args.run.find(&stack, world).await?;
    let (mut run, _) = Run::find(&stack, &run_id).await?;
    run.look(&stack, world.now(), false).await?;
    let step = match (&args.step, &run.plan) {
        (Some(step), _) => step.clone(),
        (None, Some(plan)) => plan.result.clone(),
        (None, None) => return Err(none(&stack, &run, "the run has no plan")),
    };
    let objects = RunObjects { store: &stack.store, packed: &run.packed };
    let bodies = bodies(&objects, &run, &step).await?;
    if bodies.is_empty() {
        return Err(none(&stack, &run, &format!("step {step} has no output")));
    }
    if args.json {
        for body in &bodies {
            writeln!(out, "{}", String::from_utf8_lossy(body))?;
        }
    } else {
        writeln!(out, "{}", text(&outputs(&step, &bodies)?))?;
    }
    Ok(Exit::Done)
}

/// Reads the artifact of a step, or one artifact per item if the step has `for_each`. Empty if there is none.
async fn bodies(
    store: &(impl GetObject + ListObjects),
    run: &Run,
    step: &str,
) -> Result<Vec<Vec<u8>>, Fault> {
    if let Some(body) = store.get(&run.reference.step_key(step, None)).await? {
        return Ok(vec![body]);
    }
    let items = format!("{}steps/{step}/", run.reference.prefix());
    let count = store.list(&items).await?.len();
    let mut bodies = Vec::new();
    for item in 0..u32::try_from(count).unwrap_or(u32::MAX) {
        bodies.extend(store.get(&run.reference.step_key(step, Some(item))).await?);
    }
    Ok(bodies)
}

fn outputs(step: &str, bodies: &[Vec<u8>]) -> Result<Vec<Output>, Fault> {
    bodies.iter().map(|body| Ok(parse::<StepArtifact>(step, body)?.output)).collect()
}

/// Formats outputs: text unchanged, and JSON indented. Several outputs are formatted as the list that later steps
/// receive.
fn text(outputs: &[Output]) -> String {
    let laid_out = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    match outputs {
        [Output { json: Some(json), .. }] => laid_out(json),
        [Output { text, .. }] => text.trim_end().to_owned(),
        several => laid_out(&several.iter().map(Output::value).collect()),
    }
}

fn none(stack: &Stack, run: &Run, what: &str) -> Failure {
    let show = stack.command(&format!("runs show {}", run.reference.run_id));
    Failure {
        exit: Exit::Failed,
        what: what.to_owned(),
        then: format!("`{show}` shows the steps of the run and their status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bcce_core::fakes::MemoryStore;
    use bcce_core::run::ids::RunRef;
    use serde_json::json;

    const ANSWER: &str = include_str!("../../../events/persist-artifact/answer.json");

    #[tokio::test]
    async fn a_step_has_one_output_or_one_per_item() {
        let run = Run::new(RunRef::first("default", "explain", "42"));
        let key = |step, item| (run.reference.step_key(step, item), ANSWER.as_bytes().to_vec());
        let store =
            MemoryStore::with([key("one", None), key("many", Some(0)), key("many", Some(1))]);
        for (step, expected) in [("one", 1), ("many", 2), ("none", 0)] {
            assert_eq!(bodies(&store, &run, step).await.unwrap().len(), expected, "{step}");
        }
        let outputs = outputs("one", &[ANSWER.as_bytes().to_vec()]).unwrap();
        assert_eq!(text(&outputs), "It opens.");
        let artifact: Value = serde_json::from_str(ANSWER).unwrap();
        assert_eq!(json::undocumented(&artifact, &[&FIELDS]), [""; 0]);
    }

    #[test]
    fn json_is_laid_out_and_several_are_a_list() {
        let of = |json: Option<Value>| Output { text: "t\n".into(), json };
        assert_eq!(text(&[of(None)]), "t");
        assert_eq!(text(&[of(Some(json!({ "a": 1 })))]), "{\n  \"a\": 1\n}");
        assert_eq!(text(&[of(None), of(Some(json!(2)))]), "[\n  \"t\\n\",\n  2\n]");
    }
}
