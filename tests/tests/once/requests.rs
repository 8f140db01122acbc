//! The requests of the test: runs that succeed, runs that fail, and messages that are not requests.

use bcce_tests::harness::stack::{Layout, RunRef, Stack, fresh, model};
use serde_json::{Value, json};

use bcce_tests::harness::seed::Seed;

/// The total number of requests. The next constants are the numbers of each kind, and all others are plain requests.
const REQUESTS: usize = 300;
const IN_WAVES: usize = 24;
const KILLED: usize = 16;
const FAILING_OVER: usize = 8;
const BAD_INPUTS: usize = 8;
const REFUSED: usize = 8;
const STOPPED: usize = 10;
const MALFORMED: usize = 8;
const USED_IDS: usize = 4;

/// The name under which the model holds the first call of the runs that are stopped.
pub const HELD: &str = "stopped";

/// The expected outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The run succeeds.
    Succeeds,
    /// The run fails with this error name.
    Fails(&'static str),
    /// The execution is stopped during its first call.
    Stopped,
    /// There is no run, but a dead letter whose reason begins with this text.
    Rejected(&'static str),
}

#[derive(Clone, Debug)]
pub struct Sent {
    pub body: String,
    /// The number of times that the message is sent.
    pub times: usize,
    pub outcome: Outcome,
    /// The run of the request. It has no meaning if the message is rejected.
    pub run: RunRef,
}

/// The names of the workflows of this test.
pub struct Workflows {
    waves: String,
    held: String,
}

impl Workflows {
    /// Stores the workflows.
    pub async fn put(stack: &Stack) -> Self {
        let (waves, held) = (fresh("waves"), fresh("held"));
        let step = "model: haiku, max_tokens: 60";
        let body = format!(
            "version: 1\nname: {waves}\ninputs:\n  parts: {{ type: list, required: true }}\n  order: {{ type: string }}\nsteps:\n  - {{ id: part, {step}, for_each: inputs.parts, prompt: \"{{{{ item }}}}\" }}\n  - {{ id: whole, {step}, needs: [part], prompt: \"{{{{ inputs.order }}}} {{{{ steps.part | tojson }}}}\" }}\n"
        );
        stack.put_workflow(&waves, &body).await;
        let body = format!(
            "version: 1\nname: {held}\nsteps:\n  - {{ id: first, {step}, prompt: \"@model *: held({HELD})\" }}\n  - {{ id: second, {step}, needs: [first], prompt: x }}\n"
        );
        stack.put_workflow(&held, &body).await;
        Self { waves, held }
    }
}

/// Returns the requests that are sent while all kinds of faults happen.
pub fn first(seed: &mut Seed, workflows: &Workflows) -> Vec<Sent> {
    let mut sent: Vec<Sent> = Vec::new();
    let text = |script: &str, n| json!({ "text": format!("{script}\nRequest number {n}.") });
    for n in 0..IN_WAVES {
        sent.push(in_waves(seed, &workflows.waves, n));
    }
    for n in 0..KILLED {
        sent.push(explain(
            Outcome::Succeeds,
            format!("killed-{n}"),
            text("@model *: kills, answer", n),
        ));
    }
    for n in 0..FAILING_OVER {
        let script = seed.pick(&["@model us-east-1: throttle", "@model us-east-1: cut"]);
        let mut over = explain(Outcome::Succeeds, format!("over-{n}"), text(script, n));
        over.body = with(&over.body, "model", json!(model(Layout::Two)));
        sent.push(over);
    }
    for n in 0..BAD_INPUTS {
        let outcome = Outcome::Fails("Bcce.InvalidRequest");
        sent.push(explain(outcome, format!("bad-{n}"), json!({ "text": n })));
    }
    for n in 0..REFUSED {
        let outcome = Outcome::Fails("Bcce.RequestRejected");
        sent.push(explain(outcome, format!("refused-{n}"), text("@model *: validation", n)));
    }
    for n in 0..MALFORMED {
        sent.push(malformed(n));
    }
    let rest = REQUESTS - sent.len() - STOPPED - USED_IDS;
    for n in 0..rest {
        sent.push(explain(Outcome::Succeeds, format!("plain-{n}"), text("", n)));
    }
    sent.iter_mut().for_each(|sent| sent.times = times(seed));
    sent
}

/// Returns the requests whose runs are stopped, and those that reuse an id of the first ones. They are sent later and
/// with fewer faults: a function that is killed after its execution was stopped is not called again, and its run is
/// finalized only after a quarter of an hour, when no function can be at work any more.
pub fn second(seed: &mut Seed, workflows: &Workflows, first: &[Sent]) -> Vec<Sent> {
    let stopped = (0..STOPPED).map(|n| {
        let run = RunRef::first("default", &workflows.held, &n.to_string());
        let body = json!({ "workflow": workflows.held, "id": n.to_string() }).to_string();
        Sent { body, times: times(seed), outcome: Outcome::Stopped, run }
    });
    let stopped: Vec<Sent> = stopped.collect();
    let used = first.iter().filter(|sent| matches!(sent.outcome, Outcome::Succeeds)).take(USED_IDS);
    let used = used.map(|sent| Sent {
        body: with(&sent.body, "tags", json!({ "another": "request" })),
        times: 1,
        outcome: Outcome::Rejected("id: was used before"),
        run: sent.run.clone(),
    });
    let used: Vec<Sent> = used.collect();
    stopped.into_iter().chain(used).collect()
}

/// Returns how often a message is sent: one to three times, and mostly once.
fn times(seed: &mut Seed) -> usize {
    seed.pick(&[1, 1, 1, 1, 2, 3])
}

fn explain(outcome: Outcome, id: String, inputs: Value) -> Sent {
    let body = json!({ "workflow": "explain", "id": id, "inputs": inputs }).to_string();
    Sent { body, times: 1, outcome, run: RunRef::first("default", "explain", &id) }
}

/// Returns a request with two or three items and a step over their answers. The model may kill the function that calls
/// it for any of them.
fn in_waves(seed: &mut Seed, workflow: &str, n: usize) -> Sent {
    let scripts = ["", "", "", "", "", "@model *: kills, answer\n"];
    let items = seed.between(2, 3);
    let parts: Vec<String> =
        (0..items).map(|part| format!("{}Part {part} of {n}.", seed.pick(&scripts))).collect();
    let inputs =
        json!({ "parts": parts, "order": format!("{}Put it together.", seed.pick(&scripts)) });
    let id = n.to_string();
    let body = json!({ "workflow": workflow, "id": id, "inputs": inputs }).to_string();
    let run = RunRef::first("default", workflow, &id);
    Sent { body, times: 1, outcome: Outcome::Succeeds, run }
}

fn malformed(n: usize) -> Sent {
    let id = format!("malformed-{n}");
    let (body, reason) = match n % 3 {
        0 => (format!("this is not JSON: {id}"), "request: is not JSON"),
        1 => (json!({ "id": id, "inputs": {} }).to_string(), "workflow: "),
        _ => (json!({ "id": id, "workflow": "explain", "input": {} }).to_string(), "input: "),
    };
    let run = RunRef::first("default", "explain", &id);
    Sent { body, times: 1, outcome: Outcome::Rejected(reason), run }
}

fn with(body: &str, field: &str, value: Value) -> String {
    let mut body: Value = serde_json::from_str(body).unwrap();
    body[field] = value;
    body.to_string()
}
