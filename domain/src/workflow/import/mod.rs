//! Reads workflow definitions of BlueKing ITSM (reference/bk-itsm.md 12): exported files with `states` and `transitions`, plain lists of nodes and
//! edges, and the old dialect whose edges only say forward or back. What could not be taken over as it stood is told, item by item.
//!
//! Here head, nodes and transitions; fields and forms in [`fields`], what nodes call in [`service_task`]. People stand in the definition by user name; the door
//! turns them into person ids.

mod fields;
mod service_task;

use events::workflow::{
    Clause, Condition, Definition, Group, Handling, Holds, Node, NodeKind, Operator, Output,
    Processors, Revoke, Transition,
};
use events::{NodeId, PersonId, RoleId, TransitionId};
use serde_json::Value;

use super::check::COUNTERS;
use crate::ticket::form::plain;
use crate::user_name;
pub use service_task::expression;

/// What became of one thing in the file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// It means the same here, but stands differently.
    Changed { place: String, what: String },
    /// It was left out.
    Dropped { place: String, what: String },
    /// The file does not have it, and the workflow cannot be deployed before it is filled in: whatever is reported so is also a problem of
    /// [`check::problems`](super::check::problems).
    Missing { place: String, what: String },
}

/// A definition with the story of how it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    pub definition: Definition,
    pub report: Vec<Note>,
}

/// Reads one workflow: an object, or an array of one. `roles` finds a role of this desk by name.
pub fn read(file: &Value, roles: &dyn Fn(&str) -> Option<RoleId>) -> Result<Imported, String> {
    let flow = match file {
        Value::Array(flows) if flows.len() == 1 => &flows[0],
        Value::Array(flows) => {
            return Err(format!(
                "the file holds {} workflows, one is read at a time",
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
    reader.place_fields();
    reader.results();
    reader.directions();
    reader.missing();
    Ok(Imported {
        definition: reader.definition,
        report: reader.report,
    })
}

/// Members of the original's rows that say nothing about how a workflow runs.
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
/// Members of a workflow that are read, or concern only the original's own pages.
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
/// The same of a node.
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
/// The same of a transition.
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

struct Reader<'a> {
    flow: &'a Value,
    roles: &'a dyn Fn(&str) -> Option<RoleId>,
    report: Vec<Note>,
    definition: Definition,
}

/// The members of an object or the items of a list: both are ways in which files list things.
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

/// A member as text; numbers count as the text they are.
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

/// A list, or parts between commas.
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

/// Says whether a member holds nothing that could be lost: absent, empty, switched off, or of such members only.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.trim().is_empty() || text == "EMPTY",
        Value::Array(items) => items.iter().all(is_nothing),
        Value::Object(members) => members.values().all(is_nothing),
    }
}

/// The user names of a list: a text of names between separators, or an array with one name in each element.
fn people(value: Option<&Value>) -> Vec<PersonId> {
    match value {
        Some(Value::String(text)) => user_name::split(text).map(PersonId::from).collect(),
        other => parts(other).into_iter().map(PersonId).collect(),
    }
}

impl Reader<'_> {
    /// Names the members of an object that are not known here and hold something. Values are left out, because they may be secrets.
    fn unread(&mut self, place: &str, of: &str, value: &Value, known: &[&str]) {
        let is_unread = |key: &str, member: &Value| {
            !known.contains(&key) && !ROW.contains(&key) && !is_nothing(member)
        };
        for (key, member) in value.as_object().into_iter().flatten() {
            if is_unread(key, member) {
                self.dropped(
                    place,
                    format!("{of}{key}: this desk does not know this member"),
                );
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
        self.unread("the workflow", "", flow, &FLOW);
        self.unread(
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
            notify_rule: text(flow, "notify_rule"),
            ..Definition::default()
        };
        for (key, what) in [
            ("triggers", "triggers belong to a later release"),
            ("task_schemas", "sub-tasks belong to a later release"),
            ("notify", "channels of messages belong to a later release"),
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

    fn processors(&mut self, of: &Value, kind_key: &str, who_key: &str, place: &str) -> Processors {
        let kind = text(of, kind_key);
        let who = parts(of.get(who_key));
        let first = who.first().cloned().unwrap_or_default();
        match kind.as_str() {
            "PERSON" => Processors::Person(people(of.get(who_key))),
            "GENERAL" => {
                let names = self.flow.get("roles");
                let is_named = !who.is_empty();
                let (mut known, mut unknown) = (Vec::new(), Vec::new());
                for id in who {
                    // Ids mean something where they come from only; a file says their names beside, or names instead of them.
                    let name = names.and_then(|names| names.get(&id)).map_or(id, plain);
                    match (self.roles)(&name) {
                        Some(role) => known.push(role),
                        None => unknown.push(name),
                    }
                }
                if !unknown.is_empty() {
                    self.dropped(
                        place,
                        format!("roles {} are not known at this desk", unknown.join(", ")),
                    );
                }
                // None of those who were named is known: that is nobody, and not the members of every role.
                if known.is_empty() && is_named {
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
                        "node {id} ({}) is of the kind {kind_word:?}, which this desk does not run",
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
                    "an assignor names its processors, so it is distributed before it is handled",
                );
            }
            let extras = state.get("extras").cloned().unwrap_or_default();
            self.unread(&place, "", state, &STATE);
            self.unread(
                &place,
                "extras.",
                &extras,
                &[
                    "ticket_status",
                    "sops_info",
                    "webhook_info",
                    "api_info",
                    "enable_terminate_ticket_when_rejected",
                ],
            );
            let custom = extras
                .get("ticket_status")
                .filter(|status| text(status, "type") == "custom");
            // Older files name a status by its key.
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
            // One vote ends an or-sign: a finish condition that is left over has no effect.
            let ends_early = state
                .get("finish_condition")
                .filter(|condition| kind.is_vote() && is_multi && says_something(condition));
            let finish_condition = ends_early.map(|condition| {
                condition_of(&with_codes(condition, &outputs)).unwrap_or_default()
            });
            if finish_condition
                .as_ref()
                .is_some_and(|condition| condition.expressions.is_empty())
            {
                self.report.push(Note::Missing {
                    place: place.clone(),
                    what: "when it is decided: its condition cannot be read".into(),
                });
            }
            if !parts(state.get("read_only_fields")).is_empty() {
                self.dropped(
                    &place,
                    "fields of other nodes that it shows; every field of the ticket is shown",
                );
            }
            if !text(state, "desc").is_empty() {
                self.dropped(&place, "its description");
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
                return Err(format!(
                    "transition {} does not say where it leads",
                    text(raw, "id")
                ));
            };
            let id = int(raw, "id").unwrap_or(next);
            next = next.max(id).saturating_add(1);
            self.unread(&format!("transition {id}"), "", raw, &TRANSITION);
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
            // A condition says by its clauses which variables of the node before it tests.
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
                    // A clause says by its code which variable it means; a key that is no field's may also be the code itself.
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
            let distributed = matches!(
                node.handling,
                Handling::DistributeThenProcess | Handling::DistributeThenClaim
            );
            let who = if distributed {
                &node.assignors
            } else {
                &node.processors
            };
            let is_handled = node.kind.is_for_people() && Some(node.id) != submit;
            if is_handled && *who == Processors::General(Vec::new()) {
                let place = format!("node {}", super::named(&self.definition, node.id));
                self.changed(place, "the node names no role, so everybody with a general role may act there, as in the original");
            }
            if is_handled && who.is_unconfigured() && (distributed || !node.is_allow_skip) {
                let what = if distributed {
                    "who distributes it"
                } else {
                    "who handles it"
                };
                self.report.push(Note::Missing {
                    place: format!("node {}", super::named(&self.definition, node.id)),
                    what: what.into(),
                });
            }
            if node.kind.is_automatic() && node.service_task.is_none() {
                self.report.push(Note::Missing {
                    place: format!("node {}", super::named(&self.definition, node.id)),
                    what: "what it calls".into(),
                });
            }
        }
    }
}

/// A condition that compares one key with one value.
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

/// Says whether a condition asks for anything, whatever it is. The designer of the original writes a clause of empty members where none was drawn.
fn says_something(condition: &Value) -> bool {
    let parts = condition.get("expressions").and_then(Value::as_array);
    parts.is_some_and(|parts| {
        parts.iter().any(|part| {
            if part.get("expressions").is_some() {
                says_something(part)
            } else {
                !is_blank_clause(part)
            }
        })
    })
}

/// A clause that compares nothing with nothing.
fn is_blank_clause(clause: &Value) -> bool {
    let is_empty = |key: &str| {
        clause
            .get(key)
            .is_none_or(|value| value.is_null() || *value == "")
    };
    let compares_with_the_time = text(clause, "source") == "system" && !is_empty("condition");
    is_empty("key") && is_empty("value") && !compares_with_the_time
}

/// Says whether a condition compares only the constant with which the original writes transitions that always hold.
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

/// A group of clauses without those that were not filled in.
fn without_blanks(group: &Value) -> Value {
    let mut filled = group.clone();
    if let Some(clauses) = filled.get_mut("expressions").and_then(Value::as_array_mut) {
        clauses.retain(|clause| !is_blank_clause(clause));
    }
    filled
}

/// A condition over the counters of a vote; keys of counters become their codes, which the node's variables tell, or the clauses themselves.
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

/// A condition as it is in a file.
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
