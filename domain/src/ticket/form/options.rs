//! Options of a field: those of the workflow itself, of a dictionary, of another system.

use std::collections::BTreeSet;

use events::workflow::{Choice, Definition, Field, FieldKind, Node};
use events::{Entry, TicketSn};
use serde_json::Value;

use super::{Form, Sheet, field_at, plain};
use crate::options::{self, Question};
use crate::ticket::{Decision, Facts, Rejection, Ticket, reject};

/// Options that are each looked for by themselves; of more the whole list is made a table first.
const FEW: usize = 8;

/// Where the options of a field come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Offer {
    /// They stand in the workflow.
    Own,
    /// In the dictionary of this code.
    Dictionary(String),
    /// In another system, or in words why it cannot be asked.
    Asked(Result<Question, String>),
    /// Nobody said where: anything is taken.
    Anything,
}

/// Where the options of a field come from as the form stands now: the same for whoever shows it and whoever judges it.
pub fn offer(definition: &Definition, node: &Node, given: &[Entry], held: &Ticket, field: &Field) -> Offer {
    let (facts, ticket) = (Facts::default(), TicketSn::default());
    Form::new(&Sheet { ticket: &ticket, definition, node, held, by: &[] }, given, &facts).offer(field)
}

impl<'a> Form<'a> {
    fn offer(&self, field: &Field) -> Offer {
        match field.source_type.as_str() {
            "" | "CUSTOM" => Offer::Own,
            "DATADICT" => Offer::Dictionary(field.source_uri.clone()),
            _ => options::question(field, &options::variables(self.sheet.definition, |key| self.find(key))).map_or(Offer::Anything, Offer::Asked),
        }
    }

    /// What was chosen is among the options, and once. Those that stand outside the workflow are given back by name, as they are now.
    pub(super) fn check_options(&self, field: &'a Field, value: &Value) -> Decision<String> {
        let text = plain(value);
        let picked: Vec<&str> = match field.kind {
            FieldKind::Select | FieldKind::Radio | FieldKind::TreeSelect | FieldKind::InputSelect => vec![&text],
            FieldKind::MultiSelect | FieldKind::Checkbox => text.split(',').map(str::trim).collect(),
            _ => return Ok(String::new()),
        };
        let is_free = field.kind == FieldKind::InputSelect || field.source_type == "CUSTOM_API";
        let options = match self.options(field)? {
            Some(Ok(options)) => options,
            Some(Err(reason)) if !is_free => return reject(Rejection::OptionsUnavailable { at: field_at(field), reason }),
            _ => return Ok(String::new()),
        };
        if options.is_empty() && !is_free {
            return reject(Rejection::OptionsMissing(field.key.clone()));
        }
        // Several options are a text between commas: an option whose own key is that text looks like them.
        if picked.len() > 1 && options::path(options, &text).is_some() {
            return reject(Rejection::FieldInvalid { at: field_at(field), reason: format!("holds {text:?}, and commas separate several") });
        }
        let names: Vec<Option<String>> = if picked.len() > FEW {
            let all = options::names(options);
            picked.iter().map(|key| all.get(key).cloned()).collect()
        } else {
            picked.iter().map(|key| options::path(options, key).map(|names| names.join("->"))).collect()
        };
        let is_once = picked.iter().collect::<BTreeSet<_>>().len() == picked.len();
        if !is_free && (!is_once || names.iter().any(Option::is_none)) {
            return reject(Rejection::OptionUnknown(field_at(field)));
        }
        let is_own = matches!(field.source_type.as_str(), "" | "CUSTOM");
        let shown = names.into_iter().zip(picked).map(|(name, key)| name.unwrap_or_else(|| key.to_owned()));
        Ok(if is_own || !is_once { String::new() } else { shown.collect::<Vec<_>>().join(",") })
    }

    /// The options of a field, or in words why there are none now; nothing where nobody said what supplies them.
    fn options(&self, field: &'a Field) -> Decision<Option<Result<&'a [Choice], String>>> {
        Ok(match self.offer(field) {
            Offer::Own => Some(Ok(&field.choice)),
            Offer::Dictionary(code) => Some(Ok(self.facts.dictionary(&code)?.unwrap_or_default())),
            Offer::Asked(Ok(question)) => Some(self.facts.offered(question)?.as_deref().map_err(Clone::clone)),
            Offer::Asked(Err(reason)) => Some(Err(reason)),
            Offer::Anything => None,
        })
    }
}
