//! The batch itself, and what the report is computed from.

use bcce_core::batch::Way;
use maud::{Markup, html};

use super::Report;
use super::read::Basis;
use crate::batch::view::manner;
use crate::figures::{self, count};
use crate::report::page::{Section, facts};

pub fn section(report: &Report) -> Section {
    Section {
        id: "facts",
        heading: "The facts",
        lead: basis(report),
        body: html! { (facts(known(report))) (commands(report)) },
    }
}

fn known(report: &Report) -> Vec<(&'static str, String)> {
    let batch = &report.batch;
    let reference = &batch.reference;
    let mut facts = vec![("batch", reference.batch_id.clone())];
    facts.extend([
        ("attempt", reference.attempt_no.to_string()),
        ("environment", report.environment.clone()),
    ]);
    if let Some(record) = &batch.record {
        facts.extend([
            ("tenant", record.tenant.clone()),
            ("workflow", record.workflow.clone()),
            ("request id", record.request_id.clone()),
            ("started", figures::stamp(record.started_at)),
        ]);
        facts.extend(record.ended_at.map(|at| ("ended", figures::stamp(at))));
        facts.push(("may fail", format!("{} items", count(record.allowed_failures))));
    }
    if let Some(opened) = &batch.opened {
        let way = match opened.way {
            Way::Packed => format!("packed in {} parts", count(opened.parts.into())),
            Way::Executions => "an execution for each item".to_owned(),
        };
        facts.extend([
            ("source", opened.source.uri.clone()),
            ("mode", manner(opened)),
            ("way", way),
        ]);
    }
    let totals = batch.totals();
    facts.extend([
        ("cost of tokens", figures::exact_cost(&totals)),
        ("tokens", figures::tokens(&totals)),
    ]);
    facts
}

/// Lists the commands that show more.
fn commands(report: &Report) -> Markup {
    let lines = ["status", "results --failed", "outputs", "verify"].map(|verb| {
        let (verb, option) =
            verb.split_once(' ').map_or((verb, ""), |(verb, option)| (verb, option));
        let line =
            report.command(&format!("batch {verb} {} {option}", report.batch.reference.batch_id));
        line.trim_end().to_owned()
    });
    html! { h3 { "Read more" } pre { code { (lines.join("\n")) } } }
}

/// Says what the times, the costs and the lists of items are computed from.
fn basis(report: &Report) -> String {
    let way = report.batch.opened.as_ref().map(|opened| opened.way);
    let is_checked = way != Some(Way::Executions) || report.items.runs == 0;
    let unchecked = " The manifests of these runs are signed each, which was not checked.";
    read(report) + if is_checked { "" } else { unchecked }
}

fn read(report: &Report) -> String {
    let runs = count(report.items.runs);
    let at = figures::stamp(report.now);
    let all = if report.is_over() { "items" } else { "runs that have ended" };
    match report.basis {
        Basis::Whole => format!("Times and costs are those of all {runs} runs of this attempt."),
        Basis::Parts { sealed, of } => {
            let parts = match report.is_over() {
                true => format!("{sealed} of {of} parts were found"),
                false => format!("As of {at}, {sealed} of {of} parts are sealed"),
            };
            format!(
                "{parts}. Times, examples and lists are those of their {runs} runs; the counts and the cost in sum are \
                 those of all {all}."
            )
        }
        Basis::Sample { each } => format!(
            "Times, costs by target, the distribution of costs and the lists are those of {runs} runs: one in \
             {each}. The counts and the cost in sum are those of all items."
        ),
        Basis::Nothing if report.is_over() => {
            "The counts and the cost in sum are known. No run was read, so times and lists of items are not known."
                .to_owned()
        }
        Basis::Nothing => format!(
            "As of {at}, the counts and the cost in sum are known. Times and lists of items follow when the batch ends."
        ),
    }
}
