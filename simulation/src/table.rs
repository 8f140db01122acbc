//! Formats the results of all scenarios and strategies as a Markdown table.

use std::thread;

use bcce_core::config::breakers::BreakerSettings;
use bcce_core::config::routing::Strategy;

use crate::figures::Figures;
use crate::run::{Trial, run};
use crate::scenario::{NO_FAILURE, SCENARIOS, STRATEGIES, Scenario, settings};

type Row = [String; 12];

const HEAD: [&str; 12] = [
    "scenario",
    "strategy",
    "answered, %",
    "lost",
    "failed calls, ‰",
    "calls while failing",
    "us-east-1 answers",
    "p50, s",
    "p99, s",
    "recovery, s",
    "breaker open, %",
    "waits, ‰",
];

/// The number of columns with text. The other columns have numbers.
const WORDS: usize = 2;

/// The strategies that are also simulated without breakers.
const BASELINES: [Strategy; 2] = [Strategy::Priority, Strategy::RoundRobin];

/// Simulates every scenario with `requests` requests and returns the table.
pub fn table(requests: u64, seed: u64) -> String {
    let of =
        |scenario, strategy, breaker| run(Trial { scenario, strategy, breaker }, requests, seed);
    // The latencies are compared with those without a failure, where a breaker makes no difference.
    let normal = STRATEGIES.map(|strategy| (strategy, of(NO_FAILURE, strategy, None)));
    let rows = |scenario| rows(scenario, &normal, of);
    let rows = thread::scope(|scope| {
        let all = SCENARIOS.map(|scenario| scope.spawn(move || rows(scenario)));
        all.map(|rows| rows.join().expect("a simulation does not panic")).concat()
    });
    lined(&rows)
}

/// Returns the rows of one scenario: every strategy with breakers, and [`BASELINES`] without.
fn rows(
    scenario: Scenario,
    normal: &[(Strategy, Figures)],
    run: impl Fn(Scenario, Strategy, Option<BreakerSettings>) -> Figures,
) -> Vec<Row> {
    let with = STRATEGIES.map(|strategy| (strategy, Some(settings())));
    let without = BASELINES.map(|strategy| (strategy, None));
    let row = |(strategy, breaker): (Strategy, Option<BreakerSettings>)| {
        let figures = run(scenario, strategy, breaker);
        let normal =
            normal.iter().find(|(of, _)| *of == strategy).filter(|_| scenario != NO_FAILURE);
        let without = if breaker.is_some() { "" } else { ", no breaker" };
        let name = format!("{}{without}", describe(strategy));
        cells(&scenario, name, &figures, normal.map(|(_, figures)| figures))
    };
    with.into_iter().chain(without).map(row).collect()
}

fn cells(
    scenario: &Scenario,
    strategy: String,
    figures: &Figures,
    normal: Option<&Figures>,
) -> Row {
    let latency = |quantile| {
        let seconds = figures.latency(scenario, quantile);
        match normal {
            Some(normal) => format!("{:+.1}", seconds - normal.latency(scenario, quantile)),
            None => format!("{seconds:.1}"),
        }
    };
    let recovery = match figures.recovery() {
        _ if normal.is_none() => "-".to_owned(),
        Some(took) => format!("{:.1}", took.as_secs_f64()),
        None => "never".to_owned(),
    };
    [
        scenario.name.to_owned(),
        strategy,
        format!("{:.2}", 100.0 * figures.success(scenario)),
        figures.lost.to_string(),
        format!("{:.1}", figures.per_thousand(figures.failed_calls)),
        figures.calls_while_failing.to_string(),
        figures.answers_of_first.to_string(),
        latency(0.5),
        latency(0.99),
        recovery,
        format!("{:.1}", 100.0 * figures.open),
        format!("{:.1}", figures.per_thousand(figures.waits)),
    ]
}

fn describe(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Priority => "priority",
        Strategy::Latency => "latency",
        Strategy::RoundRobin => "round-robin",
        Strategy::Cost => "cost",
    }
}

fn lined(rows: &[Row]) -> String {
    let head = HEAD.map(str::to_owned);
    let width = |at: usize| {
        let cells = rows.iter().chain([&head]).map(|row| row[at].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let rule = |(at, width): (usize, &usize)| {
        format!("{}{}", "-".repeat(width + 1), if at < WORDS { '-' } else { ':' })
    };
    let rule: Vec<String> = widths.iter().enumerate().map(rule).collect();
    let mut text = format!("{}|{}|\n", line(&head, &widths), rule.join("|"));
    rows.iter().for_each(|row| text += &line(row, &widths));
    text
}

/// Formats a row. Text is aligned to the left, numbers to the right.
fn line(cells: &Row, widths: &[usize]) -> String {
    let cell = |(at, (cell, width)): (usize, (&String, &usize))| match at < WORDS {
        true => format!(" {cell:<width$} "),
        false => format!(" {cell:>width$} "),
    };
    let cells: Vec<String> = cells.iter().zip(widths).enumerate().map(cell).collect();
    format!("|{}|\n", cells.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lines_have_the_same_width() {
        let row = cells(&NO_FAILURE, "cost".to_owned(), &Figures::of(NO_FAILURE), None);
        let text = lined(&[row]);
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths.len(), 3);
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
        assert!(text.contains("| no failure | cost     |"), "{text}");
    }
}
