use std::collections::BTreeSet;

use proptest::prelude::*;

use super::layers::Layers;
use super::layout::{Layout, Point, lay_out};
use super::*;
use crate::run::samples;

const BOX: Point = Point { x: 120.0, y: 52.0 };

/// The workflows of this repository.
const SHIPPED: [&str; 4] = [
    include_str!("../../../infra/config/dev/workflows/bug-hunt.yaml"),
    include_str!("../../../infra/config/dev/workflows/code-review.yaml"),
    include_str!("../../../infra/config/dev/workflows/docs-gen.yaml"),
    include_str!("../../../infra/config/dev/workflows/explain.yaml"),
];

fn shipped(name: &str) -> Graph {
    let templates = SHIPPED.iter().map(|yaml| Template::parse(yaml).unwrap());
    Graph::of_workflow(&templates.into_iter().find(|template| template.name == name).unwrap())
}

/// Returns a graph with this number of nodes and these edges.
fn graph(nodes: usize, edges: impl IntoIterator<Item = (usize, usize)>) -> Graph {
    let node = |n| Node {
        id: format!("step-{n}"),
        details: vec!["haiku".into()],
        is_list: false,
        is_result: n + 1 == nodes,
        state: None,
    };
    let edges = edges.into_iter().map(|(from, to)| Edge { from, to });
    Graph { title: "w".into(), nodes: (0..nodes).map(node).collect(), edges: edges.collect() }
}

fn chain(nodes: usize) -> Graph {
    graph(nodes, (1..nodes).map(|n| (n - 1, n)))
}

fn fan(nodes: usize) -> Graph {
    graph(nodes + 2, (1..=nodes).flat_map(|n| [(0, n), (n, nodes + 1)]))
}

/// Checks that no two boxes overlap, that each line leads forward, and that no line passes through a box.
fn check(graph: &Graph) -> Layout {
    let layout = lay_out(graph, BOX);
    for (n, one) in layout.boxes.iter().enumerate() {
        let inside = one.x >= 0.0 && one.y >= 0.0;
        assert!(inside && one.x + BOX.x <= layout.size.x && one.y + BOX.y <= layout.size.y, "{n}");
        for other in &layout.boxes[n + 1..] {
            let apart = (one.x - other.x).abs() >= BOX.x || (one.y - other.y).abs() >= BOX.y;
            assert!(apart, "{one:?} and {other:?} overlap");
        }
    }
    for (from, to) in &layout.lines {
        let forward = match layout.direction {
            Direction::Down => from.y < to.y,
            Direction::Right => from.x < to.x,
        };
        assert!(forward, "{from:?} to {to:?}");
        // A line is either between two layers, or straight through a layer at one place.
        let middle = Point { x: (from.x + to.x) / 2.0, y: (from.y + to.y) / 2.0 };
        let is_inside = |at: &&Point| {
            let (x, y) = (middle.x - at.x, middle.y - at.y);
            0.0 < x && x < BOX.x && 0.0 < y && y < BOX.y
        };
        let hit = layout.boxes.iter().find(is_inside);
        assert_eq!(hit, None, "{from:?} to {to:?} passes a box");
    }
    layout
}

/// Parses the SVG of a graph and returns its texts.
fn texts(graph: &Graph) -> Vec<String> {
    let svg = svg::file(graph);
    let document =
        roxmltree::Document::parse(&svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
    let names: BTreeSet<&str> = document.descendants().map(|node| node.tag_name().name()).collect();
    let known = ["", "svg", "title", "desc", "style", "path", "g", "rect", "text"];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    for node in document.descendants() {
        for attribute in node.attributes() {
            let known = ["class", "role", "width", "height", "viewBox", "d", "x", "y", "rx"];
            assert!(known.contains(&attribute.name()), "{attribute:?}");
        }
    }
    let texts = document
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")));
    texts.map(|node| node.text().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_workflow_has_a_node_for_each_step_and_an_edge_for_each_need() {
    let graph = shipped("code-review");
    let ids: Vec<&str> = graph.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(ids, ["summarise", "correctness", "security", "tests", "verdict"]);
    assert_eq!((graph.edges.len(), graph.waves()), (7, vec![0, 1, 1, 1, 2]));
    assert!(graph.nodes[4].is_result && !graph.nodes[3].is_result);
    let hunt = &shipped("bug-hunt").nodes[0];
    assert!(hunt.is_list);
    assert_eq!(hunt.details, ["sonnet", "for each of files"]);
}

#[test]
fn a_run_has_the_state_of_each_step() {
    let graph = Graph::of_run(&samples::failed()).unwrap();
    let states: Vec<&str> = graph.nodes.iter().map(|node| node.state.unwrap().as_str()).collect();
    assert_eq!(states, ["SUCCEEDED", "SUCCEEDED", "SUCCEEDED", "FAILED", "WAITING"]);
    let svg = svg::svg(&graph).into_string();
    assert!(svg.contains("class=\"dag-node dag-failed\"") && svg.contains(">✗</text>"), "{svg}");
    assert!(svg.contains(" tests (haiku) after summarise; FAILED. "), "{svg}");
    assert!(mermaid::text(&graph).contains("tests<br/>haiku<br/>failed"));
    assert_eq!(Graph::of_run(&Run::new(samples::review(&[]).reference)), None);
}

#[test]
fn a_graph_is_as_narrow_as_it_can_be() {
    for (graph, expected) in [
        (chain(1), Direction::Down),
        (chain(50), Direction::Down),
        (fan(3), Direction::Down),
        (fan(20), Direction::Right),
    ] {
        assert_eq!(graph.direction(), expected, "{} nodes", graph.nodes.len());
    }
}

#[test]
fn graphs_of_all_shapes_are_laid_out() {
    let diamond = graph(4, [(0, 1), (0, 2), (1, 3), (2, 3)]);
    let skips = graph(5, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (0, 3), (1, 4)]);
    let apart = graph(4, [(0, 1), (2, 3)]);
    let every = (0..40).flat_map(|from| (from + 1..40).map(move |to| (from, to)));
    for graph in [
        chain(1),
        chain(2),
        chain(50),
        chain(200),
        fan(20),
        fan(198),
        diamond,
        skips,
        apart,
        graph(40, every),
    ] {
        let layout = check(&graph);
        assert_eq!(layout.boxes.len(), graph.nodes.len());
        texts(&graph);
    }
}

#[test]
fn a_chain_is_straight_and_a_diamond_is_symmetric() {
    let places = |graph: &Graph| check(graph).boxes.iter().map(|at| at.x).collect::<Vec<f64>>();
    assert_eq!(places(&chain(50)), [8.0; 50]);
    let diamond = graph(4, [(0, 1), (0, 2), (1, 3), (2, 3)]);
    assert_eq!(places(&diamond), [78.0, 8.0, 148.0, 78.0]);
    // The edge from the first to the last step passes at the side and does not move the others.
    assert_eq!(places(&shipped("code-review"))[..1], places(&shipped("code-review"))[4..]);
}

#[test]
fn lines_do_not_cross_if_they_need_not() {
    // In the order of the document, each line would cross the others.
    let twisted = graph(6, [(0, 5), (1, 4), (2, 3)]);
    let layers = Layers::of(&twisted);
    let below: Vec<usize> = layers.layers[0].iter().map(|node| 5 - node).collect();
    assert_eq!(layers.layers[1], below);
}

#[test]
fn the_mermaid_text_of_a_workflow_is_this() {
    let expected = "flowchart TD\n  s0[[\"hunt<br/>sonnet<br/>for each of files\"]]\n  s1(\"summary<br/>sonnet\")\n  s0 --> s1\n  style s1 stroke-width:3px\n";
    assert_eq!(mermaid::text(&shipped("bug-hunt")), expected);
}

/// The page with drawings of the workflows of this repository.
const GUIDE: &str = include_str!("../../../docs/workflows.md");

#[test]
fn the_guide_has_the_drawings_of_the_workflows() {
    let drawn = ["code-review", "bug-hunt", "docs-gen"].map(shipped);
    for graph in &drawn {
        let block = format!("```mermaid\n{}```\n", mermaid::text(graph));
        let name = &graph.title;
        assert!(
            GUIDE.contains(&block),
            "docs/workflows.md has another drawing than `bcce workflows graph {name} --dir infra/config/dev`:\n{block}"
        );
    }
    assert_eq!(GUIDE.matches("```mermaid").count(), drawn.len());
}

#[test]
fn the_picture_is_that_of_the_workflow() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/images/code-review.svg");
    let picture = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(picture, svg::file(&shipped("code-review")), "`make reference` writes {path}");
}

/// Texts that try to become markup.
const HOSTILE: [&str; 16] = [
    "\"<script>alert(1)</script>",
    "]]></style><script>",
    "\"] --> s9[\"",
    "--> s1",
    "a\nclick s0 href \"javascript:alert(1)\"",
    "end\r\nsubgraph x",
    "%%{init: {'theme': 'dark'}}%%",
    "`**bold**` __x__ ~~y~~",
    "- list",
    "1. list",
    "&lt;b&gt; &#60; #quot; #60;",
    "style s0 fill:#f00;",
    "\u{202e}desrever\u{2066}",
    "\u{0}\u{1b}[2J\u{fffe}\u{ffff}",
    "\u{5d0}\u{5d1}\u{5d2} \u{645}\u{631}",
    "' onload='alert(1)",
];

#[test]
fn hostile_texts_are_texts_in_svg() {
    let long = "x".repeat(200);
    for hostile in HOSTILE.iter().copied().chain([long.as_str()]) {
        let mut graph = chain(2);
        graph.title = hostile.into();
        graph.nodes[0].id = hostile.into();
        graph.nodes[1].details = vec![hostile.into(), hostile.into()];
        let texts = texts(&graph);
        assert_eq!(texts.len(), 5, "{hostile:?}");
        if hostile.chars().count() <= 16
            && !hostile.chars().any(|c| c.is_control() || c > '\u{2000}')
        {
            assert_eq!(texts[0], hostile);
        }
        let svg = svg::file(&graph);
        let is_harmless = |c: char| c == '\n' || (!c.is_control() && !is_bidirectional(c));
        assert!(svg.chars().all(is_harmless), "{hostile:?}");
        let of_boxes = lay_out(&graph, BOX).boxes.len();
        assert_eq!(of_boxes, 2);
    }
}

#[test]
fn hostile_texts_are_texts_in_mermaid() {
    for hostile in HOSTILE {
        let mut graph = chain(2);
        graph.nodes[0].id = hostile.into();
        graph.nodes[1].details = vec![hostile.into()];
        let text = mermaid::text(&graph);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        for (line, before, after) in
            [(lines[1], "  s0(\"", "<br/>haiku\")"), (lines[2], "  s1(\"step-1<br/>", "\")")]
        {
            let label =
                line.strip_prefix(before).and_then(|line| line.strip_suffix(after)).unwrap();
            let is_safe = |c: char| c.is_alphanumeric() || " #;-".contains(c);
            assert!(label.chars().all(is_safe) && !label.starts_with('-'), "{label}");
        }
    }
}

#[test]
fn a_long_name_loses_its_middle_and_is_whole_in_its_title() {
    let mut graph = chain(1);
    graph.nodes[0].id = format!("review-{}-correctness", "x".repeat(40));
    assert_eq!(texts(&graph)[0], "review-xxxxxxx…x-correctness");
    assert!(svg::file(&graph).contains(&format!("<title>{} (haiku)", graph.nodes[0].id)));
    graph.nodes[0].id = "漢".repeat(200);
    assert_eq!(texts(&graph)[0], format!("{}…{}", "漢".repeat(7), "漢".repeat(6)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
    #[test]
    fn no_boxes_overlap_and_all_lines_lead_forward(
        nodes in 1..30_usize,
        pairs in proptest::collection::vec((0..30_usize, 0..30_usize), 0..60),
    ) {
        let edges: BTreeSet<(usize, usize)> = pairs
            .into_iter()
            .map(|(one, other)| (one % nodes, other % nodes))
            .filter(|(from, to)| from < to)
            .collect();
        check(&graph(nodes, edges));
    }

    #[test]
    fn any_text_is_well_formed(text in proptest::collection::vec(any::<char>(), 0..60)) {
        let mut graph = chain(2);
        graph.nodes[0].id = text.into_iter().collect();
        texts(&graph);
    }
}
