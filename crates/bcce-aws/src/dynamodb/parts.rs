//! Parts of packed batches: the function that works a part off, the progress of the part, and the calls that it has
//! started.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure as OnRefusal,
};
use bcce_core::base::error::Fault;
use bcce_core::batch::BatchProgress;
use bcce_core::batch::packed::{PartCalls, PartProgress, StartedCall, StoredAllowance};
use bcce_core::ledger::{CANCEL, STOP_SK, part_calls_pk, part_sk, progress_pk};
use bcce_core::ports::{
    CancelPackedRun, FindPartOwner, KeepPart, LogCalls, PartOf, PartTaken, ReadPartCalls,
    StopBatch, TakePart,
};
use bcce_core::run::ids::ItemOf;
use time::OffsetDateTime;

use super::Ledger;
use super::budgets::{ALLOWANCE, COMMITTED_AMOUNTS};
use super::calls::CALLS_LAST;
use super::change::Change;
use super::conditional::Written;
use super::item::{
    Item, json, json_of, key, milliseconds, milliseconds_of, number, stamp, text, text_of,
};
use crate::fault::internal;

/// The attribute with the time until which a function owns a part.
const UNTIL: &str = "owned_until";
/// The attribute with the runs of a part that are over, and the one with its rate. Both are JSON texts, so that a write
/// replaces them as a whole.
const RUNS: &str = "runs";
const RATE: &str = "rate";
/// The attribute with calls that a part has started, a JSON text.
const CALLS: &str = "calls";

impl TakePart for Ledger {
    async fn take_part(
        &self,
        part: &PartOf,
        owner: &str,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<PartTaken, Fault> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(part_key(part)))
            .update_expression("SET owned_by = :owner, owned_until = :until")
            .condition_expression(
                "attribute_not_exists(owned_by) OR owned_until <= :now OR owned_by = :owner",
            )
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":until", milliseconds(until))
            .expression_attribute_values(":now", milliseconds(now))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(OnRefusal::AllOld);
        let sent = Box::pin(update.send()).await;
        let before = sent.as_ref().ok().and_then(|output| output.attributes());
        let is_first = before.is_none_or(HashMap::is_empty);
        Ok(match Written::of("dynamodb:UpdateItem part", sent)? {
            Written::Done => PartTaken::Mine { is_first },
            Written::Refused(others) => PartTaken::Others { until: owned_until(&others)? },
        })
    }
}

impl KeepPart for Ledger {
    async fn keep_part(
        &self,
        part: &PartOf,
        owner: &str,
        until: OffsetDateTime,
        progress: &PartProgress,
    ) -> Result<bool, Fault> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(part_key(part)))
            .update_expression("SET owned_until = :owned_until, runs = :runs, rate = :rate")
            .condition_expression("owned_by = :owner")
            .expression_attribute_values(":owner", text(owner));
        let values = progress_attributes(progress, until)?.into_iter();
        let update = values.fold(update, |update, (name, value)| {
            update.expression_attribute_values(format!(":{name}"), value)
        });
        let sent = Box::pin(update.send()).await;
        Ok(Written::of("dynamodb:UpdateItem part", sent)?.is_done())
    }
}

impl FindPartOwner for Ledger {
    async fn part_owned_until(&self, part: &PartOf) -> Result<Option<OffsetDateTime>, Fault> {
        let get = self.client.get_item().table_name(&self.table);
        let get = get.set_key(Some(part_key(part))).consistent_read(true);
        let output = Box::pin(get.send()).await;
        let output = output.map_err(|error| internal("dynamodb:GetItem part", &error))?;
        output.item.as_ref().map(owned_until).transpose()
    }
}

impl LogCalls for Ledger {
    async fn log_calls(
        &self,
        part: &PartOf,
        owner: &str,
        record: u32,
        calls: &[StartedCall],
    ) -> Result<(), Fault> {
        let Some(last) = calls.iter().map(|call| call.call.started_at).max() else { return Ok(()) };
        let mut item = key(&part_calls_pk(&part.batch, part.part), &format!("{owner}#{record}"));
        item.insert(CALLS.to_owned(), json(&calls)?);
        let expires_at = (last + CALLS_LAST).unix_timestamp();
        item.insert("expires_at".to_owned(), number(expires_at));
        self.put("dynamodb:PutItem calls", item).await
    }
}

impl ReadPartCalls for Ledger {
    async fn part_calls(&self, part: &PartOf) -> Result<PartCalls, Fault> {
        let pk = part_calls_pk(&part.batch, part.part);
        let mut calls = PartCalls::default();
        for item in self.items("dynamodb:Query calls", &pk).await? {
            calls.started.extend(json_of::<Vec<StartedCall>>(&item, CALLS)?.unwrap_or_default());
            if let Some(allowance) = json_of(&item, ALLOWANCE)? {
                let is_committed = item.contains_key(COMMITTED_AMOUNTS);
                calls.allowances.push(StoredAllowance { allowance, is_committed });
            }
        }
        Ok(calls)
    }
}

impl StopBatch for Ledger {
    async fn stop_batch(&self, batch: &ItemOf, at: OffsetDateTime) -> Result<(), Fault> {
        // An update of one attribute, so that the caller's role need not be allowed to replace other items of the
        // progress.
        let item = [("stopped_at".to_owned(), text(&stamp(at)))].into();
        let key = (progress_pk(batch), STOP_SK.to_owned());
        let change = Change { condition: None, ..Change::setting(key, item, "") };
        self.change("dynamodb:UpdateItem stop", change).await.map(drop)
    }
}

impl CancelPackedRun for Ledger {
    async fn cancel_packed_run(&self, batch: &ItemOf, run_id: &str) -> Result<(), Fault> {
        let item = key(&progress_pk(batch), &format!("{CANCEL}{run_id}"));
        self.put("dynamodb:PutItem cancel", item).await
    }
}

impl Ledger {
    /// Writes an item, and replaces one that exists.
    async fn put(&self, what: &str, item: Item) -> Result<(), Fault> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        Box::pin(put.send()).await.map(drop).map_err(|error| internal(what, &error))
    }
}

fn part_key(part: &PartOf) -> Item {
    key(&progress_pk(&part.batch), &part_sk(part.part))
}

/// Reads the time until which a function owns a part. A missing time is a fault, because a default would turn a part
/// that is owned into one that is not.
fn owned_until(item: &Item) -> Result<OffsetDateTime, Fault> {
    milliseconds_of(item, UNTIL).ok_or_else(|| {
        let sk = text_of(item, "sk").map_or("", String::as_str);
        Fault::internal(format!("the owner of {sk} in the ledger cannot be read"))
    })
}

/// Returns the attributes that the owner of a part writes.
pub(super) fn progress_attributes(
    progress: &PartProgress,
    until: OffsetDateTime,
) -> Result<[(&'static str, AttributeValue); 3], Fault> {
    let (runs, rate) = (json(&progress.runs)?, json(&progress.rate)?);
    Ok([(UNTIL, milliseconds(until)), (RUNS, runs), (RATE, rate)])
}

/// Reads the share of the batch progress that a part has at `now`. A part that was just taken has none yet.
pub(super) fn part_at(item: &Item, now: OffsetDateTime) -> Result<BatchProgress, Fault> {
    let runs = json_of(item, RUNS)?.unwrap_or_default();
    let Some(rate) = json_of(item, RATE)? else { return Ok(runs) };
    Ok(PartProgress { runs, rate }.at(owned_until(item)?, now))
}

#[cfg(test)]
mod tests;
