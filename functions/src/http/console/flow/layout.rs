//! Computes the positions of the nodes and edges in a workflow picture. The nodes are in ranks (columns) from left to
//! right, as in the method of Sugiyama. Equal graphs have equal layouts.
//!
//! An edge to a higher rank runs from left to right. In each rank between its two nodes, the edge has a bend (a point
//! above, below or between the nodes). The line of the edge therefore does not cross a node. All other edges are
//! returns (edges that do not lead to the right). Each return has its own horizontal line below all nodes. All lines
//! change their vertical position only in the gaps between the ranks.

mod grid;
mod ranks;
mod routes;
#[cfg(test)]
mod tests;

use grid::{Extent, Grid};
use ranks::Ranking;
use routes::Plan;

/// The width of the empty border around the picture, in pixels.
const MARGIN: i64 = 16;
/// The length of the horizontal line at each end of an edge, in pixels. The arrow head fits into this length.
const STUB: i64 = 14;
/// The distance between the vertical lines of two neighboring returns (edges that do not lead to the right), in pixels.
const LANE: i64 = 10;
/// The horizontal distance in which an edge changes its vertical position, in pixels.
const BEND: i64 = 48;
/// The distance between the horizontal lines of two neighboring returns (edges that do not lead to the right), in
/// pixels.
const TRACK: i64 = 20;
/// Minimum distance between the ends of two edges at one side of a node, in pixels. If the side is too short,
/// the node becomes higher.
const PORT: i64 = 4;
/// Several edges with labels can lead to the same node. Near this node, their lines keep this vertical distance, in
/// pixels, so that the labels do not overlap. The value must be even, because the layout divides it by 2.
const FAN: i64 = 14;
/// Several edges with labels can lead to the same node. Their lines come together within this horizontal distance in
/// front of the node, in pixels.
const FAN_WIDTH: i64 = 20;
/// The distance between the label of an edge and other lines, in pixels.
const LABEL_GAP: i64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outline {
    Rectangle,
    Diamond,
    Circle,
}

/// The outline and the minimum size of a node in the picture. All lengths are even numbers of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) outline: Outline,
    /// Minimum width of the outline of the node, in pixels.
    pub(super) width: i64,
    /// Minimum height of the outline of the node, in pixels.
    pub(super) height: i64,
    /// The height of the space for texts above the outline of the node, in pixels.
    pub(super) above: i64,
    /// The height of the space for texts below the outline of the node, in pixels.
    pub(super) below: i64,
    /// The width that the texts above and below the outline of the node need, in pixels.
    pub(super) text_width: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// The index of the source node in the list `shapes` of the graph.
    pub(super) from: usize,
    /// The index of the target node in the list `shapes` of the graph.
    pub(super) to: usize,
    /// The width of the label of the edge, in pixels. The width is 0 if the edge has no label.
    pub(super) label_width: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Graph {
    pub(super) shapes: Vec<Shape>,
    pub(super) edges: Vec<Edge>,
    /// The indexes of the nodes at which the workflow starts.
    pub(super) starts: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) x: i64,
    pub(super) y: i64,
}

/// The position and the size of one node in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// The center of the outline of the node.
    pub(super) center: Point,
    /// The width of the outline of the node, in pixels.
    pub(super) width: i64,
    /// The height of the outline of the node, in pixels.
    pub(super) height: i64,
}

/// The line of one edge in the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The points of the line, from the outline of the source node to the outline of the target node.
    pub(super) points: Vec<Point>,
    /// The left end of the base line of the label text.
    pub(super) label: Point,
}

/// The size of the picture, and the positions of all nodes and edges. Nodes and edges have the same order as in
/// the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drawing {
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) nodes: Vec<Placed>,
    pub(super) routes: Vec<Route>,
}

/// Computes the positions of all nodes and edges of a graph.
pub(super) fn layout(graph: &Graph) -> Drawing {
    let ranking = Ranking::new(graph);
    let sides = Sides::new(graph, &ranking);
    let sizes = sides.sizes(graph);
    let extents = sides.extents(graph, &sizes);
    let mut grid = Grid::new(graph, &ranking, &extents);
    let bottom = grid.move_to(MARGIN);
    let returns = returns(graph, &ranking);
    let (columns, gaps, width) = columns(graph, &ranking, &sides, &sizes);
    let nodes: Vec<Placed> = sizes
        .iter()
        .enumerate()
        .map(|(node, (width, height))| Placed {
            center: Point {
                x: columns[ranking.ranks[node]],
                y: grid.y(node),
            },
            width: *width,
            height: *height,
        })
        .collect();
    let plan = Plan {
        graph,
        ranking: &ranking,
        sides: &sides,
        grid: &grid,
        gaps: &gaps,
        nodes: &nodes,
    };
    let height = bottom + TRACK * whole(returns.len()) + MARGIN;
    let routes = plan.routes(&returns, bottom);
    Drawing {
        width,
        height,
        nodes,
        routes,
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).expect("a list has fewer than 2^63 items")
}

/// The number of edges that start or end at one side of a node.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    forward: i64,
    returns: i64,
}

impl Side {
    fn add(&mut self, is_return: bool) {
        if is_return {
            self.returns += 1;
        } else {
            self.forward += 1;
        }
    }
    /// Returns the number of equal intervals between the edge ends at one side of a node. The ends of returns (edges
    /// that do not lead to the right) are below all other ends. An equal space above the other ends stays empty, so
    /// that these ends are in the middle of the side.
    fn intervals(self) -> i64 {
        self.forward + 2 * self.returns + 1
    }
}

/// The number of edges at the right side and at the left side of each node.
struct Sides {
    /// For the right side of each node, the number of edges that start there.
    outgoing: Vec<Side>,
    /// For the left side of each node, the number of edges that end there.
    incoming: Vec<Side>,
    /// True for each node with at least two labeled incoming edges from the previous rank (column). The lines of these
    /// edges keep a vertical distance for their labels and come together directly before the node.
    is_fan: Vec<bool>,
}

impl Sides {
    fn new(graph: &Graph, ranking: &Ranking) -> Self {
        let count = graph.shapes.len();
        let mut outgoing = vec![Side::default(); count];
        let mut incoming = vec![Side::default(); count];
        let mut labels = vec![0; count];
        for (edge, is_return) in graph.edges.iter().zip(&ranking.is_return) {
            outgoing[edge.from].add(*is_return);
            incoming[edge.to].add(*is_return);
            let is_short = ranking.ranks[edge.to] == ranking.ranks[edge.from] + 1;
            if is_short && edge.label_width > 0 {
                labels[edge.to] += 1;
            }
        }
        Self {
            outgoing,
            incoming,
            is_fan: labels.into_iter().map(|labels: i64| labels > 1).collect(),
        }
    }

    /// Returns the width and the height of the outline of each node.
    fn sizes(&self, graph: &Graph) -> Vec<(i64, i64)> {
        let sides = self.outgoing.iter().zip(&self.incoming);
        let sizes = graph.shapes.iter().zip(sides);
        sizes
            .map(|(shape, (outgoing, incoming))| {
                let intervals = outgoing.intervals().max(incoming.intervals());
                let height = shape.height.max(PORT * intervals);
                match shape.outline {
                    Outline::Rectangle => (shape.width, height),
                    Outline::Diamond | Outline::Circle => (shape.width.max(height), height),
                }
            })
            .collect()
    }

    /// Returns the space that each node needs above and below its center, in pixels.
    fn extents(&self, graph: &Graph, sizes: &[(i64, i64)]) -> Vec<Extent> {
        let nodes = graph.shapes.iter().zip(sizes).enumerate();
        nodes
            .map(|(node, (shape, (_, height)))| {
                let fan = if self.is_fan[node] {
                    self.incoming[node].forward * FAN / 2 + 2 * LABEL_GAP
                } else {
                    0
                };
                Extent {
                    above: (height / 2 + shape.above).max(fan),
                    below: (height / 2 + shape.below).max(fan),
                }
            })
            .collect()
    }
}

/// Returns the indexes of all returns (edges that do not lead to the right) in the order of their horizontal
/// tracks, from top to bottom. A return that passes few ranks (columns) gets a high track, so few lines cross.
fn returns(graph: &Graph, ranking: &Ranking) -> Vec<usize> {
    let mut returns: Vec<usize> = (0..graph.edges.len())
        .filter(|edge| ranking.is_return[*edge])
        .collect();
    returns.sort_by_key(|index| {
        let edge = graph.edges[*index];
        ranking.ranks[edge.from] - ranking.ranks[edge.to]
    });
    returns
}

/// The horizontal gap between two neighboring ranks (columns of nodes) of the picture. The first gap is to the left of
/// the first rank, and the last gap is to the right of the last rank. The members after `has_fan` are horizontal
/// positions in pixels.
#[derive(Clone, Debug, Default)]
struct Gap {
    /// The number of returns (edges that do not lead to the right) that start at nodes directly to the left of this gap
    /// between two ranks (columns).
    source_count: i64,
    /// The number of returns (edges that do not lead to the right) that end at nodes directly to the right of this gap
    /// between two ranks (columns).
    target_count: i64,
    /// The width of the widest edge label in this gap between two ranks (columns), in pixels.
    label_width: i64,
    has_fan: bool,
    /// Returns are edges that do not lead to the right. This member is the horizontal position, in pixels, of the first
    /// vertical line of a return that starts at a node directly to the left of this gap between two ranks (columns).
    sources: i64,
    bend_start: i64,
    bend_end: i64,
    /// Returns are edges that do not lead to the right. This member is the horizontal position, in pixels, of the first
    /// vertical line of a return that ends at a node directly to the right of this gap between two ranks (columns).
    targets: i64,
    labels: i64,
    fan_start: i64,
    fan_end: i64,
}

/// Returns the horizontal center of each rank (a column of nodes), all gaps between the ranks, and the width of
/// the picture in pixels.
fn columns(
    graph: &Graph,
    ranking: &Ranking,
    sides: &Sides,
    sizes: &[(i64, i64)],
) -> (Vec<i64>, Vec<Gap>, i64) {
    let rank_count = ranking.ranks.iter().max().map_or(0, |rank| rank + 1);
    let mut widths = vec![0; rank_count];
    let mut gaps = vec![Gap::default(); rank_count + 1];
    for (node, (shape, (width, _))) in graph.shapes.iter().zip(sizes).enumerate() {
        let rank = ranking.ranks[node];
        widths[rank] = shape.text_width.max(*width).max(widths[rank]);
        gaps[rank].has_fan |= sides.is_fan[node];
    }
    for (edge, is_return) in graph.edges.iter().zip(&ranking.is_return) {
        let after_source = ranking.ranks[edge.from] + 1;
        if *is_return {
            gaps[after_source].source_count += 1;
            gaps[ranking.ranks[edge.to]].target_count += 1;
        } else {
            let gap = &mut gaps[after_source];
            gap.label_width = gap.label_width.max(edge.label_width);
        }
    }
    let mut centers = Vec::with_capacity(rank_count);
    let mut x = MARGIN;
    for (rank, gap) in gaps.iter_mut().enumerate() {
        let is_first = rank == 0;
        let is_last = rank == rank_count;
        if !is_first {
            x += STUB;
        }
        gap.sources = x;
        x += gap.source_count * LANE;
        gap.bend_start = x;
        if !is_first && !is_last {
            x += BEND;
        }
        gap.bend_end = x;
        gap.targets = x;
        x += gap.target_count * LANE;
        gap.labels = x + LABEL_GAP;
        if gap.label_width > 0 {
            x += gap.label_width + 2 * LABEL_GAP;
        }
        gap.fan_start = x;
        if gap.has_fan {
            x += FAN_WIDTH;
        }
        gap.fan_end = x;
        if let Some(width) = widths.get(rank) {
            x += STUB;
            centers.push(x + width / 2);
            x += width;
        }
    }
    (centers, gaps, x + MARGIN)
}
