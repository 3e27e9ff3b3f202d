//! Finds the parallel regions of a workflow. The result contains the branches to which each node belongs, and
//! the join node of each parallel gateway.
//!
//! A parallel region starts at a parallel gateway (the node at which branches begin) and ends at the join
//! node of this gateway. A region can contain other regions (reference/bk-itsm.md 7). No transition leads
//! from one branch into another branch. The branches meet only at the join node. A branch of a ticket
//! therefore has at most one current node (a node that is not finished), and this node identifies the branch.

use std::collections::{BTreeMap, BTreeSet};

use events::workflow::{Definition, NodeKind};
use events::{NodeId, TransitionId};

/// One parallel branch. A branch is identified by the parallel gateway at which it begins, and by its first
/// transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Branch {
    pub fork: NodeId,
    pub transition: TransitionId,
}

/// The parallel branches of one workflow, and the join nodes at which the branches end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Areas {
    /// The branches that contain each node. Each key of the map is the id of a node. If a branch contains
    /// another branch, the list contains the outer branch first.
    pub paths: BTreeMap<NodeId, Vec<Branch>>,
    /// The join node (the node at which the branches end) of each parallel gateway. Each key of the map is
    /// the id of a gateway, and each value is the id of its join node.
    pub joins: BTreeMap<NodeId, NodeId>,
}

impl Areas {
    /// Returns the innermost branch that contains the node. A branch can contain other branches. Returns
    /// `None` if no branch contains the node.
    pub fn branch_of(&self, node: NodeId) -> Option<Branch> {
        self.paths.get(&node).and_then(|path| path.last()).copied()
    }
}

/// Finds the parallel branches and the join node (the node at which the branches end) of each parallel
/// gateway. Returns an error if a gateway has no matching join node. The error contains the problems as
/// English sentences.
pub fn parallel_regions(definition: &Definition) -> Result<Areas, Vec<String>> {
    let mut walk = Walk {
        definition,
        parallel_regions: Areas::default(),
        problems: Vec::new(),
    };
    if let Some(start) = definition
        .nodes
        .iter()
        .find(|node| node.kind == NodeKind::Start)
    {
        for unpaired_join in walk.from(start.id, &[]) {
            let name = walk.name(unpaired_join);
            walk.problems.push(format!(
                "join {name} is reached without its parallel gateway"
            ));
        }
    }
    if walk.problems.is_empty() {
        Ok(walk.parallel_regions)
    } else {
        Err(walk.problems)
    }
}

struct Walk<'a> {
    definition: &'a Definition,
    parallel_regions: Areas,
    problems: Vec<String>,
}

impl Walk<'_> {
    /// Visits all nodes of one branch, including the parallel regions inside the branch. The parameter
    /// `start` is the first node, and `path` contains the branches to which this node belongs. Returns the
    /// join nodes (nodes at which branches end) that the branch reaches.
    fn from(&mut self, start: NodeId, path: &[Branch]) -> BTreeSet<NodeId> {
        let mut ends = BTreeSet::new();
        let mut open = vec![start];
        while let Some(id) = open.pop() {
            let Some(node) = self.definition.node(id) else {
                continue;
            };
            if node.kind == NodeKind::Coverage {
                ends.insert(id);
                continue;
            }
            match self.parallel_regions.paths.get(&id) {
                Some(known) if known == path => continue,
                Some(_) => {
                    let name = self.name(id);
                    self.problems.push(format!("node {name} is reached from two branches; branches may meet only at their join"));
                    continue;
                }
                None => drop(self.parallel_regions.paths.insert(id, path.to_vec())),
            }
            match node.kind {
                NodeKind::Parallel => open.extend(self.fork(id, path)),
                NodeKind::End if !path.is_empty() => {
                    let fork = self.name(path[path.len() - 1].fork);
                    self.problems.push(format!(
                        "END is reached inside parallel gateway {fork}, before its join"
                    ));
                }
                _ => open.extend(
                    self.definition
                        .transitions_from(id)
                        .into_iter()
                        .map(|transition| transition.to),
                ),
            }
        }
        ends
    }

    /// Visits all branches that start at the parallel gateway `id`. Returns the nodes that follow the join
    /// node (the node at which these branches end).
    fn fork(&mut self, id: NodeId, path: &[Branch]) -> Vec<NodeId> {
        let mut joins = BTreeSet::new();
        for transition in self.definition.transitions_from(id) {
            let inside: Vec<Branch> = path
                .iter()
                .copied()
                .chain([Branch {
                    fork: id,
                    transition: transition.id,
                }])
                .collect();
            let ends = self.from(transition.to, &inside);
            if ends.is_empty() {
                let (transition, name) = (transition.id, self.name(id));
                self.problems.push(format!("the branch of parallel gateway {name} that starts with transition {transition} reaches no join"));
            }
            joins.extend(ends);
        }
        let name = self.name(id);
        match joins.iter().copied().collect::<Vec<_>>()[..] {
            [] => Vec::new(),
            [join] => {
                let taken = self
                    .parallel_regions
                    .joins
                    .iter()
                    .find(|(_, of)| **of == join)
                    .map(|(fork, _)| *fork);
                if let Some(other) = taken {
                    let (join, other) = (self.name(join), self.name(other));
                    self.problems.push(format!(
                        "parallel gateways {other} and {name} share join {join}; each needs its own"
                    ));
                    return Vec::new();
                }
                self.parallel_regions.joins.insert(id, join);
                self.parallel_regions.paths.insert(join, path.to_vec());
                self.definition
                    .transitions_from(join)
                    .into_iter()
                    .map(|transition| transition.to)
                    .collect()
            }
            _ => {
                let joins: Vec<String> = joins.into_iter().map(|join| self.name(join)).collect();
                self.problems.push(format!(
                    "the branches of parallel gateway {name} end in different joins: {}",
                    joins.join(", ")
                ));
                Vec::new()
            }
        }
    }

    fn name(&self, id: NodeId) -> String {
        super::named(self.definition, id)
    }
}
