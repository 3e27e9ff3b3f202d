//! Workflows: what is drawn ([`Workflow`] with its draft and immutable versions), what must be right before it is deployed ([`check`]), how
//! parallel branches are kept apart ([`parallel_regions`]), and how definitions of BlueKing come in and go out ([`import`], [`export`]).
//! How a ticket runs along one stands in `crate::ticket`.

pub mod check;
mod coverage;
pub mod export;
pub mod import;
pub mod parallel_regions;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use events::workflow::{
    AvailabilityChanged, Definition, Deployed, DraftSaved, VersionRemoved, WorkflowEvent,
};
use events::{AttachmentId, NodeId, ServiceId, WorkflowId};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing};

#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// The draft is this from now on; it may be unfinished.
    Draft {
        workflow: WorkflowId,
        definition: Box<Definition>,
    },
    /// Makes the next version of the draft.
    Deploy {
        workflow: WorkflowId,
        /// Cases for which no transition holds are allowed, as in the original: a ticket waits there for a manager. What is drawn here covers every case.
        allows_open_cases: bool,
    },
    /// A version as a whole, as files of a company bring it. Bringing the same again changes nothing.
    DeployVersion(Box<Deployed>),
    /// The draft is again what a version was.
    Restore {
        workflow: WorkflowId,
        version: i64,
    },
    /// Takes a version off the list, unless services use it.
    Remove {
        workflow: WorkflowId,
        version: i64,
        used_by: Vec<ServiceId>,
    },
    Close {
        workflow: WorkflowId,
        closed: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the workflow cannot be deployed: {}", .0.join("; "))]
    Unsound(Vec<String>),
    #[error("version {0} is deployed and cannot change")]
    Immutable(i64),
    #[error("there is no draft")]
    NoDraft,
    #[error("there is no version {0}")]
    VersionUnknown(i64),
    #[error("version {version} is used by services {services:?} and cannot be removed")]
    InUse {
        version: i64,
        services: Vec<ServiceId>,
    },
    #[error("the workflow is closed: no service may begin to use it")]
    IsClosed,
    #[error("{0} nodes, transitions or fields are more than a draft may have")]
    TooLarge(usize),
}

/// One workflow: its draft, and every version that was ever deployed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<Box<Definition>>,
    pub versions: BTreeMap<i64, Deployed>,
    /// Versions that are off the list; tickets that run on them go on.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub removed: BTreeSet<i64>,
    #[serde(default)]
    pub closed: bool,
}

impl Decider for Workflow {
    type Command = Command;
    type Event = WorkflowEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<WorkflowEvent>, DecideError<Self>> {
        self.judge(command).map_err(DecideError::Rejected)
    }

    fn evolve(&mut self, event: &WorkflowEvent) {
        match event {
            WorkflowEvent::DraftSaved(drafted) => {
                self.draft = Some(Box::new(drafted.definition.clone()));
            }
            WorkflowEvent::Deployed(deployed) => {
                drop(self.versions.insert(deployed.version, deployed.clone()));
            }
            WorkflowEvent::VersionRemoved(removed) => drop(self.removed.insert(removed.version)),
            WorkflowEvent::AvailabilityChanged(closed) => self.closed = closed.closed,
        }
    }
}

impl Workflow {
    /// Every file that a form of it hands out, in the draft or in any version.
    pub fn attachments(&self) -> BTreeSet<AttachmentId> {
        let definitions = self
            .draft
            .as_deref()
            .into_iter()
            .chain(self.versions.values().map(|deployed| &deployed.definition));
        definitions
            .flat_map(Definition::templates)
            .map(|template| template.id.clone())
            .collect()
    }

    fn judge(&self, command: &Command) -> Result<Vec<WorkflowEvent>, Rejection> {
        Ok(match command {
            Command::Draft {
                workflow,
                definition,
            } => {
                let size = definition
                    .nodes
                    .len()
                    .max(definition.transitions.len())
                    .max(definition.fields.len());
                if size > check::LINES_MAX {
                    return Err(Rejection::TooLarge(size));
                }
                match &self.draft {
                    Some(draft) if draft == definition => Vec::new(),
                    _ => vec![
                        DraftSaved {
                            workflow: *workflow,
                            restored_from: None,
                            definition: (**definition).clone(),
                        }
                        .into(),
                    ],
                }
            }
            Command::Deploy {
                workflow,
                allows_open_cases,
            } => {
                let draft = self.draft.as_deref().ok_or(Rejection::NoDraft)?;
                sound(draft, *allows_open_cases)?;
                let version = self
                    .versions
                    .keys()
                    .next_back()
                    .copied()
                    .unwrap_or_default()
                    + 1;
                vec![
                    Deployed {
                        workflow: *workflow,
                        version,
                        definition: draft.clone(),
                    }
                    .into(),
                ]
            }
            Command::DeployVersion(wanted) => match self.versions.get(&wanted.version) {
                Some(deployed) if *deployed == **wanted => Vec::new(),
                Some(_) => return Err(Rejection::Immutable(wanted.version)),
                None => {
                    sound(&wanted.definition, false)?;
                    vec![(**wanted).clone().into()]
                }
            },
            Command::Restore { workflow, version } => {
                let deployed = self
                    .versions
                    .get(version)
                    .ok_or(Rejection::VersionUnknown(*version))?;
                vec![
                    DraftSaved {
                        workflow: *workflow,
                        restored_from: Some(*version),
                        definition: deployed.definition.clone(),
                    }
                    .into(),
                ]
            }
            Command::Remove {
                workflow,
                version,
                used_by,
            } => {
                if !self.is_listed(*version) {
                    return Err(Rejection::VersionUnknown(*version));
                }
                if !used_by.is_empty() {
                    return Err(Rejection::InUse {
                        version: *version,
                        services: used_by.clone(),
                    });
                }
                vec![
                    VersionRemoved {
                        workflow: *workflow,
                        version: *version,
                    }
                    .into(),
                ]
            }
            Command::Close { closed, .. } if *closed == self.closed => Vec::new(),
            Command::Close { workflow, closed } => vec![
                AvailabilityChanged {
                    workflow: *workflow,
                    closed: *closed,
                }
                .into(),
            ],
        })
    }

    /// Says whether services may point at a version.
    pub fn is_listed(&self, version: i64) -> bool {
        self.versions.contains_key(&version) && !self.removed.contains(&version)
    }

    /// The newest version that is on the list.
    pub fn newest(&self) -> Option<&Deployed> {
        self.versions
            .values()
            .rev()
            .find(|deployed| !self.removed.contains(&deployed.version))
    }
}

fn sound(definition: &Definition, allows_open_cases: bool) -> Result<(), Rejection> {
    let problems = if allows_open_cases {
        check::findings(definition).problems
    } else {
        check::problems(definition)
    };
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Rejection::Unsound(problems))
    }
}

/// A node as messages call it: `3 (审批)`.
pub(crate) fn named(definition: &Definition, id: NodeId) -> String {
    match definition.node(id) {
        Some(node) if !node.name.is_empty() => format!("{id} ({})", node.name),
        Some(node) => format!("{id} ({})", node.kind.key()),
        None => id.to_string(),
    }
}

/// Says whether a key is not a field's, but known of every ticket (`ticket_sn` and the like, reference/bk-itsm.md 8.1).
pub fn is_of_the_ticket(key: &str) -> bool {
    matches!(
        key,
        "ticket_sn"
            | "ticket_title"
            | "ticket_ticket_url"
            | "ticket_creator"
            | "ticket_create_at"
            | "ticket_service_type"
            | "ticket_current_status"
            | "ticket_current_status_display"
            | "ticket_bk_biz_id"
            | "ticket_current_processors"
            | "ticket_sops_task_summary"
            | "ticket_all_task_processors"
    )
}

/// Says whether a condition may ask for a key that is no field's and no node's: what a ticket says of itself without looking anything up.
pub fn is_comparable_of_the_ticket(key: &str) -> bool {
    matches!(
        key,
        "ticket_sn"
            | "ticket_title"
            | "ticket_creator"
            | "ticket_service_type"
            | "ticket_current_status"
            | "ticket_bk_biz_id"
            | "bk_biz_id"
            | "priority"
    )
}
