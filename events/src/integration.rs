//! Defines the events of one integration (a connection to an external system). The events are stored in the
//! stream `integration-<name>`. The key store contains the secret of the connection under the name
//! `integration/<name>`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::AppCode;
use crate::event::{Personals, event_enum};

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

/// The rules that convert the records of an external system to tickets. All paths are JSON pointers (RFC
/// 6901).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseMapping {
    /// The JSON pointer to the record member that contains the id of the record.
    pub record: String,
    /// The rule that gives the id of the service in which the ticket is opened.
    pub service: ValueSource,
    /// The rule that gives the user name of the person for whom the ticket is opened.
    pub requester: ValueSource,
    /// The JSON pointer to the record member that contains the time of creation. At this time, the external
    /// system created the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<UpdateSource>,
    /// The rules that give the values in the form of the ticket. Each key of the map is the key of a form
    /// field.
    pub fields: BTreeMap<String, ValueSource>,
}

/// The integration was defined. This definition replaces an earlier definition of the same integration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The kind of the external system, such as `bk_itsm` or `generic_json`.
    pub kind: String,
    /// The base URL of the external system. The URL is empty if the desk sends no requests to that system.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    #[serde(default)]
    pub form: PathForm,
    /// The code (the unique name) of the app that the desk uses in its requests to the external system. The
    /// code is empty if `url` is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// The account that the desk uses in its requests to the external system. The account is empty if `url`
    /// is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The client apps that may send records for this integration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<AppCode>,
    /// The rules that convert received records to tickets. The value is absent if the external system sends
    /// no records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<CaseMapping>,
}
impl Personals for Defined {}
