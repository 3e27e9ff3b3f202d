//! Defines the events of one workflow and the structure of a workflow definition. The events are stored in
//! the stream `workflow-<id>`. A deployed version of a workflow never changes.

pub mod service_task;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Personals, event_enum};
use crate::{AttachmentId, NodeId, PersonId, RoleId, TransitionId, WorkflowId};

use service_task::{ServiceTask, Source};

event_enum! {
    /// The events of one workflow. The events concern the draft of the workflow and the deployed versions.
    WorkflowEvent of "workflow" {
        DraftSaved "workflow.draft_saved" 1,
        Deployed "workflow.deployed" 1,
        VersionRemoved "workflow.version_removed" 1,
        AvailabilityChanged "workflow.availability_changed" 1,
    }
}

/// A draft of the workflow was saved and replaced the previous draft. Tickets use only deployed versions,
/// never a draft.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DraftSaved {
    pub workflow: WorkflowId,
    /// The number of the deployed version from which the draft was copied. The value is absent if the draft is
    /// not a copy of a deployed version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<i64>,
    pub definition: Definition,
}
impl Personals for DraftSaved {}

/// A version of the workflow was removed. A version can be removed only if no service uses the version. Old
/// tickets of the version keep their history, and the version number is never used again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionRemoved {
    pub workflow: WorkflowId,
    pub version: i64,
}
impl Personals for VersionRemoved {}

/// The workflow was closed for new services (`closed` is true) or opened again (`closed` is false). Existing
/// tickets do not change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AvailabilityChanged {
    pub workflow: WorkflowId,
    pub closed: bool,
}
impl Personals for AvailabilityChanged {}

/// A version of the workflow was deployed. Services and tickets use this version, so the definition in this
/// event never changes.
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
    /// The type of service for which the workflow is intended (BlueKing: `flow_type`). The desk only displays
    /// this value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub flow_type: String,
    /// True if the submission of a ticket also counts as an approval by the creator. The approval counts at
    /// each node at which the creator is an approver.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_auto_approve: bool,
    /// True if the creator of a ticket and the people in `supervisors` may remind the people who must process
    /// the ticket.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_supervise_needed: bool,
    /// A rule that selects people. These people and the creator of a ticket may remind the people who must
    /// process the ticket.
    #[serde(default, skip_serializing_if = "Processors::is_empty")]
    pub supervisors: Processors,
    /// How often a person who must process a node is notified (reference/bk-itsm.md 12.3): `NONE` (never), `ONCE` (when
    /// the node starts to wait for the person) or `RETRY` (also every `notify_freq` seconds while it waits). An empty
    /// value means `ONCE`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notify_rule: String,
    /// The time in seconds between two reminders of the rule `RETRY`. The value 0 means no reminders.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub notify_freq: u32,
    /// The kinds of messages to the people who must process a node, such as `EMAIL`, `WEIXIN` or `SMS`. An empty list
    /// means all kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<String>,
    pub nodes: Vec<Node>,
    pub transitions: Vec<Transition>,
    pub fields: Vec<Field>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The rule that determines until when the creator of a ticket may withdraw the ticket. BlueKing ITSM calls
/// this setting `revoke_config` (reference/bk-itsm.md 5.5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoke {
    Never,
    /// The creator may withdraw the ticket until the ticket ends.
    Always,
    /// The creator may withdraw the ticket until a person acts at a node after the submit node. (The submit
    /// node is the node at which the ticket is opened.)
    #[default]
    BeforeHandled,
    /// The creator may withdraw the ticket until the ticket enters the node with this id.
    BeforeNode(NodeId),
}

/// The kind of a workflow node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    #[serde(rename = "START")]
    Start,
    /// A person fills in the form of the node.
    #[serde(rename = "NORMAL")]
    Manual,
    #[serde(rename = "APPROVAL")]
    Approval,
    /// A countersign: all processors of the node (the people who must process the node) vote. The vote does
    /// not approve or reject the node. The output variables of the node contain the vote counts.
    #[serde(rename = "SIGN")]
    Sign,
    /// The desk calls an API of another system.
    #[serde(rename = "TASK")]
    Task,
    /// The desk runs a task in BlueKing SOPS (an external system that runs tasks).
    #[serde(rename = "TASK-SOPS")]
    Sops,
    /// The desk calls a webhook.
    #[serde(rename = "WEBHOOK")]
    Webhook,
    /// A gateway at which the ticket follows exactly one transition.
    #[serde(rename = "ROUTER")]
    Router,
    /// A parallel gateway. The ticket follows each transition whose condition is true, so several branches of
    /// the workflow can be active at the same time.
    #[serde(rename = "ROUTER-P")]
    Parallel,
    /// A join node. The ticket waits here until all branches that started at the parallel gateway have
    /// arrived.
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
    /// Returns true if the desk executes the work at a node of this kind. People act at an automatic node
    /// only after a failure.
    pub fn is_automatic(self) -> bool {
        matches!(self, Self::Task | Self::Sops | Self::Webhook)
    }
    /// Returns the text that represents the kind of node in events and in the APIs.
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

/// The way in which a manual node gets its processors (the people who may process the node). A processor can
/// act directly, after a claim, or after an assignment. BlueKing ITSM calls this setting `distribute_type`
/// (reference/bk-itsm.md 5.4).
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

/// A rule that selects people. BlueKing ITSM stores the rule in `processors_type` and `processors`
/// (reference/bk-itsm.md 9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "who")]
pub enum Processors {
    #[serde(rename = "PERSON")]
    Person(Vec<PersonId>),
    /// Selects the members of the given roles. An empty list selects the members of all general roles.
    #[serde(rename = "GENERAL")]
    General(Vec<RoleId>),
    #[serde(rename = "STARTER")]
    Starter,
    #[serde(rename = "OPEN")]
    Open,
    /// Selects the people whom form fields contain. The strings are the keys of these fields. Only the first
    /// field that contains people is used.
    #[serde(rename = "VARIABLE")]
    Variable(Vec<String>),
    /// Selects the people whom the assignor (the person who assigns the work) chooses. Before this choice,
    /// the rule selects no people.
    #[serde(rename = "BY_ASSIGNOR")]
    ByAssignor,
    /// Selects the people who have one of the given roles in a business. The ticket contains the id of the
    /// business (BlueKing: `bk_biz_id`).
    #[serde(rename = "CMDB")]
    Business(Vec<String>),
    #[serde(rename = "STARTER_LEADER")]
    StarterLeader,
    /// Selects the leader of the person who was the last to act at the given node.
    #[serde(rename = "ASSIGN_LEADER")]
    NodeLeader(NodeId),
    /// Selects the leader of one person whom a form field contains. The strings are the keys of the possible
    /// fields. The desk uses the first person in the first field that contains people.
    #[serde(rename = "VARIABLE_LEADER")]
    VariableLeader(Vec<String>),
    /// Selects all members of the given department and its subdepartments.
    #[serde(rename = "ORGANIZATION")]
    Organization(String),
    /// Selects the people who have a role in an external system. The desk does not know these people, so the
    /// client must send them in `meta.state_processors`.
    #[serde(rename = "IAM")]
    Iam(String),
    /// Selects no people, because an external system acts at the node.
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
    /// Returns true if the rule is incomplete, for example without any person or field. An incomplete rule
    /// selects no people for any ticket.
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
    /// Returns the text that represents the type of the rule in events and in the APIs.
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

/// One node (step) of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    pub name: String,
    pub kind: NodeKind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    #[serde(default)]
    pub processors: Processors,
    /// Selects the people who may assign the work at the node. This rule is needed only if `handling` starts
    /// with an assignment.
    #[serde(default)]
    pub assignors: Processors,
    /// Selects the people to whom the work at the node may be transferred. If the rule is `Empty` or
    /// `Open`, the work may be transferred to any person.
    #[serde(default)]
    pub delivers: Processors,
    #[serde(default)]
    pub handling: Handling,
    #[serde(default)]
    pub can_deliver: bool,
    #[serde(default)]
    pub is_terminable: bool,
    /// True if all processors of the node (the people who may process the node) vote. False if the first vote
    /// decides the result of the node.
    #[serde(default)]
    pub is_multi: bool,
    /// True if the processors (the people who process the node) vote one after the other, in the order of the
    /// list of processors.
    #[serde(default)]
    pub is_sequential: bool,
    /// A condition on the vote counts (reference/bk-itsm.md 6). A vote of all processors (countersign) ends
    /// early when this condition is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_condition: Option<Condition>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terminate_when_rejected: bool,
    /// True if the desk skips the node when the node has no processors (people who may process the node).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_allow_skip: bool,
    /// The status that the ticket gets when the ticket enters this node. A final status ends the ticket. The
    /// status is empty if the node does not change the status.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status_on_entry: String,
    /// The work that an external system does for an automatic node. The value is absent for other kinds of
    /// nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_task: Option<Box<ServiceTask>>,
    /// The keys of the form fields at this node, in the order in which the form shows the fields.
    #[serde(default)]
    pub fields: Vec<String>,
    /// The output variables that an approval or a countersign sets. The conditions of transitions can use
    /// these variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
}

/// One output variable that a node sets. The conditions of transitions can use the variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub key: String,
    pub holds: Holds,
}

/// The kind of value that an output variable contains. Events contain the kind as a code from
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

/// A connection from one node to another node. A ticket follows transitions only in this direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    pub id: TransitionId,
    pub from: NodeId,
    pub to: NodeId,
    #[serde(default)]
    pub name: String,
    /// The condition under which a ticket follows this transition. The default transition has no condition. A
    /// ticket follows the default transition if no other transition has a true condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

/// The operator that combines several conditions: `and` or `or`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Join {
    #[default]
    And,
    Or,
}

/// A condition on the values of a ticket (reference/bk-itsm.md 7). A condition consists of groups, and each
/// group consists of clauses (single comparisons).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    #[serde(rename = "type", default)]
    pub join: Join,
    pub expressions: Vec<Group>,
}

/// A part of a condition. A group combines several clauses (single comparisons) with `and` or `or`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    #[serde(rename = "type", default)]
    pub join: Join,
    pub expressions: Vec<Clause>,
}

/// One comparison of a ticket value with a constant. The member `key` names the field or variable that
/// contains the ticket value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clause {
    pub key: String,
    /// The field type for the comparison. Before the comparison, the desk converts the ticket value and the
    /// constant to this type.
    #[serde(rename = "type", default)]
    pub kind: String,
    pub condition: Operator,
    pub value: Value,
}

/// The comparison operators of a condition. [`Operator::sign`] returns the text of an operator.
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
    /// Returns the text that represents the operator in events and in the APIs.
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

/// One field of a form. Some members, such as `layout`, have a meaning only for web pages. The desk stores
/// the members for web pages but does not use these members.
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
    /// The condition under which the form hides the field. BlueKing ITSM stores this condition in `show_type`
    /// (value 0) and `show_conditions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_when: Option<Group>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub default: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub meta: Value,
    /// The origin of the options that people can choose in this field:
    /// - With `CUSTOM` or an empty text, the options are in the member `choice`.
    /// - With `DATADICT`, the options are in the dictionary `source_uri`.
    /// - With `API`, the options come from the external system in `source`.
    /// - With `CUSTOM_API`, the options also come from the external system in `source`, but people may enter
    ///   other values too.
    /// - With `RPC`, there are no options, because this desk does not support `RPC`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_type: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_uri: String,
    /// The request that reads the options from an external system. This value is needed for the source types
    /// `API` and `CUSTOM_API`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<Source>>,
    /// True if a person can set the value of this field only once. After that, the value cannot be changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_readonly: bool,
    /// The id of the only node whose form contains this field. The value is present only if the forms of
    /// several nodes contain different fields with the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Comparisons that a value of this field must satisfy (BlueKing: `regex_config.rule`). The value is
    /// compared with other fields, with constants or with the current time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// Files that people can download from the form. For example, people fill in a downloaded file and upload
    /// the file again. Only fields of the kind `File` may offer files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Template>,
    /// The names of two members in the response of an external system. Each row of the response is one
    /// option of the field. In a row, the member named by `key` contains the option key. The member named
    /// by `name` contains the option name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_relation: Option<Choice>,
    /// The width of the field on web pages: `COL_6` (half a row) or `COL_12` (a whole row).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub layout: String,
    /// The key of the shared field from which this field was copied. The key is empty if this field is not a
    /// copy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub library: String,
    /// True if the value of this field is encrypted with the key of the ticket's creator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_personal: bool,
    /// True if this field contains the decision (approval or rejection) at an approval node. BlueKing ITSM
    /// marks this field with the code APPROVE_RESULT in `meta.code`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_approve_result: bool,
}

/// An uploaded file that people can download from a form. For example, the file is an empty document that
/// people fill in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    pub id: AttachmentId,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// The comparisons that the value of a field must satisfy. BlueKing ITSM calls these comparisons
/// `ASSOCIATED_FIELD_VALIDATION` (reference/bk-itsm.md 4.2).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    #[serde(rename = "type", default)]
    pub join: Join,
    pub expressions: Vec<Beside>,
}

/// One comparison between the value of a field and another value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    pub condition: Operator,
    #[serde(flatten)]
    pub other: Other,
}

/// The value with which a field value is compared: another field, the current time or a constant.
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

/// The types of form fields, as in reference/bk-itsm.md 4.1.
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
    /// Returns all rules in the workflow that select people. The rules select the people who process nodes,
    /// assign work, get transferred work, or supervise tickets.
    pub fn processors(&self) -> impl Iterator<Item = &Processors> {
        let of_nodes = self
            .nodes
            .iter()
            .flat_map(|node| [&node.processors, &node.assignors, &node.delivers]);
        of_nodes.chain([&self.supervisors])
    }
    /// Returns mutable references to all rules in the workflow that select people. Callers use the references
    /// to replace user names in the rules with person ids.
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
    /// Returns the keys of all output variables that contain the approvers of a node.
    pub fn approver_keys(&self) -> impl Iterator<Item = &str> {
        self.nodes
            .iter()
            .flat_map(|node| &node.outputs)
            .filter(|output| output.holds == Holds::Approver)
            .map(|output| output.key.as_str())
    }
    /// Returns the keys of all values that can be people. These keys belong to fields that contain people,
    /// to the creator of the ticket, and to output variables that contain approvers.
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
    /// Returns mutable references to the constants with which conditions of this workflow compare people.
    /// Callers use the references to replace user names with person ids.
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
    /// Returns the names of all secrets that the requests and tasks in this workflow use.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let of_nodes = self
            .nodes
            .iter()
            .filter_map(|node| node.service_task.as_deref())
            .map(|service_task| match service_task {
                ServiceTask::Request(request) => request.secret.as_str(),
                ServiceTask::Task(task) => task.secret.as_str(),
                // An application (a request for approval in an external ITSM) uses the secret of its
                // integration (the connection to the external ITSM). The secret is not a part of the
                // workflow. A mission (the work of a robot) needs no secret.
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
    /// Returns all files that the forms of the workflow offer for download.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.fields.iter().flat_map(|field| &field.templates)
    }
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }
    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == key)
    }
    /// Returns the field with this key in the form of a node. If several fields have this key, the function
    /// prefers the field that belongs only to this node.
    pub fn field_at(&self, node: NodeId, key: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|field| field.key == key && field.node == Some(node))
            .or_else(|| self.field(key))
    }
    /// Returns the fields in the form of one node, in the order in which the form shows the fields.
    pub fn fields_of<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Field> {
        node.fields
            .iter()
            .filter_map(|key| self.field_at(node.id, key))
    }
    /// Returns the transitions that start at a node. The default transition (the transition without a
    /// condition) is the last.
    pub fn transitions_from(&self, node: NodeId) -> Vec<&Transition> {
        let mut transitions: Vec<&Transition> = self
            .transitions
            .iter()
            .filter(|transition| transition.from == node)
            .collect();
        transitions.sort_by_key(|transition| (transition.condition.is_none(), transition.id));
        transitions
    }
    /// Returns the submit node, at which tickets are opened. The submit node is the node after START.
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
    /// Returns mutable references to the constants with which the conditions of this field compare people. The
    /// parameter `keys` contains the keys of all fields and variables that contain people.
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

/// Returns mutable references to the constants with which one group of clauses (comparisons) compares people.
/// The parameter `keys` contains the keys of all fields and variables that contain people.
fn people_of<'a>(group: &'a mut Group, keys: &BTreeSet<String>) -> Vec<&'a mut String> {
    group
        .expressions
        .iter_mut()
        .filter(|clause| keys.contains(&clause.key))
        .flat_map(|clause| texts(&mut clause.value))
        .collect()
}

/// Returns mutable references to the texts in a JSON value. The value is a single text or an array of texts.
/// Other values contain no texts.
fn texts(value: &mut Value) -> Vec<&mut String> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter_mut().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
