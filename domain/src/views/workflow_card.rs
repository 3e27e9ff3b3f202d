//! Defines the card of one workflow. A card is a stored summary for lists. The card does not contain the
//! definitions of the workflow. They are only in the stream of the workflow.

use std::collections::{BTreeMap, BTreeSet};

use events::workflow::WorkflowEvent;
use events::{Moment, WorkflowId};
use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;

/// The stored summary of one workflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkflowCard {
    pub workflow: WorkflowId,
    pub name: String,
    pub flow_type: String,
    pub closed: bool,
    /// True if the draft was changed after the last version was deployed.
    pub is_draft_newer: bool,
    /// The time at which each version was deployed. Each key of the map is the number of a version.
    pub versions: BTreeMap<i64, Moment>,
    pub removed: BTreeSet<i64>,
    pub updated_at: Moment,
}

impl WorkflowCard {
    pub fn fold(&mut self, envelope: &Envelope<WorkflowEvent>) {
        self.updated_at = envelope.at;
        match &envelope.event {
            WorkflowEvent::DraftSaved(drafted) => {
                self.workflow = drafted.workflow;
                self.name.clone_from(&drafted.definition.name);
                self.flow_type.clone_from(&drafted.definition.flow_type);
                self.is_draft_newer = true;
            }
            WorkflowEvent::Deployed(deployed) => {
                self.workflow = deployed.workflow;
                self.name.clone_from(&deployed.definition.name);
                self.flow_type.clone_from(&deployed.definition.flow_type);
                self.is_draft_newer = false;
                self.versions.insert(deployed.version, envelope.at);
            }
            WorkflowEvent::VersionRemoved(removed) => drop(self.removed.insert(removed.version)),
            WorkflowEvent::AvailabilityChanged(closed) => self.closed = closed.closed,
        }
    }
}
