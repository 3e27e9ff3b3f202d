//! Defines the events of one automation rule. The events are stored in the stream `rule-<name>`. A rule decides
//! which script does the work of a node that waits for a person.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::workflow::Group;
use crate::workflow::service_task::Pair;

event_enum! {
    /// The events of one automation rule.
    RuleEvent of "rule" {
        Defined "rule.defined" 1,
    }
}

/// A rule was defined. This definition replaces an earlier definition of the same rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    #[serde(default = "yes")]
    pub is_enabled: bool,
    /// The rules are checked from the lowest order to the highest order. Rules with the same order are checked
    /// in the order of their names. The first rule that matches is used.
    #[serde(default)]
    pub order: i64,
    /// The name of the node at which the rule acts.
    pub node: String,
    /// The condition on the values of the ticket. A condition without clauses is always true.
    pub condition: Group,
    /// The name of the script.
    pub script: String,
    /// The values of the parameters of the script. The values may contain placeholders for values of the ticket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Pair>,
    /// The values for the form of the node, which the desk submits after a success. The values may contain
    /// placeholders for values of the ticket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub form: Vec<Pair>,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
