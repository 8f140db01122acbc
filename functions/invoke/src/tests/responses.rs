use bcce_core::call::response_cache::CachedResponse;
use bcce_core::run::artifact::StepArtifact;
use bcce_core::run::ids::RunRef;

use super::*;

/// Stores the plan of another run whose step uses the response cache, changed by `change`. Returns its request.
fn of_run(ports: &Fakes, tenant: &str, id: &str, change: impl Fn(&mut Value)) -> Request {
    let mut plan: Value = serde_json::from_str(PLAN).unwrap();
    let mut request = request();
    request.run.reference = RunRef::first(tenant, "explain", id);
    request.deadline = ports.caller.clock.now() + Duration::from_secs(3_600);
    request.decisions[0].at = ports.caller.clock.now();
    (plan["tenant"], plan["run_id"]) = (json!(tenant), json!(request.run.run_id));
    plan["steps"][0]["response_cache"] = json!("7d");
    change(&mut plan);
    // The router's list has the targets of the plan.
    let listed = plan["routes"]["haiku"]["targets"].as_array().unwrap().iter().cloned();
    let targets = listed.map(|mut target| {
        target.as_object_mut().unwrap().remove("context_tokens");
        serde_json::from_value(target).unwrap()
    });
    request.next = Next::Targets(targets.collect());
    let body = serde_json::to_vec(&plan).unwrap();
    request.plan_sha256 = sha256_hex(&body);
    ports.store.objects.borrow_mut().insert(request.run.plan_key(), body);
    request
}

fn key_of(tenant: &str, id: &str) -> String {
    RunRef::first(tenant, "explain", id).step_key("answer", None)
}

/// Answers the runs `first` and `second` of the tenant `default`. Returns the ports and the artifact of the second one.
/// `between` changes the ports before the second run, and `change` its plan.
async fn two_runs(
    between: impl Fn(&mut Fakes),
    change: impl Fn(&mut Value),
) -> (Fakes, StepArtifact) {
    let mut ports = ports([says("First.", "end_turn"), says("Second.", "end_turn")]);
    let first = of_run(&ports, "default", "first", |_| {});
    assert_eq!(handle(&ports, first, AMPLE).await, Ok(ANSWERED));
    between(&mut ports);
    let second = of_run(&ports, "default", "second", change);
    assert_eq!(handle(&ports, second, AMPLE).await, Ok(ANSWERED));
    let key = key_of("default", "second");
    let artifact = parse(&key, &ports.store.objects.borrow()[&key]).unwrap();
    (ports, artifact)
}

fn entries(ports: &Fakes) -> Vec<CachedResponse> {
    ports.caller.health.ledger().responses.borrow().values().cloned().collect()
}

/// The second run makes no call, costs nothing, and says where its answer comes from.
#[tokio::test]
async fn the_second_run_has_the_answer_of_the_first() {
    let (ports, second) = two_runs(|_| {}, |_| {}).await;
    assert_eq!(regions(&ports), ["us-east-1"]);
    assert_eq!(second.output.text, "First.");
    let record = &second.record;
    assert_eq!((record.attempts.len(), record.run_id.starts_with("explain-")), (0, true));
    let totals = (record.totals.usage, record.totals.cost_usd);
    assert_eq!(totals, (Some(Usage::default()), Some(0.into())));
    let (key, from) = (key_of("default", "first"), record.cached_from.as_ref().unwrap());
    assert_eq!((&from.key, &from.segment), (&key, &None));
    assert_eq!(from.sha256, sha256_hex(&ports.store.objects.borrow()[&key]));
    let because = record.decisions[0].because.last().unwrap();
    let expected = format!("in run {}", from.run_id);
    assert!(because.starts_with("no call was made: answered from the response cache"), "{because}");
    assert!(because.ends_with(&expected), "{because}");
    // An answer from the cache is no answer to cache, or it would outlive the first one.
    let entries = entries(&ports);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].from, *from);
    assert_eq!(ports.caller.health.ledger().logged_calls.borrow().len(), 1);
}

/// The entry says where the answer is, and not what was asked or answered.
#[tokio::test]
async fn an_entry_has_neither_prompt_nor_answer() {
    let (ports, _) = two_runs(|_| {}, |_| {}).await;
    let entry = serde_json::to_string(&entries(&ports)[0]).unwrap();
    assert!(!entry.contains("First") && !entry.contains("breaker opens"), "{entry}");
}

/// Each of these makes the second run call again.
#[tokio::test]
async fn an_answer_that_may_not_be_used_is_a_miss() {
    type Between = fn(&mut Fakes);
    let cases: [(&str, Between); 6] = [
        ("it is erased", |ports| drop(remove(ports, "first"))),
        ("it has changed", |ports| {
            let text = String::from_utf8(remove(ports, "first").unwrap()).unwrap();
            let body = text.replace("First.", "Forged.").into_bytes();
            ports.store.objects.borrow_mut().insert(key_of("default", "first"), body);
        }),
        ("it has expired", |ports| {
            ports.caller.clock.0 += Duration::from_secs(7 * 86_400);
        }),
        ("the ledger is out of reach", |ports| ports.caller.health.ledger().is_gone.set(true)),
        ("its entry leads to another tenant", |ports| {
            let key = key_of("default", "first");
            let body = ports.store.objects.borrow()[&key].clone();
            ports.store.objects.borrow_mut().insert(key_of("other", "first"), body);
            let mut entries = ports.caller.health.ledger().responses.borrow_mut();
            let from = &mut entries.values_mut().next().unwrap().from;
            from.run_id = RunRef::first("other", "explain", "first").run_id;
            from.key = key_of("other", "first");
        }),
        ("another target answered", |ports| {
            let mut entries = ports.caller.health.ledger().responses.borrow_mut();
            entries.values_mut().next().unwrap().from.target.region = "eu-west-1".into();
        }),
    ];
    for (what, between) in cases {
        let (ports, second) = two_runs(between, |_| {}).await;
        assert_eq!(regions(&ports).len(), 2, "{what}");
        assert_eq!(second.output.text, "Second.", "{what}");
        assert_eq!(second.record.cached_from, None, "{what}");
    }
}

fn remove(ports: &mut Fakes, id: &str) -> Option<Vec<u8>> {
    ports.store.objects.borrow_mut().remove(&key_of("default", id))
}

/// Each of these plans asks for another answer, or may not have this one.
#[tokio::test]
async fn a_step_that_differs_makes_its_call() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 8] = [
        ("no cache", |plan| plan["steps"][0]["response_cache"] = Value::Null),
        ("another input", |plan| plan["inputs"]["text"] = json!("Another text.")),
        ("another length", |plan| plan["steps"][0]["max_tokens"] = json!(401)),
        ("another system prompt", |plan| plan["steps"][0]["system"] = json!("Be brief.")),
        ("another effort", |plan| plan["steps"][0]["effort"] = json!("low")),
        ("another model", |plan| {
            for target in plan["routes"]["haiku"]["targets"].as_array_mut().unwrap() {
                target["model_id"] = json!("us.anthropic.claude-haiku-4-5");
            }
        }),
        ("another guardrail", |plan| {
            for target in plan["routes"]["haiku"]["targets"].as_array_mut().unwrap() {
                target["guardrail"] = json!({ "id": "a", "version": "1" });
            }
        }),
        // The first run was answered in us-east-1.
        ("a narrower policy", |plan| {
            let policy = &mut plan["routes"]["haiku"]["policy"];
            policy["allowed_regions"] = json!(["us-east-2"]);
        }),
    ];
    for (what, change) in cases {
        let (ports, _) = two_runs(|_| {}, change).await;
        assert_eq!(regions(&ports).len(), 2, "{what}");
    }
}

/// The author has shortened the time. What is older is not used any more.
#[tokio::test]
async fn a_step_uses_no_answer_older_than_it_says() {
    for (after, calls) in [(3_599, 1), (3_600, 2)] {
        let between = |ports: &mut Fakes| ports.caller.clock.0 += Duration::from_secs(after);
        let change = |plan: &mut Value| plan["steps"][0]["response_cache"] = json!("1h");
        let (ports, _) = two_runs(between, change).await;
        assert_eq!(regions(&ports).len(), calls, "after {after} s");
    }
}

#[tokio::test]
async fn no_tenant_has_the_answer_of_another() {
    let ports = ports([says("First.", "end_turn"), says("Second.", "end_turn")]);
    for tenant in ["default", "payments"] {
        let request = of_run(&ports, tenant, "same", |_| {});
        assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    }
    assert_eq!(regions(&ports).len(), 2);
    assert_eq!(entries(&ports).len(), 2);
}

#[tokio::test]
async fn an_answer_that_max_tokens_cut_is_not_entered() {
    let ports = ports([says("Fir", "max_tokens")]);
    let request = of_run(&ports, "default", "first", |_| {});
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    assert_eq!(entries(&ports), []);
}

/// The standby has another model. Its answer does not answer for the model that is called first.
#[tokio::test]
async fn an_answer_of_the_standby_does_not_answer_for_the_first_model() {
    let standby = |plan: &mut Value| {
        let target = &mut plan["routes"]["haiku"]["targets"][1];
        target["model_id"] = json!("us.anthropic.claude-haiku-4-5");
    };
    let throttled = fails(ErrorName::TargetThrottled, Some(Usage::default()));
    let ports = ports([throttled, says("Standby.", "end_turn"), says("First.", "end_turn")]);
    for id in ["first", "second", "third"] {
        let request = of_run(&ports, "default", id, standby);
        assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    }
    let text = |id| ports.store.json(&key_of("default", id))["output"]["text"].clone();
    assert_eq!([text("first"), text("second"), text("third")], ["Standby.", "First.", "First."]);
    // The router now prefers the standby, whose answer is entered, too.
    let mut request = of_run(&ports, "default", "fourth", standby);
    let Next::Targets(targets) = &mut request.next else { panic!() };
    targets.reverse();
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    assert_eq!(text("fourth"), "Standby.");
}

/// All other steps wait for the outcome of the probe.
#[tokio::test]
async fn an_elected_probe_makes_its_call() {
    let ports = ports([says("First.", "end_turn"), says("Second.", "end_turn")]);
    for id in ["first", "second"] {
        let mut request = of_run(&ports, "default", id, |_| {});
        request.decisions[0].probe = (id == "second").then(|| "token".into());
        assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    }
    assert_eq!(regions(&ports).len(), 2);
}

/// A retry of a run looks for its answer, as its first attempt did.
#[tokio::test]
async fn a_run_attempt_that_is_a_retry_is_answered() {
    let ports = ports([says("First.", "end_turn")]);
    for (id, attempt_no) in [("first", 1), ("second", 2)] {
        let mut request = of_run(&ports, "default", id, |_| {});
        request.run.reference.attempt_no = attempt_no;
        assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    }
    assert_eq!(ports.store.json(&key_of("default", "second"))["attempt_no"], 2);
    assert_eq!(regions(&ports).len(), 1);
}

/// Items of two lists are answered by each other.
#[tokio::test]
async fn an_item_of_another_list_is_answered() {
    let ports = ports([says("First.", "end_turn")]);
    let list = |files: Value| {
        move |plan: &mut Value| {
            plan["inputs"] = json!({ "files": files });
            plan["steps"][0]["for_each"] = json!("inputs.files");
            plan["steps"][0]["prompt"] = json!("Document {{ item }}");
        }
    };
    for (id, files, item) in [("first", json!(["a"]), 0), ("second", json!(["b", "a"]), 1)] {
        let mut request = of_run(&ports, "default", id, list(files));
        request.step.item = Some(item);
        assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    }
    let key = RunRef::first("default", "explain", "second").step_key("answer", Some(1));
    let from = &ports.store.json(&key)["cached_from"]["key"];
    assert!(from.as_str().unwrap().ends_with("steps/answer/0.answer.json"), "{from}");
}

/// A step without the key does not use the ledger for it.
#[tokio::test]
async fn a_step_that_does_not_ask_for_it_enters_nothing() {
    let ports = ports([says("It opens.", "end_turn")]);
    assert_eq!(handle(&ports, request(), AMPLE).await, Ok(ANSWERED));
    assert_eq!(entries(&ports), []);
    assert_eq!(artifact(&ports).get("cached_from"), None);
}
