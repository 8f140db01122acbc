//! Checks properties that hold for any input. The fuzz targets search for texts that violate them, and
//! `crates/bcce-core/tests/replay.rs` runs the stored texts (`corpus/`) through the same functions.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bcce_core::base::error::{Fault, Problems};
use bcce_core::base::limits::{MAX_PROMPT_BYTES, MAX_TEMPLATE_BYTES};
use bcce_core::config::template::Template;
use bcce_core::config::webhook::Source;
use bcce_core::document::prompt::{Prompt, Templates, render, variables};
use bcce_core::run::request::{Request, StoredRequest, workflow_and_id};
use bcce_core::webhook::{Call, Event, Refusal, Secret, requests, verify};
use hmac::{Hmac, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use time::OffsetDateTime;

/// The separator between the parts of a text: a template and its context, or the values of a context.
const SEPARATOR: &str = "\n===\n";
/// The text that no message may quote. It is planted in the input.
const PLANTED: &str = "hunter2";
/// The number that no message may quote.
const PLANTED_NUMBER: u32 = 918_273_645;
const MAX_FAULT_BYTES: usize = 20_000;

/// Checks the parsing of an inbox message. A valid request stays the same when it is stored and read.
pub fn request(body: &str) {
    let (workflow, _) = workflow_and_id(body);
    assert!(workflow.is_none_or(|name| !name.is_empty() && !name.contains('/')));
    match Request::parse(body) {
        Ok(request) => {
            let again = serde_json::to_string(&request).unwrap();
            assert_eq!(Request::parse(&again).as_ref(), Ok(&request), "{again}");
            let stored = StoredRequest::new(request, "tenant", "message");
            let bytes = serde_json::to_vec(&stored).unwrap();
            let read: StoredRequest = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(serde_json::to_vec(&read).unwrap(), bytes);
        }
        Err(problems) => bounded(problems),
    }
    if let Ok(mut value) = serde_json::from_str(body)
        && !has_planted(body)
    {
        plant(&mut value);
        if let Err(problems) = Request::parse(&value.to_string()) {
            quotes_nothing(&problems.to_string());
        }
    }
}

/// Checks the parsing of a workflow. A valid workflow stays the same when it is written and read.
pub fn template(yaml: &str) {
    let template = match Template::parse(yaml) {
        Ok(template) => template,
        Err(problems) => return bounded(problems),
    };
    let again = serde_json::to_string(&template).unwrap();
    assert_eq!(Template::parse(&again), Ok(template.clone()), "{again}");
    let waves = template.waves().unwrap();
    assert_eq!(waves.iter().map(Vec::len).sum::<usize>(), template.steps.len());
    assert!(template.steps.iter().any(|step| Some(step.id.as_str()) == template.result()));
    for step in &template.steps {
        assert!(variables(&step.prompt).is_ok());
        let _ = render(&step.templates(), &json!({ "inputs": {}, "steps": {} }));
    }
}

/// Checks the rendering of a prompt. The text is a prompt template, followed by the separator and the context as JSON.
pub fn prompt(text: &str) {
    let (source, context) = text.split_once(SEPARATOR).unwrap_or((text, "{}"));
    let Ok(mut context) = serde_json::from_str::<Value>(context) else { return };
    let checked = variables(source);
    if let Ok(prompt) = render(&Templates { user: source, ..Templates::default() }, &context) {
        assert!(checked.is_ok() && source.len() <= MAX_TEMPLATE_BYTES);
        sized(&prompt);
    } else if let Err(cause) = &checked {
        let problem =
            render(&Templates { user: source, ..Templates::default() }, &context).unwrap_err();
        assert_eq!((problem.field.as_str(), &problem.cause), ("prompt", cause));
    }
    if has_planted(text) {
        return;
    }
    plant(&mut context);
    // Text that the author of the template marks as safe or writes out is not data.
    let vouched = ["safe", "<data", "</"].iter().any(|part| source.contains(part));
    match render(
        &Templates { system: Some(source), user: source, ..Templates::default() },
        &context,
    ) {
        Ok(prompt) if !vouched => enclosed(&prompt),
        Ok(_) => {}
        Err(problem) => {
            quotes_nothing(&problem.cause);
            bounded(Problems::one(problem.field, problem.cause));
        }
    }
}

const PROVIDERS: [&str; 5] = [
    "provider: github",
    "provider: slack",
    "provider: stripe",
    "provider: standard-webhooks",
    "provider: hmac\nsignature: { header: X-Signature, encoding: base64 }",
];

/// Checks the verification of a webhook call. The text has the headers, one on each line, followed by the separator and
/// the body. The call must be refused without a valid signature, accepted with one, and refused again after one byte is
/// added to its body.
pub fn call(text: &str) {
    let (lines, body) = text.split_once(SEPARATOR).unwrap_or(("", text));
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_ascii_lowercase(), value.to_owned()))
    };
    let headers: BTreeMap<String, String> = lines.lines().filter_map(header).collect();
    let now = OffsetDateTime::from_unix_timestamp(1_793_534_400).unwrap();
    for provider in PROVIDERS {
        let source = source(&format!("version: 1\n{provider}\nsecrets: [s]\nrules: []\n"));
        let source = source.unwrap();
        let secrets = [Secret::parse(source.provider, "d2hhdCBub2JvZHkga25vd3M=").unwrap()];
        let reported =
            verify(&source, &secrets, &Call { headers: &headers, body: body.as_bytes() }, now);
        match reported {
            Err(Refusal::Unsigned(cause)) => bounded(Problems::one("signature", cause)),
            reported => assert_eq!(reported, Err(Refusal::Forged), "{provider}"),
        }

        let signed = signed(provider, &headers, body);
        let call = Call { headers: &signed, body: body.as_bytes() };
        assert_eq!(verify(&source, &secrets, &call, now), Ok(()), "{provider}");
        let longer = [body.as_bytes(), b" "].concat();
        let call = Call { body: &longer, ..call };
        assert_ne!(verify(&source, &secrets, &call, now), Ok(()), "{provider}");
        if let Err(problems) = Event::read(&source, "source", &call) {
            bounded(problems);
        }
    }
}

/// Returns the headers of a call with a valid signature. The signature is computed without the code that checks it.
fn signed(
    provider: &str,
    headers: &BTreeMap<String, String>,
    body: &str,
) -> BTreeMap<String, String> {
    let mac = |secret: &[u8], parts: &[&str]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        parts.iter().for_each(|part| mac.update(part.as_bytes()));
        mac.finalize().into_bytes()
    };
    let (secret, time) = (b"d2hhdCBub2JvZHkga25vd3M=", "1793534500");
    let own: Vec<(&str, String)> = match provider {
        "provider: github" => {
            vec![("x-hub-signature-256", format!("sha256={}", hex::encode(mac(secret, &[body]))))]
        }
        "provider: slack" => {
            let mac = hex::encode(mac(secret, &["v0:", time, ":", body]));
            let time = ("x-slack-request-timestamp", time.to_owned());
            vec![time, ("x-slack-signature", format!("v0={mac}"))]
        }
        "provider: stripe" => {
            let mac = hex::encode(mac(secret, &[time, ".", body]));
            vec![("stripe-signature", format!("t={time},v0=00,v1=00,v1={mac}"))]
        }
        "provider: standard-webhooks" => {
            let mac = STANDARD.encode(mac(b"what nobody knows", &["msg_1.", time, ".", body]));
            let own = [("webhook-id", "msg_1"), ("webhook-timestamp", time)];
            let own = own.map(|(name, value)| (name, value.to_owned()));
            own.into_iter().chain([("webhook-signature", format!("v2,x v1,{mac}"))]).collect()
        }
        _ => vec![("x-signature", STANDARD.encode(mac(secret, &[body])))],
    };
    let mut headers = headers.clone();
    headers.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value)));
    headers
}

fn source(yaml: &str) -> Result<Source, Problems> {
    bcce_core::document::from_yaml(yaml).finished()
}

/// Checks the rules of a webhook source. The text is the document of the source, followed by the separator and the body
/// of a call. The rules must produce valid requests, or an error that quotes no value of the body.
pub fn mapping(text: &str) {
    let (yaml, body) = text.split_once(SEPARATOR).unwrap_or((text, "{}"));
    let source = match source(yaml) {
        Ok(source) => source,
        Err(problems) => return bounded(problems),
    };
    let again = serde_json::to_string(&source).unwrap();
    assert_eq!(self::source(&again), Ok(source.clone()), "{again}");
    let Ok(mut payload) = serde_json::from_str::<Value>(body) else { return };
    let written_out = has_planted(text);
    plant(&mut payload);
    let headers = [("x-github-event", "issues"), ("webhook-id", "msg_1")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let body = payload.to_string();
    let reported =
        Event::read(&source, "source", &Call { headers: &headers, body: body.as_bytes() })
            .and_then(|event| requests(&source, &event));
    match reported {
        Ok(mapped) => {
            for one in mapped {
                let request = Request::parse(&one.body).unwrap();
                assert_eq!((request.workflow, request.id), (one.workflow, Some(one.id)));
            }
        }
        Err(problems) => {
            if !written_out {
                quotes_nothing(&problems.to_string());
            }
            bounded(problems);
        }
    }
}

/// The workflows of this repository.
pub const SHIPPED: [&str; 4] = [
    include_str!("../../infra/config/dev/workflows/bug-hunt.yaml"),
    include_str!("../../infra/config/dev/workflows/code-review.yaml"),
    include_str!("../../infra/config/dev/workflows/docs-gen.yaml"),
    include_str!("../../infra/config/dev/workflows/explain.yaml"),
];

/// Checks the prompts of the workflows of this repository with inputs and answers from `text`. Inputs and answers that
/// fit their schemas must always produce a prompt.
pub fn shipped(text: &str) {
    static PARSED: LazyLock<[Template; 4]> =
        LazyLock::new(|| SHIPPED.map(|yaml| Template::parse(yaml).unwrap()));
    let mut texts = text.split(SEPARATOR).cycle();
    for template in PARSED.iter() {
        let mut inputs = Map::new();
        for (name, spec) in &template.inputs {
            let mut schema = spec.schema.clone().unwrap_or(json!({}));
            schema["type"] = serde_json::to_value(spec.kind).unwrap();
            inputs.insert(name.clone(), fitting(&schema, &mut texts));
        }
        let mut answers = Map::new();
        for step in template.waves().unwrap().concat() {
            let mut context = json!({ "inputs": inputs, "steps": answers });
            if let Some(list) = step.list() {
                (context["item"], context["index"]) = (inputs[list][0].clone(), json!(0));
            }
            let prompt = render(&step.templates(), &context).unwrap();
            assert!(prompt.user.contains(PLANTED), "the prompt contains no data");
            sized(&prompt);
            enclosed(&prompt);
            let schema = step.output.as_ref().and_then(|output| output.schema.clone());
            let schema = schema.unwrap_or(json!({ "type": "string" }));
            let schema = match step.list() {
                Some(_) => json!({ "type": "list", "items": schema }),
                None => schema,
            };
            answers.insert(step.id.clone(), fitting(&schema, &mut texts));
        }
    }
}

/// Returns a value that fits `schema`. Supports the schemas of this repository. Every list has two items.
fn fitting<'a>(schema: &Value, texts: &mut impl Iterator<Item = &'a str>) -> Value {
    if let Some(first) = schema.pointer("/enum/0") {
        return first.clone();
    }
    match schema["type"].as_str().unwrap() {
        "object" => {
            let properties = schema["properties"].as_object().unwrap();
            properties.iter().map(|(name, of)| (name.clone(), fitting(of, texts))).collect()
        }
        "list" | "array" => (0..2).map(|_| fitting(&schema["items"], texts)).collect(),
        "integer" => PLANTED_NUMBER.into(),
        "string" => format!("{PLANTED}{}", texts.next().unwrap_or_default()).into(),
        other => unreachable!("no workflow of this repository has the type {other}"),
    }
}

/// Puts [`PLANTED`] before every text and replaces every number by [`PLANTED_NUMBER`].
fn plant(value: &mut Value) {
    match value {
        Value::String(text) => text.insert_str(0, PLANTED),
        Value::Number(number) => *number = PLANTED_NUMBER.into(),
        Value::Array(items) => items.iter_mut().for_each(plant),
        Value::Object(map) => map.values_mut().for_each(plant),
        Value::Null | Value::Bool(_) => {}
    }
}

fn has_planted(text: &str) -> bool {
    text.contains(PLANTED) || text.contains(&PLANTED_NUMBER.to_string())
}

fn quotes_nothing(reported: &str) {
    assert!(!has_planted(reported), "{reported}");
}

fn bounded(problems: Problems) {
    let fault = Fault::from(problems);
    assert!(fault.message.len() <= MAX_FAULT_BYTES, "{} bytes", fault.message.len());
}

fn sized(prompt: &Prompt) {
    assert!(prompt.user.len() <= MAX_PROMPT_BYTES);
}

/// Checks that planted text is only between tags that a data rule names.
fn enclosed(prompt: &Prompt) {
    let rules = [prompt.data_rule.as_deref().unwrap_or_default(), &prompt.user];
    let named = rules.iter().flat_map(|text| text.split("Text between <").skip(1));
    let mut tags: Vec<&str> = named.filter_map(|rest| Some(rest.split_once('>')?.0)).collect();
    tags.retain(|tag| tag.starts_with("data-"));
    let mut rest = prompt.user.as_str();
    let next = |rest: &str| {
        let opened = tags.iter().filter_map(|tag| Some((rest.find(&format!("<{tag}>"))?, *tag)));
        opened.min()
    };
    while let Some((at, tag)) = next(rest) {
        assert!(!rest[..at].contains(PLANTED), "outside of {tag}: {}", &rest[..at]);
        let (_, after) = rest[at..]
            .split_once(&format!("</{tag}>"))
            .expect("every opening tag has a closing one");
        rest = after;
    }
    assert!(!rest.contains(PLANTED), "outside of any tag: {rest}");
}
