//! Fields that workflows share, in the stream `field-<key>`. A workflow draft takes a copy, so a
//! deployed version never changes.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::workflow::Field;

event_enum! {
    /// The events of one shared field.
    FieldEvent of "field" {
        Defined "field.defined" 1,
    }
}

/// The field was created or replaced by this definition, for workflow drafts that copy it later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub field: Field,
    /// Whether the library lists the field; copies of it remain valid.
    #[serde(default = "yes")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
