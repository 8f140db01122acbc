//! Run records. One transaction closes a record and adds the usage of the run to the counters.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use bcce_core::base::error::Fault;
use bcce_core::call::attempt::Totals;
use bcce_core::ledger::{
    ClosedRun, OpenedRun, RunRecord, attempt_sk, listing_pk, run_piece_key, run_pk,
};
use bcce_core::ports::{CloseRun, Closed, OpenRun, ReadAttempts, RecordState, TakeOver};
use bcce_core::run::ids::{Run, RunRef};
use bcce_core::run::notification::RunStatus;

use super::change::{Change, Write};
use super::item::{Item, number, number_of, text, text_of, time_of};
use super::records::{End, Start, closed};
use super::{Ledger, progress};

/// The attribute of a run whose usage is in the counters. Only a closed record has it.
const COUNTED: &str = "counted";

/// The attribute with the trace of a run's execution. Closing a record keeps it.
const TRACE_ID: &str = "trace_id";

impl ReadAttempts for Ledger {
    async fn attempts(&self, run_id: &str) -> Result<Vec<RunRecord>, Fault> {
        let items = self.items("dynamodb:Query run", &run_pk(run_id)).await?;
        Ok(items.iter().filter_map(record).collect())
    }
}

impl OpenRun for Ledger {
    async fn open(&self, opened: &OpenedRun) -> Result<RecordState, Fault> {
        let mut item = start(&opened.run, RunStatus::Running).item();
        item.extend(opened.trace_id.map(|id| (TRACE_ID.to_owned(), text(&id.to_string()))));
        self.open_record("dynamodb:PutItem run", item, COUNTED).await
    }
}

impl CloseRun for Ledger {
    async fn close(&self, run: &ClosedRun) -> Result<Closed, Fault> {
        let run_id = &run.run.run_id;
        let marker_key = |piece| run_piece_key(&run.run, piece);
        let mut changes = vec![close(run)];
        changes.extend(self.count_usage(run_id, &run.to_count(), marker_key).await?);
        changes.extend(progress::count_run(run));
        let writes = changes.into_iter().map(Write::Change).collect();
        self.write_all("dynamodb:TransactWriteItems run", writes, run_id).await.map(closed)
    }
}

impl TakeOver for Ledger {
    async fn take_over(&self, run: &RunRef, from: &str, to: &str) -> Result<bool, Fault> {
        self.hand_over(&run_pk(&run.run_id), &attempt_sk(run.attempt_no), from, to).await
    }
}

fn start(run: &Run, status: RunStatus) -> Start<'_> {
    Start {
        pk: run_pk(&run.run_id),
        sk: attempt_sk(run.attempt_no),
        listing: listing_pk(run.started_at, &run.run_id),
        id: ("run_id", &run.run_id),
        attempt_no: run.attempt_no,
        tenant: &run.tenant,
        workflow: &run.workflow,
        request_id: &run.request_id,
        execution_arn: &run.execution_arn,
        started_at: run.started_at,
        status: status.as_str(),
    }
}

fn close(closed: &ClosedRun) -> Change {
    let manifest = &closed.manifest;
    let mut further = totals(&manifest.totals);
    further.push((COUNTED, AttributeValue::Bool(true)));
    if manifest.truncated > 0 {
        further.push(("truncated", number(manifest.truncated)));
    }
    if !manifest.tags.is_empty() {
        let tags = manifest.tags.iter().map(|(key, value)| (key.clone(), text(value)));
        further.push(("tags", AttributeValue::M(tags.collect())));
    }
    let end = End {
        ended_at: manifest.ended_at,
        manifest_key: &closed.manifest_key,
        manifest_sha256: &closed.manifest_sha256,
        notification_owner: &closed.notification_owner,
        error: manifest.error.as_ref(),
    };
    let start = start(&closed.run, manifest.status);
    end.change(start, further, "attribute_not_exists(#counted)")
}

fn totals(totals: &Totals) -> Vec<(&'static str, AttributeValue)> {
    let usage = totals.known_usage();
    let is_complete = totals.usage.is_some() && totals.cost_usd.is_some();
    vec![
        ("input_tokens", number(usage.input_tokens)),
        ("output_tokens", number(usage.output_tokens)),
        ("cost_usd", number(totals.known_cost())),
        ("cost_is_complete", AttributeValue::Bool(is_complete)),
    ]
}

pub(super) fn record(item: &Item) -> Option<RunRecord> {
    let string = |name: &str| text_of(item, name).cloned();
    let cost_is_complete = item.get("cost_is_complete").and_then(|value| value.as_bool().ok());
    Some(RunRecord {
        run_id: string("run_id")?,
        attempt_no: number_of(item, "attempt_no")?,
        tenant: string("tenant")?,
        workflow: string("workflow")?,
        request_id: string("request_id")?,
        execution_arn: string("execution_arn")?,
        trace_id: string(TRACE_ID),
        status: serde_json::from_value(string("status")?.into()).ok()?,
        started_at: time_of(item, "started_at")?,
        ended_at: time_of(item, "ended_at"),
        manifest: string("manifest"),
        cost_usd: number_of(item, "cost_usd"),
        cost_is_complete: cost_is_complete.copied().unwrap_or_default(),
        truncated: number_of(item, "truncated").unwrap_or_default(),
        tags: tags(item),
        error_name: string("error_name"),
        error_message: string("error_message"),
    })
}

fn tags(item: &Item) -> BTreeMap<String, String> {
    let tags = item.get("tags").and_then(|value| value.as_m().ok()).into_iter().flatten();
    tags.filter_map(|(key, value)| Some((key.clone(), value.as_s().ok()?.clone()))).collect()
}

#[cfg(test)]
mod tests;
