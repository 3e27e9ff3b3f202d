//! Fields that workflows share, in the stream `field-<key>`. A workflow draft copies a shared
//! field, so a later change does not affect deployed versions.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::workflow::Field;

event_enum! {
    /// The events of one shared field.
    FieldEvent of "field" {
        Defined "field.defined" 1,
    }
}

/// The shared field was created or replaced by this definition. Only later copies use the new
/// definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub field: Field,
    /// True if the library lists the field. Existing copies of the field remain valid.
    #[serde(default = "yes")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
