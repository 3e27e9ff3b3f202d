//! Changes workflows, services, the catalog, dictionaries and roles, for both APIs. Every function
//! takes the metadata of its commits as `by`: the actor, the represented user and the app.

use std::collections::BTreeMap;

use domain::Decider;
use domain::config::{self, Catalog, CatalogCommand, Dictionary, Role, Service};
use domain::number_sequence::{self, NumberSequence};
use domain::workflow::import::{self, Note};
use domain::workflow::{self, Workflow};
use events::attachment::Holder;
use events::catalog::{
    CategoryAdded, CategoryChanged, CategoryRemoved, ServiceNamed, ServicePlaced,
};
use events::number_sequence::NumberSequenceEvent;
use events::role::RoleKind;
use events::service::Defined;
use events::ticket::ServiceKind;
use events::workflow::{Definition, Processors};
use events::{AttachmentId, CategoryId, Meta, RoleId, ServiceId, WorkflowId, dictionary, role};
use infra::ledger::{ContextLoader, NoContext};
use infra::{CommandEnvelope, Error, ExecuteError, Kind};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use crate::App;
use crate::app::people::Unnamed;
use crate::app::{attachments, seed};

/// Ids below this number are reserved for seed files. A new object gets a higher id.
const OWN_IDS: i64 = 1000;
/// Most attempts to get a free id.
const RACES_MAX: u32 = 20;

/// The lock of configuration changes in this process. A change depends on values that were read
/// earlier, for example members that a body omits, or a free name.
static CHANGING: Mutex<()> = Mutex::const_new(());

/// Waits for the exclusive right to change configuration in this process. Dropping the guard ends
/// the exclusive right.
pub async fn turn() -> MutexGuard<'static, ()> {
    CHANGING.lock().await
}

/// The reason why a change of configuration was rejected.
#[derive(Debug, thiserror::Error)]
pub enum NotSetUp {
    #[error(transparent)]
    Technical(#[from] Error),
    #[error("only superusers name secrets of the key store ({0})")]
    SecretNamed(String),
    #[error("a service named {0} is there already")]
    NameTaken(String),
    #[error("there is no service type {0}")]
    KindUnknown(String),
    #[error("{what} is in use by {by}")]
    InUse { what: String, by: String },
    #[error("there is no service {0}")]
    ServiceUnknown(ServiceId),
    #[error("the workflow cannot be read: {0}")]
    Unreadable(String),
    #[error("the workflow cannot be deployed: {}", .0.join("; "))]
    Unsound(Vec<String>),
    #[error(transparent)]
    Catalog(config::Rejection),
    #[error(transparent)]
    Workflow(workflow::Rejection),
}

/// Executes a command on configuration, and waits until its card is stored.
async fn execute<D: Decider>(
    app: &App,
    by: &Meta,
    stream: String,
    command: &D::Command,
) -> Result<D, ExecuteError<D>>
where
    NoContext: ContextLoader<D>,
{
    let command_envelope = CommandEnvelope {
        stream,
        command_id: app.ledger.fresh_id(),
        meta: by.clone(),
    };
    let outcome = app
        .ledger
        .execute::<D>(&command_envelope, command, &NoContext)
        .await?;
    crate::app::tickets::await_card(app, outcome.position).await;
    Ok(outcome.state)
}

/// Returns the next id from the number sequence `of`.
async fn next_id(app: &App, by: &Meta, of: &str) -> Result<i64, NotSetUp> {
    let command_envelope = CommandEnvelope {
        stream: format!("number_sequence-{of}"),
        command_id: app.ledger.fresh_id(),
        meta: by.clone(),
    };
    match app
        .ledger
        .execute::<NumberSequence>(
            &command_envelope,
            &number_sequence::Command::Issue { size: 1 },
            &NoContext,
        )
        .await
    {
        Ok(outcome) => match outcome.events.first() {
            Some(NumberSequenceEvent::BlockIssued(block)) => Ok(OWN_IDS + block.from),
            None => Err(Error::new(Kind::Conflict, format!("no id for a {of} was issued")).into()),
        },
        Err(ExecuteError::Technical(error)) => Err(error.into()),
        Err(ExecuteError::Rejected(rejection)) => {
            Err(Error::new(Kind::Unavailable, rejection.to_string()).into())
        }
    }
}

async fn on_catalog(app: &App, by: &Meta, command: &CatalogCommand) -> Result<Catalog, NotSetUp> {
    execute::<Catalog>(app, by, "catalog".into(), command)
        .await
        .map_err(|failure| match failure {
            ExecuteError::Technical(error) => error.into(),
            ExecuteError::Rejected(rejection) => NotSetUp::Catalog(rejection),
        })
}

/// Adds a category below the category `parent`.
pub async fn add_catalog(
    app: &App,
    by: &Meta,
    parent: CategoryId,
    name: &str,
    desc: &str,
) -> Result<CategoryAdded, NotSetUp> {
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
            // Another caller added a category with this id at the same time, so the next id is
            // tried.
            Err(NotSetUp::Catalog(config::Rejection::CatalogExists(_))) => {}
            Err(not) => return Err(not),
        }
    }
    Err(Error::new(Kind::Conflict, "others add catalogs all the time").into())
}

pub async fn change_catalog(
    app: &App,
    by: &Meta,
    changed: CategoryChanged,
) -> Result<(), NotSetUp> {
    on_catalog(app, by, &CatalogCommand::Change(changed))
        .await
        .map(drop)
}

pub async fn remove_catalog(app: &App, by: &Meta, id: CategoryId) -> Result<(), NotSetUp> {
    on_catalog(app, by, &CatalogCommand::Remove(CategoryRemoved { id }))
        .await
        .map(drop)
}

async fn on_workflow(
    app: &App,
    by: &Meta,
    id: WorkflowId,
    command: &workflow::Command,
) -> Result<Workflow, NotSetUp> {
    execute::<Workflow>(app, by, format!("workflow-{id}"), command)
        .await
        .map_err(|failure| match failure {
            ExecuteError::Technical(error) => error.into(),
            ExecuteError::Rejected(workflow::Rejection::Unsound(problems)) => {
                NotSetUp::Unsound(problems)
            }
            ExecuteError::Rejected(rejection) => NotSetUp::Workflow(rejection),
        })
}

/// Returns the names of all roles, by role id.
pub async fn role_names(app: &App) -> Result<BTreeMap<RoleId, String>, Error> {
    let roles = app.configuration.roles().await?;
    Ok(roles
        .iter()
        .filter_map(|role| role.0.as_ref())
        .map(|role| (role.role, role.name.clone()))
        .collect())
}

/// Reads the workflow of a file. Returns the definition with person ids, and the report of the
/// import.
pub async fn read_workflow(app: &App, file: &Value) -> Result<(Definition, Vec<Note>), NotSetUp> {
    let names = role_names(app).await?;
    let find = |name: &str| {
        names
            .iter()
            .find(|(_, known)| known.as_str() == name)
            .map(|(id, _)| *id)
    };
    let imported = import::read(file, &find).map_err(NotSetUp::Unreadable)?;
    let mut definition = imported.definition;
    seed::with_pids(app, &mut definition)
        .await
        .map_err(|unnamed| match unnamed {
            Unnamed::Technical(error) => error.into(),
            wrong => NotSetUp::Unreadable(wrong.to_string()),
        })?;
    Ok((definition, imported.report))
}

/// Saves the workflow of a file as a draft. The draft belongs to the workflow `id`, or to a new
/// workflow if `id` is `None`.
pub async fn import_workflow(
    app: &App,
    by: &Meta,
    file: &Value,
    id: Option<WorkflowId>,
) -> Result<(WorkflowId, Vec<Note>), NotSetUp> {
    let (definition, report) = read_workflow(app, file).await?;
    let id = draft(app, by, definition, id).await?;
    Ok((id, report))
}

/// Saves a definition as the draft of a workflow. If `id` is `None`, a new workflow is created.
pub async fn draft(
    app: &App,
    by: &Meta,
    definition: Definition,
    id: Option<WorkflowId>,
) -> Result<WorkflowId, NotSetUp> {
    let templates: Vec<AttachmentId> = definition
        .templates()
        .map(|template| template.id.clone())
        .collect();
    for template in &templates {
        check_template(app, template).await?;
    }
    let id = match id {
        Some(id) => id,
        None => WorkflowId(next_id(app, by, "WORKFLOW").await?),
    };
    attachments::attach(app, &templates, &Holder::Workflow(id), by).await?;
    on_workflow(
        app,
        by,
        id,
        &workflow::Command::Draft {
            workflow: id,
            definition: Box::new(definition),
        },
    )
    .await?;
    Ok(id)
}

/// Checks that the template file of a field was uploaded for workflows.
async fn check_template(app: &App, template: &AttachmentId) -> Result<(), NotSetUp> {
    let attachment = attachments::load(app, template).await?;
    let is_for_many = attachment
        .upload_started
        .as_ref()
        .is_some_and(|begun| begun.subject.is_none());
    if is_for_many && attachment.uploaded.is_some() && !attachment.discarded {
        return Ok(());
    }
    Err(NotSetUp::Unreadable(format!(
        "{template} is no file that was uploaded for workflows"
    )))
}

/// Deploys the draft as the next version, and returns the number of this version.
///
/// In an imported workflow, a node may have cases without a transition. A definition from `/v1`
/// must cover every case.
pub async fn deploy(
    app: &App,
    by: &Meta,
    id: WorkflowId,
    allows_open_cases: bool,
) -> Result<i64, NotSetUp> {
    let state = on_workflow(
        app,
        by,
        id,
        &workflow::Command::Deploy {
            workflow: id,
            allows_open_cases,
        },
    )
    .await?;
    Ok(state
        .versions
        .keys()
        .next_back()
        .copied()
        .unwrap_or_default())
}

pub async fn restore(app: &App, by: &Meta, id: WorkflowId, version: i64) -> Result<(), NotSetUp> {
    on_workflow(
        app,
        by,
        id,
        &workflow::Command::Restore {
            workflow: id,
            version,
        },
    )
    .await
    .map(drop)
}

/// Removes a version from the list. Rejects a version that a service uses.
pub async fn remove_version(
    app: &App,
    by: &Meta,
    id: WorkflowId,
    version: i64,
) -> Result<(), NotSetUp> {
    let services = app.configuration.services().await?;
    let users: Vec<&Defined> = services
        .iter()
        .filter_map(|service| service.0.as_ref())
        .filter(|service| (service.workflow, service.workflow_version) == (id, version))
        .collect();
    let used_by = users.iter().map(|service| service.service).collect();
    match on_workflow(
        app,
        by,
        id,
        &workflow::Command::Remove {
            workflow: id,
            version,
            used_by,
        },
    )
    .await
    {
        Ok(_) => Ok(()),
        Err(NotSetUp::Workflow(workflow::Rejection::InUse { version, .. })) => {
            let names: Vec<&str> = users.iter().map(|service| service.name.as_str()).collect();
            Err(NotSetUp::InUse {
                what: format!("version {version} of workflow {id}"),
                by: format!("services {}", names.join(", ")),
            })
        }
        Err(not) => Err(not),
    }
}

pub async fn close_workflow(
    app: &App,
    by: &Meta,
    id: WorkflowId,
    closed: bool,
) -> Result<(), NotSetUp> {
    on_workflow(
        app,
        by,
        id,
        &workflow::Command::Close {
            workflow: id,
            closed,
        },
    )
    .await
    .map(drop)
}

/// A service to import from a file (reference/bk-itsm.md 12.4).
#[derive(Clone, Debug)]
pub struct ServiceWish {
    /// The id of the service to change; `None` for a new service.
    pub id: Option<ServiceId>,
    pub name: String,
    pub kind: String,
    pub desc: String,
    pub is_enabled: bool,
    pub display_type: String,
    pub display_roles: Vec<String>,
    pub owners: Vec<String>,
    pub catalog: Option<CategoryId>,
    pub can_ticket_agency: bool,
    pub workflow: Value,
    /// Whether the API calls of the workflow may use secrets of the key store.
    pub may_name_secrets: bool,
}

/// Imports a service with its workflow. First checks the whole import, then deploys the workflow,
/// and then defines the service.
pub async fn import_service(
    app: &App,
    by: &Meta,
    requested: ServiceWish,
) -> Result<(Defined, Vec<Note>), NotSetUp> {
    let kind = ServiceKind::ALL
        .into_iter()
        .find(|kind| kind.key() == requested.kind)
        .ok_or_else(|| NotSetUp::KindUnknown(requested.kind.clone()))?;
    let services = app.configuration.services().await?;
    let known = |id: ServiceId| {
        services
            .iter()
            .filter_map(|service| service.0.as_ref())
            .find(|service| service.service == id)
    };
    let old = match requested.id {
        Some(id) => Some(known(id).ok_or(NotSetUp::ServiceUnknown(id))?),
        None => None,
    };
    name_is_free(app, &requested.name, requested.id).await?;
    if let Some(catalog) = requested.catalog
        && !app
            .configuration
            .catalog()
            .await?
            .categories
            .contains_key(&catalog)
    {
        return Err(NotSetUp::Catalog(config::Rejection::CatalogUnknown(
            catalog,
        )));
    }
    let (workflow, workflow_version, report) = take_over(
        app,
        by,
        &requested.workflow,
        requested.may_name_secrets,
        true,
        old.map(|old| old.workflow),
    )
    .await?;
    let owners = app.people.pids(&requested.owners).await?;
    let service = match requested.id {
        Some(id) => id,
        None => ServiceId(next_id(app, by, "SERVICE").await?),
    };
    let defined = Defined {
        service,
        name: requested.name,
        desc: requested.desc,
        kind,
        workflow,
        workflow_version,
        is_enabled: requested.is_enabled,
        owners,
        display_type: requested.display_type,
        display_roles: requested.display_roles,
        seals_text: old.is_some_and(|old| old.seals_text),
        priorities: old.and_then(|old| old.priorities),
        can_ticket_agency: requested.can_ticket_agency,
        rate_after_days: old.map_or(Some(3), |old| old.rate_after_days),
        is_listed: true,
    };
    define_service(app, by, &defined).await?;
    if let Some(catalog) = requested.catalog {
        place_service(app, by, service, Some(catalog)).await?;
    }
    Ok((defined, report))
}

/// Imports a workflow from a file as a new workflow, or as the next version of a workflow. The
/// whole workflow is checked before any data is stored.
///
/// If `allows_open_cases` is true, cases without a transition are only reported. In such a case,
/// the ticket waits at the node for a manager.
pub async fn take_over(
    app: &App,
    by: &Meta,
    file: &Value,
    may_name_secrets: bool,
    allows_open_cases: bool,
    old: Option<WorkflowId>,
) -> Result<(WorkflowId, i64, Vec<Note>), NotSetUp> {
    let (definition, mut report) = read_workflow(app, file).await?;
    if let Some(secret) = definition.secrets().next().filter(|_| !may_name_secrets) {
        return Err(NotSetUp::SecretNamed(secret.to_owned()));
    }
    let problems = if allows_open_cases {
        let found = workflow::check::findings(&definition);
        report.extend(found.open_cases.into_iter().map(|(node, case)| {
            let what = format!("no transition holds for {case}; a ticket then waits at the node until a manager routes it");
            Note::Changed { place: format!("node {node}"), what }
        }));
        found.problems
    } else {
        workflow::check::problems(&definition)
    };
    if !problems.is_empty() {
        return Err(NotSetUp::Unsound(problems));
    }
    let workflow = draft(app, by, definition, old).await?;
    let version = deploy(app, by, workflow, allows_open_cases).await?;
    Ok((workflow, version, report))
}

/// Rejects a name that another listed service has. `of` is the service that may have the name.
pub async fn name_is_free(app: &App, name: &str, of: Option<ServiceId>) -> Result<(), NotSetUp> {
    let services = app.configuration.services().await?;
    let is_taken = services
        .iter()
        .filter_map(|service| service.0.as_ref())
        .any(|service| service.name == name && Some(service.service) != of);
    if is_taken {
        Err(NotSetUp::NameTaken(name.to_owned()))
    } else {
        Ok(())
    }
}

/// Defines a service. Rejects a workflow version that is not listed.
pub async fn define_service(app: &App, by: &Meta, defined: &Defined) -> Result<(), NotSetUp> {
    if defined.is_listed {
        name_is_free(app, &defined.name, Some(defined.service)).await?;
    }
    let known = app.configuration.service(defined.service).await?;
    let points_at = |service: &Defined| (service.workflow, service.workflow_version);
    // The workflow version is only checked if the request changes the version. A service of a
    // closed or unlisted workflow can therefore still be renamed or disabled.
    if known.0.as_ref().map(points_at) != Some(points_at(defined)) {
        let workflow = app.configuration.drawn(defined.workflow).await?;
        if !workflow.is_listed(defined.workflow_version) {
            return Err(NotSetUp::Workflow(workflow::Rejection::VersionUnknown(
                defined.workflow_version,
            )));
        }
        if workflow.closed {
            return Err(NotSetUp::Workflow(workflow::Rejection::IsClosed));
        }
    }
    // The stream of the catalog decides which of two concurrent services gets the same name.
    let name = defined.is_listed.then(|| defined.name.clone());
    name_service(app, by, defined.service, name).await?;
    define::<Service>(app, by, format!("service-{}", defined.service), defined).await
}

/// Time in milliseconds after which a reserved name is free again if its service was not defined.
/// The time is longer than any request.
const UNDEFINED_MS: i64 = 60_000;

/// Reserves a name for a service; releases the name of the service if `name` is `None`. Rejects a
/// name that another service has.
async fn name_service(
    app: &App,
    by: &Meta,
    service: ServiceId,
    name: Option<String>,
) -> Result<(), NotSetUp> {
    let at = app.ledger.clock.now();
    let named = ServiceNamed { service, name, at };
    let mut instead_of = None;
    loop {
        let command = CatalogCommand::NameService {
            named: named.clone(),
            instead_of,
        };
        match on_catalog(app, by, &command).await {
            Ok(_) => return Ok(()),
            // The service with this name may not exist. A process can end after it reserved a name
            // and before it defined the service.
            Err(NotSetUp::Catalog(config::Rejection::ServiceNameTaken {
                name,
                by: holder,
                at: taken_at,
            })) => {
                let stream = format!("service-{holder}");
                let loaded = app.ledger.load::<Service>(&stream).await?;
                let is_defined = loaded.aggregate.0.0.is_some();
                let is_recent = at.0 - taken_at.0 < UNDEFINED_MS;
                if is_defined || is_recent || instead_of == Some(holder) {
                    return Err(NotSetUp::NameTaken(name));
                }
                instead_of = Some(holder);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Defines a service with an existing workflow version.
pub async fn add_service(app: &App, by: &Meta, mut defined: Defined) -> Result<Defined, NotSetUp> {
    defined.service = ServiceId(next_id(app, by, "SERVICE").await?);
    define_service(app, by, &defined).await?;
    Ok(defined)
}

/// Moves a service into a category, or out of the catalog.
pub async fn place_service(
    app: &App,
    by: &Meta,
    service: ServiceId,
    catalog: Option<CategoryId>,
) -> Result<(), NotSetUp> {
    on_catalog(
        app,
        by,
        &CatalogCommand::PlaceService(ServicePlaced { service, catalog }),
    )
    .await
    .map(drop)
}

/// Removes a service from the list. Rejects a service that is in the catalog (reference/bk-itsm.md
/// 13). The tickets of the service continue.
pub async fn remove_service(app: &App, by: &Meta, id: ServiceId) -> Result<(), NotSetUp> {
    let known = app.configuration.service(id).await?;
    let known = known
        .0
        .as_ref()
        .filter(|service| service.is_listed)
        .ok_or(NotSetUp::ServiceUnknown(id))?;
    let catalog = app.configuration.catalog().await?;
    if let Some(category) = catalog
        .places
        .get(&id)
        .and_then(|category| catalog.categories.get(category))
    {
        return Err(NotSetUp::InUse {
            what: format!("service {}", known.name),
            by: format!("catalog {}", category.name),
        });
    }
    define_service(
        app,
        by,
        &Defined {
            is_listed: false,
            ..known.clone()
        },
    )
    .await
}

/// Returns the first workflow in which the draft or a listed version uses an object; `None` if
/// there is no such workflow.
async fn used_in(
    app: &App,
    uses: impl Fn(&Definition) -> bool,
) -> Result<Option<String>, NotSetUp> {
    for id in app.configuration.ids("workflow").await? {
        let drawn = app.configuration.drawn(WorkflowId(id)).await?;
        let versions = drawn
            .versions
            .iter()
            .filter(|(version, _)| drawn.is_listed(**version))
            .map(|(_, deployed)| &deployed.definition);
        if let Some(user) = drawn
            .draft
            .as_deref()
            .into_iter()
            .chain(versions)
            .find(|definition| uses(definition))
        {
            return Ok(Some(format!("workflow {id} ({})", user.name)));
        }
    }
    Ok(None)
}

/// Removes a dictionary from the list. Rejects a dictionary whose options a field uses.
pub async fn remove_dictionary(
    app: &App,
    by: &Meta,
    defined: &dictionary::Defined,
) -> Result<(), NotSetUp> {
    let code = &defined.code;
    let uses = |definition: &Definition| {
        definition
            .fields
            .iter()
            .any(|field| field.source_type == "DATADICT" && field.source_uri == *code)
    };
    if let Some(by) = used_in(app, uses).await? {
        return Err(NotSetUp::InUse {
            what: format!("dictionary {code}"),
            by,
        });
    }
    define::<Dictionary>(
        app,
        by,
        format!("dictionary-{code}"),
        &dictionary::Defined {
            is_listed: false,
            ..defined.clone()
        },
    )
    .await
}

/// Removes a role from the list. Rejects a built-in role, and a role whose members a node uses.
pub async fn remove_role(app: &App, by: &Meta, defined: &role::Defined) -> Result<(), NotSetUp> {
    let what = format!("role {}", defined.name);
    if defined.kind == RoleKind::Admin {
        return Err(NotSetUp::InUse {
            what,
            by: "the desk itself".into(),
        });
    }
    let names = |processors: &Processors| matches!(processors, Processors::General(roles) if roles.contains(&defined.role));
    if let Some(by) = used_in(app, |definition| definition.processors().any(names)).await? {
        return Err(NotSetUp::InUse { what, by });
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

/// Stores the complete definition of an object of configuration.
pub async fn define<D: Decider<Rejection = config::Rejection>>(
    app: &App,
    by: &Meta,
    stream: String,
    command: &D::Command,
) -> Result<(), NotSetUp>
where
    NoContext: ContextLoader<D>,
{
    match execute::<D>(app, by, stream, command).await {
        Ok(_) => Ok(()),
        Err(ExecuteError::Technical(error)) => Err(error.into()),
        Err(ExecuteError::Rejected(rejection)) => Err(NotSetUp::Catalog(rejection)),
    }
}
