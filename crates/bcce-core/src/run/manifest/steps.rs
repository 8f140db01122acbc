//! Summarizes each step of the plan for the manifest.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::error::Fault;
use crate::base::json::is_zero;
use crate::call::attempt::{Attempt, Totals};
use crate::config::template::Step;
use crate::run::artifact::{StepFailure, StepStatus};
use crate::run::ids::{Run, StepRef};
use crate::run::manifest::Evidence;
use crate::run::manifest::lost::Lost;
use crate::run::plan::Plan;

/// A step of the plan, as the manifest lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepSummary {
    pub id: String,
    pub status: StepStatus,
    /// The number of calls made for the step, over all its items.
    pub attempts: u64,
    /// The number of lost calls, which no artifact records.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost_calls: u64,
    /// The number of answers of the step that `max_tokens` cut, over all its items.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated: u64,
    /// The number of answers from the response cache, over all its items. No calls were made for them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u64,
    #[serde(flatten)]
    pub totals: Totals,
    /// The items of a step that fans out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<ItemsSummary>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

/// The outcome of the items of a step that fans out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemsSummary {
    /// The number of items in the list.
    pub planned: usize,
    pub answered: usize,
    /// The items that failed, in the order of the list.
    pub failed: Vec<ItemFault>,
}

/// An item that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemFault {
    /// The position in the list, from 0.
    pub item: u32,
    pub status: StepStatus,
    pub error: Fault,
}

/// A step that did not end with SUCCEEDED, as the state machine reports it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepFault {
    #[serde(flatten)]
    pub step: StepRef,
    pub status: StepStatus,
    pub error: Fault,
}

pub(super) fn of(evidence: &Evidence<'_>, lost: &[Lost]) -> Vec<StepSummary> {
    let Some(plan) = evidence.plan else { return Vec::new() };
    plan.steps.iter().map(|step| summary(evidence, lost, plan, step)).collect()
}

/// Returns the key of the run's answer, or the prefix of its items.
pub(super) fn result(run: &Run, plan: &Plan, steps: &[StepSummary]) -> Option<String> {
    let summary = steps.iter().find(|step| step.id == plan.result)?;
    let key = match summary.items {
        Some(_) => run.items_prefix(&plan.result),
        None => run.step_key(&plan.result, None),
    };
    (summary.status == StepStatus::Succeeded).then_some(key)
}

fn summary(evidence: &Evidence<'_>, lost: &[Lost], plan: &Plan, step: &Step) -> StepSummary {
    let failures: Vec<_> =
        evidence.failures.iter().filter(|f| f.record.step_id == step.id).collect();
    let answers: Vec<_> =
        evidence.answers.iter().filter(|answer| answer.step_id == step.id).collect();
    let faults = faults(evidence, &failures, &step.id);
    let items = plan.items(step).map(|items| items.len());
    let error = match items {
        Some(planned) => of_items(&faults, planned),
        None => faults.first().map(|fault| fault.error.clone()),
    };
    let (status, error) = match faults.first() {
        _ if answers.len() == items.unwrap_or(1) => (StepStatus::Succeeded, None),
        Some(first) => (first.status, error),
        None => (StepStatus::Skipped, None),
    };
    let answered = answers.len();
    let truncated = answers.iter().filter(|answer| answer.truncated).count();
    let cached = answers.iter().filter(|answer| answer.cached_from.is_some()).count();
    let records = evidence.records().filter(|record| record.step_id == step.id);
    let attempts: Vec<&Attempt> = records.flat_map(|record| &record.attempts).collect();
    let lost: Vec<&Attempt> =
        lost.iter().filter(|lost| lost.step == step.id).map(|lost| &lost.attempt).collect();
    StepSummary {
        id: step.id.clone(),
        status,
        attempts: attempts.len() as u64,
        lost_calls: lost.len() as u64,
        truncated: truncated as u64,
        cached: cached as u64,
        totals: Totals::of(attempts.into_iter().chain(lost)),
        items: items.map(|planned| ItemsSummary { planned, answered, failed: faults }),
        error,
    }
}

/// Returns the failed items of a step, in the order of the list. An item failed if it has a failure, or if an internal
/// fault left it without an artifact. An item with an answer did not fail. A step that does not fan out has one item,
/// 0.
fn faults(evidence: &Evidence<'_>, failures: &[&StepFailure], id: &str) -> Vec<ItemFault> {
    let fault = |item: Option<u32>, status, error: &Fault| {
        (item, ItemFault { item: item.unwrap_or(0), status, error: error.clone() })
    };
    let failed = failures.iter().map(|f| fault(f.record.item, f.status, &f.error));
    let broken = evidence.broken.iter().filter(|broken| broken.step.step == id);
    let broken = broken.map(|broken| fault(broken.step.item, broken.status, &broken.error));
    let answered: BTreeSet<Option<u32>> =
        evidence.answers.iter().filter(|a| a.step_id == id).map(|a| a.item).collect();
    let mut faults = BTreeMap::new();
    for (item, fault) in failed.chain(broken).filter(|(item, _)| !answered.contains(item)) {
        faults.entry(item).or_insert(fault);
    }
    faults.into_values().collect()
}

/// The most items that an error message names. The summary lists all of them.
const NAMED_ITEMS: usize = 5;

/// Returns one error for all items that failed. It has the error name of the first.
fn of_items(faults: &[ItemFault], planned: usize) -> Option<Fault> {
    let first = faults.first()?;
    let name = |fault: &ItemFault| format!("item {}: {}", fault.item, fault.error);
    let named: Vec<String> = faults.iter().take(NAMED_ITEMS).map(name).collect();
    let more = match faults.len().saturating_sub(NAMED_ITEMS) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let count = faults.len();
    let message = format!("{count} of {planned} items failed: {}{more}", named.join("; "));
    Some(Fault::new(first.error.name, message))
}

/// Returns the error of the first step that has one, with the id of the step.
pub(super) fn first_error(steps: &[StepSummary]) -> Option<Fault> {
    let (id, error) = steps.iter().find_map(|step| Some((&step.id, step.error.as_ref()?)))?;
    Some(Fault::new(error.name, format!("step {id}: {}", error.message)))
}

/// Returns the fault of a run that is over without an error although steps are not finished: the execution ended early.
/// Returns `None` if every step succeeded.
pub(super) fn unfinished(plan: Option<&Plan>, steps: &[StepSummary]) -> Option<Fault> {
    if plan.is_none() {
        return Some(Fault::internal("the run ended before it had a plan"));
    }
    let skipped = steps.iter().find(|step| step.status != StepStatus::Succeeded)?;
    Some(Fault::internal(format!("the run ended before step {} was done", skipped.id)))
}
