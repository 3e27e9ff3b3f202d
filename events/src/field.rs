//! Defines the events of one shared field. The events are stored in the stream `field-<key>`. A shared field
//! is a form field that people can copy into the drafts of several workflows. A later change of the shared
//! field does not change these copies, so deployed versions stay unchanged.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::workflow::Field;

event_enum! {
    /// The events of one shared field.
    FieldEvent of "field" {
        Defined "field.defined" 1,
    }
}

/// The shared field was defined. This definition replaces an earlier definition of the same field. Existing
/// copies of the field do not change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub field: Field,
    /// True if the field is in the list of shared fields, and false after its removal from the list. Existing
    /// copies of a removed field stay valid.
    #[serde(default = "yes")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
