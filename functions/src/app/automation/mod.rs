//! Contains the use cases for automation: choose a rule for a workflow node, execute the script of the rule,
//! and complete the node. If this is not possible, people do the work of the node.

pub mod definitions;
pub mod evaluate_rules;
pub mod executions;
pub mod wording;
