//! Draws a workflow with the state of one ticket as an inline SVG picture for a page of the console.
//!
//! The picture has no style of its own, because the pages forbid inline styles. The style sheet of the
//! console selects the elements by their classes.

mod layout;
mod picture;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use domain::ticket::{Status, Ticket};
use events::ticket::NodeStatus;
use events::workflow::{Definition, NodeKind};
use events::{NodeId, TransitionId};

use text::{clean, cut};

/// The name that BlueKing ITSM gives to a transition without a condition. The picture omits this name.
const DEFAULT_NAME: &str = "默认";
/// Maximum length of the text in a badge, in half-width characters. The badge of a node shows its round (1 for
/// the first execution of the node, 2 for the second).
const BADGE_UNITS: i64 = 16;

/// The texts of the picture in the language of the page.
pub(super) struct Labels<'a> {
    /// The title of the whole picture.
    pub(super) title: &'a str,
    /// The label of a node that the ticket has completed or passed.
    pub(super) done: &'a str,
    /// The label of a node at which the ticket is.
    pub(super) current: &'a str,
    /// The label of a node that failed or was terminated.
    pub(super) failed: &'a str,
    /// The label of a node that the ticket has not reached.
    pub(super) future: &'a str,
    /// Returns the text of the badge that shows the round of a node (1 for the first execution of the node, 2
    /// for the second).
    pub(super) round: fn(u32) -> String,
    /// The text that the picture shows for a START node without a name.
    pub(super) start: &'a str,
    /// The text that the picture shows for an END node without a name.
    pub(super) end: &'a str,
}

/// The state of a node in one ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Done,
    Current,
    Failed,
    /// A person terminated the node.
    Stopped,
    Future,
}

impl State {
    /// Returns the CSS class that represents the state in the SVG picture.
    fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Current => "current",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Future => "future",
        }
    }
    /// Returns the sign in the corner of a node that shows the state. People who do not recognize the colors
    /// need this sign.
    fn mark(self) -> &'static str {
        match self {
            Self::Done => "✓",
            Self::Current => "●",
            Self::Failed | Self::Stopped => "!",
            Self::Future => "",
        }
    }
    fn label<'a>(self, labels: &Labels<'a>) -> &'a str {
        match self {
            Self::Done => labels.done,
            Self::Current => labels.current,
            Self::Failed | Self::Stopped => labels.failed,
            Self::Future => labels.future,
        }
    }
}

/// One node of the picture.
struct Node<'a> {
    id: NodeId,
    /// The kind of the node. The kind is `None` if a transition refers to this node, but the workflow
    /// definition does not contain the node.
    kind: Option<NodeKind>,
    /// The whole name of the node without forbidden characters, such as control characters. The name is never
    /// empty.
    name: String,
    state: State,
    state_label: &'a str,
    /// The text of the badge that shows the round (the repetition) of the node. The text is empty in the first
    /// round.
    badge: String,
}

/// One transition of the picture.
struct Edge {
    id: TransitionId,
    /// The index of the source node in the list of nodes.
    from: usize,
    /// The index of the target node in the list of nodes.
    to: usize,
    /// The whole name of the transition without forbidden characters, such as control characters. The name is
    /// empty for a default transition.
    name: String,
    is_taken: bool,
}

/// Returns the SVG element that shows the workflow and the state of the ticket. Each node and each transition
/// of the definition appears exactly once. `taken` contains the transitions that the ticket has followed.
pub(super) fn picture(
    definition: &Definition,
    ticket: &Ticket,
    taken: &BTreeSet<TransitionId>,
    labels: &Labels<'_>,
) -> String {
    let mut nodes: Vec<Node<'_>> = definition
        .nodes
        .iter()
        .map(|node| drawn_node(node, ticket, labels))
        .collect();
    let mut indexes: BTreeMap<NodeId, usize> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        indexes.entry(node.id).or_insert(index);
    }
    let mut edges = Vec::with_capacity(definition.transitions.len());
    for transition in &definition.transitions {
        // The check of workflows rejects transitions to missing nodes. If a definition contains such a
        // transition, the picture still shows it. A node without a kind then represents the missing node.
        let [from, to] = [transition.from, transition.to].map(|id| {
            *indexes.entry(id).or_insert_with(|| {
                nodes.push(missing_node(id));
                nodes.len() - 1
            })
        });
        let name = clean(&transition.name);
        edges.push(Edge {
            id: transition.id,
            from,
            to,
            name: if name == DEFAULT_NAME {
                String::new()
            } else {
                name
            },
            is_taken: taken.contains(&transition.id),
        });
    }
    picture::svg(labels.title, &nodes, &edges)
}

fn drawn_node<'a>(node: &events::workflow::Node, ticket: &Ticket, labels: &Labels<'a>) -> Node<'a> {
    let state = state(node, ticket);
    let mut name = clean(&node.name);
    if name.is_empty() {
        name = match node.kind {
            NodeKind::Start => clean(labels.start),
            NodeKind::End => clean(labels.end),
            _ => format!("#{}", node.id),
        };
    }
    let round = ticket.nodes.get(&node.id).map_or(1, |run| run.round);
    let badge = if round > 1 {
        cut(&clean(&(labels.round)(round)), BADGE_UNITS)
    } else {
        String::new()
    };
    Node {
        id: node.id,
        kind: Some(node.kind),
        name,
        state,
        state_label: state.label(labels),
        badge,
    }
}

fn missing_node(id: NodeId) -> Node<'static> {
    Node {
        id,
        kind: None,
        name: format!("#{id}"),
        state: State::Future,
        state_label: "",
        badge: String::new(),
    }
}

/// Returns the state of a workflow node in the ticket. The last run of the node has priority over the set
/// `passed` of the ticket. For example, a gateway that the ticket passed earlier can fail in a later round.
fn state(node: &events::workflow::Node, ticket: &Ticket) -> State {
    if node.kind == NodeKind::End && ticket.status == Status::Finished {
        return State::Done;
    }
    // A new ticket is already at its submit node (the node with the first form). No event records that the
    // ticket passed the start node.
    if node.kind == NodeKind::Start && ticket.opened.is_some() {
        return State::Done;
    }
    match ticket.nodes.get(&node.id).map(|run| run.status) {
        Some(NodeStatus::Finished) => State::Done,
        Some(NodeStatus::Distributing | NodeStatus::Receiving | NodeStatus::Running) => {
            State::Current
        }
        Some(NodeStatus::Failed) => State::Failed,
        Some(NodeStatus::Terminated) => State::Stopped,
        None if ticket.passed.contains(&node.id) => State::Done,
        None => State::Future,
    }
}
