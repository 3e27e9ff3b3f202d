//! Handles roles in the API `/v1`. A role is a group of people who process tickets.

use std::collections::BTreeSet;

use axum::http::Method;
use domain::config::Role;
use events::app::Scope;
use events::role::RoleKind;
use events::{RoleId, role};
use serde::Serialize;

use super::admin::{changes_configuration, is_name, number, same, wrong_method};
use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{done, ok};
use super::request::Asked;
use super::resource::{Answer, Call, EMPTY, Operation, Resource, delete, get, put, segments};
use super::shape::{Member, NAMES, Shape, optional};
use crate::app::administration;
use crate::app::context::SUPERUSER;
use crate::app::permissions;

/// The largest number of members in one role. This limit ensures that the ids of all members fit
/// into one commit.
const MEMBERS_MAX: usize = 10_000;
const KEY: Member = optional("key", Shape::Text);
const NEW_NAME: Member = optional("name", Shape::Text);
const MEMBERS: Member = optional("members", NAMES);

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/roles",
        "lists roles; the members are shown to members and superusers",
    )
    .returning::<Roles>(),
    get(
        "/v1/roles/{id}",
        "shows a role; the members are shown to members and superusers",
    )
    .returning::<ShownRole>(),
    put(
        "/v1/roles/{id}",
        "defines a role",
        &[KEY, NEW_NAME, MEMBERS],
    )
    .answering(EMPTY),
    delete("/v1/roles/{id}", "deletes a role that no workflow uses"),
];

/// All roles.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Roles {
    roles: Vec<ShownRole>,
}

/// A role: a group of people who process tickets.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Role"))]
struct ShownRole {
    role: i64,
    #[cfg_attr(test, schemars(schema_with = "schema::role_kind"))]
    kind: RoleKind,
    key: String,
    name: String,
    /// The members. Absent if the caller may not read them.
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<String>>,
}

/// The operations on roles, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move { roles(call.request, &call.method, &segments(&call.path)[1..]).await })
}

/// Returns whether a text is a valid role name. Workflow files contain lists of role names, so a
/// role name must not contain a separator of such a list, for example a comma.
fn is_role_name(name: &str) -> bool {
    is_name(name) && !name.contains([',', '<', '>', '\'', '"', ';'])
}

async fn roles(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    let app = &request.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let mut shown = Vec::new();
            for role in app
                .configuration
                .roles()
                .await?
                .iter()
                .filter_map(|role| role.0.as_ref())
            {
                shown.push(shown_role(&request, role).await?);
            }
            Ok(ok(&Roles { roles: shown }))
        }
        (&Method::GET, [id]) => {
            let id = RoleId(number(id, "role")?);
            match app
                .configuration
                .role(id)
                .await?
                .0
                .as_ref()
                .filter(|role| role.is_listed)
            {
                Some(role) => Ok(ok(&shown_role(&request, role).await?)),
                None => Err(Problem::not_found(format!("there is no role {id}"))),
            }
        }
        (&Method::PUT, [id]) => {
            let by = changes_configuration(&request).await?;
            let id = RoleId(number(id, "role")?);
            let known = app.configuration.role(id).await?;
            let known = known.0.as_ref().filter(|known| known.is_listed);
            let key = match known {
                Some(known) => {
                    same(&request, "key", &known.key)?;
                    known.key.clone()
                }
                None => request.required("key")?,
            };
            if known.is_none() && !is_role_name(&key) {
                return Err(Problem::malformed(
                    "/key",
                    "`key` is too long or has characters that are not allowed in role names",
                ));
            }
            let name = match (request.text("name")?, known) {
                (Some(name), _) if is_role_name(&name) => name,
                (Some(_), _) => {
                    return Err(Problem::malformed(
                        "/name",
                        "`name` is empty, too long or has characters that are not allowed in role names",
                    ));
                }
                (None, Some(known)) => known.name.clone(),
                (None, None) => {
                    return Err(Problem::malformed(
                        "/name",
                        "`name` is required for a new role",
                    ));
                }
            };
            let names = request.names("members")?;
            let members = match (names, known) {
                (Some(names), _) => {
                    if id == SUPERUSER && names.is_empty() {
                        return Err(Problem::conflict(
                            "the superuser role must have at least one member",
                        ));
                    }
                    if names.len() > MEMBERS_MAX {
                        return Err(Problem::malformed(
                            "/members",
                            format!("`members` must have at most {MEMBERS_MAX} entries"),
                        ));
                    }
                    let mut seen = BTreeSet::new();
                    let names: Vec<String> = names
                        .into_iter()
                        .filter(|name| seen.insert(name.clone()))
                        .collect();
                    // The caller is a superuser. If the caller changes the list of superusers, the
                    // changed list must still contain the caller. The list then always contains a
                    // person who can correct the list.
                    let user = request.user()?;
                    if id == SUPERUSER && !names.iter().any(|name| name == user) {
                        return Err(Problem::conflict(
                            "`members` must contain the caller: only another superuser can remove a superuser",
                        ));
                    }
                    let members = app.people.find_all(&names).await?;
                    request.check_directory("/members", &members).await?;
                    app.people.pids(&names).await?
                }
                (None, Some(known)) => known.members.clone(),
                (None, None) => {
                    return Err(Problem::malformed(
                        "/members",
                        "`members` is required for a new role; use `[]` for no members",
                    ));
                }
            };
            let kind = known.map_or(RoleKind::General, |role| role.kind);
            let defined = role::Defined {
                role: id,
                kind,
                key,
                name,
                members,
                is_listed: true,
            };
            administration::define::<Role>(app, &by, format!("role-{id}"), &defined).await?;
            Ok(done())
        }
        (&Method::DELETE, [id]) => {
            let by = changes_configuration(&request).await?;
            let id = RoleId(number(id, "role")?);
            let known = app.configuration.role(id).await?;
            let known = known
                .0
                .as_ref()
                .filter(|role| role.is_listed)
                .ok_or_else(|| Problem::not_found(format!("there is no role {id}")))?;
            administration::remove_role(app, &by, known).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}

/// Returns a role with user names instead of person ids. The result contains the members only if the
/// acting user may read them ([`permissions::may_read_role`]).
async fn shown_role(request: &Asked, role: &role::Defined) -> Result<ShownRole, Problem> {
    let app = &request.app;
    let may_read = match &request.caller.user {
        Some(user) => {
            let person = app.people.find(user).await?;
            permissions::may_read_role(app, &person, &role.members).await?
        }
        None => false,
    };
    let members = if may_read {
        Some(app.people.all_names(&role.members).await?)
    } else {
        None
    };
    Ok(ShownRole {
        role: role.role.0,
        kind: role.kind,
        key: role.key.clone(),
        name: role.name.clone(),
        members,
    })
}
