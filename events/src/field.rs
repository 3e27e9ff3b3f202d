//! Fields that many workflows share, in the stream `field-<key>`. A workflow takes a copy when it is drawn: what was deployed never changes.

use serde::{Deserialize, Serialize};

use crate::fact::{Personals, facts};
use crate::workflow::Field;

facts! {
    /// The life of one shared field.
    FieldEvent of "field" {
        Defined "field.defined" 1,
    }
}

/// The field is as this says from now on, for whoever draws a workflow next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub field: Field,
    /// It is in the library; what was copied from it stays.
    #[serde(default = "yes")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
