//! Keys of every kind, with tenants, workflows and steps that are named like other kinds.

use bcce_core::batch::BatchRef;
use bcce_core::ledger::usage::usage_pk;
use bcce_core::ledger::{
    FINDINGS_KEY, batch_pk, budget_pk, budget_shard_pk, cache_pk, calls_pk, canary_pk, counted_pk,
    counters_pk, packed_pk, part_calls_pk, progress_pk, response_pk, run_piece_key, run_pk,
    slots_pk, target_pk,
};
use bcce_core::run::ids::{ItemOf, RunRef};
use bcce_core::run::slots::Lane;
use time::OffsetDateTime;

pub const TENANTS: [&str; 9] = [
    "default",
    "steps",
    "manifest-1",
    "x-batch-y",
    "bulk-1",
    "parts",
    "refused",
    "results-1",
    "segments-1",
];
const WORKFLOWS: [&str; 10] = [
    "explain",
    "manifest-1",
    "bulk-1",
    "parts",
    "opened-1",
    "request",
    "children-1",
    "x-batch-y",
    "configuration-1",
    "sealed-1",
];
const STEPS: [&str; 5] = ["plan", "request", "manifest-1", "steps", "failures"];
/// Attempt numbers of one and two digits.
const ATTEMPTS: [u32; 2] = [1, 12];

/// A key in S3, and the tenant that it belongs to.
pub struct Key {
    pub tenant: &'static str,
    pub key: String,
}

/// Returns all keys of a kind.
pub fn of(kind: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    for tenant in TENANTS {
        for workflow in WORKFLOWS {
            for attempt_no in ATTEMPTS {
                let run = RunRef { attempt_no, ..RunRef::first(tenant, workflow, "42") };
                let batch = BatchRef { attempt_no, ..BatchRef::first(tenant, workflow, "42") };
                let of_kind = of_run(kind, &run).or_else(|| of_batch(kind, &batch));
                let of_kind = of_kind.or_else(|| of_none(kind, workflow));
                let of_kind = of_kind.unwrap_or_else(|| panic!("no key is a {kind}"));
                keys.extend(of_kind.into_iter().map(|key| Key { tenant, key }));
            }
        }
    }
    keys
}

fn of_run(kind: &str, run: &RunRef) -> Option<Vec<String>> {
    Some(match kind {
        "run: request" => vec![run.request_key()],
        "run: plan" => vec![run.plan_key()],
        "run: answer" => {
            STEPS.map(|it| [run.step_key(it, None), run.step_key(it, Some(3))]).concat()
        }
        "run: failure" => {
            let of = |it| {
                [
                    run.failure_key(it, None),
                    run.failure_key(it, Some(3)),
                    run.record_failure_key(it),
                ]
            };
            STEPS.map(of).concat()
        }
        "run: manifest" => vec![run.manifest_key()],
        "run: signature" => vec![run.signature_key()],
        _ => return None,
    })
}

fn of_batch(kind: &str, batch: &BatchRef) -> Option<Vec<String>> {
    Some(vec![match kind {
        "batch: request" => batch.request_key(),
        "batch: opened" => batch.opened_key(),
        "batch: list of parts" => batch.parts_key(),
        "batch: part" => batch.part_key(7),
        "batch: places" => batch.places_key(7),
        "batch: configuration" => batch.configuration_key(),
        "batch: segment" => batch.segment_key(7, 12),
        "batch: runs of a part" => batch.part_runs_key(7),
        "batch: manifest of a part" => batch.part_manifest_key(7),
        "batch: signature of a part" => batch.part_signature_key(7),
        "batch: refused" => batch.refused_key(12_345),
        "bulk: input" => batch.bulk_input_key(2, 7),
        "bulk: rendered" => batch.rendered_key(7),
        "bulk: jobs" => batch.jobs_key(),
        "bulk: output" => format!("{}abc123/000007.jsonl.out", batch.bulk_output_prefix()),
        "bulk: taken" => batch.taken_key(7),
        "bulk: left" => batch.left_key(7),
        "bulk: sample" => batch.sample_key(),
        "bulk: others" => batch.others_key(7),
        "bulk: parts of the sample" => batch.sample_parts_key(),
        "bulk: parts with leftovers" => batch.leftover_parts_key(),
        "batch: children" => format!("{}/1f0a/SUCCEEDED_0.json", batch.children_prefix()),
        "batch: results of a part" => batch.part_results_key(7),
        "batch: outputs of a part" => batch.part_outputs_key(7),
        "batch: sums of a part" => batch.part_sums_key(7),
        "batch: results" => batch.results_key(),
        "batch: outputs" => batch.outputs_key(),
        "batch: manifest" => batch.manifest_key(),
        "batch: signature" => batch.signature_key(),
        _ => return None,
    }])
}

fn of_none(kind: &str, workflow: &str) -> Option<Vec<String>> {
    Some(vec![match kind {
        "config: workflow" => format!("config/workflows/{workflow}/0a.yaml"),
        "config: of targets" => "config/models/0a.yaml".to_owned(),
        "config: profiles" => "config/profiles/0a.yaml".to_owned(),
        "config: budgets" => "config/budgets/0a.yaml".to_owned(),
        "config: webhook" => "config/webhooks/github/0a.yaml".to_owned(),
        "inbox" => format!("batches/inbox/{workflow}/a.jsonl"),
        "uploads" => "batches/uploads/a.jsonl".to_owned(),
        "anything else" => format!("{workflow}/a.json"),
        _ => return None,
    }])
}

/// Returns the partition key of a kind of item in the ledger, and the attributes that are written.
pub fn of_ledger(kind: &str) -> (String, &'static [&'static str]) {
    let day = OffsetDateTime::UNIX_EPOCH;
    let batch = ItemOf { batch_id: "explain-batch-1".into(), attempt_no: 1 };
    match kind {
        "run record" => (run_pk("explain-1"), &["pk", "sk", "status"]),
        "calls" => (calls_pk("explain-1", 1), &["pk", "sk", "logged_calls"]),
        "committed allowance" => (part_calls_pk(&batch, 1), &["pk", "sk", "committed_amounts"]),
        "committed calls" => (calls_pk("explain-1", 1), &["pk", "sk", "committed_calls"]),
        "counter of a budget" => (budget_pk("day##2026-11-29"), &["pk", "sk", "limit", "revision"]),
        "spending of a budget" => (
            budget_shard_pk("day##2026-11-29", 10),
            &["pk", "sk", "free", "leased", "reserved", "revision", "spent"],
        ),
        "alert of a budget" => {
            (budget_pk("day##2026-11-29"), &["pk", "sk", "alerted_limit", "alerted_percent"])
        }
        "list of counters" => (counters_pk("day", "2026-11-29"), &["pk", "sk", "expires_at"]),
        "batch record" => (batch_pk("explain-batch-1"), &["pk", "sk", "status"]),
        "progress" => (progress_pk(&batch), &["pk", "sk", "succeeded"]),
        "halt" => (progress_pk(&batch), &["pk", "sk", "halted_at", "halted_by", "halted_because"]),
        "stop" => (progress_pk(&batch), &["pk", "sk", "stopped_at"]),
        "part under way" => {
            (progress_pk(&batch), &["pk", "sk", "owned_by", "owned_until", "runs", "rate"])
        }
        "counted part" => (counted_pk(&batch), &["pk", "sk", "ended_at"]),
        "counted piece of a run" => (
            run_piece_key(&RunRef::first("default", "explain", "1"), 0).0,
            &["pk", "sk", "counted"],
        ),
        "place of a packed run" => (packed_pk("explain-1"), &["pk", "sk", "part", "n"]),
        "usage" => (usage_pk(day.date(), "explain-1"), &["pk", "sk", "calls", "tenant"]),
        "canary call" => (canary_pk("us-east-1#m"), &["pk", "sk", "canary_call", "called_at"]),
        "reported findings" => (FINDINGS_KEY.0.to_owned(), &["pk", "sk", "reported", "revision"]),
        "target" => (target_pk("us-east-1#m"), &["pk", "sk", "breaker"]),
        "cache" => (cache_pk("0a"), &["pk", "sk", "until"]),
        "entry of the response cache" => {
            (response_pk("0a"), &["pk", "sk", "response", "expires_at"])
        }
        "slot of a run" => (slots_pk(Lane::Runs, "default"), &["pk", "sk", "weight"]),
        "slot of a batch" => (slots_pk(Lane::Batches, "default"), &["pk", "sk", "weight"]),
        "anything else" => ("else#1".to_owned(), &["pk", "sk", "a"]),
        _ => panic!("no item is a {kind}"),
    }
}
