use std::io::Write;

use bcce_core::ports::ListObjects;
use bcce_core::run::RunRef;
use p256::ecdsa::VerifyingKey;
use serde_json::json;
use time::OffsetDateTime;

use crate::arguments::run_id;
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::paint::{Ink, Line, render, span};
use crate::seal::{Report, inspect, key_of, key_of_pem, manifest_attempt};
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
    /// Check with this PEM file (see `bcce key`) instead of the key in KMS
    #[arg(long, value_name = "FILE")]
    public_key: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let records = stack.records(&args.run).await?;
    let mut run = reference(&records[records.len() - 1]);
    let (key, whose) = key(args.public_key.as_deref(), &stack).await?;
    let listed = stack.store.list(&run.prefix()).await?;
    let latest = listed.iter().filter_map(|key| manifest_attempt(&run, key)).max();
    run.attempt_no = args.attempt.or(latest).unwrap_or(1);
    let Some(report) = inspect(&stack.store, &run, &key).await? else {
        return Err(Failure {
            exit: Exit::Failed,
            what: format!("there is no {}: this attempt is not sealed", run.manifest_key()),
            then: format!(
                "`{}` waits for its end",
                stack.command(&format!("runs follow {}", run.run_id))
            ),
        });
    };
    match args.json {
        true => writeln!(out, "{}", as_json(&run, &report))?,
        false => {
            let sealed = report.manifest.as_ref().map(|manifest| Sealed {
                artifacts: manifest.artifacts.len(),
                status: manifest.status.as_str(),
                ended_at: manifest.ended_at,
                nothing: "nothing changed, nothing added",
            });
            for line in told(&run.manifest_key(), &whose, &report, sealed) {
                writeln!(out, "{}", render(&line, world.color, usize::MAX))?;
            }
        }
    }
    Ok(if report.faults.is_empty() { Exit::Done } else { Exit::Failed })
}

/// The key and what it is called.
pub async fn key(public_key: Option<&str>, stack: &Stack) -> Outcome<(VerifyingKey, String)> {
    let Some(path) = public_key else {
        return Ok((
            key_of(&stack.signing_key.public_key().await?)?,
            stack.outputs.signing_key_arn.clone(),
        ));
    };
    let told = |what: String| Failure::usage(what, "`bcce key` prints the right one");
    let pem = std::fs::read_to_string(path)
        .map_err(|error| told(format!("{path} cannot be read: {error}")))?;
    let key = key_of_pem(&pem)
        .ok_or_else(|| told(format!("{path} is not the PEM of an ECDSA key on P-256")))?;
    Ok((key, path.to_owned()))
}

fn as_json(run: &RunRef, report: &Report) -> String {
    let verified = json!({
        "run_id": run.run_id,
        "attempt_no": run.attempt_no,
        "manifest": run.manifest_key(),
        "manifest_sha256": report.manifest_sha256,
        "status": report.manifest.as_ref().map(|manifest| manifest.status),
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
    whose: &str,
    report: &Report<M>,
    sealed: Option<Sealed>,
) -> Vec<Line> {
    let line = |right: bool, text: String| match right {
        true => vec![span(Ink::Green, "✓ "), span(Ink::Plain, text)],
        false => vec![span(Ink::Red, "✗ "), span(Ink::Plain, text)],
    };
    let heading = format!("{manifest_key}  sha256 {}", report.manifest_sha256);
    let mut lines = vec![vec![span(Ink::Plain, heading)]];
    if report.signed {
        lines.push(line(true, format!("signed with ECDSA P-256 by {whose}")));
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
