//! Finds the options of a form field and checks the selected options. The options are in the workflow, in a
//! dictionary or in an external system.

use std::collections::BTreeSet;

use events::workflow::{Choice, Definition, Field, FieldKind, Node};
use events::{Entry, TicketSn};
use serde_json::Value;

use super::{Form, FormInput, field_at};
use crate::options::{self, Question};
use crate::ticket::{Context, Decision, Invalid, Rejection, Ticket, reject};
use crate::value::plain;

/// Maximum number of selected options that are searched one by one. For more selected options, a table of all
/// options is built first, because a search in a table is faster.
const SEARCHED_MAX: usize = 8;

/// The source of the options that people can select in a form field.
#[derive(Clone, Debug, PartialEq)]
pub enum Offer {
    /// The workflow contains the options.
    Own,
    /// The dictionary (a shared list of options) with this code contains the options.
    Dictionary(String),
    /// An external system returns the options. The value is the request that the desk sends to this system.
    /// The error is an English text that explains why the desk cannot build the request.
    Asked(Result<Question, String>),
    /// The field has no source of options and accepts every value.
    Anything,
}

/// Returns the source of the options of a field. Callers need the source to display a form. If an external
/// system returns the options, the request to this system can contain values of the form.
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

    /// Checks that each selected option exists and is selected only once. Some fields also accept values that
    /// are not options, such as an input field with suggested options. Returns the names of the selected
    /// options. If the workflow itself contains the options, the returned text is empty, because the names can
    /// be read from the workflow.
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
        // The keys of several selected options are joined with commas. If the joined text is equal to the key
        // of another option, the meaning is not clear, so the value is rejected.
        if chosen.len() > 1 && options::path(options, &text).is_some() {
            return reject(Rejection::FieldInvalid {
                at: field_at(field),
                reason: Invalid::Comma(text),
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

    /// Returns the options of a field. Returns `None` if the field has no source of options. The inner error
    /// is an English text that explains why the source returned no options.
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
