//! The steps of a workflow or a run as a directed acyclic graph, drawn as Mermaid text or as SVG. The functions do no
//! IO.
//!
//! The layout is our own. The layers are the waves of the plan, which the layout crates would move, and a page needs
//! the way of each edge, which `rust-sugiyama` does not return.

mod layers; // nodes and bends of edges in layers, with few crossings
mod layout; // positions of boxes and lines
pub mod mermaid; // draws a graph as Mermaid text
pub mod svg; // draws a graph as SVG

use std::collections::BTreeMap;

use bcce_core::config::template::{Step, Template};

use crate::run::{Run, StepState};
use crate::terminal::is_bidirectional;

/// The longest way across the page that is drawn from top to bottom. A phone shows three boxes next to each other.
const NARROW: usize = 3;

/// The steps and what they need.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The name of the workflow.
    pub title: String,
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
}

/// A step.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub id: String,
    /// The lines below the id, such as the model alias.
    pub details: Vec<String>,
    /// True if the step has `for_each`.
    pub is_list: bool,
    /// True if the output of the step is the run's answer.
    pub is_result: bool,
    /// The state in a run. `None` in a workflow.
    pub state: Option<StepState>,
}

/// The second step needs the first one. Both are positions in [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
}

/// The direction in which the waves follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Down,
    Right,
}

impl Graph {
    /// Returns the graph of a workflow.
    pub fn of_workflow(template: &Template) -> Self {
        Self::of(&template.name, &template.steps, template.result())
    }

    /// Returns the graph of a run with the state of each step. Returns `None` if the run has no plan yet.
    pub fn of_run(run: &Run) -> Option<Self> {
        let plan = run.plan.as_ref()?;
        let mut graph = Self::of(&plan.workflow, &plan.steps, Some(&plan.result));
        for step in run.waves().into_iter().flatten() {
            let Some(node) = graph.nodes.iter_mut().find(|node| node.id == step.id) else {
                continue;
            };
            node.state = Some(step.state);
            if node.is_list {
                node.details.truncate(1);
                node.details.push(format!("{} of {} items", step.answers.len(), step.planned));
            }
        }
        Some(graph)
    }

    fn of(title: &str, steps: &[Step], result: Option<&str>) -> Self {
        let places: BTreeMap<&str, usize> =
            steps.iter().enumerate().map(|(n, step)| (step.id.as_str(), n)).collect();
        let edges = steps.iter().enumerate().flat_map(|(to, step)| {
            let needed = step.needs.iter().filter_map(|need| places.get(need.as_str()));
            needed.map(move |from| Edge { from: *from, to })
        });
        let mut edges: Vec<Edge> = edges.collect();
        edges.sort();
        edges.dedup();
        let nodes = steps.iter().map(|step| node(step, result)).collect();
        Self { title: title.to_owned(), nodes, edges }
    }

    /// Returns the wave of each node, from 0.
    pub fn waves(&self) -> Vec<usize> {
        let mut waves = vec![0; self.nodes.len()];
        // Each round moves the nodes of one more wave to their place. A cycle, which no workflow has, ends with the
        // rounds.
        for _ in &self.nodes {
            let before = waves.clone();
            for edge in &self.edges {
                waves[edge.to] = waves[edge.to].max(waves[edge.from] + 1);
            }
            if waves == before {
                break;
            }
        }
        waves
    }

    /// Returns the direction in which the graph is as narrow as possible.
    pub fn direction(&self) -> Direction {
        let waves = self.waves();
        let count = waves.iter().max().map_or(0, |last| last + 1);
        let width = |wave| waves.iter().filter(|other| **other == wave).count();
        let widest = (0..count).map(width).max().unwrap_or_default();
        if widest <= NARROW || widest <= count { Direction::Down } else { Direction::Right }
    }
}

fn node(step: &Step, result: Option<&str>) -> Node {
    let list = step.list().map(|list| format!("for each of {list}"));
    Node {
        id: step.id.clone(),
        details: std::iter::once(step.model.clone()).chain(list).collect(),
        is_list: step.for_each.is_some(),
        is_result: result == Some(step.id.as_str()),
        state: None,
    }
}

/// Replaces what no drawing can contain: XML has no control characters, and a control of the direction of text would
/// reach beyond its label.
fn printable(text: &str) -> String {
    let printable = |c: char| match c {
        c if c.is_control() => ' ',
        c if is_bidirectional(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => '\u{fffd}',
        c => c,
    };
    text.chars().map(printable).collect()
}

#[cfg(test)]
mod tests;
