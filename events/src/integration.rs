//! Defines the events of one integration (a connection to an external system). The events are stored in the
//! stream `integration-<name>`. The key store contains the secret of the connection under the name
//! `integration/<name>`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::AppCode;
use crate::event::{Personals, event_enum};
use crate::person::Language;

event_enum! {
    /// The events of one integration.
    IntegrationEvent of "integration" {
        Defined "integration.defined" 1,
    }
}

/// The form of the URL paths in the API of a BlueKing ITSM (reference/bk-itsm.md 1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathForm {
    /// The paths have the form `/api/c/compapi/v2/itsm/<operation>/`.
    #[default]
    Esb,
    /// The paths have the form `/v2/itsm/<operation>/`.
    Apigw,
}

/// Where requests to a BlueKing ITSM contain the credentials of the desk (reference/bk-itsm.md 1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// In the header `X-Bkapi-Authorization`, and in the body of POST requests.
    #[default]
    Both,
    /// Only in the header `X-Bkapi-Authorization`.
    Header,
    /// Only in the body. All requests are then POST requests, because the desk sends no credentials in URLs.
    Body,
}

/// Who decides about a value if both sides have changed it differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authority {
    /// A person decides. The desk shows the conflict and changes nothing.
    #[default]
    Person,
    /// The desk overwrites the value of the source.
    Desk,
    /// The desk takes over the value of the source. If this is impossible, the desk shows the conflict.
    Source,
}

impl Authority {
    // The parameter is a reference, because the library serde calls this function with a reference.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde needs"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Carrier {
    // The parameter is a reference, because the library serde calls this function with a reference.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde needs"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A rule that gives one value of a ticket. Either the rule contains a fixed value, or the value comes from a
/// member of a record in the external system.
///
/// If the member is absent, null or an empty text, the rule gives the value `default`. If the map `values` is
/// not empty, the rule searches the map for the text of the member. The rule then gives the value that the map
/// assigns to this text. If the map does not contain the text, the rule gives the value `default`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueSource {
    /// The JSON pointer (RFC 6901) to a member of the external system's record. The path is absent if the
    /// rule gives a fixed value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The fixed value. This value is present only if `path` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

impl ValueSource {
    fn is_absent(&self) -> bool {
        *self == Self::default()
    }
}

/// How the processor of a ticket becomes the assignee of a record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssigneeMapping {
    /// The JSON pointer to the record member that contains the account of the assignee.
    pub path: String,
    /// The accounts in the external system. Each key is the user name of a person. A person without an entry is unknown in
    /// the external system.
    pub people: BTreeMap<String, Value>,
}

/// A record of another integration to which a case is also bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FurtherRecord {
    /// The name of the other integration.
    pub integration: String,
    /// The JSON pointer to the record member that contains the id of the other record.
    pub record: String,
}

/// The member of a record that contains the version of the record. The desk compares versions to detect
/// outdated content. The text is a JSON pointer (RFC 6901) to the member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateSource {
    /// The version is a counter of the changes of the record. The text is the JSON pointer to the member that
    /// contains this counter.
    Counter(String),
    /// The version is the time of the last change of the record. The text is the JSON pointer to the member
    /// that contains this time.
    Time(String),
}

/// Whether the desk accepts messages that the external system sends to `/callbacks/<name>/<secret>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Webhook {
    /// The desk accepts only messages with a valid signature. The key store contains the secret of the signature under
    /// the name `webhook/<name>`.
    Signed,
    /// The desk also accepts messages without a signature. The secret in the address is then the only proof.
    Unsigned,
}

/// The list from which the desk reads the changed records of a system with a REST API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordList {
    /// The path of the list below the URL of the integration. The text is empty if the list has this URL.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The JSON pointer (RFC 6901) to the records in the response. The text is empty if the response is the list of records.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub records: String,
    /// The parameter with the earliest time of change, in UTC with the precision of one second. The list must then be in the
    /// order of these times, the oldest first. Absent if the desk always reads the whole list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The parameter with the largest number of records on a page. Absent if the system has no such parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Absent if the response contains the whole list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextPage>,
}

/// How the desk asks for the next page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NextPage {
    /// The parameter contains the number of the page. The first page has the number 1.
    Number(String),
    /// The parameter contains the number of the page. The first page has the number 0.
    Index(String),
    /// The parameter contains the number of records on the pages before.
    Offset(String),
    /// The parameter contains a text from the response before. `path` is the JSON pointer to this text.
    Token { parameter: String, path: String },
    /// The response contains the URL of the next page. The text is the JSON pointer to this URL. Only the query of the URL is
    /// used.
    Url(String),
}

/// How a status of a record ends the ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseEnd {
    /// The ticket is withdrawn, because the requester does not need it any more.
    Withdraw,
    /// The ticket is terminated.
    Terminate,
}

/// The rules that convert the records of an external system to tickets. All paths are JSON pointers (RFC
/// 6901).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseMapping {
    /// The JSON pointer to the record member that contains the id of the record.
    pub record: String,
    /// The rule that gives the id of the service in which the ticket is opened. The rule is absent if the desk opens no
    /// tickets for records of the integration.
    #[serde(default, skip_serializing_if = "ValueSource::is_absent")]
    pub service: ValueSource,
    /// The rule that gives the user name of the person for whom the ticket is opened. Absent as `service`.
    #[serde(default, skip_serializing_if = "ValueSource::is_absent")]
    pub requester: ValueSource,
    /// The JSON pointer to the record member that contains the time of creation. At this time, the external
    /// system created the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<UpdateSource>,
    /// The JSON pointer to the record member that contains the status of the record. It is needed to write the status of
    /// the ticket back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The statuses that the desk writes to the record. Each key is a status of the ticket, such as `FINISHED`. A status
    /// of the ticket without an entry is not written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub write_back: BTreeMap<String, Value>,
    /// Further members that the desk writes together with a status. Each key is a status of the ticket. In texts,
    /// `${note}` is the note that the desk writes for people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub write_also: BTreeMap<String, BTreeMap<String, Value>>,
    /// The statuses of the record that end the ticket. Each key is such a status.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ends: BTreeMap<String, CaseEnd>,
    /// True if the desk writes the remarks of people to the record as notes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub notes: bool,
    /// True if the note for a status also contains the reason that a person gave for the status, and the note for an assignee
    /// the reason of a hand-over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reasons: bool,
    /// True if the desk also compares the last fact of each side: the content of the record, and the remarks that the desk
    /// wrote to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last_fact: bool,
    /// Absent if the desk does not write the assignee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<AssigneeMapping>,
    /// The record of a customer relationship management (CRM) system that belongs to the record. Absent if the cases of
    /// the integration have only one record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crm: Option<FurtherRecord>,
    /// The rules that give the values in the form of the ticket. Each key of the map is the key of a form
    /// field. Absent as `service`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, ValueSource>,
}

// The parameter is a reference, because the library serde calls this function with a reference.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde needs"
)]
fn is_chinese(language: &Language) -> bool {
    *language == Language::Chinese
}

/// The external system that gave the id of a ticket or of a record, and the app with which the desk works there. Two systems
/// can use the same ids, so an id has a meaning only together with this value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The base URL of the external system, without a slash at its end.
    pub url: String,
    /// The code (the unique name) of the app. The text is empty if the system has no apps.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app: String,
}

/// The integration was defined. This definition replaces an earlier definition of the same integration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The kind of the external system, such as `bk_itsm` or `generic_json`.
    pub kind: String,
    /// The base URL of the external system. The URL is empty if the desk sends no requests to that system.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Earlier base URLs of the same external system. The ids that the system gave under these URLs are still valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_urls: Vec<String>,
    #[serde(default)]
    pub form: PathForm,
    #[serde(default, skip_serializing_if = "Carrier::is_default")]
    pub carrier: Carrier,
    /// The code (the unique name) of the app that the desk uses in its requests to the external system. The
    /// code is empty if `url` is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// The account that the desk uses in its requests to the external system. The account is empty if `url`
    /// is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The networks and addresses from which the desk accepts callbacks of the external ITSM, such as `10.0.0.0/8`. An
    /// empty list permits every address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callback_networks: Vec<String>,
    /// The client apps that may send records for this integration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<AppCode>,
    /// Absent if the desk accepts no messages of the external system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// The pause in minutes between two reads of the changed records. Absent if the desk does not read them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_minutes: Option<u32>,
    /// The pause in minutes between two comparisons of the open cases with their records. Absent if the desk does not
    /// compare them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconcile_minutes: Option<u32>,
    /// The times of the day at which shifts end, in the form `HH:MM`. The desk also compares the open cases at these times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shift_ends: Vec<String>,
    /// The time zone of `shift_ends`, such as `Asia/Shanghai`. Absent for the time zone of the desk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Who decides about the status if the ticket and the record were changed differently.
    #[serde(default, skip_serializing_if = "Authority::is_default")]
    pub status_authority: Authority,
    /// Who decides about the assignee if the ticket and the record were changed differently. Absent if the desk decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee_authority: Option<Authority>,
    /// The records that the desk reads, in the query language of the external system. The text is empty if the desk reads
    /// all records that its account may read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// The list from which the desk reads the changed records. Absent if the kind of system has a fixed list, or if the
    /// response to a request to the URL is the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<RecordList>,
    /// The largest number of requests of the desk to the external system in one minute. Absent if the number is not
    /// limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    /// The language of the notes that the desk writes to records.
    #[serde(default, skip_serializing_if = "is_chinese")]
    pub language: Language,
    /// The rules that convert received records to tickets. The value is absent if the external system sends
    /// no records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<CaseMapping>,
}
impl Personals for Defined {}
