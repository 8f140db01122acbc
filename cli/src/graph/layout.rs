//! Places the boxes and lines of a graph. Boxes never overlap, and lines pass between them.

use super::layers::Layers;
use super::{Direction, Graph};

/// The distance between two boxes of a layer, in pixels.
const GAP: f64 = 20.0;
/// The distance between two layers. Lines need room for their curves.
const LAYER_GAP: f64 = 48.0;
/// The distance between boxes and the edge of the drawing.
const PADDING: f64 = 8.0;
/// The number of times that the vertices move towards their neighbors.
const ROUNDS: usize = 12;
/// The weight of a bend. That of a node is 1, so that bends make room for nodes.
const BEND: f64 = 1e-6;

/// A point or a size in pixels. `y` counts downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

/// The positions in a drawing. Each box has the same size.
#[derive(Debug)]
pub struct Layout {
    pub direction: Direction,
    pub size: Point,
    /// The upper left corner of the box of each node.
    pub boxes: Vec<Point>,
    /// The start and the end of each line. Lines start and end in the direction of the drawing.
    pub lines: Vec<(Point, Point)>,
    /// The points at which lines enter boxes.
    pub tips: Vec<Point>,
}

/// Lays out a graph whose boxes have the size `of_box`.
pub fn lay_out(graph: &Graph, of_box: Point) -> Layout {
    let direction = graph.direction();
    let (length, breadth) = match direction {
        Direction::Down => (of_box.y, of_box.x),
        Direction::Right => (of_box.x, of_box.y),
    };
    let layers = Layers::of(graph);
    let across = places(&layers, breadth);
    let whole =
        across[..layers.nodes].iter().fold(0.0, |whole: f64, at| whole.max(at + breadth / 2.0));
    let whole = across[layers.nodes..].iter().fold(whole, |whole, at| whole.max(*at)) + PADDING;
    let count = layers.layers.len() as f64;
    let depth = 2.0 * PADDING + count * length + (count - 1.0).max(0.0) * LAYER_GAP;
    let point = |along: f64, across: f64| match direction {
        Direction::Down => Point { x: across, y: along },
        Direction::Right => Point { x: along, y: across },
    };
    let mut layout = Layout {
        direction,
        size: point(depth, whole),
        boxes: vec![Point { x: 0.0, y: 0.0 }; layers.nodes],
        lines: Vec::new(),
        tips: Vec::new(),
    };
    let mut starts = vec![0.0; across.len()];
    for (n, layer) in layers.layers.iter().enumerate() {
        for vertex in layer {
            let start = PADDING + n as f64 * (length + LAYER_GAP);
            starts[*vertex] = start;
            if layers.is_bend(*vertex) {
                let (from, to) =
                    (point(start, across[*vertex]), point(start + length, across[*vertex]));
                layout.lines.push((from, to));
            } else {
                layout.boxes[*vertex] = point(start, across[*vertex] - breadth / 2.0);
            }
        }
    }
    for (from, to) in &layers.segments {
        let end = point(starts[*to], across[*to]);
        layout.lines.push((point(starts[*from] + length, across[*from]), end));
        if !layers.is_bend(*to) && !layout.tips.contains(&end) {
            layout.tips.push(end);
        }
    }
    layout
}

/// Returns the center of each vertex across the layers. The vertices move towards the mean of their neighbors.
fn places(layers: &Layers, breadth: f64) -> Vec<f64> {
    let half = |vertex: usize| if layers.is_bend(vertex) { 0.0 } else { breadth / 2.0 };
    let sides = [layers.neighbors(true), layers.neighbors(false)];
    let mut centers = vec![0.0; sides[0].len()];
    for round in 0..ROUNDS {
        let is_down = round % 2 == 0;
        let neighbors = &sides[round % 2];
        for n in 0..layers.layers.len() {
            let layer = &layers.layers[if is_down { n } else { layers.layers.len() - 1 - n }];
            let wanted = layer.iter().map(|vertex| {
                let mean = mean(layers, *vertex, &neighbors[*vertex], &centers);
                let weight = if layers.is_bend(*vertex) { BEND } else { 1.0 };
                (mean.unwrap_or(centers[*vertex]), weight)
            });
            let wanted: Vec<(f64, f64)> = wanted.collect();
            let gaps: Vec<f64> =
                layer.windows(2).map(|pair| half(pair[0]) + GAP + half(pair[1])).collect();
            for (vertex, center) in layer.iter().zip(spread(&wanted, &gaps)) {
                centers[*vertex] = center;
            }
        }
    }
    let first = (0..centers.len()).map(|vertex| centers[vertex] - half(vertex));
    let first = first.fold(f64::INFINITY, f64::min);
    centers.iter().map(|center| (center - first + PADDING).round()).collect()
}

/// Returns the mean center of the neighbors. The bends among those of a node count only if it has no others, so that
/// nodes stand in the middle of nodes.
fn mean(layers: &Layers, vertex: usize, neighbors: &[usize], centers: &[f64]) -> Option<f64> {
    let of = |with_bends: bool| {
        let counted = neighbors.iter().filter(|near| with_bends || !layers.is_bend(**near));
        let (sum, count) =
            counted.fold((0.0, 0.0), |(sum, count), near| (sum + centers[*near], count + 1.0));
        (count > 0.0).then(|| sum / count)
    };
    if layers.is_bend(vertex) { of(true) } else { of(false).or_else(|| of(true)) }
}

/// Returns the places that are nearest to the wanted ones, each of which has a weight, in the same order and with `gaps`
/// between them. Neighbors that want to be too close form a block, which moves as a whole (pool adjacent violators).
fn spread(wanted: &[(f64, f64)], gaps: &[f64]) -> Vec<f64> {
    let mut offsets = vec![0.0];
    gaps.iter().for_each(|gap| offsets.push(offsets[offsets.len() - 1] + gap));
    // The place, the weight and the length of each block.
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for ((wanted, weight), offset) in wanted.iter().zip(&offsets) {
        blocks.push((wanted - offset, *weight, 1));
        while let [.., (before, heavy, many), (last, light, few)] = blocks[..]
            && before > last
        {
            let mean = (before * heavy + last * light) / (heavy + light);
            blocks.truncate(blocks.len() - 2);
            blocks.push((mean, heavy + light, many + few));
        }
    }
    let starts = blocks.iter().flat_map(|(start, _, count)| std::iter::repeat_n(*start, *count));
    starts.zip(&offsets).map(|(start, offset)| start + offset).collect()
}
