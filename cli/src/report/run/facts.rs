//! The facts of a run: its names, times and commands.

use maud::{Markup, html};

use super::Reported;
use crate::figures;
use crate::report::page::{self, Section};
use crate::stack::command_of;

pub fn section(reported: &Reported<'_>) -> Section {
    let (record, run) = (reported.record, reported.run);
    let manifest = run.manifest.as_ref();
    let tags = manifest.map(|manifest| &manifest.tags).unwrap_or(&record.tags);
    let tags: Vec<String> = tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let template = manifest.and_then(|manifest| manifest.template_sha256.clone());
    let prices = manifest.and_then(|manifest| manifest.prices_date);
    let ended = record.ended_at.map(figures::stamp);
    let facts = [
        ("run", Some(record.run_id.clone())),
        ("run attempt", Some(record.attempt_no.to_string())),
        ("request", Some(record.request_id.clone())),
        ("tenant", Some(record.tenant.clone())),
        ("workflow", Some(record.workflow.clone())),
        ("document", template.map(|sha256| format!("SHA-256 {sha256}"))),
        ("started", Some(figures::stamp(record.started_at))),
        ("ended", ended),
        ("prices", prices.map(|date| format!("of {date}"))),
        ("tags", (!tags.is_empty()).then(|| tags.join(", "))),
        ("execution", Some(record.execution_arn.clone())),
    ];
    let facts = facts.into_iter().filter_map(|(label, value)| Some((label, value?)));
    Section {
        id: "facts",
        heading: "The facts",
        lead: String::new(),
        body: html! { (page::facts(facts)) (commands(reported)) },
    }
}

/// Lists the commands that show more.
fn commands(reported: &Reported<'_>) -> Markup {
    let run_id = &reported.record.run_id;
    let commands = ["explain", "logs", "output", "verify"]
        .map(|verb| command_of(reported.environment, &format!("runs {verb} {run_id}")));
    html! {
        h3 { "Read more" }
        pre { code { (commands.join("\n")) } }
    }
}
