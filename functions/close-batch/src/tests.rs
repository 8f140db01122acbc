use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bcce_core::base::digest::{sha256, sha256_hex};
use bcce_core::base::error::ErrorName;
use bcce_core::base::json::to_json;
use bcce_core::batch::{BatchProgress, BatchStatus, Halt, ItemStatus};
use bcce_core::fakes::{MemoryKey, MemoryStore, StoppedClock, now};
use bcce_core::ledger::slots_pk;
use bcce_core::run::ids::ItemOf;
use bcce_core::run::manifest::Kind;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use super::*;

const OPENED: &str = include_str!("../../../events/close-batch/opened.json");
const REFUSED: &str = include_str!("../../../events/close-batch/refused.json");
const ENDED: &str = include_str!("../../../events/close-batch/ended.json");

/// A ledger that closes a batch once, and fails on request.
#[derive(Default)]
struct Records {
    closed: RefCell<Vec<ClosedBatch>>,
    notification_owner: RefCell<Option<String>>,
    halted: RefCell<Option<Halt>>,
    failing: Cell<bool>,
    /// The holders of released slots, in order.
    released: RefCell<Vec<String>>,
}

impl ReleaseSlot for Records {
    async fn release_slot(&self, lane: Lane, tenant: &str, holder: &str) -> Result<(), Fault> {
        self.released.borrow_mut().push(format!("{} {holder}", slots_pk(lane, tenant)));
        Ok(())
    }
}

impl ReadBatchProgress for Records {
    async fn batch_progress(&self, _: &ItemOf, _: OffsetDateTime) -> Result<BatchProgress, Fault> {
        Ok(BatchProgress { halted: self.halted.borrow().clone(), ..BatchProgress::default() })
    }
}

impl CloseBatch for Records {
    async fn close_batch(&self, batch: &ClosedBatch) -> Result<Closed, Fault> {
        if self.failing.replace(false) {
            return Err(Fault::internal("fails on request"));
        }
        self.closed.borrow_mut().push(batch.clone());
        let mut owner = self.notification_owner.borrow_mut();
        if owner.is_some() {
            return Ok(Closed::Before { notification_owner: owner.clone() });
        }
        *owner = Some(batch.notification_owner.clone());
        Ok(Closed::Now)
    }
}

impl TakeBatchOver for Records {
    async fn take_batch_over(&self, _: &BatchRef, from: &str, to: &str) -> Result<bool, Fault> {
        let mut owner = self.notification_owner.borrow_mut();
        let is_expected = owner.as_deref() == Some(from);
        if is_expected {
            *owner = Some(to.to_owned());
        }
        Ok(is_expected)
    }
}

type FakePorts = Ports<MemoryStore, MemoryKey, Records, StoppedClock, Box<dyn Fn(&str)>>;

struct Fakes {
    ports: FakePorts,
    emitted: Rc<RefCell<Vec<String>>>,
}

fn config() -> Config {
    Config {
        environment: "dev".into(),
        bucket: String::new(),
        key_arn: String::new(),
        signing_key_arn: String::new(),
        ledger_table: String::new(),
    }
}

fn batch() -> BatchRun {
    serde_json::from_str::<Request>(OPENED).unwrap().batch
}

fn sums(statuses: &[ItemStatus]) -> Sums {
    let mut sums = Sums::none();
    statuses.iter().for_each(|status| sums.counts.count(*status));
    sums
}

fn fakes(objects: impl IntoIterator<Item = (String, Vec<u8>)>) -> Fakes {
    let emitted = Rc::<RefCell<Vec<String>>>::default();
    let metrics = Rc::clone(&emitted);
    let ports: FakePorts = Ports {
        store: MemoryStore::with(objects),
        signing_key: MemoryKey::default(),
        ledger: Records::default(),
        clock: StoppedClock(datetime!(2026-11-01 12:30 UTC)),
        metrics: Box::new(move |document| metrics.borrow_mut().push(document.to_owned())),
    };
    Fakes { ports, emitted }
}

/// Returns ports with two collected parts whose items have these statuses. The second part has no answers.
fn collected(first: &[ItemStatus], second: &[ItemStatus]) -> Fakes {
    let batch = batch();
    let opened = json!({
        "version": 1, "items": first.len() + second.len(), "rejected": 0, "to_run": first.len() + second.len(),
        "parts": 2, "source": { "uri": "s3://b/k.jsonl", "format": "jsonl", "etag": "e", "bytes": 9 },
        "mode": "on_demand", "because": [], "concurrency": 20, "allowed_failures": 1,
    });
    let parts = format!(
        "{{\"part\":1,\"lines\":{}}}\n{{\"part\":2,\"lines\":{}}}\n",
        first.len(),
        second.len()
    );
    fakes([
        (batch.opened_key(), to_json(&opened).unwrap()),
        (batch.parts_key(), parts.into_bytes()),
        (batch.part_sums_key(1), to_json(&sums(first)).unwrap()),
        (batch.part_sums_key(2), to_json(&sums(second)).unwrap()),
        (batch.part_results_key(1), b"{\"n\":1}\n".to_vec()),
        (batch.part_results_key(2), b"{\"n\":2}\n".to_vec()),
        (batch.part_outputs_key(1), b"{\"output\":1}\n".to_vec()),
    ])
}

fn succeeded() -> Fakes {
    collected(&[ItemStatus::Succeeded, ItemStatus::Succeeded], &[ItemStatus::Succeeded])
}

fn close(fakes: &Fakes, event: &str) -> Result<Response, Fault> {
    now(handle(&fakes.ports, &config(), serde_json::from_str(event).unwrap()))
}

fn manifest(fakes: &Fakes) -> Value {
    fakes.ports.store.json(&batch().manifest_key())
}

fn bytes(fakes: &Fakes, key: &str) -> Vec<u8> {
    fakes.ports.store.objects.borrow()[key].clone()
}

#[test]
fn a_batch_is_sealed_with_its_parts_together_and_signed() {
    let fakes = succeeded();
    let closed = close(&fakes, OPENED).unwrap();
    let (batch, manifest) = (batch(), manifest(&fakes));
    assert_eq!(manifest["status"], "SUCCEEDED");
    assert_eq!(
        (&manifest["counts"]["items"], &manifest["counts"]["succeeded"]),
        (&json!(3), &json!(3))
    );
    for (of, key, body) in [
        ("results", batch.results_key(), "{\"n\":1}\n{\"n\":2}\n"),
        ("outputs", batch.outputs_key(), "{\"output\":1}\n"),
    ] {
        assert_eq!(bytes(&fakes, &key), body.as_bytes());
        let listed =
            json!({ "key": key, "sha256": sha256_hex(body.as_bytes()), "bytes": body.len() });
        assert_eq!(manifest[of], listed);
    }
    let sealed = bytes(&fakes, &batch.manifest_key());
    assert_eq!(bytes(&fakes, &batch.signature_key()), sha256(&Kind::Batch.message(&sealed)));
    assert_eq!(
        closed.manifest,
        ManifestRef { key: batch.manifest_key(), sha256: sha256_hex(&sealed) }
    );
    assert!(closed.should_notify);
    let notification = &closed.notification;
    assert_eq!((notification.status, notification.counts.succeeded), (BatchStatus::Succeeded, 3));
    assert_eq!(notification.manifest_sha256.as_ref(), Some(&closed.manifest.sha256));
}

#[test]
fn a_second_seal_returns_the_first_and_neither_signs_nor_counts_again() {
    let fakes = succeeded();
    let first = close(&fakes, OPENED).unwrap();
    let written = fakes.ports.store.objects.borrow().clone();
    let again = close(&fakes, OPENED).unwrap();
    assert_eq!(again, first, "the notification is still to be sent if the first response was lost");
    assert_eq!(*fakes.ports.store.objects.borrow(), written);
    assert_eq!((fakes.ports.signing_key.signed.get(), fakes.emitted.borrow().len()), (1, 1));
}

/// A forged manifest, garbage, or a signed manifest of another batch at the batch's key is not signed, recorded or
/// notified.
#[test]
fn what_lies_at_the_manifests_key_and_no_sealer_made_is_not_signed() {
    let (honest, key) = (succeeded(), batch().manifest_key());
    close(&honest, OPENED).unwrap();
    let mut forged = manifest(&honest);
    forged["counts"]["failed"] = json!(0);
    let mut other = forged.clone();
    other["batch_id"] = json!("explain-batch-other");
    let other = other.to_string().into_bytes();
    let signature = sha256(&Kind::Batch.message(&other)).to_vec();
    for (body, signature) in [
        (b"garbage".to_vec(), None),
        (forged.to_string().into_bytes(), None),
        (forged.to_string().into_bytes(), Some(signature.clone())),
        (other, Some(signature)),
    ] {
        let fakes = succeeded();
        fakes.ports.store.objects.borrow_mut().insert(key.clone(), body);
        let laid = signature.map(|signature| (key.clone(), signature));
        fakes.ports.store.signatures.borrow_mut().extend(laid);
        let fault = close(&fakes, OPENED).unwrap_err();
        assert!(fault.name == ErrorName::Internal && fault.message.contains(&key), "{fault}");
        assert_eq!(fakes.ports.signing_key.signed.get(), 0);
        assert!(fakes.ports.ledger.closed.borrow().is_empty() && fakes.emitted.borrow().is_empty());
        assert!(!fakes.ports.store.objects.borrow().contains_key(&batch().signature_key()));
    }
}

/// Finalizing a batch whose own execution sealed it returns the first manifest.
#[test]
fn what_was_sealed_before_an_execution_was_stopped_stays() {
    let fakes = succeeded();
    close(&fakes, OPENED).unwrap();
    // The finalize machine has collected the items again.
    let key = batch().part_results_key(1);
    fakes.ports.store.objects.borrow_mut().insert(key, b"{\"n\":1,\"late\":true}\n".to_vec());
    let finalized = close(&fakes, ENDED).unwrap();
    assert_eq!(finalized.notification.status, BatchStatus::Succeeded);
    let results = bytes(&fakes, &batch().results_key());
    assert_eq!(manifest(&fakes)["results"]["sha256"], sha256_hex(&results));
}

/// An execution that ended after it had closed the batch may not have sent the notification.
#[test]
fn the_finalize_machine_notifies_in_the_place_of_the_execution_that_ended() {
    let fakes = succeeded();
    assert!(close(&fakes, OPENED).unwrap().should_notify);
    assert!(close(&fakes, ENDED).unwrap().should_notify);
    assert!(close(&fakes, ENDED).unwrap().should_notify, "its own first response was lost");
    let another = ENDED.replace("-finalize:", "-finalize:by-hand-");
    assert!(!close(&fakes, &another).unwrap().should_notify, "it has been taken over");
    assert_eq!(fakes.emitted.borrow().len(), 1);
}

#[test]
fn a_batch_that_is_finalized_twice_is_notified_once() {
    let fakes = succeeded();
    assert!(close(&fakes, ENDED).unwrap().should_notify);
    assert!(
        !close(&fakes, &ENDED.replace("-finalize:", "-finalize:by-hand-")).unwrap().should_notify
    );
}

#[test]
fn whatever_fails_a_retry_finishes() {
    let whole = succeeded();
    close(&whole, OPENED).unwrap();
    let mut failures = 0;
    loop {
        let fakes = succeeded();
        fakes.ports.store.failing.set(failures + 1);
        let Err(fault) = close(&fakes, OPENED) else { break };
        assert_eq!(fault.name, ErrorName::Internal);
        assert!(fakes.ports.ledger.closed.borrow().is_empty() && fakes.emitted.borrow().is_empty());
        assert!(close(&fakes, OPENED).unwrap().should_notify);
        assert_eq!(*fakes.ports.store.objects.borrow(), *whole.ports.store.objects.borrow());
        failures += 1;
    }
    // The calls that can fail read the missing manifest, what was opened, the parts and two sums, and write the
    // results, the outputs, the manifest and the signature.
    assert_eq!(failures, 9);
    let fakes = succeeded();
    fakes.ports.ledger.failing.set(true);
    assert!(close(&fakes, OPENED).is_err());
    assert!(close(&fakes, OPENED).unwrap().should_notify);
    assert_eq!(fakes.ports.signing_key.signed.get(), 1);
}

#[test]
fn a_part_that_was_not_collected_costs_no_other_its_results() {
    let fakes = succeeded();
    fakes.ports.store.objects.borrow_mut().remove(&batch().part_sums_key(2));
    close(&fakes, OPENED).unwrap();
    let manifest = manifest(&fakes);
    assert_eq!(
        (&manifest["status"], &manifest["counts"]["running"]),
        (&json!("FAILED"), &json!(1))
    );
    assert_eq!(
        (&manifest["counts"]["succeeded"], &manifest["totals"]["cost_usd"]),
        (&json!(2), &Value::Null)
    );
    let message = manifest["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("the results of 1 parts could not be collected"), "{message}");
}

/// The results of a packed part are stored before it is sealed. Until then its runs are not counted.
#[test]
fn a_packed_part_counts_when_it_is_sealed() {
    let fakes = succeeded();
    let mut opened = fakes.ports.store.json(&batch().opened_key());
    opened["way"] = json!("packed");
    let sums = sums(&[ItemStatus::Succeeded; 2]);
    let part = json!({
        "version": 1, "kind": "part", "batch_id": "b", "attempt_no": 1, "part": 1, "execution_arn": "a",
        "tenant": "default", "workflow": "explain", "ended_at": "2026-11-01T12:00:00Z", "runs": 2, "root": "r",
        "results": { "key": "k", "sha256": "s", "bytes": 1 }, "outputs": { "key": "k", "sha256": "s", "bytes": 1 },
        "progress": BatchProgress::default(), "usage_by_model": [],
    });
    let mut part = part.as_object().unwrap().clone();
    part.extend(serde_json::to_value(sums).unwrap().as_object().unwrap().clone());
    let mut objects = fakes.ports.store.objects.borrow_mut();
    objects.insert(batch().opened_key(), to_json(&opened).unwrap());
    objects.insert(batch().part_manifest_key(1), to_json(&part).unwrap());
    drop(objects);
    close(&fakes, OPENED).unwrap();
    let manifest = manifest(&fakes);
    let counts = &manifest["counts"];
    assert_eq!((&counts["succeeded"], &counts["running"]), (&json!(2), &json!(1)), "{manifest}");
    assert_eq!(bytes(&fakes, &batch().results_key()), b"{\"n\":1}\n", "not those of part 2");
}

#[test]
fn a_batch_that_was_refused_is_sealed_with_the_reason() {
    let fakes = fakes([]);
    let closed = close(&fakes, REFUSED).unwrap();
    let manifest = manifest(&fakes);
    assert_eq!(
        (&manifest["status"], &manifest["opened"], &manifest["results"]),
        (&json!("FAILED"), &Value::Null, &Value::Null)
    );
    assert_eq!(
        manifest["error"]["message"],
        "batch.source: has no items; give a source with at least one"
    );
    assert_eq!(closed.notification.error.unwrap().name, ErrorName::InvalidRequest);
    assert!(fakes.ports.store.objects.borrow().contains_key(&batch().signature_key()));
}

#[test]
fn the_status_of_an_execution_that_ended_badly_decides_the_batchs() {
    let status = |ended: &str| {
        let fakes = collected(&[ItemStatus::Succeeded], &[ItemStatus::Skipped]);
        close(&fakes, &ENDED.replace("ABORTED", ended)).unwrap();
        let manifest = manifest(&fakes);
        (
            manifest["status"].clone(),
            manifest["error"]["message"].clone(),
            manifest["counts"]["succeeded"].clone(),
        )
    };
    assert_eq!(status("ABORTED"), (json!("CANCELLED"), Value::Null, json!(1)));
    let late = json!("the execution timed out");
    assert_eq!(status("TIMED_OUT"), (json!("FAILED"), late, json!(1)));
    let broken = json!("the execution ended before the batch was sealed");
    assert_eq!(status("FAILED"), (json!("FAILED"), broken, json!(1)));
}

#[test]
fn a_map_that_failed_is_reported_by_its_error_name() {
    let fakes = collected(&[ItemStatus::Succeeded], &[ItemStatus::Skipped]);
    let mut event: Value = serde_json::from_str(OPENED).unwrap();
    event["broken"] = json!({ "Error": "States.ItemReaderFailed", "Cause": "the whole state" });
    let error = close(&fakes, &event.to_string()).unwrap().notification.error.unwrap();
    let message = "a Map state of the execution failed: States.ItemReaderFailed";
    assert_eq!((error.name, error.message.as_str()), (ErrorName::Internal, message));
    assert_eq!(manifest(&fakes)["counts"]["succeeded"], 1);
}

#[test]
fn more_failures_than_may_be_fail_the_batch_and_keep_what_succeeded() {
    use ItemStatus::{Failed, Skipped, Succeeded};
    let fakes = collected(&[Succeeded, Failed], &[Failed, Skipped]);
    let closed = close(&fakes, OPENED).unwrap();
    let error = closed.notification.error.unwrap();
    assert_eq!(error.name, ErrorName::TooManyFailures);
    assert_eq!(error.message, "2 of 4 items failed (limit: 1); 1 were not started");
    assert_eq!(bytes(&fakes, &batch().outputs_key()), b"{\"output\":1}\n");
    let fakes = collected(&[Succeeded, Failed], &[Succeeded]);
    assert_eq!(close(&fakes, OPENED).unwrap().notification.status, BatchStatus::Partial);
}

/// The share of failures halted the batch before the number of failures exceeded the limit.
#[test]
fn a_batch_that_was_halted_failed_for_that_reason() {
    let fakes = collected(&[ItemStatus::Succeeded, ItemStatus::Failed], &[ItemStatus::Skipped]);
    let at = datetime!(2026-11-01 12:10 UTC);
    let halt = Halt { at, because: "50 of the first 60 items failed".into() };
    *fakes.ports.ledger.halted.borrow_mut() = Some(halt);
    let error = close(&fakes, OPENED).unwrap().notification.error.unwrap();
    let message = "50 of the first 60 items failed; 1 were not started";
    assert_eq!((error.name, error.message.as_str()), (ErrorName::TooManyFailures, message));
}

/// The runs on demand succeed at twice the price, so without a metric the fault would go unnoticed.
#[test]
fn a_job_that_somebody_has_to_fix_is_counted() {
    let with_jobs = |jobs: Value| {
        let fakes = succeeded();
        let mut objects = fakes.ports.store.objects.borrow_mut();
        let mut opened: Value = serde_json::from_slice(&objects[&batch().opened_key()]).unwrap();
        let target = json!({ "region": "us-east-1", "model_id": "us.anthropic.claude" });
        opened["bulk"] = json!({ "target": target, "cut_off": "2026-11-01T13:00:00Z" });
        objects.insert(batch().opened_key(), to_json(&opened).unwrap());
        let jobs = json!({ "version": 1, "started_at": "2026-11-01T12:00:00Z", "jobs": jobs });
        objects.insert(batch().jobs_key(), to_json(&jobs).unwrap());
        drop(objects);
        close(&fakes, OPENED).unwrap();
        fakes.emitted.take()
    };
    let job = |status: &str| json!({ "job": 1, "arn": "arn", "status": status, "given": 100, "records": {}, "message": "m" });
    assert_eq!(with_jobs(json!([job("Completed"), job("Stopped"), job("Expired")])).len(), 1);
    let refused = json!({
        "job": 2, "arn": null, "status": null, "is_refused": true, "given": 100, "records": {},
        "message": "AccessDeniedException: no",
    });
    let emitted = with_jobs(json!([job("Failed"), refused]));
    let document: Value = serde_json::from_str(&emitted[1]).unwrap();
    assert_eq!(
        (&document["BulkJobsAtFault"], &document["Environment"]),
        (&json!(2), &json!("dev"))
    );
    let because = ["job 1 is Failed: m", "job 2 was not started: AccessDeniedException: no"];
    assert_eq!(document["because"], json!(because));
    let mut sampled = job("Completed");
    sampled["leftovers"] = json!({ "processed": 100, "failed": 99, "left": 99, "verdict": "on_demand", "sample": { "items": 10, "answered": 10, "failed": 0 } });
    let emitted = with_jobs(json!([sampled]));
    assert!(emitted[1].contains("99 of 100 records failed"), "{emitted:?}");
}

/// The embedded metric format requires that each declared metric and dimension is a member of the document.
#[test]
fn the_metrics_are_those_of_the_manifest() {
    let fakes = collected(&[ItemStatus::Succeeded, ItemStatus::Rejected], &[ItemStatus::Failed]);
    close(&fakes, OPENED).unwrap();
    let document: Value = serde_json::from_str(&fakes.emitted.borrow()[0]).unwrap();
    let directive = &document["_aws"]["CloudWatchMetrics"][0];
    let metrics = directive["Metrics"].as_array().unwrap();
    assert!(metrics.iter().all(|metric| document[metric["Name"].as_str().unwrap()].is_number()));
    assert_eq!(
        (&document["Environment"], &document["Workflow"]),
        (&json!("dev"), &json!("explain"))
    );
    assert_eq!((&document["BatchesPartial"], &document["BatchesFailed"]), (&json!(1), &json!(0)));
    assert_eq!((&document["BatchItems"], &document["BatchItemsFailed"]), (&json!(3), &json!(1)));
    assert_eq!(
        (&document["BatchItemsRejected"], &document["BatchDuration"]),
        (&json!(1), &json!(1_800.0))
    );
}

#[test]
fn a_batch_releases_its_slot_when_it_is_closed() {
    let fakes = succeeded();
    close(&fakes, OPENED).unwrap();
    let slot = format!("slot#default#batches {}", batch().execution_name());
    assert_eq!(*fakes.ports.ledger.released.borrow(), [slot]);
}

/// A sender may have written any workflow name.
#[test]
fn a_batch_that_was_refused_makes_no_metric_of_its_workflow() {
    let fakes = fakes([]);
    close(&fakes, REFUSED).unwrap();
    let document: Value = serde_json::from_str(&fakes.emitted.borrow()[0]).unwrap();
    assert_eq!(document["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["Environment"]]));
    assert_eq!(document.get("Workflow"), None);
}
