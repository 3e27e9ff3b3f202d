//! Lists of options that forms share, in the stream `dictionary-<code>`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::workflow::Choice;

event_enum! {
    /// The events of one dictionary.
    DictionaryEvent of "dictionary" {
        Defined "dictionary.defined" 1,
    }
}

/// The dictionary was created or replaced by this definition. Open forms show the current items;
/// tickets store the keys of the chosen items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub code: String,
    pub name: String,
    pub is_enabled: bool,
    /// Options in order; nested options make a tree.
    pub items: Vec<Choice>,
    /// Whether the dictionary is offered for new uses; existing uses remain valid.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
