use super::*;
use crate::config::budgets::Budgets;
use crate::config::policy::Policy;
use crate::config::profiles::{Profile, Profiles};
use crate::config::routing::Routing;
use crate::document::{Document, from_yaml};
use crate::failover::route::Expected;
use crate::run::request::Request;
use serde_json::json;

const MODELS: &str = include_str!("../../../../../infra/config/dev/models.yaml");
const PRICES: &str = include_str!("../../../../../infra/config/dev/prices.yaml");
const WORKFLOW: &str = include_str!("../../../../../infra/config/dev/workflows/code-review.yaml");

pub fn plan(request: Value, policy: Policy) -> Result<Plan, Fault> {
    of(WORKFLOW, request, policy)
}

pub fn of(template: &str, request: Value, policy: Policy) -> Result<Plan, Fault> {
    retried(template, request, policy, Retries::default())
}

/// Plans a run within these budgets, of which none has a window.
pub fn within(
    template: &str,
    request: Value,
    policy: Policy,
    budgets: Budgets,
) -> Result<Plan, Fault> {
    let configuration = Configuration { budgets, ..configuration(template, MODELS, policy) };
    resolve(request, &configuration, Retries::default())
}

fn retried(
    template: &str,
    request: Value,
    policy: Policy,
    retries: Retries,
) -> Result<Plan, Fault> {
    let configuration = configuration(template, MODELS, policy);
    resolve(request, &configuration, retries)
}

fn configuration(template: &str, models: &str, policy: Policy) -> Configuration {
    fn read<T: Document>(yaml: &str) -> T {
        from_yaml(yaml).finished().unwrap()
    }
    Configuration {
        template: read(template),
        template_sha256: "t".into(),
        models: read(models),
        routing: Routing::default(),
        policy,
        policy_sha256: "p".into(),
        profiles: Profiles::default(),
        budgets: Budgets::default(),
        prices: read(PRICES),
    }
}

fn resolve(request: Value, configuration: &Configuration, retries: Retries) -> Result<Plan, Fault> {
    let request = Request::parse(&request.to_string()).unwrap();
    let request = StoredRequest::new(request, "default", "m-1");
    let sources = Sources { request: &request, configuration, retries };
    Plan::resolve(&sources).map_err(Fault::from)
}

fn review() -> Value {
    json!({ "workflow": "code-review", "inputs": { "diff": "+x" } })
}

#[test]
fn a_code_review_is_three_waves_over_priced_targets() {
    let plan = plan(review(), Policy::default()).unwrap();
    let waves: Vec<usize> = plan.waves.iter().map(|wave| wave.steps.len()).collect();
    assert_eq!(waves, [1, 3, 1]);
    for (name, route) in &plan.routes {
        assert!(route.targets.len() >= 2, "{name} has nowhere to fail over to");
        let mut targets = route.targets.iter().map(|listed| &listed.target);
        assert!(targets.all(|target| plan.prices.contains_key(&target.model_id)));
    }
    assert_eq!(plan.result, "verdict");
}

const ARN: &str = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2";

/// Returns the plan with an application inference profile as the first target of haiku. Bedrock has described it as
/// `model` in `regions`.
fn over_profile(model: &str, regions: &[&str], allowed: &[&str]) -> Result<Plan, Fault> {
    let called = "region: us-east-1, model_id: us.anthropic.claude-haiku-5-5";
    let models = MODELS.replacen(called, &format!("region: us-east-1, model_id: \"{ARN}\""), 1);
    assert_ne!(models, MODELS);
    let owned = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect();
    let policy = Policy { allowed_regions: owned(allowed), ..Policy::default() };
    let mut configuration = configuration(WORKFLOW, &models, policy);
    if !model.is_empty() {
        let (region, regions) = ("us-east-1".into(), owned(regions));
        let profile = Profile { region, id: ARN.into(), model: model.into(), regions };
        configuration.profiles = Profiles(vec![profile]);
    }
    resolve(review(), &configuration, Retries::default())
}

#[test]
fn an_application_inference_profile_has_the_price_and_the_regions_of_the_model_behind_it() {
    let us = ["us-east-1", "us-east-2", "us-west-2"];
    let rows = |plan: &Plan, id: &str| plan.prices.get(id).map(|rows| rows.0[0].price.input);
    let plan = over_profile("anthropic.claude-haiku-5-5", &us, &us).unwrap();
    let route = &plan.routes["haiku"];
    assert!(route.allows(&route.targets[0].target));
    let called_by_id = rows(&plan, "us.anthropic.claude-haiku-5-5");
    assert!(called_by_id.is_some());
    assert_eq!(rows(&plan, ARN), called_by_id);
    assert_eq!(plan.profile_model("us-east-1", ARN), Some("anthropic.claude-haiku-5-5"));
    // A global profile is cheaper and may answer anywhere.
    let global = over_profile("global.anthropic.claude-haiku-5-5", &[], &us).unwrap();
    assert!(!global.routes["haiku"].allows(&global.routes["haiku"].targets[0].target));
    assert!(rows(&global, ARN) < called_by_id);
    // Without a description neither the regions nor the price are known.
    let unknown = over_profile("", &[], &us).unwrap();
    assert!(!unknown.routes["haiku"].allows(&unknown.routes["haiku"].targets[0].target));
    assert_eq!(rows(&unknown, ARN), None);
}

/// Returns the plan of a review under these budgets.
fn under(budgets: &str) -> Result<Plan, Fault> {
    let mut configuration = configuration(WORKFLOW, MODELS, Policy::default());
    configuration.budgets = from_yaml(budgets).finished().unwrap();
    configuration.budgets.revision = 3;
    resolve(review(), &configuration, Retries::default())
}

#[test]
fn a_plan_has_the_budgets_that_pay_its_calls() {
    let none = plan(review(), Policy::default()).unwrap();
    assert_eq!(none.budgets, None, "the environment has no budgets");
    let budgets = "budgets:\n  one-run: { scope: run, usd: 5 }\n  a: { scope: tenant, only: [default], window: day, usd: 5 }\n  b: { scope: tenant, only: [x], window: day, usd: 5 }\n";
    let budgets = under(&format!("version: 1\n{budgets}")).unwrap().budgets.unwrap();
    assert_eq!(budgets.revision, 3);
    let names: Vec<&str> = budgets.applied.iter().map(|budget| budget.name.as_str()).collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn a_run_without_a_budget_is_refused_only_if_the_document_says_so() {
    let other = "budgets: { b: { scope: tenant, only: [x], window: day, usd: 5 } }\n";
    let allowed = under(&format!("version: 1\n{other}")).unwrap();
    assert_eq!(allowed.budgets.unwrap().applied, [], "said in the plan");
    // A limit of one run pays no run.
    let limit = other.replace("{ b:", "{ one-run: { scope: run, usd: 5 }, b:");
    let refused = under(&format!("version: 1\nwithout_budget: refuse\n{limit}")).unwrap_err();
    assert_eq!(refused.name, ErrorName::BudgetExceeded);
    assert!(
        refused.message.starts_with("budgets: none with a window applies to this run"),
        "{refused}"
    );
}

#[test]
fn a_budget_needs_a_price_unless_the_document_says_otherwise() {
    let unpriced = |unit: &str, more: &str| {
        let yaml = format!(
            "version: 1\n{more}budgets: {{ b: {{ scope: environment, window: day, {unit}: 5000000 }} }}\n"
        );
        let mut configuration = configuration(WORKFLOW, MODELS, Policy::default());
        configuration.prices.models.remove("anthropic.claude-sonnet-5-5");
        configuration.budgets = from_yaml(&yaml).finished().unwrap();
        configuration.budgets.revision = 1;
        resolve(review(), &configuration, Retries::default())
    };
    let refused = unpriced("usd", "").unwrap_err();
    assert_eq!(refused.name, ErrorName::BudgetExceeded);
    let expected = "budgets.b: prices.yaml has no price for us.anthropic.claude-sonnet-5-5";
    assert!(refused.message.starts_with(expected), "{refused}");
    assert!(unpriced("usd", "without_price: allow\n").unwrap().budgets.unwrap().allow_unpriced);
    assert!(unpriced("tokens", "").is_ok(), "tokens need no price");
}

#[test]
fn the_requests_model_takes_the_place_of_all() {
    let mut request = review();
    request["model"] = json!("opus");
    let listed = WORKFLOW.replace("timeout:", "request_models: [opus]\ntimeout:");
    let plan = of(&listed, request, Policy::default()).unwrap();
    assert_eq!(plan.routes.keys().collect::<Vec<_>>(), ["opus"]);
    let steps = plan.waves.iter().flat_map(|wave| &wave.steps);
    assert!(steps.map(|step| &step.route).all(|route| route == "opus"));
}

#[test]
fn a_wrong_request_is_reported_by_field_before_any_call() {
    let mut request = review();
    request["model"] = json!("gpt");
    let fault = plan(request, Policy::default()).unwrap_err();
    assert_eq!(fault.name, ErrorName::InvalidRequest);
    assert!(fault.message.contains("there is no model gpt; there are:"), "{fault}");
    let fault = plan(json!({ "workflow": "code-review" }), Policy::default()).unwrap_err();
    assert_eq!(fault.to_string(), "Bcce.InvalidRequest: inputs.diff: is required");
}

#[test]
fn what_policy_forbids_is_refused_with_the_reasons() {
    let policy = Policy {
        allowed_regions: vec!["eu-west-1".into()],
        required_tags: vec!["team".into()],
        ..Policy::default()
    };
    let fault = plan(review(), policy).unwrap_err();
    assert_eq!(fault.name, ErrorName::PolicyViolation);
    assert!(fault.message.contains("tags.team") && fault.message.contains("residency"), "{fault}");
}

const HUNT: &str = "version: 1\nname: hunt\ninputs:\n  files: { type: list }\nsteps:\n- { id: each, model: haiku, prompt: \"{{ item }}\", for_each: inputs.files }\n- { id: all, model: haiku, prompt: \"{{ steps.each }}\", needs: [each] }\n";

fn hunt(files: usize) -> Result<Plan, Fault> {
    let files: Vec<usize> = (0..files).collect();
    of(HUNT, json!({ "workflow": "hunt", "inputs": { "files": files } }), Policy::default())
}

#[test]
fn a_step_fans_out_over_its_list() {
    let plan = hunt(3).unwrap();
    let items: Vec<Option<u32>> = plan.waves[0].steps.iter().map(|step| step.item).collect();
    assert_eq!(items, [Some(0), Some(1), Some(2)]);
    assert_eq!((plan.waves.len(), plan.waves[1].steps[0].item), (2, None));
    assert_eq!(hunt(0).unwrap().waves.len(), 1, "an empty list leaves no wave behind");
    let absent = of(HUNT, json!({ "workflow": "hunt" }), Policy::default()).unwrap();
    assert_eq!(absent.items(&absent.steps[0]).map(Vec::len), Some(0));
}

#[test]
fn the_items_count_as_step_executions() {
    assert_eq!(hunt(199).unwrap().routes["haiku"].rounds, crate::run::history::rounds(200));
    let fault = hunt(200).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "Bcce.InvalidRequest: inputs.files: has 200 items, which makes 201 step executions in the run (limit: 200)"
    );
}

#[test]
fn what_is_wrong_and_what_is_forbidden_are_reported_together() {
    let policy = Policy { required_tags: vec!["team".into()], ..Policy::default() };
    let request = json!({ "workflow": "code-review", "model": "gpt", "inputs": { "dif": "" } });
    let reported = plan(request, policy).unwrap_err().to_string();
    for part in [
        "Bcce.InvalidRequest: inputs.dif: is not an input",
        "inputs.diff: is required",
        "model: there is no model gpt; there are: haiku, opus, sonnet",
        "tags.team: is required by policy",
    ] {
        assert!(reported.contains(part), "{part} is missing in {reported}");
    }
}

const QUICK: &str = "version: 1\nname: quick\nrouting: { strategy: cost, timeouts: { stall_s: 3 } }\nsteps:\n- { id: a, model: haiku, system: Be brief and to the point., cache: 1h, prompt: Say yes., max_tokens: 50 }\n- { id: b, model: haiku, prompt: \"{{ steps.a }}\", needs: [a], routing: { attempts: 2 } }\n";

#[test]
fn what_a_workflow_waits_is_its_own_and_what_is_held_against_a_target_is_not() {
    let plan = of(QUICK, json!({ "workflow": "quick" }), Policy::default()).unwrap();
    let route = &plan.routes["haiku@a"];
    assert_eq!((route.routing.timeouts.stall_s, route.patience().stall_s), (3, 30));
}

#[test]
fn where_the_cost_decides_each_step_has_its_own_route_with_prices_and_what_it_will_use() {
    let plan = of(QUICK, json!({ "workflow": "quick" }), Policy::default()).unwrap();
    assert_eq!(plan.routes.keys().collect::<Vec<_>>(), ["haiku@a", "haiku@b"]);
    let expected = |name: &str| plan.routes[name].expected.clone().unwrap();
    let (a, b) = (expected("haiku@a"), expected("haiku@b"));
    assert_eq!((a.input_tokens, a.output_tokens), (2, 50), "8 bytes without the cached ones");
    assert_eq!(a.cached.unwrap().tokens, 6);
    assert_eq!(b.input_tokens, 3 + 50, "the answer of a, at most");
    assert!(plan.routes["haiku@a"].targets.iter().all(|target| target.prices.is_some()));
    let plain = plan_of_review();
    assert!(plain.routes["haiku"].targets.iter().all(|target| target.prices.is_none()));
}

/// The key under which the ledger records a warm cache is that of the text: of the inputs that the prefix reads.
#[test]
fn a_warm_prefix_is_that_of_the_inputs_that_it_reads() {
    let template = "version: 1\nname: warm\nrouting: { strategy: cost }\ninputs: { book: { type: object }, q: { type: string } }\nsteps:\n- { id: a, model: haiku, cache: 1h, prompt: \"{{ inputs.book.text | cached }} {{ inputs.q }}\" }\n- { id: b, model: haiku, needs: [a], cache: 5m, system: \"s {{ inputs.q }}\", prompt: \"{{ steps.a | cached }} x\" }\n";
    let expected = |book: &str, q: &str| {
        let inputs = json!({ "book": { "text": book, "unread": q }, "q": q });
        let request = json!({ "workflow": "warm", "inputs": inputs });
        let plan = of(template, request, Policy::default()).unwrap();
        let cached = |route: &str| plan.routes[route].expected.clone().unwrap();
        (cached("haiku@a"), cached("haiku@b"))
    };
    let (a, b) = expected(&"x".repeat(4_000), "why");
    let key = |expected: &Expected| expected.cached.clone().unwrap().key;
    let (other_question, _) = expected(&"x".repeat(4_000), "how");
    assert_eq!(key(&a), key(&other_question), "the prefix does not read the question");
    assert_ne!(key(&a), key(&expected(&"y".repeat(4_000), "why").0));
    assert!(a.cached.as_ref().unwrap().tokens > 1_000 && a.input_tokens < 50, "{a:?}");
    // The text of the longer prefix of `b` is not known before the run, so only that of `system` counts.
    assert!(b.cached.as_ref().unwrap().tokens < 10, "{b:?}");
    assert_ne!(key(&b), key(&expected(&"x".repeat(4_000), "how").1));
}

fn plan_of_review() -> Plan {
    plan(review(), Policy::default()).unwrap()
}

#[test]
fn the_operators_retries_take_the_place_of_the_documents_and_a_steps_own_stay() {
    let retries = Retries { attempts: Some(3), base_delay_ms: Some(50) };
    let request = json!({ "workflow": "quick" });
    let plan = retried(QUICK, request, Policy::default(), retries).unwrap();
    let routing = |name: &str| &plan.routes[name].routing;
    assert_eq!((routing("haiku@a").attempts, routing("haiku@b").attempts), (3, 2));
    assert_eq!(routing("haiku@a").backoff_base_ms, 50);
}
