//! Handles the catalog of services in the API `/v1`. The catalog is a tree of categories.

use axum::http::Method;
use events::CategoryId;
use events::app::Scope;
use events::catalog::{CategoryAdded, CategoryChanged};
use serde::Serialize;

use super::admin::{changes_configuration, number, wrong_method};
use super::problem::{ApiResult, Problem};
use super::reply::{created, done, ok};
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
    get("/v1/catalog", "shows the catalog tree").returning::<ShownCatalog>(),
    post(
        "/v1/catalog",
        "adds a category to the catalog",
        &[PARENT_CATEGORY, NAME, DESC],
    )
    .creating()
    .returning::<ShownCategory>(),
    get("/v1/catalog/{id}", "shows a category with its services").returning::<ShownCategory>(),
    put(
        "/v1/catalog/{id}",
        "changes or moves a category",
        &[NEW_PARENT_CATEGORY, NEW_NAME, DESC],
    )
    .answering(EMPTY),
    delete("/v1/catalog/{id}", "deletes an empty category"),
];

/// The categories of the catalog, and the category of each service.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Catalog"))]
struct ShownCatalog {
    catalogs: Vec<ShownCategory>,
    places: Vec<Place>,
}

/// A category of the catalog.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Category"))]
struct ShownCategory {
    id: i64,
    key: String,
    name: String,
    desc: String,
    /// The category above this one.
    parent: Option<i64>,
    /// The services of the category. The member is absent in the list of all categories.
    #[serde(skip_serializing_if = "Option::is_none")]
    services: Option<Vec<i64>>,
}

/// The category of one service.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Place {
    service: i64,
    catalog: i64,
}

fn shown(category: &CategoryAdded) -> ShownCategory {
    ShownCategory {
        id: category.id.0,
        key: category.key.clone(),
        name: category.name.clone(),
        desc: category.desc.clone(),
        parent: category.parent.map(|parent| parent.0),
        services: None,
    }
}

/// The operations on the catalog, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move { catalog(call.request, &call.method, &segments(&call.path)[1..]).await })
}

async fn catalog(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    let app = &request.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let catalog = app.configuration.catalog().await?;
            let places = catalog.places.iter().map(|(service, catalog)| Place {
                service: service.0,
                catalog: catalog.0,
            });
            Ok(ok(&ShownCatalog {
                catalogs: catalog.categories.values().map(shown).collect(),
                places: places.collect(),
            }))
        }
        (&Method::GET, [id]) => {
            let id = CategoryId(number(id, "catalog")?);
            let catalog = app.configuration.catalog().await?;
            let category = catalog
                .categories
                .get(&id)
                .ok_or_else(|| Problem::not_found(format!("there is no catalog {id}")))?;
            let services = catalog
                .places
                .iter()
                .filter(|(_, place)| **place == id)
                .map(|(service, _)| service.0);
            Ok(ok(&ShownCategory {
                services: Some(services.collect()),
                ..shown(category)
            }))
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
            Ok(created(&shown(&added)))
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
