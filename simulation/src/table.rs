//! Every scenario under every strategy, as one table.

use std::thread;

use bcce_core::config::breakers::BreakerSettings;
use bcce_core::config::routing::Strategy;

use crate::figures::Figures;
use crate::run::{Trial, run};
use crate::scenario::{CALM, SCENARIOS, STRATEGIES, Scenario, settings};

type Row = [String; 12];

const HEAD: [&str; 12] = [
    "what goes wrong",
    "strategy",
    "answered, %",
    "lost",
    "failed calls, ‰",
    "calls while sick",
    "its answers",
    "p50, s",
    "p99, s",
    "recovery, s",
    "open, %",
    "waits, ‰",
];

/// Columns of words; the others are of figures.
const WORDS: usize = 2;

/// What is shown without breakers.
const BASELINES: [Strategy; 2] = [Strategy::Priority, Strategy::RoundRobin];

pub fn table(requests: u64, seed: u64) -> String {
    let of =
        |scenario, strategy, breaker| run(Trial { scenario, strategy, breaker }, requests, seed);
    // Nothing fails in a calm time, so that a breaker makes no difference to it.
    let calm = STRATEGIES.map(|strategy| (strategy, of(CALM, strategy, None)));
    let rows = |scenario| rows(scenario, &calm, of);
    let rows = thread::scope(|scope| {
        let all = SCENARIOS.map(|scenario| scope.spawn(move || rows(scenario)));
        all.map(|rows| rows.join().expect("a run does not panic")).concat()
    });
    lined(&rows)
}

/// Of one scenario: every strategy with its breakers, and some without.
fn rows(
    scenario: Scenario,
    calm: &[(Strategy, Figures)],
    run: impl Fn(Scenario, Strategy, Option<BreakerSettings>) -> Figures,
) -> Vec<Row> {
    let with = STRATEGIES.map(|strategy| (strategy, Some(settings())));
    let without = BASELINES.map(|strategy| (strategy, None));
    let row = |(strategy, breaker): (Strategy, Option<BreakerSettings>)| {
        let figures = run(scenario, strategy, breaker);
        let calm = calm.iter().find(|(of, _)| *of == strategy).filter(|_| scenario != CALM);
        let without = if breaker.is_some() { "" } else { ", no breaker" };
        let name = format!("{}{without}", describe(strategy));
        cells(&scenario, name, &figures, calm.map(|(_, figures)| figures))
    };
    with.into_iter().chain(without).map(row).collect()
}

fn cells(scenario: &Scenario, strategy: String, figures: &Figures, calm: Option<&Figures>) -> Row {
    let latency = |quantile| {
        let seconds = figures.latency(scenario, quantile);
        match calm {
            Some(calm) => format!("{:+.1}", seconds - calm.latency(scenario, quantile)),
            None => format!("{seconds:.1}"),
        }
    };
    let recovery = match figures.recovery() {
        _ if calm.is_none() => "-".to_owned(),
        Some(took) => format!("{:.1}", took.as_secs_f64()),
        None => "never".to_owned(),
    };
    [
        scenario.name.to_owned(),
        strategy,
        format!("{:.2}", 100.0 * figures.success(scenario)),
        figures.lost.to_string(),
        format!("{:.1}", figures.per_thousand(figures.failed_calls)),
        figures.sick_calls.to_string(),
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

/// Words to the left, figures to the right.
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
    fn a_line_is_as_wide_as_the_head_wants_it() {
        let row = cells(&CALM, "cost".to_owned(), &Figures::of(CALM), None);
        let text = lined(&[row]);
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths.len(), 3);
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
        assert!(text.contains("| calm            | cost     |"), "{text}");
    }
}
