//! Puts nodes into layers and orders each layer, so that few edges cross. An edge that passes a layer has a bend there,
//! so that every segment leads from one layer to the next.

use super::Graph;

/// The number of times that the layers are ordered anew.
const ROUNDS: usize = 8;

/// The nodes of a graph and the bends of its edges. Both are vertices.
#[derive(Debug)]
pub struct Layers {
    /// The vertices of each layer in their order. The vertices from `nodes` on are bends.
    pub layers: Vec<Vec<usize>>,
    pub nodes: usize,
    /// The lines from a vertex to a vertex of the next layer.
    pub segments: Vec<(usize, usize)>,
}

impl Layers {
    pub fn of(graph: &Graph) -> Self {
        let mut layers = Self::unordered(graph);
        let mut best = (layers.crossings(), layers.layers.clone());
        for round in 0..ROUNDS {
            if best.0 == 0 {
                break;
            }
            layers.order(round % 2 == 0);
            let crossings = layers.crossings();
            if crossings < best.0 {
                best = (crossings, layers.layers.clone());
            }
        }
        layers.layers = best.1;
        layers
    }

    fn unordered(graph: &Graph) -> Self {
        let waves = graph.waves();
        let nodes = graph.nodes.len();
        let count = waves.iter().max().map_or(0, |last| last + 1);
        let mut found = Self { layers: vec![Vec::new(); count], nodes, segments: Vec::new() };
        for (node, wave) in waves.iter().enumerate() {
            found.layers[*wave].push(node);
        }
        let mut bends = nodes..;
        for (from, wave) in waves.iter().enumerate() {
            let needs: Vec<usize> =
                graph.edges.iter().filter(|edge| edge.from == from).map(|edge| edge.to).collect();
            let last = needs.iter().map(|to| waves[*to]).max().unwrap_or_default();
            // The long edges of a node share their bends.
            let mut lane = from;
            for layer in wave + 1..=last {
                let ends = needs.iter().filter(|to| waves[**to] == layer);
                found.segments.extend(ends.map(|to| (lane, *to)));
                if let Some(bend) = (layer < last).then(|| bends.next()).flatten() {
                    found.segments.push((lane, bend));
                    found.layers[layer].push(bend);
                    lane = bend;
                }
            }
        }
        found
    }

    /// Returns true if the vertex is a bend.
    pub fn is_bend(&self, vertex: usize) -> bool {
        vertex >= self.nodes
    }

    /// Returns the neighbors of each vertex in the previous layer, or in the next one.
    pub fn neighbors(&self, is_previous: bool) -> Vec<Vec<usize>> {
        let count = self.layers.iter().map(Vec::len).sum();
        let mut neighbors = vec![Vec::new(); count];
        for (from, to) in &self.segments {
            let (of, neighbor) = if is_previous { (to, from) } else { (from, to) };
            neighbors[*of].push(*neighbor);
        }
        neighbors
    }

    /// Returns the position of each vertex in its layer.
    fn positions(&self) -> Vec<usize> {
        let mut positions = vec![0; self.layers.iter().map(Vec::len).sum()];
        for layer in &self.layers {
            layer.iter().enumerate().for_each(|(at, vertex)| positions[*vertex] = at);
        }
        positions
    }

    /// Orders each layer by the mean position of the neighbors in the layer before it. A vertex without neighbors keeps
    /// its position.
    fn order(&mut self, is_down: bool) {
        let neighbors = self.neighbors(is_down);
        let count = self.layers.len();
        for n in 0..count {
            let positions = self.positions();
            let mean = |vertex: &usize| match neighbors[*vertex].as_slice() {
                [] => positions[*vertex] as f64,
                near => {
                    near.iter().map(|near| positions[*near] as f64).sum::<f64>() / near.len() as f64
                }
            };
            let layer = &mut self.layers[if is_down { n } else { count - 1 - n }];
            layer.sort_by(|one, other| mean(one).total_cmp(&mean(other)));
        }
    }

    /// Counts the crossings of segments.
    fn crossings(&self) -> usize {
        let positions = self.positions();
        let mut layer_of = vec![0; positions.len()];
        for (n, layer) in self.layers.iter().enumerate() {
            layer.iter().for_each(|vertex| layer_of[*vertex] = n);
        }
        let mut ends: Vec<Vec<(usize, usize)>> = vec![Vec::new(); self.layers.len()];
        for (from, to) in &self.segments {
            ends[layer_of[*from]].push((positions[*from], positions[*to]));
        }
        ends.into_iter().map(inversions).sum()
    }
}

/// Counts the pairs of segments whose ends have another order than their starts.
fn inversions(mut segments: Vec<(usize, usize)>) -> usize {
    segments.sort_unstable();
    let mut passed: Vec<usize> = Vec::new();
    let mut count = 0;
    for (_, end) in segments {
        let at = passed.partition_point(|other| *other <= end);
        count += passed.len() - at;
        passed.insert(at, end);
    }
    count
}
