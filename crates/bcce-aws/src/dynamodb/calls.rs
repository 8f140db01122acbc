//! Reads the call log. A function logs a call before it makes the call.

use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::ledger::{calls_pk, step_of_calls};
use bcce_core::ports::ReadCallLog;
use bcce_core::run::call_log::{LoggedCall, LoggedStep};
use bcce_core::run::ids::RunRef;

use super::Ledger;
use super::item::{Item, stamp, text_of};

/// The lifetime of an entry of the call log. A run takes at most one day, and its finalization is tried for three.
pub(crate) const CALLS_LAST: Duration = Duration::from_secs(7 * 86_400);
/// The attribute with the logged calls of one step, a set of JSON texts.
pub(crate) const LOGGED_CALLS: &str = "logged_calls";

/// The attribute with the calls of one step whose reservations are committed, a set of [`call_id`].
pub(crate) const COMMITTED_CALLS: &str = "committed_calls";

/// Returns what identifies a call among those of its step.
pub(crate) fn call_id(call: &LoggedCall) -> String {
    format!("{} {}", stamp(call.started_at), call.target)
}

impl ReadCallLog for Ledger {
    async fn logged_calls(&self, run: &RunRef) -> Result<Vec<LoggedStep>, Fault> {
        let pk = calls_pk(&run.run_id, run.attempt_no);
        let items = self.items("dynamodb:Query calls", &pk).await?;
        items.iter().map(logged_calls).collect::<Result<Vec<_>, _>>().map(|all| all.concat())
    }
}

/// Reads the logged calls of one step.
fn logged_calls(item: &Item) -> Result<Vec<LoggedStep>, Fault> {
    let sk = text_of(item, "sk").map_or("", String::as_str);
    let (step, item_no) = step_of_calls(sk);
    let calls = item.get(LOGGED_CALLS).and_then(|value| value.as_ss().ok());
    let committed = item.get(COMMITTED_CALLS).and_then(|value| value.as_ss().ok());
    let committed: Vec<&String> = committed.into_iter().flatten().collect();
    let logged = |call: &String| {
        let call = serde_json::from_str(call);
        let call: LoggedCall =
            call.map_err(|_| Fault::internal(format!("calls of {sk} are unreadable")))?;
        let is_committed = committed.contains(&&call_id(&call));
        Ok(LoggedStep { step: step.clone(), item: item_no, call, is_committed })
    };
    calls.into_iter().flatten().map(logged).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::item::text;
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::query::QueryOutput;
    use aws_sdk_dynamodb::types::AttributeValue;
    use aws_smithy_mocks::{mock, mock_client};

    #[tokio::test]
    async fn logged_calls_are_read_by_step_and_an_unreadable_one_is_a_fault() {
        let call = r#"{"started_at":"2026-11-01T12:00:00Z","target":{"region":"us-east-1","model_id":"us.m"}}"#;
        for (written, known) in [(call, Some(2)), ("{}", None)] {
            let item = |sk: &str| {
                let calls = AttributeValue::Ss(vec![written.to_owned()]);
                Item::from([("sk".into(), text(sk)), (LOGGED_CALLS.into(), calls)])
            };
            let items = vec![item("answer"), item("part#3")];
            let rule = mock!(Client::query)
                .match_requests(|query| {
                    let values = query.expression_attribute_values().unwrap();
                    values[":pk"].as_s().is_ok_and(|pk| pk.starts_with("calls#explain-"))
                })
                .then_output(move || QueryOutput::builder().set_items(Some(items.clone())).build());
            let client = mock_client!(aws_sdk_dynamodb, [&rule]);
            let run = RunRef::first("default", "explain", "42");
            let logged = Ledger { client, table: "t".into() }.logged_calls(&run).await.ok();
            assert_eq!(logged.as_ref().map(Vec::len), known);
            if let Some(logged) = logged {
                assert_eq!((logged[1].step.as_str(), logged[1].item), ("part", Some(3)));
            }
        }
    }
}
