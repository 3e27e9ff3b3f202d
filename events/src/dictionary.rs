//! Dictionaries, in the stream `dictionary-<code>`. A dictionary is a list of options that several
//! form fields use.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::workflow::Choice;

event_enum! {
    /// The events of one dictionary.
    DictionaryEvent of "dictionary" {
        Defined "dictionary.defined" 1,
    }
}

/// The dictionary was created or replaced by this definition. Open forms show the new options. A
/// ticket stores only the keys of the selected options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub code: String,
    pub name: String,
    pub is_enabled: bool,
    /// The options in order. An option can contain further options, so the options form a tree.
    pub items: Vec<Choice>,
    /// True if the dictionary is in the list of dictionaries. After its removal, the value is
    /// false, and the dictionary has no options for forms.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
