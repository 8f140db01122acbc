//! Conditional writes. DynamoDB refuses a write whose condition does not hold. This module tells such a refusal from a
//! failure, so that a repeated call can find out whether the item was written before, and by which caller.

use std::time::Duration;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bcce_core::base::digest::sha256;
use bcce_core::base::error::Fault;

use super::Ledger;
use super::change::{Change, Write, unless_empty};
use super::item::{Item, key};
use crate::fault::internal;

/// The number of tries of a transaction that conflicts with another one. They take 1.6 s at most. After the last one,
/// the function fails and is retried.
const CONFLICT_TRIES: u32 = 6;

/// The largest number of writes of a transaction.
const MAX_WRITES: usize = 100;

/// The outcome of a conditional write.
#[derive(Debug)]
pub(crate) enum Written {
    Done,
    /// The condition did not hold. Contains the existing item, which is empty unless the write asked for it.
    Refused(Item),
}

impl Written {
    /// Classifies the result of a write. `what` names the write in the error.
    ///
    /// # Errors
    /// `Bcce.Internal`: the write failed for another reason than its condition.
    pub fn of<O, E, R>(what: &str, sent: Result<O, SdkError<E, R>>) -> Result<Self, Fault>
    where
        E: Refusable,
    {
        let Err(error) = sent else { return Ok(Self::Done) };
        match error.as_service_error().and_then(E::refusal) {
            Some(refusal) => Ok(Self::Refused(refusal.item().cloned().unwrap_or_default())),
            None => Err(internal(what, &error)),
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

/// An error of an operation that can have a condition.
pub(crate) trait Refusable: ProvideErrorMetadata {
    /// Returns the exception if the condition did not hold.
    fn refusal(&self) -> Option<&ConditionalCheckFailedException>;
}

impl Refusable for PutItemError {
    fn refusal(&self) -> Option<&ConditionalCheckFailedException> {
        match self {
            Self::ConditionalCheckFailedException(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl Refusable for UpdateItemError {
    fn refusal(&self) -> Option<&ConditionalCheckFailedException> {
        match self {
            Self::ConditionalCheckFailedException(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl Ledger {
    /// Creates an item, unless one exists with the same key. Then it returns the existing item.
    pub(super) async fn create(&self, what: &str, item: Item) -> Result<Written, Fault> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        Written::of(what, put.send().await)
    }

    /// Updates one item.
    pub(super) async fn change(&self, what: &str, change: Change) -> Result<Written, Fault> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(&change.key.0, &change.key.1)))
            .update_expression(change.update)
            .set_condition_expression(change.condition.map(str::to_owned))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .set_expression_attribute_names(unless_empty(change.names))
            .set_expression_attribute_values(unless_empty(change.values));
        Written::of(what, update.send().await)
    }

    /// Makes all writes or none, in one transaction. Only the first write may have a condition. `seed` varies the
    /// pauses after a conflict, so that two transactions do not conflict again.
    pub(super) async fn write_all(
        &self,
        what: &str,
        writes: Vec<Write>,
        seed: &str,
    ) -> Result<Written, Fault> {
        if writes.len() > MAX_WRITES {
            let count = writes.len();
            return Err(Fault::internal(format!("{what}: {count} writes (limit: {MAX_WRITES})")));
        }
        let writes: Vec<TransactWriteItem> = writes
            .into_iter()
            .map(|write| write.in_transaction(&self.table))
            .collect::<Result<_, _>>()?;
        let mut tries = 0;
        loop {
            tries += 1;
            let write = self.client.transact_write_items().set_transact_items(Some(writes.clone()));
            let Err(error) = Box::pin(write.send()).await else { return Ok(Written::Done) };
            match error.as_service_error().map(Cancelled::of) {
                Some(Cancelled::Refused(before)) => return Ok(Written::Refused(before)),
                Some(Cancelled::Conflict) if tries < CONFLICT_TRIES => {
                    tokio::time::sleep(pause(tries, seed)).await;
                }
                _ => return Err(internal(what, &error)),
            }
        }
    }
}

/// The reason why a transaction was canceled.
enum Cancelled {
    /// The condition of the first write did not hold.
    Refused(Item),
    /// Another transaction wrote to the same items at the same time. The SDK does not retry this error.
    Conflict,
    Otherwise,
}

impl Cancelled {
    fn of(error: &TransactWriteItemsError) -> Self {
        let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else {
            return Self::Otherwise;
        };
        let reasons = cancelled.cancellation_reasons();
        match reasons.first() {
            Some(first) if first.code() == Some("ConditionalCheckFailed") => {
                Self::Refused(first.item().cloned().unwrap_or_default())
            }
            _ if reasons.iter().any(|reason| reason.code() == Some("TransactionConflict")) => {
                Self::Conflict
            }
            _ => Self::Otherwise,
        }
    }
}

/// Returns the pause between two tries. Its upper bound doubles with each try. `seed` selects a fraction of it, so that
/// two transactions do not conflict again.
pub(super) fn pause(tries: u32, seed: &str) -> Duration {
    let share = u64::from(sha256(seed.as_bytes())[tries as usize % 32]) + 1;
    Duration::from_millis((25 << tries) * share / 256)
}
