//! Tests the pictures of workflows with the states of tickets.

use domain::ticket::NodeRun;
use events::workflow::Transition;
use serde_json::json;

use super::*;

fn labels() -> Labels<'static> {
    Labels {
        title: "流程图",
        done: "已完成",
        current: "处理中",
        failed: "异常",
        future: "未开始",
        round: |round| format!("第 {round} 轮"),
        start: "开始",
        end: "结束",
    }
}

fn node(id: i64, kind: &str, name: &str) -> events::workflow::Node {
    serde_json::from_value(json!({ "id": id, "kind": kind, "name": name })).expect("a node")
}

fn transition(id: i64, from: i64, to: i64) -> Transition {
    Transition {
        id: TransitionId(id),
        from: NodeId(from),
        to: NodeId(to),
        name: String::new(),
        condition: None,
    }
}

/// Returns a definition with the given nodes. The transitions get the ids 1, 2, 3 and so on.
fn definition(nodes: &[(i64, &str, &str)], transitions: &[(i64, i64)]) -> Definition {
    Definition {
        nodes: nodes
            .iter()
            .map(|(id, kind, name)| node(*id, kind, name))
            .collect(),
        transitions: transitions
            .iter()
            .zip(1..)
            .map(|((from, to), id)| transition(id, *from, *to))
            .collect(),
        ..Definition::default()
    }
}

/// Returns a workflow with a form, an approval, and a transition back from the approval to the form.
fn approval() -> Definition {
    definition(
        &[
            (1, "START", "开始"),
            (2, "NORMAL", "提单"),
            (3, "APPROVAL", "经理审批"),
            (4, "END", "结束"),
        ],
        &[(1, 2), (2, 3), (3, 4), (3, 2)],
    )
}

fn run(status: NodeStatus, round: u32) -> NodeRun {
    let run = json!({ "name": "", "round": round, "status": status, "processors_type": "PERSON" });
    serde_json::from_value(run).expect("a node run")
}

fn ticket(runs: &[(i64, NodeStatus)]) -> Ticket {
    Ticket {
        status: Status::Running,
        nodes: runs
            .iter()
            .map(|(id, status)| (NodeId(*id), run(*status, 1)))
            .collect(),
        ..Ticket::default()
    }
}

fn drawn(definition: &Definition, ticket: &Ticket) -> String {
    let picture = picture(definition, ticket, &BTreeSet::new(), &labels());
    check_svg(&picture);
    picture
}

/// Returns the SVG group (`<g>` element) with the given attribute. Groups do not contain other groups.
fn group<'a>(picture: &'a str, attribute: &str) -> &'a str {
    let at = picture.find(attribute).expect("the attribute exists");
    let start = picture[..at].rfind("<g ").expect("a group");
    let end = picture[at..].find("</g>").expect("the group ends") + at;
    &picture[start..end]
}

fn node_group(picture: &str, id: i64) -> &str {
    group(picture, &format!(r#" data-node="{id}""#))
}

/// Checks that all tags are balanced and allowed, that attribute values are quoted, and that texts are escaped.
fn check_svg(picture: &str) {
    const ELEMENTS: [&str; 10] = [
        "svg", "title", "desc", "defs", "marker", "g", "path", "rect", "circle", "text",
    ];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = picture;
    while let Some(start) = rest.find('<') {
        check_text(&rest[..start]);
        let end = start + rest[start..].find('>').expect("the tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let content = tag.strip_suffix('/').unwrap_or(tag);
        let (name, attributes) = content.split_once(' ').unwrap_or((content, ""));
        assert!(ELEMENTS.contains(&name), "element {name}");
        check_attributes(attributes);
        if content == tag {
            open.push(name);
        }
    }
    assert_eq!(rest, "");
    assert_eq!(open, Vec::<&str>::new());
}

fn check_attributes(attributes: &str) {
    // After the split at quotes, the parts with odd indexes are the attribute values.
    let parts: Vec<&str> = attributes.split('"').collect();
    assert_eq!(parts.len() % 2, 1, "{attributes}");
    for pair in parts.chunks_exact(2) {
        let name = pair[0].trim_start().strip_suffix('=').expect("a name");
        let is_name = name.chars().all(|c| c.is_ascii_alphabetic() || c == '-');
        assert!(is_name && !name.is_empty(), "attribute {name}");
        assert!(
            name != "style" && !name.starts_with("on"),
            "attribute {name}"
        );
        check_text(pair[1]);
    }
}

fn check_text(text: &str) {
    for c in text.chars() {
        assert!(!c.is_control() && !"<>\"'".contains(c), "{text:?}");
    }
    for after in text.split('&').skip(1) {
        let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
        assert!(
            known.iter().any(|entity| after.starts_with(entity)),
            "{text:?}"
        );
    }
}

/// Checks that the picture shows each node and each transition of the definition exactly once.
fn check_complete(definition: &Definition, picture: &str) {
    for node in &definition.nodes {
        let attribute = format!(r#" data-node="{}""#, node.id);
        assert_eq!(picture.matches(&attribute).count(), 1, "{attribute}");
    }
    for transition in &definition.transitions {
        let attribute = format!(r#" data-transition="{}""#, transition.id);
        assert_eq!(picture.matches(&attribute).count(), 1, "{attribute}");
    }
    assert_eq!(
        picture.matches(" data-node=").count(),
        definition.nodes.len()
    );
    assert_eq!(
        picture.matches(r#"<path class="line""#).count(),
        definition.transitions.len()
    );
}

#[test]
fn each_node_and_transition_appears_exactly_once() {
    let parallel = definition(
        &[
            (1, "START", ""),
            (2, "NORMAL", "提单"),
            (3, "ROUTER-P", "并行"),
            (4, "TASK", "创建主机"),
            (5, "SIGN", "会签"),
            (6, "COVERAGE", "汇聚"),
            (7, "ROUTER", "判断"),
            (8, "END", ""),
            (9, "WEBHOOK", "不可达"),
        ],
        &[
            (1, 2),
            (2, 3),
            (3, 4),
            (3, 5),
            (4, 6),
            (5, 6),
            (6, 7),
            (7, 8),
            (7, 8),
            (7, 2),
            (5, 5),
            (9, 8),
            (3, 6),
        ],
    );
    for definition in [approval(), parallel] {
        let picture = drawn(&definition, &Ticket::default());
        check_complete(&definition, &picture);
    }
}

#[test]
fn random_workflows_have_complete_pictures() {
    let kinds = [
        "START",
        "NORMAL",
        "APPROVAL",
        "SIGN",
        "TASK",
        "TASK-SOPS",
        "WEBHOOK",
        "ROUTER",
        "ROUTER-P",
        "COVERAGE",
        "END",
    ];
    let mut state = 1_i64;
    let mut below = |bound: i64| {
        state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
        (state >> 8) % bound
    };
    for _ in 0..100 {
        let count = 1 + below(20);
        let nodes: Vec<(i64, &str, &str)> = (1..=count)
            .map(|id| {
                let kind = usize::try_from(below(11)).expect("a small number");
                (id, kinds[kind], "节点 <&>")
            })
            .collect();
        let transitions: Vec<(i64, i64)> = (0..below(40))
            .map(|_| (1 + below(count), 1 + below(count)))
            .collect();
        let definition = definition(&nodes, &transitions);
        check_complete(&definition, &drawn(&definition, &Ticket::default()));
    }
}

#[test]
fn a_transition_without_a_target_node_is_visible() {
    let definition = definition(&[(1, "START", "")], &[(1, 7), (8, 1)]);
    let picture = drawn(&definition, &Ticket::default());
    check_complete(&definition, &picture);
    assert_eq!(picture.matches(r#"<g class="node missing">"#).count(), 2);
    assert!(picture.contains("<title>#7</title>") && picture.contains("<title>#8</title>"));
}

#[test]
fn each_node_shows_its_state_as_class_title_and_mark() {
    let cases = [
        (NodeStatus::Finished, "done", "已完成", "✓"),
        (NodeStatus::Running, "current", "处理中", "●"),
        (NodeStatus::Receiving, "current", "处理中", "●"),
        (NodeStatus::Distributing, "current", "处理中", "●"),
        (NodeStatus::Failed, "failed", "异常", "!"),
        (NodeStatus::Terminated, "stopped", "异常", "!"),
    ];
    for (status, class, label, mark) in cases {
        let picture = drawn(&approval(), &ticket(&[(3, status)]));
        let group = node_group(&picture, 3);
        assert!(
            group.starts_with(&format!(r#"<g class="node {class} people""#)),
            "{group}"
        );
        assert!(
            group.contains(&format!("<title>经理审批 — {label}</title>")),
            "{group}"
        );
        assert!(group.contains(&format!(">{mark}</text>")), "{group}");
        let other = node_group(&picture, 2);
        assert!(
            other.starts_with(r#"<g class="node future people""#),
            "{other}"
        );
        assert!(!other.contains(r#"class="mark""#), "{other}");
    }
}

#[test]
fn passed_nodes_are_done() {
    let mut ticket = ticket(&[(2, NodeStatus::Running)]);
    ticket.passed.insert(NodeId(1));
    // The ticket passed node 2 earlier, but the last run of this node determines its state.
    ticket.passed.insert(NodeId(2));
    let picture = drawn(&approval(), &ticket);
    assert!(node_group(&picture, 1).contains(r#"class="node done event""#));
    assert!(node_group(&picture, 2).contains(r#"class="node current people""#));
}

#[test]
fn the_end_is_done_only_if_the_ticket_is_finished() {
    for (status, class) in [
        (Status::Finished, "done"),
        (Status::Running, "future"),
        (Status::Terminated, "future"),
    ] {
        let mut ticket = ticket(&[]);
        ticket.status = status;
        let picture = drawn(&approval(), &ticket);
        let expected = format!(r#"class="node {class} event""#);
        assert!(node_group(&picture, 4).contains(&expected), "{status:?}");
    }
}

#[test]
fn taken_transitions_have_their_own_class_and_arrow() {
    let taken = BTreeSet::from([TransitionId(1), TransitionId(4)]);
    let picture = picture(&approval(), &ticket(&[]), &taken, &labels());
    check_svg(&picture);
    for (id, class, arrow) in [
        (1, "edge taken", "arrow-taken"),
        (2, "edge", "arrow"),
        (3, "edge", "arrow"),
        (4, "edge taken", "arrow-taken"),
    ] {
        let group = group(&picture, &format!(r#" data-transition="{id}""#));
        assert!(
            group.starts_with(&format!(r#"<g class="{class}""#)),
            "{group}"
        );
        assert!(group.contains(&format!("url(#{arrow})")), "{group}");
    }
    for id in ["arrow", "arrow-taken"] {
        assert_eq!(picture.matches(&format!(r#"<marker id="{id}""#)).count(), 1);
    }
}

#[test]
fn later_rounds_have_a_badge() {
    let mut ticket = ticket(&[(2, NodeStatus::Finished)]);
    ticket.nodes.insert(NodeId(3), run(NodeStatus::Running, 3));
    let picture = drawn(&approval(), &ticket);
    assert!(node_group(&picture, 3).contains(">第 3 轮</text>"));
    assert!(!node_group(&picture, 2).contains("轮"));
}

#[test]
fn names_of_transitions_are_cut_and_default_names_are_omitted() {
    let mut definition = approval();
    let names = ["默认", "  ", "通过", "驳回并且要求补充材料"];
    for (transition, name) in definition.transitions.iter_mut().zip(names) {
        transition.name = name.to_owned();
    }
    let picture = drawn(&definition, &ticket(&[]));
    let texts = [1, 2, 3, 4].map(|id| group(&picture, &format!(r#" data-transition="{id}""#)));
    for group in &texts[..2] {
        assert!(
            !group.contains("<text") && !group.contains("<title>"),
            "{group}"
        );
    }
    assert!(texts[2].contains("<title>通过</title>") && texts[2].contains(">通过</text>"));
    assert!(texts[3].contains("<title>驳回并且要求补充材料</title>"));
    assert!(texts[3].contains(">驳回并且…</text>"));
}

#[test]
fn nodes_without_a_name_get_a_name() {
    let definition = definition(
        &[(1, "START", " "), (2, "NORMAL", "\u{0}"), (3, "END", "")],
        &[(1, 2), (2, 3)],
    );
    let picture = drawn(&definition, &ticket(&[]));
    assert!(node_group(&picture, 1).contains("<title>开始 — 未开始</title>"));
    assert!(node_group(&picture, 2).contains("<title>#2 — 未开始</title>"));
    assert!(node_group(&picture, 3).contains("<title>结束 — 未开始</title>"));
}

#[test]
fn hostile_names_are_escaped() {
    let long = "长".repeat(5000);
    let names = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror='alert(1)'>",
        "&lt;&amp;&#x3c;",
        "]]><!-- -->",
        "a\u{0}b\u{1b}[31m\u{8}\u{b}\u{7f}\u{85}\r\n\t\u{ffff}",
        "\u{202e}gnp.exe\u{2066}",
        "👩\u{200d}🚒🚀🇨🇳",
        "e\u{301}\u{301}\u{301}",
        long.as_str(),
    ];
    for name in names {
        for kind in ["START", "APPROVAL", "TASK", "ROUTER", "COVERAGE", "END"] {
            let mut definition = definition(&[(1, kind, name), (2, "NORMAL", name)], &[(1, 2)]);
            definition.transitions[0].name = name.to_owned();
            let mut labels = labels();
            labels.title = name;
            labels.current = name;
            labels.round = |_| "<b>\u{0}'\"&".to_owned();
            let mut ticket = ticket(&[]);
            ticket.nodes.insert(NodeId(1), run(NodeStatus::Running, 2));
            let picture = picture(&definition, &ticket, &BTreeSet::new(), &labels);
            check_svg(&picture);
            check_complete(&definition, &picture);
            assert!(!picture.contains("<script") && !picture.contains("<img"));
            assert!(!picture.contains(['\u{202e}', '\u{2066}', '\u{ffff}']));
        }
    }
}

#[test]
fn the_whole_name_is_in_the_title_of_the_node() {
    let mut definition = approval();
    definition.nodes[2].name = "部门经理 <审批> & \"复核\" 以及后续处理".into();
    let picture = drawn(&definition, &ticket(&[]));
    let title = "<title>部门经理 &lt;审批&gt; &amp; &quot;复核&quot; 以及后续处理 — 未开始</title>";
    assert!(node_group(&picture, 3).contains(title));
}

#[test]
fn the_picture_has_an_accessible_title_and_no_styles() {
    let picture = drawn(&approval(), &ticket(&[(2, NodeStatus::Running)]));
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>"));
    for part in [
        r#" class="flow""#,
        r#" role="img""#,
        r#" aria-labelledby="flow-title""#,
        r#"<title id="flow-title">流程图</title>"#,
        "<desc>处理中 1: 提单; 未开始 3</desc>",
    ] {
        assert!(picture.contains(part), "{part}");
    }
    assert!(!picture.contains("style"));
}

#[test]
fn the_view_box_has_the_size_of_the_picture() {
    let picture = drawn(&approval(), &ticket(&[]));
    let value = |name: &str| {
        let (_, after) = picture
            .split_once(&format!(" {name}=\""))
            .expect("the attribute");
        after.split('"').next().unwrap_or_default().to_owned()
    };
    let (width, height) = (value("width"), value("height"));
    assert_eq!(value("viewBox"), format!("0 0 {width} {height}"));
    assert!(width.parse::<i64>().is_ok_and(|width| width > 4 * 44));
}

#[test]
fn a_workflow_without_nodes_has_only_a_title() {
    let picture = drawn(&Definition::default(), &Ticket::default());
    let (_, content) = picture.split_once('>').expect("the first tag ends");
    assert_eq!(content, r#"<title id="flow-title">流程图</title></svg>"#);
}

#[test]
fn equal_inputs_have_equal_pictures() {
    let ticket = ticket(&[(2, NodeStatus::Finished), (3, NodeStatus::Running)]);
    assert_eq!(drawn(&approval(), &ticket), drawn(&approval(), &ticket));
}

#[test]
fn five_hundred_nodes_have_a_picture() {
    let names: Vec<String> = (1..=500).map(|id| format!("节点 {id}")).collect();
    let nodes: Vec<(i64, &str, &str)> = (1..)
        .zip(&names)
        .map(|(id, name)| {
            let kind = match id {
                1 => "START",
                500 => "END",
                _ => "NORMAL",
            };
            (id, kind, name.as_str())
        })
        .collect();
    let forward = (1..500).map(|id| (id, id + 1));
    let skips = (1..490).step_by(7).map(|id| (id, id + 10));
    let returns = (20..500).step_by(11).map(|id| (id, id - 15));
    let transitions: Vec<(i64, i64)> = forward.chain(skips).chain(returns).collect();
    let definition = definition(&nodes, &transitions);
    check_complete(&definition, &drawn(&definition, &Ticket::default()));
}
