//! Finds the options of a field. The options are in the workflow, in a dictionary or in an external
//! system.

use std::collections::BTreeSet;

use events::workflow::{Choice, Definition, Field, FieldKind, Node};
use events::{Entry, TicketSn};
use serde_json::Value;

use super::{Form, FormInput, field_at};
use crate::options::{self, Question};
use crate::ticket::{Context, Decision, Rejection, Ticket, reject};
use crate::value::plain;

/// Maximum number of selected options for which each option is searched separately. If there are
/// more, a table of all options is built first, because this is faster.
const SEARCHED_MAX: usize = 8;

/// The place from which the options of a field come.
#[derive(Clone, Debug, PartialEq)]
pub enum Offer {
    /// The workflow definition contains the options.
    Own,
    /// The dictionary with this code contains the options.
    Dictionary(String),
    /// An external system returns the options. The error is an English text that explains why the
    /// request cannot be built.
    Asked(Result<Question, String>),
    /// No source of options is configured. Each value is accepted.
    Anything,
}

/// Returns the source of the options of a field. The source can depend on the current values of the
/// form. This function is used to display a form and to check a form.
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

    /// Checks that each selected option exists and is selected only once. If the options come from
    /// outside the workflow, returns the current names of the selected options. Otherwise returns
    /// an empty text.
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
        // Several selected keys are joined with commas. The joined text must not be equal to the
        // key of another option, because the meaning would not be clear.
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

    /// Returns the options of a field. The inner error is an English text that explains why the
    /// options are not available. Returns `None` if no source of options is configured.
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
