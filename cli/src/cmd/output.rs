use std::io::Write;

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::call::answer::Output;
use bcce_core::ports::{GetObject, ListObjects};
use bcce_core::run::artifact::StepArtifact;
use serde_json::Value;

use crate::arguments::run_id;
use crate::exit::{Exit, Failure, Outcome};
use crate::follow::look;
use crate::progress::Progress;
use crate::stack::{Stack, reference};
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the run
    #[arg(value_name = "RUN", value_parser = run_id)]
    run: String,
    /// The output of this step instead of the run's answer
    #[arg(long)]
    step: Option<String>,
    /// Print the step's whole artifact: its output, attempts, usage and cost
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let records = stack.records(&args.run).await?;
    let mut progress = Progress::new(reference(&records[records.len() - 1]));
    look(&stack, &mut progress, false).await?;
    let step = match (&args.step, &progress.plan) {
        (Some(step), _) => step.clone(),
        (None, Some(plan)) => plan.result.clone(),
        (None, None) => return Err(none(&stack, &progress, "the run has no plan")),
    };
    let bodies = bodies(&stack.store, &progress, &step).await?;
    if bodies.is_empty() {
        return Err(none(&stack, &progress, &format!("step {step} has no output")));
    }
    match args.json {
        true => writeln!(
            out,
            "{}",
            bodies.iter().map(|body| String::from_utf8_lossy(body)).collect::<Vec<_>>().join("\n")
        )?,
        false => writeln!(out, "{}", text(&outputs(&step, &bodies)?))?,
    }
    Ok(Exit::Done)
}

/// One artifact, or one per item where the step fans out.
async fn bodies(
    store: &(impl GetObject + ListObjects),
    progress: &Progress,
    step: &str,
) -> Result<Vec<Vec<u8>>, Fault> {
    if let Some(body) = store.get(&progress.run.step_key(step, None)).await? {
        return Ok(vec![body]);
    }
    let items = format!("{}steps/{step}/", progress.run.prefix());
    let count = store.list(&items).await?.len();
    let mut bodies = Vec::new();
    for item in 0..u32::try_from(count).unwrap_or(u32::MAX) {
        bodies.extend(store.get(&progress.run.step_key(step, Some(item))).await?);
    }
    Ok(bodies)
}

fn outputs(step: &str, bodies: &[Vec<u8>]) -> Result<Vec<Output>, Fault> {
    bodies.iter().map(|body| Ok(parse::<StepArtifact>(step, body)?.output)).collect()
}

/// Text as it is, JSON laid out; several outputs as the list that later steps see.
fn text(outputs: &[Output]) -> String {
    let laid_out = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    match outputs {
        [Output { json: Some(json), .. }] => laid_out(json),
        [Output { text, .. }] => text.trim_end().to_owned(),
        several => laid_out(&several.iter().map(Output::value).collect()),
    }
}

fn none(stack: &Stack, progress: &Progress, what: &str) -> Failure {
    let show = stack.command(&format!("runs show {}", progress.run.run_id));
    Failure {
        exit: Exit::Failed,
        what: what.to_owned(),
        then: format!("`{show}` tells how far it came, and its steps"),
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
        let progress = Progress::new(RunRef::first("default", "explain", "42"));
        let key = |step, item| (progress.run.step_key(step, item), ANSWER.as_bytes().to_vec());
        let store =
            MemoryStore::with([key("one", None), key("many", Some(0)), key("many", Some(1))]);
        for (step, expected) in [("one", 1), ("many", 2), ("none", 0)] {
            assert_eq!(bodies(&store, &progress, step).await.unwrap().len(), expected, "{step}");
        }
        let outputs = outputs("one", &[ANSWER.as_bytes().to_vec()]).unwrap();
        assert_eq!(text(&outputs), "It opens.");
    }

    #[test]
    fn json_is_laid_out_and_several_are_a_list() {
        let of = |json: Option<Value>| Output { text: "t\n".into(), json };
        assert_eq!(text(&[of(None)]), "t");
        assert_eq!(text(&[of(Some(json!({ "a": 1 })))]), "{\n  \"a\": 1\n}");
        assert_eq!(text(&[of(None), of(Some(json!(2)))]), "[\n  \"t\\n\",\n  2\n]");
    }
}
