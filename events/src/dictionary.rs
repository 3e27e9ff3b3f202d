//! Dictionaries in the stream `dictionary-<code>`. A dictionary is a list of options that several
//! forms share.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::workflow::Choice;

event_enum! {
    /// The events of one dictionary.
    DictionaryEvent of "dictionary" {
        Defined "dictionary.defined" 1,
    }
}

/// The dictionary was created or replaced by this definition. Open forms display the current items.
/// Tickets store only the keys of the chosen items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub code: String,
    pub name: String,
    pub is_enabled: bool,
    /// The options in order. Nested options form a tree.
    pub items: Vec<Choice>,
    /// True if the dictionary is in the list of dictionaries. False after the removal of the
    /// dictionary, which then supplies no options.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
