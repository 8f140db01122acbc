use std::io::Write;

use bcce_core::ports::ListObjects;
use bcce_core::run::ids::RunRef;
use bcce_core::run::manifest::Manifest;
use serde_json::json;

use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::json::{self, Field};
use crate::lookup::RunName;
use crate::packed::objects::RunObjects;
use crate::paint::{Ink, Line, field, render, span};
use crate::run::Run;
use crate::run::view::fields::{error, previous, started, status};
use crate::run::view::{self, Detail};
use crate::screen::Moment;
use crate::stack::Stack;
use crate::tracked::Tracked;
use crate::world::World;

const FIELDS: [Field; 3] = [
    (
        "records",
        "records of the run attempts, the first one first, with the fields that `bcce runs list` has",
    ),
    ("manifest", "manifest of the latest run attempt, or null before it is sealed"),
    ("place", "for a packed run, its batch, part and number in the batch; otherwise null"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&FIELDS]))]
pub struct Args {
    #[command(flatten)]
    run: RunName,
    /// Print the records of all run attempts and the latest manifest as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let run_id = args.run.find(&stack, world).await?;
    let (mut run, records) = Run::find(&stack, &run_id).await?;
    run.look(&stack, world.now(), true).await?;
    if args.json {
        let place = run.packed_attempt().map(|packed| &packed.place);
        let shown = json!({ "records": records, "manifest": run.manifest, "place": place });
        json::print(&shown, out)?;
        return Ok(Exit::Done);
    }
    let now = world.now();
    let mut lines = summary(&run);
    lines.extend(records.iter().rev().skip(1).map(previous));
    lines.push(vec![]);
    let detail = Detail { width: usize::MAX, attempts: usize::MAX, messages: true };
    lines.extend(view::table(&run, Moment { now, since: now, frame: 0 }, detail));
    lines.extend(view::sum(&run).map(|sum| vec![span(Ink::Plain, sum)]));
    lines.push(vec![]);
    let objects = RunObjects { store: &stack.store, packed: &run.packed };
    let listed = objects.list(&run.reference.prefix()).await?;
    let location = format!("s3://{}/{}", stack.outputs.artifact_bucket, run.attempt().prefix);
    lines.extend(artifacts(&location, &run.reference, run.manifest.as_ref(), &listed));
    for line in lines {
        writeln!(out, "{}", render(&line, world.color, usize::MAX))?;
    }
    Ok(Exit::Done)
}

fn summary(run: &Run) -> Vec<Line> {
    let Some(record) = &run.record else { return Vec::new() };
    let manifest = run.manifest.as_ref();
    let digest = |sha256: &String| format!(", template sha256 {sha256}");
    let template = manifest.and_then(|manifest| manifest.template_sha256.as_ref()).map(digest);
    let mut lines = vec![
        status(run, record),
        field("workflow", format!("{}{}", record.workflow, template.unwrap_or_default())),
        field("tenant", record.tenant.clone()),
        field("request", record.request_id.clone()),
        started(record),
        field("execution", record.execution_arn.clone()),
    ];
    lines.extend(record.trace_id.clone().map(|id| field("trace", id)));
    lines.extend(run.packed_attempt().map(|packed| {
        let (batch_id, place) = (&packed.place.batch.batch_id, &packed.place);
        field("batch", format!("{batch_id}, item {}, packed in part {}", place.n, place.part))
    }));
    lines.extend(manifest.map(paid).into_iter().flatten());
    lines.extend(error(record));
    lines
}

/// Returns the fields for the cost and the tags. The cost has all decimal places, while the table rounds it.
fn paid(manifest: &Manifest) -> Vec<Line> {
    let cost = manifest.totals.cost_usd.map(|cost| format!("${cost}"));
    let cost = cost.unwrap_or_else(|| figures::cost(&manifest.totals));
    let prices =
        manifest.prices_date.map(|date| format!(" at the prices of {date}")).unwrap_or_default();
    let mut lines = vec![field("cost", format!("{cost}{prices}"))];
    if !manifest.unpriced.is_empty() {
        lines.push(field("unpriced", manifest.unpriced.join(", ")));
    }
    let tags: Vec<String> =
        manifest.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if !tags.is_empty() {
        lines.push(field("tags", tags.join(", ")));
    }
    lines
}

/// Lists the artifacts with the sizes and digests of the manifest. Before the run is sealed, only the keys are known.
/// `location` is where they are stored.
fn artifacts(
    location: &str,
    run: &RunRef,
    manifest: Option<&Manifest>,
    listed: &[String],
) -> Vec<Line> {
    let (prefix, sealed) = (run.prefix(), if manifest.is_some() { "" } else { ", not sealed" });
    let mut lines = vec![vec![span(Ink::Dim, format!("artifacts in {location}{sealed}"))]];
    let known = manifest.map(|manifest| manifest.artifacts.as_slice()).unwrap_or_default();
    let names: Vec<&str> = listed.iter().filter_map(|key| key.strip_prefix(&prefix)).collect();
    let width = names.iter().map(|name| name.len()).max().unwrap_or_default();
    for name in names {
        let artifact =
            known.iter().find(|artifact| artifact.key.strip_prefix(&prefix) == Some(name));
        let seal = artifact.map(|artifact| {
            format!("{:>11} bytes  sha256 {}", figures::count(artifact.bytes), artifact.sha256)
        });
        lines.push(vec![
            span(Ink::Plain, format!("  {name:<width$}")),
            span(Ink::Dim, seal.unwrap_or_default()),
        ]);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_listed_below_their_prefix() {
        let run = RunRef::first("default", "explain", "42");
        let lines =
            artifacts("s3://b/k/", &run, None, &[run.plan_key(), run.step_key("answer", None)]);
        let lines: Vec<String> = lines.iter().map(|line| render(line, false, usize::MAX)).collect();
        assert_eq!(lines[0], "artifacts in s3://b/k/, not sealed");
        assert_eq!(lines[1..], ["  plan.json", "  steps/answer.answer.json"]);
    }
}
