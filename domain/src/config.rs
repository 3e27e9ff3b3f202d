//! What the desk is set up with: workflows, services, catalog, roles, applications. Each is defined as a whole; defining it the
//! same again changes nothing.

use std::collections::BTreeMap;

use events::app::{AppEvent, Registered};
use events::catalog::{Added, CatalogEvent, ServicePlaced};
use events::role::{self, RoleEvent};
use events::service::{self, ServiceEvent};
use events::workflow::{Definition, Deployed, NodeKind, WorkflowEvent};
use events::{CatalogId, NodeId, ServiceId};
use serde::{Deserialize, Serialize};

use crate::condition;
use crate::decider::{Decider, Nothing, Refusal};

/// Nodes a workflow may have; the largest real definition has 12.
pub const NODES_MAX: usize = 500;
/// Lines a workflow may have.
pub const LINES_MAX: usize = 2000;
/// Fields a workflow may have; the largest real definition has 24.
pub const FIELDS_MAX: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("workflow: {0}")]
    Workflow(String),
    #[error("catalog {0} does not exist")]
    CatalogUnknown(CatalogId),
    #[error("catalog {0} exists already")]
    CatalogExists(CatalogId),
}

/// The versions of one workflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    pub versions: BTreeMap<i64, Deployed>,
}

impl Decider for Workflow {
    type Command = Deployed;
    type Event = WorkflowEvent;
    type Rejection = Rejection;
    type Facts = ();
    type Lookup = Nothing;

    fn decide(&self, wanted: &Deployed, (): &()) -> Result<Vec<WorkflowEvent>, Refusal<Self>> {
        if self.versions.get(&wanted.version).is_some_and(|deployed| deployed == wanted) {
            return Ok(Vec::new());
        }
        if self.versions.contains_key(&wanted.version) {
            return Err(Refusal::Rejected(Rejection::Workflow(format!("version {} is deployed and cannot change", wanted.version))));
        }
        check(&wanted.definition).map_err(|reason| Refusal::Rejected(Rejection::Workflow(reason)))?;
        Ok(vec![wanted.clone().into()])
    }

    fn evolve(&mut self, event: &WorkflowEvent) {
        let WorkflowEvent::Deployed(deployed) = event;
        self.versions.insert(deployed.version, deployed.clone());
    }
}

/// Says what is wrong with a definition, naming the node, line or field.
pub fn check(definition: &Definition) -> Result<(), String> {
    let bounds = [("nodes", definition.nodes.len(), NODES_MAX), ("lines", definition.lines.len(), LINES_MAX), ("fields", definition.fields.len(), FIELDS_MAX)];
    if let Some((what, is, max)) = bounds.into_iter().find(|(_, is, max)| is > max) {
        return Err(format!("{is} {what}, at most {max} are allowed"));
    }
    for kind in [NodeKind::Start, NodeKind::End] {
        if definition.nodes.iter().filter(|node| node.kind == kind).count() != 1 {
            return Err(format!("there must be exactly one {kind:?} node"));
        }
    }
    for line in &definition.lines {
        for end in [line.from, line.to] {
            definition.node(end).ok_or_else(|| format!("line {} leads to node {end}, which does not exist", line.id))?;
        }
        if definition.node(line.to).is_some_and(|node| node.kind == NodeKind::Start) {
            return Err(format!("line {} leads back to START", line.id));
        }
        let clauses = line.condition.as_ref().map_or(0, condition::clauses);
        if clauses > condition::CLAUSES_MAX {
            return Err(format!("line {} has {clauses} clauses, at most {} are allowed", line.id, condition::CLAUSES_MAX));
        }
    }
    for node in &definition.nodes {
        if let Some(key) = node.fields.iter().find(|key| definition.field(key).is_none()) {
            return Err(format!("node {} ({}) asks for field {key}, which does not exist", node.id, node.name));
        }
        if node.kind != NodeKind::End && !definition.lines.iter().any(|line| line.from == node.id) {
            return Err(format!("no line leads on from node {} ({})", node.id, node.name));
        }
        if node.kind == NodeKind::Approval && !definition.fields_of(node).any(|field| field.is_approve_result) {
            return Err(format!("approval node {} ({}) has no field for its result", node.id, node.name));
        }
        if !reachable(definition, node.id) {
            return Err(format!("node {} ({}) cannot be reached", node.id, node.name));
        }
    }
    let begins = |line: &&events::workflow::Line| definition.node(line.from).is_some_and(|node| node.kind == NodeKind::Start);
    let beginnings: Vec<_> = definition.lines.iter().filter(begins).collect();
    if beginnings.len() != 1 || beginnings[0].condition.is_some() {
        return Err("exactly one line without a condition must lead from START".into());
    }
    match definition.submit_node() {
        Some(node) if node.kind == NodeKind::Manual => Ok(()),
        _ => Err("START must lead to a NORMAL node, where the ticket is submitted".into()),
    }
}

fn reachable(definition: &Definition, wanted: NodeId) -> bool {
    let mut seen: Vec<NodeId> = definition.nodes.iter().filter(|node| node.kind == NodeKind::Start).map(|node| node.id).collect();
    let mut next = 0;
    while let Some(node) = seen.get(next).copied() {
        next += 1;
        for line in definition.lines.iter().filter(|line| line.from == node) {
            if !seen.contains(&line.to) {
                seen.push(line.to);
            }
        }
    }
    seen.contains(&wanted)
}

/// One service as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Service(pub Option<service::Defined>);

/// One role as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Role(pub Option<role::Defined>);

/// One application as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct App(pub Option<Registered>);

/// An aggregate that only knows its last definition.
macro_rules! defined_as_a_whole {
    ($($state:ident $event:ident :: $variant:ident ($data:ty);)*) => {$(
        impl Decider for $state {
            type Command = $data;
            type Event = $event;
            type Rejection = Rejection;
            type Facts = ();
            type Lookup = Nothing;

            fn decide(&self, wanted: &$data, (): &()) -> Result<Vec<$event>, Refusal<Self>> {
                Ok(if self.0.as_ref() == Some(wanted) { Vec::new() } else { vec![wanted.clone().into()] })
            }
            fn evolve(&mut self, event: &$event) {
                let $event::$variant(data) = event;
                self.0 = Some(data.clone());
            }
        }
    )*};
}

defined_as_a_whole! {
    Service ServiceEvent::Defined(service::Defined);
    Role RoleEvent::Defined(role::Defined);
    App AppEvent::Registered(Registered);
}

/// The catalog tree and the place of every service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// By id, which is also the order of adding.
    pub shelves: BTreeMap<CatalogId, Added>,
    pub places: BTreeMap<ServiceId, CatalogId>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CatalogCommand {
    Add(Added),
    Place(ServicePlaced),
}

impl Decider for Catalog {
    type Command = CatalogCommand;
    type Event = CatalogEvent;
    type Rejection = Rejection;
    type Facts = ();
    type Lookup = Nothing;

    fn decide(&self, command: &CatalogCommand, (): &()) -> Result<Vec<CatalogEvent>, Refusal<Self>> {
        let reject = |rejection| Err(Refusal::Rejected(rejection));
        match command {
            CatalogCommand::Add(added) => match (self.shelves.get(&added.id), added.parent) {
                (Some(shelf), _) if shelf == added => Ok(Vec::new()),
                (Some(_), _) => reject(Rejection::CatalogExists(added.id)),
                (None, Some(parent)) if !self.shelves.contains_key(&parent) => reject(Rejection::CatalogUnknown(parent)),
                (None, _) => Ok(vec![added.clone().into()]),
            },
            CatalogCommand::Place(placed) => match placed.catalog {
                Some(catalog) if !self.shelves.contains_key(&catalog) => reject(Rejection::CatalogUnknown(catalog)),
                catalog if self.places.get(&placed.service).copied() == catalog => Ok(Vec::new()),
                _ => Ok(vec![placed.clone().into()]),
            },
        }
    }

    fn evolve(&mut self, event: &CatalogEvent) {
        match event {
            CatalogEvent::Added(added) => {
                self.shelves.insert(added.id, added.clone());
            }
            CatalogEvent::ServicePlaced(placed) => match placed.catalog {
                Some(catalog) => {
                    self.places.insert(placed.service, catalog);
                }
                None => {
                    self.places.remove(&placed.service);
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use events::LineId;
    use events::workflow::{Condition, Line};

    use super::*;

    /// The golden sample's workflow: START 1, submit 2, approval 3, END 4.
    fn sound() -> Definition {
        let WorkflowEvent::Deployed(deployed) = events::samples::history::<WorkflowEvent>().remove(0);
        deployed.definition
    }

    fn line(from: i64, to: i64) -> Line {
        Line { id: LineId(9), from: NodeId(from), to: NodeId(to), name: String::new(), condition: None }
    }

    #[test]
    fn what_is_wrong_with_a_workflow_is_named() {
        assert_eq!(check(&sound()), Ok(()));
        let broken = |change: fn(&mut Definition)| {
            let mut definition = sound();
            change(&mut definition);
            check(&definition).unwrap_err()
        };
        for (change, reason) in [
            ((|d| d.nodes.retain(|node| node.kind != NodeKind::End)) as fn(&mut Definition), "there must be exactly one End node"),
            (|d| d.lines.push(line(3, 77)), "line 9 leads to node 77, which does not exist"),
            (|d| d.lines.push(line(3, 1)), "line 9 leads back to START"),
            (|d| d.lines.push(line(1, 3)), "exactly one line without a condition must lead from START"),
            (|d| d.lines[0].condition = Some(Condition::default()), "exactly one line without a condition must lead from START"),
            (|d| d.lines.retain(|line| line.from != NodeId(2)), "no line leads on from node 2 (提单)"),
            (|d| d.nodes[1].fields.push("NONE".into()), "node 2 (提单) asks for field NONE, which does not exist"),
            (|d| d.fields[1].is_approve_result = false, "approval node 3 (审批) has no field for its result"),
            (|d| d.lines[1].to = NodeId(4), "node 3 (审批) cannot be reached"),
            (|d| d.lines[0].to = NodeId(3), "START must lead to a NORMAL node, where the ticket is submitted"),
        ] {
            assert_eq!(broken(change), reason);
        }
        let many = Definition { fields: vec![sound().fields[0].clone(); FIELDS_MAX + 1], ..sound() };
        assert_eq!(check(&many).unwrap_err(), "1001 fields, at most 1000 are allowed");
    }

    #[test]
    fn a_deployed_version_never_changes() {
        let WorkflowEvent::Deployed(deployed) = events::samples::history::<WorkflowEvent>().remove(0);
        let mut workflow = Workflow::default();
        workflow.evolve(&deployed.clone().into());
        assert_eq!(workflow.decide(&deployed, &()), Ok(Vec::new()));
        let mut other = deployed;
        other.definition.name = "other".into();
        assert_eq!(workflow.decide(&other, &()).unwrap_err().to_string(), "workflow: version 7 is deployed and cannot change");
    }
}
