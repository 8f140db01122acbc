//! Writes a Cost and Usage Report of the mix, with eight differences that `bcce metrics reconcile` has to name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bcce_tests::harness::cli::{ROOT, bcce};
use rust_decimal::Decimal;
use serde_json::Value;

use crate::by_hand::Call;

/// The account of the local stack.
const ACCOUNT: &str = "000000000000";
/// The principal of the stack's calls.
const OWN: &str = "arn:aws:sts::000000000000:assumed-role/bcce-dev-InvokeRole-1A2B/bcce-dev-invoke";
const FOREIGN: &str = "arn:aws:sts::000000000000:assumed-role/analysts/eve";

/// The kinds of tokens in usage types, in the order of `by_hand::TOKENS`.
const KINDS: [&str; 5] = [
    "input-tokens",
    "output-tokens",
    "cache-read-input-token-count",
    "cache-write-input-token-count",
    "cache-write-input-token-count-1-hour",
];

/// A line of the report.
#[derive(Clone, Debug)]
struct Line {
    principal: &'static str,
    day: String,
    region: String,
    usage_type: String,
    tokens: Decimal,
    cost: Decimal,
}

impl Line {
    fn of(call: &Call, kind: usize, tokens: u64) -> Self {
        let code = if call.region == "us-east-1" { "USE1" } else { "USW2" };
        let model = match call.model() {
            "anthropic.claude-haiku-5-5" => "Claude5.5Haiku",
            "anthropic.claude-sonnet-5-5" => "Claude5.5Sonnet",
            other => panic!("the test has no name of {other}"),
        };
        let long = if call.is_long() { "-long-context" } else { "" };
        let tier = if call.tier == "default" { String::new() } else { format!("-{}", call.tier) };
        // A reserved tier is paid by the month, so its tokens cost nothing.
        let rate = call.rate(kind).unwrap_or_default();
        Self {
            principal: OWN,
            day: call.day.clone(),
            region: call.region.clone(),
            usage_type: format!("{code}-{model}-{}{long}{tier}", KINDS[kind]),
            tokens: tokens.into(),
            cost: Decimal::from(tokens) * rate / Decimal::from(1_000_000),
        }
    }

    fn is(&self, part: &str) -> bool {
        self.usage_type.contains(part)
    }
}

/// Returns the lines of a report that agrees with the ledger.
fn agreeing(calls: &[Call]) -> Vec<Line> {
    let mut lines: BTreeMap<(String, String), Line> = BTreeMap::new();
    for call in calls {
        for (kind, tokens) in call.tokens.unwrap_or_default().into_iter().enumerate() {
            if tokens == 0 {
                continue;
            }
            let line = Line::of(call, kind, tokens);
            let key = (line.day.clone(), line.usage_type.clone());
            match lines.get_mut(&key) {
                Some(known) => {
                    known.tokens += line.tokens;
                    known.cost += line.cost;
                }
                None => _ = lines.insert(key, line),
            }
        }
    }
    lines.into_values().collect()
}

/// Changes the lines and returns what each change adds to the bill, by the reason that the command has to give.
fn plant(lines: &mut Vec<Line>, calls: &[Call]) -> BTreeMap<&'static str, Decimal> {
    let mut planted: BTreeMap<&str, Decimal> = BTreeMap::new();
    let mut change =
        |reason: &'static str, line: &mut Line, from: &str, to: &str, factor: Decimal| {
            let before = line.cost;
            line.usage_type = line.usage_type.replace(from, to);
            line.cost *= factor;
            *planted.entry(reason).or_default() += line.cost - before;
        };
    let factor = |units: i64, tenths: u32| Decimal::new(units, tenths);
    let early = &crate::mix::early_call()[..10];
    for line in lines.iter_mut() {
        match () {
            () if line.is("-flex") => {
                change("service_tier", line, "-flex", "-priority", factor(35, 1))
            }
            () if line.is("USW2-") => {
                let (kind, global) = ("tokens", "tokens-cross-region-global");
                change("regional_factor", line, kind, global, Decimal::ONE / factor(11, 1));
            }
            () if line.is("-1-hour") => {
                change("one_hour_cache_writes", line, "-1-hour", "", factor(625, 3));
            }
            () if line.is("output-tokens-batch") => {
                change("batch", line, "-batch", "", Decimal::TWO)
            }
            () if line.is("Sonnet-output") && line.day != early => {
                change("price", line, "", "", factor(125, 2));
            }
            () => {}
        }
    }
    // The calls of unknown usage were paid for these tokens.
    let lost = calls.iter().find(|call| call.is_lost).unwrap();
    let known = calls.iter().find(|call| {
        call.tier == "default" && call.tokens.is_some() && call.model() == lost.model()
    });
    let known =
        Call { region: lost.region.clone(), day: lost.day.clone(), ..known.unwrap().clone() };
    let more = [
        ("lost_in_flight", Line::of(&Call { tokens: Some([1; 5]), ..known.clone() }, 0, 900)),
        (
            "foreign_caller",
            Line {
                principal: FOREIGN,
                ..Line::of(&Call { tokens: Some([1; 5]), ..known }, 1, 7_000)
            },
        ),
        (
            "guardrails",
            Line {
                usage_type: "USE1-Guardrail-ContentPolicyUnitsConsumed".into(),
                cost: Decimal::new(75, 2),
                ..lines[0].clone()
            },
        ),
    ];
    for (reason, line) in more {
        planted.insert(reason, line.cost);
        lines.push(line);
    }
    planted
}

fn csv(lines: &[Line]) -> String {
    let mut text = "line_item_iam_principal,line_item_line_item_type,line_item_product_code,line_item_unblended_cost,line_item_usage_account_id,line_item_usage_amount,line_item_usage_start_date,line_item_usage_type,pricing_unit,product_region_code\n".to_owned();
    for line in lines {
        // A report has ten places.
        let (cost, amount) =
            (line.cost.round_dp(10), (line.tokens / Decimal::from(1_000)).round_dp(10));
        text += &format!(
            "{},Usage,AmazonBedrock,{cost},{ACCOUNT},{amount},{}T00:00:00.000Z,{},1K tokens,{}\n",
            line.principal, line.day, line.usage_type, line.region
        );
    }
    text
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(ROOT).join(".local/costs").join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn reconcile(path: &Path, exit: i32) -> String {
    let (code, text) =
        bcce("dev", &["metrics", "reconcile", "--json", "--cur", path.to_str().unwrap()]);
    assert_eq!(code, exit, "{text}");
    text
}

/// Checks that a report that agrees has no differences, and that each of eight planted ones is named.
pub fn is_reconciled(calls: &[Call]) {
    let mut lines = agreeing(calls);
    let agrees: Value =
        serde_json::from_str(&reconcile(&file("agrees.csv", &csv(&lines)), 0)).unwrap();
    assert_eq!(agrees["differences"].as_array().unwrap().len(), 0, "{agrees}");
    assert_eq!(agrees["agrees"], true);

    let planted = plant(&mut lines, calls);
    assert_eq!(planted.len(), 8);
    let path = file("planted.csv", &csv(&lines));
    let report: Value = serde_json::from_str(&reconcile(&path, 0)).unwrap();
    let usd = |value: &Value| value.as_str().unwrap().parse::<Decimal>().unwrap();
    let mut named: BTreeMap<&str, Decimal> = BTreeMap::new();
    for difference in report["differences"].as_array().unwrap() {
        *named.entry(difference["reason"].as_str().unwrap()).or_default() +=
            usd(&difference["usd"]);
    }
    assert_eq!(named.keys().collect::<Vec<_>>(), planted.keys().collect::<Vec<_>>(), "{report}");
    for (reason, usd) in &planted {
        let error = (named[reason] - usd).abs();
        assert!(error < Decimal::new(1, 7), "{reason} is {usd}, not {}: {report}", named[reason]);
    }
    let residue = usd(&report["unexplained_usd"]) / usd(&report["bill_usd"]);
    assert!(residue <= Decimal::new(1, 3), "{residue} of the bill is unexplained: {report}");
    println!("{}", bcce("dev", &["metrics", "reconcile", "--cur", path.to_str().unwrap()]).1);

    // The same report without a reason for a part of the bill does not agree.
    let mut unexplained = agreeing(calls);
    let sonnet = unexplained.iter_mut().find(|line| line.is("Sonnet-input")).unwrap();
    sonnet.tokens *= Decimal::TWO;
    sonnet.cost *= Decimal::TWO;
    reconcile(&file("unexplained.csv", &csv(&unexplained)), 1);
    let other = csv(&agreeing(calls)).replace(ACCOUNT, "444455556666");
    let cause = reconcile(&file("other.csv", &other), 2);
    assert!(
        cause.contains("in the account 444455556666, and the stack is in 000000000000"),
        "{cause}"
    );
}
