use serde_json::{Value, json};

use super::*;
use crate::base::error::{ErrorName, Fault};
use crate::base::figures::dollars;
use crate::config::budgets::{Budgets, Scope};
use crate::config::policy::Policy;
use crate::document::from_yaml;
use crate::run::plan::tests::{of, within};

const HUNT: &str = include_str!("../../../../../../infra/config/dev/workflows/bug-hunt.yaml");
const REVIEW: &str = include_str!("../../../../../../infra/config/dev/workflows/code-review.yaml");
const DOCS: &str = include_str!("../../../../../../infra/config/dev/workflows/docs-gen.yaml");
const EXPLAIN: &str = include_str!("../../../../../../infra/config/dev/workflows/explain.yaml");
const POLICY: &str = include_str!("../../../../../../infra/config/dev/policy.yaml");
const BUDGETS: &str = include_str!("../../../../../../infra/config/dev/budgets.yaml");

fn budgets(yaml: &str) -> Budgets {
    from_yaml(yaml).finished().unwrap()
}

/// Returns the shipped limits of a run or a batch.
fn shipped(scope: Scope) -> Vec<WorstCaseLimit> {
    budgets(BUDGETS).limits(&scope, "explain")
}

fn files(count: usize, bytes: usize) -> Value {
    let file = json!({ "path": "src/a.rs", "text": "x".repeat(bytes) });
    json!({ "files": vec![file; count] })
}

/// Plans a run with the shipped policy and budgets.
fn planned_as_shipped(template: &str, workflow: &str, inputs: Value) -> Result<Plan, Fault> {
    let request = json!({ "workflow": workflow, "inputs": inputs });
    within(template, request, from_yaml(POLICY).finished().unwrap(), budgets(BUDGETS))
}

fn planned(template: &str, workflow: &str, inputs: Value) -> Plan {
    let request = json!({ "workflow": workflow, "inputs": inputs });
    of(template, request, Policy::default()).unwrap()
}

fn worst(template: &str, workflow: &str, inputs: Value) -> WorstCase {
    planned(template, workflow, inputs).worst_case.unwrap()
}

/// An attack with a message of 785 KB to a shipped workflow made 398 calls.
#[test]
fn a_message_of_785_kb_for_199_calls_and_their_repairs_is_refused_with_the_figures() {
    let refused = planned_as_shipped(HUNT, "bug-hunt", files(199, 3_900)).unwrap_err();
    assert_eq!(refused.name, ErrorName::BudgetExceeded);
    let reported = "budgets.one-run: the run may make 399 calls and cost up to $";
    assert!(refused.message.starts_with(reported), "{refused}");
    assert!(refused.message.contains("the limit is $5.00"), "{refused}");
    let usd = refused.message[reported.len()..].split(';').next().unwrap();
    let documented = include_str!("../../../../../../docs/workflows.md");
    assert!(documented.contains(&format!("| 399 | ${usd}, refused |")), "{usd} is not documented");
}

#[test]
fn ordinary_inputs_of_the_shipped_workflows_stay_below_the_limit() {
    let diff = json!({ "diff": "x".repeat(100_000), "context": "A fix." });
    let documented = include_str!("../../../../../../docs/workflows.md");
    for (template, workflow, inputs) in [
        (REVIEW, "code-review", diff),
        (HUNT, "bug-hunt", files(15, 10_000)),
        (DOCS, "docs-gen", files(50, 10_000)),
        (EXPLAIN, "explain", json!({ "text": "x".repeat(200_000) })),
    ] {
        let plan = planned_as_shipped(template, workflow, inputs);
        let plan = plan.unwrap_or_else(|refused| panic!("{workflow}: {refused}"));
        let worst = plan.worst_case.unwrap();
        let row = format!("| {} | {} |", worst.calls, dollars(worst.usd));
        let rows = documented.lines().filter(|line| line.starts_with(&format!("| `{workflow}` ")));
        assert!(
            rows.into_iter().any(|line| line.ends_with(&row)),
            "{workflow}: {row} is not documented"
        );
    }
}

const ONE: &str = "version: 1\nname: one\ninputs:\n  text: { type: string }\nsteps:\n- { id: a, model: haiku, thinking: off, prompt: \"{{ inputs.text }}\", max_tokens: 1000 }\n";

#[test]
fn a_call_costs_its_bytes_and_its_longest_answer_on_the_dearest_target() {
    let of = |bytes: usize| worst(ONE, "one", json!({ "text": "x".repeat(bytes) })).usd;
    // Haiku 4.5 is a later target at 1.10 and 5.50 dollars per million tokens, ten times the prices of the current
    // Haiku.
    let micros =
        |tokens: u64| Decimal::new(11, 1) * Decimal::from(tokens) / Decimal::from(1_000_000);
    assert_eq!(of(30_000) - of(20_000), micros(10_000));
    let at_least = micros(20_000) + micros(5 * 1_000);
    assert!(of(20_000) >= at_least && of(20_000) - at_least < micros(2_000), "{}", of(20_000));
    // The context of Haiku 4.5 has 200,000 tokens. That of the current Haiku has a million, at 0.55 and 2.75 dollars
    // per million tokens for long prompts.
    assert_eq!(of(900_000), of(900_000).max(micros(200_000) + micros(5_000)));
}

#[test]
fn an_answer_in_json_is_paid_twice_and_a_later_step_reads_it() {
    let json = ONE.replace("max_tokens", "output: { type: json }, max_tokens");
    let (text, json) =
        (worst(ONE, "one", json!({ "text": "x" })), worst(&json, "one", json!({ "text": "x" })));
    assert_eq!((text.calls, json.calls), (1, 2));
    assert!(json.usd > text.usd * Decimal::TWO, "the repair has the answer in its prompt");
    let later = format!(
        "{ONE}- {{ id: b, model: haiku, thinking: off, needs: [a], prompt: \"{{{{ steps.a }}}}\", max_tokens: 1000 }}\n"
    );
    let later = worst(&later, "one", json!({ "text": "x" }));
    let answer = Decimal::new(11, 1) * Decimal::from(1_000) / Decimal::from(1_000_000);
    assert!(
        later.usd >= text.usd * Decimal::TWO + answer - Decimal::new(1, 5),
        "{later:?} {text:?}"
    );
}

#[test]
fn what_is_cached_is_written_at_its_price() {
    let cached = ONE.replace("prompt:", "system: \"SYSTEM\", cache: 1h, prompt:");
    let cached = cached.replace("SYSTEM", &"s".repeat(10_000));
    let plain = cached.replace("cache: 1h, ", "");
    let usd = |template: &str| worst(template, "one", json!({ "text": "x" })).usd;
    let dearer = Decimal::new(11, 1) * Decimal::from(10_000) / Decimal::from(1_000_000);
    assert_eq!(usd(&cached) - usd(&plain), dearer, "2.20 instead of 1.10 a million");
}

/// All tokens of a marked prefix are written at worst: 1.10 more a million than those of input.
#[test]
fn a_marked_prefix_is_written_at_its_price() {
    let marked = |mark: &str, cache: &str| {
        format!(
            "version: 1\nname: one\ninputs: {{ text: {{ type: string }} }}\nsteps:\n- {{ id: a, model: haiku, thinking: off, {cache}prompt: \"{{{{ inputs.text{mark} }}}} x\", max_tokens: 10 }}\n"
        )
    };
    let usd =
        |template: &str, bytes| worst(template, "one", json!({ "text": "x".repeat(bytes) })).usd;
    let (cached, plain) = (marked(" | cached", "cache: 1h, "), marked("", ""));
    let dearer = |bytes| usd(&cached, bytes) - usd(&plain, bytes);
    let of_prefix = Decimal::new(11, 1) * Decimal::from(10_000) / Decimal::from(1_000_000);
    assert_eq!(dearer(20_000) - dearer(10_000), of_prefix);
    let around = dearer(10_000) - of_prefix;
    assert!(around > Decimal::ZERO && around < Decimal::new(2, 3), "{around}");
}

#[test]
fn a_long_prompt_and_a_dearer_row_of_a_later_day_count() {
    let mut plan = planned(ONE, "one", json!({ "text": "x".repeat(150_000) }));
    let before = plan.compute_worst_case().usd;
    for rows in plan.prices.values_mut() {
        let mut row = rows.0[rows.0.len() - 1].clone();
        row.from = plan.prices_date.next_day().unwrap();
        row.price.input *= Decimal::TEN;
        row.long_prompt = None;
        rows.0.push(row);
    }
    assert!(plan.compute_worst_case().usd > before * Decimal::from(5));
    plan.prices_date = time::Date::MIN;
    assert!(plan.compute_worst_case().unpriced.is_empty(), "they start later");
}

#[test]
fn an_unknown_price_fails_closed_where_there_is_a_limit_in_usd() {
    let mut plan = planned(ONE, "one", json!({ "text": "x" }));
    plan.prices.remove("us.anthropic.claude-haiku-4-5-20251001-v1:0");
    let worst = plan.compute_worst_case();
    let reported = worst.check_run(&shipped(Scope::Run)).to_string();
    assert!(
        reported.starts_with(
            "budgets.one-run: prices.yaml has no price for us.anthropic.claude-haiku-4-5"
        ),
        "{reported}"
    );
    assert!(worst.check_run(&[]).is_empty());
    let in_tokens = budgets("version: 1\nbudgets: { r: { scope: run, tokens: 100000 } }\n");
    assert!(worst.check_run(&in_tokens.limits(&Scope::Run, "one")).is_empty());
}

/// A token has at least one byte, and a repair sends the prompt again with the answer.
#[test]
fn the_tokens_are_the_bytes_of_the_prompt_and_the_longest_answer() {
    let of = |template: &str, bytes: usize| {
        worst(template, "one", json!({ "text": "x".repeat(bytes) })).tokens
    };
    assert_eq!(of(ONE, 30_000) - of(ONE, 20_000), 10_000);
    let (least, most) = (20_000 + 1_000, 20_000 + 1_000 + 2_000);
    assert!((least..most).contains(&of(ONE, 20_000)), "{}", of(ONE, 20_000));
    let json = ONE.replace("max_tokens", "output: { type: json }, max_tokens");
    assert_eq!(of(&json, 20_000), 2 * of(ONE, 20_000) + 1_000, "the repair reads the answer");
}

#[test]
fn a_limit_in_tokens_is_compared_with_the_tokens() {
    let tokens = worst(ONE, "one", json!({ "text": "x".repeat(20_000) })).tokens;
    let within = |limit: u64, bytes: usize| {
        let yaml = format!(
            "version: 1\nbudgets:\n  wide: {{ scope: run, usd: 5 }}\n  few: {{ scope: run, only: [one], tokens: {limit} }}\n"
        );
        let request = json!({ "workflow": "one", "inputs": { "text": "x".repeat(bytes) } });
        within(ONE, request, Policy::default(), budgets(&yaml))
    };
    assert!(within(tokens, 20_000).is_ok());
    let refused = within(tokens, 20_001).unwrap_err();
    assert_eq!(refused.name, ErrorName::BudgetExceeded);
    let (more, limit) = (count(tokens + 1), count(tokens));
    let expected = format!(
        "budgets.few: the run may make 1 calls and use up to {more} tokens; the limit is {limit} tokens. Send less"
    );
    assert!(refused.message.starts_with(&expected), "{refused}");
}

#[test]
fn a_forbidden_target_does_not_count() {
    let mut plan = planned(ONE, "one", json!({ "text": "x" }));
    let all = plan.compute_worst_case().usd;
    let today = vec!["anthropic.claude-haiku-5-*".to_owned()];
    plan.routes.values_mut().for_each(|route| route.policy.allowed_models = today.clone());
    assert!(plan.compute_worst_case().usd < all / Decimal::TWO);
}

#[test]
fn a_batch_is_refused_with_the_sum_of_its_items() {
    let mut sum = WorstCase::default();
    let one = worst(EXPLAIN, "explain", json!({ "text": "x".repeat(1_000) }));
    (0..100).for_each(|_| sum.add(&one));
    assert_eq!(sum.check_batch(&shipped(Scope::Batch), 100), Problems::default());
    sum.usd = Decimal::new(20_001, 2);
    let reported = sum.check_batch(&shipped(Scope::Batch), 100).to_string();
    let expected = "budgets.one-batch: the batch's 100 items may make 100 calls and cost up to $200.01; the limit is $200.00.";
    assert!(reported.starts_with(expected), "{reported}");
}

#[test]
fn an_item_in_bulk_pays_its_record_before_it_may_run_on_demand() {
    let plan = planned(ONE, "one", json!({ "text": "x" }));
    let on_demand = plan.worst_case.clone().unwrap();
    let in_bulk = plan.worst_case_in_bulk();
    assert_eq!(in_bulk.calls, 2);
    assert_eq!(in_bulk.tokens, 2 * on_demand.tokens);
    assert_eq!(in_bulk.usd, (on_demand.usd * Decimal::new(15, 1)).round_dp(6).normalize());
}
