//! Handles dictionaries in the API `/v1`. A dictionary has a code and contains options for form
//! fields.

use axum::http::Method;
use domain::config::Dictionary;
use domain::options;
use events::app::Scope;
use events::dictionary;
use events::workflow::Choice;
use serde::Serialize;

use super::admin::{
    NAME_MAX, changes_configuration, check_code, check_options, entries, is_name, same,
    wrong_method,
};
use super::definition::OPTIONS;
use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{done, ok};
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, delete, get, put, segments};
use super::shape::{Member, Shape, optional};
use crate::app::administration;

/// The largest number of options in one dictionary.
const ITEMS_MAX: usize = 2000;
const CODE: Member = optional("code", Shape::Text);
const NEW_NAME: Member = optional("name", Shape::Text);
const IS_ENABLED: Member = optional("is_enabled", Shape::Flag);
const ITEMS: Member = optional("items", OPTIONS);

const OPERATIONS: &[Operation] = &[
    get("/v1/dictionary", "lists dictionaries").returning::<Dictionaries>(),
    get("/v1/dictionary/{code}", "shows a dictionary").returning::<ShownDictionary>(),
    put(
        "/v1/dictionary/{code}",
        "defines a dictionary",
        &[CODE, NEW_NAME, IS_ENABLED, ITEMS],
    )
    .returning::<ShownDictionary>(),
    delete(
        "/v1/dictionary/{code}",
        "deletes a dictionary that no workflow uses",
    ),
];

/// All dictionaries.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Dictionaries {
    dictionaries: Vec<ShownDictionary>,
}

/// A dictionary: a named list of options for form fields.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Dictionary"))]
struct ShownDictionary {
    code: String,
    name: String,
    is_enabled: bool,
    #[cfg_attr(test, schemars(schema_with = "schema::options"))]
    items: Vec<Choice>,
}

fn shown(dictionary: &dictionary::Defined) -> ShownDictionary {
    ShownDictionary {
        code: dictionary.code.clone(),
        name: dictionary.name.clone(),
        is_enabled: dictionary.is_enabled,
        items: dictionary.items.clone(),
    }
}

/// The operations on dictionaries, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(
        async move { dictionary(call.request, &call.method, &segments(&call.path)[1..]).await },
    )
}

async fn dictionary(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    let app = &request.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let mut dictionaries = Vec::new();
            for entry in entries(app, "dictionary").await? {
                let dictionary = app.configuration.dictionary(&entry.value).await?;
                dictionaries.extend(dictionary.0.as_ref().map(shown));
            }
            Ok(ok(&Dictionaries { dictionaries }))
        }
        (&Method::GET, [code]) => match app
            .configuration
            .dictionary(code)
            .await?
            .0
            .as_ref()
            .filter(|list| list.is_listed)
        {
            Some(list) => Ok(ok(&shown(list))),
            None => Err(Problem::not_found(format!("there is no dictionary {code}"))),
        },
        (&Method::PUT, [code]) => {
            let by = changes_configuration(&request).await?;
            check_code(code, "code")?;
            same(&request, "code", code)?;
            // The stored dictionary provides the values of all members that the request omits.
            let known = app.configuration.dictionary(code).await?;
            let known = known.0.as_ref().filter(|known| known.is_listed);
            let items: Vec<Choice> = match (request.body.get("items"), known) {
                (Some(items), _) => serde_json::from_value(items.clone())
                    .map_err(|error| Problem::malformed("/items", error.to_string()))?,
                (None, Some(known)) => known.items.clone(),
                (None, None) => {
                    return Err(Problem::malformed(
                        "/items",
                        "`items` is required for a new dictionary; use `[]` for an empty one",
                    ));
                }
            };
            if options::count(&items) > ITEMS_MAX {
                return Err(Problem::malformed(
                    "/items",
                    format!("`items` must have at most {ITEMS_MAX} options"),
                ));
            }
            if let Some(key) = options::with_comma(&items) {
                return Err(Problem::malformed(
                    "/items",
                    format!(
                        "`items` has the key {key:?} with a comma; keys must not contain commas, because commas separate selected options"
                    ),
                ));
            }
            check_options(&items, "/items")?;
            let name = match known.filter(|_| !request.body.contains_key("name")) {
                Some(known) => known.name.clone(),
                None => request.required("name")?,
            };
            if request.body.contains_key("name") && !is_name(&name) {
                return Err(Problem::malformed(
                    "/name",
                    format!(
                        "`name` must have at most {NAME_MAX} characters and no control characters"
                    ),
                ));
            }
            let is_enabled =
                request.flag("is_enabled", known.is_none_or(|known| known.is_enabled))?;
            let defined = dictionary::Defined {
                code: (*code).to_owned(),
                name,
                is_enabled,
                items,
                is_listed: true,
            };
            administration::define::<Dictionary>(app, &by, format!("dictionary-{code}"), &defined)
                .await?;
            Ok(ok(&shown(&defined)))
        }
        (&Method::DELETE, [code]) => {
            let by = changes_configuration(&request).await?;
            let known = app.configuration.dictionary(code).await?;
            let known = known
                .0
                .as_ref()
                .filter(|list| list.is_listed)
                .ok_or_else(|| Problem::not_found(format!("there is no dictionary {code}")))?;
            administration::remove_dictionary(app, &by, known).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}
