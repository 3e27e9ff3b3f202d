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

/// An automation rule was defined. This definition replaces an earlier definition of the same rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    #[serde(default = "yes")]
    pub is_enabled: bool,
    /// A number that determines when the desk checks this rule. The desk checks rules with lower numbers first,
    /// and rules with the same number in the order of their names. The desk uses the first rule that matches.
    #[serde(default)]
    pub order: i64,
    /// The name of the workflow node for which the rule chooses a script.
    pub node: String,
    /// The condition on the values of the ticket. A condition without clauses (comparisons) is always true.
    pub condition: Group,
    /// The name of the script that does the work of the node.
    pub script: String,
    /// The values of the script's parameters. The values may contain placeholders for values of the ticket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Pair>,
    /// The values that the desk enters in the form of the node after the script succeeds. The values may
    /// contain placeholders for values of the ticket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub form: Vec<Pair>,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
