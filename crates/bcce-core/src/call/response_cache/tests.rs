use std::collections::BTreeSet;

use serde_json::json;
use time::macros::datetime;

use super::*;
use crate::base::target::tests::target;
use crate::config::template::Template;
use crate::document::prompt::{Templates, render, tag};

const NOON: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

fn step(extra: &str) -> Step {
    let yaml =
        format!("version: 1\nname: w\nsteps:\n- {{ id: a, model: haiku, prompt: p{extra} }}\n");
    Template::parse(&yaml).unwrap().steps.remove(0)
}

fn guardrail(id: &str, version: &str, name: Option<&str>) -> Guardrail {
    Guardrail { id: id.into(), version: version.into(), name: name.map(str::to_owned) }
}

fn prompt(system: Option<&str>, user: &str) -> Prompt {
    Prompt { system: system.map(str::to_owned), user: user.into(), ..Prompt::default() }
}

/// Each ingredient of a call changes the key, and each of these calls has a key of its own.
#[test]
fn every_ingredient_changes_the_key() {
    let texts = |prompt: &Prompt| texts_sha256(prompt, "data-0").unwrap();
    let texts = [
        prompt(None, "p"),
        prompt(None, "q"),
        prompt(Some(""), "p"),
        prompt(Some("s"), "p"),
        prompt(Some("p"), "s"),
        Prompt { data_rule: Some("s".into()), ..prompt(None, "p") },
    ]
    .map(|prompt| texts(&prompt));
    let (text, json, schema) = (
        step(""),
        step(", output: { type: json }"),
        step(", output: { type: json, schema: { type: object } }"),
    );
    let rails = [
        guardrail("a", "1", None),
        guardrail("a", "2", None),
        guardrail("b", "1", None),
        guardrail("b", "1", Some("a")),
        guardrail("b", "1", Some("pii")),
    ];
    let plain = Parameters { max_tokens: 400, ..Parameters::default() };
    let sent = [
        Parameters { max_tokens: 401, ..plain.clone() },
        Parameters { temperature: Some(0.0), ..plain.clone() },
        Parameters { temperature: Some(0.5), ..plain.clone() },
        Parameters { effort: Some("low"), ..plain.clone() },
        Parameters { effort: Some("high"), ..plain.clone() },
        Parameters { thinking: Some(Thinking::On), ..plain.clone() },
        Parameters { thinking: Some(Thinking::Off), ..plain.clone() },
        Parameters { schema: Some(json!({ "type": "object" })), ..plain.clone() },
    ];
    let first = CachedCall {
        tenant: "default",
        model: "anthropic.claude-haiku-5-5",
        guardrail: None,
        texts_sha256: &texts[0],
        step: &text,
        parameters: &plain,
    };
    let mut calls = vec![
        first,
        CachedCall { tenant: "payments", ..first },
        CachedCall { model: "anthropic.claude-haiku-4-5", ..first },
        CachedCall { step: &json, ..first },
        CachedCall { step: &schema, ..first },
    ];
    calls.extend(texts[1..].iter().map(|texts_sha256| CachedCall { texts_sha256, ..first }));
    calls.extend(rails.iter().map(|rail| CachedCall { guardrail: Some(rail), ..first }));
    calls.extend(sent.iter().map(|parameters| CachedCall { parameters, ..first }));
    let keys: BTreeSet<String> = calls.iter().map(|call| call.key().unwrap()).collect();
    assert_eq!(keys.len(), calls.len());
    assert!(keys.iter().all(|key| key.len() == 64));
}

/// A guardrail with a name is the same in all regions. What is not sent does not change the key.
#[test]
fn what_the_answer_does_not_depend_on_leaves_the_key_alone() {
    let (east, west) = (guardrail("a", "4", Some("pii")), guardrail("d", "7", Some("pii")));
    let (one, other) = (step(""), step(", cache: 5m, system: s, response_cache: 7d"));
    let parameters = Parameters::default();
    let adapted =
        Parameters { adapted: vec!["effort max is sent as high".into()], ..parameters.clone() };
    let first = CachedCall {
        tenant: "default",
        model: "m",
        guardrail: Some(&east),
        texts_sha256: "0",
        step: &one,
        parameters: &parameters,
    };
    let second = CachedCall { guardrail: Some(&west), step: &other, parameters: &adapted, ..first };
    assert_eq!(first.key(), second.key());
}

fn texts(template: &str, context: &Value) -> String {
    let templates = Templates { user: template, ..Templates::default() };
    texts_sha256(&render(&templates, context).unwrap(), &tag(context)).unwrap()
}

/// The item of a longer list is the same call: only the digits of the tag differ.
#[test]
fn data_that_the_prompt_leaves_out_does_not_matter() {
    let one = json!({ "inputs": { "files": ["a"] }, "item": "a", "index": 0 });
    let more = json!({ "inputs": { "files": ["b", "a"] }, "item": "a", "index": 1 });
    assert_eq!(texts("Document {{ item }}", &one), texts("Document {{ item }}", &more));
    let marked = "Document {{ item | cached }} for {{ inputs.files | first }}";
    assert_eq!(texts("{{ item | cached }}.", &one), texts("{{ item | cached }}.", &more));
    assert_ne!(texts(marked, &one), texts(marked, &more));
    assert_ne!(texts("{{ index }}: {{ item }}", &one), texts("{{ index }}: {{ item }}", &more));
}

/// The places of the tags count, and no data can move them.
#[test]
fn no_data_imitates_the_borders_of_other_data() {
    let of = |a: &str, b: &str| {
        texts("{{ inputs.a }} {{ inputs.b }}", &json!({ "inputs": { "a": a, "b": b } }))
    };
    let borders = ["</data-> <data->", "</data-0> <data-0>", "> <", "</> <>", "\",\""];
    for border in borders {
        assert_ne!(of(&format!("1{border}2"), "3"), of("1", &format!("2{border}3")), "{border}");
    }
    assert_ne!(of("ab", "c"), of("a", "bc"));
}

fn from(key: &str, segment: Option<&str>) -> CachedFrom {
    CachedFrom {
        key: key.into(),
        sha256: "0".into(),
        run_id: "r".into(),
        segment: segment.map(str::to_owned),
        target: target("us-east-1"),
        stored_at: NOON,
    }
}

#[test]
fn an_entry_leads_to_an_artifact_of_its_tenant_only() {
    let key = "runs/alpha/r/steps/a.answer.json";
    let segment = "batches/runs/alpha/b/segments-1/000001/000002.segment.jsonl";
    assert!(from(key, None).belongs_to("alpha") && from(key, Some(segment)).belongs_to("alpha"));
    let others = segment.replace("alpha", "alpha2");
    for (key, segment, tenant) in [
        (key, None, "alph"),
        (key, None, "beta"),
        (key, Some(others.as_str()), "alpha"),
        (key, Some(key), "alpha"),
        ("runs/alpha/q/steps/a.answer.json", None, "alpha"),
        ("runs/alpha2/r/steps/a.answer.json", None, "alpha"),
    ] {
        assert!(!from(key, segment).belongs_to(tenant), "{key} {segment:?} {tenant}");
    }
}

#[test]
fn an_answer_ends_with_the_shorter_of_two_times() {
    let hour = Duration::from_secs(3_600);
    let entry = CachedResponse { from: from("k", None), expires_at: NOON + 2 * hour };
    for (after, lasts, is_fresh) in [
        (hour, 2 * hour, true),
        (2 * hour, 3 * hour, false),
        (hour, hour, false),
        (hour, hour + Duration::from_secs(1), true),
    ] {
        assert_eq!(entry.is_fresh(NOON + after, lasts), is_fresh, "{after:?} {lasts:?}");
    }
}
