//! Imports workflow files of BlueKing ITSM (reference/bk-itsm.md 12). The import returns the workflow, and a
//! report of all differences between the file and the workflow.
//!
//! The import supports three file formats:
//! - an exported file with the members `states` and `transitions`
//! - a plain list of nodes and edges
//! - an old format in which each edge contains only a direction (forward or back)
//!
//! This file reads the general settings, the nodes and the transitions. [`fields`] reads fields and forms,
//! and [`service_task`] reads the work of automatic nodes. The imported workflow contains user names. The
//! caller replaces these names with person ids.

mod fields;
mod service_task;

use events::workflow::{
    Clause, Condition, Definition, Group, Handling, Holds, Node, NodeKind, Operator, Output,
    Processors, Revoke, Transition,
};
use events::{NodeId, PersonId, RoleId, TransitionId};
use serde_json::Value;

use super::check::COUNTERS;
use super::notice;
use crate::user_name;
use crate::value::plain;
pub use service_task::expression;

/// One entry of the import report. The entry describes one difference between the file and the imported
/// workflow.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The import changed a part of the file. The imported workflow contains the changed part.
    Changed { place: String, what: String },
    /// The import omitted a part of the file. The imported workflow does not contain this part.
    Dropped { place: String, what: String },
    /// The file does not contain a part that the deployment requires.
    /// [`check::problems`](super::check::problems) also reports this missing part.
    Missing { place: String, what: String },
}

/// An imported workflow, and the list of its differences from the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    pub definition: Definition,
    pub report: Vec<Note>,
}

/// Reads one workflow from a file. The file contains one object, or an array with one object. The function
/// `roles` converts the name of a role to the id of the role with this name in the desk. The error is an
/// English text that explains why the file cannot be imported.
pub fn read(file: &Value, roles: &dyn Fn(&str) -> Option<RoleId>) -> Result<Imported, String> {
    let flow = match file {
        Value::Array(flows) if flows.len() == 1 => &flows[0],
        Value::Array(flows) => {
            return Err(format!(
                "the file has {} workflows; one workflow is imported at a time",
                flows.len()
            ));
        }
        other => other,
    };
    if !flow.is_object() {
        return Err("a workflow is a JSON object".into());
    }
    let mut reader = Reader {
        flow,
        roles,
        report: Vec::new(),
        definition: Definition::default(),
    };
    reader.head();
    reader.nodes()?;
    reader.fields()?;
    reader.transitions()?;
    reader.assign_fields();
    reader.mark_approve_results();
    reader.read_directions();
    reader.missing();
    Ok(Imported {
        definition: reader.definition,
        report: reader.report,
    })
}

/// Members of objects in the imported file that come from the database of BlueKing ITSM. The members do not
/// change the behavior of a workflow, so the import ignores them.
const ROW: [&str; 13] = [
    "id",
    "workflow",
    "workflow_id",
    "is_deleted",
    "is_builtin",
    "is_draft",
    "creator",
    "create_at",
    "updated_by",
    "update_at",
    "end_at",
    "project_key",
    "api_instance_id",
];
/// The known members of a workflow in the imported file. The import reads some of these members. The other
/// known members affect only the web pages of BlueKing ITSM. The import report lists unknown members.
const FLOW: [&str; 32] = [
    "name",
    "desc",
    "flow_type",
    "is_enabled",
    "is_revocable",
    "revoke_config",
    "is_biz_needed",
    "is_auto_approve",
    "is_supervise_needed",
    "supervise_type",
    "supervisor",
    "notify_rule",
    "notify_freq",
    "owners",
    "engine_version",
    "version_number",
    "version_message",
    "table",
    "states",
    "nodes",
    "transitions",
    "edges",
    "fields",
    "triggers",
    "task_schemas",
    "notify",
    "roles",
    "extras",
    "source_path",
    "key",
    "is_iam_used",
    "source",
];
/// The known members of a node in the imported file. The import reads some of these members. The other known
/// members affect only the web pages of BlueKing ITSM. The import report lists unknown members.
const STATE: [&str; 28] = [
    "name",
    "type",
    "tag",
    "key",
    "desc",
    "processors",
    "processors_type",
    "assignors",
    "assignors_type",
    "delivers",
    "delivers_type",
    "can_deliver",
    "distribute_type",
    "distribute_rule",
    "is_terminable",
    "is_multi",
    "is_sequential",
    "is_allow_skip",
    "is_first_state",
    "finish_condition",
    "variables",
    "fields",
    "read_only_fields",
    "extras",
    "api_info",
    "axis",
    "label",
    "order",
];
/// The known members of a transition in the imported file. The import reads some of these members. The other
/// known members affect only the web pages of BlueKing ITSM. The import report lists unknown members.
const TRANSITION: [&str; 10] = [
    "from",
    "to",
    "from_state",
    "to_state",
    "name",
    "condition",
    "condition_type",
    "direction",
    "type",
    "axis",
];

/// The rules of the member `notify_rule`.
const NOTIFY_RULES: [&str; 3] = ["NONE", "ONCE", "RETRY"];
/// Maximum number of kinds of messages that the import reads.
const NOTIFY_KINDS_MAX: usize = 20;

struct Reader<'a> {
    flow: &'a Value,
    roles: &'a dyn Fn(&str) -> Option<RoleId>,
    report: Vec<Note>,
    definition: Definition,
}

/// Returns all values in one member of the file, which is a list or an object. The parameter `keys` contains
/// the possible names of this member. If several of these members exist, the first one is used.
fn listed<'a>(flow: &'a Value, keys: &[&str]) -> Vec<&'a Value> {
    let found = keys.iter().find_map(|key| {
        flow.get(*key)
            .filter(|value| value.is_array() || value.is_object())
    });
    match found {
        Some(Value::Array(items)) => items.iter().collect(),
        Some(Value::Object(members)) => members.values().collect(),
        _ => Vec::new(),
    }
}

/// Returns a member of a JSON object as text. A number is converted to text. For any other type of value, the
/// function returns an empty text.
fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn flag(value: &Value, key: &str) -> bool {
    match value.get(key) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Number(number)) => number.as_i64() == Some(1),
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

fn int(value: &Value, key: &str) -> Option<i64> {
    let member = value.get(key)?;
    member
        .as_i64()
        .or_else(|| member.as_str()?.trim().parse().ok())
}

/// Reads a list of texts. The value is an array, or one text in which commas separate the parts.
fn parts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items
            .iter()
            .map(plain)
            .filter(|part| !part.is_empty())
            .collect(),
        Some(Value::String(text)) => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
        Some(Value::Number(number)) => vec![number.to_string()],
        _ => Vec::new(),
    }
}

/// Returns true if a value has no content. Examples are null, false, zero, a blank text and the text `EMPTY`.
/// A list or an object has no content if all its values have no content.
fn has_no_content(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.trim().is_empty() || text == "EMPTY",
        Value::Array(items) => items.iter().all(has_no_content),
        Value::Object(members) => members.values().all(has_no_content),
    }
}

/// Reads a list of user names. The value is one text with separators, or an array of names.
fn people(value: Option<&Value>) -> Vec<PersonId> {
    match value {
        Some(Value::String(text)) => user_name::split(text).map(PersonId::from).collect(),
        other => parts(other).into_iter().map(PersonId).collect(),
    }
}

impl Reader<'_> {
    /// Adds the unknown members of an object to the import report. A member without content is not added. The
    /// report contains only the names of the members, because a value can be a secret.
    fn report_unread(&mut self, place: &str, of: &str, value: &Value, known: &[&str]) {
        let is_unread = |key: &str, member: &Value| {
            !known.contains(&key) && !ROW.contains(&key) && !has_no_content(member)
        };
        for (key, member) in value.as_object().into_iter().flatten() {
            if is_unread(key, member) {
                self.dropped(place, format!("{of}{key}: this member is not supported"));
            }
        }
    }

    fn changed(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.report.push(Note::Changed {
            place: place.into(),
            what: what.into(),
        });
    }

    fn dropped(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.report.push(Note::Dropped {
            place: place.into(),
            what: what.into(),
        });
    }

    fn head(&mut self) {
        let flow = self.flow;
        self.report_unread("the workflow", "", flow, &FLOW);
        self.report_unread(
            "the workflow",
            "extras.",
            flow.get("extras").unwrap_or(&Value::Null),
            &["biz_related", "need_urge", "urgers_type", "urgers"],
        );
        let revoke = match flow.get("revoke_config").and_then(|config| {
            Some((
                int(config, "type")?,
                config.get("state").and_then(|_| int(config, "state")),
            ))
        }) {
            _ if flow.get("is_revocable").is_some() && !flag(flow, "is_revocable") => Revoke::Never,
            Some((1, _)) => Revoke::Always,
            Some((3, Some(state))) => Revoke::BeforeNode(NodeId(state)),
            _ => Revoke::BeforeHandled,
        };
        let supervisors = if flag(flow, "is_supervise_needed") {
            self.processors(flow, "supervise_type", "supervisor", "the workflow")
        } else {
            Processors::Empty
        };
        self.definition = Definition {
            name: text(flow, "name"),
            desc: text(flow, "desc"),
            flow_type: text(flow, "flow_type"),
            revoke,
            is_biz_needed: flag(flow, "is_biz_needed"),
            is_auto_approve: flag(flow, "is_auto_approve"),
            is_supervise_needed: flag(flow, "is_supervise_needed"),
            supervisors: if supervisors.is_unconfigured() {
                Processors::Empty
            } else {
                supervisors
            },
            notify_rule: self.notify_rule(),
            notify_freq: int(flow, "notify_freq")
                .and_then(|seconds| u32::try_from(seconds).ok())
                .unwrap_or_default(),
            notify: self.notify_kinds(),
            ..Definition::default()
        };
        for (key, what) in [
            ("triggers", "triggers are not supported"),
            ("task_schemas", "sub-tasks are not supported"),
        ] {
            let count = flow.get(key).map_or(0, |value| {
                value.as_array().map_or_else(
                    || value.as_u64().unwrap_or_default(),
                    |items| items.len() as u64,
                )
            });
            if count > 0 {
                self.dropped(key, format!("{count}: {what}"));
            }
        }
    }

    /// Reads how often people are notified. An unknown rule is reported and means `ONCE`.
    fn notify_rule(&mut self) -> String {
        let rule = text(self.flow, "notify_rule");
        if rule.is_empty() || NOTIFY_RULES.contains(&rule.as_str()) {
            return rule;
        }
        self.dropped("notify_rule", format!("the unknown rule {rule}"));
        String::new()
    }

    /// Reads the kinds of messages. A kind is a word, an id, or an object with a word.
    fn notify_kinds(&mut self) -> Vec<String> {
        let flow = self.flow;
        let of_object = |kind: &Value| match kind {
            Value::Object(_) => text(kind, "type"),
            _ => plain(kind),
        };
        let kinds: Vec<String> = match flow.get("notify") {
            Some(Value::Array(kinds)) => kinds.iter().map(of_object).collect(),
            other => parts(other),
        };
        let kinds = kinds.into_iter().filter(|kind| !kind.is_empty());
        let kinds: Vec<String> = kinds.take(NOTIFY_KINDS_MAX).collect();
        for kind in &kinds {
            if notice::kind(kind).is_none() {
                self.changed(
                    "notify",
                    format!("{kind}: the desk stores this kind, but no channel belongs to it"),
                );
            }
        }
        kinds
    }

    fn processors(&mut self, of: &Value, kind_key: &str, who_key: &str, place: &str) -> Processors {
        let kind = text(of, kind_key);
        let who = parts(of.get(who_key));
        let first = who.first().cloned().unwrap_or_default();
        match kind.as_str() {
            "PERSON" => Processors::Person(people(of.get(who_key))),
            "GENERAL" => {
                let names = self.flow.get("roles");
                let has_names = !who.is_empty();
                let (mut known, mut unknown) = (Vec::new(), Vec::new());
                for id in who {
                    // A role id is valid only in the desk that wrote the file. The file therefore also
                    // contains the role names, either in a table `roles` or in place of the ids.
                    let name = names.and_then(|names| names.get(&id)).map_or(id, plain);
                    match (self.roles)(&name) {
                        Some(role) => known.push(role),
                        None => unknown.push(name),
                    }
                }
                if !unknown.is_empty() {
                    self.dropped(
                        place,
                        format!("roles {} do not exist in this desk", unknown.join(", ")),
                    );
                }
                // In a rule that selects people, an empty list of roles means all general roles. If this desk
                // has none of the roles in the file, an empty list would select wrong people. The imported
                // rule therefore selects no people.
                if known.is_empty() && has_names {
                    Processors::Person(Vec::new())
                } else {
                    Processors::General(known)
                }
            }
            "STARTER" => Processors::Starter,
            "STARTER_LEADER" => Processors::StarterLeader,
            "ASSIGN_LEADER" => Processors::NodeLeader(NodeId(first.parse().unwrap_or_default())),
            "VARIABLE" => Processors::Variable(who),
            "VARIABLE_LEADER" => Processors::VariableLeader(who),
            "ORGANIZATION" => Processors::Organization(first),
            "CMDB" => Processors::Business(who),
            "IAM" => Processors::Iam(first),
            "OPEN" => Processors::Open,
            "BY_ASSIGNOR" => Processors::ByAssignor,
            "API" => Processors::Api,
            "EMPTY" if !who.is_empty() => Processors::Person(people(of.get(who_key))),
            "EMPTY" | "" => Processors::Empty,
            other => {
                self.dropped(place, format!("processors of the unknown kind {other}"));
                Processors::Empty
            }
        }
    }

    fn nodes(&mut self) -> Result<(), String> {
        let all = listed(self.flow, &["states", "nodes"]);
        if all.is_empty() {
            return Err("the workflow has neither states nor nodes".into());
        }
        for state in all {
            let id = NodeId(int(state, "id").ok_or("a node has no id")?);
            let kind_word = text(state, "type");
            let kind: NodeKind =
                serde_json::from_value(kind_word.clone().into()).map_err(|_| {
                    format!(
                        "node {id} ({}) has the type {kind_word:?}, which is not supported",
                        text(state, "name")
                    )
                })?;
            let place = format!("node {id}");
            let name = match text(state, "name") {
                name if name.is_empty() => match kind {
                    NodeKind::Parallel => "并行网关".to_owned(),
                    NodeKind::Coverage => "汇聚网关".to_owned(),
                    _ => kind.key().to_owned(),
                },
                name => name,
            };
            let processors = self.processors(state, "processors_type", "processors", &place);
            let assignors = self.processors(state, "assignors_type", "assignors", &place);
            let delivers = self.processors(state, "delivers_type", "delivers", &place);
            let mut handling = match text(state, "distribute_type").as_str() {
                "CLAIM_THEN_PROCESS" => Handling::ClaimThenProcess,
                "DISTRIBUTE_THEN_PROCESS" => Handling::DistributeThenProcess,
                "DISTRIBUTE_THEN_CLAIM" => Handling::DistributeThenClaim,
                _ => Handling::Process,
            };
            if processors == Processors::ByAssignor
                && handling == Handling::Process
                && kind == NodeKind::Manual
            {
                handling = Handling::DistributeThenProcess;
                self.changed(
                    &place,
                    "an assignor selects the processors, so the node is assigned before it is handled",
                );
            }
            let extras = state.get("extras").cloned().unwrap_or_default();
            self.report_unread(&place, "", state, &STATE);
            self.report_unread(
                &place,
                "extras.",
                &extras,
                &[
                    "ticket_status",
                    "sops_info",
                    "webhook_info",
                    "application_info",
                    "mission_info",
                    "api_info",
                    "enable_terminate_ticket_when_rejected",
                ],
            );
            let custom = extras
                .get("ticket_status")
                .filter(|status| text(status, "type") == "custom");
            // Older files contain the key of the ticket status that the node sets. Newer files contain the
            // name of this status.
            let status = custom.map(|status| {
                Some(text(status, "name"))
                    .filter(|name| !name.is_empty())
                    .unwrap_or_else(|| text(status, "key"))
            });
            let service_task = self
                .service_task(state, &extras, kind, &place)
                .map(Box::new);
            let counters = state
                .pointer("/variables/outputs")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            let outputs: Vec<Output> = counters
                .iter()
                .filter_map(|variable| {
                    let code = variable.pointer("/meta/code").map(plain)?;
                    Some(Output {
                        key: text(variable, "key"),
                        holds: serde_json::from_value::<Holds>(code.into()).ok()?,
                    })
                })
                .collect();
            let is_multi = flag(state, "is_multi") || kind == NodeKind::Sign;
            // If the first vote decides the node (or-sign), a finish condition (a condition that ends a vote
            // early) has no effect. The file can still contain a finish condition from an earlier setting. In
            // that case, the import ignores the finish condition.
            let early_finish = state
                .get("finish_condition")
                .filter(|condition| kind.is_vote() && is_multi && has_clause(condition));
            let finish_condition = early_finish.map(|condition| {
                condition_of(&with_codes(condition, &outputs)).unwrap_or_default()
            });
            if finish_condition
                .as_ref()
                .is_some_and(|condition| condition.expressions.is_empty())
            {
                self.report.push(Note::Missing {
                    place: place.clone(),
                    what: "the finish condition: it cannot be read".into(),
                });
            }
            if !parts(state.get("read_only_fields")).is_empty() {
                self.dropped(
                    &place,
                    "read-only fields of other nodes; all fields of the ticket are shown",
                );
            }
            if !text(state, "desc").is_empty() {
                self.dropped(&place, "the description");
            }
            self.definition.nodes.push(Node {
                id,
                name,
                kind,
                tag: text(state, "tag"),
                processors,
                assignors,
                delivers,
                handling,
                can_deliver: flag(state, "can_deliver"),
                is_terminable: flag(state, "is_terminable"),
                is_multi,
                is_sequential: flag(state, "is_sequential"),
                finish_condition,
                terminate_when_rejected: flag(&extras, "enable_terminate_ticket_when_rejected"),
                is_allow_skip: flag(state, "is_allow_skip"),
                status_on_entry: status.unwrap_or_default(),
                service_task,
                fields: Vec::new(),
                outputs,
            });
        }
        self.definition.nodes.sort_by_key(|node| node.id);
        Ok(())
    }

    fn transitions(&mut self) -> Result<(), String> {
        let all = listed(self.flow, &["transitions", "edges"]);
        let mut next = 1;
        for raw in all {
            let end = |keys: [&str; 2]| keys.iter().find_map(|key| int(raw, key)).map(NodeId);
            let (Some(from), Some(to)) = (end(["from_state", "from"]), end(["to_state", "to"]))
            else {
                return Err(format!("transition {} needs both ends", text(raw, "id")));
            };
            let id = int(raw, "id").unwrap_or(next);
            next = next.max(id).saturating_add(1);
            self.report_unread(&format!("transition {id}"), "", raw, &TRANSITION);
            let by_field = text(raw, "condition_type") == "by_field"
                && !raw.get("condition").is_some_and(is_constant);
            let condition = if by_field {
                raw.get("condition").and_then(condition_of)
            } else {
                None
            };
            if by_field && condition.is_none() {
                return Err(format!(
                    "transition {id} from node {from} has a condition that cannot be read"
                ));
            }
            // The condition of a transition can use output variables (values such as vote counts) of the node
            // at which the transition starts. If this node does not define such a variable, the import adds
            // the variable to the node.
            for clause in raw
                .pointer("/condition/expressions")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                for clause in clause
                    .get("expressions")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                {
                    let key = text(clause, "key");
                    // The code in a clause (a comparison) identifies the output variable. If the clause
                    // contains no code, the key of the clause is used as the code. This rule does not apply
                    // if the key belongs to a field.
                    let by_key =
                        || Some(key.clone()).filter(|key| self.definition.field(key).is_none());
                    let code = clause
                        .pointer("/meta/code")
                        .map(plain)
                        .filter(|code| !code.is_empty())
                        .or_else(by_key);
                    let holds =
                        code.and_then(|code| serde_json::from_value::<Holds>(code.into()).ok());
                    let node = self
                        .definition
                        .nodes
                        .iter_mut()
                        .find(|node| node.id == from && node.kind.is_vote());
                    if let (Some(holds), Some(node)) = (holds, node)
                        && !node.outputs.iter().any(|known| known.key == key)
                    {
                        node.outputs.push(Output { key, holds });
                    }
                }
            }
            self.definition.transitions.push(Transition {
                id: TransitionId(id),
                from,
                to,
                name: text(raw, "name"),
                condition,
            });
        }
        self.definition
            .transitions
            .sort_by_key(|transition| transition.id);
        Ok(())
    }

    fn missing(&mut self) {
        let submit = self.definition.submit_node().map(|node| node.id);
        for node in self.definition.nodes.clone() {
            let is_assigned = matches!(
                node.handling,
                Handling::DistributeThenProcess | Handling::DistributeThenClaim
            );
            let who = if is_assigned {
                &node.assignors
            } else {
                &node.processors
            };
            let is_handled = node.kind.is_for_people() && Some(node.id) != submit;
            if is_handled && *who == Processors::General(Vec::new()) {
                let place = format!("node {}", super::named(&self.definition, node.id));
                self.changed(place, "the node has no role, so everybody with a general role may act there, as in BlueKing ITSM");
            }
            if is_handled && who.is_unconfigured() && (is_assigned || !node.is_allow_skip) {
                let what = if is_assigned {
                    "the assignors"
                } else {
                    "the processors"
                };
                self.report.push(Note::Missing {
                    place: format!("node {}", super::named(&self.definition, node.id)),
                    what: what.into(),
                });
            }
            if node.kind.is_automatic() && node.service_task.is_none() {
                self.report.push(Note::Missing {
                    place: format!("node {}", super::named(&self.definition, node.id)),
                    what: "the service task".into(),
                });
            }
        }
    }
}

/// Returns a condition that compares one key with one value.
pub fn equals(key: &str, value: &str) -> Condition {
    let clause = Clause {
        key: key.into(),
        kind: "STRING".into(),
        condition: Operator::Equal,
        value: value.into(),
    };
    Condition {
        expressions: vec![Group {
            expressions: vec![clause],
            ..Group::default()
        }],
        ..Condition::default()
    }
}

/// Returns true if a condition contains at least one clause (comparison) with content. The workflow editor of
/// BlueKing ITSM writes a blank clause if a transition has no condition.
fn has_clause(condition: &Value) -> bool {
    let parts = condition.get("expressions").and_then(Value::as_array);
    parts.is_some_and(|parts| {
        parts.iter().any(|part| {
            if part.get("expressions").is_some() {
                has_clause(part)
            } else {
                !is_blank_clause(part)
            }
        })
    })
}

/// Returns true if a clause (a comparison) contains neither a key nor a value. A comparison with the current
/// time is never blank, because such a comparison needs no key and no value.
fn is_blank_clause(clause: &Value) -> bool {
    let is_empty = |key: &str| {
        clause
            .get(key)
            .is_none_or(|value| value.is_null() || *value == "")
    };
    let compares_with_time = text(clause, "source") == "system" && !is_empty("condition");
    is_empty("key") && is_empty("value") && !compares_with_time
}

/// Returns true if a condition uses only the constant `G_INT_1`. BlueKing ITSM writes a comparison with this
/// constant if a transition has no condition. This comparison is always true.
fn is_constant(condition: &Value) -> bool {
    let groups: Vec<&Value> = condition
        .get("expressions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect();
    let clauses: Vec<&Value> = groups
        .iter()
        .filter_map(|group| group.get("expressions").and_then(Value::as_array))
        .flatten()
        .collect();
    !clauses.is_empty()
        && clauses
            .iter()
            .all(|clause| text(clause, "key") == "G_INT_1")
}

/// Returns a copy of a group of clauses (comparisons). The copy contains no blank clauses.
fn without_blanks(group: &Value) -> Value {
    let mut filled = group.clone();
    if let Some(clauses) = filled.get_mut("expressions").and_then(Value::as_array_mut) {
        clauses.retain(|clause| !is_blank_clause(clause));
    }
    filled
}

/// Returns a copy of a condition on vote counters. In the copy, each key is replaced with the code of its
/// counter, such as `PASS_COUNT`. The function finds the code in the output variable with this key. If there
/// is no such variable, the clause (comparison) itself contains the code.
fn with_codes(condition: &Value, outputs: &[Output]) -> Value {
    let mut coded = condition.clone();
    let groups = coded
        .get_mut("expressions")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten();
    let clauses = groups
        .filter_map(|group| group.get_mut("expressions").and_then(Value::as_array_mut))
        .flatten();
    for clause in clauses {
        let key = text(clause, "key");
        let by_variable = outputs
            .iter()
            .find(|output| output.key == key)
            .map(|output| plain(&serde_json::to_value(output.holds).unwrap_or_default()));
        let by_clause = clause
            .pointer("/meta/code")
            .map(plain)
            .filter(|code| COUNTERS.contains(&code.as_str()));
        if let Some(code) = by_variable.or(by_clause) {
            clause["key"] = code.into();
        }
    }
    coded
}

/// Reads a condition and removes its groups without clauses (comparisons). Returns `None` if no group remains
/// or if the condition cannot be read.
fn condition_of(value: &Value) -> Option<Condition> {
    let mut condition: Condition = serde_json::from_value(value.clone()).ok()?;
    condition
        .expressions
        .retain(|group| !group.expressions.is_empty());
    if condition.expressions.is_empty() {
        None
    } else {
        Some(condition)
    }
}

fn group_of(value: &Value) -> Option<Group> {
    serde_json::from_value::<Group>(without_blanks(value))
        .ok()
        .filter(|group| !group.expressions.is_empty())
}
