//! Shows why the run went as it did: the decisions, calls and waits of each step, as `bcce runs explain` prints them.

use maud::{Markup, html};

use super::Reported;
use crate::figures;
use crate::report::page::{Section, line};
use crate::run::timeline::{Event, Execution};
use crate::run::view::explained::{event, names, short, stamp, title};

pub fn section(reported: &Reported<'_>) -> Section {
    let account = reported.account;
    let shown: Vec<&Execution> = account.shown().collect();
    let hidden = account.executions.len() - shown.len();
    Section {
        id: "why",
        heading: "Why it went this way",
        lead: "Each step lists its decisions, its calls and its waits. Open one to read it."
            .to_owned(),
        body: html! {
            ul { @for sentence in short::sentences(account) { li { (sentence) } } }
            div.body {
                @for execution in shown { (details(reported, execution)) }
                @if hidden > 0 {
                    p.soft.body {
                        (figures::plural(hidden, "item")) " without failures are not listed. "
                        "The option " code { "--all" } " of " code { "bcce runs explain" } " shows them."
                    }
                }
            }
        },
    }
}

/// Returns what can be opened for a step execution. It is open if the step failed.
fn details(reported: &Reported<'_>, execution: &Execution<'_>) -> Markup {
    let events = execution.events();
    let sums = execution.record.map(|_| short::sums(&execution.sums()));
    html! {
        details open[execution.error.is_some()] {
            summary { (line(&title(reported.account, execution))) }
            div.inside {
                @if let Some(error) = execution.error { p.bad { (error) } }
                @if events.is_empty() { p.soft { "Nothing is recorded yet." } }
                ol.events { @for event in &events { (entry(event, execution)) } }
                @if let Some(sums) = sums { p.soft { (sums) } }
            }
        }
    }
}

fn entry(event: &Event<'_>, execution: &Execution<'_>) -> Markup {
    let (verb, lines) = event::describe(event, execution.route, &names(execution));
    html! {
        li {
            span.at { (stamp(execution, event.at())) }
            span.strong { (verb) }
            div.what { @for each in &lines { div { (line(each)) } } }
        }
    }
}
