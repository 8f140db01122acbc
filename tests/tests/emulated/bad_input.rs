//! Mistakes that people make in messages, requests and workflows, and the error for each: one table, and for each row
//! the notification and the output of `bcce submit`.
//!
//! A reader must be able to correct the mistake from the message alone. So the table has the text of each message.

use std::cell::RefCell;
use std::io::Write;
use std::process::{Command, Stdio};

use bcce_tests::harness::cli::ROOT;
use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh, output};
use futures::future::join_all;
use serde_json::{Map, Value, json};

/// Returns a workflow of one step. `step` has further fields of the step, and `more` further lines of the workflow.
fn template(step: &str, more: &str) -> String {
    format!(
        "version: 1\nname: NAME\ninputs:\n  text: {{ type: string }}\nsteps:\n- id: a\n  model: haiku\n  prompt: p\n  {step}\n{more}\n"
    )
}

/// Messages that are not requests: they become dead letters, and a notification is sent.
fn messages(id: &str) -> Vec<(&'static str, String, &'static str)> {
    let explain = |more: &str| format!(r#"{{"workflow":"explain","id":"{id}"{more}}}"#);
    let long = "x".repeat(300);
    #[rustfmt::skip]
    let table = vec![
        ("not JSON", format!("text {id}"), "request: is not JSON: expected ident at line 1 column 2"),
        ("JSON that ends too early", format!(r#"{{"workflow":"explain","id":"{id}""#), "request: is not JSON: EOF while parsing an object"),
        ("not an object", format!(r#"["{id}"]"#), "request: must be an object"),
        ("several wrong types", format!(r#"{{"workflow":7,"id":"{id}","inputs":"x","tags":{{"team":1}}}}"#), "workflow: must be a string|inputs: must be an object|tags.team: must be a string"),
        ("a missing field", format!(r#"{{"id":"{id}"}}"#), "workflow: is missing"),
        ("an unknown field", explain(r#","input":{}"#), "input: is unknown; there are: workflow, id, inputs, tags, model; did you mean inputs?"),
        ("a repeated key", explain(r#","inputs":{"text":"a","text":"b"}"#), "inputs.text: appears twice in the same object"),
        ("an invalid name", format!(r#"{{"workflow":"../secrets","id":"{id}"}}"#), "workflow: must be 1 to 64 letters, digits, '-' or '_'"),
        ("an empty id", format!(r#"{{"workflow":"explain","id":"","tags":{{"k":"{id}"}}}}"#), "id: must be 1 to 256 bytes, is 0"),
        ("an id of 300 bytes", format!(r#"{{"workflow":"explain","id":"{long}","tags":{{"k":"{id}"}}}}"#), "id: must be 1 to 256 bytes, is 300"),
        ("a tag that BCCE sets", explain(r#","tags":{"run_id":"x"}"#), "tags.run_id: is set by BCCE itself"),
        ("a tag that is too long", explain(&format!(r#","tags":{{"team":"{}"}}"#, "ü".repeat(1_025))), "tags.team: must be at most 1024 characters, is 1025"),
        ("a tag without a name", explain(r#","tags":{"":"a"}"#), "its key must be 1 to 256 characters without control characters"),
        ("text after the JSON", explain("") + " {}", "request: has text after the end of the JSON"),
    ];
    table
}

/// Requests that cannot be planned: the run fails before any call, and `bcce submit` sends nothing. Each row has the
/// mistake, the workflow (`=` and the name of an existing one, or what [`register`] takes), the other fields of the
/// request, and the parts of the expected error, separated by `|`.
fn requests() -> Vec<(&'static str, String, Value, &'static str)> {
    let hunt = |files: Value| json!({ "inputs": { "files": files } });
    let many = vec![json!({ "path": "a", "text": "" }); 200];
    let steps: String =
        (0..500).map(|n| format!("- {{ id: s{n}, model: haiku, prompt: p }}\n")).collect();
    let nothing = || json!({});
    #[rustfmt::skip]
    let table = vec![
        ("an unknown model", "=explain".into(), json!({ "model": "gpt", "inputs": { "text": "t" } }), "model: there is no model gpt; there are: haiku, opus, sonnet"),
        ("a missing input", "=explain".into(), nothing(), "inputs.text: is required"),
        ("several wrong inputs", "=explain".into(), json!({ "inputs": { "text": 7, "txt": "x" } }), "inputs.text: must be a string|inputs.txt: is not an input of this workflow; it has: audience, text"),
        ("an item of another shape", "=bug-hunt".into(), hunt(json!([{ "path": "a.rs" }, 7])), "inputs.files[0]: \"text\" is a required property|inputs.files[1]: value is not of type \"object\""),
        ("an empty list", "=bug-hunt".into(), hunt(json!([])), "inputs.files: value has less than 1 item"),
        ("too many items", "=bug-hunt".into(), hunt(json!(many)), "inputs.files: has 200 items, which makes 201 step executions in the run (limit: 200)"),
        ("a model of the request that takes no temperature", template("temperature: 0.5", ""), json!({ "model": "sonnet" }), "steps.a.temperature: sonnet does not take a temperature"),
        ("a workflow that is not YAML", "version: [".into(), nothing(), "workflows/NAME: document: line "),
        ("a cycle", template("needs: [b]", "- { id: b, model: haiku, prompt: p, needs: [a] }"), nothing(), "workflows/NAME: steps: need each other: a, b"),
        ("an unknown variable", template("system: \"{{ inputs.txt }}\"", ""), nothing(), "workflows/NAME: steps.a.system: reads inputs.txt, which is neither an input nor a step in `needs`"),
        ("an unknown field", template("max_token: 7", ""), nothing(), "steps.a.max_token: is unknown; there are: id, needs, for_each, model, system, prompt, max_tokens, temperature, effort, thinking, cache, response_cache, output, routing; did you mean max_tokens?"),
        ("several mistakes in a workflow", template("temperature: 2\n  needs: b\n  model2: x", "- { model: haiku, prompt: p }"), nothing(), "steps.a.needs: must be a list|steps.a.model2: is unknown|steps[1].id: is missing|steps.a.temperature: must be 0 to 1"),
        ("too many tokens", template("max_tokens: 128001", ""), nothing(), "steps.a.max_tokens: haiku gives at most 128000 tokens"),
        ("a model of the step that takes no temperature", template("temperature: 0.5", "").replace("haiku", "opus"), nothing(), "steps.a.temperature: opus does not take a temperature"),
        ("an unknown effort", template("effort: much", ""), nothing(), "steps.a.effort: haiku takes one of low, medium, high, xhigh, max"),
        ("500 steps", format!("version: 1\nname: NAME\nsteps:\n{steps}"), nothing(), "workflows/NAME: steps: must be 1 to 200, there are 500"),
        ("an invalid schema", template("output: { type: json, schema: { type: 7 } }", ""), nothing(), "steps.a.output.schema: is not a JSON schema"),
        ("another name", template("", "").replace("NAME", "other"), nothing(), "name: the template of NAME is named other"),
        ("a missing body", "pointer {\"uri\":\"s3://BUCKET/config/gone\",\"sha256\":\"0\"}".into(), nothing(), "workflows/NAME: uri: there is no config/gone"),
        ("a body with another digest", "digest".into(), nothing(), "workflows/NAME: sha256: config/workflows/NAME/test.yaml has the digest"),
        ("a body in another bucket", "pointer {\"uri\":\"s3://other/x\",\"sha256\":\"0\"}".into(), nothing(), "workflows/NAME: uri: must lie in s3://BUCKET/"),
        ("an invalid pointer", "pointer {\"uri\":\"s3://BUCKET/x\"}".into(), nothing(), "workflows/NAME: document: invalid pointer: expected exactly `uri` and `sha256`"),
        ("a body that is not UTF-8", "binary".into(), nothing(), "config/workflows/NAME/test.yaml is not UTF-8 from byte 2 on"),
    ];
    table
}

/// Workflows whose mistake shows only while they run: the step fails. Each row has the mistake, fields of the step, the
/// number of calls, and the parts of the expected error.
#[rustfmt::skip]
const RUNS: &[(&str, &str, usize, &str)] = &[
    ("a prompt that never ends", "prompt: \"{% for a in 'abcdefghijklmnopqrstuvwxyz' %}{% for b in 'abcdefghijklmnopqrstuvwxyz' %}{% for c in 'abcdefghijklmnopqrstuvwxyz' %}{% for d in 'abcdefghijklmnopqrstuvwxyz' %}{% for e in 'abcdefghijklmnopqrstuvwxyz' %}x{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}\"", 0, "Bcce.InvalidRequest: step a: steps.a.prompt: takes too much time or memory to render"),
    ("a missing value", "prompt: \"{{ inputs.list[3] }}\"", 0, "Bcce.InvalidRequest: step a: steps.a.prompt: undefined value on line 1"),
    ("an answer that never fits", "prompt: '@model says: {\"ok\": 1}'\n  output: { type: json, schema: { type: object, properties: { ok: { type: boolean } } } }", 2, "Bcce.OutputInvalid: step a: value is not of type \"boolean\" (schema /properties/ok/type) (asked twice)"),
    ("JSON that max_tokens cuts", "prompt: \"@model *: max-tokens\"\n  output: { type: json }", 2, "Bcce.OutputInvalid: step a: the answer was cut by max_tokens = 18432: the answer is not JSON"),
    ("a guardrail that intervenes", "prompt: \"@model *: guardrail\"", 1, "Bcce.GuardrailIntervened: step a: us.anthropic.claude-haiku-5-5 in us-east-1: stopped: guardrail_intervened"),
];

/// Returns the parts of the expected text that are missing in a text.
fn missing<'a>(expected: &'a str, text: &str) -> Vec<&'a str> {
    expected.split('|').filter(|part| !text.contains(part)).collect()
}

/// Each mistake of the tables is reported with its field and cause, in the notification and by `bcce submit`.
#[tokio::test]
async fn each_mistake_is_reported_with_its_field_and_cause() {
    let stack = Stack::connect().await;
    let listener = Listener {
        stack: &stack,
        queue: stack.listen(&fresh("bad-input")).await,
        notifications: RefCell::default(),
    };
    let messages: Vec<_> = messages("ID").iter().map(|row| row.0).collect();
    let wrong = [
        join_all(messages.into_iter().map(|case| rejected(&listener, case))).await,
        join_all(requests().iter().map(|row| refused(&listener, row))).await,
        join_all(RUNS.iter().map(|row| failed(&stack, row))).await,
    ];
    let wrong: Vec<String> = wrong.into_iter().flatten().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The notifications that the topic has sent so far.
struct Listener<'a> {
    stack: &'a Stack,
    queue: String,
    notifications: RefCell<Vec<String>>,
}

impl Listener<'_> {
    /// Waits for a notification that contains `text`.
    async fn notification(&self, case: &str, text: &str) -> Value {
        let what = format!("the notification of `{case}`");
        let found = self.stack.eventually(&what, async || {
            let new = self.stack.sweep(&self.queue, 600).await;
            let mut notifications = self.notifications.borrow_mut();
            notifications.extend(new.into_iter().map(|message| message.body.unwrap()));
            notifications.iter().find(|notification| notification.contains(text)).cloned()
        });
        serde_json::from_str(&found.await).unwrap()
    }
}

/// Sends a message that is not a request, and returns what is wrong with its dead letter or notification.
async fn rejected(listener: &Listener<'_>, case: &str) -> Option<String> {
    let id = fresh("message");
    let (_, body, expected) = messages(&id).into_iter().find(|row| row.0 == case).unwrap();
    let message_id = listener.stack.send(&body).await;
    let dead_letters = output("DeadLetterQueueUrl");
    let letter = listener.stack.receive(&dead_letters, |m| m.body() == Some(&body)).await;
    let attribute = |name: &str| letter.message_attributes().unwrap()[name].string_value().unwrap();
    let request_id = attribute("request_id");
    assert!([&id, &message_id].into_iter().any(|id| id == request_id), "{case}: {request_id}");
    let notification = listener.notification(case, request_id).await;
    let message = notification["error"]["message"].as_str().unwrap();
    let missing = [missing(expected, message), missing(expected, attribute("reason"))].concat();
    (!missing.is_empty() || notification["status"] != "REJECTED")
        .then(|| format!("{case}: {missing:?} is missing in {notification}"))
}

/// Sends a request that cannot be planned, and returns what is wrong with its run, its notification or the output of
/// `bcce submit`.
async fn refused(
    listener: &Listener<'_>,
    (case, workflow, request, expected): &(&str, String, Value, &str),
) -> Option<String> {
    let stack = listener.stack;
    let name = register(stack, workflow).await;
    let expected = expected.replace("NAME", &name).replace("BUCKET", &output("ArtifactBucket"));
    let id = fresh("request");
    let mut message: Map<String, Value> = request.as_object().unwrap().clone();
    message.insert("workflow".into(), json!(name));
    message.insert("id".into(), json!(id));
    let (exit, output) = submit(&message).await;
    let mut off = missing(&expected, &output);
    stack.send(&Value::Object(message).to_string()).await;
    let run = RunRef::first("default", &name, &id);
    let notification = listener.notification(case, &run.run_id).await;
    let in_notification = notification["error"]["message"].as_str().unwrap();
    off.extend(missing(&expected, in_notification));
    let sealed = stack.object(&run.manifest_key()).await.is_some();
    let well = off.is_empty() && exit == 2 && sealed && calls(&run).is_empty();
    (!well || notification["error"]["name"] != "Bcce.InvalidRequest").then(|| {
        format!(
            "{case}: {off:?} is missing\n  in {notification}\n  or in the command's (exit {exit}) {output}"
        )
    })
}

/// Runs a workflow that fails, and returns what is wrong with the error or the number of calls.
async fn failed(
    stack: &Stack,
    (case, step, called, expected): &(&str, &str, usize, &str),
) -> Option<String> {
    let name = fresh("runs");
    let inputs = "inputs:\n  list: { type: list, default: [1] }";
    let body =
        format!("version: 1\nname: {name}\n{inputs}\nsteps:\n- id: a\n  model: haiku\n  {step}\n");
    stack.put_workflow(&name, &body).await;
    let manifest = stack.run(&name, "1", json!({})).await;
    let error = &manifest["error"];
    let text = format!("{}: {}", error["name"].as_str()?, error["message"].as_str()?);
    let calls = calls(&RunRef::first("default", &name, "1")).len();
    let off = missing(expected, &text);
    (!off.is_empty() || calls != *called)
        .then(|| format!("{case}: {off:?} is missing in {text}, after {calls} calls"))
}

/// Stores the workflow of a row, and returns its name. `=<name>` is an existing workflow, `pointer <value>` a pointer
/// with that value, `digest` a pointer with a wrong digest, `binary` a body that is not UTF-8, and all else the text of
/// a workflow.
async fn register(stack: &Stack, workflow: &str) -> String {
    if let Some(known) = workflow.strip_prefix('=') {
        return known.to_owned();
    }
    let name = fresh("bad");
    match workflow.split_once(' ') {
        Some(("pointer", value)) => {
            stack.point_workflow(&name, &value.replace("BUCKET", &output("ArtifactBucket"))).await;
        }
        _ if workflow == "digest" => {
            let mut pointer = stack.put_template(&name, b"version: 1\n").await;
            pointer.sha256 = "0".repeat(64);
            stack.point_workflow(&name, &serde_json::to_string(&pointer).unwrap()).await;
        }
        _ if workflow == "binary" => {
            let pointer = stack.put_template(&name, b"v:\xff").await;
            stack.point_workflow(&name, &serde_json::to_string(&pointer).unwrap()).await;
        }
        _ => stack.put_workflow(&name, &workflow.replace("NAME", &name)).await,
    }
    name
}

/// Calls `bcce submit` with the request, and returns its exit code and its error output.
async fn submit(request: &Map<String, Value>) -> (i32, String) {
    let text = |name: &str| request.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut args =
        vec!["submit".to_owned(), text("workflow").unwrap(), "--inputs".into(), "-".into()];
    args.extend(text("model").into_iter().flat_map(|model| ["--model".to_owned(), model]));
    let inputs = request.get("inputs").cloned().unwrap_or(json!({})).to_string();
    let run = move || {
        let mut command = Command::new(format!("{ROOT}/target/debug/bcce"));
        let piped = command.args(args).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(inputs.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        (done.status.code().unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}
