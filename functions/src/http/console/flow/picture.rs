//! Writes the SVG text of a workflow picture.
//!
//! The elements have classes and presentation attributes, but no styles. The attributes make the picture
//! readable without a style sheet, and each rule of a style sheet has priority over the attributes.

use std::collections::BTreeMap;
use std::fmt::Write;

use events::workflow::NodeKind;

use super::layout::{Drawing, Graph, Outline, Placed, Point, Route, Shape};
use super::text::{cut, escape, units, wrap};
use super::{Edge, Node, State, layout};

/// The width of the box of a node for people or of an automatic node, in pixels.
const BOX_WIDTH: i64 = 132;
/// The height of a box, and the diameter of a circle, in pixels.
const BOX_HEIGHT: i64 = 44;
/// The width and height of the diamond for a node that joins parallel branches, in pixels.
const JOIN_SIZE: i64 = 32;
/// The width of a half-width character in a text with font size 12, in pixels.
const UNIT: i64 = 6;
/// The vertical distance between two lines of a node name, in pixels.
const LINE: i64 = 14;
/// Maximum length of one line of a node name in a box, in half-width characters.
const BOX_UNITS: i64 = 16;
/// Maximum length of one line of a node name in a circle, in half-width characters.
const CIRCLE_UNITS: i64 = 5;
/// Maximum length of the node name below a diamond, in half-width characters.
const DIAMOND_UNITS: i64 = 14;
/// Maximum length of the label of an edge, in half-width characters.
const EDGE_UNITS: i64 = 10;
/// The height of the space for the node name below a diamond, in pixels.
const NAME_SPACE: i64 = 18;
/// The width of a circle together with the sign that shows its state, in pixels.
const CIRCLE_SPACE: i64 = 56;
const BADGE_HEIGHT: i64 = 14;
/// The attributes of all lines. The style sheet can set other colors.
const LINE_STYLE: &str = r#"fill="none" stroke="currentColor""#;
/// The id and the CSS classes of each kind of arrow head. An arrow head is the end of an edge.
const ARROWS: [(&str, &str); 2] = [("arrow", "arrow"), ("arrow-taken", "arrow taken")];

/// Returns the SVG element of a whole workflow picture.
pub(super) fn svg(title: &str, nodes: &[Node<'_>], edges: &[Edge]) -> String {
    let graph = Graph {
        shapes: nodes.iter().map(shape).collect(),
        edges: edges.iter().map(layout_edge).collect(),
        starts: (0..nodes.len())
            .filter(|index| nodes[*index].kind == Some(NodeKind::Start))
            .collect(),
    };
    let Drawing {
        width,
        height,
        nodes: places,
        routes,
    } = layout::layout(&graph);
    let mut out = String::new();
    let _ = write!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" class="flow" role="img" aria-labelledby="flow-title" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-size="12" fill="currentColor"><title id="flow-title">{}</title>"#,
        escape(title)
    );
    if !nodes.is_empty() {
        let _ = write!(out, "<desc>{}</desc>", escape(&description(nodes)));
        write_arrows(&mut out);
        for (edge, route) in edges.iter().zip(&routes) {
            write_edge(&mut out, edge, route);
        }
        for (node, place) in nodes.iter().zip(&places) {
            write_node(&mut out, node, place);
        }
    }
    out.push_str("</svg>");
    out
}

/// Returns the outline of a node. A transition can refer to a node that the workflow does not contain. The
/// outline of such a node is a rectangle.
fn outline(node: &Node<'_>) -> Outline {
    match node.kind {
        Some(NodeKind::Start | NodeKind::End) => Outline::Circle,
        Some(NodeKind::Router | NodeKind::Parallel | NodeKind::Coverage) => Outline::Diamond,
        Some(
            NodeKind::Manual
            | NodeKind::Approval
            | NodeKind::Sign
            | NodeKind::Task
            | NodeKind::Sops
            | NodeKind::Webhook,
        )
        | None => Outline::Rectangle,
    }
}

fn shape(node: &Node<'_>) -> Shape {
    let outline = outline(node);
    let size = if node.kind == Some(NodeKind::Coverage) {
        JOIN_SIZE
    } else {
        BOX_HEIGHT
    };
    let (width, below, text_width) = match outline {
        Outline::Rectangle => (BOX_WIDTH, 0, BOX_WIDTH),
        Outline::Diamond => (size, NAME_SPACE, DIAMOND_UNITS * UNIT),
        Outline::Circle => (size, 0, CIRCLE_SPACE),
    };
    let (above, badge_width) = if node.badge.is_empty() {
        (0, 0)
    } else {
        (BADGE_HEIGHT + 2, badge_width(&node.badge))
    };
    Shape {
        outline,
        width,
        height: size,
        above,
        below,
        text_width: text_width.max(badge_width),
    }
}

fn badge_width(badge: &str) -> i64 {
    units(badge) * UNIT + 8
}

fn layout_edge(edge: &Edge) -> layout::Edge {
    layout::Edge {
        from: edge.from,
        to: edge.to,
        label_width: units(&cut(&edge.name, EDGE_UNITS)) * UNIT,
    }
}

/// Returns the description text of the picture. The text contains the number of nodes in each state, and the
/// names of the current and failed nodes.
fn description(nodes: &[Node<'_>]) -> String {
    let mut groups: BTreeMap<State, Vec<&Node<'_>>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.kind.is_some()) {
        let state = match node.state {
            State::Stopped => State::Failed,
            state => state,
        };
        groups.entry(state).or_default().push(node);
    }
    let parts = groups.iter().map(|(state, nodes)| {
        let label = nodes[0].state_label;
        let count = nodes.len();
        if matches!(state, State::Current | State::Failed) {
            let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
            format!("{label} {count}: {}", names.join(", "))
        } else {
            format!("{label} {count}")
        }
    });
    parts.collect::<Vec<String>>().join("; ")
}

fn write_arrows(out: &mut String) {
    out.push_str("<defs>");
    for (id, class) in ARROWS {
        let _ = write!(
            out,
            r#"<marker id="{id}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path class="{class}" d="M0 0L8 4L0 8z"/></marker>"#
        );
    }
    out.push_str("</defs>");
}

fn write_edge(out: &mut String, edge: &Edge, route: &Route) {
    let (class, arrow) = if edge.is_taken {
        ("edge taken", "arrow-taken")
    } else {
        ("edge", "arrow")
    };
    let _ = write!(out, r#"<g class="{class}" data-transition="{}">"#, edge.id);
    if !edge.name.is_empty() {
        let _ = write!(out, "<title>{}</title>", escape(&edge.name));
    }
    let d = path(&route.points);
    let _ = write!(
        out,
        r#"<path class="line" d="{d}" {LINE_STYLE} stroke-linejoin="round" marker-end="url(#{arrow})"/>"#
    );
    if !edge.name.is_empty() {
        let Point { x, y } = route.label;
        let label = escape(&cut(&edge.name, EDGE_UNITS));
        let _ = write!(
            out,
            r#"<text class="label" x="{x}" y="{y}" font-size="11">{label}</text>"#
        );
    }
    out.push_str("</g>");
}

/// Returns the SVG path data for a line through the given points. A part that is neither horizontal nor
/// vertical is a curve that begins and ends horizontally. The curve stays between its two points.
fn path(points: &[Point]) -> String {
    let mut path = String::new();
    let mut last: Option<Point> = None;
    for point in points {
        let Point { x, y } = *point;
        let _ = match last {
            None => write!(path, "M{x} {y}"),
            Some(last) if last.x == x || last.y == y => write!(path, "L{x} {y}"),
            Some(last) => {
                let middle = i64::midpoint(last.x, x);
                let start = last.y;
                write!(path, "C{middle} {start} {middle} {y} {x} {y}")
            }
        };
        last = Some(*point);
    }
    path
}

fn write_node(out: &mut String, node: &Node<'_>, place: &Placed) {
    let name = escape(&node.name);
    if let Some(kind) = node.kind {
        let _ = write!(
            out,
            r#"<g class="node {} {}" data-node="{}"><title>{name} — {}</title>"#,
            node.state.class(),
            kind_class(kind),
            node.id,
            escape(node.state_label)
        );
    } else {
        let _ = write!(out, r#"<g class="node missing"><title>{name}</title>"#);
    }
    let Point { x, y } = place.center;
    let (left, top) = (x - place.width / 2, y - place.height / 2);
    let (right, bottom) = (left + place.width, top + place.height);
    let (width, height) = (place.width, place.height);
    let (lines, mark) = match outline(node) {
        Outline::Rectangle => {
            let _ = write!(
                out,
                r#"<rect class="shape" x="{left}" y="{top}" width="{width}" height="{height}" rx="6" {LINE_STYLE}/>"#
            );
            if node.kind.is_some_and(NodeKind::is_automatic) {
                let bar = left + 5;
                let _ = write!(
                    out,
                    r#"<path class="bar" d="M{bar} {top}V{bottom}" {LINE_STYLE}/>"#
                );
            }
            (
                wrap(&node.name, BOX_UNITS, 2),
                Point {
                    x: right - 9,
                    y: top + 13,
                },
            )
        }
        Outline::Diamond => {
            let _ = write!(
                out,
                r#"<path class="shape" d="M{left} {y}L{x} {top}L{right} {y}L{x} {bottom}z" {LINE_STYLE}/>"#
            );
            if matches!(node.kind, Some(NodeKind::Parallel | NodeKind::Coverage)) {
                write_text(out, "sign", Point { x, y: y + 6 }, 18, "+");
            }
            (
                Vec::new(),
                Point {
                    x: right - 2,
                    y: top + 8,
                },
            )
        }
        Outline::Circle => {
            let radius = height / 2;
            let border = if node.kind == Some(NodeKind::End) {
                3
            } else {
                1
            };
            let _ = write!(
                out,
                r#"<circle class="shape" cx="{x}" cy="{y}" r="{radius}" {LINE_STYLE} stroke-width="{border}"/>"#
            );
            (
                wrap(&node.name, CIRCLE_UNITS, 2),
                Point {
                    x: right - 2,
                    y: top + 8,
                },
            )
        }
    };
    let first = if lines.len() > 1 {
        y + 4 - LINE / 2
    } else {
        y + 4
    };
    for (line, y) in lines.iter().zip([first, first + LINE]) {
        write_text(out, "name", Point { x, y }, 12, line);
    }
    if outline(node) == Outline::Diamond {
        let below = Point { x, y: bottom + 13 };
        write_text(out, "name", below, 12, &cut(&node.name, DIAMOND_UNITS));
    }
    if node.kind.is_some() && !node.state.mark().is_empty() {
        write_text(out, "mark", mark, 11, node.state.mark());
    }
    if !node.badge.is_empty() {
        let (badge_top, badge_width) = (top - BADGE_HEIGHT - 2, badge_width(&node.badge));
        let badge_left = x - badge_width / 2;
        let _ = write!(
            out,
            r#"<rect class="badge" x="{badge_left}" y="{badge_top}" width="{badge_width}" height="{BADGE_HEIGHT}" rx="7" {LINE_STYLE}/>"#
        );
        write_text(
            out,
            "round",
            Point {
                x,
                y: badge_top + 11,
            },
            11,
            &node.badge,
        );
    }
    out.push_str("</g>");
}

fn kind_class(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Start | NodeKind::End => "event",
        NodeKind::Manual | NodeKind::Approval | NodeKind::Sign => "people",
        NodeKind::Task | NodeKind::Sops | NodeKind::Webhook => "automatic",
        NodeKind::Router | NodeKind::Parallel | NodeKind::Coverage => "gateway",
    }
}

/// Writes a centered text. `at` is the center of the base line.
fn write_text(out: &mut String, class: &str, at: Point, size: i64, text: &str) {
    let Point { x, y } = at;
    let text = escape(text);
    let _ = write!(
        out,
        r#"<text class="{class}" x="{x}" y="{y}" font-size="{size}" text-anchor="middle">{text}</text>"#
    );
}

#[cfg(test)]
mod tests {
    use events::NodeId;

    use super::*;

    fn node(kind: NodeKind, name: &str, badge: &str) -> Node<'static> {
        Node {
            id: NodeId(7),
            kind: Some(kind),
            name: name.to_owned(),
            state: State::Current,
            state_label: "Current",
            badge: badge.to_owned(),
        }
    }

    fn written(kind: NodeKind, name: &str, badge: &str) -> String {
        svg("Title", &[node(kind, name, badge)], &[])
    }

    #[test]
    fn straight_lines_and_curves_are_different_path_commands() {
        let points = [(0, 5), (10, 5), (30, 25), (30, 40)].map(|(x, y)| Point { x, y });
        assert_eq!(path(&points), "M0 5L10 5C20 5 20 25 30 25L30 40");
        assert_eq!(path(&[]), "");
    }

    #[test]
    fn each_kind_of_node_has_its_outline() {
        let of = |kind| written(kind, "Name", "");
        for kind in [NodeKind::Start, NodeKind::End] {
            assert!(of(kind).contains("<circle "), "{kind:?}");
            assert!(of(kind).contains("node current event"), "{kind:?}");
        }
        for kind in [NodeKind::Router, NodeKind::Parallel, NodeKind::Coverage] {
            let picture = of(kind);
            let has_sign = picture.contains(">+</text>");
            assert_eq!(has_sign, kind != NodeKind::Router, "{kind:?}");
            assert!(picture.contains("node current gateway"), "{kind:?}");
            assert!(!picture.contains("<rect "), "{kind:?}");
        }
        for kind in [NodeKind::Manual, NodeKind::Approval, NodeKind::Sign] {
            let picture = of(kind);
            assert!(picture.contains(r#"width="132" height="44""#), "{kind:?}");
            assert!(picture.contains("node current people"), "{kind:?}");
            assert!(!picture.contains(r#"class="bar""#), "{kind:?}");
        }
        for kind in [NodeKind::Task, NodeKind::Sops, NodeKind::Webhook] {
            let picture = of(kind);
            assert!(picture.contains("<rect "), "{kind:?}");
            assert!(picture.contains("node current automatic"), "{kind:?}");
            assert!(picture.contains(r#"class="bar""#), "{kind:?}");
        }
    }

    #[test]
    fn long_names_are_cut_and_the_title_has_the_whole_name() {
        let name = "一二三四五六七八九十一二三四五六七八九十";
        let picture = written(NodeKind::Manual, name, "");
        assert!(picture.contains(&format!("<title>{name} — Current</title>")));
        assert!(picture.contains(">一二三四五六七八</text>"));
        assert!(picture.contains(">九十一二三四五…</text>"));
        let picture = written(NodeKind::Router, name, "");
        assert!(picture.contains(">一二三四五六…</text>"));
    }

    #[test]
    fn the_badge_has_space_above_the_outline() {
        for kind in [NodeKind::Manual, NodeKind::Coverage, NodeKind::End] {
            let (without, with) = (
                shape(&node(kind, "Name", "")),
                shape(&node(kind, "Name", "Round 2 of many")),
            );
            assert_eq!(with.above, without.above + 16);
            assert!(with.text_width >= badge_width("Round 2 of many"));
            let picture = written(kind, "Name", "Round 2 of many");
            assert!(picture.contains(r#"<rect class="badge""#));
            assert!(picture.contains(">Round 2 of many</text>"));
        }
        assert!(!written(NodeKind::Manual, "Name", "").contains("badge"));
    }

    #[test]
    fn the_description_names_current_and_failed_nodes() {
        let mut nodes = ["A", "B", "C", "D", "E"].map(|name| node(NodeKind::Manual, name, ""));
        let states = [
            (State::Done, "Done"),
            (State::Failed, "Failed"),
            (State::Stopped, "Failed"),
            (State::Current, "Current"),
            (State::Done, "Done"),
        ];
        for (node, (state, label)) in nodes.iter_mut().zip(states) {
            node.state = state;
            node.state_label = label;
        }
        assert_eq!(description(&nodes), "Done 2; Current 1: D; Failed 2: B, C");
    }
}
