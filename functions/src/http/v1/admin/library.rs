//! The library of shared fields, and how a workflow that is drawn takes copies of them.

use axum::http::Method;
use domain::config::SharedField;
use domain::workflow::check;
use events::field;
use events::workflow::Field;
use infra::views::Range;
use serde_json::{Map, Value, json};

use super::{LIST_MAX, check_code, check_options, done, ok, same, superuser, wrong_method};
use crate::http::v1::asked::Asked;
use crate::http::v1::problem::{Answer, Problem};
use crate::{App, company, setup};

/// Longest name of a field, in characters: labels of forms are longer than names of lists.
const FIELD_NAME_MAX: usize = 255;

/// A field that names a shared one (`library`) is a copy of it; what is given beside that name is its own.
pub(super) async fn from_library(app: &App, field: &mut Value, at: usize) -> Result<(), Problem> {
    let Some(key) = field.get("library").and_then(Value::as_str).filter(|key| !key.is_empty()).map(str::to_owned) else { return Ok(()) };
    let is_whole = ["key", "type", "name"].iter().all(|member| field.get(*member).is_some());
    let Some(shared) = app.configuration.field(&key).await? else {
        // A copy that was taken before stays what it is, whatever became of the library.
        let missing = || Problem::malformed(&format!("/definition/fields/{at}/library"), format!("there is no shared field {key}"));
        return if is_whole { Ok(()) } else { Err(missing()) };
    };
    if let (Value::Object(copy), Some(own)) = (self::shared(app, shared).await?, field.as_object()) {
        let own = own.clone();
        *field = Value::Object(copy.into_iter().filter(|(member, _)| !is_whole || own.contains_key(member)).chain(own.clone()).collect());
    }
    Ok(())
}

/// The library of shared fields.
pub(in crate::http::v1) async fn fields(asked: Asked, method: &Method, parts: &[&str]) -> Answer {
    let app = &asked.app;
    let missing = |key: &str| Problem::not_found(format!("there is no shared field {key}"));
    match (method, parts) {
        (&Method::GET, []) => {
            let range = Range { view: "field", index: "id", from: "", to: "~", descending: false, skip: 0, limit: LIST_MAX };
            let mut fields = Vec::new();
            for entry in app.views.range(range).await? {
                if let Some(field) = app.configuration.field(&entry.value).await? {
                    fields.push(shared(app, field).await?);
                }
            }
            Ok(ok(json!({ "fields": fields })))
        }
        (&Method::GET, [key]) => Ok(ok(shared(app, app.configuration.field(key).await?.ok_or_else(|| missing(key))?).await?)),
        (&Method::PUT, [key]) => {
            let by = superuser(&asked).await?;
            check_code(key, "key")?;
            same(&asked, "key", key)?;
            // What the body leaves out keeps its value.
            let mut given = match app.configuration.field(key).await? {
                Some(known) => match shared(app, known).await? {
                    Value::Object(known) => known,
                    _ => Map::new(),
                },
                None => Map::new(),
            };
            let missing = |member: &str| Problem::malformed(&format!("/{member}"), format!("`{member}` is required for a new field"));
            given.extend(asked.body.clone());
            for member in ["type", "name"] {
                if !given.contains_key(member) {
                    return Err(missing(member));
                }
            }
            given.insert("key".into(), (*key).into());
            let mut field: Field = serde_json::from_value(given.into()).map_err(|error| Problem::malformed("body", error.to_string()))?;
            if asked.body.contains_key("name") && (field.name.trim().is_empty() || field.name.chars().count() > FIELD_NAME_MAX) {
                return Err(Problem::malformed("/name", format!("`name` is empty or longer than {FIELD_NAME_MAX} characters")));
            }
            if asked.body.contains_key("choice") {
                check_options(&field.choice, "/choice")?;
            }
            // A file is uploaded for a workflow, which keeps it; the library keeps none.
            if !field.templates.is_empty() {
                return Err(Problem::malformed("/templates", "a shared field hands out no files; the workflow that takes it may"));
            }
            company::shared_with_pids(app, &mut field).await?;
            if let Some(problem) = check::field_problems(&field).into_iter().next() {
                return Err(Problem::malformed("body", problem));
            }
            setup::define::<SharedField>(app, &by, format!("field-{key}"), &field::Defined { field: field.clone(), is_listed: true }).await?;
            Ok(ok(shared(app, field).await?))
        }
        (&Method::DELETE, [key]) => {
            let by = superuser(&asked).await?;
            let field = app.configuration.field(key).await?.ok_or_else(|| missing(key))?;
            setup::define::<SharedField>(app, &by, format!("field-{key}"), &field::Defined { field, is_listed: false }).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}

/// A shared field as people read it.
async fn shared(app: &App, mut field: Field) -> Result<Value, Problem> {
    company::shared_with_names(app, &mut field).await?;
    Ok(json!(field))
}
