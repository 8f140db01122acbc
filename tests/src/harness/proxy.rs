//! Controls the fault proxy between the functions and the services. Its rules apply to every call of every function, so
//! only one test at a time uses it.

use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use super::stack::output;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The fault proxy, reserved for one test. Dropping it removes all rules.
pub struct Faults {
    _guard: MutexGuard<'static, ()>,
}

impl Faults {
    /// Reserves the proxy for this test and removes all rules.
    pub async fn none() -> Self {
        let faults = Self { _guard: ONE_AT_A_TIME.lock().await };
        faults.are(&json!([]));
        faults
    }

    /// Replaces the rules, and clears the list of rules that were applied.
    pub fn are(&self, rules: &Value) {
        let answer = ureq::delete(url("fired")).call().unwrap();
        assert_eq!(answer.status(), 200);
        let answer =
            ureq::post(url("rules")).content_type("application/json").send(rules.to_string());
        assert_eq!(answer.unwrap().status(), 200);
    }

    /// Returns the number of calls that a rule made fail. A call that a rule lets pass does not count.
    pub fn fired(&self) -> usize {
        let body =
            ureq::get(url("fired?limit=1000")).call().unwrap().body_mut().read_to_string().unwrap();
        let fired: Vec<Value> = serde_json::from_str(&body).unwrap();
        fired
            .iter()
            .filter(|event| !event["action"].as_str().unwrap().starts_with("latency"))
            .count()
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.are(&json!([]));
    }
}

fn url(of: &str) -> String {
    format!("{}/_microburst/{of}", output("FAULTS_URL"))
}

/// A fault of a call.
#[derive(Clone, Copy)]
pub enum Fault {
    /// The service answers with an error of this code and status.
    Error(&'static str, u16),
    /// The connection breaks before the call is handled.
    Reset,
    /// The call is handled, but the connection breaks before its answer arrives.
    AnswerLost,
    /// The answer takes longer than a function waits for it.
    Silence,
    /// Another transaction writes the same items.
    Conflict,
}

/// An error that the SDK does not retry.
pub const REFUSED: Fault = Fault::Error("AccessDeniedException", 400);

/// Returns a rule that makes the next `times` calls of one operation fail. `operation` has the form
/// `<service>:<operation>`.
pub fn rule(operation: &str, times: usize, fault: Fault) -> Value {
    let (key, value) = match fault {
        Fault::Error(code, status) => ("error", json!({ "code": code, "status": status })),
        Fault::Reset => ("reset", json!(true)),
        Fault::AnswerLost => ("response", json!({ "abort_frac": 0.0 })),
        Fault::Silence => ("timeout_ms", json!(30_000)),
        Fault::Conflict => {
            let fields = json!({ "CancellationReasons": [{ "Code": "TransactionConflict" }] });
            (
                "error",
                json!({ "code": "TransactionCanceledException", "status": 400, "fields": fields }),
            )
        }
    };
    let mut rule = passing(operation, times);
    rule[key] = value;
    rule
}

/// Returns rules that let `pass` calls succeed before [`rule`] applies. A run writes its request, plan, answer,
/// manifest and signature.
pub fn after(pass: usize, operation: &str, times: usize, fault: Fault) -> Value {
    // The first matching rule applies. A rule needs an action, so this one delays the call by one millisecond.
    let mut first = passing(operation, pass);
    first["latency"] = json!(1);
    let rule = rule(operation, times, fault);
    if pass == 0 { json!([rule]) } else { json!([first, rule]) }
}

fn passing(operation: &str, times: usize) -> Value {
    let (service, operation) = operation.split_once(':').unwrap();
    json!({ "service": service, "operation": operation, "times": times })
}
