use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};
use time::Date;

use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::json::{self, Field};
use crate::metrics::period::Period;
use crate::metrics::table::{Row, Table};
use crate::metrics::{print, usage_of};
use crate::paint::{Ink, Line, span};
use crate::stack::Stack;
use crate::workflows::json::{LISTED, listed, models};
use crate::workflows::{Place, Source, Workflow};
use crate::world::World;

/// The characters of a digest that tell the versions of a workflow apart.
const DIGITS: usize = 12;

const FIELDS: [Field; 4] = [
    ("place", "environment or directory"),
    ("since", "first day of the runs that are counted, or null for a directory"),
    ("workflows", "list of workflows, ordered by name, with the fields that follow"),
    ("runs", "number of runs that were sealed since the day `since`, or null for a directory"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&FIELDS, &LISTED]))]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The runs of each workflow since a day.
#[derive(Debug)]
struct Runs {
    since: Date,
    by_workflow: BTreeMap<String, u64>,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let place = args.source.open(world).await?;
    let workflows = place.all().await?;
    let runs = match &place {
        Place::Stack(stack) => Some(counted(stack, world).await?),
        Place::Directory(..) => None,
    };
    if args.json {
        json::print(&as_json(&place.name(), &workflows, runs.as_ref()), out)?;
    } else {
        print::lines(&lines(&place.name(), &workflows, runs.as_ref()), world, out)?;
    }
    Ok(Exit::Done)
}

async fn counted(stack: &Stack, world: &World) -> Outcome<Runs> {
    let today = world.now().date();
    let since = today.previous_day().unwrap_or(Date::MIN);
    let mut by_workflow = BTreeMap::new();
    let days = usage_of(&stack.ledger, Period { from: since, to: today }).await?;
    for counted in days.into_iter().flat_map(|day| day.runs) {
        let runs = counted.runs;
        *by_workflow.entry(counted.allocation.workflow).or_default() +=
            runs.succeeded + runs.failed + runs.cancelled;
    }
    Ok(Runs { since, by_workflow })
}

impl Runs {
    fn of(&self, workflow: &Workflow) -> u64 {
        self.by_workflow.get(&workflow.name).copied().unwrap_or_default()
    }
}

fn as_json(place: &str, workflows: &[Workflow], runs: Option<&Runs>) -> Value {
    let entry = |workflow: &Workflow| {
        let mut entry = listed(workflow);
        entry["runs"] = json!(runs.map(|runs| runs.of(workflow)));
        entry
    };
    let since = runs.map(|runs| runs.since.to_string());
    let workflows: Vec<Value> = workflows.iter().map(entry).collect();
    json!({ "place": place, "since": since, "workflows": workflows })
}

fn lines(place: &str, workflows: &[Workflow], runs: Option<&Runs>) -> Vec<Line> {
    if workflows.is_empty() {
        let text =
            format!("{place} has no workflows; `bcce config push DIR` writes those of a directory");
        return vec![vec![span(Ink::Plain, text)]];
    }
    let mut headings = vec!["workflow", "version", "models", "pushed", "steps"];
    headings.extend(runs.map(|_| "runs"));
    let table = Table {
        headings: headings.into_iter().map(str::to_owned).collect(),
        texts: 4,
        rows: workflows.iter().map(|workflow| row(workflow, runs)).collect(),
    };
    let mut lines = table.lines(None);
    let broken = workflows.iter().filter_map(|workflow| {
        let cause = workflow.template.as_ref().err()?;
        Some(vec![span(Ink::Red, format!("{} is invalid: {cause}", workflow.name))])
    });
    lines.extend(broken);
    lines.extend(runs.map(|runs| {
        vec![span(
            Ink::Dim,
            format!("Runs that were sealed since {} 00:00Z are counted.", runs.since),
        )]
    }));
    lines
}

fn row(workflow: &Workflow, runs: Option<&Runs>) -> Row {
    let template = workflow.template.as_ref().ok();
    let version = workflow.sha256.as_ref().and_then(|sha256| sha256.get(..DIGITS));
    let aliases = template.map(|template| Vec::from_iter(models(template)).join(", "));
    let cells = [
        workflow.name.clone(),
        version.unwrap_or("-").to_owned(),
        aliases.unwrap_or_else(|| "invalid".into()),
        workflow.pushed_at.map_or_else(|| "-".into(), figures::stamp),
        template.map_or_else(|| "-".into(), |template| template.steps.len().to_string()),
    ];
    let runs = runs.map(|runs| figures::count(runs.of(workflow)));
    Row::plain(cells.into_iter().chain(runs))
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::paint::render;
    use crate::workflows::tests::{broken, explain};

    fn runs() -> Runs {
        let by_workflow = [("explain".to_owned(), 1_204)].into();
        Runs { since: date!(2026 - 11 - 29), by_workflow }
    }

    fn shown(workflows: &[Workflow], runs: Option<&Runs>) -> Vec<String> {
        let lines = lines("dev", workflows, runs);
        lines.iter().map(|line| render(line, false, usize::MAX)).collect()
    }

    #[test]
    fn a_broken_workflow_does_not_hide_the_others() {
        let workflows = [broken(), explain()];
        let lines = shown(&workflows, Some(&runs()));
        let expected = [
            "workflow  version       models   pushed                steps   runs",
            "broken    -             invalid  -                         -      0",
        ];
        assert_eq!(lines[..2], expected);
        assert!(lines[2].starts_with("explain   "), "{}", lines[2]);
        assert!(
            lines[2].ends_with("  haiku    2026-11-01 12:00:00Z      1  1,204"),
            "{}",
            lines[2]
        );
        assert_eq!(lines[3], "broken is invalid: uri: there is no config/x");
        assert_eq!(lines[4], "Runs that were sealed since 2026-11-29 00:00Z are counted.");
    }

    #[test]
    fn a_directory_has_no_runs_and_an_empty_place_says_what_to_do() {
        let lines = shown(&[explain()], None);
        assert!(lines.len() == 2 && !lines[0].contains("runs"), "{lines:?}");
        assert!(shown(&[], None)[0].starts_with("dev has no workflows; `bcce config push DIR`"));
    }

    #[test]
    fn the_fields_of_the_list_are_documented() {
        let json = as_json("dev", &[explain(), broken()], Some(&runs()));
        assert_eq!(json::undocumented(&json, &[&FIELDS]), [""; 0]);
        assert_eq!(json::undocumented(&json["workflows"][0], &[&FIELDS, &LISTED]), [""; 0]);
        assert_eq!(
            (&json["workflows"][0]["runs"], &json["since"]),
            (&json!(1_204), &json!("2026-11-29"))
        );
        assert_eq!(json["workflows"][1]["error"], "uri: there is no config/x");
        assert_eq!(as_json("dev", &[explain()], None)["workflows"][0]["runs"], Value::Null);
    }
}
