//! Draws a graph as Mermaid text, which GitHub and many wikis render.

use super::{Direction, Graph, Node, printable};

/// Returns the Mermaid text of a graph. A step with `for_each` has a double border, and the step whose output is the
/// answer has a thick one.
pub fn text(graph: &Graph) -> String {
    let direction = match graph.direction() {
        Direction::Down => "TD",
        Direction::Right => "LR",
    };
    let mut lines = vec![format!("flowchart {direction}")];
    lines.extend(graph.nodes.iter().enumerate().map(|(n, node)| format!("  s{n}{}", shape(node))));
    lines.extend(graph.edges.iter().map(|edge| format!("  s{} --> s{}", edge.from, edge.to)));
    if let Some(result) = graph.nodes.iter().position(|node| node.is_result) {
        lines.push(format!("  style s{result} stroke-width:3px"));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn shape(node: &Node) -> String {
    let state = node.state.map(|state| state.as_str().to_lowercase());
    let lines = std::iter::once(&node.id).chain(&node.details).chain(&state);
    let label = lines.map(|line| escape(line)).collect::<Vec<_>>().join("<br/>");
    if node.is_list { format!("[[\"{label}\"]]") } else { format!("(\"{label}\")") }
}

/// Writes every character that could have a meaning in Mermaid, in Markdown or in HTML as the number of its code point.
fn escape(text: &str) -> String {
    let escape = |(at, c): (usize, char)| match c {
        c if c.is_alphanumeric() || c == ' ' || (c == '-' && at > 0) => c.to_string(),
        c => format!("#{};", u32::from(c)),
    };
    printable(text).chars().enumerate().map(escape).collect()
}
