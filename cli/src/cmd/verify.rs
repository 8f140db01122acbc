use std::io::Write;

use bcce_core::ports::ListObjects;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::paint::{Ink, Line, render, span};
use crate::references::run_reference;
use crate::seal::key::Known;
use crate::seal::{Report, inspect, manifest_attempt, taken_away};
use crate::stack::Stack;
use crate::values::run_id;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the run, as `bcce runs list` shows it
    #[arg(value_name = "RUN", value_parser = run_id)]
    run: String,
    /// Number of the run attempt to verify [default: the latest that is sealed]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// PEM file with the public key, as `bcce key` prints it; KMS is not called
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
    let mut run = run_reference(&records[records.len() - 1]);
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
            what: format!("there is no {}: this run attempt is not sealed", run.manifest_key()),
            then: format!(
                "`{}` waits until the run ends",
                stack.command(&format!("runs follow {}", run.run_id))
            ),
        });
    };
    report.faults.extend(gone);
    let verified = Verified {
        noun: "run",
        id: &run.run_id,
        attempt_no: run.attempt_no,
        manifest_key: run.manifest_key(),
        key: &key,
        report: &report,
        sealed: report.manifest.as_ref().map(|manifest| Sealed {
            artifacts: manifest.artifacts.len(),
            status: manifest.status.as_str(),
            ended_at: manifest.ended_at,
        }),
    };
    let exit = verified.print(args.json, world, out)?;
    // The objects of a run attempt are in no manifest before it is sealed.
    for attempt in under_way.iter().filter(|_| exit == Exit::Failed && !args.json) {
        writeln!(out, "run attempt {attempt} is under way, and its objects are not sealed yet")?;
    }
    Ok(exit)
}

/// The result of verifying a run or a batch.
pub struct Verified<'a, M> {
    /// The noun for it: `run` or `batch`.
    pub noun: &'static str,
    pub id: &'a str,
    pub attempt_no: u32,
    pub manifest_key: String,
    pub key: &'a Known,
    pub report: &'a Report<M>,
    /// The content of the manifest, if the object is a valid manifest.
    pub sealed: Option<Sealed>,
}

/// The status and the size of a run or a batch, from its manifest.
#[derive(Clone, Copy)]
pub struct Sealed {
    /// The number of artifacts that the manifest lists.
    pub artifacts: usize,
    pub status: &'static str,
    pub ended_at: OffsetDateTime,
}

impl<M> Verified<'_, M> {
    /// Prints the result. Returns [`Exit::Failed`] if there are faults.
    pub fn print(&self, json: bool, world: &World, out: &mut dyn Write) -> Outcome {
        if json {
            let json = serde_json::to_string_pretty(&self.as_json());
            writeln!(out, "{}", json.unwrap_or_default())?;
        } else {
            for line in self.lines() {
                writeln!(out, "{}", render(&line, world.color, usize::MAX))?;
            }
        }
        Ok(if self.report.faults.is_empty() { Exit::Done } else { Exit::Failed })
    }

    fn as_json(&self) -> Value {
        json!({
            (format!("{}_id", self.noun)): self.id,
            "attempt_no": self.attempt_no,
            "manifest": self.manifest_key,
            "manifest_sha256": self.report.manifest_sha256,
            "status": self.sealed.map(|sealed| sealed.status),
            "key": self.key.as_json(),
            "signed": self.report.signed,
            "artifacts": self.report.artifacts_right,
            "verified": self.report.faults.is_empty(),
            "faults": self.report.faults,
        })
    }

    fn lines(&self) -> Vec<Line> {
        let report = self.report;
        let line = |right: bool, text: String| {
            let (ink, mark) = if right { (Ink::Green, "✓ ") } else { (Ink::Red, "✗ ") };
            vec![span(ink, mark), span(Ink::Plain, text)]
        };
        let heading = format!("{}  sha256 {}", self.manifest_key, report.manifest_sha256);
        let mut lines =
            vec![vec![span(Ink::Plain, heading)], vec![span(Ink::Plain, self.key.describe())]];
        if report.signed {
            lines.push(line(true, "signed with ECDSA P-256 by this key".into()));
        }
        if let Some(sealed) = self.sealed {
            let (right, all) = (report.artifacts_right, sealed.artifacts);
            let text = format!(
                "{right} of {} with the listed digest and size",
                figures::plural(all, "artifact")
            );
            lines.push(line(right == all, text));
        }
        lines.extend(report.faults.iter().map(|fault| line(false, fault.clone())));
        lines.push(match (report.faults.len(), self.sealed) {
            (0, Some(sealed)) => line(
                true,
                format!(
                    "verified: {} on {}, nothing changed, nothing added",
                    sealed.status,
                    figures::stamp(sealed.ended_at)
                ),
            ),
            (n, _) => line(false, format!("NOT verified: {}", figures::plural(n, "fault"))),
        });
        lines
    }
}
