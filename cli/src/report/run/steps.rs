//! Draws how the steps of the run fit together, with the state of each step.

use maud::html;

use super::Reported;
use crate::figures::plural;
use crate::graph::{Graph, svg};
use crate::report::page::Section;

/// Draws the steps with their states. A run of one step has no drawing.
pub fn section(reported: &Reported<'_>) -> Option<Section> {
    let graph = Graph::of_run(reported.run).filter(|graph| graph.nodes.len() > 1)?;
    let waves = graph.waves().into_iter().max().map_or(0, |last| last + 1);
    let (steps, waves) = (plural(graph.nodes.len(), "step"), plural(waves, "wave"));
    Some(Section {
        id: "steps",
        heading: "How the steps fit together",
        lead: format!(
            "{steps} in {waves}. An arrow leads from a step to those that need its answer."
        ),
        body: html! { (svg::svg(&graph)) },
    })
}
