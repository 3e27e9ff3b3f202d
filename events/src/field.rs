//! Shared fields, in the stream `field-<key>`. A workflow draft contains a copy of a shared field,
//! so a later change of the shared field does not change deployed versions.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::workflow::Field;

event_enum! {
    /// The events of one shared field.
    FieldEvent of "field" {
        Defined "field.defined" 1,
    }
}

/// The shared field was created or replaced by this definition. Only new copies of the field use
/// the new definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub field: Field,
    /// True if the field is in the list of shared fields. Existing copies of the field are valid in
    /// both cases.
    #[serde(default = "yes")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
