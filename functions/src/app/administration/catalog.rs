//! Changes the service catalog: adds, changes and removes categories of services.

use domain::config::{self, Catalog, CatalogCommand};
use events::catalog::{CategoryAdded, CategoryChanged, CategoryRemoved};
use events::{CategoryId, Meta};
use infra::{Error, ExecuteError, Kind};

use crate::App;

use super::{AdministrationError, RACES_MAX, execute};

pub(super) async fn on_catalog(
    app: &App,
    by: &Meta,
    command: &CatalogCommand,
) -> Result<Catalog, AdministrationError> {
    execute::<Catalog>(app, by, "catalog".into(), command)
        .await
        .map_err(|failure| match failure {
            ExecuteError::Technical(error) => error.into(),
            ExecuteError::Rejected(rejection) => AdministrationError::Catalog(rejection),
        })
}

/// Adds a new category to the service catalog, as a child of the category `parent`. Returns the
/// event that contains the new category. The parameter `by` is the metadata of the commit, such as
/// the acting person.
pub async fn add_catalog(
    app: &App,
    by: &Meta,
    parent: CategoryId,
    name: &str,
    desc: &str,
) -> Result<CategoryAdded, AdministrationError> {
    for _ in 0..RACES_MAX {
        let id = app.configuration.catalog().await?.next_id();
        let added = CategoryAdded {
            id,
            key: format!("CATALOG_{id}"),
            name: name.to_owned(),
            desc: desc.to_owned(),
            parent: Some(parent),
        };
        match on_catalog(app, by, &CatalogCommand::Add(added.clone())).await {
            Ok(_) => return Ok(added),
            // Another request already added a category with the same id. The loop tries the next
            // id.
            Err(AdministrationError::Catalog(config::Rejection::CatalogExists(_))) => {}
            Err(not) => return Err(not),
        }
    }
    Err(Error::new(Kind::Conflict, "others add catalogs all the time").into())
}

pub async fn change_catalog(
    app: &App,
    by: &Meta,
    changed: CategoryChanged,
) -> Result<(), AdministrationError> {
    on_catalog(app, by, &CatalogCommand::Change(changed))
        .await
        .map(drop)
}

pub async fn remove_catalog(
    app: &App,
    by: &Meta,
    id: CategoryId,
) -> Result<(), AdministrationError> {
    on_catalog(app, by, &CatalogCommand::Remove(CategoryRemoved { id }))
        .await
        .map(drop)
}
