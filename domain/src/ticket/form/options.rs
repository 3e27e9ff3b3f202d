//! Options of a field: from the workflow, a dictionary or another system.

use std::collections::BTreeSet;

use events::workflow::{Choice, Definition, Field, FieldKind, Node};
use events::{Entry, TicketSn};
use serde_json::Value;

use super::{Form, FormInput, field_at};
use crate::options::{self, Question};
use crate::ticket::{Context, Decision, Rejection, Ticket, reject};
use crate::value::plain;

/// Up to this number of chosen options, each is searched by itself. For more, a table of all
/// options is built first.
const SEARCHED_MAX: usize = 8;

/// The source of the options of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Offer {
    /// The workflow definition.
    Own,
    /// The dictionary of this code.
    Dictionary(String),
    /// Another system; or the reason why it cannot be queried.
    Asked(Result<Question, String>),
    /// No source is configured; every value is accepted.
    Anything,
}

/// Returns the source of the options for the current values of the form. Display and check use the
/// same function.
pub fn offer(
    definition: &Definition,
    node: &Node,
    given: &[Entry],
    current: &Ticket,
    field: &Field,
) -> Offer {
    let (context, ticket) = (Context::default(), TicketSn::default());
    Form::new(
        &FormInput {
            ticket: &ticket,
            definition,
            node,
            current,
            by: &[],
        },
        given,
        &context,
    )
    .offer(field)
}

impl<'a> Form<'a> {
    fn offer(&self, field: &Field) -> Offer {
        match field.source_type.as_str() {
            "" | "CUSTOM" => Offer::Own,
            "DATADICT" => Offer::Dictionary(field.source_uri.clone()),
            _ => options::question(
                field,
                &options::variables(self.input.definition, |key| self.find(key)),
            )
            .map_or(Offer::Anything, Offer::Asked),
        }
    }

    /// Checks that every chosen option exists and is chosen once. Returns the names of options from
    /// outside the workflow, as of now.
    pub(super) fn check_options(&self, field: &'a Field, value: &Value) -> Decision<String> {
        let text = plain(value);
        let chosen: Vec<&str> = match field.kind {
            FieldKind::Select
            | FieldKind::Radio
            | FieldKind::TreeSelect
            | FieldKind::InputSelect => vec![&text],
            FieldKind::MultiSelect | FieldKind::Checkbox => {
                text.split(',').map(str::trim).collect()
            }
            _ => return Ok(String::new()),
        };
        let is_free = field.kind == FieldKind::InputSelect || field.source_type == "CUSTOM_API";
        let options = match self.options(field)? {
            Some(Ok(options)) => options,
            Some(Err(reason)) if !is_free => {
                return reject(Rejection::OptionsUnavailable {
                    at: field_at(field),
                    reason,
                });
            }
            _ => return Ok(String::new()),
        };
        if options.is_empty() && !is_free {
            return reject(Rejection::OptionsMissing(field.key.clone()));
        }
        // Several options are joined by commas, so an option with a comma in its key would be
        // ambiguous.
        if chosen.len() > 1 && options::path(options, &text).is_some() {
            return reject(Rejection::FieldInvalid {
                at: field_at(field),
                reason: format!("holds {text:?}, and commas separate several"),
            });
        }
        let names: Vec<Option<String>> = if chosen.len() > SEARCHED_MAX {
            let all = options::names(options);
            chosen.iter().map(|key| all.get(key).cloned()).collect()
        } else {
            chosen
                .iter()
                .map(|key| options::path(options, key).map(|names| names.join("->")))
                .collect()
        };
        let is_once = chosen.iter().collect::<BTreeSet<_>>().len() == chosen.len();
        if !is_free && (!is_once || names.iter().any(Option::is_none)) {
            return reject(Rejection::OptionUnknown(field_at(field)));
        }
        let is_from_workflow = matches!(field.source_type.as_str(), "" | "CUSTOM");
        let shown = names
            .into_iter()
            .zip(chosen)
            .map(|(name, key)| name.unwrap_or_else(|| key.to_owned()));
        Ok(if is_from_workflow || !is_once {
            String::new()
        } else {
            shown.collect::<Vec<_>>().join(",")
        })
    }

    /// Returns the options of a field, or the reason why they are unavailable; `None` if no source
    /// is configured.
    fn options(&self, field: &'a Field) -> Decision<Option<Result<&'a [Choice], String>>> {
        Ok(match self.offer(field) {
            Offer::Own => Some(Ok(&field.choice)),
            Offer::Dictionary(code) => {
                Some(Ok(self.context.dictionary(&code)?.unwrap_or_default()))
            }
            Offer::Asked(Ok(question)) => Some(
                self.context
                    .offered(question)?
                    .as_deref()
                    .map_err(Clone::clone),
            ),
            Offer::Asked(Err(reason)) => Some(Err(reason)),
            Offer::Anything => None,
        })
    }
}
