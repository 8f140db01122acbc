//! Draws a graph as SVG: in a page of HTML, or as a file of its own. There are no ids, no scripts and no fonts, and
//! classes begin with `dag`, so that a page can have several drawings.

use maud::{Markup, PreEscaped, html};

use super::layout::{Layout, Point, lay_out};
use super::{Direction, Graph, Node, printable};
use crate::figures::plural;
use crate::run::StepState;
use bcce_core::run::artifact::StepStatus;

/// The style of drawings, which a page of HTML includes once.
const STYLE: &str = include_str!("svg.css");
/// The colors of a drawing that is a file of its own. In a page, it has the color of the page's text.
const ALONE: &str =
    ".dag { color: #1d1d1f } @media (prefers-color-scheme: dark) { .dag { color: #f5f5f7 } }";

/// The width of a character of an id and of a detail, in pixels. System fonts are at most as wide on average.
const ID_WIDTH: f64 = 8.2;
const DETAIL_WIDTH: f64 = 7.0;
/// The most characters of a line. Longer lines lose their middle.
const LONGEST: usize = 28;
const LINE_HEIGHT: f64 = 18.0;
/// The distance between the edge of a box and its text, and from the top to the first baseline.
const INDENT: f64 = 14.0;
const BASELINE: f64 = 23.0;
/// The room for the mark of a state.
const MARK: f64 = 20.0;
const NARROWEST: f64 = 112.0;
/// The offset of the boxes behind a step with `for_each`.
const STACK: [f64; 2] = [6.0, 3.0];
/// The length and half of the width of an arrowhead.
const TIP: f64 = 6.0;
const HALF_TIP: f64 = 4.0;

/// Returns the drawing as part of a page of HTML, whose style includes `svg.css`.
pub fn svg(graph: &Graph) -> Markup {
    drawing(graph, &html! {})
}

/// Returns the drawing as the text of a file.
pub fn file(graph: &Graph) -> String {
    let style = html! { style { (PreEscaped(STYLE)) (PreEscaped(ALONE)) } };
    drawing(graph, &style).into_string() + "\n"
}

fn drawing(graph: &Graph, style: &Markup) -> Markup {
    let of_box = size_of_boxes(graph);
    let layout = lay_out(graph, of_box);
    // The boxes behind a step with `for_each` may reach beyond the last layer.
    let (width, height) = (layout.size.x + STACK[0], layout.size.y + STACK[0]);
    html! {
        svg class="dag" xmlns="http://www.w3.org/2000/svg" role="img" width=(width) height=(height)
            viewBox=(format!("0 0 {width} {height}")) {
            title { (printable(&heading(graph))) }
            desc { (printable(&description(graph))) }
            (style)
            path class="dag-lines" d=(lines(&layout)) {}
            path class="dag-tips" d=(tips(&layout)) {}
            @for (node, at) in graph.nodes.iter().zip(&layout.boxes) { (shape(node, *at, of_box)) }
        }
    }
}

fn heading(graph: &Graph) -> String {
    let waves = graph.waves().iter().max().map_or(0, |last| last + 1);
    let steps = plural(graph.nodes.len(), "step");
    format!("{}: {steps} in {}", graph.title, plural(waves, "wave"))
}

/// Describes the graph in words, for those who do not see it.
fn description(graph: &Graph) -> String {
    let of = |(n, node): (usize, &Node)| {
        let needs = graph.edges.iter().filter(|edge| edge.to == n);
        let needs: Vec<&str> = needs.map(|edge| graph.nodes[edge.from].id.as_str()).collect();
        in_words(node, &needs) + "."
    };
    graph.nodes.iter().enumerate().map(of).collect::<Vec<_>>().join(" ")
}

/// Describes a step: `summary (sonnet) after hunt; gives the answer; SUCCEEDED`.
fn in_words(node: &Node, needs: &[&str]) -> String {
    let mut text = format!("{} ({})", node.id, node.details.join(", "));
    if !needs.is_empty() {
        text += &format!(" after {}", needs.join(", "));
    }
    if node.is_result {
        text += "; gives the answer";
    }
    if let Some(state) = node.state {
        text += &format!("; {}", state.as_str());
    }
    text
}

/// Returns the size of the boxes, which have room for the longest texts.
fn size_of_boxes(graph: &Graph) -> Point {
    let texts = graph.nodes.iter().map(|node| {
        let mark = if node.state.is_some() { MARK } else { 0.0 };
        let details = node.details.iter().map(|line| columns(&fit(line)) as f64 * DETAIL_WIDTH);
        details.fold(columns(&fit(&node.id)) as f64 * ID_WIDTH + mark, f64::max)
    });
    let lines = graph.nodes.iter().map(|node| node.details.len()).max().unwrap_or_default();
    let width = (texts.fold(0.0, f64::max) + 2.0 * INDENT).max(NARROWEST);
    // The middle of a box is a whole pixel.
    let even = |length: f64| (length / 2.0).ceil() * 2.0;
    Point { x: even(width), y: even(BASELINE + LINE_HEIGHT * lines as f64 + INDENT) }
}

/// Returns the width of a text. Other characters than those of ASCII may be twice as wide.
fn columns(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum()
}

/// Returns a text that fits into a box. Long names often differ only at their end.
fn fit(text: &str) -> String {
    let text = printable(text);
    let chars: Vec<char> = text.chars().collect();
    if columns(&text) <= LONGEST {
        return text;
    }
    let half = if text.is_ascii() { LONGEST / 2 } else { LONGEST / 4 };
    let (start, end) = (&chars[..half], &chars[chars.len() - half.min(chars.len()) + 1..]);
    start.iter().chain(&['…']).chain(end).collect()
}

fn shape(node: &Node, at: Point, of_box: Point) -> Markup {
    let state = node.state.map(|state| format!(" dag-{}", state.as_str().to_lowercase()));
    let class = format!("dag-node{}", state.unwrap_or_default());
    let height = BASELINE + LINE_HEIGHT * node.details.len() as f64 + INDENT;
    let first = (at.y + BASELINE + (of_box.y - height) / 2.0).round();
    let baseline = |line: usize| first + LINE_HEIGHT * line as f64;
    html! {
        g class=(class) {
            title { (printable(&in_words(node, &[]))) }
            @if node.is_list {
                @for offset in STACK { (rectangle("dag-box", Point { x: at.x + offset, y: at.y + offset }, of_box)) }
            }
            (rectangle(if node.is_result { "dag-box dag-result" } else { "dag-box" }, at, of_box))
            text class="dag-id" x=(at.x + INDENT) y=(baseline(0)) { (fit(&node.id)) }
            @if let Some(state) = node.state {
                text class="dag-mark" x=(at.x + of_box.x - INDENT) y=(baseline(0)) { (mark(state)) }
            }
            @for (n, line) in node.details.iter().enumerate() {
                text class="dag-detail" x=(at.x + INDENT) y=(baseline(n + 1)) { (fit(line)) }
            }
        }
    }
}

fn rectangle(class: &str, at: Point, size: Point) -> Markup {
    html! { rect class=(class) x=(at.x) y=(at.y) width=(size.x) height=(size.y) rx="12" {} }
}

fn mark(state: StepState) -> &'static str {
    match state {
        StepState::Waiting => "·",
        StepState::Running => "●",
        StepState::Ended(StepStatus::Succeeded) => "✓",
        StepState::Ended(StepStatus::Failed) => "✗",
        StepState::Ended(StepStatus::Blocked) => "⊘",
        StepState::Ended(StepStatus::Skipped) => "–",
    }
}

/// Returns the lines as curves that leave and enter boxes in the direction of the drawing.
fn lines(layout: &Layout) -> String {
    let curve = |(from, to): &(Point, Point)| {
        let end = if layout.tips.contains(to) { before(*to, layout.direction, TIP) } else { *to };
        let (one, other) = match layout.direction {
            Direction::Down => {
                let middle = (from.y + end.y) / 2.0;
                (Point { x: from.x, y: middle }, Point { x: end.x, y: middle })
            }
            Direction::Right => {
                let middle = (from.x + end.x) / 2.0;
                (Point { x: middle, y: from.y }, Point { x: middle, y: end.y })
            }
        };
        let [from, one, other, end] =
            [*from, one, other, end].map(|at| format!("{} {}", at.x, at.y));
        format!("M{from}C{one} {other} {end}")
    };
    layout.lines.iter().map(curve).collect()
}

/// Returns the arrowheads as triangles.
fn tips(layout: &Layout) -> String {
    let triangle = |tip: &Point| {
        let base = before(*tip, layout.direction, TIP);
        let side = |half: f64| match layout.direction {
            Direction::Down => format!("L{} {}", base.x + half, base.y),
            Direction::Right => format!("L{} {}", base.x, base.y + half),
        };
        format!("M{} {}{}{}Z", tip.x, tip.y, side(HALF_TIP), side(-HALF_TIP))
    };
    layout.tips.iter().map(triangle).collect()
}

/// Returns the point that lies `distance` before another one in the direction of the drawing.
fn before(at: Point, direction: Direction, distance: f64) -> Point {
    match direction {
        Direction::Down => Point { y: at.y - distance, ..at },
        Direction::Right => Point { x: at.x - distance, ..at },
    }
}
