//! The fields of a file: what they are, where their options stand, which form each stands in.

use std::collections::BTreeMap;

use events::NodeId;
use events::service_task::Source;
use events::workflow::{Choice, Field, FieldKind, Other, Rule, Transition};
use serde_json::{Value, json};

use super::{
    Note, Reader, equals, flag, group_of, int, is_blank_clause, listed, says_something, text,
};
use crate::ticket::form::plain;

/// Members of a field that are read, or concern only the original's own pages.
const FIELD: [&str; 28] = [
    "key",
    "type",
    "name",
    "desc",
    "tips",
    "is_tips",
    "choice",
    "validate_type",
    "regex",
    "regex_config",
    "custom_regex",
    "show_type",
    "show_conditions",
    "default",
    "meta",
    "source",
    "source_type",
    "source_uri",
    "is_readonly",
    "is_personal",
    "state_id",
    "layout",
    "kv_relation",
    "api_info",
    "related_fields",
    "is_valid",
    "display",
    "flow_type",
];

impl Reader<'_> {
    pub(super) fn fields(&mut self) -> Result<(), String> {
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
            next = next.max(id).saturating_add(1);
            let meta = raw
                .get("meta")
                .filter(|meta| meta.as_object().is_some_and(|meta| !meta.is_empty()))
                .cloned()
                .unwrap_or_default();
            let hidden_when = (int(raw, "show_type") == Some(0))
                .then(|| raw.get("show_conditions").and_then(group_of))
                .flatten();
            let place = format!("field {key}");
            self.unread(&place, "", raw, &FIELD);
            self.unread(
                &place,
                "regex_config.",
                raw.get("regex_config").unwrap_or(&Value::Null),
                &["rule"],
            );
            if hidden_when.is_none()
                && int(raw, "show_type") == Some(0)
                && raw.get("show_conditions").is_some_and(says_something)
            {
                self.dropped(
                    &place,
                    "the condition under which it is hidden cannot be read; it is always shown",
                );
            }
            let rule = rule_of(raw.pointer("/regex_config/rule"));
            if rule.is_none()
                && raw
                    .pointer("/regex_config/rule")
                    .is_some_and(says_something)
            {
                self.dropped(
                    &place,
                    "what it must be beside other fields cannot be read, and is not checked",
                );
            }
            // A tip that is switched off is not shown.
            let is_tip = raw.get("is_tips").is_none() || flag(raw, "is_tips");
            let (mut desc, tips) = (
                text(raw, "desc"),
                if is_tip {
                    text(raw, "tips")
                } else {
                    String::new()
                },
            );
            match (desc.is_empty(), tips.is_empty()) {
                (_, true) => {}
                (true, false) => {
                    self.changed(&place, "its tip is its description");
                    desc = tips;
                }
                (false, false) => self.dropped(
                    &place,
                    format!("its tip {tips:?}, since it has a description"),
                ),
            }
            let source_uri = self.source_uri(raw, &key);
            let source = self.source(raw, &key);
            if kind == FieldKind::File
                && raw
                    .get("choice")
                    .is_some_and(|choice| choice.as_object().is_some_and(|files| !files.is_empty()))
            {
                self.dropped(
                    &place,
                    "its template files are not in the file; upload them again",
                );
            }
            let regex = Some(text(raw, "regex"))
                .filter(|regex| regex != "EMPTY")
                .unwrap_or_default();
            self.definition.fields.push(Field {
                id,
                name: text(raw, "name"),
                desc,
                choice: choices(raw.get("choice")),
                is_required: text(raw, "validate_type") == "REQUIRE",
                custom_regex: text(raw, "custom_regex"),
                hidden_when,
                default: raw
                    .get("default")
                    .filter(|default| !plain(default).is_empty())
                    .cloned()
                    .unwrap_or_default(),
                source_type: Some(text(raw, "source_type"))
                    .filter(|source| source != "CUSTOM")
                    .unwrap_or_default(),
                source_uri,
                source,
                templates: Vec::new(),
                library: String::new(),
                is_readonly: flag(raw, "is_readonly"),
                node: int(raw, "state_id").map(NodeId),
                rule,
                kv_relation: raw
                    .get("kv_relation")
                    .and_then(|kv| serde_json::from_value(kv.clone()).ok()),
                layout: text(raw, "layout"),
                is_personal: flag(raw, "is_personal"),
                is_approve_result: meta
                    .get("code")
                    .is_some_and(|code| code == "APPROVE_RESULT"),
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
            self.report.push(Note::Missing {
                place,
                what: "which dictionary its options stand in".into(),
            });
            return uri;
        }
        let code = key.to_uppercase();
        self.changed(place, format!("its options stand in dictionary {code}"));
        code
    }

    /// Which API supplies a field's options (reference/bk-itsm.md 4.2, 8.1).
    fn source(&mut self, raw: &Value, key: &str) -> Option<Box<Source>> {
        let place = format!("field {key}");
        match text(raw, "source_type").as_str() {
            "API" | "CUSTOM_API" => {}
            "RPC" => {
                let procedure = text(raw, "source_uri");
                self.dropped(
                    place,
                    format!("which API supplies its options: the procedure {procedure:?} of the original is not here, and options are not checked"),
                );
                return None;
            }
            _ => return None,
        }
        let Some(info) = raw
            .get("api_info")
            .filter(|info| info.as_object().is_some_and(|info| !info.is_empty()))
        else {
            self.dropped(place, "which API supplies its options: the file does not have it, and options are not checked");
            return None;
        };
        let request = self.api(info, &place);
        if !(request.url.starts_with("http://") || request.url.starts_with("https://")) {
            let system = if request.system.is_empty() {
                String::new()
            } else {
                format!(" (system {})", request.system)
            };
            self.dropped(place, format!("where the API is that supplies its options: the file has no host{system}, and options are not checked"));
            return None;
        }
        self.changed(
            &place,
            format!(
                "its options are asked of {} whenever it is filled in",
                request.url
            ),
        );
        let rows = text(
            info.get("api_instance_info")
                .or_else(|| info.get("api_instance"))
                .unwrap_or(info),
            "rsp_data",
        );
        Some(Box::new(Source { request, rows }))
    }

    /// Gives every node its fields: in the order it names them, else those that name the node; base fields go to the submit node.
    pub(super) fn place_fields(&mut self) {
        let submit = self.definition.submit_node().map(|node| node.id);
        let by_id: BTreeMap<i64, (String, Option<NodeId>)> = self
            .definition
            .fields
            .iter()
            .map(|field| (field.id, (field.key.clone(), field.node)))
            .collect();
        let raw_fields = listed(self.flow, &["fields"]);
        let base: Vec<String> = raw_fields
            .iter()
            .filter(|raw| text(raw, "source") == "TABLE" && int(raw, "state_id").is_none())
            .map(|raw| text(raw, "key"))
            .collect();
        let mut named: BTreeMap<NodeId, Vec<String>> = BTreeMap::new();
        for state in listed(self.flow, &["states"]) {
            if let Some(id) = int(state, "id") {
                let keys = listed(state, &["fields"])
                    .into_iter()
                    .filter_map(|field| by_id.get(&field.as_i64()?))
                    .map(|(key, _)| key.clone())
                    .collect();
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
                Some(node) => self.dropped(
                    place,
                    format!("its node {node} is not in the file, so no form asks for it"),
                ),
                None if named.values().any(|keys| keys.contains(&key)) => {}
                None if base.contains(&key)
                    && !matches!(key.as_str(), "current_status" | "priority")
                    && submit.is_some() =>
                {
                    named
                        .entry(submit.unwrap_or_default())
                        .or_default()
                        .insert(0, key);
                }
                None => self.changed(place, "no form asks for it; it is a field of the ticket"),
            }
        }
        let many = |key: &str, fields: &[Field]| {
            fields.iter().filter(|field| field.key == key).count() > 1
        };
        for node in &mut self.definition.nodes {
            node.fields = named.remove(&node.id).unwrap_or_default();
        }
        let fields = self.definition.fields.clone();
        for field in &mut self.definition.fields {
            // Only where a key stands in several forms must a field say which form it is of.
            field.node = field
                .node
                .filter(|node| many(&field.key, &fields) && known.contains(node));
        }
        // The title comes first in every form that asks for it.
        for node in &mut self.definition.nodes {
            node.fields.sort_by_key(|key| key != "title");
        }
    }

    /// Finds the field that holds an approver's decision where the file does not mark it.
    pub(super) fn results(&mut self) {
        for node in self
            .definition
            .nodes
            .clone()
            .iter()
            .filter(|node| node.kind.is_vote())
        {
            let decides = |field: &&Field| {
                let keys: Vec<&str> = field
                    .choice
                    .iter()
                    .map(|choice| choice.key.as_str())
                    .collect();
                matches!(field.kind, FieldKind::Radio | FieldKind::Select)
                    && keys.len() == 2
                    && keys.contains(&"true")
                    && keys.contains(&"false")
            };
            let marked = self
                .definition
                .fields_of(node)
                .any(|field| field.is_approve_result);
            let Some(id) = self
                .definition
                .fields_of(node)
                .find(decides)
                .map(|field| field.id)
                .filter(|_| !marked)
            else {
                continue;
            };
            if let Some(field) = self
                .definition
                .fields
                .iter_mut()
                .find(|field| field.id == id)
            {
                field.is_approve_result = true;
            }
        }
    }

    /// The old dialect says of a transition only that it leads forward or back, and leaves the choice to whoever handles the node: here the choice is a field.
    pub(super) fn directions(&mut self) {
        let edges = listed(self.flow, &["edges", "transitions"]);
        let back: Vec<(NodeId, NodeId)> = edges
            .iter()
            .filter(|edge| text(edge, "direction") == "BACK")
            .filter_map(|edge| {
                Some((
                    NodeId(int(edge, "from").or_else(|| int(edge, "from_state"))?),
                    NodeId(int(edge, "to").or_else(|| int(edge, "to_state"))?),
                ))
            })
            .collect();
        let nodes: Vec<NodeId> = self.definition.nodes.iter().map(|node| node.id).collect();
        for node in nodes {
            let transitions: Vec<Transition> = self
                .definition
                .transitions_from(node)
                .into_iter()
                .cloned()
                .collect();
            if transitions.len() < 2
                || !transitions
                    .iter()
                    .any(|transition| back.contains(&(transition.from, transition.to)))
            {
                continue;
            }
            let key = format!("direction_{node}");
            let is_back =
                |transition: &Transition| back.contains(&(transition.from, transition.to));
            let name =
                |transition: &Transition| match (is_back(transition), transition.name.is_empty()) {
                    (true, _) => format!(
                        "退回：{}",
                        self.definition
                            .node(transition.to)
                            .map_or("", |node| node.name.as_str())
                    ),
                    (false, false) => transition.name.clone(),
                    (false, true) => "提交".to_owned(),
                };
            let mut choice: Vec<Choice> = transitions
                .iter()
                .map(|transition| Choice {
                    key: transition.id.to_string(),
                    name: name(transition),
                    items: Vec::new(),
                })
                .collect();
            choice.sort_by_key(|choice| {
                transitions.iter().any(|transition| {
                    transition.id.to_string() == choice.key && is_back(transition)
                })
            });
            let id = self
                .definition
                .fields
                .iter()
                .map(|field| field.id)
                .max()
                .unwrap_or_default()
                .saturating_add(1);
            let field = json!({ "id": id, "key": key, "type": "RADIO", "name": "处理结果", "choice": choice, "is_required": true, "default": choice[0].key });
            self.definition
                .fields
                .extend(serde_json::from_value::<Field>(field));
            for transition in &mut self.definition.transitions {
                if transition.from == node {
                    transition.condition = Some(equals(&key, &transition.id.to_string()));
                }
            }
            if let Some(node) = self
                .definition
                .nodes
                .iter_mut()
                .find(|other| other.id == node)
            {
                node.fields.push(key.clone());
            }
            self.changed(
                format!("node {node}"),
                format!("whether it goes forward or back is now chosen in field {key}"),
            );
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
}

fn rule_of(value: Option<&Value>) -> Option<Rule> {
    let value = value?;
    let mut rule: Rule = Rule {
        join: serde_json::from_value(value.get("type").cloned().unwrap_or("and".into())).ok()?,
        expressions: Vec::new(),
    };
    for raw in value
        .get("expressions")
        .and_then(Value::as_array)?
        .iter()
        .filter(|raw| !is_blank_clause(raw))
    {
        let condition = serde_json::from_value(raw.get("condition")?.clone()).ok()?;
        let other = match text(raw, "source").as_str() {
            "field" => Other::Field {
                key: Some(text(raw, "key"))
                    .filter(|key| !key.is_empty())
                    .unwrap_or_else(|| text(raw, "value")),
            },
            "system" => Other::System,
            _ => Other::Value {
                value: raw.get("value").cloned().unwrap_or_default(),
            },
        };
        rule.expressions
            .push(events::workflow::Beside { condition, other });
    }
    Some(rule).filter(|rule| !rule.expressions.is_empty())
}

fn choices(value: Option<&Value>) -> Vec<Choice> {
    let below = |item: &Value| {
        ["items", "children"]
            .into_iter()
            .find_map(|key| item.get(key))
            .filter(|below| below.is_array())
            .cloned()
    };
    match value {
        Some(Value::Array(items)) => items
            .iter()
            .filter(|item| item.is_object())
            .map(|item| Choice {
                key: Some(text(item, "key"))
                    .filter(|key| !key.is_empty())
                    .unwrap_or_else(|| text(item, "id")),
                name: text(item, "name"),
                items: choices(below(item).as_ref()),
            })
            .collect(),
        _ => Vec::new(),
    }
}
