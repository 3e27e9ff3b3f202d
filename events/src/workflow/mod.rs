//! Workflow definitions, in the stream `workflow-<id>`. A deployed version never changes.

pub mod service_task;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Personals, event_enum};
use crate::{AttachmentId, NodeId, PersonId, RoleId, TransitionId, WorkflowId};

use service_task::{ServiceTask, Source};

event_enum! {
    /// The events of one workflow, for its draft and its deployed versions.
    WorkflowEvent of "workflow" {
        DraftSaved "workflow.draft_saved" 1,
        Deployed "workflow.deployed" 1,
        VersionRemoved "workflow.version_removed" 1,
        AvailabilityChanged "workflow.availability_changed" 1,
    }
}

/// A draft was saved and replaced the previous draft. Tickets use only deployed versions, never a
/// draft.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DraftSaved {
    pub workflow: WorkflowId,
    /// The version whose definition was copied to the draft. Absent if a person edited the draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<i64>,
    pub definition: Definition,
}
impl Personals for DraftSaved {}

/// A version was removed. No service used this version. Old tickets of the version keep their
/// history. The version number is never used for another version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionRemoved {
    pub workflow: WorkflowId,
    pub version: i64,
}
impl Personals for VersionRemoved {}

/// The workflow was closed for new services (`closed` is true) or opened again. Existing tickets
/// are not affected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AvailabilityChanged {
    pub workflow: WorkflowId,
    pub closed: bool,
}
impl Personals for AvailabilityChanged {}

/// A version was deployed. Services and tickets refer to this version, so its definition never
/// changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployed {
    pub workflow: WorkflowId,
    pub version: i64,
    pub definition: Definition,
}
impl Personals for Deployed {}

/// A complete workflow definition: nodes, transitions and fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub desc: String,
    #[serde(default)]
    pub revoke: Revoke,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_biz_needed: bool,
    /// The type of service for which the workflow is intended (`flow_type`). The value is only
    /// displayed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub flow_type: String,
    /// True if the submission of a ticket counts as the creator's approval. This applies to nodes
    /// at which the creator is an approver.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_auto_approve: bool,
    /// True if the creator and the supervisors may remind the processors.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_supervise_needed: bool,
    /// The people who may send reminders, in addition to the creator.
    #[serde(default, skip_serializing_if = "Processors::is_empty")]
    pub supervisors: Processors,
    /// The setting for notifications of processors: `NONE`, `ONCE` or `RETRY`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notify_rule: String,
    pub nodes: Vec<Node>,
    pub transitions: Vec<Transition>,
    pub fields: Vec<Field>,
}

/// The period in which the creator may withdraw a ticket (`revoke_config`, reference/bk-itsm.md
/// 5.5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoke {
    Never,
    /// The creator may withdraw the ticket until the ticket ends.
    Always,
    /// The creator may withdraw the ticket until a person acts at a node that comes after the
    /// submit node.
    #[default]
    BeforeHandled,
    /// The creator may withdraw the ticket until the ticket enters this node.
    BeforeNode(NodeId),
}

/// The kind of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    #[serde(rename = "START")]
    Start,
    /// A person fills in the form of the node.
    #[serde(rename = "NORMAL")]
    Manual,
    #[serde(rename = "APPROVAL")]
    Approval,
    /// A countersign (a vote of all processors) without a result. The output variables of the node
    /// contain the numbers of votes.
    #[serde(rename = "SIGN")]
    Sign,
    /// The desk calls an API.
    #[serde(rename = "TASK")]
    Task,
    /// The desk runs a task of BlueKing SOPS.
    #[serde(rename = "TASK-SOPS")]
    Sops,
    /// The desk calls a webhook.
    #[serde(rename = "WEBHOOK")]
    Webhook,
    /// A gateway. The ticket takes exactly one transition.
    #[serde(rename = "ROUTER")]
    Router,
    /// A parallel gateway. The ticket takes each transition whose condition is true, so several
    /// branches can be active.
    #[serde(rename = "ROUTER-P")]
    Parallel,
    /// A join. The ticket waits here for all branches that the parallel gateway has started.
    #[serde(rename = "COVERAGE")]
    Coverage,
    #[serde(rename = "END")]
    End,
}

impl NodeKind {
    /// Returns true if people act at a node of this kind.
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::Manual | Self::Approval | Self::Sign)
    }
    /// Returns true if people vote at a node of this kind.
    pub fn is_vote(self) -> bool {
        matches!(self, Self::Approval | Self::Sign)
    }
    /// Returns true if the desk executes the work at a node of this kind without people.
    pub fn is_automatic(self) -> bool {
        matches!(self, Self::Task | Self::Sops | Self::Webhook)
    }
    /// Returns the text of the kind in events and in the APIs.
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

/// The way in which a manual node gets its processors: directly, after a claim, or after an
/// assignment (`distribute_type`, reference/bk-itsm.md 5.4).
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

/// A rule that selects people (`processors_type` and `processors`, reference/bk-itsm.md 9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "who")]
pub enum Processors {
    #[serde(rename = "PERSON")]
    Person(Vec<PersonId>),
    /// The members of the given roles. With an empty list, the members of all general roles are
    /// selected.
    #[serde(rename = "GENERAL")]
    General(Vec<RoleId>),
    #[serde(rename = "STARTER")]
    Starter,
    #[serde(rename = "OPEN")]
    Open,
    /// The people in form fields. The keys are tried in order, and the first field that contains
    /// people is used.
    #[serde(rename = "VARIABLE")]
    Variable(Vec<String>),
    /// The people whom the assignor chooses. Before this choice, nobody is selected.
    #[serde(rename = "BY_ASSIGNOR")]
    ByAssignor,
    /// The people who have one of these roles in the business of the ticket.
    #[serde(rename = "CMDB")]
    Business(Vec<String>),
    #[serde(rename = "STARTER_LEADER")]
    StarterLeader,
    /// The leader of the person who was the last to act at the given node.
    #[serde(rename = "ASSIGN_LEADER")]
    NodeLeader(NodeId),
    /// The leader of the first person in form fields. The keys are tried in order, and the first
    /// field that contains people is used.
    #[serde(rename = "VARIABLE_LEADER")]
    VariableLeader(Vec<String>),
    /// All members of a department, including its subdepartments.
    #[serde(rename = "ORGANIZATION")]
    Organization(String),
    /// A role in an external system. The client must send the people of this role in
    /// `meta.state_processors`.
    #[serde(rename = "IAM")]
    Iam(String),
    /// An external system acts at the node. No people are selected.
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
    /// Returns true if the rule is incomplete and therefore selects no people for any ticket.
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
    /// Returns the text for the type of the rule in events and in the APIs.
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

/// One node of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    pub name: String,
    pub kind: NodeKind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    #[serde(default)]
    pub processors: Processors,
    /// The people who may assign the work at the node. They are needed only if `handling` starts
    /// with an assignment.
    #[serde(default)]
    pub assignors: Processors,
    /// The people to whom the work at the node may be transferred. With `Empty` or `Open`, a
    /// transfer to every person is allowed.
    #[serde(default)]
    pub delivers: Processors,
    #[serde(default)]
    pub handling: Handling,
    #[serde(default)]
    pub can_deliver: bool,
    #[serde(default)]
    pub is_terminable: bool,
    /// True if all processors vote. If false, the first vote decides the result of the node.
    #[serde(default)]
    pub is_multi: bool,
    /// True if the processors vote one after the other in the configured order.
    #[serde(default)]
    pub is_sequential: bool,
    /// A condition on the numbers of votes (reference/bk-itsm.md 6). If the condition is true, a
    /// vote of all processors (countersign) ends before each processor has voted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_condition: Option<Condition>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terminate_when_rejected: bool,
    /// True if the desk skips the node when the node has no processors.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_allow_skip: bool,
    /// The status that the ticket gets when it enters the node. A final status ends the ticket. The
    /// text is empty if the node sets no status.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status_on_entry: String,
    /// The work of an automatic node. An external system executes this work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_task: Option<Box<ServiceTask>>,
    /// The keys of the fields in the form of the node, in order.
    #[serde(default)]
    pub fields: Vec<String>,
    /// The output variables of a node with votes. The conditions of transitions can use these
    /// variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
}

/// One output variable of a node. Conditions of transitions can use the variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub key: String,
    pub holds: Holds,
}

/// The kind of value that an output variable contains. The texts are the codes of
/// reference/bk-itsm.md 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holds {
    /// The result of the approval: `"true"` or `"false"`.
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
    /// The condition of the transition. Absent on the default transition, which is taken if no
    /// condition is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

/// The operator that joins several conditions: `and` or `or`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Join {
    #[default]
    And,
    Or,
}

/// A condition of the desk (reference/bk-itsm.md 7). It consists of groups, and each group consists
/// of clauses (single comparisons).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    #[serde(rename = "type", default)]
    pub join: Join,
    pub expressions: Vec<Group>,
}

/// Several clauses that are joined with `and` or `or`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    #[serde(rename = "type", default)]
    pub join: Join,
    pub expressions: Vec<Clause>,
}

/// One comparison of the value of a key with a constant. The key belongs to a field or a variable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clause {
    pub key: String,
    /// The field type of the comparison. Both values are converted to this type first.
    #[serde(rename = "type", default)]
    pub kind: String,
    pub condition: Operator,
    pub value: Value,
}

/// The comparison operators. [`Operator::sign`] returns the text of an operator.
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
    /// Returns the text of the operator in events and in the APIs.
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

/// One field of a form. Some attributes, such as `layout`, have a meaning only for web pages. The
/// desk stores these attributes without using them.
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
    /// The condition that hides the field. In BlueKing ITSM, it is stored as `show_type` 0 and
    /// `show_conditions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_when: Option<Group>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub default: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub meta: Value,
    /// The place from which the options come. `CUSTOM` or an empty text: the member `choice`.
    /// `DATADICT`: the dictionary `source_uri`. `API`: the external system in `source`.
    /// `CUSTOM_API`: the same, but other values are allowed too. `RPC`: not supported.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_type: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_uri: String,
    /// The request for the options. It is needed for the source types `API` and `CUSTOM_API`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<Source>>,
    /// True if the value cannot be changed after it was entered once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_readonly: bool,
    /// The node whose form contains this field. Present only if the forms of several nodes contain
    /// fields with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Comparisons of the value with other fields, with constants or with the current time
    /// (`regex_config.rule`). A value is valid only if they are true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// Files that people can download from the form, for example to fill in and upload again. Only
    /// fields of the kind `File` may have such files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Template>,
    /// For options from an external system, the names of two members in each row of the response.
    /// `key` is the name of the member with the option key. `name` is the name of the member with
    /// the option name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_relation: Option<Choice>,
    /// The width of the field on web pages: `COL_6` (half a row) or `COL_12` (a whole row).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub layout: String,
    /// The key of the shared field from which this field was copied. The text is empty if the field
    /// is not a copy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub library: String,
    /// True if the value is encrypted under the creator's key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_personal: bool,
    /// True if this field contains the decision of an approval node. In BlueKing ITSM, the field
    /// has the code APPROVE_RESULT in `meta.code`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_approve_result: bool,
}

/// An uploaded file that a form offers for download, for example an empty document to fill in.
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

/// One comparison of the field's value with another value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    pub condition: Operator,
    #[serde(flatten)]
    pub other: Other,
}

/// The other side of a comparison: another field, the current time or a constant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Other {
    /// The value of another field of the ticket.
    Field {
        key: String,
    },
    /// The time at which the form is checked.
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
    /// Returns true if fields of this type contain people.
    pub fn names_people(self) -> bool {
        matches!(self, Self::Member | Self::Members)
    }
    /// Returns true if fields of this type contain free text.
    pub fn is_prose(self) -> bool {
        matches!(self, Self::Text | Self::String | Self::RichText)
    }
}

impl Definition {
    /// Returns all rules of the workflow that select people: processors, assignors, people for
    /// transfers, and supervisors.
    pub fn processors(&self) -> impl Iterator<Item = &Processors> {
        let of_nodes = self
            .nodes
            .iter()
            .flat_map(|node| [&node.processors, &node.assignors, &node.delivers]);
        of_nodes.chain([&self.supervisors])
    }
    /// Returns mutable references to all rules that select people. The caller replaces user names
    /// with person ids.
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
    /// Returns the keys of the output variables that contain the approvers of a node.
    pub fn approver_keys(&self) -> impl Iterator<Item = &str> {
        self.nodes
            .iter()
            .flat_map(|node| &node.outputs)
            .filter(|output| output.holds == Holds::Approver)
            .map(|output| output.key.as_str())
    }
    /// Returns all keys whose values can be people. These keys belong to fields with people, to the
    /// creator, and to variables with approvers.
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
    /// Returns mutable references to all constants in conditions that are compared with people. The
    /// caller replaces user names with person ids.
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
    /// Returns the names of the secrets that the requests and tasks of this workflow need.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let of_nodes = self
            .nodes
            .iter()
            .filter_map(|node| node.service_task.as_deref())
            .map(|service_task| match service_task {
                ServiceTask::Request(request) => request.secret.as_str(),
                ServiceTask::Task(task) => task.secret.as_str(),
                // An application uses the secret of its integration, which is not a part of the
                // workflow. A mission needs no secret.
                ServiceTask::Application(_) | ServiceTask::Mission(_) => "",
            })
            .filter(|secret| !secret.is_empty());
        let of_fields = self
            .fields
            .iter()
            .filter_map(|field| field.source.as_deref())
            .map(|source| source.request.secret.as_str());
        of_nodes
            .chain(of_fields)
            .filter(|secret| !secret.is_empty())
    }
    /// Returns the files that the forms offer for download.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.fields.iter().flat_map(|field| &field.templates)
    }
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }
    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == key)
    }
    /// Returns the field with this key in the form of a node. A field that belongs only to this
    /// node comes before a field without a node.
    pub fn field_at(&self, node: NodeId, key: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|field| field.key == key && field.node == Some(node))
            .or_else(|| self.field(key))
    }
    /// Returns the fields of one node in the order of its form.
    pub fn fields_of<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Field> {
        node.fields
            .iter()
            .filter_map(|key| self.field_at(node.id, key))
    }
    /// Returns the transitions that start at a node. Transitions with a condition come first, and
    /// the default transition is last.
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
    /// Returns mutable references to the constants in the field's conditions that are compared with
    /// people. `keys` are the keys whose values are people.
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

/// Returns mutable references to the constants in one group of clauses that are compared with
/// people.
fn people_of<'a>(group: &'a mut Group, keys: &BTreeSet<String>) -> Vec<&'a mut String> {
    group
        .expressions
        .iter_mut()
        .filter(|clause| keys.contains(&clause.key))
        .flat_map(|clause| texts(&mut clause.value))
        .collect()
}

/// Returns a mutable reference to a JSON text, or to each text in a JSON array.
fn texts(value: &mut Value) -> Vec<&mut String> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter_mut().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
