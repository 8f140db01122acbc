//! Logs calls, for tests to read afterwards, and counts them to select the next action of a script.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::path::Operation;
use super::prompt::Caller;

/// The largest number of calls in the log. A whole test run or load test fits, and a server that runs for days does not
/// grow.
const MAX_CALLS: usize = 20_000;
/// The largest size of all logged requests, in bytes.
const MAX_BYTES: usize = 256 << 20;
/// The largest logged part of a request, in bytes. Of a longer request, the log has the beginning as a text.
const MAX_REQUEST_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub struct Call {
    pub caller: Caller,
    pub operation: Operation,
    /// The text of the action in the script, or `refused` if the request or its script was invalid.
    pub action: String,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The body, cut to [`MAX_REQUEST_BYTES`].
    request: String,
}

impl Call {
    pub fn new(
        caller: Caller,
        operation: Operation,
        action: String,
        at_ms: u64,
        body: &[u8],
    ) -> Self {
        let kept = &body[..body.len().min(MAX_REQUEST_BYTES)];
        let mut request = String::from_utf8_lossy(kept).into_owned();
        if kept.len() < body.len() {
            // Remove the replacement character of a character that was cut.
            request.truncate(request.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
        }
        Self { caller, operation, action, at_ms, request }
    }

    fn to_json(&self) -> Value {
        let request = serde_json::from_str(&self.request);
        json!({
            "run_id": self.caller.run_id,
            "workflow": self.caller.workflow,
            "step": self.caller.step,
            "region": self.operation.region,
            "model_id": self.operation.model_id,
            "stream": self.operation.stream,
            "action": self.action,
            "at_ms": self.at_ms,
            "request": request.unwrap_or_else(|_| Value::String(self.request.clone())),
        })
    }

    fn count_key(&self) -> CountKey {
        count_key(&self.caller, &self.operation.region)
    }
}

/// The run, step, item and region whose calls are counted together.
type CountKey = [Option<String>; 4];

fn count_key(caller: &Caller, region: &str) -> CountKey {
    let Caller { run_id, step, item, .. } = caller.clone();
    [run_id, step, item, Some(region.to_owned())]
}

#[derive(Default)]
struct Count {
    calls: usize,
    /// The number of these calls that are still in the log. The count is removed with the last of them.
    kept: usize,
}

#[derive(Default)]
pub struct CallLog {
    calls: VecDeque<Call>,
    bytes: usize,
    recorded: usize,
    counts: HashMap<CountKey, Count>,
}

impl CallLog {
    /// Returns the number of calls to a region by the caller's step and item.
    pub fn so_far(&self, caller: &Caller, region: &str) -> usize {
        let count = self.counts.get(&count_key(caller, region));
        count.map_or(0, |count| count.calls)
    }

    pub fn record(&mut self, call: Call) {
        let count = self.counts.entry(call.count_key()).or_default();
        count.calls += 1;
        count.kept += 1;
        self.bytes += call.request.len();
        self.recorded += 1;
        self.calls.push_back(call);
        while self.calls.len() > MAX_CALLS || self.bytes > MAX_BYTES {
            self.forget_oldest();
        }
    }

    /// Returns the number of all calls, including those that are no longer in the log.
    pub fn count(&self) -> usize {
        self.recorded
    }

    /// Returns the calls of one run, or of all runs, in order.
    pub fn to_json(&self, run_id: Option<&str>) -> Value {
        let asked = |call: &&Call| run_id.is_none() || call.caller.run_id.as_deref() == run_id;
        self.calls.iter().filter(asked).map(Call::to_json).collect()
    }

    fn forget_oldest(&mut self) {
        let Some(call) = self.calls.pop_front() else {
            return;
        };
        self.bytes -= call.request.len();
        if let Some(count) = self.counts.get_mut(&call.count_key()) {
            count.kept -= 1;
            if count.kept == 0 {
                self.counts.remove(&call.count_key());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(run_id: &str, step: &str, region: &str, body: &[u8]) -> Call {
        let caller =
            Caller { run_id: Some(run_id.into()), step: Some(step.into()), ..Caller::default() };
        let operation = Operation { region: region.into(), model_id: "m".into(), stream: true };
        Call::new(caller, operation, "answer".into(), 1, body)
    }

    #[test]
    fn calls_are_counted_by_run_step_and_region() {
        let mut log = CallLog::default();
        for _ in 0..2 {
            log.record(call("r1", "a", "us-east-1", b"{}"));
        }
        let so_far = |run, step, region| log.so_far(&call(run, step, region, b"").caller, region);
        assert_eq!(so_far("r1", "a", "us-east-1"), 2);
        assert_eq!(so_far("r2", "a", "us-east-1"), 0);
        assert_eq!(so_far("r1", "b", "us-east-1"), 0);
        assert_eq!(so_far("r1", "a", "us-west-2"), 0);
    }

    #[test]
    fn a_run_sees_its_own_calls_with_the_whole_request() {
        let mut log = CallLog::default();
        log.record(call("r1", "a", "us-east-1", br#"{"messages":[]}"#));
        log.record(call("r2", "a", "us-east-1", b"no json"));
        let of = |run| log.to_json(run).as_array().unwrap().clone();
        assert_eq!(of(None).len(), 2);
        assert_eq!(of(Some("r1"))[0]["request"], json!({ "messages": [] }));
        assert_eq!(of(Some("r2"))[0]["request"], "no json");
        assert_eq!(of(Some("r3")).len(), 0);
    }

    #[test]
    fn the_log_drops_the_oldest_calls_and_their_counts() {
        let mut log = CallLog::default();
        log.record(call("old", "a", "us-east-1", b"{}"));
        for n in 0..MAX_CALLS {
            log.record(call(&format!("r{n}"), "a", "us-east-1", b"{}"));
        }
        assert_eq!((log.calls.len(), log.counts.len()), (MAX_CALLS, MAX_CALLS));
        assert_eq!(log.so_far(&call("old", "a", "", b"").caller, "us-east-1"), 0);
        assert_eq!((log.bytes, log.count()), (2 * MAX_CALLS, MAX_CALLS + 1));
    }

    #[test]
    fn a_long_request_is_kept_as_the_text_of_its_beginning() {
        let body = format!("{{\"a\":\"{}\"}}", "ä".repeat(MAX_REQUEST_BYTES));
        let kept = call("r", "a", "us-east-1", body.as_bytes()).to_json();
        let kept = kept["request"].as_str().unwrap();
        assert!(body.starts_with(kept));
        assert!((MAX_REQUEST_BYTES - 3..=MAX_REQUEST_BYTES).contains(&kept.len()));
    }
}
