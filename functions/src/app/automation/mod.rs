//! Contains the use cases for automation: choose a rule for a node, execute its script, and complete the node or
//! hand its work to people.

pub mod definitions;
pub mod evaluate_rules;
pub mod executions;
pub mod wording;
