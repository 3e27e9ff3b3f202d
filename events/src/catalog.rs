//! The catalog tree and which service stands where, in the stream `catalog`.

use serde::{Deserialize, Serialize};

use crate::fact::{Personals, facts};
use crate::{CatalogId, ServiceId};

facts! {
    /// The life of the catalog.
    CatalogEvent of "catalog" {
        Added "catalog.added" 1,
        ServicePlaced "catalog.service_placed" 1,
        Changed "catalog.changed" 1,
        Removed "catalog.removed" 1,
    }
}

/// A shelf was added below another; the root has no parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Added {
    pub id: CatalogId,
    pub key: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub desc: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<CatalogId>,
}
impl Personals for Added {}

/// A service was put on a shelf, or taken off all shelves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServicePlaced {
    pub service: ServiceId,
    pub catalog: Option<CatalogId>,
}
impl Personals for ServicePlaced {}

/// A shelf has another name, text or place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    pub id: CatalogId,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub desc: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<CatalogId>,
}
impl Personals for Changed {}

/// An empty shelf was taken away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    pub id: CatalogId,
}
impl Personals for Removed {}
