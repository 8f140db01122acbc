//! Batches for tests, with the results and the manifests that they leave.

use bcce_core::base::json::add_line;
use bcce_core::batch::manifest::Sums;
use bcce_core::batch::{BatchManifest, BatchStatus, ItemResult, ItemStatus, Way};
use bcce_core::fakes::{MemorySources, MemoryStore};
use bcce_core::run::artifact::ArtifactRef;
use bcce_core::run::manifest::Manifest;
use serde_json::json;
use time::Duration;

use super::Report;
use super::read::items;
use crate::batch::Batch;
use crate::batch::samples::{STARTED, manifest, opened, record, under_way};
use crate::metrics::platform::PlatformPrices;
use crate::report::seal::Seal;

pub const BUCKET: &str = "bucket";

/// A run of a batch, as a test describes it.
#[derive(Clone)]
pub struct Made<'a> {
    pub id: &'a str,
    pub took_ms: i64,
    /// The cost in USD. `None` if it is unknown.
    pub cost: Option<&'a str>,
    /// The calls that failed, before the one that answered, if one did.
    pub failed_calls: u64,
    /// The error of the run, if it failed.
    pub error: Option<(&'a str, &'a str)>,
    pub truncated: u64,
}

impl<'a> Made<'a> {
    pub fn answered(id: &'a str, took_ms: i64, cost: &'a str) -> Self {
        Self { id, took_ms, cost: Some(cost), failed_calls: 0, error: None, truncated: 0 }
    }

    pub fn failed(id: &'a str, name: &'a str, message: &'a str) -> Self {
        let error = Some((name, message));
        Self { error, failed_calls: 2, ..Self::answered(id, 900, "0") }
    }

    /// Returns the manifest of the run.
    pub fn manifest(&self) -> Manifest {
        let ended = STARTED + Duration::milliseconds(self.took_ms);
        let calls = self.failed_calls + u64::from(self.error.is_none());
        let subtotal = self.cost.is_none().then_some("0.001");
        let totals = json!({
            "usage": null, "known_usage": null, "cost_usd": self.cost, "priced_subtotal_usd": subtotal, "unpriced": [],
        });
        let mut line = totals.clone();
        let more = json!({
            "region": "us-west-2", "model_id": "us.anthropic.claude-haiku-5-5", "calls": calls,
            "failed_calls": self.failed_calls, "rejected_calls": 0, "unknown_calls": 0, "unpriced_calls": 0,
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut usage = line.clone();
        let more = json!({
            "day": "2026-11-01", "step": "answer", "tier": "default",
            "errors": { "Bcce.TargetThrottled": self.failed_calls }, "failed_over_ms": self.failed_calls * 100,
            "answer": if self.error.is_none() { json!([[60, 1]]) } else { json!([]) },
        });
        usage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let status = if self.error.is_none() { "SUCCEEDED" } else { "FAILED" };
        let step = json!({ "id": "answer", "status": status, "attempts": calls });
        let mut step = step;
        step.as_object_mut().unwrap().extend(totals.as_object().unwrap().clone());
        let error = self.error.map(|(name, message)| json!({ "name": name, "message": message }));
        let manifest = json!({
            "version": 1, "kind": "item", "run_id": format!("explain-{}", self.id), "attempt_no": 1,
            "execution_arn": "arn", "tenant": "default", "workflow": "explain",
            "request_id": format!("explain-batch-1/{}", self.id), "template_sha256": null, "status": status,
            "started_at": "2026-11-01T12:00:00Z", "ended_at": ended.format(&time::format_description::well_known::Rfc3339).unwrap(),
            "tags": {}, "artifacts": [], "steps": [step], "truncated": self.truncated, "totals": totals,
            "unpriced": [], "usage_by_model": [line], "usage_by_step": [usage], "prices_date": null,
            "policy_sha256": null, "error": error,
        });
        serde_json::from_value(manifest).unwrap()
    }

    /// Returns the result of the item `n`.
    fn result(&self, n: u64, key: String) -> ItemResult {
        let run = self.manifest();
        let failed = run.error.is_some();
        ItemResult {
            n,
            line: n,
            id: Some(self.id.to_owned()),
            status: if failed { ItemStatus::Failed } else { ItemStatus::Succeeded },
            run_id: Some(run.run_id),
            attempt_no: Some(1),
            manifest: Some(key),
            totals: Some(run.totals),
            truncated: run.truncated,
            error: run.error,
        }
    }
}

/// Returns the result of an item that is not valid.
pub fn rejected(n: u64, message: &str) -> ItemResult {
    let line = json!({
        "n": n, "line": n, "status": "REJECTED", "run_id": null,
        "error": { "name": "Bcce.InvalidRequest", "message": message },
    });
    serde_json::from_value(line).unwrap()
}

/// A batch of two parts, packed or with executions.
pub struct Sample {
    pub batch: Batch,
    pub store: MemoryStore,
    pub sources: MemorySources,
}

impl Sample {
    /// Returns a batch that is over. The first part has the first half of the runs.
    pub fn over(way: Way, runs: &[Made<'_>], rejected: &[ItemResult]) -> Self {
        let mut sample = Self::part_done(way, runs);
        let batch = &mut sample.batch;
        batch.execution = Some("SUCCEEDED".into());
        let mut sums = Sums::none();
        let mut results = Vec::new();
        let own = runs.iter().zip(1..).map(|(run, n)| {
            let key = match way {
                Way::Packed => batch.reference.part_runs_key(1),
                Way::Executions => format!("runs/default/{}/manifest-1.json", run.id),
            };
            run.result(n, key)
        });
        for result in own.chain(rejected.iter().cloned()) {
            sums.count(&result, true);
            add_line(&mut results, &result).unwrap();
        }
        let object = ArtifactRef::of(batch.reference.results_key(), &results);
        sample.sources.put(&format!("s3://{BUCKET}/{}", object.key), "e", results);
        for run in runs.iter().filter(|_| way == Way::Executions) {
            let key = format!("runs/default/{}/manifest-1.json", run.id);
            let body = serde_json::to_vec(&run.manifest()).unwrap();
            sample.store.objects.borrow_mut().insert(key, body);
        }
        let counts = sums.counts;
        let status = match (counts.succeeded, counts.succeeded == counts.items) {
            (0, _) => BatchStatus::Failed,
            (_, true) => BatchStatus::Succeeded,
            _ => BatchStatus::Partial,
        };
        let mut closed = record(1, status);
        (closed.items, closed.rejected) = (counts.items, counts.rejected);
        closed.to_run = runs.len() as u64;
        let made = BatchManifest {
            status,
            sums,
            results: Some(object),
            opened: batch.opened.clone(),
            ..manifest()
        };
        closed.ended_at = Some(made.ended_at);
        batch.note_record(Some(closed));
        batch.manifest = Some(made);
        sample
    }

    /// Returns a batch under way whose first part is sealed with the first half of the runs.
    pub fn under_way(runs: &[Made<'_>]) -> Self {
        let sample = Self::part_done(Way::Packed, runs);
        let second = sample.batch.reference.part_runs_key(2);
        sample.store.objects.borrow_mut().remove(&second);
        sample
    }

    fn part_done(way: Way, runs: &[Made<'_>]) -> Self {
        let (store, mut batch) = (MemoryStore::default(), under_way());
        let mut opened = opened();
        (opened.way, opened.parts) = (way, 2);
        batch.opened = Some(opened);
        let (first, second) = runs.split_at(runs.len() / 2);
        for (part, runs) in [(1, first), (2, second)] {
            let mut lines = Vec::new();
            runs.iter().for_each(|run| add_line(&mut lines, &run.manifest()).unwrap());
            store.objects.borrow_mut().insert(batch.reference.part_runs_key(part), lines);
        }
        Self { batch, store, sources: MemorySources::default() }
    }

    /// Reads the batch, a quarter of an hour after its start.
    pub async fn report(self) -> Report {
        let now = STARTED + Duration::minutes(15);
        let Self { batch, store, sources } = self;
        let (items, basis) = items(&store, &sources, BUCKET, &batch, now).await.unwrap();
        let prices = PlatformPrices::read(None).unwrap();
        let environment = "dev".to_owned();
        Report { batch, items, basis, seal: Seal::Open, prices, environment, now }
    }
}
