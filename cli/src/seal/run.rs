//! Verifies a run of the stack: the latest run attempt that is sealed, or one of them.

use bcce_core::batch::packed::PackedPlace;
use bcce_core::ledger::RunRecord;
use bcce_core::ports::{FindPlaces, ListObjects};
use bcce_core::run::ids::RunRef;
use bcce_core::run::manifest::Manifest;

use super::key::Known;
use super::packed::inspect_all;
use super::verified::{Sealed, Verified};
use super::{inspect, manifest_attempt, taken_away};
use crate::exit::{Exit, Failure, Outcome};
use crate::references::{placed_run, run_reference};
use crate::stack::{Stack, unknown};

/// Verifies a run. `attempt` is the number of the run attempt, or `None` for the latest that is sealed; `public_key` is
/// a file with the key, or `None` for the key in KMS. `records` are those of its run attempts.
///
/// # Errors
/// There is no such run, it is not sealed, or the key or the objects cannot be read.
pub async fn verified(
    stack: &Stack,
    run_id: &str,
    records: &[RunRecord],
    attempt: Option<u32>,
    public_key: Option<&str>,
) -> Outcome<Verified<Manifest>> {
    let places = stack.ledger.places(run_id).await?;
    let known = records.last().map(run_reference).or_else(|| places.last().map(placed_run));
    let Some(mut run) = known else {
        return Err(unknown(&stack.environment, "run", "runs", run_id));
    };
    let key = Known::find(public_key, stack).await?;
    let packed = inspect_all(&stack.store, &places, &key.key).await?;
    let listed = stack.store.list(&run.prefix()).await?;
    let manifests = listed.iter().filter(|key| key.ends_with(".json"));
    let sealed = manifests.filter_map(|key| manifest_attempt(&run, key));
    run.attempt_no = attempt.or(sealed.chain(packed.keys().copied()).max()).unwrap_or(1);
    let place = places.iter().find(|place| place.attempt_no == run.attempt_no);
    let manifest_key = match place.filter(|_| packed.contains_key(&run.attempt_no)) {
        Some(place) => place.batch.part_runs_key(place.part),
        None => run.manifest_key(),
    };
    let unsealed = places.iter().filter(|place| !packed.contains_key(&place.attempt_no));
    let gone = gone(stack, &run, records, &listed, unsealed).await?;
    let Some(mut report) = inspect(&stack.store, &run, &key.key, packed).await? else {
        return Err(not_sealed(&run, place, gone, |rest| stack.command(rest)));
    };
    report.faults.extend(gone);
    let sealed = report.manifest.as_ref().map(|manifest| Sealed {
        artifacts: manifest.artifacts.len(),
        parts: 0,
        status: manifest.status.as_str(),
        ended_at: manifest.ended_at,
    });
    let (id, attempt_no) = (run.run_id, run.attempt_no);
    Ok(Verified { noun: "run", id, attempt_no, manifest_key, key, report, sealed })
}

/// Returns a fault for each run attempt that has ended according to the ledger and has no manifest. `unsealed` are the
/// places of the packed run attempts without one.
async fn gone(
    stack: &Stack,
    run: &RunRef,
    records: &[RunRecord],
    listed: &[String],
    unsealed: impl Iterator<Item = &PackedPlace>,
) -> Outcome<Vec<String>> {
    let ended = records.iter().filter(|record| record.ended_at.is_some());
    let mut gone = taken_away(run, ended.map(|record| record.attempt_no), listed);
    for PackedPlace { batch, part, .. } in unsealed {
        let batches = stack.ledger.batch_attempts(&batch.batch_id).await?;
        let record = batches.iter().find(|record| record.attempt_no == batch.attempt_no);
        let has_ended = record.is_some_and(|record| record.ended_at.is_some());
        let key = batch.part_manifest_key(*part);
        if has_ended && !stack.store.list(&key).await?.contains(&key) {
            gone.push(format!(
                "{key}: is missing, although its batch has ended according to the ledger"
            ));
        }
    }
    Ok(gone)
}

/// Returns the failure for a run attempt that has no manifest. `gone` are manifests that should exist.
fn not_sealed(
    run: &RunRef,
    place: Option<&PackedPlace>,
    gone: Vec<String>,
    command: impl Fn(&str) -> String,
) -> Failure {
    let (manifest_key, follow) = match place {
        Some(PackedPlace { batch, part, .. }) => {
            let watch = command(&format!("batch status {} --watch", batch.batch_id));
            (batch.part_manifest_key(*part), format!("`{watch}` waits until the batch ends"))
        }
        None => {
            let follow = command(&format!("runs follow {}", run.run_id));
            (run.manifest_key(), format!("`{follow}` waits until the run ends"))
        }
    };
    let none = format!(
        "there is no {manifest_key}: run attempt {} of {} is not sealed",
        run.attempt_no, run.run_id
    );
    Failure { exit: Exit::Failed, what: gone.into_iter().next().unwrap_or(none), then: follow }
}
