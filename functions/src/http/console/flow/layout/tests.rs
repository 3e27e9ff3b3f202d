//! Tests the layout with fixed graphs and with generated graphs.

use super::*;

/// A generator of pseudo-random numbers (a linear congruential generator). Equal seeds give equal numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

fn shape(outline: Outline) -> Shape {
    let (width, height, below, text_width) = match outline {
        Outline::Rectangle => (132, 44, 0, 132),
        Outline::Diamond => (32, 32, 18, 84),
        Outline::Circle => (44, 44, 0, 56),
    };
    Shape {
        outline,
        width,
        height,
        above: 0,
        below,
        text_width,
    }
}

/// Returns a graph of rectangular nodes and edges without labels. The first node is the start node.
fn graph(count: usize, edges: &[(usize, usize)]) -> Graph {
    Graph {
        shapes: vec![shape(Outline::Rectangle); count],
        edges: edges
            .iter()
            .map(|(from, to)| Edge {
                from: *from,
                to: *to,
                label_width: 0,
            })
            .collect(),
        starts: (0..count.min(1)).collect(),
    }
}

/// Returns a random graph with up to 24 nodes and 59 edges. Many graphs have loops, self loops, repeated edges
/// and unreachable nodes.
fn random_graph(seed: u64) -> Graph {
    let mut numbers = Numbers(seed);
    let count = 1 + numbers.below(24);
    let edge_count = numbers.below(60);
    let shapes = (0..count).map(|_| {
        let outlines = [Outline::Rectangle, Outline::Diamond, Outline::Circle];
        let mut shape = shape(outlines[numbers.below(3)]);
        shape.above = [0, 0, 16][numbers.below(3)];
        shape
    });
    let shapes = shapes.collect();
    let edges = (0..edge_count).map(|_| Edge {
        from: numbers.below(count),
        to: numbers.below(count),
        label_width: [0, 24, 60][numbers.below(3)],
    });
    Graph {
        shapes,
        edges: edges.collect(),
        starts: vec![0],
    }
}

fn random_graphs() -> impl Iterator<Item = (u64, Graph)> {
    (0..200).map(|seed| (seed, random_graph(seed)))
}

/// A rectangular area of the picture. The points on the border of the rectangle do not belong to the area.
#[derive(Clone, Copy, Debug)]
struct Area {
    left: i64,
    top: i64,
    right: i64,
    bottom: i64,
}

impl Area {
    fn between(one: Point, other: Point) -> Self {
        Self {
            left: one.x.min(other.x),
            top: one.y.min(other.y),
            right: one.x.max(other.x),
            bottom: one.y.max(other.y),
        }
    }
    fn overlaps(self, other: Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
    fn contains(self, point: Point) -> bool {
        self.overlaps(Self::between(point, point))
    }
    fn is_inside(self, drawing: &Drawing) -> bool {
        self.left >= 0
            && self.top >= 0
            && self.right <= drawing.width
            && self.bottom <= drawing.height
    }
}

/// Returns the area that each node covers together with its texts.
fn areas(graph: &Graph, drawing: &Drawing) -> Vec<Area> {
    let nodes = graph.shapes.iter().zip(&drawing.nodes);
    let areas = nodes.map(|(shape, node)| {
        let width = node.width.max(shape.text_width);
        let Point { x, y } = node.center;
        Area {
            left: x - width / 2,
            top: y - node.height / 2 - shape.above,
            right: x + width / 2,
            bottom: y + node.height / 2 + shape.below,
        }
    });
    areas.collect()
}

fn segments(route: &Route) -> impl Iterator<Item = (Point, Point)> {
    route.points.windows(2).map(|pair| (pair[0], pair[1]))
}

/// Returns true if the target node of the edge is not to the right of the source node.
fn is_return(edge: Edge, drawing: &Drawing) -> bool {
    drawing.nodes[edge.to].center.x <= drawing.nodes[edge.from].center.x
}

fn check_boxes(graph: &Graph, drawing: &Drawing, name: &str) {
    assert_eq!(drawing.nodes.len(), graph.shapes.len(), "{name}");
    let areas = areas(graph, drawing);
    for (index, area) in areas.iter().enumerate() {
        assert!(area.is_inside(drawing), "{name}: node {index} {area:?}");
        for (other_index, other) in areas.iter().enumerate().skip(index + 1) {
            assert!(
                !area.overlaps(*other),
                "{name}: nodes {index} and {other_index}"
            );
        }
    }
}

fn check_lines(graph: &Graph, drawing: &Drawing, name: &str) {
    assert_eq!(drawing.routes.len(), graph.edges.len(), "{name}");
    let areas = areas(graph, drawing);
    for (index, (edge, route)) in graph.edges.iter().zip(&drawing.routes).enumerate() {
        for point in &route.points {
            let area = Area::between(*point, *point);
            assert!(area.is_inside(drawing), "{name}: edge {index} {point:?}");
        }
        let bends = &route.points[1..route.points.len() - 1];
        for bend in bends {
            assert!(
                !areas.iter().any(|area| area.contains(*bend)),
                "{name}: edge {index} bends in a box at {bend:?}"
            );
        }
        for (from, to) in segments(route) {
            let line = Area::between(from, to);
            for (node, area) in areas.iter().enumerate() {
                assert!(
                    node == edge.from || node == edge.to || !line.overlaps(*area),
                    "{name}: edge {index} runs through node {node}"
                );
            }
        }
    }
}

#[test]
fn boxes_never_overlap_and_lie_inside_the_picture() {
    for (seed, graph) in random_graphs() {
        check_boxes(&graph, &layout(&graph), &format!("seed {seed}"));
    }
}

#[test]
fn lines_lie_inside_the_picture_and_outside_of_other_boxes() {
    for (seed, graph) in random_graphs() {
        check_lines(&graph, &layout(&graph), &format!("seed {seed}"));
    }
}

#[test]
fn labels_lie_inside_the_picture() {
    let mut checked = 0;
    for (seed, graph) in random_graphs() {
        let drawing = layout(&graph);
        for (edge, route) in graph.edges.iter().zip(&drawing.routes) {
            if edge.label_width > 0 {
                let label = Area {
                    left: route.label.x,
                    top: route.label.y - 11,
                    right: route.label.x + edge.label_width,
                    bottom: route.label.y,
                };
                assert!(label.is_inside(&drawing), "seed {seed}: {label:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 1000, "only {checked} labels");
}

#[test]
fn forward_edges_run_to_the_right() {
    for (seed, graph) in random_graphs() {
        let drawing = layout(&graph);
        for (edge, route) in graph.edges.iter().zip(&drawing.routes) {
            let is_rightward = segments(route).all(|(from, to)| from.x <= to.x);
            assert_eq!(is_rightward, !is_return(*edge, &drawing), "seed {seed}");
        }
    }
}

#[test]
fn returns_have_their_own_tracks_below_all_boxes() {
    let mut checked = 0;
    for (seed, graph) in random_graphs() {
        let drawing = layout(&graph);
        let lowest = areas(&graph, &drawing).iter().map(|area| area.bottom).max();
        let lowest = lowest.expect("a node");
        let mut tracks = Vec::new();
        for (edge, route) in graph.edges.iter().zip(&drawing.routes) {
            if is_return(*edge, &drawing) {
                let track = route.points.iter().map(|point| point.y).max();
                tracks.push(track.expect("a point"));
                let is_orthogonal =
                    segments(route).all(|(from, to)| from.x == to.x || from.y == to.y);
                assert!(is_orthogonal, "seed {seed}");
                checked += 1;
            }
        }
        assert!(tracks.iter().all(|track| *track > lowest), "seed {seed}");
        let count = tracks.len();
        tracks.sort_unstable();
        tracks.dedup();
        assert_eq!(
            tracks.len(),
            count,
            "seed {seed}: two returns share a track"
        );
    }
    assert!(checked > 1000, "only {checked} returns");
}

#[test]
fn each_line_connects_the_outlines_of_its_nodes() {
    for (seed, graph) in random_graphs() {
        let drawing = layout(&graph);
        for (edge, route) in graph.edges.iter().zip(&drawing.routes) {
            let ends = [
                (edge.from, route.points[0], 1),
                (edge.to, route.points[route.points.len() - 1], -1),
            ];
            for (node, point, direction) in ends {
                let Placed {
                    center,
                    width,
                    height,
                } = drawing.nodes[node];
                let x = (point.x - center.x) * direction;
                let y = (point.y - center.y).abs();
                assert!(y < height / 2, "seed {seed}: {point:?}");
                // The coordinates are whole numbers. The end of a line can therefore be up to one pixel inside the
                // outline of the node.
                let (near, far) = match graph.shapes[node].outline {
                    Outline::Rectangle => (width / 2 - x, 0),
                    Outline::Diamond => {
                        let half = width / 2;
                        (half * (height / 2 - y) / (height / 2) - x, 0)
                    }
                    Outline::Circle => {
                        let radius = height / 2;
                        let inner = x * x + y * y;
                        let outer = (x + 1) * (x + 1) + y * y;
                        (
                            i64::from(inner > radius * radius),
                            i64::from(outer <= radius * radius),
                        )
                    }
                };
                assert_eq!((near, far), (0, 0), "seed {seed}: {point:?}");
            }
        }
    }
}

#[test]
fn parallel_edges_have_different_lines() {
    for (seed, graph) in random_graphs() {
        let drawing = layout(&graph);
        for (index, route) in drawing.routes.iter().enumerate() {
            let rest = &drawing.routes[index + 1..];
            assert!(
                rest.iter().all(|other| other.points != route.points),
                "seed {seed}: edge {index}"
            );
        }
    }
    let twins = layout(&graph(2, &[(0, 1), (0, 1)]));
    let starts = [0, 1].map(|edge| twins.routes[edge].points[0].y);
    assert!(starts[1] - starts[0] >= PORT, "{starts:?}");
}

#[test]
fn many_edges_at_one_node_keep_a_distance() {
    let drawing = layout(&graph(2, &[(0, 1); 60]));
    assert!(drawing.nodes[0].height >= 60 * PORT);
    for pair in drawing.routes.windows(2) {
        for point in [0, 1] {
            let distance = pair[1].points[point].y - pair[0].points[point].y;
            assert!(distance >= PORT, "{pair:?}");
        }
    }
}

#[test]
fn labels_of_edges_to_one_node_do_not_overlap() {
    let mut graph = graph(3, &[(0, 1), (0, 1), (0, 1), (1, 2)]);
    for edge in &mut graph.edges {
        edge.label_width = 60;
    }
    let drawing = layout(&graph);
    let labels = [0, 1, 2].map(|edge| drawing.routes[edge].label);
    for pair in labels.windows(2) {
        assert_eq!(pair[0].x, pair[1].x);
        assert!(pair[1].y - pair[0].y >= 12, "{labels:?}");
    }
    check_lines(&graph, &drawing, "labels");
}

#[test]
fn equal_graphs_have_equal_layouts() {
    for (seed, graph) in random_graphs() {
        assert_eq!(layout(&graph), layout(&random_graph(seed)), "seed {seed}");
    }
}

#[test]
fn a_chain_is_a_straight_line() {
    let drawing = layout(&graph(4, &[(0, 1), (1, 2), (2, 3)]));
    for (node, route) in drawing.nodes.iter().zip(&drawing.routes) {
        assert_eq!(node.center.y, drawing.nodes[0].center.y);
        assert_eq!(route.points.len(), 2);
    }
}

#[test]
fn a_return_does_not_move_the_forward_line() {
    let drawing = layout(&graph(3, &[(0, 1), (1, 2), (2, 1)]));
    assert_eq!(drawing.routes[0].points.len(), 2);
    assert_eq!(drawing.routes[1].points.len(), 2);
    assert_eq!(drawing.routes[2].points.len(), 6);
}

#[test]
fn the_branches_of_a_fork_lie_around_its_center() {
    let drawing = layout(&graph(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]));
    let [fork, upper, lower, join] = [0, 1, 2, 3].map(|node| drawing.nodes[node].center);
    assert_eq!(upper.x, lower.x);
    assert_eq!(fork.y, join.y);
    assert_eq!(fork.y - upper.y, lower.y - fork.y);
    assert!(upper.y < lower.y);
}

#[test]
fn an_edge_that_passes_a_rank_runs_beside_the_box() {
    let drawing = layout(&graph(3, &[(0, 1), (1, 2), (0, 2)]));
    let passed = drawing.nodes[1];
    let beside = segments(&drawing.routes[2])
        .find(|(from, to)| from.x <= passed.center.x && to.x >= passed.center.x);
    let (from, to) = beside.expect("the line passes the rank");
    assert_eq!(from.y, to.y);
    assert!((from.y - passed.center.y).abs() > passed.height / 2);
}

#[test]
fn a_self_loop_returns_to_its_node() {
    let drawing = layout(&graph(1, &[(0, 0)]));
    check_boxes(&graph(1, &[]), &drawing, "self loop");
    let points = &drawing.routes[0].points;
    assert_eq!(points.len(), 6);
    assert!(points[0].x > points[5].x);
}

#[test]
fn unreachable_nodes_follow_after_all_reachable_nodes() {
    // The nodes 0, 1 and 2 are reachable. Node 3 leads to node 1, and the nodes 4 and 5 are a loop.
    let drawing = layout(&graph(6, &[(0, 1), (1, 2), (3, 1), (4, 5), (5, 4)]));
    let x = |node: usize| drawing.nodes[node].center.x;
    for unreachable in 3..6 {
        assert!(x(unreachable) > x(2), "node {unreachable}");
    }
    assert!(x(5) > x(4));
}

#[test]
fn a_graph_without_a_start_is_drawn() {
    let mut graph = graph(3, &[(0, 1), (1, 2), (2, 0)]);
    graph.starts.clear();
    let drawing = layout(&graph);
    check_boxes(&graph, &drawing, "no start");
    check_lines(&graph, &drawing, "no start");
}

#[test]
fn an_empty_graph_is_an_empty_drawing() {
    let drawing = layout(&graph(0, &[]));
    assert_eq!((drawing.width, drawing.height), (2 * MARGIN, 2 * MARGIN));
    assert!(drawing.nodes.is_empty() && drawing.routes.is_empty());
}

#[test]
fn a_long_chain_needs_no_recursion() {
    let edges: Vec<(usize, usize)> = (0..19_999).map(|node| (node, node + 1)).collect();
    let drawing = layout(&graph(20_000, &edges));
    let is_rightward = drawing
        .nodes
        .windows(2)
        .all(|pair| pair[0].center.x < pair[1].center.x);
    assert!(is_rightward);
}

#[test]
fn five_hundred_nodes_have_a_layout() {
    let mut numbers = Numbers(5);
    let edges: Vec<(usize, usize)> = (0..800)
        .map(|_| (numbers.below(500), numbers.below(500)))
        .collect();
    let graph = graph(500, &edges);
    let drawing = layout(&graph);
    check_boxes(&graph, &drawing, "500 nodes");
    check_lines(&graph, &drawing, "500 nodes");
}
