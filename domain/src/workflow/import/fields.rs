//! Reads the fields of an imported workflow file: their types and the sources of their options. The module
//! then adds the fields to the forms of the nodes.

use std::collections::BTreeMap;

use events::NodeId;
use events::workflow::service_task::Source;
use events::workflow::{Choice, Field, FieldKind, Other, Rule, Transition};
use serde_json::{Value, json};

use super::{Note, Reader, equals, flag, group_of, has_clause, int, is_blank_clause, listed, text};
use crate::value::plain;

/// The known members of a field in the imported file. The import reads some of these members. The other
/// known members affect only the web pages of BlueKing ITSM. The import report lists all unknown members.
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
            let kind: FieldKind =
                serde_json::from_value(kind_word.clone().into()).map_err(|_| {
                    format!("field {key} has the type {kind_word:?}, which is not supported")
                })?;
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
            self.report_unread(&place, "", raw, &FIELD);
            self.report_unread(
                &place,
                "regex_config.",
                raw.get("regex_config").unwrap_or(&Value::Null),
                &["rule"],
            );
            if hidden_when.is_none()
                && int(raw, "show_type") == Some(0)
                && raw.get("show_conditions").is_some_and(has_clause)
            {
                self.dropped(
                    &place,
                    "the condition that hides the field cannot be read; the field is always shown",
                );
            }
            let rule = rule_of(raw.pointer("/regex_config/rule"));
            if rule.is_none() && raw.pointer("/regex_config/rule").is_some_and(has_clause) {
                self.dropped(
                    &place,
                    "the comparison rule cannot be read and is not checked",
                );
            }
            // BlueKing ITSM displays the help text of a field only if `is_tips` is true or absent.
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
                    self.changed(&place, "the tip becomes the description");
                    desc = tips;
                }
                (false, false) => self.dropped(
                    &place,
                    format!("the tip {tips:?}, because the field has a description"),
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
                    "the template files are not in the workflow file; upload them again",
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

    /// Returns the code of the dictionary (a shared list of options) that contains the options of a field. For
    /// the fields `impact`, `urgency` and `priority`, this code can be missing in the file. The code is then
    /// the key of the field in upper case.
    fn source_uri(&mut self, raw: &Value, key: &str) -> String {
        let uri = text(raw, "source_uri");
        if text(raw, "source_type") != "DATADICT" || !uri.is_empty() {
            return uri;
        }
        let place = format!("field {key}");
        if !matches!(key, "impact" | "urgency" | "priority") {
            self.report.push(Note::Missing {
                place,
                what: "the dictionary of the options".into(),
            });
            return uri;
        }
        let code = key.to_uppercase();
        self.changed(place, format!("the options come from dictionary {code}"));
        code
    }

    /// Reads the API request that gets the options of a field from an external system (reference/bk-itsm.md
    /// 4.2, 8.1).
    fn source(&mut self, raw: &Value, key: &str) -> Option<Box<Source>> {
        let place = format!("field {key}");
        match text(raw, "source_type").as_str() {
            "API" | "CUSTOM_API" => {}
            "RPC" => {
                let procedure = text(raw, "source_uri");
                self.dropped(
                    place,
                    format!("the source of the options: the procedure {procedure:?} of BlueKing ITSM is not supported, and options are not checked"),
                );
                return None;
            }
            _ => return None,
        }
        let Some(info) = raw
            .get("api_info")
            .filter(|info| info.as_object().is_some_and(|info| !info.is_empty()))
        else {
            self.dropped(
                place,
                "the source of the options: the file has no API, and options are not checked",
            );
            return None;
        };
        let request = self.api(info, &place);
        if !(request.url.starts_with("http://") || request.url.starts_with("https://")) {
            let system = if request.system.is_empty() {
                String::new()
            } else {
                format!(" (system {})", request.system)
            };
            self.dropped(place, format!("the source of the options: the file has no host{system}, and options are not checked"));
            return None;
        }
        self.changed(
            &place,
            format!(
                "the options are requested from {} when the form is filled in",
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

    /// Adds the fields to the forms of the nodes. The form of a node contains first the fields that the node
    /// lists, and then the fields that refer to the node. Standard fields of a ticket, such as the title,
    /// belong to the submit node (the node that opens a ticket).
    pub(super) fn assign_fields(&mut self) {
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
        let mut keys_by_node: BTreeMap<NodeId, Vec<String>> = BTreeMap::new();
        for state in listed(self.flow, &["states"]) {
            if let Some(id) = int(state, "id") {
                let keys = listed(state, &["fields"])
                    .into_iter()
                    .filter_map(|field| by_id.get(&field.as_i64()?))
                    .map(|(key, _)| key.clone())
                    .collect();
                keys_by_node.insert(NodeId(id), keys);
            }
        }
        let known: Vec<NodeId> = self.definition.nodes.iter().map(|node| node.id).collect();
        for index in 0..self.definition.fields.len() {
            let field = &self.definition.fields[index];
            let (key, node) = (field.key.clone(), field.node);
            let place = format!("field {key}");
            match node {
                Some(node) if known.contains(&node) => {
                    let keys = keys_by_node.entry(node).or_default();
                    if !keys.contains(&key) {
                        keys.push(key);
                    }
                }
                Some(node) => self.dropped(
                    place,
                    format!(
                        "node {node} of the field is not in the file, so the field is in no form"
                    ),
                ),
                None if keys_by_node.values().any(|keys| keys.contains(&key)) => {}
                None if base.contains(&key)
                    && !matches!(key.as_str(), "current_status" | "priority")
                    && submit.is_some() =>
                {
                    keys_by_node
                        .entry(submit.unwrap_or_default())
                        .or_default()
                        .insert(0, key);
                }
                None => self.changed(
                    place,
                    "the field is in no form; it is a field of the ticket",
                ),
            }
        }
        let is_duplicated = |key: &str, fields: &[Field]| {
            fields.iter().filter(|field| field.key == key).count() > 1
        };
        for node in &mut self.definition.nodes {
            node.fields = keys_by_node.remove(&node.id).unwrap_or_default();
        }
        let fields = self.definition.fields.clone();
        for field in &mut self.definition.fields {
            // A field keeps the reference to its node only if another field has the same key.
            field.node = field
                .node
                .filter(|node| is_duplicated(&field.key, &fields) && known.contains(node));
        }
        // The title becomes the first field of each form that contains a title.
        for node in &mut self.definition.nodes {
            node.fields.sort_by_key(|key| key != "title");
        }
    }

    /// Marks one form field of each node with votes. The marked field contains the decision (approval or
    /// rejection). If the file already marks a field of the node, nothing changes for this node.
    pub(super) fn mark_approve_results(&mut self) {
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
            let is_marked = self
                .definition
                .fields_of(node)
                .any(|field| field.is_approve_result);
            let Some(id) = self
                .definition
                .fields_of(node)
                .find(decides)
                .map(|field| field.id)
                .filter(|_| !is_marked)
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

    /// Adds a field to the forms of some nodes. In this field, a person selects the next transition: forward
    /// or back. Only old files need this field, because their transitions contain a direction instead of a
    /// condition.
    pub(super) fn read_directions(&mut self) {
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
                format!("field {key} now selects between forward and back"),
            );
        }
        if edges.iter().any(|edge| edge.get("direction").is_some()) {
            self.make_reasons_optional();
        }
    }

    /// Makes two form fields optional: the reason for sending a ticket back and the reason for terminating a
    /// ticket. People must enter these reasons only for some decisions.
    fn make_reasons_optional(&mut self) {
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
    let children = |item: &Value| {
        ["items", "children"]
            .into_iter()
            .find_map(|key| item.get(key))
            .filter(|children| children.is_array())
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
                items: choices(children(item).as_ref()),
            })
            .collect(),
        _ => Vec::new(),
    }
}
