//! The tree of categories and the category of each service, in the stream `catalog`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::{CategoryId, Moment, ServiceId};

event_enum! {
    /// The events of the catalog.
    CatalogEvent of "catalog" {
        CategoryAdded "catalog.category_added" 1,
        ServicePlaced "catalog.service_placed" 1,
        CategoryChanged "catalog.category_changed" 1,
        CategoryRemoved "catalog.category_removed" 1,
        ServiceNamed "catalog.service_named" 1,
    }
}

/// A category was added below its parent; the root has no parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoryAdded {
    pub id: CategoryId,
    pub key: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub desc: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<CategoryId>,
}
impl Personals for CategoryAdded {}

/// A service was assigned to a category, or removed from its category (`catalog` is absent).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServicePlaced {
    pub service: ServiceId,
    pub catalog: Option<CategoryId>,
}
impl Personals for ServicePlaced {}

/// The name, description or parent of a category was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoryChanged {
    pub id: CategoryId,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub desc: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<CategoryId>,
}
impl Personals for CategoryChanged {}

/// An empty category was removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoryRemoved {
    pub id: CategoryId,
}
impl Personals for CategoryRemoved {}

/// A service took a name that no other service has, or gave its name up (`name` is absent). The
/// former name of the service is free again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceNamed {
    pub service: ServiceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When the name was taken. A name whose service was not defined soon after is free again.
    pub at: Moment,
}
impl Personals for ServiceNamed {}
