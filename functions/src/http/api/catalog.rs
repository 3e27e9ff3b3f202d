//! Handles the catalog of services in the API `/v1`. The catalog is a tree of categories.

use axum::http::Method;
use events::catalog::CategoryChanged;
use events::{CategoryId, ServiceId};
use serde_json::{Value, json};

use super::admin::{changes_configuration, created, done, number, ok, wrong_method};
use super::problem::{ApiResult, Problem};
use super::request::Asked;
use super::resource::{Answer, Call, EMPTY, Operation, Resource, delete, get, post, put, segments};
use super::shape::{INTEGER, Member, Shape, optional, required};
use crate::app::administration;

const PARENT_CATEGORY: Member = required("parent", INTEGER);
const NEW_PARENT_CATEGORY: Member = optional("parent", INTEGER);
const NAME: Member = required("name", Shape::Text);
const NEW_NAME: Member = optional("name", Shape::Text);
const DESC: Member = optional("desc", Shape::Text);

const OPERATIONS: &[Operation] = &[
    get("/v1/catalog", "shows the catalog tree"),
    post(
        "/v1/catalog",
        "adds a category to the catalog",
        &[PARENT_CATEGORY, NAME, DESC],
    )
    .creating(),
    get("/v1/catalog/{id}", "shows a category with its services"),
    put(
        "/v1/catalog/{id}",
        "changes or moves a category",
        &[NEW_PARENT_CATEGORY, NEW_NAME, DESC],
    )
    .answering(EMPTY),
    delete("/v1/catalog/{id}", "deletes an empty category"),
];

/// The operations on the catalog, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move { catalog(call.request, &call.method, &segments(&call.path)[1..]).await })
}

async fn catalog(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    let app = &request.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let catalog = app.configuration.catalog().await?;
            let categories: Vec<Value> = catalog
                .categories
                .values()
                .map(|category| json!(category))
                .collect();
            let places: Vec<Value> = catalog
                .places
                .iter()
                .map(|(service, catalog)| json!({ "service": service, "catalog": catalog }))
                .collect();
            Ok(ok(json!({ "catalogs": categories, "places": places })))
        }
        (&Method::GET, [id]) => {
            let id = CategoryId(number(id, "catalog")?);
            let catalog = app.configuration.catalog().await?;
            let category = catalog
                .categories
                .get(&id)
                .ok_or_else(|| Problem::not_found(format!("there is no catalog {id}")))?;
            let services: Vec<ServiceId> = catalog
                .places
                .iter()
                .filter(|(_, place)| **place == id)
                .map(|(service, _)| *service)
                .collect();
            let mut shown = json!(category);
            shown["services"] = json!(services);
            Ok(ok(shown))
        }
        (&Method::POST, []) => {
            let by = changes_configuration(&request).await?;
            let parent = CategoryId(request.required_int("parent")?);
            if !app
                .configuration
                .catalog()
                .await?
                .categories
                .contains_key(&parent)
            {
                return Err(Problem::unknown(
                    "/parent",
                    format!("there is no catalog {parent}"),
                ));
            }
            let added = administration::add_catalog(
                app,
                &by,
                parent,
                &request.required("name")?,
                &request.text("desc")?.unwrap_or_default(),
            )
            .await?;
            Ok(created(json!(added)))
        }
        (&Method::PUT, [id]) => {
            let by = changes_configuration(&request).await?;
            let id = CategoryId(number(id, "catalog")?);
            let catalog = app.configuration.catalog().await?;
            let category = catalog
                .categories
                .get(&id)
                .ok_or_else(|| Problem::not_found(format!("there is no catalog {id}")))?;
            let parent = request.int("parent")?.map(CategoryId);
            if let Some(unknown) = parent.filter(|parent| !catalog.categories.contains_key(parent))
            {
                return Err(Problem::unknown(
                    "/parent",
                    format!("there is no catalog {unknown}"),
                ));
            }
            let changed = CategoryChanged {
                id,
                name: request
                    .text("name")?
                    .unwrap_or_else(|| category.name.clone()),
                desc: request
                    .text("desc")?
                    .unwrap_or_else(|| category.desc.clone()),
                parent: parent.or(category.parent),
            };
            administration::change_catalog(app, &by, changed).await?;
            Ok(done())
        }
        (&Method::DELETE, [id]) => {
            let by = changes_configuration(&request).await?;
            administration::remove_catalog(app, &by, CategoryId(number(id, "catalog")?)).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}
