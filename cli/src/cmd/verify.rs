use std::io::Write;

use bcce_core::ports::ListObjects;
use bcce_core::run::ids::RunRef;
use serde_json::json;
use time::OffsetDateTime;

use crate::arguments::run_id;
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::paint::{Ink, Line, render, span};
use crate::seal::key::Known;
use crate::seal::{Report, inspect, manifest_attempt, taken_away};
use crate::stack::{Stack, reference};
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the run
    #[arg(value_name = "RUN", value_parser = run_id)]
    run: String,
    /// This attempt instead of the latest that is sealed
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Check with this PEM file (see `bcce key`) and ask KMS for nothing
    #[arg(long, value_name = "FILE")]
    public_key: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let records = stack.records(&args.run).await?;
    let under_way = records.iter().filter(|record| record.ended_at.is_none());
    let under_way: Vec<u32> = under_way.map(|record| record.attempt_no).collect();
    let mut run = reference(&records[records.len() - 1]);
    let key = Known::find(args.public_key.as_deref(), &stack).await?;
    let listed = stack.store.list(&run.prefix()).await?;
    let manifests = listed.iter().filter(|key| key.ends_with(".json"));
    let latest = manifests.filter_map(|key| manifest_attempt(&run, key)).max();
    run.attempt_no = args.attempt.or(latest).unwrap_or(1);
    let ended = records.iter().filter(|record| record.ended_at.is_some());
    let gone = taken_away(&run, ended.map(|record| record.attempt_no), &listed);
    let Some(mut report) = inspect(&stack.store, &run, &key.key).await? else {
        return Err(Failure {
            exit: Exit::Failed,
            what: format!("there is no {}: this attempt is not sealed", run.manifest_key()),
            then: format!(
                "`{}` waits for its end",
                stack.command(&format!("runs follow {}", run.run_id))
            ),
        });
    };
    report.faults.extend(gone);
    match args.json {
        true => writeln!(out, "{}", as_json(&run, &key, &report))?,
        false => {
            let sealed = report.manifest.as_ref().map(|manifest| Sealed {
                artifacts: manifest.artifacts.len(),
                status: manifest.status.as_str(),
                ended_at: manifest.ended_at,
                nothing: "nothing changed, nothing added",
            });
            for line in told(&run.manifest_key(), &key, &report, sealed) {
                writeln!(out, "{}", render(&line, world.color, usize::MAX))?;
            }
            // Until it is sealed, what it writes is in no manifest.
            for attempt in under_way.iter().filter(|_| !report.faults.is_empty()) {
                writeln!(
                    out,
                    "attempt {attempt} is under way, and nothing that it wrote is sealed yet"
                )?;
            }
        }
    }
    Ok(if report.faults.is_empty() { Exit::Done } else { Exit::Failed })
}

fn as_json(run: &RunRef, key: &Known, report: &Report) -> String {
    let verified = json!({
        "run_id": run.run_id,
        "attempt_no": run.attempt_no,
        "manifest": run.manifest_key(),
        "manifest_sha256": report.manifest_sha256,
        "status": report.manifest.as_ref().map(|manifest| manifest.status),
        "key": key.as_json(),
        "signed": report.signed,
        "artifacts": report.artifacts_right,
        "verified": report.faults.is_empty(),
        "faults": report.faults,
    });
    serde_json::to_string_pretty(&verified).unwrap_or_default()
}

/// What a manifest says of what it seals.
#[derive(Clone, Copy)]
pub struct Sealed {
    pub artifacts: usize,
    pub status: &'static str,
    pub ended_at: OffsetDateTime,
    /// What was found not to have happened.
    pub nothing: &'static str,
}

/// `sealed`: as the manifest says, where it is one.
pub fn told<M>(
    manifest_key: &str,
    key: &Known,
    report: &Report<M>,
    sealed: Option<Sealed>,
) -> Vec<Line> {
    let line = |right: bool, text: String| match right {
        true => vec![span(Ink::Green, "✓ "), span(Ink::Plain, text)],
        false => vec![span(Ink::Red, "✗ "), span(Ink::Plain, text)],
    };
    let heading = format!("{manifest_key}  sha256 {}", report.manifest_sha256);
    let mut lines = vec![vec![span(Ink::Plain, heading)], vec![span(Ink::Plain, key.describe())]];
    if report.signed {
        lines.push(line(true, "signed with ECDSA P-256 by this key".into()));
    }
    if let Some(sealed) = sealed {
        let (right, all) = (report.artifacts_right, sealed.artifacts);
        let text = format!(
            "{right} of {} with the digest and size it lists",
            figures::plural(all, "artifact")
        );
        lines.push(line(right == all, text));
    }
    lines.extend(report.faults.iter().map(|fault| line(false, fault.clone())));
    lines.push(match (report.faults.len(), sealed) {
        (0, Some(sealed)) => line(
            true,
            format!(
                "verified: {} on {}, {}",
                sealed.status,
                figures::stamp(sealed.ended_at),
                sealed.nothing
            ),
        ),
        (n, _) => line(false, format!("NOT verified: {}", figures::plural(n, "fault"))),
    });
    lines
}
