//! Prints advice as text or as JSON.

use serde_json::{Value, json};

use crate::figures::{count, plural};
use crate::metrics::advice::finding::Finding;
use crate::metrics::advice::{Advice, LEAST_ANSWERS, TooFew};
use crate::metrics::print::heading;
use crate::metrics::{Selected, notes};
use crate::paint::{Ink, Line, field, span};

/// Advice with the workflows that could not be compared.
pub struct Report<'a> {
    pub selected: &'a Selected,
    pub advice: &'a Advice,
    /// The workflows without a valid configuration, each with the reason.
    pub unread: &'a [(String, String)],
}

impl Report<'_> {
    /// Returns the report as lines of text.
    pub fn text(&self) -> Vec<Line> {
        let mut text = vec![heading("Advice", self.selected), Vec::new()];
        let findings = &self.advice.findings;
        if findings.is_empty() {
            text.extend([vec![span(Ink::Plain, self.none())], Vec::new()]);
        }
        for (n, finding) in findings.iter().enumerate() {
            text.extend(lines(n + 1, finding));
            text.push(Vec::new());
        }
        text.extend(self.notes());
        while text.last().is_some_and(Vec::is_empty) {
            text.pop();
        }
        text
    }

    fn none(&self) -> String {
        match self.advice.examined_steps {
            0 => format!("no advice: no step has {LEAST_ANSWERS} answers or more in these days"),
            steps => format!(
                "no advice: there is nothing to change for {} with {LEAST_ANSWERS} answers or more",
                plural(steps, "step")
            ),
        }
    }

    /// Returns a line for everything that was not examined.
    fn notes(&self) -> Vec<Line> {
        let few = self.advice.too_few.iter().map(|few| {
            let TooFew { of, counted, count: n, needed } = few;
            format!(
                "Not enough to give advice about {of}: {} {counted} (needed: {needed}).",
                count(*n)
            )
        });
        let unread = self.unread.iter();
        let unread = unread
            .map(|(workflow, why)| format!("Not examined: workflow {workflow}, because {why}."));
        let notes = few.map(|text| vec![span(Ink::Dim, text)]);
        let unread = unread.map(|text| vec![span(Ink::Yellow, text)]);
        notes.chain(unread).chain(notes::unreadable(self.selected)).collect()
    }

    /// Returns the report as JSON.
    pub fn json(&self) -> Value {
        let few = |few: &TooFew| {
            let TooFew { of, counted, count, needed } = few;
            json!({ "of": of, "counted": counted, "count": count, "needed": needed })
        };
        let unread =
            |(workflow, why): &(String, String)| json!({ "workflow": workflow, "because": why });
        let period = self.selected.period;
        json!({
            "version": 1,
            "environment": self.selected.environment,
            "from": period.from.to_string(),
            "to": period.to.to_string(),
            "filters": self.selected.filters.json(),
            "advice": self.advice.findings.iter().map(Finding::json).collect::<Vec<_>>(),
            "examined_steps": self.advice.examined_steps,
            "too_few": self.advice.too_few.iter().map(few).collect::<Vec<_>>(),
            "not_examined": self.unread.iter().map(unread).collect::<Vec<_>>(),
            "unknown_items": self.selected.unknown(),
        })
    }
}

/// Returns the lines of a piece of advice. Each sentence has a line of its own.
fn lines(n: usize, finding: &Finding) -> Vec<Line> {
    let saves = finding.usd.map(|usd| format!(" (saves {})", crate::figures::usd(usd)));
    let title = format!("{n}. {}{}", finding.title, saves.unwrap_or_default());
    let change = format!("{}.", finding.change.text);
    let mut lines = vec![vec![span(Ink::Bold, title)]];
    for (name, texts) in
        [("measured", &finding.measured), ("matters", &finding.matters), ("change", &vec![change])]
    {
        for (n, text) in texts.iter().enumerate() {
            lines.push(field(if n == 0 { name } else { "" }, text.clone()));
        }
    }
    lines
}
