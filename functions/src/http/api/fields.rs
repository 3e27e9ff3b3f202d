//! Handles the library of shared fields in the API `/v1`. A shared field is a form field that
//! workflow definitions can copy.

use axum::http::Method;
use domain::config::SharedField;
use domain::workflow::check;
use events::app::Scope;
use events::field;
use events::workflow::Field;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::admin::{changes_configuration, check_code, check_options, entries, same, wrong_method};
use super::definition::SHARED_FIELD;
use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{done, ok};
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, delete, get, put, segments};
use crate::App;
use crate::app::{administration, seed};

const OPERATIONS: &[Operation] = &[
    get("/v1/fields", "lists the shared fields").returning::<SharedFields>(),
    get("/v1/fields/{key}", "shows a shared field").returning::<ShownField>(),
    put("/v1/fields/{key}", "defines a shared field", SHARED_FIELD).returning::<ShownField>(),
    delete("/v1/fields/{key}", "deletes a shared field"),
];

/// All shared fields.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SharedFields {
    #[cfg_attr(test, schemars(schema_with = "schema::fields"))]
    fields: Vec<Field>,
}

/// A shared field, in the form of a field of a workflow definition.
#[derive(Debug, Serialize)]
#[serde(transparent)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
struct ShownField(#[cfg_attr(test, schemars(schema_with = "schema::field"))] Field);

/// The operations on shared fields (form fields that workflows can copy), and the function that
/// handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move { fields(call.request, &call.method, &segments(&call.path)[1..]).await })
}

/// The largest number of characters in the name of a field. A form shows this name as a label, so
/// the limit is higher than for other names.
const FIELD_NAME_MAX: usize = 255;

/// Completes a field of a workflow definition. If the member `library` of the field contains the
/// key of a shared field, the function copies the missing members from this shared field. A field
/// that already contains `key`, `type` and `name` does not change. `at` is the index of the field
/// in the definition.
pub(super) async fn from_library(app: &App, field: &mut Value, at: usize) -> Result<(), Problem> {
    let Some(key) = field
        .get("library")
        .and_then(Value::as_str)
        .filter(|key| !key.is_empty())
        .map(str::to_owned)
    else {
        return Ok(());
    };
    let is_complete = ["key", "type", "name"]
        .iter()
        .all(|member| field.get(*member).is_some());
    let Some(shared) = app.configuration.field(&key).await? else {
        // The shared field does not exist, so no members can be copied from it. The field of the
        // workflow is therefore valid only if it already contains all required members.
        let missing = || {
            Problem::malformed(
                &format!("/definition/fields/{at}/library"),
                format!("there is no shared field {key}"),
            )
        };
        return if is_complete { Ok(()) } else { Err(missing()) };
    };
    if let (Value::Object(copy), Some(own)) =
        (json!(self::shared(app, shared).await?), field.as_object())
    {
        let own = own.clone();
        *field = Value::Object(
            copy.into_iter()
                .filter(|(member, _)| !is_complete || own.contains_key(member))
                .chain(own.clone())
                .collect(),
        );
    }
    Ok(())
}

/// Lists, shows, defines or deletes shared fields (form fields that workflows can copy).
async fn fields(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    let app = &request.app;
    let missing = |key: &str| Problem::not_found(format!("there is no shared field {key}"));
    match (method, parts) {
        (&Method::GET, []) => {
            let mut fields = Vec::new();
            for entry in entries(app, "field").await? {
                if let Some(field) = app.configuration.field(&entry.value).await? {
                    fields.push(shared(app, field).await?);
                }
            }
            Ok(ok(&SharedFields { fields }))
        }
        (&Method::GET, [key]) => {
            let field = app.configuration.field(key).await?;
            let field = field.ok_or_else(|| missing(key))?;
            Ok(ok(&ShownField(shared(app, field).await?)))
        }
        (&Method::PUT, [key]) => {
            let by = changes_configuration(&request).await?;
            check_code(key, "key")?;
            same(&request, "key", key)?;
            // The stored field provides the values of all members that the request omits.
            let mut given = match app.configuration.field(key).await? {
                Some(known) => match json!(shared(app, known).await?) {
                    Value::Object(known) => known,
                    _ => Map::new(),
                },
                None => Map::new(),
            };
            let missing = |member: &str| {
                Problem::malformed(
                    &format!("/{member}"),
                    format!("`{member}` is required for a new field"),
                )
            };
            given.extend(request.body.clone());
            for member in ["type", "name"] {
                if !given.contains_key(member) {
                    return Err(missing(member));
                }
            }
            given.insert("key".into(), (*key).into());
            let mut field: Field = serde_json::from_value(given.into())
                .map_err(|error| Problem::malformed("body", error.to_string()))?;
            if request.body.contains_key("name")
                && (field.name.trim().is_empty() || field.name.chars().count() > FIELD_NAME_MAX)
            {
                return Err(Problem::malformed(
                    "/name",
                    format!("`name` must have 1 to {FIELD_NAME_MAX} characters"),
                ));
            }
            if request.body.contains_key("choice") {
                check_options(&field.choice, "/choice")?;
            }
            // A template file belongs to exactly one workflow. Several workflows can copy a shared
            // field, so a shared field must not have template files.
            if !field.templates.is_empty() {
                return Err(Problem::malformed(
                    "/templates",
                    "a shared field cannot have template files; add them to the field in the workflow",
                ));
            }
            seed::shared_with_pids(app, &mut field).await?;
            if let Some(problem) = check::field_problems(&field).into_iter().next() {
                return Err(Problem::malformed("body", problem));
            }
            administration::define::<SharedField>(
                app,
                &by,
                format!("field-{key}"),
                &field::Defined {
                    field: field.clone(),
                    is_listed: true,
                },
            )
            .await?;
            Ok(ok(&ShownField(shared(app, field).await?)))
        }
        (&Method::DELETE, [key]) => {
            let by = changes_configuration(&request).await?;
            let field = app
                .configuration
                .field(key)
                .await?
                .ok_or_else(|| missing(key))?;
            administration::define::<SharedField>(
                app,
                &by,
                format!("field-{key}"),
                &field::Defined {
                    field,
                    is_listed: false,
                },
            )
            .await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}

/// Returns a shared field (a form field that workflows can copy) with user names instead of person
/// ids.
async fn shared(app: &App, mut field: Field) -> Result<Field, Problem> {
    seed::shared_with_names(app, &mut field).await?;
    Ok(field)
}
