//! Writes a workflow in the export format of BlueKing ITSM (reference/bk-itsm.md 12.2, 12.3).
//!
//! The result is an array with one object. If [`super::import`] reads this result, the imported workflow is
//! equal to the exported workflow. User names and person ids are exported unchanged.

use std::collections::BTreeMap;

use events::RoleId;
use events::workflow::service_task::{Request, ServiceTask};
use events::workflow::{
    Choice, Condition, Definition, Field, Group, Join, Node, Other, Processors, Revoke, Rule,
    Transition,
};
use serde_json::{Map, Value, json};

/// Writes one version of a workflow as JSON. The parameter `roles` contains the names of the roles that the
/// workflow uses. With these names, another desk can find its own roles during an import.
pub fn write(
    definition: &Definition,
    version_number: &str,
    roles: &BTreeMap<RoleId, String>,
) -> Value {
    let (revocable, revoke) = match definition.revoke {
        Revoke::Never => (false, json!({ "type": 2, "state": 0 })),
        Revoke::Always => (true, json!({ "type": 1, "state": 0 })),
        Revoke::BeforeHandled => (true, json!({ "type": 2, "state": 0 })),
        Revoke::BeforeNode(node) => (true, json!({ "type": 3, "state": node })),
    };
    let keyed =
        |items: Vec<(String, Value)>| Value::Object(items.into_iter().collect::<Map<_, _>>());
    json!([{
        "name": definition.name,
        "desc": definition.desc,
        "flow_type": definition.flow_type,
        "is_enabled": true,
        "is_draft": false,
        "is_builtin": false,
        "is_deleted": false,
        "is_task_needed": false,
        "is_revocable": revocable,
        "revoke_config": revoke,
        "is_biz_needed": definition.is_biz_needed,
        "is_auto_approve": definition.is_auto_approve,
        "is_supervise_needed": definition.is_supervise_needed,
        "supervise_type": definition.supervisors.kind(),
        "supervisor": who(&definition.supervisors),
        "notify_rule": definition.notify_rule,
        "notify_freq": definition.notify_freq,
        "notify": definition.notify.iter().map(|kind| notify_kind(kind)).collect::<Vec<_>>(),
        "engine_version": "PIPELINE_V1",
        "version_number": version_number,
        "roles": roles.iter().map(|(id, name)| (id.to_string(), name.clone())).collect::<BTreeMap<_, _>>(),
        "states": keyed(definition.nodes.iter().map(|node| (node.id.to_string(), state(definition, node))).collect()),
        "transitions": keyed(definition.transitions.iter().map(|transition| (transition.id.to_string(), transition_json(transition))).collect()),
        "fields": keyed(definition.fields.iter().map(|each| (each.id.to_string(), field(definition, each))).collect()),
        "triggers": [],
        "task_schemas": [],
        "extras": {},
    }])
}

/// Returns a processor rule (a rule for the people who act at a node) as the text of the member `processors`
/// in BlueKing ITSM. If the text contains several ids, commas separate these ids. A list of people or roles
/// also has a comma at the start and at the end.
pub fn who(processors: &Processors) -> String {
    let comma_enclosed = |parts: Vec<String>| {
        if parts.is_empty() {
            String::new()
        } else {
            format!(",{},", parts.join(","))
        }
    };
    match processors {
        Processors::Person(people) => {
            comma_enclosed(people.iter().map(|pid| pid.0.clone()).collect())
        }
        Processors::General(roles) => {
            comma_enclosed(roles.iter().map(ToString::to_string).collect())
        }
        Processors::Variable(keys)
        | Processors::VariableLeader(keys)
        | Processors::Business(keys) => keys.join(","),
        Processors::NodeLeader(node) => node.to_string(),
        Processors::Organization(key) | Processors::Iam(key) => key.clone(),
        _ => String::new(),
    }
}

/// Returns a kind of messages as in the imported file. BlueKing ITSM also writes the id of a kind, which is a number.
fn notify_kind(kind: &str) -> Value {
    match kind.parse::<u32>() {
        Ok(id) => id.into(),
        Err(_) => kind.into(),
    }
}

fn state(definition: &Definition, node: &Node) -> Value {
    let ids: Vec<i64> = definition.fields_of(node).map(|field| field.id).collect();
    let counters: Vec<Value> = node
        .outputs
        .iter()
        .map(|output| json!({ "key": output.key, "type": "STRING", "source": "global", "state": node.id, "meta": { "code": output.holds } }))
        .collect();
    let mut extras =
        json!({ "enable_terminate_ticket_when_rejected": node.terminate_when_rejected });
    extras["ticket_status"] = match node.status_on_entry.as_str() {
        "" => json!({ "type": "keep", "name": "" }),
        status => json!({ "type": "custom", "name": status }),
    };
    let mut state = json!({
        "id": node.id, "name": node.name, "type": node.kind, "tag": node.tag,
        "processors_type": node.processors.kind(), "processors": who(&node.processors),
        "assignors_type": node.assignors.kind(), "assignors": who(&node.assignors),
        "delivers_type": node.delivers.kind(), "delivers": who(&node.delivers),
        "distribute_type": node.handling,
        "can_deliver": node.can_deliver, "is_terminable": node.is_terminable, "is_multi": node.is_multi, "is_sequential": node.is_sequential,
        "is_allow_skip": node.is_allow_skip, "is_draft": false,
        "is_first_state": definition.submit_node().is_some_and(|submit| submit.id == node.id),
        "finish_condition": node.finish_condition.as_ref().map_or_else(|| json!({}), |condition| json!(condition)),
        "variables": { "inputs": [], "outputs": counters },
        "fields": ids,
    });
    match node.service_task.as_deref() {
        Some(ServiceTask::Request(request)) if node.kind == events::workflow::NodeKind::Webhook => {
            extras["webhook_info"] = webhook(request);
        }
        Some(ServiceTask::Request(request)) => state["api_info"] = api(request),
        Some(ServiceTask::Task(task)) => {
            extras["sops_info"] = json!({
                "url": task.url,
                "bk_biz_id": { "name": "业务", "value_type": "custom", "value": task.bk_biz_id },
                "template_id": task.template_id, "template_source": task.template_source,
                "constants": task.constants, "exclude_task_nodes_id": task.exclude_task_nodes_id,
                "secret": task.secret, "polls_max": task.polls_max,
            });
        }
        Some(ServiceTask::Application(application)) => {
            extras["application_info"] = json!(application);
        }
        Some(ServiceTask::Mission(mission)) => {
            extras["mission_info"] = json!(mission);
        }
        None => {}
    }
    state["extras"] = extras;
    state
}

fn api(request: &Request) -> Value {
    let mut info = json!({
        "remote_api_info": { "method": request.method, "url": request.url, "headers": request.headers },
        "req_params": request.query, "query": request.query, "req_body": request.body, "body_schema": request.body_schema, "need_poll": request.poll.is_some(),
        "timeout_ms": request.timeout_ms, "attempts_max": request.attempts_max, "secret": request.secret, "credentials": request.credentials,
        "outputs": outputs(request),
    });
    if !request.system.is_empty() {
        info["remote_api_info"]["remote_system_name"] = request.system.clone().into();
    }
    if let Some(poll) = &request.poll {
        info["end_conditions"] = json!({ "poll_interval": poll.interval_ms / 1000, "poll_interval_ms": poll.interval_ms, "poll_time": poll.times_max });
        info["succeed_conditions"] = json!(poll.until);
    }
    if let Some(success) = &request.success {
        info["success"] = json!(success);
    }
    info
}

fn webhook(request: &Request) -> Value {
    json!({
        "method": request.method, "url": request.url, "query_params": request.query, "headers": request.headers,
        "auth": { "auth_type": if request.credentials.is_empty() { "none" } else { &request.credentials }, "auth_config": {} },
        "body": body(request),
        "settings": { "timeout": request.timeout_ms / 1000, "timeout_ms": request.timeout_ms, "attempts": request.attempts_max },
        "success_exp": request.success.as_ref().map(expression).unwrap_or_default(),
        // The text format of `success_exp` can represent only some conditions. The export therefore also
        // writes the complete condition in the member `success`.
        "success": request.success,
        "secret": request.secret, "credentials": request.credentials,
        "outputs": outputs(request),
    })
}

/// Returns the body of a webhook in the export format. A text is written as `content`, and form fields are
/// written as `params`. A JSON body is also written as `value`, so that an import can restore its JSON types.
fn body(request: &Request) -> Value {
    let header = request
        .headers
        .iter()
        .find(|pair| pair.key.eq_ignore_ascii_case("content-type"))
        .map_or("", |pair| pair.value.as_str());
    let kind = header
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_lowercase();
    let form = match kind.as_str() {
        "multipart/form-data" => Some("form-data"),
        "application/x-www-form-urlencoded" => Some("x-www-form-urlencoded"),
        _ => None,
    };
    let raw_type = match kind.rsplit(['/', '+']).next().unwrap_or_default() {
        "plain" => "Text",
        "xml" => "XML",
        "html" => "HTML",
        "javascript" => "JavaScript",
        _ => "JSON",
    };
    let raw = |content: &str| json!({ "type": "raw", "raw_type": raw_type, "content": content, "params": [] });
    match (&request.body, form) {
        (Value::Null, _) => json!({ "type": "none", "raw_type": "", "content": "", "params": [] }),
        (Value::String(text), None) => raw(text),
        (Value::String(text), Some(form)) => {
            json!({ "type": form, "raw_type": "", "content": text, "params": [] })
        }
        (Value::Array(fields), Some(form)) => {
            json!({ "type": form, "raw_type": "", "content": "", "params": fields })
        }
        (Value::Object(members), Some(form)) => {
            let fields: Vec<Value> = members
                .iter()
                .map(|(key, value)| json!({ "key": key, "value": value }))
                .collect();
            json!({ "type": form, "raw_type": "", "content": "", "params": fields })
        }
        (body, _) => {
            let mut written = raw(&body.to_string());
            written["value"] = body.clone();
            written
        }
    }
}

fn outputs(request: &Request) -> Vec<Value> {
    request.outputs.iter().map(|output| json!({ "key": output.key, "name": output.name, "ref_path": output.path, "type": "STRING", "source": "global" })).collect()
}

/// Returns a condition on a response as text. The text has the format in which BlueKing ITSM writes the
/// success condition of a webhook.
fn expression(condition: &Condition) -> String {
    let word = |join: Join| if join == Join::Or { " or " } else { " and " };
    let clause = |clause: &events::workflow::Clause| {
        let value = match (&clause.value, clause.kind.as_str()) {
            (Value::String(text), "BOOLEAN") => text.clone(),
            (Value::String(text), _) => format!("\"{text}\""),
            (other, _) => other.to_string(),
        };
        format!("{} {} {value}", clause.key, clause.condition.sign())
    };
    let group = |group: &Group| {
        group
            .expressions
            .iter()
            .map(clause)
            .collect::<Vec<_>>()
            .join(word(group.join))
    };
    match &condition.expressions[..] {
        [only] => group(only),
        groups => groups
            .iter()
            .map(|each| format!("({})", group(each)))
            .collect::<Vec<_>>()
            .join(word(condition.join)),
    }
}

fn transition_json(transition: &Transition) -> Value {
    let always = json!({ "type": "and", "expressions": [{ "type": "and", "expressions": [{ "key": "G_INT_1", "condition": "==", "value": 1 }] }] });
    json!({
        "id": transition.id, "from_state": transition.from, "to_state": transition.to, "name": transition.name,
        "condition_type": if transition.condition.is_some() { "by_field" } else { "default" },
        "condition": transition.condition.as_ref().map_or(always, |condition| json!(condition)),
        "axis": { "start": "Right", "end": "Left" },
    })
}

fn field(definition: &Definition, field: &Field) -> Value {
    let node_with_field = || {
        definition
            .nodes
            .iter()
            .find(|node| node.fields.contains(&field.key))
            .map(|node| node.id)
    };
    let mut meta = if field.meta.is_null() {
        json!({})
    } else {
        field.meta.clone()
    };
    if field.is_approve_result {
        meta["code"] = "APPROVE_RESULT".into();
    }
    let mut written = json!({
        "id": field.id, "key": field.key, "type": field.kind, "name": field.name, "desc": field.desc,
        "state_id": field.node.or_else(node_with_field),
        "choice": choices(&field.choice),
        "validate_type": if field.is_required { "REQUIRE" } else { "OPTION" },
        "regex": if field.regex.is_empty() { "EMPTY" } else { &field.regex },
        "custom_regex": field.custom_regex,
        "regex_config": field.rule.as_ref().map_or_else(|| json!({}), |rule| json!({ "rule": self::rule(rule) })),
        "show_type": u8::from(field.hidden_when.is_none()),
        "show_conditions": field.hidden_when.as_ref().map_or_else(|| json!({}), |hidden| json!(hidden)),
        "default": field.default, "meta": meta, "source": "CUSTOM",
        "source_type": if field.source_type.is_empty() { "CUSTOM" } else { &field.source_type },
        "source_uri": field.source_uri, "is_readonly": field.is_readonly, "is_personal": field.is_personal,
        "layout": if field.layout.is_empty() { "COL_12" } else { &field.layout },
    });
    if let Some(source) = &field.source {
        written["api_info"] = api(&source.request);
        written["api_info"]["rsp_data"] = source.rows.clone().into();
    }
    if let Some(kv) = &field.kv_relation {
        written["kv_relation"] = json!(kv);
    }
    written
}

fn choices(choices: &[Choice]) -> Vec<Value> {
    choices.iter().map(|choice| json!(choice)).collect()
}

/// Returns the comparison rule of a field in the format of the member `regex_config.rule` in BlueKing ITSM
/// (reference/bk-itsm.md 4.2).
pub fn rule(rule: &Rule) -> Value {
    let beside = |beside: &events::workflow::Beside| {
        let (source, key, value) = match &beside.other {
            Other::Field { key } => ("field", key.clone(), Value::Null),
            Other::System => ("system", String::new(), Value::Null),
            Other::Value { value } => ("value", String::new(), value.clone()),
        };
        json!({ "condition": beside.condition, "source": source, "key": key, "value": value })
    };
    json!({ "type": rule.join, "expressions": rule.expressions.iter().map(beside).collect::<Vec<_>>() })
}
