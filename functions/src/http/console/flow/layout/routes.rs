//! Computes the lines of all edges in a workflow picture.

use super::grid::Grid;
use super::ranks::Ranking;
use super::{
    FAN, Gap, Graph, LABEL_GAP, LANE, Outline, Placed, Point, Route, Side, Sides, TRACK, whole,
};

/// The parts of the layout that determine the lines of the edges.
pub(super) struct Plan<'a> {
    pub(super) graph: &'a Graph,
    pub(super) ranking: &'a Ranking,
    pub(super) sides: &'a Sides,
    pub(super) grid: &'a Grid,
    pub(super) gaps: &'a [Gap],
    pub(super) nodes: &'a [Placed],
}

/// The two ends of the line of an edge.
#[derive(Clone, Copy)]
struct Ports {
    source: Point,
    target: Point,
    /// The vertical position of the line in the gap before the target node, in pixels. If several edges with labels
    /// come together before one node, this position can differ from `target`. Otherwise, it is the vertical position of
    /// `target`.
    approach: i64,
}

impl Plan<'_> {
    /// Returns the lines of all edges. `returns` contains the indexes of the edges that do not lead to the right. Each
    /// of these edges has its own horizontal line below the vertical position `bottom`. The lines are in the order of
    /// `returns`, from top to bottom.
    pub(super) fn routes(&self, returns: &[usize], bottom: i64) -> Vec<Route> {
        let ports = self.ports(returns);
        let mut routes: Vec<Route> = ports
            .iter()
            .enumerate()
            .map(|(edge, ports)| self.forward(edge, *ports))
            .collect();
        let mut sources_used = vec![0_i64; self.gaps.len()];
        let mut targets_used = vec![0_i64; self.gaps.len()];
        for (track, index) in returns.iter().enumerate() {
            let edge = self.graph.edges[*index];
            let source_gap = self.ranking.ranks[edge.from] + 1;
            let target_gap = self.ranking.ranks[edge.to];
            // The line of a return (an edge that does not lead to the right) has the shape of a U. A return with a
            // lower horizontal track gets a wider U around the returns with higher tracks.
            let source_x = self.gaps[source_gap].sources + sources_used[source_gap] * LANE;
            sources_used[source_gap] += 1;
            targets_used[target_gap] += 1;
            let gap = &self.gaps[target_gap];
            let target_x = gap.targets + (gap.target_count - targets_used[target_gap]) * LANE;
            let y = bottom + TRACK * (whole(track) + 1);
            let Ports { source, target, .. } = ports[*index];
            routes[*index] = Route {
                points: simplified(&[
                    source,
                    Point {
                        x: source_x,
                        y: source.y,
                    },
                    Point { x: source_x, y },
                    Point { x: target_x, y },
                    Point {
                        x: target_x,
                        y: target.y,
                    },
                    target,
                ]),
                label: Point {
                    x: source_x - LABEL_GAP - edge.label_width,
                    y: y - LABEL_GAP,
                },
            };
        }
        routes
    }

    /// Returns the line of an edge to a higher rank (column). For any other edge, the caller later replaces the
    /// result.
    fn forward(&self, index: usize, ports: Ports) -> Route {
        let edge = self.graph.edges[index];
        let chain = &self.grid.chains[index];
        let first_rank = self.ranking.ranks[edge.from] + 1;
        let mut points = vec![ports.source];
        let mut label = ports.source;
        let mut y = ports.source.y;
        for (step, item) in chain.iter().skip(1).enumerate() {
            let gap = &self.gaps[first_rank + step];
            let next_y = if *item == edge.to {
                ports.approach
            } else {
                self.grid.y(*item)
            };
            points.push(Point {
                x: gap.bend_start,
                y,
            });
            points.push(Point {
                x: gap.bend_end,
                y: next_y,
            });
            y = next_y;
            if step == 0 {
                label = Point {
                    x: gap.labels,
                    y: y - LABEL_GAP,
                };
            }
        }
        if self.sides.is_fan[edge.to] {
            let gap = &self.gaps[self.ranking.ranks[edge.to]];
            points.push(Point {
                x: gap.fan_start,
                y,
            });
            points.push(Point {
                x: gap.fan_end,
                y: ports.target.y,
            });
        }
        points.push(ports.target);
        Route {
            points: simplified(&points),
            label,
        }
    }

    /// Returns the ends of all edges. At each side of a node, the edges to higher ranks (columns) are sorted by
    /// the position of their next node or bend. Lines that start at the same node therefore do not cross.
    fn ports(&self, returns: &[usize]) -> Vec<Ports> {
        let mut outgoing: Vec<Vec<(i64, usize)>> = vec![Vec::new(); self.nodes.len()];
        let mut incoming = outgoing.clone();
        for (index, chain) in self.grid.chains.iter().enumerate() {
            let edge = self.graph.edges[index];
            if let [_, second, ..] = chain[..] {
                outgoing[edge.from].push((self.grid.y(second), index));
            }
            if let [.., last_but_one, _] = chain[..] {
                incoming[edge.to].push((self.grid.y(last_but_one), index));
            }
        }
        for list in outgoing.iter_mut().chain(&mut incoming) {
            list.sort_unstable();
        }
        for index in returns.iter().rev() {
            let edge = self.graph.edges[*index];
            outgoing[edge.from].push((0, *index));
            incoming[edge.to].push((0, *index));
        }
        let origin = Point { x: 0, y: 0 };
        let unknown = Ports {
            source: origin,
            target: origin,
            approach: 0,
        };
        let mut ports = vec![unknown; self.graph.edges.len()];
        for (node, (outgoing, incoming)) in outgoing.iter().zip(&incoming).enumerate() {
            for (place, (_, edge)) in outgoing.iter().enumerate() {
                let offset = self.port_offset(node, self.sides.outgoing[node], place);
                let Point { x, y } = self.nodes[node].center;
                ports[*edge].source = Point {
                    x: x + self.inset(node, offset),
                    y: y + offset,
                };
            }
            let side = self.sides.incoming[node];
            for (place, (_, edge)) in incoming.iter().enumerate() {
                let offset = self.port_offset(node, side, place);
                let Point { x, y } = self.nodes[node].center;
                let port = &mut ports[*edge];
                port.target = Point {
                    x: x - self.inset(node, offset),
                    y: y + offset,
                };
                port.approach = if self.sides.is_fan[node] {
                    y + (2 * whole(place) - side.forward + 1) * (FAN / 2)
                } else {
                    y + offset
                };
            }
        }
        ports
    }

    /// Returns the vertical distance of a port (the end of an edge) from the center of the node. `place` is the
    /// index of the port at its side, from top to bottom.
    fn port_offset(&self, node: usize, side: Side, place: usize) -> i64 {
        let height = self.nodes[node].height;
        height * (side.returns + whole(place) + 1) / side.intervals() - height / 2
    }

    /// Returns the horizontal distance between the center of a node and its outline. The outline can be a circle or a
    /// diamond, so the distance depends on `offset`, the vertical distance from the center.
    fn inset(&self, node: usize, offset: i64) -> i64 {
        let Placed { width, height, .. } = self.nodes[node];
        let radius = height / 2;
        match self.graph.shapes[node].outline {
            Outline::Rectangle => width / 2,
            Outline::Diamond => width / 2 * (radius - offset.abs()) / radius,
            Outline::Circle => (radius * radius - offset * offset).max(0).isqrt(),
        }
    }
}

/// Removes repeated points, and points in the middle of a horizontal line, from the line of an edge.
fn simplified(points: &[Point]) -> Vec<Point> {
    let mut kept: Vec<Point> = Vec::with_capacity(points.len());
    for point in points {
        if kept.last() == Some(point) {
            continue;
        }
        if let [.., before, last] = kept[..]
            && before.y == last.y
            && last.y == point.y
        {
            kept.pop();
        }
        kept.push(*point);
    }
    kept
}
