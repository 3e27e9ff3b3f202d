//! Stores the initial configuration of the desk from TOML files. A TOML file names people by their
//! user names, and all other objects by their ids.

use std::collections::BTreeMap;

use domain::Decider;
use domain::config::{Catalog, CatalogCommand, Dictionary, Role, Service, SharedField};
use domain::user_name::split;
use domain::workflow::{Command as WorkflowCommand, Workflow};
use events::catalog::{CategoryAdded, ServicePlaced};
use events::role::{self, RoleKind};
use events::service;
use events::workflow::{Definition, Deployed, Field, Processors};
use events::{CategoryId, Meta, PersonId, ServiceId, dictionary, field};
use infra::ledger::{ContextLoader, NoContext};
use infra::{CommandEnvelope, Error, ExecuteError, Kind};
use serde::Deserialize;

use crate::App;
use crate::app::context::SUPERUSER;
use crate::app::people::{Unnamed, names_of, one_name, trimmed};

/// The id of the built-in service for tickets that are opened with the API request `fast_approval`.
pub const FAST_APPROVAL: ServiceId = ServiceId(1);
/// The user name of the person who becomes the first superuser.
pub const ADMIN: &str = "admin";
/// The people of the demo company: the superuser, one requester, and the members of all roles.
pub const DEMO_PEOPLE: [&str; 11] = [
    ADMIN, "lisi", "zhangsan", "wangwu", "zhaoliu", "qianqi", "sunba", "zhoujiu", "wushi",
    "zhengshi", "fengyi",
];

/// Maximum number of user names in one workflow definition.
const DEFINITION_PEOPLE_MAX: usize = 10_000;

/// The content of a TOML file with initial configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Company {
    #[serde(default)]
    role: Vec<role::Defined>,
    #[serde(default)]
    catalog: Vec<CategoryAdded>,
    #[serde(default)]
    dictionary: Vec<dictionary::Defined>,
    /// The fields of the field library. Several workflows can use the same field.
    #[serde(default)]
    field: Vec<Field>,
    #[serde(default)]
    workflow: Vec<Deployed>,
    #[serde(default)]
    service: Vec<Placed>,
}

#[derive(Debug, Deserialize)]
struct Placed {
    catalog: CategoryId,
    #[serde(flatten)]
    service: service::Defined,
}

/// Stores the basic configuration that every desk needs. Objects that are already stored are not
/// changed.
pub async fn found(app: &App) -> Result<(), Error> {
    let admin = app.people.pid(ADMIN).await?;
    let superusers = app.configuration.role(SUPERUSER).await?;
    if superusers.0.is_none() {
        let defined = role::Defined {
            role: SUPERUSER,
            kind: RoleKind::Admin,
            key: "SUPERUSER".into(),
            name: "ITSM超级管理员".into(),
            members: vec![admin],
            is_listed: true,
        };
        define::<Role>(app, format!("role-{SUPERUSER}"), &defined).await?;
    }
    settle(app, include_str!("base.toml"), true).await
}

/// Stores the configuration of a demo company. If this configuration is already stored, a repeated
/// call has no effect.
pub async fn demo(app: &App) -> Result<(), Error> {
    settle(app, include_str!("demo.toml"), false).await
}

/// Stores the configuration from a TOML file. `text` is the content of this file. If `seeds` is
/// true, objects that already exist are not changed, because people may have edited these objects.
async fn settle(app: &App, text: &str, seeds: bool) -> Result<(), Error> {
    let company: Company = toml::from_str(text)
        .map_err(|error| Error::because(Kind::Misconfigured, "cannot read the company", error))?;
    for mut role in company.role {
        if seeds && app.configuration.role(role.role).await?.0.is_some() {
            continue;
        }
        role.members = pids(app, &role.members).await?;
        define::<Role>(app, format!("role-{}", role.role), &role).await?;
    }
    for dictionary in company.dictionary {
        if !seeds
            || app
                .configuration
                .dictionary(&dictionary.code)
                .await?
                .0
                .is_none()
        {
            define::<Dictionary>(app, format!("dictionary-{}", dictionary.code), &dictionary)
                .await?;
        }
    }
    for field in company.field {
        if !seeds || app.configuration.field(&field.key).await?.is_none() {
            let stream = format!("field-{}", field.key);
            define::<SharedField>(
                app,
                stream,
                &field::Defined {
                    field,
                    is_listed: true,
                },
            )
            .await?;
        }
    }
    for category in company.catalog {
        if seeds
            && app
                .configuration
                .catalog()
                .await?
                .categories
                .contains_key(&category.id)
        {
            continue;
        }
        define::<Catalog>(app, "catalog".into(), &CatalogCommand::Add(category)).await?;
    }
    for mut deployed in company.workflow {
        // A deployed workflow version never changes. An existing version is therefore skipped, even
        // if the TOML file now contains a different definition.
        if app
            .configuration
            .workflow(deployed.workflow, deployed.version)
            .await?
            .is_some()
        {
            continue;
        }
        with_pids(app, &mut deployed.definition)
            .await
            .map_err(|error| Error::new(Kind::Misconfigured, error.to_string()))?;
        define::<Workflow>(
            app,
            format!("workflow-{}", deployed.workflow),
            &WorkflowCommand::DeployVersion(Box::new(deployed)),
        )
        .await?;
    }
    for Placed {
        catalog,
        mut service,
    } in company.service
    {
        // If `seeds` is true, a service is skipped if its id or its name is already used.
        let services = if seeds {
            app.configuration.services().await?
        } else {
            Vec::new()
        };
        if services
            .iter()
            .filter_map(|known| known.0.as_ref())
            .any(|known| known.service == service.service || known.name == service.name)
        {
            continue;
        }
        service.owners = pids(app, &service.owners).await?;
        define::<Service>(app, format!("service-{}", service.service), &service).await?;
        let placed = ServicePlaced {
            service: service.service,
            catalog: Some(catalog),
        };
        define::<Catalog>(app, "catalog".into(), &CatalogCommand::PlaceService(placed)).await?;
    }
    Ok(())
}

/// Replaces the user names in a workflow definition with person ids. All user names are checked
/// first. If a user name is not valid, no person is registered. Otherwise, one call registers all
/// unknown people.
pub async fn with_pids(app: &App, definition: &mut Definition) -> Result<(), Unnamed> {
    let mut all = Vec::new();
    for processors in definition.processors() {
        if let Processors::Person(names) = processors {
            for name in names {
                all.push(
                    one_name(name.as_str())
                        .ok_or_else(|| Unnamed::NotAName(name.0.clone()))?
                        .to_owned(),
                );
            }
        }
    }
    for field in definition
        .fields
        .iter()
        .filter(|field| field.kind.names_people())
    {
        all.extend(names_of(&field.default, DEFINITION_PEOPLE_MAX)?);
    }
    for text in definition.people_compared_mut() {
        all.extend(names_of(&text.as_str().into(), DEFINITION_PEOPLE_MAX)?);
    }
    if all.len() > DEFINITION_PEOPLE_MAX {
        return Err(Unnamed::TooMany(DEFINITION_PEOPLE_MAX));
    }
    let pids: BTreeMap<String, PersonId> = all
        .iter()
        .cloned()
        .zip(app.people.pids(&all).await?)
        .collect();
    let known = |name: &str| pids.get(trimmed(name)).cloned();
    let in_text = |text: &str| joined(&split(text).filter_map(known).collect::<Vec<_>>());
    for processors in definition.processors_mut() {
        if let Processors::Person(names) = processors {
            *names = names
                .iter()
                .filter_map(|name| known(name.as_str()))
                .collect();
        }
    }
    for field in definition
        .fields
        .iter_mut()
        .filter(|field| field.kind.names_people() && !field.default.is_null())
    {
        let names = names_of(&field.default, DEFINITION_PEOPLE_MAX)?;
        field.default = joined(
            &names
                .iter()
                .filter_map(|name| known(name))
                .collect::<Vec<_>>(),
        )
        .into();
    }
    for text in definition.people_compared_mut() {
        *text = in_text(text.as_str());
    }
    Ok(())
}

/// Returns a workflow definition that contains only the field `field` of the field library.
/// Functions that convert all fields of a workflow definition can then also convert this single
/// field.
fn alone(field: &Field) -> Definition {
    Definition {
        fields: vec![field.clone()],
        ..Definition::default()
    }
}

/// Replaces the person ids in a field of the field library with user names, for API responses.
pub async fn shared_with_names(app: &App, field: &mut Field) -> Result<(), Error> {
    let definition = alone(field);
    field_with_names(app, field, &definition).await
}

/// Replaces the user names in a field of the field library with person ids. Unknown people are
/// registered.
pub async fn shared_with_pids(app: &App, field: &mut Field) -> Result<(), Unnamed> {
    let mut definition = alone(field);
    with_pids(app, &mut definition).await?;
    if let Some(known) = definition.fields.pop() {
        *field = known;
    }
    Ok(())
}

fn joined(people: &[PersonId]) -> String {
    people
        .iter()
        .map(PersonId::as_str)
        .collect::<Vec<_>>()
        .join(",")
}

/// Replaces the person ids in a workflow definition with user names, for API responses.
pub async fn with_names(app: &App, definition: &mut Definition) -> Result<(), Error> {
    for processors in definition.processors_mut() {
        if let Processors::Person(people) = processors {
            for pid in people.iter_mut() {
                *pid = PersonId(app.people.name(pid).await?);
            }
        }
    }
    for field in &mut definition.fields {
        field.default = app.people.value_out(Some(field), &field.default).await?;
    }
    for text in definition.people_compared_mut() {
        *text = app.people.names_in(text).await?;
    }
    Ok(())
}

/// Replaces the person ids in one field of a workflow definition with user names, for API
/// responses.
pub async fn field_with_names(
    app: &App,
    field: &mut Field,
    definition: &Definition,
) -> Result<(), Error> {
    field.default = app.people.value_out(Some(field), &field.default).await?;
    // The conditions of a field can contain person ids, but most fields have no conditions. This
    // check saves time, because API lists call this function for every field of a node.
    if field.hidden_when.is_some() || field.rule.is_some() {
        for text in field.people_compared_mut(&definition.people_keys()) {
            *text = app.people.names_in(text).await?;
        }
    }
    Ok(())
}

/// Converts user names from a TOML file to person ids. Unknown people are registered. The type of
/// `names` is `PersonId`, but the values are still user names.
async fn pids(app: &App, names: &[PersonId]) -> Result<Vec<PersonId>, Error> {
    let names: Vec<String> = names.iter().map(|name| name.0.clone()).collect();
    app.people.pids(&names).await
}

async fn define<D: Decider>(app: &App, stream: String, command: &D::Command) -> Result<(), Error>
where
    NoContext: ContextLoader<D>,
{
    let command_envelope = CommandEnvelope {
        stream,
        command_id: app.ledger.fresh_id(),
        meta: Meta::system("setup", "setup"),
    };
    match app
        .ledger
        .execute::<D>(&command_envelope, command, &NoContext)
        .await
    {
        Ok(_) => Ok(()),
        Err(ExecuteError::Technical(error)) => Err(error),
        Err(ExecuteError::Rejected(rejection)) => Err(Error::new(
            Kind::Misconfigured,
            format!("{}: {rejection}", command_envelope.stream),
        )),
    }
}
