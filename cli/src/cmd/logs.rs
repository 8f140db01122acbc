use std::io::Write;
use std::ops::RangeInclusive;

use bcce_core::ledger::RunRecord;
use bcce_core::ports::FindPlaces;
use time::{Duration, OffsetDateTime};

use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::json::{self, Field};
use crate::logs::line::{Entry, Level, Subject};
use crate::logs::{FUNCTIONS, Merged, Source, merge, sources};
use crate::lookup::RunName;
use crate::paint::render;
use crate::run::Run;
use crate::stack::Stack;
use crate::terminal::note;
use crate::world::World;

/// The time before the start and after the end of a run whose lines are read too. Before the start, a webhook requests
/// the run and dispatch starts it. After the end, the run is counted.
const MARGIN: Duration = Duration::minutes(15);

const FIELDS: [Field; 3] = [
    ("at", "time of the line"),
    ("function", "function that wrote it, or null"),
    ("line", "what the function wrote: level, message and ids, or a string if that is not JSON"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints a line of JSON for each line of the logs.", &[&FIELDS]))]
pub struct Args {
    #[command(flatten)]
    run: RunName,
    /// Print only lines of this level or a more severe one
    #[arg(long, value_name = "LEVEL")]
    level: Option<Level>,
    /// Maximum number of lines to print; the oldest are printed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Print a JSON object for each line: `at`, `function`, and `line` as the function wrote it
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let run_id = args.run.find(&stack, world).await?;
    let (_, records) = Run::find(&stack, &run_id).await?;
    let places = stack.ledger.places(&run_id).await?;
    let subject = Subject { run_id: &run_id, places: places.iter().collect() };
    let batches_end = batches_end(&stack, &subject, world.now()).await?;
    let period = period(&records, batches_end, world.now());
    let page = async |source: &Source, next: Option<String>| {
        let group = group(&stack, source.function);
        stack.logs.page(&group, &source.term, &period, next).await
    };
    let mut printed = 0;
    let merged = merge(sources(&subject.terms()), page, |source, line| {
        let entry = Entry::new(line);
        // Lambda's own lines have no level.
        let is_severe = args.level.is_none_or(|least| entry.level().is_some_and(|l| l <= least));
        if !is_severe || !subject.has(&entry, &source.term) {
            return Ok(true);
        }
        if args.limit == Some(printed) {
            return Ok(false);
        }
        printed += 1;
        match args.json {
            true => writeln!(out, "{}", entry.json(source.function))?,
            false => {
                writeln!(out, "{}", render(&entry.line(source.function), world.color, usize::MAX))?
            }
        }
        Ok(true)
    });
    let merged = merged.await?;
    out.flush()?;
    notes(&merged, printed, &run_id, &period, &group(&stack, ""))
        .iter()
        .for_each(|line| note(line));
    Ok(Exit::Done)
}

/// Returns the name of the log group of a function.
fn group(stack: &Stack, function: &str) -> String {
    format!("/aws/lambda/{}-{function}", stack.outputs.stack)
}

/// Returns the time at which the last batch ended that packed the run, or `now` if one has not ended.
async fn batches_end(
    stack: &Stack,
    subject: &Subject<'_>,
    now: OffsetDateTime,
) -> Outcome<Option<OffsetDateTime>> {
    let mut last = None;
    for batch in subject.places.iter().map(|place| &place.batch) {
        let records = stack.ledger.batch_attempts(&batch.batch_id).await?;
        let record = records.into_iter().find(|record| record.attempt_no == batch.attempt_no);
        last = last.max(Some(record.and_then(|record| record.ended_at).unwrap_or(now)));
    }
    Ok(last)
}

/// Returns the period in which functions wrote lines of a run. `batches_end` is the end of the batches that packed it.
fn period(
    records: &[RunRecord],
    batches_end: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> RangeInclusive<OffsetDateTime> {
    let from = records.iter().map(|record| record.started_at).min().unwrap_or(now) - MARGIN;
    let ends = records.iter().map(|record| record.ended_at.unwrap_or(now));
    let end = ends.chain(batches_end).max().unwrap_or(now) + MARGIN;
    from..=end.min(now)
}

/// Returns what to say besides the lines. `prefix` is that of the names of the log groups.
fn notes(
    merged: &Merged,
    printed: u32,
    run_id: &str,
    period: &RangeInclusive<OffsetDateTime>,
    prefix: &str,
) -> Vec<String> {
    let mut notes = Vec::new();
    let names = |functions: &[&str]| functions.join(", ");
    if printed == 0 {
        let [from, until] = [period.start(), period.end()].map(|at| figures::stamp(*at));
        notes.push(format!(
            "note: no such log lines of {run_id} from {from} to {until} in {prefix}<function> of {}; log lines are kept \
             for LogRetentionDays, a parameter of the template",
            names(&FUNCTIONS)
        ));
    }
    if !merged.missing.is_empty() {
        let missing: Vec<&str> = merged.missing.iter().copied().collect();
        notes.push(format!(
            "note: these functions have no log group {prefix}<function>: {}",
            names(&missing)
        ));
    }
    if merged.is_cut {
        notes.push("note: there are more lines; --limit prints more".into());
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use bcce_core::run::notification::RunStatus;

    use crate::run::samples::{STARTED, record};

    #[test]
    fn the_period_has_all_attempts_and_ends_now_while_one_is_running() {
        let now = STARTED + Duration::DAY;
        let first = RunRecord {
            ended_at: Some(STARTED + Duration::MINUTE),
            ..record(1, RunStatus::Failed).unwrap()
        };
        let ended = period(std::slice::from_ref(&first), None, now);
        assert_eq!(ended, STARTED - MARGIN..=STARTED + Duration::MINUTE + MARGIN);
        let packed = period(std::slice::from_ref(&first), Some(STARTED + Duration::HOUR), now);
        assert_eq!(*packed.end(), STARTED + Duration::HOUR + MARGIN);
        let running = period(&[first, record(2, RunStatus::Running).unwrap()], None, now);
        assert_eq!(running, STARTED - MARGIN..=now);
    }

    #[test]
    fn without_lines_it_says_where_it_looked_and_how_long_lines_are_kept() {
        let period = STARTED..=STARTED + Duration::HOUR;
        let merged = Merged { missing: BTreeSet::from(["webhook"]), is_cut: false };
        let all = notes(&merged, 0, "explain-1", &period, "/aws/lambda/bcce-").join("\n");
        for part in [
            "from 2026-11-01 12:00:00Z to 2026-11-01 13:00:00Z in /aws/lambda/bcce-<function> of webhook, dispatch,",
            "LogRetentionDays",
            "no log group /aws/lambda/bcce-<function>: webhook",
        ] {
            assert!(all.contains(part), "{all}");
        }
        let merged = Merged { missing: BTreeSet::new(), is_cut: true };
        let cut = notes(&merged, 2, "explain-1", &period, "");
        assert_eq!(cut, ["note: there are more lines; --limit prints more"]);
    }
}
