//! Reads workflow definitions of BlueKing ITSM (reference/bk-itsm.md 12): exported files with `states` and `transitions`, plain lists of nodes and
//! edges, and the old dialect whose edges only say forward or back. What could not be taken over as it stood is told, item by item.
//!
//! People stand in the definition by user name; the door turns them into person ids.

use std::collections::BTreeMap;

use events::outside::{Outside, Pair, Poll, Request, Source, Taken, Task};
use events::workflow::{
    Choice, Clause, Condition, Definition, Field, FieldKind, Group, Handling, Holds, Line, Node, NodeKind, Operator, Other, Output, Processors, Revoke, Rule,
};
use events::{LineId, NodeId, Pid, RoleId};
use serde_json::{Value, json};

use crate::ticket::form::plain;

/// What became of one thing in the file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// It means the same here, but stands differently.
    Changed { place: String, what: String },
    /// It was left out.
    Dropped { place: String, what: String },
    /// Somebody has to fill it in before the workflow can be deployed.
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
        Value::Array(flows) => return Err(format!("the file holds {} workflows, one is read at a time", flows.len())),
        other => other,
    };
    if !flow.is_object() {
        return Err("a workflow is a JSON object".into());
    }
    let mut reader = Reader { flow, roles, report: Vec::new(), definition: Definition::default() };
    reader.head();
    reader.nodes()?;
    reader.fields()?;
    reader.lines()?;
    reader.place_fields();
    reader.results();
    reader.directions();
    reader.missing();
    Ok(Imported { definition: reader.definition, report: reader.report })
}

struct Reader<'a> {
    flow: &'a Value,
    roles: &'a dyn Fn(&str) -> Option<RoleId>,
    report: Vec<Note>,
    definition: Definition,
}

/// The members of an object or the items of a list: both are ways in which files list things.
fn listed<'a>(flow: &'a Value, keys: &[&str]) -> Vec<&'a Value> {
    let found = keys.iter().find_map(|key| flow.get(*key).filter(|value| value.is_array() || value.is_object()));
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
    member.as_i64().or_else(|| member.as_str()?.trim().parse().ok())
}

/// A list, or parts between commas.
fn parts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items.iter().map(plain).filter(|part| !part.is_empty()).collect(),
        Some(Value::String(text)) => text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect(),
        Some(Value::Number(number)) => vec![number.to_string()],
        _ => Vec::new(),
    }
}

impl Reader<'_> {
    fn changed(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.report.push(Note::Changed { place: place.into(), what: what.into() });
    }
    fn dropped(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.report.push(Note::Dropped { place: place.into(), what: what.into() });
    }

    fn head(&mut self) {
        let flow = self.flow;
        let revoke = match flow.get("revoke_config").and_then(|config| Some((int(config, "type")?, config.get("state").and_then(|_| int(config, "state"))))) {
            _ if flow.get("is_revocable").is_some() && !flag(flow, "is_revocable") => Revoke::Never,
            Some((1, _)) => Revoke::Always,
            Some((3, Some(state))) => Revoke::BeforeNode(NodeId(state)),
            _ => Revoke::BeforeHandled,
        };
        let supervisors =
            if flag(flow, "is_supervise_needed") { self.processors(flow, "supervise_type", "supervisor", "the workflow") } else { Processors::Empty };
        self.definition = Definition {
            name: text(flow, "name"),
            desc: text(flow, "desc"),
            flow_type: text(flow, "flow_type"),
            revoke,
            is_biz_needed: flag(flow, "is_biz_needed"),
            is_auto_approve: flag(flow, "is_auto_approve"),
            is_supervise_needed: flag(flow, "is_supervise_needed"),
            supervisors: if supervisors.is_unconfigured() { Processors::Empty } else { supervisors },
            notify_rule: text(flow, "notify_rule"),
            ..Definition::default()
        };
        for (key, what) in [("triggers", "triggers belong to a later release"), ("task_schemas", "sub-tasks belong to a later release")] {
            let count = flow.get(key).map_or(0, |value| value.as_array().map_or_else(|| value.as_u64().unwrap_or_default(), |items| items.len() as u64));
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
            "PERSON" => Processors::Person(who.into_iter().map(Pid).collect()),
            "GENERAL" => {
                let names = self.flow.get("roles");
                let (mut known, mut unknown) = (Vec::new(), Vec::new());
                for id in who {
                    let name = names.and_then(|names| names.get(&id)).map(plain);
                    match name.as_deref().and_then(self.roles) {
                        Some(role) => known.push(role),
                        None => unknown.push(name.unwrap_or(id)),
                    }
                }
                if !unknown.is_empty() {
                    self.dropped(place, format!("roles {} are not known at this desk", unknown.join(", ")));
                }
                Processors::General(known)
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
            let kind: NodeKind = serde_json::from_value(kind_word.clone().into())
                .map_err(|_| format!("node {id} ({}) is of the kind {kind_word:?}, which this desk does not run", text(state, "name")))?;
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
            if processors == Processors::ByAssignor && handling == Handling::Process && kind == NodeKind::Manual {
                handling = Handling::DistributeThenProcess;
                self.changed(&place, "an assignor names its processors, so it is distributed before it is handled");
            }
            let extras = state.get("extras").cloned().unwrap_or_default();
            let status = extras.get("ticket_status").filter(|status| text(status, "type") == "custom").map(|status| text(status, "name"));
            let outside = self.outside(state, &extras, kind, &place).map(Box::new);
            let counters = state.pointer("/variables/outputs").and_then(Value::as_array).cloned().unwrap_or_default();
            let outputs: Vec<Output> = counters
                .iter()
                .filter_map(|variable| {
                    let code = variable.pointer("/meta/code").map(plain)?;
                    Some(Output { key: text(variable, "key"), holds: serde_json::from_value::<Holds>(code.into()).ok()? })
                })
                .collect();
            let finish_condition = state.get("finish_condition").and_then(|condition| condition_of(condition, &outputs));
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
                is_multi: flag(state, "is_multi") || kind == NodeKind::Sign,
                is_sequential: flag(state, "is_sequential"),
                finish_condition,
                terminate_when_rejected: flag(&extras, "enable_terminate_ticket_when_rejected"),
                is_allow_skip: flag(state, "is_allow_skip"),
                status_on_entry: status.unwrap_or_default(),
                outside,
                fields: Vec::new(),
                outputs,
            });
        }
        self.definition.nodes.sort_by_key(|node| node.id);
        Ok(())
    }

    fn outside(&mut self, state: &Value, extras: &Value, kind: NodeKind, place: &str) -> Option<Outside> {
        match kind {
            NodeKind::Task => Some(Outside::Request(self.api(state.get("api_info").or_else(|| extras.get("api_info"))?, place))),
            NodeKind::Webhook => Some(self.webhook(extras.get("webhook_info")?, place)),
            NodeKind::Sops => {
                let info = extras.get("sops_info")?;
                let value = |key: &str| info.get(key).map(|value| if value.is_object() { text(value, "value") } else { plain(value) }).unwrap_or_default();
                Some(Outside::Task(Task {
                    url: text(info, "url"),
                    bk_biz_id: value("bk_biz_id"),
                    template_id: value("template_id"),
                    template_source: value("template_source"),
                    constants: listed(info, &["constants"]).into_iter().map(constant).collect(),
                    exclude_task_nodes_id: parts(info.get("exclude_task_nodes_id")),
                    secret: text(info, "secret"),
                    polls_max: int(info, "polls_max").and_then(|polls| u32::try_from(polls).ok()).unwrap_or(8640),
                }))
            }
            _ => None,
        }
    }

    fn api(&mut self, info: &Value, place: &str) -> Request {
        let remote = info.get("remote_api_info").or_else(|| info.get("remote_api")).unwrap_or(info);
        let own = info.get("api_instance_info").or_else(|| info.get("api_instance")).unwrap_or(info);
        for key in ["before_req", "map_code"] {
            if !text(remote, key).is_empty() || !text(own, key).is_empty() {
                self.dropped(place, format!("{key} is program text, and nothing that was typed in is ever run here"));
            }
        }
        let domain = remote.pointer("/system_info/domain").map(plain).unwrap_or_default();
        let url = if text(remote, "url").is_empty() { format!("{}{}", domain.trim_end_matches('/'), text(remote, "path")) } else { text(remote, "url") };
        let method = match text(remote, "method").to_uppercase() {
            method if method.is_empty() => "GET".to_owned(),
            method => method,
        };
        let member = |key: &str| own.get(key).or_else(|| remote.get(key)).filter(|value| !value.is_null());
        let poll = flag(own, "need_poll")
            .then(|| {
                let ends = own.get("end_conditions")?;
                Some(Poll {
                    interval_ms: int(ends, "poll_interval")?.saturating_mul(1000),
                    times_max: u32::try_from(int(ends, "poll_time")?).ok()?,
                    until: condition_of(own.get("succeed_conditions")?, &[])?,
                })
            })
            .flatten();
        Request {
            query: if method == "GET" { pairs(member("req_params")) } else { Vec::new() },
            body: if method == "GET" { Value::Null } else { member("req_body").cloned().unwrap_or_default() },
            headers: pairs(member("headers")),
            method,
            url,
            secret: text(own, "secret"),
            timeout_ms: int(own, "timeout_ms").unwrap_or(10_000),
            attempts_max: int(own, "attempts_max").and_then(|times| u32::try_from(times).ok()).unwrap_or(1),
            success: own.get("success").and_then(|condition| condition_of(condition, &[])),
            poll,
            outputs: taken(own.pointer("/variables/outputs").or_else(|| own.get("outputs"))),
        }
    }

    fn webhook(&mut self, info: &Value, place: &str) -> Outside {
        let body = info.get("body").cloned().unwrap_or_default();
        let body = match (text(&body, "type").as_str(), body.get("value")) {
            ("none" | "", _) => Value::Null,
            (_, Some(Value::String(raw))) => serde_json::from_str(raw).unwrap_or_else(|_| raw.clone().into()),
            (_, Some(other)) => other.clone(),
            (_, None) => Value::Null,
        };
        let success = match text(info, "success_exp") {
            exp if exp.is_empty() => None,
            exp => {
                let condition = expression(&exp);
                if condition.is_none() {
                    self.dropped(place, format!("success expression {exp:?} is more than comparisons joined by and, or by or"));
                }
                condition
            }
        };
        if info.get("auth").is_some_and(|auth| auth.is_object() && !text(auth, "auth_type").is_empty()) {
            self.report.push(Note::Missing { place: place.to_owned(), what: "credentials are not read from files; name a secret of the key store".into() });
        }
        Outside::Request(Request {
            method: text(info, "method").to_uppercase(),
            url: text(info, "url"),
            query: pairs(info.get("query_params")),
            headers: pairs(info.get("headers")),
            body,
            secret: text(info, "secret"),
            timeout_ms: info.get("settings").and_then(|settings| int(settings, "timeout")).unwrap_or(10).saturating_mul(1000),
            attempts_max: info.get("settings").and_then(|settings| int(settings, "attempts")).and_then(|times| u32::try_from(times).ok()).unwrap_or(1),
            success,
            poll: None,
            outputs: taken(info.get("outputs")),
        })
    }

    fn fields(&mut self) -> Result<(), String> {
        let mut next = 1;
        for raw in listed(self.flow, &["fields"]) {
            let key = text(raw, "key");
            if key.is_empty() {
                return Err("a field has no key".into());
            }
            let kind_word = text(raw, "type");
            let kind: FieldKind = serde_json::from_value(kind_word.clone().into())
                .map_err(|_| format!("field {key} is of the type {kind_word:?}, which forms of tickets do not have"))?;
            let id = int(raw, "id").unwrap_or(next);
            next = next.max(id) + 1;
            let meta = raw.get("meta").filter(|meta| meta.as_object().is_some_and(|meta| !meta.is_empty())).cloned().unwrap_or_default();
            let hidden_when = (int(raw, "show_type") == Some(0)).then(|| raw.get("show_conditions").and_then(group_of)).flatten();
            let source_uri = self.source_uri(raw, &key);
            let source = self.source(raw, &key);
            if kind == FieldKind::File && raw.get("choice").is_some_and(|choice| choice.as_object().is_some_and(|files| !files.is_empty())) {
                self.dropped(format!("field {key}"), "its template files are not in the file; upload them again");
            }
            let regex = Some(text(raw, "regex")).filter(|regex| regex != "EMPTY").unwrap_or_default();
            self.definition.fields.push(Field {
                id,
                name: text(raw, "name"),
                desc: text(raw, "desc"),
                choice: choices(raw.get("choice")),
                is_required: text(raw, "validate_type") == "REQUIRE",
                custom_regex: text(raw, "custom_regex"),
                hidden_when,
                default: raw.get("default").filter(|default| !plain(default).is_empty()).cloned().unwrap_or_default(),
                source_type: Some(text(raw, "source_type")).filter(|source| source != "CUSTOM").unwrap_or_default(),
                source_uri,
                source,
                templates: Vec::new(),
                library: String::new(),
                is_readonly: flag(raw, "is_readonly"),
                node: int(raw, "state_id").map(NodeId),
                rule: rule_of(raw.pointer("/regex_config/rule")),
                kv_relation: raw.get("kv_relation").and_then(|kv| serde_json::from_value(kv.clone()).ok()),
                layout: text(raw, "layout"),
                is_personal: flag(raw, "is_personal"),
                is_approve_result: meta.get("code").is_some_and(|code| code == "APPROVE_RESULT"),
                key,
                kind,
                regex,
                meta,
            });
        }
        self.definition.fields.sort_by_key(|field| field.id);
        Ok(())
    }

    /// Which list a field's options stand in; the base model's own fields have lists of their own.
    fn source_uri(&mut self, raw: &Value, key: &str) -> String {
        let uri = text(raw, "source_uri");
        if text(raw, "source_type") != "DATADICT" || !uri.is_empty() {
            return uri;
        }
        let place = format!("field {key}");
        if !matches!(key, "impact" | "urgency" | "priority") {
            self.report.push(Note::Missing { place, what: "which dictionary its options stand in".into() });
            return uri;
        }
        let code = key.to_uppercase();
        self.changed(place, format!("its options stand in dictionary {code}"));
        code
    }

    /// Which API supplies a field's options (reference/bk-itsm.md 4.2, 8.1).
    fn source(&mut self, raw: &Value, key: &str) -> Option<Box<Source>> {
        if !matches!(text(raw, "source_type").as_str(), "API" | "CUSTOM_API") {
            return None;
        }
        let place = format!("field {key}");
        let Some(info) = raw.get("api_info").filter(|info| info.as_object().is_some_and(|info| !info.is_empty())) else {
            self.report.push(Note::Missing { place, what: "which API supplies its options; until then they are not checked".into() });
            return None;
        };
        let rows = text(info.get("api_instance_info").or_else(|| info.get("api_instance")).unwrap_or(info), "rsp_data");
        Some(Box::new(Source { request: self.api(info, &place), rows }))
    }

    fn lines(&mut self) -> Result<(), String> {
        let all = listed(self.flow, &["transitions", "edges"]);
        let mut next = 1;
        for raw in all {
            let end = |keys: [&str; 2]| keys.iter().find_map(|key| int(raw, key)).map(NodeId);
            let (Some(from), Some(to)) = (end(["from_state", "from"]), end(["to_state", "to"])) else {
                return Err(format!("line {} does not say where it leads", text(raw, "id")));
            };
            let id = int(raw, "id").unwrap_or(next);
            next = next.max(id) + 1;
            let by_field = text(raw, "condition_type") == "by_field";
            let condition = if by_field { raw.get("condition").and_then(|condition| condition_of(condition, &[])) } else { None };
            if by_field && condition.is_none() {
                return Err(format!("line {id} from node {from} has a condition that cannot be read"));
            }
            // A condition says by its clauses which variables of the node before it tests.
            for clause in raw.pointer("/condition/expressions").and_then(Value::as_array).into_iter().flatten() {
                for clause in clause.get("expressions").and_then(Value::as_array).into_iter().flatten() {
                    let holds = clause.pointer("/meta/code").map(plain).and_then(|code| serde_json::from_value::<Holds>(code.into()).ok());
                    let node = self.definition.nodes.iter_mut().find(|node| node.id == from && node.kind.is_vote());
                    if let (Some(holds), Some(node)) = (holds, node) {
                        let output = Output { key: text(clause, "key"), holds };
                        if !node.outputs.contains(&output) {
                            node.outputs.push(output);
                        }
                    }
                }
            }
            self.definition.lines.push(Line { id: LineId(id), from, to, name: text(raw, "name"), condition });
        }
        self.definition.lines.sort_by_key(|line| line.id);
        Ok(())
    }

    /// Gives every node its fields: in the order it names them, else those that name the node; base fields go to the submit node.
    fn place_fields(&mut self) {
        let submit = self.definition.submit_node().map(|node| node.id);
        let by_id: BTreeMap<i64, (String, Option<NodeId>)> = self.definition.fields.iter().map(|field| (field.id, (field.key.clone(), field.node))).collect();
        let raw_fields = listed(self.flow, &["fields"]);
        let base: Vec<String> =
            raw_fields.iter().filter(|raw| text(raw, "source") == "TABLE" && int(raw, "state_id").is_none()).map(|raw| text(raw, "key")).collect();
        let mut named: BTreeMap<NodeId, Vec<String>> = BTreeMap::new();
        for state in listed(self.flow, &["states"]) {
            if let Some(id) = int(state, "id") {
                let keys = listed(state, &["fields"]).into_iter().filter_map(|field| by_id.get(&field.as_i64()?)).map(|(key, _)| key.clone()).collect();
                named.insert(NodeId(id), keys);
            }
        }
        let known: Vec<NodeId> = self.definition.nodes.iter().map(|node| node.id).collect();
        for index in 0..self.definition.fields.len() {
            let field = &self.definition.fields[index];
            let (key, node) = (field.key.clone(), field.node);
            let place = format!("field {key}");
            match node {
                Some(node) if known.contains(&node) => {
                    let keys = named.entry(node).or_default();
                    if !keys.contains(&key) {
                        keys.push(key);
                    }
                }
                Some(node) => self.dropped(place, format!("its node {node} is not in the file, so no form asks for it")),
                None if named.values().any(|keys| keys.contains(&key)) => {}
                None if base.contains(&key) && !matches!(key.as_str(), "current_status" | "priority") && submit.is_some() => {
                    named.entry(submit.unwrap_or_default()).or_default().insert(0, key);
                }
                None => self.changed(place, "no form asks for it; it is a field of the ticket"),
            }
        }
        let many = |key: &str, fields: &[Field]| fields.iter().filter(|field| field.key == key).count() > 1;
        for node in &mut self.definition.nodes {
            node.fields = named.remove(&node.id).unwrap_or_default();
        }
        let fields = self.definition.fields.clone();
        for field in &mut self.definition.fields {
            // Only where a key stands in several forms must a field say which form it is of.
            field.node = field.node.filter(|node| many(&field.key, &fields) && known.contains(node));
        }
        // The title comes first in every form that asks for it.
        for node in &mut self.definition.nodes {
            node.fields.sort_by_key(|key| key != "title");
        }
    }

    /// Finds the field that holds an approver's decision where the file does not mark it.
    fn results(&mut self) {
        for node in self.definition.nodes.clone().iter().filter(|node| node.kind.is_vote()) {
            let decides = |field: &&Field| {
                let keys: Vec<&str> = field.choice.iter().map(|choice| choice.key.as_str()).collect();
                matches!(field.kind, FieldKind::Radio | FieldKind::Select) && keys.len() == 2 && keys.contains(&"true") && keys.contains(&"false")
            };
            let marked = self.definition.fields_of(node).any(|field| field.is_approve_result);
            let Some(id) = self.definition.fields_of(node).find(decides).map(|field| field.id).filter(|_| !marked) else { continue };
            if let Some(field) = self.definition.fields.iter_mut().find(|field| field.id == id) {
                field.is_approve_result = true;
            }
        }
    }

    /// The old dialect says of a line only that it leads forward or back, and leaves the choice to whoever handles the node: here the choice is a field.
    fn directions(&mut self) {
        let edges = listed(self.flow, &["edges", "transitions"]);
        let back: Vec<(NodeId, NodeId)> = edges
            .iter()
            .filter(|edge| text(edge, "direction") == "BACK")
            .filter_map(|edge| {
                Some((NodeId(int(edge, "from").or_else(|| int(edge, "from_state"))?), NodeId(int(edge, "to").or_else(|| int(edge, "to_state"))?)))
            })
            .collect();
        let nodes: Vec<NodeId> = self.definition.nodes.iter().map(|node| node.id).collect();
        for node in nodes {
            let lines: Vec<Line> = self.definition.lines_from(node).into_iter().cloned().collect();
            if lines.len() < 2 || !lines.iter().any(|line| back.contains(&(line.from, line.to))) {
                continue;
            }
            let key = format!("direction_{node}");
            let is_back = |line: &Line| back.contains(&(line.from, line.to));
            let name = |line: &Line| match (is_back(line), line.name.is_empty()) {
                (true, _) => format!("退回：{}", self.definition.node(line.to).map_or("", |node| node.name.as_str())),
                (false, false) => line.name.clone(),
                (false, true) => "提交".to_owned(),
            };
            let mut choice: Vec<Choice> = lines.iter().map(|line| Choice { key: line.id.to_string(), name: name(line), items: Vec::new() }).collect();
            choice.sort_by_key(|choice| lines.iter().any(|line| line.id.to_string() == choice.key && is_back(line)));
            let id = self.definition.fields.iter().map(|field| field.id).max().unwrap_or_default() + 1;
            let field = json!({ "id": id, "key": key, "type": "RADIO", "name": "处理结果", "choice": choice, "is_required": true, "default": choice[0].key });
            self.definition.fields.extend(serde_json::from_value::<Field>(field));
            for line in &mut self.definition.lines {
                if line.from == node {
                    line.condition = Some(equals(&key, &line.id.to_string()));
                }
            }
            if let Some(node) = self.definition.nodes.iter_mut().find(|other| other.id == node) {
                node.fields.push(key.clone());
            }
            self.changed(format!("node {node}"), format!("whether it goes forward or back is now chosen in field {key}"));
        }
        if edges.iter().any(|edge| edge.get("direction").is_some()) {
            self.reasons();
        }
    }

    /// The old dialect's reasons for sending back and ending are asked for only where they can be needed.
    fn reasons(&mut self) {
        for field in &mut self.definition.fields {
            if matches!(field.key.as_str(), "can_back_message" | "terminate_message") {
                field.is_required = false;
            }
        }
    }

    fn missing(&mut self) {
        let submit = self.definition.submit_node().map(|node| node.id);
        for node in self.definition.nodes.clone() {
            let distributed = matches!(node.handling, Handling::DistributeThenProcess | Handling::DistributeThenClaim);
            let who = if distributed { &node.assignors } else { &node.processors };
            if node.kind.is_for_people() && Some(node.id) != submit && (who.is_unconfigured() || *who == Processors::General(Vec::new())) {
                let what = if distributed { "who distributes it" } else { "who handles it" };
                self.report.push(Note::Missing { place: format!("node {}", super::named(&self.definition, node.id)), what: what.into() });
            }
            if node.kind.is_automatic() && node.outside.is_none() {
                self.report.push(Note::Missing { place: format!("node {}", super::named(&self.definition, node.id)), what: "what it calls".into() });
            }
        }
    }
}

/// A condition that compares one key with one value.
pub fn equals(key: &str, value: &str) -> Condition {
    let clause = Clause { key: key.into(), kind: "STRING".into(), condition: Operator::Equal, value: value.into() };
    Condition { expressions: vec![Group { expressions: vec![clause], ..Group::default() }], ..Condition::default() }
}

/// A condition; keys of counters become their codes where the node's variables say which they are.
fn condition_of(value: &Value, outputs: &[Output]) -> Option<Condition> {
    let mut condition: Condition = serde_json::from_value(value.clone()).ok()?;
    condition.expressions.retain(|group| !group.expressions.is_empty());
    for clause in condition.expressions.iter_mut().flat_map(|group| &mut group.expressions) {
        if let Some(output) = outputs.iter().find(|output| output.key == clause.key) {
            clause.key = plain(&serde_json::to_value(output.holds).unwrap_or_default());
        }
    }
    if condition.expressions.is_empty() { None } else { Some(condition) }
}

fn group_of(value: &Value) -> Option<Group> {
    serde_json::from_value::<Group>(value.clone()).ok().filter(|group| !group.expressions.is_empty())
}

fn rule_of(value: Option<&Value>) -> Option<Rule> {
    let value = value?;
    let mut rule: Rule = Rule { join: serde_json::from_value(value.get("type").cloned().unwrap_or("and".into())).ok()?, expressions: Vec::new() };
    for raw in value.get("expressions").and_then(Value::as_array)? {
        let condition = serde_json::from_value(raw.get("condition")?.clone()).ok()?;
        let other = match text(raw, "source").as_str() {
            "field" => Other::Field { key: Some(text(raw, "key")).filter(|key| !key.is_empty()).unwrap_or_else(|| text(raw, "value")) },
            "system" => Other::System,
            _ => Other::Value { value: raw.get("value").cloned().unwrap_or_default() },
        };
        rule.expressions.push(events::workflow::Beside { condition, other });
    }
    Some(rule).filter(|rule| !rule.expressions.is_empty())
}

fn choices(value: Option<&Value>) -> Vec<Choice> {
    let below = |item: &Value| ["items", "children"].into_iter().find_map(|key| item.get(key)).filter(|below| below.is_array()).cloned();
    match value {
        Some(Value::Array(items)) => items
            .iter()
            .filter(|item| item.is_object())
            .map(|item| Choice {
                key: Some(text(item, "key")).filter(|key| !key.is_empty()).unwrap_or_else(|| text(item, "id")),
                name: text(item, "name"),
                items: choices(below(item).as_ref()),
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn pairs(value: Option<&Value>) -> Vec<Pair> {
    match value {
        Some(Value::Array(items)) => items.iter().map(constant).filter(|pair| !pair.key.is_empty()).collect(),
        Some(Value::Object(members)) => members.iter().map(|(key, value)| Pair { key: key.clone(), value: plain(value) }).collect(),
        _ => Vec::new(),
    }
}

/// A `{key, value}`; a value that names a variable becomes a template.
fn constant(item: &Value) -> Pair {
    let key = Some(text(item, "key")).filter(|key| !key.is_empty()).unwrap_or_else(|| text(item, "name"));
    let value = item.get("value").map(plain).unwrap_or_default();
    Pair { key, value: if text(item, "value_type") == "variable" && !value.starts_with("${") { format!("${{{value}}}") } else { value } }
}

fn taken(value: Option<&Value>) -> Vec<Taken> {
    let one = |item: &Value| Taken {
        key: Some(text(item, "key")).filter(|key| !key.is_empty()).unwrap_or_else(|| text(item, "name")),
        name: text(item, "name"),
        path: Some(text(item, "ref_path")).filter(|path| !path.is_empty()).unwrap_or_else(|| text(item, "path")),
    };
    value.and_then(Value::as_array).into_iter().flatten().map(one).filter(|taken| !taken.path.is_empty()).collect()
}

/// Comparisons of members of the answer with constants, joined by `and` or by `or`: `resp.code == 0 and resp.data.state == "done"`.
pub fn expression(text: &str) -> Option<Condition> {
    let (join, parts): (&str, Vec<&str>) = match (text.contains(" and "), text.contains(" or ")) {
        (true, true) => return None,
        (_, true) => ("or", text.split(" or ").collect()),
        _ => ("and", text.split(" and ").collect()),
    };
    let clauses: Option<Vec<Value>> = parts
        .into_iter()
        .map(|part| {
            let sign = ["==", "!=", ">=", "<=", ">", "<"].into_iter().find(|sign| part.contains(sign))?;
            let (key, value) = part.split_once(sign)?;
            let (key, value) = (key.trim(), value.trim());
            let is_path = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
            let (kind, value) = match value {
                "True" | "true" => ("BOOLEAN", json!("true")),
                "False" | "false" => ("BOOLEAN", json!("false")),
                quoted if quoted.len() > 1 && (quoted.starts_with('"') && quoted.ends_with('"') || quoted.starts_with('\'') && quoted.ends_with('\'')) => {
                    ("STRING", json!(quoted[1..quoted.len() - 1]))
                }
                number => ("INT", serde_json::from_str::<serde_json::Number>(number).ok()?.into()),
            };
            is_path.then(|| json!({ "key": key, "type": kind, "condition": sign, "value": value }))
        })
        .collect();
    serde_json::from_value(json!({ "type": "and", "expressions": [{ "type": join, "expressions": clauses? }] })).ok()
}
