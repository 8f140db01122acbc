//! Shows where the time went: the whole as one bar, then every step with its calls and waits on a common scale.

use std::collections::BTreeMap;

use maud::{Markup, html};
use time::OffsetDateTime;

use super::Reported;
use super::spent::{self, Interval, Spent};
use crate::figures;
use crate::report::chart::{self, Part, Piece};
use crate::report::page::Section;
use crate::run::timeline::{Event, Execution, has_failed};
use crate::run::view::explained::names::Names;

/// The largest number of items of a step that have a lane each. More items share one picture.
const LANES: usize = 12;

pub fn section(reported: &Reported<'_>) -> Section {
    let scale = Scale { from: reported.record.started_at, to: reported.until() };
    let executions: Vec<&Execution> = reported.executions().collect();
    let calls = executions.iter().flat_map(|execution| spent::intervals(execution));
    let mut intervals: Vec<Interval> = calls.collect();
    if reported.is_over() {
        intervals.extend(spent::around(&executions, scale.from, scale.to));
    }
    let spent = spent::divide(&intervals, scale.from, scale.to);
    Section {
        id: "time",
        heading: "Where the time went",
        lead: lead(&spent, &scale),
        body: html! {
            (chart::whole(&parts(&spent, &scale, reported.is_over())))
            @if !executions.is_empty() {
                h3 { "Step by step" }
                p.soft { "Every bar is drawn to the same scale." }
                div.body {
                    (axis(&scale))
                    @for step in executions.chunk_by(|one, other| one.step.step == other.step.step) {
                        (lanes(step, &scale))
                    }
                }
            }
        },
    }
}

/// The time span that is drawn.
struct Scale {
    from: OffsetDateTime,
    to: OffsetDateTime,
}

impl Scale {
    fn milliseconds(&self) -> u64 {
        u64::try_from((self.to - self.from).whole_milliseconds()).unwrap_or(0).max(1)
    }

    fn share(&self, ms: u64) -> f64 {
        ms as f64 / self.milliseconds() as f64
    }

    fn place(&self, at: OffsetDateTime) -> f64 {
        ((at - self.from) / (self.to - self.from).max(time::Duration::MILLISECOND)).clamp(0.0, 1.0)
    }

    fn piece(&self, interval: Interval) -> Piece {
        Piece {
            class: interval.spent.class(),
            from: self.place(interval.from),
            to: self.place(interval.to),
        }
    }
}

fn lead(spent: &BTreeMap<Spent, u64>, scale: &Scale) -> String {
    let of = |kind: Spent| spent.get(&kind).copied().unwrap_or_default();
    let percent = (scale.share(of(Spent::Answered)) * 100.0).round();
    let lost = of(Spent::Failed) + of(Spent::Waited);
    let lost = match lost {
        0 => "Nothing was lost to failures or waits.".to_owned(),
        ms => format!("Failures and waits took {}.", figures::milliseconds(ms)),
    };
    if let Some(bulk) = spent.get(&Spent::Bulk) {
        return format!("The bulk job took {}.", figures::milliseconds(*bulk));
    }
    format!("Claude was at work for {percent} % of the time. {lost}")
}

fn parts(spent: &BTreeMap<Spent, u64>, scale: &Scale, is_over: bool) -> Vec<Part> {
    let label = |kind: Spent| match (kind, is_over) {
        (Spent::Answered, _) => ("Claude answers", ""),
        (Spent::Failed, _) => ("calls that failed", ""),
        (Spent::Bulk, _) => ("a bulk job", "its queue and its work"),
        (Spent::Waited, _) => ("waits for the next try", ""),
        (Spent::Before, _) => ("before the first step", "the run is prepared"),
        (Spent::After, _) => ("after the last step", "the run is sealed"),
        (Spent::Between, true) => ("between the calls", "functions, Step Functions, storage"),
        (Spent::Between, false) => ("under way or between", "a step is drawn when it has ended"),
    };
    let part = |kind: Spent| {
        let ms = spent.get(&kind).copied().filter(|ms| *ms > 0)?;
        let (label, note) = label(kind);
        Some(Part {
            class: kind.class(),
            label: label.to_owned(),
            value: figures::milliseconds(ms),
            note: note.to_owned(),
            share: scale.share(ms),
        })
    };
    Spent::ALL.into_iter().filter_map(part).collect()
}

fn axis(scale: &Scale) -> Markup {
    let all = scale.milliseconds();
    html! {
        div.lane aria-hidden="true" {
            span {}
            div.scale.track {
                @for quarter in 0..=4_u64 { span { (figures::milliseconds(all * quarter / 4)) } }
            }
            span {}
        }
    }
}

/// Draws the executions of one step: a lane for each, or one picture if there are many.
fn lanes(step: &[&Execution<'_>], scale: &Scale) -> Markup {
    html! {
        @if step.len() > LANES {
            (fan_out(step, scale))
        } @else {
            @for execution in step { (lane(execution, scale)) }
        }
    }
}

/// Draws all items of a step that fans out, a line for each item.
fn fan_out(step: &[&Execution<'_>], scale: &Scale) -> Markup {
    let pieces = |execution: &&Execution<'_>| pieces(execution, scale);
    let drawn: Vec<Vec<Piece>> = step.iter().map(pieces).collect();
    let spans: Vec<_> = step.iter().filter_map(|execution| execution.ran()).collect();
    let began = spans.iter().map(|(from, _)| *from).min();
    let ended = spans.iter().map(|(_, to)| *to).max();
    let took = began.zip(ended).map(|(from, to)| figures::between(from, to)).unwrap_or_default();
    html! {
        ul.lanes {
            li.lane.whole {
                span { (step[0].step.step) " " span.soft { (figures::plural(step.len(), "item")) } }
                (chart::lanes(&drawn))
                span.figure { (took) }
            }
        }
    }
}

/// Draws a step execution. If it took more than one call, each of its calls and waits has a lane of its own below.
fn lane(execution: &Execution<'_>, scale: &Scale) -> Markup {
    let took = execution.ran().map(|(from, to)| figures::between(from, to)).unwrap_or_default();
    let events = execution.events();
    let timed: Vec<&Event> =
        events.iter().filter(|event| !matches!(event, Event::Decision(_))).collect();
    let attempts = execution.record.into_iter().flat_map(|record| &record.attempts);
    let names = Names::of(attempts.map(|attempt| &attempt.target));
    html! {
        ul.lanes {
            li.lane.whole {
                span { (execution.name()) " " span.soft { (execution.model) ", " (state(execution)) } }
                (chart::track(&pieces(execution, scale), 14))
                span.figure { (took) }
            }
            @if timed.len() > 1 {
                @for event in timed { (event_lane(event, &names, scale)) }
            }
        }
    }
}

fn event_lane(event: &Event<'_>, names: &Names, scale: &Scale) -> Markup {
    let interval = spent::interval(event);
    let took = interval.map(|i| figures::between(i.from, i.to)).unwrap_or_default();
    let pieces: Vec<Piece> = interval.into_iter().map(|interval| scale.piece(interval)).collect();
    html! {
        li.lane {
            span { (described(event, names)) }
            (chart::track(&pieces, 8))
            span.figure.soft { (took) }
        }
    }
}

fn described(event: &Event<'_>, names: &Names) -> Markup {
    match event {
        Event::Attempt(attempt) => {
            let target = names.target(&attempt.target);
            html! {
                (target) " "
                @if has_failed(attempt) {
                    span.bad { (attempt.error.map_or("failed", |error| error.as_str())) }
                } @else {
                    span.good { "answered" }
                }
            }
        }
        Event::Wait { .. } => html! { span.warn { "waited" } },
        Event::Decision(_) => html! {},
    }
}

fn state(execution: &Execution<'_>) -> String {
    match execution.is_cached() {
        true => "from the response cache".to_owned(),
        false => execution.state.as_str().to_lowercase(),
    }
}

/// Returns the time from the first decision to the last end, and the calls and waits in it.
fn pieces(execution: &Execution<'_>, scale: &Scale) -> Vec<Piece> {
    let ran = execution.ran().map(|(from, to)| Piece {
        class: "ran",
        from: scale.place(from),
        to: scale.place(to),
    });
    let calls = spent::intervals(execution).into_iter().map(|interval| scale.piece(interval));
    ran.into_iter().chain(calls).collect()
}
