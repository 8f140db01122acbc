use bcce_core::config::budgets::{Scope, Unit, Window};
use bcce_core::run::budgets::{CounterState, Shard};
use time::macros::datetime;

use super::*;
use crate::metrics::platform::PlatformPrices;
use crate::metrics::samples::{days, selected};

const NOW: OffsetDateTime = datetime!(2026-11-03 12:00 UTC);

fn render(selected: &Selected, budgets: &[Counted]) -> String {
    page(selected, budgets, "bcce metrics cost --html c.html".into(), NOW).render()
}

fn has(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "{text}\n{page}");
    }
}

#[test]
fn the_sum_is_large_and_the_groups_are_those_of_the_command() {
    let page = render(&selected(Dimension::Workflow), &[]);
    has(
        &page,
        &[
            "<h1 class=\"warn\">$0.0274 + unknown</h1>",
            "60 % of it is workflow explain.",
            "60 % · 4 runs · 4 calls · 8,000 tokens in, 1,200 out",
            "The dearest day was 2026-11-03, with $0.0151.",
            "<td>2026-11-03</td><td class=\"figure\">$0.0151</td>",
            "Included: 4 failed calls, whose known cost is $0.0020.",
            "Not included: 1 lost call, which may have been paid.",
            "What AWS charges besides tokens is not known by call.",
        ],
    );
    assert!(!page.contains("What is used of the budgets"));
}

#[test]
fn what_aws_takes_and_a_comparison_are_shown_if_they_were_asked_for() {
    let prices = PlatformPrices::read(None).unwrap();
    let selected =
        Selected { platform: Some(prices), before: Some(days()), ..selected(Dimension::Workflow) };
    let all = page(&selected, &[], String::new(), NOW);
    assert_eq!(all.numbers.len(), 4, "the first screen has room for four");
    has(&all.render(), &["for AWS itself", "$0.0024, which is 9 %", "against the period before"]);
    has(&all.render(), &["before $0.0164 0 %", "Step Functions: transitions"]);
}

#[test]
fn a_comparison_without_what_aws_takes_has_four_numbers() {
    let selected = Selected { before: Some(days()), ..selected(Dimension::Model) };
    let page = page(&selected, &[], String::new(), NOW);
    let labels: Vec<&str> = page.numbers.iter().map(|number| number.label).collect();
    assert_eq!(labels, ["a day", "calls of a model", "tokens", "against the period before"]);
    assert_eq!(page.numbers[3].value, "unknown", "some calls have no known cost");
}

#[test]
fn no_cost_after_no_cost_is_no_change() {
    let none =
        Selected { days: Vec::new(), before: Some(Vec::new()), ..selected(Dimension::Model) };
    assert_eq!(page(&none, &[], String::new(), NOW).numbers[3].value, "0 %");
}

#[test]
fn a_period_without_usage_is_a_page_too() {
    let none = Selected { days: Vec::new(), ..selected(Dimension::Model) };
    let page = render(&none, &[]);
    has(&page, &["<h1 class=\"plain\">$0.0000</h1>", "There was no usage."]);
    assert!(!page.contains("NaN"));
}

#[test]
fn budgets_show_how_much_is_used_and_how_long_they_last() {
    let spent = |spent: i64| CounterState {
        shards: [(0, Shard { spent: Decimal::from(spent), ..Shard::default() })].into(),
        ..CounterState::default()
    };
    let budget = |name: &str, window, state| Counted {
        name: name.into(),
        scope: Scope::Environment,
        value: String::new(),
        window,
        unit: Unit::Usd,
        limit: Decimal::from(100),
        only: Vec::new(),
        state,
    };
    let budgets = [
        budget("day", Some(Window::Day), spent(10)),
        budget("month", Some(Window::Month), spent(95)),
        budget("run", None, spent(0)),
    ];
    let page = render(&selected(Dimension::Workflow), &budgets);
    has(
        &page,
        &[
            "Most of it, 95 %, of month as of 2026-11-03 12:00:00Z.",
            "2026-11: $95.00 spent and $0 reserved of $100.00 · lasts until 2026-11-03",
            "2026-11-03: $10.00 spent and $0 reserved of $100.00 · lasts for its window",
        ],
    );
    assert!(!page.contains("run: each"), "a limit of one run has no window");
}

#[test]
fn no_tag_or_filter_becomes_markup() {
    const HOSTILE: &str = "</style><script>alert(1)</script>";
    let mut selected = selected(Dimension::Tag("team".into()));
    for day in &mut selected.days {
        for calls in &mut day.calls {
            calls.allocation.cost_tags.insert("team".into(), HOSTILE.into());
        }
    }
    selected.environment = HOSTILE.into();
    let page = render(&selected, &[]);
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
    assert_eq!(page.matches("</style>").count(), 1);
}
