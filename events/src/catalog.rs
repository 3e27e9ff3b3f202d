//! Defines the events of the catalog. The events are stored in the stream `catalog`. The catalog is a tree of
//! categories, and contains the category to which each service belongs.

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

/// A category was added below its parent category. Only the root category has no parent.
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

/// A service was put into a category. If the member `catalog` is absent, the service was removed from its
/// category.
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

/// A category without services and without other categories was removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoryRemoved {
    pub id: CategoryId,
}
impl Personals for CategoryRemoved {}

/// A service reserved a unique name and released its earlier name. If the member `name` is absent, the service
/// only released its earlier name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceNamed {
    pub service: ServiceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The time at which the service reserved the name. If the service is not defined within one minute,
    /// another service may take the name.
    pub at: Moment,
}
impl Personals for ServiceNamed {}
