//! Workflow definitions, by immutable version, in the stream `workflow-<id>`.

pub mod service_task;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Personals, event_enum};
use crate::{AttachmentId, NodeId, PersonId, RoleId, TransitionId, WorkflowId};

use service_task::{ServiceTask, Source};

event_enum! {
    /// The events of one workflow: its draft and its deployed versions.
    WorkflowEvent of "workflow" {
        DraftSaved "workflow.draft_saved" 1,
        Deployed "workflow.deployed" 1,
        VersionRemoved "workflow.version_removed" 1,
        AvailabilityChanged "workflow.availability_changed" 1,
    }
}

/// The draft was saved and replaces the former draft; no ticket runs on a draft.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DraftSaved {
    pub workflow: WorkflowId,
    /// The version from which the draft was restored, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<i64>,
    pub definition: Definition,
}
impl Personals for DraftSaved {}

/// An unreferenced version was removed. Tickets that ran on it keep their history, and its number
/// is never reused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionRemoved {
    pub workflow: WorkflowId,
    pub version: i64,
}
impl Personals for VersionRemoved {}

/// New services may no longer use the workflow (`closed`), or may use it again. Existing tickets
/// continue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AvailabilityChanged {
    pub workflow: WorkflowId,
    pub closed: bool,
}
impl Personals for AvailabilityChanged {}

/// A version was deployed. Services and tickets reference it, and it never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployed {
    pub workflow: WorkflowId,
    pub version: i64,
    pub definition: Definition,
}
impl Personals for Deployed {}

/// A complete workflow: nodes, transitions and fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub desc: String,
    #[serde(default)]
    pub revoke: Revoke,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_biz_needed: bool,
    /// The intended kind of service (`flow_type`), for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub flow_type: String,
    /// If an approver is the creator, the submission counts as approval.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_auto_approve: bool,
    /// Whether the creator and the supervisors may remind the processors.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_supervise_needed: bool,
    /// The people who may remind the processors, besides the creator.
    #[serde(default, skip_serializing_if = "Processors::is_empty")]
    pub supervisors: Processors,
    /// `NONE`, `ONCE` or `RETRY`: how often processors are notified of their work.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notify_rule: String,
    pub nodes: Vec<Node>,
    pub transitions: Vec<Transition>,
    pub fields: Vec<Field>,
}

/// Until when the creator may withdraw the ticket (`revoke_config`, reference/bk-itsm.md 5.5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoke {
    Never,
    /// At any time before the end.
    Always,
    /// Until a person has handled a node after the submit node.
    #[default]
    BeforeHandled,
    /// Until this node has been entered.
    BeforeNode(NodeId),
}

/// The kind of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    #[serde(rename = "START")]
    Start,
    /// A person fills in a form.
    #[serde(rename = "NORMAL")]
    Manual,
    #[serde(rename = "APPROVAL")]
    Approval,
    /// A countersign without a result of its own; its outputs are counters.
    #[serde(rename = "SIGN")]
    Sign,
    /// Calls an API.
    #[serde(rename = "TASK")]
    Task,
    /// Runs a BlueKing SOPS task.
    #[serde(rename = "TASK-SOPS")]
    Sops,
    /// Calls a webhook.
    #[serde(rename = "WEBHOOK")]
    Webhook,
    /// A branch that chooses exactly one transition.
    #[serde(rename = "ROUTER")]
    Router,
    /// A parallel gateway: takes every matching transition.
    #[serde(rename = "ROUTER-P")]
    Parallel,
    /// Waits for every branch that its parallel gateway started.
    #[serde(rename = "COVERAGE")]
    Coverage,
    #[serde(rename = "END")]
    End,
}

impl NodeKind {
    /// Returns whether people act at this kind of node.
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::Manual | Self::Approval | Self::Sign)
    }
    /// Returns whether each processor casts a vote at this kind of node.
    pub fn is_vote(self) -> bool {
        matches!(self, Self::Approval | Self::Sign)
    }
    /// Returns whether the desk executes a service task at this kind of node.
    pub fn is_automatic(self) -> bool {
        matches!(self, Self::Task | Self::Sops | Self::Webhook)
    }
    /// Returns the wire value.
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

/// How a manual node gets its one processor (`distribute_type`, reference/bk-itsm.md 5.4).
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

/// A configuration of people (`processors_type` and `processors`, reference/bk-itsm.md 9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "who")]
pub enum Processors {
    #[serde(rename = "PERSON")]
    Person(Vec<PersonId>),
    /// Members of these roles; of all general roles if the list is empty.
    #[serde(rename = "GENERAL")]
    General(Vec<RoleId>),
    #[serde(rename = "STARTER")]
    Starter,
    #[serde(rename = "OPEN")]
    Open,
    /// The people in the first non-empty field of these form fields.
    #[serde(rename = "VARIABLE")]
    Variable(Vec<String>),
    /// The people that the assignor names; empty before.
    #[serde(rename = "BY_ASSIGNOR")]
    ByAssignor,
    /// People with these roles in the ticket's business.
    #[serde(rename = "CMDB")]
    Business(Vec<String>),
    #[serde(rename = "STARTER_LEADER")]
    StarterLeader,
    /// The leader of the person who handled this node last.
    #[serde(rename = "ASSIGN_LEADER")]
    NodeLeader(NodeId),
    /// The leader of the first person in these form fields.
    #[serde(rename = "VARIABLE_LEADER")]
    VariableLeader(Vec<String>),
    /// Every member of a department and of the departments below it.
    #[serde(rename = "ORGANIZATION")]
    Organization(String),
    /// A role of another system; the client names the people (`meta.state_processors`).
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
    /// Returns whether this configuration yields no people for any ticket, because it was not
    /// filled in.
    pub fn is_unconfigured(&self) -> bool {
        match self {
            Self::Person(people) => people.is_empty(),
            Self::Business(keys) | Self::Variable(keys) | Self::VariableLeader(keys) => {
                keys.is_empty()
            }
            Self::Organization(key) => key.is_empty(),
            Self::Empty | Self::Api => true,
            _ => false,
        }
    }
    /// Returns the wire value.
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
    /// The people who assign the node, if the handling mode begins with an assignment.
    #[serde(default)]
    pub assignors: Processors,
    /// The people to whom the node may be transferred; `Empty` and `Open` allow every person.
    #[serde(default)]
    pub delivers: Processors,
    #[serde(default)]
    pub handling: Handling,
    #[serde(default)]
    pub can_deliver: bool,
    #[serde(default)]
    pub is_terminable: bool,
    /// Every processor votes; otherwise the first vote decides.
    #[serde(default)]
    pub is_multi: bool,
    /// The processors vote one after the other, in their order.
    #[serde(default)]
    pub is_sequential: bool,
    /// A condition over the counters of reference/bk-itsm.md 6; if it matches, the votes of a
    /// countersign end early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_condition: Option<Condition>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terminate_when_rejected: bool,
    /// Whether the node is skipped if it has no processors.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_allow_skip: bool,
    /// The status that the ticket displays from this node on. A final status ends the ticket.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status_on_entry: String,
    /// The operation of an automatic node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_task: Option<Box<ServiceTask>>,
    /// Keys of the fields that the processor fills in, in order.
    #[serde(default)]
    pub fields: Vec<String>,
    /// The output variables of an approval node, for conditions of transitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
}

/// One output variable of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub key: String,
    pub holds: Holds,
}

/// The content of an output variable (codes of reference/bk-itsm.md 6).
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

/// A directed connection from one node to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    pub id: TransitionId,
    pub from: NodeId,
    pub to: NodeId,
    #[serde(default)]
    pub name: String,
    /// Absent on the default transition.
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

/// The condition language of the desk (reference/bk-itsm.md 7): groups of clauses.
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
    /// The field type that determines how both sides are parsed.
    #[serde(rename = "type", default)]
    pub kind: String,
    pub condition: Operator,
    pub value: Value,
}

/// The comparison operators, with their wire values.
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
    /// Returns the wire value.
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

/// One form field. `meta`, `layout` and the other attributes that only pages use are stored without
/// interpretation.
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
    /// The field is hidden while this condition matches (`show_type` 0 and `show_conditions`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_when: Option<Group>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub default: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub meta: Value,
    /// The source of the options: `CUSTOM` (`choice`), `DATADICT` (the dictionary in `source_uri`),
    /// `API` (another system, see `source`), `CUSTOM_API` (as `API`, but other values are allowed)
    /// or `RPC`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_type: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_uri: String,
    /// The request that supplies the options of `API` and `CUSTOM_API`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<Source>>,
    /// Whether a value, once filled in, can no longer be changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_readonly: bool,
    /// The node of the form with this field, if other nodes have fields of the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Comparisons of the value with other fields, constants or the time (`regex_config.rule`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// Template files that the form offers for download, for a field of kind `File`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Template>,
    /// Names of two members of a row from another system: one contains the key of an option, the
    /// other its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_relation: Option<Choice>,
    /// `COL_6` or `COL_12`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub layout: String,
    /// The key of the shared field that this field was copied from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub library: String,
    /// Whether the value is sealed under the creator's key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_personal: bool,
    /// Whether this field is the approve-or-reject choice of an approval node (`meta.code`
    /// APPROVE_RESULT).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_approve_result: bool,
}

/// An uploaded template file that a form offers for download.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    pub id: AttachmentId,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Comparisons that a value must satisfy (`ASSOCIATED_FIELD_VALIDATION`, reference/bk-itsm.md 4.2).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    #[serde(rename = "type", default)]
    pub join: Join,
    pub expressions: Vec<Beside>,
}

/// One comparison of the field's own value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    pub condition: Operator,
    #[serde(flatten)]
    pub other: Other,
}

/// The other side of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Other {
    /// Another field of the ticket.
    Field {
        key: String,
    },
    /// The time of submission.
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
    /// Returns whether values of this type name people.
    pub fn names_people(self) -> bool {
        matches!(self, Self::Member | Self::Members)
    }
    /// Returns whether values of this type are free text.
    pub fn is_prose(self) -> bool {
        matches!(self, Self::Text | Self::String | Self::RichText)
    }
}

impl Definition {
    /// Returns every configuration of people in the definition.
    pub fn processors(&self) -> impl Iterator<Item = &Processors> {
        let of_nodes = self
            .nodes
            .iter()
            .flat_map(|node| [&node.processors, &node.assignors, &node.delivers]);
        of_nodes.chain([&self.supervisors])
    }
    /// Returns every configuration of people, mutably, so that names can be replaced by ids.
    pub fn processors_mut(&mut self) -> impl Iterator<Item = &mut Processors> {
        let of_nodes = self.nodes.iter_mut().flat_map(|node| {
            [
                &mut node.processors,
                &mut node.assignors,
                &mut node.delivers,
            ]
        });
        of_nodes.chain([&mut self.supervisors])
    }
    /// Returns the keys of the variables with the approvers of an approval node.
    pub fn approver_keys(&self) -> impl Iterator<Item = &str> {
        self.nodes
            .iter()
            .flat_map(|node| &node.outputs)
            .filter(|output| output.holds == Holds::Approver)
            .map(|output| output.key.as_str())
    }
    /// Returns the keys under which conditions find people: fields that name people, the creator,
    /// and the approvers of approval nodes.
    pub fn people_keys(&self) -> BTreeSet<String> {
        let of_fields = self
            .fields
            .iter()
            .filter(|field| field.kind.names_people())
            .map(|field| field.key.clone());
        of_fields
            .chain(self.approver_keys().map(str::to_owned))
            .chain(["ticket_creator".to_owned()])
            .collect()
    }
    /// Returns the texts in conditions that are compared with people, mutably.
    pub fn people_compared_mut(&mut self) -> Vec<&mut String> {
        let keys = self.people_keys();
        let groups = self
            .transitions
            .iter_mut()
            .filter_map(|transition| transition.condition.as_mut())
            .flat_map(|condition| &mut condition.expressions);
        let of_transitions = groups.flat_map(|group| people_of(group, &keys));
        let of_fields = self
            .fields
            .iter_mut()
            .flat_map(|field| field.people_compared_mut(&keys));
        of_transitions.chain(of_fields).collect()
    }
    /// Returns the names of the secrets that its requests use.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let of_nodes = self
            .nodes
            .iter()
            .filter_map(|node| node.service_task.as_deref())
            .map(|service_task| match service_task {
                ServiceTask::Request(request) => request.secret.as_str(),
                ServiceTask::Task(task) => task.secret.as_str(),
            });
        let of_fields = self
            .fields
            .iter()
            .filter_map(|field| field.source.as_deref())
            .map(|source| source.request.secret.as_str());
        of_nodes
            .chain(of_fields)
            .filter(|secret| !secret.is_empty())
    }
    /// Returns every template file that a form offers.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.fields.iter().flat_map(|field| &field.templates)
    }
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }
    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == key)
    }
    /// Returns the field of one node: the node's own field, otherwise the shared field of that key.
    pub fn field_at(&self, node: NodeId, key: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|field| field.key == key && field.node == Some(node))
            .or_else(|| self.field(key))
    }
    /// Returns the fields of one node, in its order.
    pub fn fields_of<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Field> {
        node.fields
            .iter()
            .filter_map(|key| self.field_at(node.id, key))
    }
    /// Returns the outgoing transitions of a node, the conditional ones first and the default last.
    pub fn transitions_from(&self, node: NodeId) -> Vec<&Transition> {
        let mut transitions: Vec<&Transition> = self
            .transitions
            .iter()
            .filter(|transition| transition.from == node)
            .collect();
        transitions.sort_by_key(|transition| (transition.condition.is_none(), transition.id));
        transitions
    }
    /// Returns the submit node: the node after START.
    pub fn submit_node(&self) -> Option<&Node> {
        let start = self
            .nodes
            .iter()
            .find(|node| node.kind == NodeKind::Start)?;
        let transition = self
            .transitions
            .iter()
            .find(|transition| transition.from == start.id)?;
        self.node(transition.to)
    }
}

impl Field {
    /// Returns the texts in the field's conditions that are compared with people, mutably; `keys`
    /// are the keys of people.
    pub fn people_compared_mut(&mut self, keys: &BTreeSet<String>) -> Vec<&mut String> {
        let names_people = self.kind.names_people();
        let compared = self
            .rule
            .iter_mut()
            .flat_map(|rule| &mut rule.expressions)
            .filter(|_| names_people);
        let values = compared.filter_map(|comparison| {
            if let Other::Value { value } = &mut comparison.other {
                Some(value)
            } else {
                None
            }
        });
        let hidden = self
            .hidden_when
            .iter_mut()
            .flat_map(|group| people_of(group, keys));
        hidden.chain(values.flat_map(texts)).collect()
    }
}

/// Returns the texts of a group of clauses that are compared with people.
fn people_of<'a>(group: &'a mut Group, keys: &BTreeSet<String>) -> Vec<&'a mut String> {
    group
        .expressions
        .iter_mut()
        .filter(|clause| keys.contains(&clause.key))
        .flat_map(|clause| texts(&mut clause.value))
        .collect()
}

/// Returns a text, or the texts of an array.
fn texts(value: &mut Value) -> Vec<&mut String> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter_mut().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
