//! Connections to external systems, in the stream `integration-<name>`. The key store contains the
//! secret of a connection under `integration/<name>`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one integration.
    IntegrationEvent of "integration" {
        Defined "integration.defined" 1,
    }
}

/// The path form of a BlueKing ITSM (reference/bk-itsm.md 1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathForm {
    /// `/api/c/compapi/v2/itsm/<operation>/`
    #[default]
    Esb,
    /// `/v2/itsm/<operation>/`
    Apigw,
}

/// The integration was created or replaced by this definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The kind of the external system, such as `bk_itsm`.
    pub kind: String,
    /// The base URL of the external system.
    pub url: String,
    #[serde(default)]
    pub form: PathForm,
    /// The code of the app under which the desk calls the external system.
    pub app: String,
    /// The account in the external system under which the desk calls that system.
    pub user: String,
}
impl Personals for Defined {}
