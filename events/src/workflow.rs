//! Workflow definitions, by immutable version, in the stream `workflow-<id>`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fact::{Personals, facts};
use crate::{LineId, NodeId, Pid, RoleId, WorkflowId};

facts! {
    /// The life of one workflow: its deployed versions.
    WorkflowEvent of "workflow" {
        Deployed "workflow.deployed" 1,
    }
}

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
    #[serde(rename = "END")]
    End,
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
    #[default]
    #[serde(rename = "EMPTY")]
    Empty,
}

impl Processors {
    /// The word of the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Person(_) => "PERSON",
            Self::General(_) => "GENERAL",
            Self::Starter => "STARTER",
            Self::Open => "OPEN",
            Self::Variable(_) => "VARIABLE",
            Self::ByAssignor => "BY_ASSIGNOR",
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
    /// `CUSTOM`, `API`, `DATADICT`, `RPC`, `CUSTOM_API`; only choices of `CUSTOM` are checked here.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_type: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_uri: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_readonly: bool,
    /// Sealed under the creator's key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_personal: bool,
    /// The approve-or-reject choice of an approval node (`meta.code` APPROVE_RESULT).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_approve_result: bool,
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
}

impl Definition {
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }
    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == key)
    }
    /// The fields of one node, in its order.
    pub fn fields_of<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Field> {
        node.fields.iter().filter_map(|key| self.field(key))
    }
    /// The submit node: the one after START.
    pub fn submit_node(&self) -> Option<&Node> {
        let start = self.nodes.iter().find(|node| node.kind == NodeKind::Start)?;
        let line = self.lines.iter().find(|line| line.from == start.id)?;
        self.node(line.to)
    }
}
