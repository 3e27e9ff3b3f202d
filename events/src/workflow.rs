//! Workflow definitions, by immutable version, in the stream `workflow-<id>`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fact::{Personals, facts};
use crate::outside::{Outside, Source};
use crate::{AttachmentId, LineId, NodeId, Pid, RoleId, WorkflowId};

facts! {
    /// The life of one workflow: its draft and its deployed versions.
    WorkflowEvent of "workflow" {
        Drafted "workflow.drafted" 1,
        Deployed "workflow.deployed" 1,
        Removed "workflow.removed" 1,
        Closed "workflow.closed" 1,
    }
}

/// The draft is as this says from now on; nothing runs on a draft.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drafted {
    pub workflow: WorkflowId,
    /// The version it was restored from, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<i64>,
    pub definition: Definition,
}
impl Personals for Drafted {}

/// A version that nothing points at was removed; tickets that ran on it keep their history, and its number is never given again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    pub workflow: WorkflowId,
    pub version: i64,
}
impl Personals for Removed {}

/// No new service may use the workflow, or it may again; tickets go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub workflow: WorkflowId,
    pub closed: bool,
}
impl Personals for Closed {}

/// A version was deployed; services and tickets point at it and it never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployed {
    pub workflow: WorkflowId,
    pub version: i64,
    pub definition: Definition,
}
impl Personals for Deployed {}

/// A whole workflow: nodes, lines and fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub desc: String,
    #[serde(default)]
    pub revoke: Revoke,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_biz_needed: bool,
    /// The kind of service it was drawn for (`flow_type`), for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub flow_type: String,
    /// An approver who is the creator has approved by submitting.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_auto_approve: bool,
    /// The creator and the supervisors may remind those who have to act.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_supervise_needed: bool,
    /// Who may remind the processors, besides the creator.
    #[serde(default, skip_serializing_if = "Processors::is_empty")]
    pub supervisors: Processors,
    /// `NONE`, `ONCE` or `RETRY`: how often people are told of their work.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notify_rule: String,
    pub nodes: Vec<Node>,
    pub lines: Vec<Line>,
    pub fields: Vec<Field>,
}

/// Until when the creator may withdraw (`revoke_config`, reference/bk-itsm.md 5.5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoke {
    Never,
    /// At any time before the end.
    Always,
    /// Until somebody has handled a node after the submit node.
    #[default]
    BeforeHandled,
    /// Until this node has been entered.
    BeforeNode(NodeId),
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    #[serde(rename = "START")]
    Start,
    /// A person fills a form.
    #[serde(rename = "NORMAL")]
    Manual,
    #[serde(rename = "APPROVAL")]
    Approval,
    /// A countersign without a result of its own: what it leaves behind are counters.
    #[serde(rename = "SIGN")]
    Sign,
    /// Calls an API.
    #[serde(rename = "TASK")]
    Task,
    /// Runs a task of the standard operations platform.
    #[serde(rename = "TASK-SOPS")]
    Sops,
    /// Calls a webhook.
    #[serde(rename = "WEBHOOK")]
    Webhook,
    /// A branch that only chooses one line.
    #[serde(rename = "ROUTER")]
    Router,
    /// Takes every line that holds, side by side.
    #[serde(rename = "ROUTER-P")]
    Parallel,
    /// Waits for every branch that its parallel gateway began.
    #[serde(rename = "COVERAGE")]
    Coverage,
    #[serde(rename = "END")]
    End,
}

impl NodeKind {
    /// A person acts here.
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::Manual | Self::Approval | Self::Sign)
    }
    /// Everybody at the node casts a vote.
    pub fn is_vote(self) -> bool {
        matches!(self, Self::Approval | Self::Sign)
    }
    /// The desk acts here, outside.
    pub fn is_automatic(self) -> bool {
        matches!(self, Self::Task | Self::Sops | Self::Webhook)
    }
    /// The word of the wire.
    pub fn key(self) -> &'static str {
        match self {
            Self::Start => "START",
            Self::Manual => "NORMAL",
            Self::Approval => "APPROVAL",
            Self::Sign => "SIGN",
            Self::Task => "TASK",
            Self::Sops => "TASK-SOPS",
            Self::Webhook => "WEBHOOK",
            Self::Router => "ROUTER",
            Self::Parallel => "ROUTER-P",
            Self::Coverage => "COVERAGE",
            Self::End => "END",
        }
    }
}

/// How a manual node finds its one handler (`distribute_type`, reference/bk-itsm.md 5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Handling {
    #[default]
    #[serde(rename = "PROCESS")]
    Process,
    #[serde(rename = "CLAIM_THEN_PROCESS")]
    ClaimThenProcess,
    #[serde(rename = "DISTRIBUTE_THEN_PROCESS")]
    DistributeThenProcess,
    #[serde(rename = "DISTRIBUTE_THEN_CLAIM")]
    DistributeThenClaim,
}

/// Who may act (`processors_type` and `processors`, reference/bk-itsm.md 9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "who")]
pub enum Processors {
    #[serde(rename = "PERSON")]
    Person(Vec<Pid>),
    /// Members of these roles; of all general roles where none is named.
    #[serde(rename = "GENERAL")]
    General(Vec<RoleId>),
    #[serde(rename = "STARTER")]
    Starter,
    #[serde(rename = "OPEN")]
    Open,
    /// The people in the first of these form fields that is filled.
    #[serde(rename = "VARIABLE")]
    Variable(Vec<String>),
    /// Nobody until the assignor names them.
    #[serde(rename = "BY_ASSIGNOR")]
    ByAssignor,
    /// Holders of these roles in the ticket's business.
    #[serde(rename = "CMDB")]
    Business(Vec<String>),
    #[serde(rename = "STARTER_LEADER")]
    StarterLeader,
    /// The leader of whoever handled that node last.
    #[serde(rename = "ASSIGN_LEADER")]
    NodeLeader(NodeId),
    /// The leader of the first person found in these form fields.
    #[serde(rename = "VARIABLE_LEADER")]
    VariableLeader(Vec<String>),
    /// Everybody in a department and below.
    #[serde(rename = "ORGANIZATION")]
    Organization(String),
    /// A role of another system; the caller says who that is (`meta.state_processors`).
    #[serde(rename = "IAM")]
    Iam(String),
    /// Another system acts.
    #[serde(rename = "API")]
    Api,
    #[default]
    #[serde(rename = "EMPTY")]
    Empty,
}

impl Processors {
    pub fn is_empty(&self) -> bool {
        *self == Self::Empty
    }
    /// Nobody can be found by this, whatever a ticket says: it was not filled in.
    pub fn is_unconfigured(&self) -> bool {
        match self {
            Self::Person(people) => people.is_empty(),
            Self::Business(keys) | Self::Variable(keys) | Self::VariableLeader(keys) => keys.is_empty(),
            Self::Organization(key) => key.is_empty(),
            Self::Empty | Self::Api => true,
            _ => false,
        }
    }
    /// The word of the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Person(_) => "PERSON",
            Self::General(_) => "GENERAL",
            Self::Starter => "STARTER",
            Self::Open => "OPEN",
            Self::Variable(_) => "VARIABLE",
            Self::ByAssignor => "BY_ASSIGNOR",
            Self::Business(_) => "CMDB",
            Self::StarterLeader => "STARTER_LEADER",
            Self::NodeLeader(_) => "ASSIGN_LEADER",
            Self::VariableLeader(_) => "VARIABLE_LEADER",
            Self::Organization(_) => "ORGANIZATION",
            Self::Iam(_) => "IAM",
            Self::Api => "API",
            Self::Empty => "EMPTY",
        }
    }
}

/// One step of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    pub name: String,
    pub kind: NodeKind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    #[serde(default)]
    pub processors: Processors,
    /// Who distributes, where the handling mode begins with distributing.
    #[serde(default)]
    pub assignors: Processors,
    /// To whom it may be delivered; `Empty` and `Open` mean anybody.
    #[serde(default)]
    pub delivers: Processors,
    #[serde(default)]
    pub handling: Handling,
    #[serde(default)]
    pub can_deliver: bool,
    #[serde(default)]
    pub is_terminable: bool,
    /// Every processor votes, instead of the first one for all.
    #[serde(default)]
    pub is_multi: bool,
    /// They vote one after the other, in processor order.
    #[serde(default)]
    pub is_sequential: bool,
    /// Over the counters of reference/bk-itsm.md 6; ends a multi-sign node early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_condition: Option<Condition>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terminate_when_rejected: bool,
    /// Passed over where nobody can be found for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_allow_skip: bool,
    /// The status the ticket shows from here on; one that ends tickets ends this one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status_on_entry: String,
    /// What an automatic node does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<Box<Outside>>,
    /// Keys of the fields its handler fills, in order.
    #[serde(default)]
    pub fields: Vec<String>,
    /// What an approval node leaves behind for lines to test: variable key and what it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
}

/// One output variable of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub key: String,
    pub holds: Holds,
}

/// What an output variable holds (codes of reference/bk-itsm.md 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holds {
    /// `"true"` or `"false"`.
    #[serde(rename = "NODE_APPROVE_RESULT")]
    ApproveResult,
    #[serde(rename = "NODE_APPROVER")]
    Approver,
    #[serde(rename = "PROCESS_COUNT")]
    ProcessCount,
    #[serde(rename = "PASS_COUNT")]
    PassCount,
    #[serde(rename = "REJECT_COUNT")]
    RejectCount,
    #[serde(rename = "PASS_RATE")]
    PassRate,
    #[serde(rename = "REJECT_RATE")]
    RejectRate,
}

/// A way from one node to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub id: LineId,
    pub from: NodeId,
    pub to: NodeId,
    #[serde(default)]
    pub name: String,
    /// Absent on the default line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

/// `and` or `or`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Join {
    #[default]
    And,
    Or,
}

/// The one condition language (reference/bk-itsm.md 7): groups of clauses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    #[serde(rename = "type", default)]
    pub join: Join,
    pub expressions: Vec<Group>,
}

/// Clauses joined by `and` or `or`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    #[serde(rename = "type", default)]
    pub join: Join,
    pub expressions: Vec<Clause>,
}

/// One comparison of a field or variable with a constant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clause {
    pub key: String,
    /// The field type that says how both sides are read.
    #[serde(rename = "type", default)]
    pub kind: String,
    pub condition: Operator,
    pub value: Value,
}

/// The comparison operators of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    #[serde(rename = "==")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
    #[serde(rename = ">")]
    Greater,
    #[serde(rename = "<")]
    Less,
    #[serde(rename = ">=")]
    AtLeast,
    #[serde(rename = "<=")]
    AtMost,
    #[serde(rename = "issuperset")]
    Superset,
    #[serde(rename = "notissuperset")]
    NotSuperset,
    #[serde(rename = "in")]
    In,
    #[serde(rename = "notin")]
    NotIn,
}

impl Operator {
    /// The sign of the wire.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Superset => "issuperset",
            Self::NotSuperset => "notissuperset",
            Self::In => "in",
            Self::NotIn => "notin",
        }
    }
}

/// One form field. Attributes that only pages use (layout, tips, source) travel in `shown` as they came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    #[serde(default)]
    pub id: i64,
    pub key: String,
    #[serde(rename = "type")]
    pub kind: FieldKind,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub desc: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choice: Vec<Choice>,
    #[serde(default)]
    pub is_required: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub regex: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub custom_regex: String,
    /// Hidden while this holds (`show_type` 0 and `show_conditions`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_when: Option<Group>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub default: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub meta: Value,
    /// `CUSTOM` (the options of `choice`), `DATADICT` (of the dictionary in `source_uri`), `API` (of another system, see `source`), `CUSTOM_API` (the
    /// same, but other values are taken as well), `RPC`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_type: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_uri: String,
    /// What supplies the options of `API` and `CUSTOM_API`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<Source>>,
    /// Filled in once; what stands in it stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_readonly: bool,
    /// The node whose form it stands in, where other nodes have fields of the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// What its value must be beside other fields, constants or the time (`regex_config.rule`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// Files that its form hands out to be filled in, where it is one for files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Template>,
    /// Which members of another system's rows are key and name of an option.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_relation: Option<Choice>,
    /// `COL_6` or `COL_12`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub layout: String,
    /// The shared field it was copied from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub library: String,
    /// Sealed under the creator's key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_personal: bool,
    /// The approve-or-reject choice of an approval node (`meta.code` APPROVE_RESULT).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_approve_result: bool,
}

/// An uploaded file that a form hands out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    pub id: AttachmentId,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// What a value must be beside others (`ASSOCIATED_FIELD_VALIDATION`, reference/bk-itsm.md 4.2).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    #[serde(rename = "type", default)]
    pub join: Join,
    pub expressions: Vec<Beside>,
}

/// One comparison of a field's own value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    pub condition: Operator,
    #[serde(flatten)]
    pub other: Other,
}

/// What it is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Other {
    /// Another field of the ticket.
    Field {
        key: String,
    },
    /// The time at which it is submitted.
    System,
    Value {
        value: Value,
    },
}

/// One option of a choice field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    pub key: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Choice>,
}

/// The field types of reference/bk-itsm.md 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum FieldKind {
    String,
    Text,
    RichText,
    Link,
    Int,
    Boolean,
    Date,
    DateTime,
    DateTimeRange,
    Select,
    Radio,
    InputSelect,
    MultiSelect,
    Checkbox,
    Member,
    Members,
    TreeSelect,
    Cascade,
    Table,
    CustomTable,
    File,
    #[serde(rename = "CUSTOM-FORM")]
    CustomForm,
}

impl FieldKind {
    /// Values of this type name people.
    pub fn names_people(self) -> bool {
        matches!(self, Self::Member | Self::Members)
    }
    /// Values of this type are what somebody wrote.
    pub fn is_prose(self) -> bool {
        matches!(self, Self::Text | Self::String | Self::RichText)
    }
}

impl Definition {
    /// Whoever is named anywhere in it.
    pub fn processors(&self) -> impl Iterator<Item = &Processors> {
        let of_nodes = self.nodes.iter().flat_map(|node| [&node.processors, &node.assignors, &node.delivers]);
        of_nodes.chain([&self.supervisors])
    }
    /// The same, so that people can be translated.
    pub fn processors_mut(&mut self) -> impl Iterator<Item = &mut Processors> {
        let of_nodes = self.nodes.iter_mut().flat_map(|node| [&mut node.processors, &mut node.assignors, &mut node.delivers]);
        of_nodes.chain([&mut self.supervisors])
    }
    /// The variables that hold who decided at an approval.
    pub fn approver_keys(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().flat_map(|node| &node.outputs).filter(|output| output.holds == Holds::Approver).map(|output| output.key.as_str())
    }
    /// Under which keys conditions find people: fields that name them, the creator, who decided at an approval.
    pub fn people_keys(&self) -> BTreeSet<String> {
        let of_fields = self.fields.iter().filter(|field| field.kind.names_people()).map(|field| field.key.clone());
        of_fields.chain(self.approver_keys().map(str::to_owned)).chain(["ticket_creator".to_owned()]).collect()
    }
    /// The texts that conditions compare people with.
    pub fn people_compared_mut(&mut self) -> Vec<&mut String> {
        let keys = self.people_keys();
        let groups = self.lines.iter_mut().filter_map(|line| line.condition.as_mut()).flat_map(|condition| &mut condition.expressions);
        let of_lines = groups.flat_map(|group| people_of(group, &keys));
        let of_fields = self.fields.iter_mut().flat_map(|field| field.people_compared_mut(&keys));
        of_lines.chain(of_fields).collect()
    }
    /// The names of secrets that its calls carry.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let of_nodes = self.nodes.iter().filter_map(|node| node.outside.as_deref()).map(|outside| match outside {
            Outside::Request(request) => request.secret.as_str(),
            Outside::Task(task) => task.secret.as_str(),
        });
        let of_fields = self.fields.iter().filter_map(|field| field.source.as_deref()).map(|source| source.request.secret.as_str());
        of_nodes.chain(of_fields).filter(|secret| !secret.is_empty())
    }
    /// Every file that a form hands out.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.fields.iter().flat_map(|field| &field.templates)
    }
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }
    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == key)
    }
    /// A field as one node has it: its own, else the one of that key.
    pub fn field_at(&self, node: NodeId, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == key && field.node == Some(node)).or_else(|| self.field(key))
    }
    /// The fields of one node, in its order.
    pub fn fields_of<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Field> {
        node.fields.iter().filter_map(|key| self.field_at(node.id, key))
    }
    /// The lines that lead on from a node, conditional ones first and the default last.
    pub fn lines_from(&self, node: NodeId) -> Vec<&Line> {
        let mut lines: Vec<&Line> = self.lines.iter().filter(|line| line.from == node).collect();
        lines.sort_by_key(|line| (line.condition.is_none(), line.id));
        lines
    }
    /// The submit node: the one after START.
    pub fn submit_node(&self) -> Option<&Node> {
        let start = self.nodes.iter().find(|node| node.kind == NodeKind::Start)?;
        let line = self.lines.iter().find(|line| line.from == start.id)?;
        self.node(line.to)
    }
}

impl Field {
    /// The texts that its conditions compare people with, where people stand under these keys.
    pub fn people_compared_mut(&mut self, keys: &BTreeSet<String>) -> Vec<&mut String> {
        let names_people = self.kind.names_people();
        let compared = self.rule.iter_mut().flat_map(|rule| &mut rule.expressions).filter(|_| names_people);
        let values = compared.filter_map(|beside| if let Other::Value { value } = &mut beside.other { Some(value) } else { None });
        let hidden = self.hidden_when.iter_mut().flat_map(|group| people_of(group, keys));
        hidden.chain(values.flat_map(texts)).collect()
    }
}

/// The texts that a group of clauses compares people with.
fn people_of<'a>(group: &'a mut Group, keys: &BTreeSet<String>) -> Vec<&'a mut String> {
    group.expressions.iter_mut().filter(|clause| keys.contains(&clause.key)).flat_map(|clause| texts(&mut clause.value)).collect()
}

/// A text, or the texts of an array.
fn texts(value: &mut Value) -> Vec<&mut String> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter_mut().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
