//! Manifests of runs that ended in different ways, from the sample events of the functions.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::run::artifact::StepArtifact;
use bcce_core::run::ids::{ItemOf, Run};
use bcce_core::run::manifest::{Evidence, Manifest};
use bcce_core::run::notification::RunStatus;
use serde::de::DeserializeOwned;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::template::read;

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    Succeeded,
    Failed,
    /// It is an item of a batch, and fails.
    FailedItem,
    /// Its request is invalid, so it was refused before it had a plan.
    Refused,
    Cancelled,
    /// It succeeds after a call to another target.
    FailedOver,
    /// It succeeds after a target that rejected the call.
    Rejected,
    /// It succeeds, and its model has no price.
    Unpriced,
    /// It succeeds, and the usage of a call is unknown.
    Cut,
    /// It succeeds, and no budget pays it.
    WithoutBudget,
}

thread_local! {
    /// The manifests that were made. A simulation ends thousands of runs.
    static MADE: RefCell<BTreeMap<Ended, Manifest>> = RefCell::default();
}

/// Returns the manifest of a run that ended at `at`, as `persist-artifact` seals it.
pub fn ended(how: Ended, at: OffsetDateTime) -> Manifest {
    MADE.with_borrow_mut(|made| {
        let manifest = made.entry(how).or_insert_with(|| seal(how)).clone();
        Manifest { started_at: at - Duration::minutes(3), ended_at: at, ..manifest }
    })
}

fn event<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&read(&format!("events/{name}.json"))).unwrap()
}

fn seal(how: Ended) -> Manifest {
    let mut request: Value = event("emit-metrics/succeeded");
    let mut run: Run = serde_json::from_value(request["run"].take()).unwrap();
    if how == Ended::FailedItem {
        run.reference.batch = Some(ItemOf { batch_id: "b".into(), attempt_no: 1 });
    }
    let mut answer: StepArtifact = event("persist-artifact/answer");
    change(&mut answer, how);
    let has_failed = matches!(how, Ended::Failed | Ended::FailedItem | Ended::Refused);
    let is_refused = how == Ended::Refused;
    let error = if is_refused { ErrorName::InvalidRequest } else { ErrorName::NoTarget };
    let manifest = Manifest::seal(Evidence {
        run: &run,
        plan: (!is_refused).then_some(&event("invoke/plan")),
        artifacts: vec![],
        answers: if is_refused { vec![] } else { vec![answer.into()] },
        failures: vec![],
        broken: vec![],
        logged_calls: vec![],
        fault: has_failed.then(|| Fault::new(error, "a")),
        ending: None,
        ended_at: run.started_at,
    });
    let status = if how == Ended::Cancelled { RunStatus::Cancelled } else { manifest.status };
    Manifest { status, without_budget: how == Ended::WithoutBudget, ..manifest }
}

/// Changes the calls of the run's only step.
fn change(answer: &mut StepArtifact, how: Ended) {
    let attempts = &mut answer.record.attempts;
    let mut failing = attempts[0].clone();
    match how {
        Ended::FailedOver => failing.error = Some(ErrorName::TargetThrottled),
        Ended::Rejected => failing.error = Some(ErrorName::TargetRejected),
        Ended::Unpriced => attempts[0].cost_usd = None,
        Ended::Cut => (attempts[0].cost_usd, attempts[0].usage) = (None, None),
        _ => {}
    }
    if failing.error.is_some() {
        attempts.insert(0, failing);
    }
}
