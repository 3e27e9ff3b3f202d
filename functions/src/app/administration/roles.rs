//! Returns the names of roles, and removes roles.

use std::collections::BTreeMap;

use domain::config::Role;
use events::role::RoleKind;
use events::workflow::Processors;
use events::{Meta, RoleId, role};
use infra::Error;

use crate::App;

use super::{AdministrationError, define, definitions::used_in};

/// Returns a map from the id of each role to the name of this role.
pub async fn role_names(app: &App) -> Result<BTreeMap<RoleId, String>, Error> {
    let roles = app.configuration.roles().await?;
    Ok(roles
        .iter()
        .filter_map(|role| role.0.as_ref())
        .map(|role| (role.role, role.name.clone()))
        .collect())
}

/// Removes a role from the list of roles. Returns an error if the role is built in, or if a
/// workflow uses the role.
pub async fn remove_role(
    app: &App,
    by: &Meta,
    defined: &role::Defined,
) -> Result<(), AdministrationError> {
    let what = format!("role {}", defined.name);
    if defined.kind == RoleKind::Admin {
        return Err(AdministrationError::InUse {
            what,
            by: "the desk itself".into(),
        });
    }
    let names = |processors: &Processors| matches!(processors, Processors::General(roles) if roles.contains(&defined.role));
    if let Some(by) = used_in(app, |definition| definition.processors().any(names)).await? {
        return Err(AdministrationError::InUse { what, by });
    }
    define::<Role>(
        app,
        by,
        format!("role-{}", defined.role),
        &role::Defined {
            is_listed: false,
            ..defined.clone()
        },
    )
    .await
}
