use bcce_core::base::usage::Usage;
use bcce_core::call::attempt::Totals;
use bcce_core::config::pricing::Prices;
use bcce_core::document::from_yaml;
use bcce_core::ledger::usage::{Allocation, CountedCalls, DayOfUsage};
use bcce_core::run::manifest::{Detail, StepUsage, UsageLine};
use time::macros::date;

use super::*;
use crate::reconcile::bill::Own;
use crate::reconcile::report::read;

const PRICES: &str = include_str!("../../../../infra/config/dev/prices.yaml");
const HAIKU: &str = "us.anthropic.claude-haiku-5-5";
const SONNET: &str = "us.anthropic.claude-sonnet-5-5";

fn prices() -> Prices {
    from_yaml(PRICES).finished().unwrap()
}

/// Returns calls of one day, priced as the stack does.
fn calls(model_id: &str, tier: &str, tokens: [u64; 5], unknown: u64) -> CountedCalls {
    let [
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_5m_tokens,
        cache_write_1h_tokens,
    ] = tokens;
    let usage = Usage {
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_5m_tokens,
        cache_write_1h_tokens,
    };
    let day = date!(2026 - 11 - 01);
    let row = prices().of(model_id).unwrap().on(day).unwrap().clone();
    let cost = match tier {
        "batch" => row.batch_cost(&usage),
        "flex" => row.cost(&usage) / Decimal::TWO,
        _ => row.cost(&usage),
    };
    CountedCalls {
        allocation: Allocation::default(),
        usage: StepUsage {
            day,
            step: "answer".into(),
            tier: tier.into(),
            long_prompt: false,
            line: UsageLine {
                region: "us-east-1".into(),
                model_id: model_id.into(),
                calls: 10 + unknown,
                unknown_calls: unknown,
                unpriced_calls: unknown,
                lost_calls: unknown.min(1),
                totals: Totals::counted(usage, cost, (unknown, unknown), model_id),
                ..UsageLine::default()
            },
            detail: Detail::default(),
        },
    }
}

/// The ledger of the tests: haiku on demand with a lost call, flex and in bulk, and sonnet.
fn counted() -> Counted {
    let days = [DayOfUsage {
        calls: vec![
            calls(HAIKU, "default", [80_000, 20_000, 5_000, 4_000, 3_000], 1),
            calls(HAIKU, "flex", [10_000, 0, 0, 0, 0], 0),
            calls(HAIKU, "batch", [50_000, 10_000, 0, 0, 0], 0),
            calls(SONNET, "default", [30_000, 6_000, 0, 0, 0], 0),
        ],
        runs: vec![],
        unknown: vec![],
    }];
    Counted::of(&days, &prices())
}

/// A line of the report: the usage type, the number of tokens, and USD per million tokens.
type Planted<'a> = (&'a str, u64, &'a str);

/// The report that agrees with [`counted`].
const AGREEING: [Planted<'_>; 10] = [
    ("USE1-Claude5.5Haiku-input-tokens", 80_000, "0.11"),
    ("USE1-Claude5.5Haiku-output-tokens", 20_000, "0.55"),
    ("USE1-Claude5.5Haiku-cache-read-input-token-count", 5_000, "0.011"),
    ("USE1-Claude5.5Haiku-cache-write-input-token-count", 4_000, "0.1375"),
    ("USE1-Claude5.5Haiku-cache-write-input-token-count-1-hour", 3_000, "0.22"),
    ("USE1-Claude5.5Haiku-input-tokens-flex", 10_000, "0.055"),
    ("USE1-Claude5.5Haiku-input-tokens-batch", 50_000, "0.055"),
    ("USE1-Claude5.5Haiku-output-tokens-batch", 10_000, "0.275"),
    ("USE1-Claude5.5Sonnet-input-tokens", 30_000, "2.2"),
    ("USE1-Claude5.5Sonnet-output-tokens", 6_000, "11"),
];

const OWN: &str = "arn:aws:sts::111122223333:assumed-role/bcce-dev-InvokeRole-1/bcce-dev-invoke";

fn line(principal: &str, (usage_type, tokens, rate): Planted<'_>) -> String {
    let tokens = Decimal::from(tokens);
    let cost = tokens * rate.parse::<Decimal>().unwrap() / Decimal::from(1_000_000);
    let amount = tokens / Decimal::from(1_000);
    format!(
        "{principal},Usage,AmazonBedrock,{cost},111122223333,{amount},2026-11-01T00:00:00Z,{usage_type},1K tokens"
    )
}

fn bill(lines: &[String]) -> Bill {
    const HEAD: &str = "line_item_iam_principal,line_item_line_item_type,line_item_product_code,line_item_unblended_cost,line_item_usage_account_id,line_item_usage_amount,line_item_usage_start_date,line_item_usage_type,pricing_unit";
    let name = format!("bcce-bill-{}-{:?}.csv", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, format!("{HEAD}\n{}\n", lines.join("\n"))).unwrap();
    let own = Own { account: "111122223333".into(), principals: vec!["/bcce-dev-".into()] };
    let mut bill = Bill::default();
    read(&path, &mut |line| bill.add(&line, &own)).unwrap();
    std::fs::remove_file(path).unwrap();
    bill
}

/// Returns the agreeing report with the lines of these usage types replaced.
fn with(replaced: &[(&str, &[Planted<'_>])]) -> Vec<String> {
    let mut lines = Vec::new();
    for planted in AGREEING {
        match replaced.iter().find(|(usage_type, _)| *usage_type == planted.0) {
            Some((_, others)) => lines.extend(others.iter().map(|other| line(OWN, *other))),
            None => lines.push(line(OWN, planted)),
        }
    }
    lines
}

/// Returns the named differences and the residue.
fn compared(lines: &[String]) -> (Vec<String>, Decimal) {
    let found = of(&bill(lines), &counted(), prices().regional_factor);
    let named = found.named.iter();
    let named = named.map(|one| format!("{:?} {} {}", one.reason, one.about, one.usd)).collect();
    (named, found.residue())
}

const HAIKU_PLACE: &str = "2026-11-01 us-east-1 haiku 5.5";

#[test]
fn a_report_that_agrees_has_no_differences() {
    assert_eq!(compared(&with(&[])), (vec![], Decimal::ZERO));
    // Both forms of a usage type are the same tokens.
    let product = "{\"product_name\":\"Claude Haiku 5.5 (Amazon Bedrock Edition)\"}";
    assert!(crate::reconcile::model::ModelName::parse(product).is_some());
}

#[test]
fn each_planted_difference_is_named_and_nothing_else() {
    const INPUT: &str = "USE1-Claude5.5Haiku-input-tokens";
    for (replaced, expected) in [
        // A lost call used 1,000 tokens.
        ((INPUT, &[(INPUT, 81_000, "0.11")][..]), format!("LostInFlight {HAIKU_PLACE} 0.00011")),
        (
            (
                "USE1-Claude5.5Haiku-input-tokens-flex",
                &[("USE1-Claude5.5Haiku-input-tokens-priority", 10_000, "0.1925")][..],
            ),
            format!("ServiceTier {HAIKU_PLACE} 0.001375"),
        ),
        (
            (
                "USE1-Claude5.5Sonnet-input-tokens",
                &[("USE1-Claude5.5Sonnet-input-tokens-cross-region-global", 30_000, "2")][..],
            ),
            "RegionalFactor 2026-11-01 us-east-1 sonnet 5.5 -0.006".to_owned(),
        ),
        (
            (
                "USE1-Claude5.5Sonnet-input-tokens",
                &[("USE1-Claude5.5Sonnet-input-tokens", 30_000, "2")][..],
            ),
            "RegionalFactor 2026-11-01 us-east-1 sonnet 5.5 -0.006".to_owned(),
        ),
        (
            (
                "USE1-Claude5.5Haiku-cache-write-input-token-count-1-hour",
                &[("USE1-Claude5.5Haiku-cache-write-input-token-count", 3_000, "0.1375")][..],
            ),
            format!("OneHourCacheWrites {HAIKU_PLACE} -0.0002475"),
        ),
        (
            (
                "USE1-Claude5.5Haiku-output-tokens-batch",
                &[("USE1-Claude5.5Haiku-output-tokens", 10_000, "0.55")][..],
            ),
            format!("Batch {HAIKU_PLACE} 0.00275"),
        ),
        (
            (
                "USE1-Claude5.5Sonnet-output-tokens",
                &[("USE1-Claude5.5Sonnet-output-tokens", 6_000, "13.2")][..],
            ),
            "Price 2026-11-01 us-east-1 sonnet 5.5 0.0132".to_owned(),
        ),
    ] {
        assert_eq!(compared(&with(&[replaced])), (vec![expected], Decimal::ZERO));
    }
    for (principal, planted, expected) in [
        (
            "arn:aws:sts::111122223333:assumed-role/analysts/eve",
            (INPUT, 7_000, "0.11"),
            "ForeignCaller arn:aws:sts::111122223333:assumed-role/analysts/eve 0.00077",
        ),
        (
            OWN,
            ("USE1-Guardrail-ContentPolicyUnitsConsumed", 1_000, "750"),
            "Guardrails all guardrails 0.75",
        ),
        (
            OWN,
            ("USE1-NovaPro-input-tokens", 1_000, "0.8"),
            "OtherLines USE1-NovaPro-input-tokens 0.0008",
        ),
    ] {
        let mut lines = with(&[]);
        lines.push(line(principal, planted));
        assert_eq!(compared(&lines), (vec![expected.to_owned()], Decimal::ZERO));
    }
}

/// Tokens of a model whose calls all have a known usage have no reason in the ledger.
#[test]
fn what_has_no_reason_is_unexplained() {
    const INPUT: &str = "USE1-Claude5.5Sonnet-input-tokens";
    let more = compared(&with(&[(INPUT, &[(INPUT, 31_000, "2.2")])]));
    assert_eq!(more, (vec![], Decimal::new(22, 4)));
    let less = compared(&with(&[(INPUT, &[(INPUT, 29_000, "2.2")])]));
    assert_eq!(less, (vec![], Decimal::new(22, 4)));
}

#[test]
fn lines_of_other_accounts_and_taxes_are_left_out() {
    let mut lines = with(&[]);
    let planted = line(OWN, ("USE1-Claude5.5Haiku-input-tokens", 5_000, "0.11"));
    lines.push(planted.replace(",111122223333,", ",444455556666,"));
    lines.push(planted.replace(",Usage,", ",Tax,"));
    assert_eq!(compared(&lines), (vec![], Decimal::ZERO));
    assert_eq!(bill(&lines).accounts.len(), 2);
}
