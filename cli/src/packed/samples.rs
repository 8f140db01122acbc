//! Packed runs for tests, as the stack stores and seals them.

use bcce_core::base::json::add_line;
use bcce_core::batch::BatchRef;
use bcce_core::batch::item::Item;
use bcce_core::batch::manifest::Sums;
use bcce_core::batch::packed::{
    PLAN, PackedPlace, PackedRun, PartManifest, PartOutcome, REQUEST, RunState, tree,
};
use bcce_core::batch::progress::BatchProgress;
use bcce_core::batch::reference::BatchRun;
use bcce_core::fakes::MemoryStore;
use bcce_core::run::artifact::ArtifactRef;
use bcce_core::run::ending::{Ending, ExecutionStatus};
use bcce_core::run::ids::Run;
use bcce_core::run::manifest::Kind;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

pub const STARTED: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);
pub const PART: u32 = 2;
pub const ANSWER: &str = "steps/summarise.answer.json";

/// Returns the key that signs in tests.
pub fn signer() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

pub fn batch(attempt_no: u32) -> BatchRef {
    BatchRef { attempt_no, ..BatchRef::first("default", "code-review", "b") }
}

/// Returns item `n` of the batch.
pub fn item(n: u64) -> Item {
    serde_json::from_value(json!({ "n": n, "line": n, "id": format!("i-{n}"), "inputs": {} }))
        .unwrap()
}

/// Returns the place of item `n` in a batch attempt, which runs it with the same attempt number.
pub fn place(n: u64, attempt_no: u32) -> PackedPlace {
    let batch = batch(attempt_no);
    PackedPlace { run_id: item(n).run(&batch, attempt_no).run_id, attempt_no, batch, part: PART, n }
}

/// Returns the run of item `n` with its request and its plan, before any call.
pub fn planned(n: u64, attempt_no: u32) -> PackedRun {
    let run = Run {
        reference: item(n).run(&batch(attempt_no), attempt_no),
        execution_arn: "arn:batch".into(),
        started_at: STARTED,
    };
    let mut packed = PackedRun::new(n, run);
    packed.add(REQUEST, &json!({ "inputs": {} })).unwrap();
    packed.add(PLAN, &one_step()).unwrap();
    packed
}

/// Returns a run that goes on in a later call of the function.
pub fn started(n: u64, attempt_no: u32) -> PackedRun {
    PackedRun { state: RunState::UnderWay(Vec::new()), ..planned(n, attempt_no) }
}

/// Returns a run that has succeeded.
pub fn succeeded(n: u64, attempt_no: u32) -> PackedRun {
    let mut packed = started(n, attempt_no);
    packed.add(ANSWER, &answer(attempt_no)).unwrap();
    packed.state = over(None);
    packed
}

/// Returns a run that a person has cancelled.
pub fn cancelled(n: u64, attempt_no: u32) -> PackedRun {
    PackedRun { state: over(Some(aborted())), ..started(n, attempt_no) }
}

fn over(ending: Option<Ending>) -> RunState {
    RunState::Over { ended_at: STARTED + time::Duration::seconds(9), fault: None, ending }
}

fn aborted() -> Ending {
    Ending { status: ExecutionStatus::Aborted, at: STARTED, error: None, cause: None }
}

fn one_step() -> Value {
    json!({
        "version": 1, "run_id": "r", "tenant": "default", "workflow": "code-review", "template_sha256": "t",
        "policy_sha256": "p", "prices_date": "2026-10-01", "inputs": {}, "tags": {}, "result": "summarise",
        "timeout": 60, "routes": {}, "takes": {}, "prices": {},
        "steps": [{ "id": "summarise", "model": "haiku", "prompt": "p" }],
        "waves": [{ "steps": [{ "step": "summarise", "route": "r" }] }],
    })
}

fn answer(attempt_no: u32) -> Value {
    let usage = json!({
        "input_tokens": 1204, "output_tokens": 312, "cache_read_tokens": 0, "cache_write_5m_tokens": 0,
        "cache_write_1h_tokens": 0,
    });
    json!({
        "version": 1, "run_id": "r", "attempt_no": attempt_no, "step_id": "summarise", "decisions": [],
        "attempts": [{
            "target": { "region": "us-east-1", "model_id": "us.anthropic.claude-haiku" }, "kind": "first",
            "outcome": "answered", "started_at": "2026-11-01T12:00:01Z", "latency_ms": 1200, "first_token_ms": 300,
            "usage": usage, "cost_usd": "0.00311",
        }],
        "usage": usage, "cost_usd": "0.00311", "unpriced": [], "output": { "text": "It opens.", "json": null },
    })
}

/// Stores a segment of the part.
pub fn store(store: &MemoryStore, attempt_no: u32, segment: u32, runs: &[PackedRun]) {
    let mut lines = Vec::new();
    runs.iter().for_each(|run| add_line(&mut lines, run).unwrap());
    store.objects.borrow_mut().insert(batch(attempt_no).segment_key(PART, segment), lines);
}

/// Stores and seals the part with these runs.
pub fn seal(store: &MemoryStore, attempt_no: u32, runs: &[PackedRun]) {
    self::store(store, attempt_no, 1, runs);
    seal_part(store, attempt_no, PART, runs);
}

/// Seals a part without its segments.
pub fn seal_part(store: &MemoryStore, attempt_no: u32, part: u32, runs: &[PackedRun]) {
    let reference = batch(attempt_no);
    let mut manifests = Vec::new();
    for run in runs {
        add_line(&mut manifests, &run.manifest().unwrap().unwrap()).unwrap();
    }
    let lines = manifests.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let (results, outputs) = (reference.part_results_key(part), reference.part_outputs_key(part));
    let batch = BatchRun {
        reference: reference.clone(),
        execution_arn: "arn:batch".into(),
        started_at: STARTED,
    };
    let manifest = PartManifest::seal(PartOutcome {
        batch: &batch,
        part,
        leaves: lines.map(tree::leaf).collect(),
        results: ArtifactRef::of(results.clone(), b"r\n"),
        outputs: ArtifactRef::of(outputs.clone(), b"o\n"),
        sums: Sums::none(),
        without_budget: 0,
        progress: BatchProgress::default(),
        usage_by_model: vec![],
        usage_by_tags: vec![],
        ended_at: STARTED,
    });
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let signature: Signature = signer().sign(&Kind::Part.message(&bytes));
    store.objects.borrow_mut().extend([
        (results, b"r\n".to_vec()),
        (outputs, b"o\n".to_vec()),
        (reference.part_runs_key(part), manifests),
        (reference.part_manifest_key(part), bytes),
        (reference.part_signature_key(part), signature.to_der().as_bytes().to_vec()),
    ]);
}
