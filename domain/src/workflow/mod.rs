//! Implements the aggregate of one workflow. A [`Workflow`] consists of a draft and of deployed versions,
//! which never change. [`check`] checks a workflow before its deployment.
//!
//! [`parallel_regions`] finds the parallel branches of a workflow. [`import`] and [`export`] read and write
//! the file format of BlueKing ITSM. The engine that moves a ticket through a workflow is in `crate::ticket`.

pub mod check;
mod coverage;
pub mod export;
pub mod import;
pub mod notice;
pub mod parallel_regions;

/// Returns the key of an output variable of the given node. The variable contains the decision on an
/// application: `granted` or `refused`. An application is a request for approval in an external ITSM.
pub fn result_key(node: NodeId) -> String {
    format!("application_result_{node}")
}

/// Returns the key of an output variable of the given node. The variable contains the number of the ticket
/// that was created in the external ITSM.
pub fn external_key(node: NodeId) -> String {
    format!("application_sn_{node}")
}

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use events::workflow::service_task::ServiceTask;
use events::workflow::{
    AvailabilityChanged, Definition, Deployed, DraftSaved, Node, VersionRemoved, WorkflowEvent,
};
use events::{AttachmentId, NodeId, ServiceId, WorkflowId};
use serde::{Deserialize, Serialize};

use crate::api_call::judge::task_result;
use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// The commands that change one workflow.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Replaces the draft (the editable definition) of the workflow. A draft can be incomplete.
    Draft {
        workflow: WorkflowId,
        definition: Box<Definition>,
    },
    /// Deploys the draft as the next version of the workflow. Services can then use this version.
    Deploy {
        workflow: WorkflowId,
        /// True if nodes with open cases are accepted, as in BlueKing ITSM. In an open case, no transition of
        /// the node has a true condition, and the ticket waits for a manager. The value is false for
        /// workflows that people created in this desk, so that open cases are rejected.
        allows_open_cases: bool,
    },
    /// Deploys a complete version from a seed file (a TOML file with initial data). If an equal version
    /// already exists, the command adds no event.
    DeployVersion(Box<Deployed>),
    /// Replaces the draft of the workflow with the definition of a version.
    Restore { workflow: WorkflowId, version: i64 },
    /// Removes a version from the list of versions. The command is rejected if a service uses this version.
    Remove {
        workflow: WorkflowId,
        version: i64,
        used_by: Vec<ServiceId>,
    },
    /// Closes the workflow for new services (`closed` is true) or opens the workflow again. Services that
    /// already use the workflow do not change.
    Close { workflow: WorkflowId, closed: bool },
}

/// The reasons why a command for a workflow is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the workflow cannot be deployed: {}", .0.join("; "))]
    Unsound(Vec<String>),
    #[error("version {0} is deployed and cannot change")]
    Immutable(i64),
    #[error("the workflow has no draft")]
    NoDraft,
    #[error("version {0} does not exist")]
    VersionUnknown(i64),
    #[error("version {version} is used by services {services:?} and cannot be removed")]
    InUse {
        version: i64,
        services: Vec<ServiceId>,
    },
    #[error("the workflow is closed: no further service may use it")]
    IsClosed,
    #[error("the draft has {0} nodes, transitions or fields; at most {max} are allowed", max = check::LINES_MAX)]
    TooLarge(usize),
}

/// The state of one workflow: the draft and all deployed versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<Box<Definition>>,
    /// The versions are shared, because a command on a workflow with many versions copies the state.
    pub versions: BTreeMap<i64, Arc<Deployed>>,
    /// The numbers of the versions that were removed from the list of versions. Open tickets can still use
    /// these versions.
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
    const ROLE: StreamRole = StreamRole::Configuration;

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<WorkflowEvent>, DecideError<Self>> {
        self.events_for(command).map_err(DecideError::Rejected)
    }

    fn evolve(&mut self, event: &WorkflowEvent) {
        match event {
            WorkflowEvent::DraftSaved(drafted) => {
                self.draft = Some(Box::new(drafted.definition.clone()));
            }
            WorkflowEvent::Deployed(deployed) => {
                let shared = Arc::new(deployed.clone());
                drop(self.versions.insert(deployed.version, shared));
            }
            WorkflowEvent::VersionRemoved(removed) => drop(self.removed.insert(removed.version)),
            WorkflowEvent::AvailabilityChanged(closed) => self.closed = closed.closed,
        }
    }
}

impl Workflow {
    /// Returns the ids of all files that the forms of the workflow offer for download. The draft and all
    /// versions of the workflow are included.
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

    fn events_for(&self, command: &Command) -> Result<Vec<WorkflowEvent>, Rejection> {
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
                check_sound(draft, *allows_open_cases)?;
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
            Command::DeployVersion(deployment) => match self.versions.get(&deployment.version) {
                Some(deployed) if **deployed == **deployment => Vec::new(),
                Some(_) => return Err(Rejection::Immutable(deployment.version)),
                None => {
                    check_sound(&deployment.definition, false)?;
                    vec![(**deployment).clone().into()]
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

    /// Returns true if a service may use a version. A service may use each version that was deployed and not
    /// removed.
    pub fn is_listed(&self, version: i64) -> bool {
        self.versions.contains_key(&version) && !self.removed.contains(&version)
    }

    /// Returns the newest deployed version that was not removed. Returns `None` if there is no such version.
    pub fn newest(&self) -> Option<&Deployed> {
        self.versions
            .values()
            .rev()
            .find(|deployed| !self.removed.contains(&deployed.version))
            .map(Arc::as_ref)
    }
}

fn check_sound(definition: &Definition, allows_open_cases: bool) -> Result<(), Rejection> {
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

/// Returns the id and the name of a node as one text for messages, such as `3 (审批)`.
pub(crate) fn named(definition: &Definition, id: NodeId) -> String {
    match definition.node(id) {
        Some(node) if !node.name.is_empty() => format!("{id} ({})", node.name),
        Some(node) => format!("{id} ({})", node.kind.key()),
        None => id.to_string(),
    }
}

/// Returns true if the key is an attribute that every ticket has without a field, such as `ticket_sn`
/// (reference/bk-itsm.md 8.1).
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

/// Returns true if the key is a ticket attribute that conditions may use. The value of such an attribute is
/// stored in the ticket itself. A condition on the attribute therefore needs no other data.
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

/// Returns the keys of the output variables that an automatic node sets.
pub fn output_keys(node: &Node) -> Vec<String> {
    match node.service_task.as_deref() {
        Some(ServiceTask::Request(request)) => request
            .outputs
            .iter()
            .map(|output| output.key.clone())
            .collect(),
        Some(ServiceTask::Task(_)) => vec![task_result(node.id)],
        Some(ServiceTask::Application(_)) => {
            vec![result_key(node.id), external_key(node.id)]
        }
        Some(ServiceTask::Mission(_)) => vec![mission_result_key(node.id), robot_key(node.id)],
        None => Vec::new(),
    }
}

/// Returns the key of an output variable of the given node. The variable contains the result of a mission
/// (the work of a robot).
pub fn mission_result_key(node: NodeId) -> String {
    format!("mission_result_{node}")
}

/// Returns the key of an output variable of the given node. The variable contains the name of the robot that
/// worked on a mission.
pub fn robot_key(node: NodeId) -> String {
    format!("mission_robot_{node}")
}
