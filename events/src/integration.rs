//! Connections to external systems, in the stream `integration-<name>`. The key store contains the
//! secret of a connection under `integration/<name>`.

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

/// The form of the URL paths of a BlueKing ITSM (reference/bk-itsm.md 1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathForm {
    /// Paths of the form `/api/c/compapi/v2/itsm/<operation>/`.
    #[default]
    Esb,
    /// Paths of the form `/v2/itsm/<operation>/`.
    Apigw,
}

/// The source of one value of a ticket: a member of the record, or a fixed value.
///
/// A member that is absent, null or an empty text has the value `default`. If `values` is not
/// empty, the text of the member must be a key of `values`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueSource {
    /// The JSON pointer of the member (RFC 6901).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The fixed value. Set if `path` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// The member of a record that orders the versions of the record. The text is a JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateSource {
    /// The member is the number of changes.
    Counter(String),
    /// The member is the instant of the last change.
    Time(String),
}

/// The mapping of the records of a source to tickets. Paths are JSON pointers (RFC 6901).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseMapping {
    /// The path of the id of the record.
    pub record: String,
    /// The id of the service of the ticket.
    pub service: ValueSource,
    /// The user name of the person for whom the ticket is opened.
    pub requester: ValueSource,
    /// The path of the instant at which the source created the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<UpdateSource>,
    /// The values of the form of the ticket, by the key of the field.
    pub fields: BTreeMap<String, ValueSource>,
}

/// The integration was created or replaced by this definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The kind of the external system, such as `bk_itsm` or `generic_json`.
    pub kind: String,
    /// The base URL of the external system; empty if the desk sends no request to the system.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    #[serde(default)]
    pub form: PathForm,
    /// The code of the app under which the desk calls the external system; empty without a URL.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// The account in the external system under which the desk calls that system; empty without a
    /// URL.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The apps that may send cases of this source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<AppCode>,
    /// The mapping of cases; absent if the system sends no cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<CaseMapping>,
}
impl Personals for Defined {}
