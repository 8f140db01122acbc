//! Canary calls of targets, and the findings about targets that were reported.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use bcce_core::base::error::Fault;
use bcce_core::ledger::usage::{CountedCalls, ToCount};
use bcce_core::ledger::{CANARY_SK, FINDINGS_KEY, canary_pk};
use bcce_core::ports::{
    ClaimCanaryCall, ReadLastCalls, ReadReportedFindings, RecordCanaryCall, ReportedFindings,
    WriteReportedFindings,
};
use bcce_core::standby::canary::LastCall;

use super::Ledger;
use super::change::{Change, Write};
use super::item::{Item, json, key, number, number_of, text_of};
use super::usage::changes;
use crate::fault::internal;

/// The most keys of one BatchGetItem.
const MOST_KEYS: usize = 100;

/// The attributes of the last call of a target. `started_at` is the key of an index, which must not list these items.
const CALL: &str = "canary_call";
const CALLED_AT: &str = "called_at";
/// The attributes of the reported findings.
const KEYS: &str = "reported";
const REVISION: &str = "revision";

impl ReadLastCalls for Ledger {
    async fn last_calls(&self, keys: &[String]) -> Result<Vec<Option<LastCall>>, Fault> {
        let all: BTreeSet<String> = keys.iter().map(|key| canary_pk(key)).collect();
        let all: Vec<String> = all.into_iter().collect();
        let mut found: HashMap<String, LastCall> = HashMap::new();
        for some in all.chunks(MOST_KEYS) {
            found.extend(self.last_calls_of(some).await?);
        }
        Ok(keys.iter().map(|key| found.get(&canary_pk(key)).cloned()).collect())
    }
}

impl Ledger {
    async fn last_calls_of(&self, pks: &[String]) -> Result<Vec<(String, LastCall)>, Fault> {
        let keys = pks.iter().map(|pk| key(pk, CANARY_SK)).collect();
        let request = KeysAndAttributes::builder().consistent_read(true).set_keys(Some(keys));
        let request = request.build().map_err(|error| Fault::internal(error.to_string()))?;
        let get = self.client.batch_get_item().request_items(&self.table, request);
        let got = Box::pin(get.send()).await;
        let got = got.map_err(|error| internal("dynamodb:BatchGetItem canary", &error))?;
        if got.unprocessed_keys().is_some_and(|left| !left.is_empty()) {
            return Err(Fault::internal("dynamodb:BatchGetItem canary left keys unread"));
        }
        let mut responses = got.responses.unwrap_or_default();
        let items = responses.remove(&self.table).unwrap_or_default();
        // A record of another version counts as none: the target is called again.
        Ok(items.iter().filter_map(last_call).collect())
    }
}

fn last_call(item: &Item) -> Option<(String, LastCall)> {
    let call = serde_json::from_str(text_of(item, CALL)?).ok()?;
    Some((text_of(item, "pk")?.clone(), call))
}

fn call_item(call: &LastCall) -> Result<Item, Fault> {
    let at = number(call.started_at.unix_timestamp_nanos());
    Ok([(CALL.to_owned(), json(call)?), (CALLED_AT.to_owned(), at)].into())
}

fn call_key(key: &str) -> (String, String) {
    (canary_pk(key), CANARY_SK.to_owned())
}

impl ClaimCanaryCall for Ledger {
    async fn claim_canary_call(
        &self,
        key: &str,
        before: Option<&LastCall>,
        call: &LastCall,
    ) -> Result<bool, Fault> {
        let condition = match before {
            Some(_) => "#called_at = :before",
            // An item of another version has no call that can be read, and a time.
            None => "attribute_not_exists(#canary_call) OR #called_at < :called_at",
        };
        let mut change = Change::setting(call_key(key), call_item(call)?, condition);
        if let Some(before) = before {
            let at = number(before.started_at.unix_timestamp_nanos());
            change.values.insert(":before".to_owned(), at);
        }
        Ok(self.change("dynamodb:UpdateItem canary", change).await?.is_done())
    }
}

impl RecordCanaryCall for Ledger {
    async fn record_canary_call(
        &self,
        key: &str,
        claim: &LastCall,
        call: &LastCall,
        counted: &CountedCalls,
    ) -> Result<(), Fault> {
        // If the item is not the claim any more, an earlier try has counted the call.
        let mut record = Change::setting(call_key(key), call_item(call)?, "#canary_call = :claim");
        record.values.insert(":claim".to_owned(), json(claim)?);
        let counted = ToCount { calls: vec![counted.clone()], ..ToCount::default() };
        let counters = changes(key, &counted).into_iter().map(Write::Change);
        let writes = std::iter::once(Write::Change(record)).chain(counters).collect();
        self.write_all("dynamodb:TransactWriteItems canary", writes, key).await.map(drop)
    }
}

impl ReadReportedFindings for Ledger {
    async fn reported_findings(&self) -> Result<ReportedFindings, Fault> {
        let items = self.items("dynamodb:Query findings", FINDINGS_KEY.0).await?;
        let item = items
            .into_iter()
            .find(|item| text_of(item, "sk").is_some_and(|sk| sk == FINDINGS_KEY.1));
        let item = item.unwrap_or_default();
        let keys = item.get(KEYS).and_then(|keys| keys.as_ss().ok()).into_iter().flatten();
        let revision = number_of(&item, REVISION).unwrap_or_default();
        Ok(ReportedFindings { keys: keys.cloned().collect(), revision })
    }
}

impl WriteReportedFindings for Ledger {
    async fn write_reported_findings(
        &self,
        read: &ReportedFindings,
        keys: &BTreeSet<String>,
    ) -> Result<bool, Fault> {
        let mut item = Item::new();
        item.insert(REVISION.to_owned(), number(read.revision + 1));
        // DynamoDB refuses an empty set.
        if !keys.is_empty() {
            item.insert(KEYS.to_owned(), AttributeValue::Ss(keys.iter().cloned().collect()));
        }
        let place = (FINDINGS_KEY.0.to_owned(), FINDINGS_KEY.1.to_owned());
        let mut change =
            Change::setting(place, item, "attribute_not_exists(#revision) OR #revision = :read");
        change.values.insert(":read".to_owned(), number(read.revision));
        if keys.is_empty() {
            change.update.push_str(" REMOVE #reported");
            change.names.insert("#reported".to_owned(), KEYS.to_owned());
        }
        Ok(self.change("dynamodb:UpdateItem findings", change).await?.is_done())
    }
}

#[cfg(test)]
mod tests;
