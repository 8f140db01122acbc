//! The end of an execution, as EventBridge reports it to the finalize machine. The command and `sweep` make the same
//! event from what Step Functions reports about the execution.

use serde::{Deserialize, Serialize};

/// The `detail` of the EventBridge event of an execution's end. Times are in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionEnd {
    pub execution_arn: String,
    /// The status in the spelling of Step Functions, such as `TIMED_OUT`.
    pub status: String,
    /// The input of the execution, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    pub start_date: i64,
    /// `None` while the execution is running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_date: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// The input of the finalize machine: what it reads of the EventBridge event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalizeEvent {
    pub detail: ExecutionEnd,
}

impl FinalizeEvent {
    /// Returns the event that EventBridge would have sent to the finalize machine. `id` is the id of the run or the
    /// batch, and `end` the end of its execution, or `None` if Step Functions does not know the execution.
    ///
    /// # Errors
    /// The execution is unknown, running or succeeded.
    pub fn of(id: &str, end: Option<ExecutionEnd>) -> Result<Self, String> {
        let detail = end.ok_or_else(|| format!("Step Functions has no execution of {id}"))?;
        match (detail.status.as_str(), detail.stop_date) {
            ("SUCCEEDED", _) => {
                Err(format!("the execution of {id} succeeded, so it needs no finalizing"))
            }
            (_, Some(_)) => Ok(Self { detail }),
            (_, None) => Err(format!("the execution of {id} is running")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(status: &str, stop_date: Option<i64>) -> ExecutionEnd {
        ExecutionEnd {
            execution_arn: "a".into(),
            status: status.into(),
            input: Some("{}".into()),
            start_date: 1,
            stop_date,
            error: None,
            cause: None,
        }
    }

    #[test]
    fn only_an_execution_that_ended_badly_is_finalized() {
        let ended = end("TIMED_OUT", Some(2));
        let event = FinalizeEvent::of("r", Some(ended.clone())).unwrap();
        assert_eq!(event, FinalizeEvent { detail: ended });
        for (other, expected) in [
            (None, "no execution of r"),
            (Some(end("RUNNING", None)), "of r is running"),
            (Some(end("SUCCEEDED", Some(2))), "of r succeeded"),
        ] {
            let refused = FinalizeEvent::of("r", other).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
    }

    #[test]
    fn the_samples_of_the_event_are_read() {
        for sample in [
            include_str!("../../../../events/finalize/run-timed-out.json"),
            include_str!("../../../../events/finalize/batch-stopped.json"),
        ] {
            let event: FinalizeEvent = serde_json::from_str(sample).unwrap();
            assert!(event.detail.stop_date > Some(event.detail.start_date));
        }
    }
}
