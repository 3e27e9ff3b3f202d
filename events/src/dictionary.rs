//! Defines the events of one dictionary. The events are stored in the stream `dictionary-<code>`. A
//! dictionary is a list of options that several form fields use.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::workflow::Choice;

event_enum! {
    /// The events of one dictionary.
    DictionaryEvent of "dictionary" {
        Defined "dictionary.defined" 1,
    }
}

/// The dictionary was defined. This definition replaces an earlier definition of the same dictionary. Forms
/// that are not submitted yet show the new options. A ticket stores only the keys of the options that people
/// selected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub code: String,
    pub name: String,
    pub is_enabled: bool,
    /// The options of the dictionary, in order. An option can contain further options, so the options are a
    /// tree.
    pub items: Vec<Choice>,
    /// True if the dictionary is in the list of dictionaries, and false after its removal from the list. A
    /// removed dictionary gives no options to forms.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
