//! The places in the code that make metrics documents, each with samples that have all of its metrics.

use std::cell::Cell;

use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::batch::bulk::JobRecord;
use bcce_core::batch::manifest::{Outcome, Sums};
use bcce_core::batch::packed::{self, PartManifest, PartOutcome};
use bcce_core::batch::{BatchManifest, BatchProgress, BatchRef, BatchRun};
use bcce_core::config::breakers::BreakerSettings;
use bcce_core::failover::breaker::{Report, Signal};
use bcce_core::io::shared_breakers::SharedBreakers;
use bcce_core::ports::{ReadBreakers, StoredBreaker, WriteBreaker};
use bcce_core::run::artifact::ArtifactRef;
use bcce_core::run::{budget_alert, metrics};
use bcce_core::standby::alert;
use futures::executor::block_on;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::alarms::runs::{Ended, ended};

const NOW: OffsetDateTime = datetime!(2026-12-01 12:00 UTC);

/// A place that makes metrics documents.
pub struct Place {
    /// Its file.
    pub file: &'static str,
    /// The functions that write the documents to their logs.
    pub functions: &'static [&'static str],
    /// Returns documents that together have all metrics of the place.
    pub render: fn() -> Vec<String>,
}

/// All places. A test compares the files with those that call `emf::document`.
pub const PLACES: [Place; 8] = [
    Place {
        file: "crates/bcce-core/src/run/metrics.rs",
        functions: &["emit-metrics"],
        render: of_runs,
    },
    Place {
        file: "crates/bcce-core/src/batch/packed/metrics.rs",
        functions: &["collect-part"],
        render: of_part,
    },
    Place {
        file: "crates/bcce-core/src/io/shared_breakers.rs",
        functions: &["failover-router", "invoke", "run-part"],
        render: of_breakers,
    },
    Place {
        file: "crates/bcce-core/src/run/budget_alert.rs",
        functions: &["watch-budgets"],
        render: || budget_alert::metrics("dev", &[("month".to_owned(), 60.into())], NOW),
    },
    Place {
        file: "crates/bcce-core/src/standby/alert.rs",
        functions: &["canary"],
        render: || vec![alert::metric("dev", &[], NOW)],
    },
    Place {
        file: "functions/close-batch/src/emf.rs",
        functions: &["close-batch"],
        render: of_batch,
    },
    Place {
        file: "functions/dispatch/src/metrics.rs",
        functions: &["dispatch"],
        render: of_dispatch,
    },
    Place {
        file: "functions/sweep/src/lib.rs",
        functions: &["sweep"],
        render: || vec![sweep::metric("dev", 0, NOW)],
    },
];

fn of_runs() -> Vec<String> {
    use Ended::{FailedItem, Refused, Rejected, Succeeded, Unpriced, WithoutBudget};
    let all = [Succeeded, Refused, FailedItem, Rejected, Unpriced, WithoutBudget];
    all.into_iter().flat_map(|how| metrics::of_run("dev", &ended(how, NOW))).collect()
}

fn batch() -> BatchRun {
    let reference = BatchRef::first("default", "explain", "42");
    BatchRun { reference, execution_arn: "arn".into(), started_at: NOW }
}

fn of_part() -> Vec<String> {
    let usage = [Ended::Rejected, Ended::Unpriced].map(|how| ended(how, NOW).usage_by_model);
    let manifest = PartManifest::seal(PartOutcome {
        batch: &batch(),
        part: 1,
        leaves: vec![packed::tree::leaf(b"{}")],
        results: ArtifactRef::of("r".into(), b""),
        outputs: ArtifactRef::of("o".into(), b""),
        sums: Sums::none(),
        without_budget: 1,
        progress: BatchProgress::default(),
        usage_by_model: usage.concat(),
        usage_by_tags: vec![],
        ended_at: NOW,
    });
    packed::metrics::of_part("dev", &manifest)
}

fn of_batch() -> Vec<String> {
    let records = json!({ "total": null, "processed": null, "succeeded": null, "failed": null });
    let refused = json!({ "job": 1, "arn": null, "status": null, "is_refused": true, "given": 9, "records": records });
    let refused: JobRecord = serde_json::from_value(refused).unwrap();
    let seal = |opened: Value, bulk: Vec<JobRecord>| {
        BatchManifest::seal(Outcome {
            batch: &batch(),
            opened: serde_json::from_value(opened).unwrap(),
            bulk,
            sums: Sums::none(),
            results: None,
            outputs: None,
            fault: None,
            halted: None,
            is_cancelled: false,
            ended_at: NOW,
        })
    };
    let source = json!({ "uri": "s3://b/k", "format": "jsonl", "bytes": 1 });
    let opened = json!({
        "version": 1, "items": 1, "rejected": 0, "to_run": 1, "parts": 1, "source": source, "mode": "bulk",
        "because": [], "concurrency": 20, "allowed_failures": 0,
    });
    [seal(opened, vec![refused]), seal(Value::Null, vec![])]
        .iter()
        .flat_map(|manifest| close_batch::emf::documents("dev", manifest))
        .collect()
}

fn of_dispatch() -> Vec<String> {
    use dispatch::metrics::{of_start, of_waits};
    use dispatch::waiting::Because;
    let waits = [("default", Because::NoFreeSlot)].into_iter();
    of_waits("dev", NOW, waits).into_iter().chain([of_start("dev", NOW)]).collect()
}

/// A ledger without breakers, which can be unreachable.
#[derive(Default)]
struct Ledger {
    is_gone: Cell<bool>,
}

impl ReadBreakers for &Ledger {
    async fn read(&self, keys: &[String]) -> Result<Vec<StoredBreaker>, Fault> {
        if self.is_gone.get() {
            return Err(Fault::internal("fails on request"));
        }
        Ok(keys.iter().map(|_| StoredBreaker::default()).collect())
    }
}

impl WriteBreaker for &Ledger {
    async fn write(&self, _: &str, _: &StoredBreaker, _: OffsetDateTime) -> Result<bool, Fault> {
        Ok(true)
    }
}

fn of_breakers() -> Vec<String> {
    let ledger = Ledger::default();
    let breakers = SharedBreakers::new(&ledger);
    let signal = Signal::Failing { error: ErrorName::TargetRejected, retry_after_s: None };
    let report = Report { signal, started_at: NOW, probe: None };
    block_on(breakers.report("us-east-1#m", &report, NOW, &BreakerSettings::default()));
    ledger.is_gone.set(true);
    block_on(breakers.breakers(&["us-west-2#m".to_owned()], NOW));
    breakers.metrics("dev", "invoke", NOW)
}
