//! Webhook calls over HTTP to the function's public address.

use bcce_core::run::ids::RunRef;
use bcce_tests::harness::stack::{Stack, fresh, output};
use serde_json::{Value, json};

const ISSUE: &str = include_str!("../../../events/webhook/github-issue-opened.json");

/// Returns the status and the JSON of the answer. A call that is answered 503 is repeated, as providers do: the
/// function waits two seconds for other services, which is too short on a busy machine.
fn call(source: &str, headers: &Value, body: &[u8]) -> (u16, Value) {
    for _ in 0..60 {
        match call_once(source, headers, body) {
            // The calls are spread over half a minute, because the function waits longer after each failure before it
            // reads the documents again.
            (503, _) => std::thread::sleep(std::time::Duration::from_millis(500)),
            answer => return answer,
        }
    }
    panic!("the function answers every call with 503");
}

fn call_once(source: &str, headers: &Value, body: &[u8]) -> (u16, Value) {
    let url = format!("{}hooks/{source}", output("WebhookUrl"));
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.post(url);
    for (name, value) in headers.as_object().unwrap().iter().filter(|(name, _)| *name != "host") {
        request = request.header(name, value.as_str().unwrap());
    }
    let mut response = request.send(body).unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    let answer = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    (response.status().as_u16(), answer)
}

/// The names of the sources of these tests. They are stored together, because the function lists the sources at most
/// once in half a minute.
struct Sources {
    signed: String,
    refused: String,
    /// The name of a source whose secret is not stored.
    keyless: String,
}

/// Stores GitHub's sample source under unique names, so that no other test uses the same event ids, and waits until the
/// function has listed them.
async fn sources(stack: &Stack) -> &'static Sources {
    static SOURCES: tokio::sync::OnceCell<Sources> = tokio::sync::OnceCell::const_new();
    let put = async || {
        let body = include_str!("../../../infra/config/dev/webhooks/github.yaml");
        let keyless = body.replace("secrets: [github]", "secrets: [never-put]");
        assert_ne!(keyless, body, "the sample must have `secrets: [github]`");
        let names = ["signed", "refused", "keyless"].map(fresh);
        for (name, body) in names.iter().zip([body, body, keyless.as_str()]) {
            stack.put_webhook(name, body).await;
        }
        for name in &names {
            stack
                .eventually("the source is listed", async || {
                    (call(name, &json!({}), b"{}").0 != 404).then_some(())
                })
                .await;
        }
        let [signed, refused, keyless] = names;
        Sources { signed, refused, keyless }
    };
    SOURCES.get_or_init(put).await
}

/// A call to a source whose secret is not stored is answered 401. A 5xx would let anybody who calls the address make
/// the alarm fire.
#[tokio::test]
async fn a_call_to_a_source_without_a_stored_secret_is_refused() {
    let stack = Stack::connect().await;
    let source = &sources(&stack).await.keyless;
    let forged = json!({ "x-hub-signature-256": format!("sha256={}", "0".repeat(64)) });
    for headers in [json!({}), json!({ "x-hub-signature-256": "sha256=00" }), forged] {
        let (status, answer) = call(source, &headers, b"{}");
        assert_eq!(status, 401, "{answer}");
    }
    stack.inbox_is_empty().await;
}

/// A signed call of GitHub starts a run with the mapped inputs and tags. A redelivery, and the same body under another
/// delivery id, get the same answer and start no second run.
#[tokio::test]
async fn a_signed_call_starts_one_run_however_often_it_is_sent() {
    let (stack, sample) = (Stack::connect().await, serde_json::from_str::<Value>(ISSUE).unwrap());
    let source = &sources(&stack).await.signed;
    let body = sample["body"].as_str().unwrap();
    let mut headers = sample["headers"].clone();
    let (status, answer) = call(source, &headers, body.as_bytes());
    assert_eq!(status, 202, "{answer}");
    let request = &answer["requests"][0];
    let run = RunRef::first("default", "explain", request["id"].as_str().unwrap());
    assert_eq!(request["run_id"], run.run_id);
    let manifest = stack.manifest(&run).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    assert_eq!(manifest["tags"]["repository"], "Codertocat/Hello-World");
    let plan: Value =
        serde_json::from_slice(&stack.object(&run.plan_key()).await.unwrap()).unwrap();
    let text = plan["inputs"]["text"].as_str().unwrap();
    assert!(text.starts_with("Spelling error in the README file\n\nIt looks like"), "{text}");

    // The same body arrives once more, under another delivery id.
    headers["x-github-delivery"] = json!("another");
    assert_eq!(call(source, &headers, body.as_bytes()), (202, answer.clone()));
    stack.inbox_is_empty().await;
    assert_eq!(bcce_tests::harness::stack::calls(&run).len(), 1);
}

/// A call with a wrong signature, a changed or too large body or an unknown source is refused and starts nothing. A
/// signed event without a rule is accepted and sends no request, and a ping is answered 200.
#[tokio::test]
async fn a_refused_call_starts_nothing() {
    let (stack, sample) = (Stack::connect().await, serde_json::from_str::<Value>(ISSUE).unwrap());
    let source = &sources(&stack).await.refused;
    let body = sample["body"].as_str().unwrap();
    let headers = &sample["headers"];
    let with = |name: &str, value: Value| {
        let mut headers = headers.clone();
        headers[name] = value;
        headers
    };
    let unsigned = with("x-hub-signature-256", json!("sha256=00"));
    #[rustfmt::skip]
    let table: [(&str, &Value, Vec<u8>, u16); 6] = [
        (source, &unsigned, body.into(), 401),
        (source, headers, body.replace("opened", "edited").into(), 401),
        (source, headers, b"\xff\xfe".to_vec(), 401),
        (source, headers, vec![b'x'; 1_048_577], 413),
        ("nobody", headers, body.into(), 404),
        ("nobody/else", headers, body.into(), 404),
    ];
    for (source, headers, body, expected) in table {
        let mut headers = headers.clone();
        headers["content-length"] = json!(body.len().to_string());
        let (status, answer) = call(source, &headers, &body);
        assert_eq!(status, expected, "{answer}");
        assert!(!answer.to_string().contains("Everybody"), "{answer}");
    }
    // None of them has become a run or a message.
    stack.inbox_is_empty().await;
    for body in [body.to_owned(), body.replace("opened", "edited")] {
        let id = format!("{source}:{}", bcce_core::base::digest::sha256_hex(body.as_bytes()));
        let run = RunRef::first("default", "explain", &id);
        assert!(stack.keys(&run).await.is_empty(), "{id}");
    }
    let push = with("x-github-event", json!("push"));
    assert_eq!(call(source, &push, body.as_bytes()), (202, json!({ "requests": [] })));
    let ping = with("x-github-event", json!("ping"));
    assert_eq!(call(source, &ping, body.as_bytes()).0, 200);
}
