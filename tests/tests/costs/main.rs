//! Shows that `bcce metrics` agrees to the last digit with what the artifacts say, priced by hand: runs of two tenants
//! and four workflows, with cache reads and writes, long prompts, failed, lost and unpriced calls, bulk records, and
//! calls on both sides of a change of prices. Then checks the advice of `bcce metrics advice` for two batches.
//!
//! `make costs` starts the suite on a local stack of its own, because it sums everything that the stack has counted.

mod advice;
mod bill;
mod by_hand;
mod mix;

use std::collections::BTreeMap;

use bcce_core::base::platform::PlatformUse;
use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::Stack;
use rust_decimal::Decimal;
use serde_json::Value;

use by_hand::Call;

/// The period that contains all calls of the mix: the early one was made yesterday.
const PERIOD: &str = "3d";

/// The sums of a group that are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sums {
    calls: u64,
    failed: u64,
    unknown: u64,
    unpriced: u64,
    lost: u64,
    tokens: [u64; 5],
    cost: Decimal,
    failed_cost: Decimal,
    saved: Decimal,
    extra: Decimal,
}

impl Sums {
    fn add(&mut self, call: &Call) {
        let is_failed = call.outcome == "failed";
        self.calls += 1;
        self.failed += u64::from(is_failed);
        self.unknown += u64::from(call.tokens.is_none());
        self.unpriced += u64::from(call.cost().is_none());
        self.lost += u64::from(call.is_lost);
        let tokens = call.tokens.unwrap_or_default();
        self.tokens.iter_mut().zip(tokens).for_each(|(sum, tokens)| *sum += tokens);
        let cost = call.cost().unwrap_or_default();
        self.cost += cost;
        self.failed_cost += if is_failed { cost } else { Decimal::ZERO };
        let [saved, extra] = call.cache_effect();
        self.saved += saved;
        self.extra += extra;
    }

    /// Reads the sums that the command prints.
    fn read(json: &Value) -> Self {
        let count = |name: &str| json[name].as_u64().unwrap_or_else(|| panic!("{name}: {json}"));
        let amount = |name: &str| -> Decimal { json[name].as_str().unwrap().parse().unwrap() };
        let known = |name: &str, part: &str| {
            if json[name].is_null() { json[part].clone() } else { json[name].clone() }
        };
        let usage = known("usage", "known_usage");
        let cost = known("cost_usd", "priced_subtotal_usd");
        Self {
            calls: count("calls"),
            failed: count("failed_calls"),
            unknown: count("unknown_calls"),
            unpriced: count("unpriced_calls"),
            lost: count("lost_calls"),
            tokens: by_hand::TOKENS.map(|name| usage[name].as_u64().unwrap()),
            cost: cost.as_str().unwrap().parse().unwrap(),
            failed_cost: amount("failed_cost_usd"),
            saved: amount("cache_saved_usd"),
            extra: amount("cache_extra_usd"),
        }
    }
}

fn printed(command: &str, args: &[&str]) -> Value {
    let (code, text) =
        bcce("dev", &[&["metrics", command, "--json", "--period", PERIOD], args].concat());
    assert_eq!(code, 0, "{args:?}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Returns the groups that the command prints. Days without usage are left out.
fn groups(by: &str, filters: &[&str]) -> BTreeMap<String, Sums> {
    let report = printed("cost", &[&["--by", by], filters].concat());
    let groups = report["groups"].as_array().unwrap().iter();
    let groups = groups.map(|group| (group[by].as_str().unwrap().to_owned(), Sums::read(group)));
    let groups: BTreeMap<String, Sums> = groups.filter(|(_, sums)| sums.calls > 0).collect();
    let total = groups.values().map(|sums| sums.cost).sum::<Decimal>();
    assert_eq!(Sums::read(&report["total"]).cost, total, "{by} {filters:?}");
    groups
}

fn expected<'a>(
    calls: impl IntoIterator<Item = &'a Call>,
    name: impl Fn(&Call) -> String,
) -> BTreeMap<String, Sums> {
    let mut groups: BTreeMap<String, Sums> = BTreeMap::new();
    calls.into_iter().for_each(|call| groups.entry(name(call)).or_default().add(call));
    groups
}

/// A dimension of the command, and its value of a call.
type Dimension = (&'static str, fn(&Call) -> String);

const DIMENSIONS: [Dimension; 9] = [
    ("workflow", |call| call.workflow.clone()),
    ("tenant", |call| call.tenant.clone()),
    ("step", |call| call.step.clone()),
    ("model", |call| call.model().to_owned()),
    ("region", |call| call.region.clone()),
    ("target", |call| format!("{} {}", call.region, call.model_id)),
    ("tier", |call| call.tier.clone()),
    ("day", |call| call.day.clone()),
    ("tag:team", |call| call.team.clone()),
];

#[tokio::test]
async fn the_costs_of_a_mix_equal_the_sums_by_hand() {
    let stack = Stack::connect().await;
    let runs = mix::run(&stack).await;
    let calls = by_hand::calls(&stack).await;
    is_a_mix(runs, &calls);
    for (by, name) in DIMENSIONS {
        assert_eq!(groups(by, &[]), expected(&calls, name), "by {by}");
    }
    // Two filters together, each with another dimension.
    let of_alpha = calls.iter().filter(|call| call.tenant == "alpha" && call.team == "search");
    assert_eq!(
        groups("workflow", &["--tenant", "alpha", "--tag", "team=search"]),
        expected(of_alpha, |call| call.workflow.clone())
    );
    let of_haiku = calls
        .iter()
        .filter(|call| call.workflow == "explain" && call.model() == "anthropic.claude-haiku-5-5");
    assert_eq!(
        groups("tier", &["--workflow", "explain", "--model", "anthropic.claude-haiku-5-5"]),
        expected(of_haiku, |call| call.tier.clone())
    );
    runs_are_counted(&stack).await;
    aws_is_counted(&stack).await;
    errors_are_counted(&stack, &calls).await;
    answers_are_timed(&calls);
    a_table_says_what_is_missing(&calls);
    bill::is_reconciled(&calls);
    advice::is_given(&stack).await;
}

/// Checks that the mix has everything that a cost can depend on.
fn is_a_mix(runs: usize, calls: &[Call]) {
    let has = |what: &str, is: &dyn Fn(&Call) -> bool| {
        assert!(calls.iter().any(is), "the mix has no call with {what}");
    };
    assert!(runs >= 40, "{runs} runs");
    let values = |name: fn(&Call) -> String| expected(calls, name).len();
    assert_eq!(values(|call| call.tenant.clone()), 2);
    assert!(values(|call| call.workflow.clone()) >= 3);
    has("an application inference profile", &|call| call.model_id == mix::profile());
    has("cache reads", &|call| call.tokens.is_some_and(|tokens| tokens[2] > 0));
    has("5-minute cache writes", &|call| call.tokens.is_some_and(|tokens| tokens[3] > 0));
    has("1-hour cache writes", &|call| call.tokens.is_some_and(|tokens| tokens[4] > 0));
    has("a long prompt", &|call| call.is_long());
    has("a failure that is paid", &|call| {
        call.outcome == "failed" && call.cost().is_some_and(|cost| cost > Decimal::ZERO)
    });
    has("a lost call", &|call| call.is_lost);
    has("unknown usage", &|call| call.tokens.is_none() && !call.is_lost);
    has("no price", &|call| call.tokens.is_some() && call.cost().is_none());
    has("another tier", &|call| call.tier == "flex");
    has("bulk", &|call| call.tier == "batch");
    has("the price before the change", &|call| call.is_before_change);
    has("the other region", &|call| call.region == "us-west-2");
    has("a tag that is not listed", &|call| call.team == "other");
    has("no tag", &|call| call.team == "(none)");
}

async fn runs_are_counted(stack: &Stack) {
    let expected = by_hand::runs(stack).await;
    let report = printed("cost", &["--by", "workflow"]);
    let counted: BTreeMap<String, [u64; 2]> = report["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let count = |name: &str| group[name].as_u64().unwrap();
            let name = group["workflow"].as_str().unwrap().to_owned();
            (name, [count("runs"), count("failed_runs")])
        })
        .collect();
    assert_eq!(counted, expected);
}

/// Compares what AWS charges for besides tokens with what the manifests state, and its price with a sum by hand.
async fn aws_is_counted(stack: &Stack) {
    let stated = by_hand::platform(stack).await;
    for by in ["workflow", "tenant", "day", "tag:team"] {
        let report = printed("cost", &["--platform", "--by", by]);
        let mut sum = PlatformUse::default();
        for group in report["groups"].as_array().unwrap() {
            sum.add(&serde_json::from_value(group["platform"]["taken"].clone()).unwrap());
        }
        assert_eq!(sum, stated, "by {by}");
        let total = &report["total"]["platform"];
        assert_eq!(total["runs"], report["total"]["runs"], "by {by}: every run states it");
        assert_eq!(total["taken"], serde_json::to_value(&stated).unwrap());
        let price = |charge| -> Decimal { PRICES[charge as usize].parse().unwrap() };
        let priced = stated.iter().map(|(charge, count)| price(charge) * Decimal::from(count));
        let usd: Decimal = total["usd"].as_str().unwrap().parse().unwrap();
        assert_eq!(usd, priced.sum::<Decimal>() / Decimal::from(1_000_000));
    }
    let (code, text) = bcce("dev", &["metrics", "cost", "--platform", "--by", "model"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("--by model cannot be used with --platform"), "{text}");
}

/// The prices of AWS per million in the order of `Charge::ALL`, as its pages state them.
const PRICES: [&str; 12] =
    ["25", "0.2", "0.0133334", "5", "0.4", "3", "15", "0.625", "0.0625", "1", "0.4", "0.5"];

/// Compares the numbers of failed calls and runs by the name of their error.
async fn errors_are_counted(stack: &Stack, calls: &[Call]) {
    let report = printed("errors", &[]);
    let counted: BTreeMap<String, [u64; 2]> = report["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let count = |name: &str| row[name].as_u64().unwrap();
            (row["error"].as_str().unwrap().to_owned(), [count("calls"), count("runs")])
        })
        .collect();
    let mut expected: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.outcome == "failed") {
        let error = if call.is_lost { "(lost)".into() } else { call.error.clone().unwrap() };
        expected.entry(error).or_default()[0] += 1;
    }
    for error in by_hand::errors_of_runs(stack).await {
        expected.entry(error).or_default()[1] += 1;
    }
    assert_eq!(counted, expected);
}

/// Compares the percentiles with those of the sorted times.
fn answers_are_timed(calls: &[Call]) {
    let report = printed("latency", &[]);
    let most = report["max_relative_error"].as_f64().unwrap();
    let groups = report["groups"].as_array().unwrap();
    assert!(!groups.is_empty());
    for group in groups {
        let target = group["target"].as_str().unwrap();
        let answered = calls.iter().filter(|call| {
            format!("{} {}", call.region, call.model_id) == target
                && call.outcome == "answered"
                && call.tier != "batch"
        });
        let answered: Vec<&Call> = answered.collect();
        let times = |time: fn(&Call) -> Option<u64>| {
            answered.iter().filter_map(|call| time(call)).collect::<Vec<u64>>()
        };
        for (name, mut times) in [
            ("answer_ms", times(|call| Some(call.latency_ms))),
            ("first_token_ms", times(|call| call.first_token_ms)),
        ] {
            times.sort_unstable();
            assert_eq!(group[name]["count"], times.len(), "{name} of {target}");
            for percent in [50, 90, 99] {
                let exact = times[(times.len() * percent).div_ceil(100) - 1];
                let found = group[name][format!("p{percent}")].as_u64().unwrap();
                let error = found.abs_diff(exact) as f64 / exact.max(1) as f64;
                assert!(error <= most, "{name} p{percent} of {target} is {exact}, not {found}");
            }
        }
    }
}

fn a_table_says_what_is_missing(calls: &[Call]) {
    let (code, text) = bcce("dev", &["metrics", "cost", "--period", PERIOD]);
    assert_eq!(code, 0, "{text}");
    let lost = calls.iter().filter(|call| call.is_lost).count();
    assert!(text.contains(&format!("Not included: {lost} lost call")), "{text}");
    assert!(text.contains("(tier reserved), for which prices.yaml had no price"), "{text}");
    assert!(text.contains("of unknown usage"), "{text}");
}
