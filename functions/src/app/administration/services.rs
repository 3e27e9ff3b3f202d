//! Creates, imports, renames and removes services, and moves services between categories of the
//! service catalog.

use domain::config::{self, CatalogCommand, Service};
use domain::workflow;
use domain::workflow::import::Note;
use events::catalog::{ServiceNamed, ServicePlaced};
use events::service::Defined;
use events::ticket::ServiceKind;
use events::{CategoryId, Meta, ServiceId, WorkflowId};
use serde_json::Value;

use crate::App;

use super::{
    AdministrationError, catalog::on_catalog, define, deploy, draft, next_id, read_workflow,
};

/// The content of a request that imports a service from a file (reference/bk-itsm.md 12.4).
#[derive(Clone, Debug)]
pub struct ServiceImport {
    /// The id of the service that the import replaces. The value is `None` for a new service.
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
    /// True if the workflow may contain API calls that use secrets from the key store.
    pub may_name_secrets: bool,
}

/// Imports a service and its workflow. Returns the definition of the service, and notes about
/// changes that the import made. The whole import is checked first, so that an error leaves the
/// configuration unchanged. Then the workflow is deployed. The service is stored last.
pub async fn import_service(
    app: &App,
    by: &Meta,
    requested: ServiceImport,
) -> Result<(Defined, Vec<Note>), AdministrationError> {
    let kind = ServiceKind::ALL
        .into_iter()
        .find(|kind| kind.key() == requested.kind)
        .ok_or_else(|| AdministrationError::KindUnknown(requested.kind.clone()))?;
    let services = app.configuration.services().await?;
    let known = |id: ServiceId| {
        services
            .iter()
            .filter_map(|service| service.0.as_ref())
            .find(|service| service.service == id)
    };
    let old = match requested.id {
        Some(id) => Some(known(id).ok_or(AdministrationError::ServiceUnknown(id))?),
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
        return Err(AdministrationError::Catalog(
            config::Rejection::CatalogUnknown(catalog),
        ));
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
        readers: old.map(|old| old.readers.clone()).unwrap_or_default(),
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

/// Imports a workflow from a file and deploys the workflow. If `old` is set, the import creates a
/// new version of this workflow. Otherwise, the import creates a new workflow. The function returns
/// the workflow id, the version number and notes. The whole workflow is checked before the first
/// change is stored.
///
/// At some nodes, the conditions of all outgoing transitions can be false. A ticket then waits at
/// this node until a manager selects the next node. If `allows_open_cases` is true, the import
/// accepts such a node and adds a note to its result. Otherwise, the import is rejected.
pub async fn take_over(
    app: &App,
    by: &Meta,
    file: &Value,
    may_name_secrets: bool,
    allows_open_cases: bool,
    old: Option<WorkflowId>,
) -> Result<(WorkflowId, i64, Vec<Note>), AdministrationError> {
    let (definition, mut report) = read_workflow(app, file).await?;
    if let Some(secret) = definition.secrets().next().filter(|_| !may_name_secrets) {
        return Err(AdministrationError::SecretNamed(secret.to_owned()));
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
        return Err(AdministrationError::Unsound(problems));
    }
    let workflow = draft(app, by, definition, old).await?;
    let version = deploy(app, by, workflow, allows_open_cases).await?;
    Ok((workflow, version, report))
}

/// Returns an error if another listed service already has the name `name`. The service with the id `of` may keep its
/// own name, so this service is not compared.
pub async fn name_is_free(
    app: &App,
    name: &str,
    of: Option<ServiceId>,
) -> Result<(), AdministrationError> {
    let services = app.configuration.services().await?;
    let is_taken = services
        .iter()
        .filter_map(|service| service.0.as_ref())
        .any(|service| service.name == name && Some(service.service) != of);
    if is_taken {
        Err(AdministrationError::NameTaken(name.to_owned()))
    } else {
        Ok(())
    }
}

/// Stores the definition of a service. Returns an error in these cases:
///
/// - Another service has the same name.
/// - The request selects a new workflow version that is not in the list of versions of the workflow.
/// - The request selects a new version of a closed workflow (a workflow that accepts no new
///   services).
pub async fn define_service(
    app: &App,
    by: &Meta,
    defined: &Defined,
) -> Result<(), AdministrationError> {
    if defined.is_listed {
        name_is_free(app, &defined.name, Some(defined.service)).await?;
    }
    let known = app.configuration.service(defined.service).await?;
    let points_at = |service: &Defined| (service.workflow, service.workflow_version);
    // The workflow version is checked only if the request changes this version. The person can therefore rename or
    // disable a service even after its workflow was closed or removed.
    if known.0.as_ref().map(points_at) != Some(points_at(defined)) {
        let workflow = app.configuration.drawn(defined.workflow).await?;
        if !workflow.is_listed(defined.workflow_version) {
            return Err(AdministrationError::Workflow(
                workflow::Rejection::VersionUnknown(defined.workflow_version),
            ));
        }
        if workflow.closed {
            return Err(AdministrationError::Workflow(workflow::Rejection::IsClosed));
        }
    }
    // Two requests can try to use the same service name at the same time. All service names are in
    // one event stream (the service catalog). The ledger therefore accepts only the first of the
    // two requests.
    let name = defined.is_listed.then(|| defined.name.clone());
    name_service(app, by, defined.service, name).await?;
    define::<Service>(app, by, format!("service-{}", defined.service), defined).await
}

/// Time for which a request reserves a name for a service that is not stored yet, in milliseconds. A request normally
/// stores its service much earlier. If the service is not stored within this time, another service may use the name.
const UNDEFINED_MS: i64 = 60_000;

/// Reserves a name for a service. If `name` is `None`, releases the current name of the service.
/// Returns an error if another service has the name.
pub(super) async fn name_service(
    app: &App,
    by: &Meta,
    service: ServiceId,
    name: Option<String>,
) -> Result<(), AdministrationError> {
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
            // The name is reserved for another service, but this service may not exist. For
            // example, the process may have stopped after it reserved the name and before it stored
            // the service.
            Err(AdministrationError::Catalog(config::Rejection::ServiceNameTaken {
                name,
                by: holder,
                at: taken_at,
            })) => {
                let stream = format!("service-{holder}");
                let loaded = app.ledger.load::<Service>(&stream).await?;
                let is_defined = loaded.aggregate.0.0.is_some();
                let is_recent = at.0 - taken_at.0 < UNDEFINED_MS;
                if is_defined || is_recent || instead_of == Some(holder) {
                    return Err(AdministrationError::NameTaken(name));
                }
                instead_of = Some(holder);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Stores a new service with a new id, and returns the definition with this id. The workflow
/// version of the service must already exist.
pub async fn add_service(
    app: &App,
    by: &Meta,
    mut defined: Defined,
) -> Result<Defined, AdministrationError> {
    defined.service = ServiceId(next_id(app, by, "SERVICE").await?);
    define_service(app, by, &defined).await?;
    Ok(defined)
}

/// Moves a service to a category of the service catalog. If `catalog` is `None`, removes the
/// service from the catalog.
pub async fn place_service(
    app: &App,
    by: &Meta,
    service: ServiceId,
    catalog: Option<CategoryId>,
) -> Result<(), AdministrationError> {
    on_catalog(
        app,
        by,
        &CatalogCommand::PlaceService(ServicePlaced { service, catalog }),
    )
    .await
    .map(drop)
}

/// Removes a service from the list of services. Returns an error if the service is still in the
/// service catalog (reference/bk-itsm.md 13). Existing tickets of the service remain active.
pub async fn remove_service(
    app: &App,
    by: &Meta,
    id: ServiceId,
) -> Result<(), AdministrationError> {
    let known = app.configuration.service(id).await?;
    let known = known
        .0
        .as_ref()
        .filter(|service| service.is_listed)
        .ok_or(AdministrationError::ServiceUnknown(id))?;
    let catalog = app.configuration.catalog().await?;
    if let Some(category) = catalog
        .places
        .get(&id)
        .and_then(|category| catalog.categories.get(category))
    {
        return Err(AdministrationError::InUse {
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
