//! Lists of options that many forms share, in the stream `dictionary-<code>`.

use serde::{Deserialize, Serialize};

use crate::fact::{Personals, facts};
use crate::workflow::Choice;

facts! {
    /// The life of one list.
    DictionaryEvent of "dictionary" {
        Defined "dictionary.defined" 1,
    }
}

/// The list is as this says from now on. Forms show what stands in it when they are filled in; tickets keep the keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub code: String,
    pub name: String,
    pub is_enabled: bool,
    /// Options in order; those below another make a tree.
    pub items: Vec<Choice>,
    /// It is there to be used; what uses it already goes on.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
