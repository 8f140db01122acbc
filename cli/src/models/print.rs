//! Prints the targets by alias: a table, or a block for each target if the terminal is too narrow for the table.

use bcce_core::config::pricing::Price;
use bcce_core::failover::breaker::{Breaker, BreakerStatus};
use bcce_core::failover::latency::BOUNDS_MS;
use bcce_core::standby::canary::{CallResult, LastCall};
use bcce_core::standby::finding::Level;
use time::{OffsetDateTime, UtcOffset};

use super::{Known, Listed, Reach, Report};
use crate::figures;
use crate::metrics::table::{Row, Table, percent};
use crate::paint::{Ink, Line, Span, field, span};

const HEADINGS: [&str; 9] =
    ["alias", "target", "reachable", "life", "price", "breaker", "p50", "share", "canary"];

/// Returns the lines of a report. `width` is that of the terminal in characters.
pub fn lines(report: &Report, width: usize) -> Vec<Line> {
    let rows: Vec<Vec<Span>> = report.listed().map(|listed| cells(&listed, report)).collect();
    let mut lines = match table(&rows) {
        table if table.iter().all(|line| length(line) <= width) => table,
        _ => blocks(&rows),
    };
    lines.extend(notes(report));
    lines
}

fn table(rows: &[Vec<Span>]) -> Vec<Line> {
    let headings = HEADINGS.map(str::to_owned).to_vec();
    let rows = rows.iter().map(|cells| Row { cells: cells.clone(), bar: None }).collect();
    Table { headings, texts: HEADINGS.len(), rows }.lines(None)
}

/// Returns a block for each target: its alias and name, and a line for each of the other cells.
fn blocks(rows: &[Vec<Span>]) -> Vec<Line> {
    let block = |cells: &Vec<Span>| {
        let title = format!("{}: {}", cells[0].text, cells[1].text);
        let fields = HEADINGS.iter().zip(cells).skip(2).map(|(name, cell)| {
            let mut line = field(name, cell.text.clone());
            line[1].ink = cell.ink;
            line
        });
        std::iter::once(vec![span(Ink::Bold, title)]).chain(fields).collect::<Vec<_>>()
    };
    rows.iter().flat_map(block).collect()
}

fn length(line: &Line) -> usize {
    line.iter().map(|span| span.text.chars().count()).sum()
}

fn cells(listed: &Listed<'_>, report: &Report) -> Vec<Span> {
    let (known, now) = (listed.known, report.now);
    vec![
        span(Ink::Plain, listed.alias),
        span(Ink::Plain, known.watched.target.to_string()),
        reachable(known, now),
        life(known, now),
        span(Ink::Plain, known.price.as_ref().map_or("none".to_owned(), price)),
        breaker(&known.breaker, now),
        span(Ink::Plain, median(known)),
        span(Ink::Plain, listed.share.map_or("-".to_owned(), percent)),
        canary(known.last_call.as_ref()),
    ]
}

fn reachable(known: &Known, now: OffsetDateTime) -> Span {
    match known.reach(now) {
        Reach::Yes => span(Ink::Green, "yes"),
        Reach::Forbidden => span(Ink::Yellow, "no: policy"),
        Reach::No(check) => span(Ink::Red, format!("no: {}", check.as_str())),
    }
}

fn life(known: &Known, now: OffsetDateTime) -> Span {
    let Some(model) = known.model() else { return span(Ink::Plain, "-") };
    let day = |at: OffsetDateTime| at.to_offset(UtcOffset::UTC).date();
    match model.ends_at {
        Some(end) if end <= now => span(Ink::Red, format!("ended {}", day(end))),
        Some(end) => span(Ink::Yellow, format!("ends {}", day(end))),
        None if model.is_legacy_at(now) => span(Ink::Yellow, "legacy"),
        None => span(Ink::Plain, "active"),
    }
}

/// Formats the prices of input and output tokens, in USD per million.
fn price(price: &Price) -> String {
    let [input, output] = [price.input, price.output].map(figures::exact_usd);
    format!("{input} / {output}")
}

fn breaker(breaker: &Breaker, now: OffsetDateTime) -> Span {
    match breaker.status(now) {
        BreakerStatus::Closed => span(Ink::Plain, "closed"),
        BreakerStatus::Open { until } => {
            span(Ink::Red, format!("open until {}", figures::stamp(until)))
        }
        BreakerStatus::Due => span(Ink::Yellow, "open, probe due"),
        BreakerStatus::Probed { .. } => span(Ink::Yellow, "open, used by a probe"),
    }
}

fn median(known: &Known) -> String {
    let most = BOUNDS_MS.last().copied().unwrap_or_default();
    match known.median_ms() {
        None => "-".to_owned(),
        Some(Some(bound)) => format!("≤ {}", figures::milliseconds(bound)),
        Some(None) => format!("> {}", figures::milliseconds(most)),
    }
}

fn canary(call: Option<&LastCall>) -> Span {
    let Some(call) = call else { return span(Ink::Dim, "never") };
    let at = figures::stamp(call.started_at);
    match &call.result {
        None => span(Ink::Yellow, format!("{at} not ended")),
        Some(CallResult::Answered { latency_ms }) => {
            span(Ink::Plain, format!("{at} answered in {}", figures::milliseconds(*latency_ms)))
        }
        Some(CallResult::Failed { error, .. }) => {
            span(Ink::Red, format!("{at} {}", error.as_str()))
        }
    }
}

/// Returns the lines below the targets: what a person has to correct, and what the figures are.
fn notes(report: &Report) -> Vec<Line> {
    let mut lines = Vec::new();
    let forbidden = report.targets.iter().filter_map(|known| {
        let reason = known.forbidden.as_ref()?;
        Some(vec![
            span(Ink::Yellow, "policy "),
            span(Ink::Plain, format!("{}: {reason}", known.watched.target)),
        ])
    });
    for line in forbidden {
        lines.push(line);
    }
    for finding in report.findings() {
        let ink = if finding.level == Level::Fail { Ink::Red } else { Ink::Yellow };
        let check = finding.check.as_str();
        lines.push(vec![span(ink, format!("{check} ")), span(Ink::Plain, finding.to_string())]);
        lines.push(vec![span(Ink::Dim, "  -> "), span(Ink::Plain, finding.remedy.as_str())]);
    }
    for question in &report.unread {
        lines.push(vec![span(Ink::Yellow, "unread "), span(Ink::Plain, question.as_str())]);
    }
    if !lines.is_empty() {
        lines.insert(0, Vec::new());
    }
    let life = if report.is_live { "" } else { " `--live` asks Bedrock for the life cycle." };
    let note = format!(
        "price: USD per million tokens in / out. p50: time to the first token, last 5 to 10 minutes. share: of the calls of the alias since {} 00:00Z.{life}",
        report.since
    );
    lines.extend([Vec::new(), vec![span(Ink::Dim, note)]]);
    lines
}

#[cfg(test)]
mod tests {
    use bcce_core::standby::facts::{ModelFacts, TargetFacts};
    use time::Duration;

    use super::*;
    use crate::models::samples::{NOON, known, report};
    use crate::paint::render;

    fn text(report: &Report, width: usize) -> Vec<String> {
        lines(report, width).iter().map(|line| render(line, false, usize::MAX)).collect()
    }

    #[test]
    fn a_table_has_a_row_for_each_target_and_the_findings_below() {
        let text = text(&report(), usize::MAX);
        assert!(text[0].starts_with("alias  target"), "{text:#?}");
        for (row, parts) in [
            (
                1,
                vec![
                    "haiku  us.anthropic.claude-haiku-5-5 in us-east-1",
                    "yes",
                    "$0.11 / $0.55",
                    "closed",
                    "≤ 780 ms",
                    "75 %",
                    "2026-11-30 09:07:00Z answered in 850 ms",
                ],
            ),
            (
                2,
                vec![
                    "in us-west-2",
                    "no: call",
                    "open until 2026-11-30 12:05:00Z",
                    "25 %",
                    "Bcce.TargetRejected",
                ],
            ),
            (3, vec!["opus", "no: policy", "none", "never"]),
        ] {
            assert!(parts.iter().all(|part| text[row].contains(part)), "{}", text[row]);
        }
        assert!(text.iter().any(|line| line.starts_with("call us.anthropic")), "{text:#?}");
        assert!(text.contains(&"  -> the remedy".to_owned()));
        assert!(text.iter().any(|line| line.contains("may reach eu-west-1")));
        assert!(text.last().unwrap().ends_with("`--live` asks Bedrock for the life cycle."));
    }

    #[test]
    fn a_narrow_terminal_has_a_block_for_each_target() {
        let text = text(&report(), 80);
        assert_eq!(text[0], "haiku: us.anthropic.claude-haiku-5-5 in us-east-1");
        assert_eq!(text[1], "  reachable  yes");
        assert!(
            text.contains(&"  breaker    open until 2026-11-30 12:05:00Z".to_owned()),
            "{text:#?}"
        );
    }

    #[test]
    fn the_life_of_a_model_is_shown_once_bedrock_was_asked() {
        let shown = |change: fn(&mut ModelFacts)| {
            let (mut model, mut known) = (ModelFacts::default(), known("us-east-1", 0));
            change(&mut model);
            known.facts = Some(TargetFacts { model: Some(Ok(model)), ..TargetFacts::default() });
            life(&known, NOON).text
        };
        assert_eq!(life(&known("us-east-1", 0), NOON).text, "-");
        assert_eq!(shown(|_| {}), "active");
        assert_eq!(shown(|model| model.is_legacy = true), "legacy");
        assert_eq!(shown(|model| model.legacy_at = Some(NOON)), "legacy");
        assert_eq!(shown(|model| model.ends_at = Some(NOON + Duration::DAY)), "ends 2026-12-01");
        assert_eq!(shown(|model| model.ends_at = Some(NOON)), "ended 2026-11-30");
    }
}
